//go:build !linux

package doctor

import (
	"net"
	"runtime"
)

// Look fails: AF_XDP is Linux's.
func Look() (*Report, error) {
	r := &Report{Host: []Finding{{Lack, "kernel", runtime.GOOS + ": AF_XDP is Linux's", "use udp:// here"}}}
	all, err := net.Interfaces()
	for _, i := range all {
		r.Interfaces = append(r.Interfaces, Interface{Name: i.Name, Choice: Choice{Transport: "udp", Why: "AF_XDP needs Linux"}})
	}
	return r, err
}
