package udp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
)

// bindFirst calls bind with the addresses that a driver with peers may have, until one is
// local and free, and returns its interface.
func bindFirst(cfg Config, bind func(netip.AddrPort) error) (link, error) {
	candidates := cfg.Peers
	if cfg.Bind.IsValid() {
		candidates = []netip.AddrPort{cfg.Bind}
	}
	var tried []string
	for _, a := range candidates {
		l, err := linkOf(a.Addr(), cfg.MTU)
		if errors.Is(err, errNotLocal) {
			tried = append(tried, a.String()+" is not local")
			continue
		}
		if err != nil {
			return l, err
		}
		err = bind(a)
		if err == nil {
			return l, nil
		}
		if !inUse(err) {
			return l, bindError(a, err)
		}
		tried = append(tried, a.String()+" is in use")
	}
	return link{}, fmt.Errorf("%w: no listed address can be bound: %s", ErrConfig, strings.Join(tried, ", "))
}

// bindError explains why a could not be bound.
func bindError(a netip.AddrPort, err error) error {
	switch {
	case inUse(err):
		return fmt.Errorf("udp: port %d of %v is taken by a program that does not share it; stop it (%s shows it) or choose another port: %w",
			a.Port(), a.Addr(), whoHas(runtime.GOOS, a.Port()), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("udp: binding port %d is not permitted; ports below 1024 need a privilege (CAP_NET_BIND_SERVICE on Linux), choose a higher one: %w", a.Port(), err)
	}
	return fmt.Errorf("udp: bind %v: %w", a, err)
}

func whoHas(goos string, port uint16) string {
	p := strconv.Itoa(int(port))
	switch goos {
	case "linux":
		return "ss -ulnp sport = :" + p
	case "windows":
		return "netstat -ano -p udp"
	}
	return "lsof -nP -iUDP:" + p
}
