package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bpf"
	"github.com/activeblaze/blaze/xdp"
)

// Look looks at this host and at every interface of the calling thread's network namespace.
func Look() (*Report, error) {
	h := thisHost()
	r := &Report{Host: h.findings()}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("doctor: list the interfaces: %w", err)
	}
	for i := range all {
		r.Interfaces = append(r.Interfaces, h.judge(examine(all[i].Name)))
	}
	return r, nil
}

// nic is what was found out about an interface.
type nic struct {
	xdp.Look
	card
	driver   string
	offloads map[string]bool
	programs []bpf.Attachment
	holder   string // over what a member of this host is on it; empty: none
}

// examine asks the kernel everything about an interface that can be asked.
func examine(name string) nic {
	n := nic{Look: xdp.Look{Name: name}}
	// The group is any: the option is not asked for.
	at, err := xdp.LookAt(xdp.Config{Interface: name, Group: netip.MustParseAddrPort("239.255.66.76:6676")})
	if err != nil {
		n.Err = err
		return n
	}
	n.Look, n.card, n.driver = at, askCard(at.Index), rig.Driver(name)
	n.offloads, _ = rig.Features(name) // none are known where that fails
	n.programs, _ = bpf.Programs(at.Index)
	n.holder = holder(at.Index)
	return n
}

// holder is the process that has claimed the interface (package internal/iflock); it is not disturbed.
func holder(index int) string {
	f, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		for _, by := range [...]string{"xdp", "udp"} {
			if strings.Contains(s.Text(), fmt.Sprintf(" @blaze/%s/%d/", by, index)) {
				return by
			}
		}
	}
	return ""
}

// judge finds what is good and bad about it.
func (h *host) judge(n nic) Interface {
	i := Interface{Name: n.Name, Findings: []Finding{n.link()}}
	if n.Index == 0 {
		i.Choice = Choice{Why: n.Err.Error()}
		return i
	}
	i.Findings = append(i.Findings, n.modes(), n.queue())
	if f, ok := n.segments(); ok {
		i.Findings = append(i.Findings, f)
	}
	for _, p := range n.programs {
		i.Findings = append(i.Findings, Finding{Note, "XDP program", fmt.Sprintf("%v is attached", p), ""})
	}
	if n.holder != "" {
		i.Findings = append(i.Findings, Finding{Note, "members", "this host has a member on it now, over " + n.holder, ""})
	}
	i.Choice = h.choose(n)
	i.Better = h.better(n, i.Choice)
	return i
}

func (n nic) link() Finding {
	f := Finding{Good, "link", "up", ""}
	if !n.Up {
		f.Level, f.Found = Note, "down"
	}
	kind := n.Kind
	switch {
	case n.Loopback:
		kind = "loopback"
	case kind == "" && n.Index != 0:
		kind = "card"
	}
	for _, s := range []string{kind, n.driver} {
		if s != "" && !strings.HasSuffix(f.Found, s) {
			f.Found += ", " + s
		}
	}
	if n.MTU > 0 {
		f.Found += fmt.Sprintf(", MTU %d", n.MTU)
	}
	return f
}

// modes are those that driver and stack have.
func (n nic) modes() Finding {
	f := Finding{Good, "XDP modes", "generic", ""}
	switch {
	case !n.known:
		f.Found += "; whether the driver has native is not known before it is tried (Linux 6.3 tells)"
	case n.features&xdpBasic == 0:
		f.Found += "; the driver has no native mode"
	default:
		f.Found = "native, generic"
		if n.features&xdpRedirect == 0 {
			f.Found += "; the driver cannot redirect, so native is no use"
		}
		if n.features&xdpZeroCopy != 0 {
			f.Found = "native with zero-copy, " + f.Found
		}
	}
	return f
}

// queue is about receive queues and their NAPIs.
func (n nic) queue() Finding {
	f := Finding{Good, "receive queues", fmt.Sprint(max(n.Queues, 1)), ""}
	if len(n.napis) > 0 {
		f.Found = fmt.Sprint(len(n.napis))
	}
	numbered := false
	for _, id := range n.napis {
		numbered = numbered || id != 0
	}
	switch {
	case numbered:
		f.Found += fmt.Sprintf(", NAPI ids %v: busy polling works (busypoll=50us)", n.napis)
	case n.queues:
		f.Found += ", no NAPI id: no busy polling, a spinning engine watches the ring"
	default:
		f.Found += ", NAPI ids not known before Linux 6.8"
	}
	if len(n.napis) > 1 {
		f.Level = Note
		f.Remedy = fmt.Sprintf("what arrives on other queues than the member's takes the kernel's path: ethtool -L %[1]s combined 1, or ethtool -N %[1]s flow-type udp4 dst-ip GROUP action 0, or queues=%[2]d in the URI, which receives from all of them", n.Name, min(len(n.napis), 64))
	}
	return f
}

// segments is about offloads that put packets together, which programs on the XDP hook see as one.
func (n nic) segments() (Finding, bool) {
	if len(n.offloads) == 0 {
		return Finding{}, false
	}
	var on []string
	for _, name := range [...]string{"rx-gro", "rx-lro", "tx-udp-segmentation", "rx-udp-gro-forwarding"} {
		if n.offloads[name] {
			on = append(on, name)
		}
	}
	if len(on) == 0 {
		return Finding{Good, "offloads", "none that puts packets together", ""}, true
	}
	f := Finding{Good, "offloads", strings.Join(on, ", "), ""}
	generic := len(n.Rungs) > 0 && strings.HasPrefix(n.Rungs[0], "generic")
	if generic && !n.Loopback {
		f.Level = Note
		f.Found += ": in generic mode packets may come put together, and then take the kernel's path"
		f.Remedy = fmt.Sprintf("ethtool -K %s gro off tx-udp-segmentation off, here and, on a virtual link, at its other end", n.Name)
	}
	return f, true
}

// choose finds what auto:// would take, as the library does it: xdp where it can be had.
func (h *host) choose(n nic) Choice {
	var why string
	missing := h.missing()
	major, minor, known := version(h.kernel)
	switch {
	case n.Err != nil && errors.Is(n.Err, xdp.ErrConfig):
		// xdp.Open would refuse the interface as it is; whether udp could use it is in its error.
		return Choice{Transport: udpOn(n), Why: n.Err.Error()}
	case n.Err != nil:
		why = n.Err.Error()
	case h.afxdp != nil:
		why = h.afxdp.Error()
	case known && (major < 5 || major == 5 && minor < 9):
		why = "the kernel is older than 5.9"
	case len(missing) > 0:
		why = "this process lacks " + strings.Join(missing, ", ")
	case !h.locks():
		why = "this process may not lock the packet memory"
	case n.holder != "":
		why = "a member of this host is on the interface, over " + n.holder
	case len(n.programs) > 0:
		why = fmt.Sprintf("the interface has another XDP program, %v", n.programs[0])
	default:
		return n.climb()
	}
	return Choice{Transport: "udp", Why: why}
}

// native reports whether the driver has a native mode that is any use; where the kernel cannot say,
// it may.
func (n nic) native() bool {
	const both = xdpBasic | xdpRedirect
	return !n.known || n.features&both == both
}

// climb is what the library's ladder comes to, as far as it can be known without trying.
func (n nic) climb() Choice {
	rungs, why := n.Rungs, n.Why
	if len(rungs) > 1 && strings.HasPrefix(rungs[0], "native") && !n.native() {
		rungs, why = rungs[1:], "the driver has no native mode"
	}
	c := Choice{Transport: "xdp", Mode: rungs[0], Why: why + "; if that fails, udp"}
	if len(rungs) > 1 {
		c.Why = why + "; if that fails, " + strings.Join(rungs[1:], ", ") + ", and then udp"
	}
	return c
}

// udpOn reports whether udp would work where xdp refuses the interface.
func udpOn(n nic) string {
	i, err := net.InterfaceByName(n.Name)
	if err != nil || i.Flags&net.FlagUp == 0 {
		return ""
	}
	addrs, _ := i.Addrs()
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok && p.IP.To4() != nil {
			return "udp"
		}
	}
	return ""
}

// better is what would have to change for a better rung.
func (h *host) better(n nic, c Choice) (s []string) {
	if n.Err != nil {
		return nil // the error states what helps
	}
	if c.Transport == "udp" {
		switch {
		case len(h.missing()) > 0:
			s = append(s, h.grant()+", or run as root: xdp, "+n.Rungs[0])
		case !h.locks():
			s = append(s, "raise the limit of locked memory (see above): xdp, "+n.Rungs[0])
		case n.holder != "":
			s = append(s, "one member for each interface: stop the other, or give it another interface: xdp, "+n.Rungs[0])
		case len(n.programs) > 0:
			s = append(s, fmt.Sprintf("if nobody needs the program: ip link set dev %s xdp off: xdp, %s", n.Name, n.Rungs[0]))
		}
		return s
	}
	switch {
	case n.Loopback:
	case n.Virtual:
		s = append(s, "nothing: on a virtual interface native mode is no faster, and zero-copy does not exist")
	case !n.native():
		s = append(s, "a card whose driver has native XDP")
	case n.known && n.features&xdpZeroCopy != 0:
		s = append(s, "zerocopy=on, after a test on this very card, driver and kernel: some corrupt or stop")
	case n.known:
		s = append(s, "a driver with zero-copy; native copy is what most cards have")
	}
	return s
}
