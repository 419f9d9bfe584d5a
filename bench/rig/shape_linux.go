package rig

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// SetLink gives one way of the cable of host i a link, from now on. What it had before is gone.
func (r *Rig) SetLink(i int, way Way, l Link) error {
	if i < 0 || i >= len(r.hosts) {
		return fmt.Errorf("rig: link of host %d of %d", i, len(r.hosts))
	}
	if err := l.Check(r.kind, way); err != nil {
		return fmt.Errorf("rig: link %v host %d: %w", way, i, err)
	}
	mtu := l.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	switch {
	case way == OnHost:
		if err := r.hosts[i].ip("link set " + Interface + " mtu " + strconv.Itoa(mtu)); err != nil {
			return err
		}
		return r.hosts[i].shape(Interface, l)
	case r.taps != nil:
		r.taps.set(i, way, l)
		return nil
	case way == ToHost:
		if err := r.Narrow(i, mtu); err != nil {
			return err
		}
		return r.bridge.shape(portName(i), l)
	}
	if err := r.behind(i); err != nil {
		return err
	}
	return r.bridge.shape(innerName(i), l)
}

// defaultMTU is that of the interfaces, bytes of an IP packet.
const defaultMTU = 1500

// behind puts a cable between the port of host i and the switch, so that what the host sends can wait in
// front of it: an interface's queue is for what leaves there, and what comes in at a port does not wait.
//
//	port0 ── bridge of its own ── inner0 ═══ outer0 ── switch
func (r *Rig) behind(i int) error {
	if r.far[i] {
		return nil
	}
	own, in, out := "own"+strconv.Itoa(i), innerName(i), outerName(i)
	err := r.bridge.ip("link add "+own+" type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set "+own+" addrgenmode none",
		"link add "+in+" type veth peer name "+out, "link set "+in+" addrgenmode none", "link set "+out+" addrgenmode none",
		"link set "+own+" up", "link set "+in+" master "+own, "link set "+out+" master switch0",
		"link set "+in+" up", "link set "+out+" up", "link set "+portName(i)+" master "+own)
	if err != nil {
		return err
	}
	r.far[i] = true
	return r.bridge.await("-d link show type bridge_slave", " state forwarding ", r.ports())
}

// ports counts the interfaces that are ports of switches.
func (r *Rig) ports() int {
	n := len(r.hosts)
	for _, far := range r.far {
		if far {
			n += 2
		}
	}
	return n
}

func innerName(i int) string { return "inner" + strconv.Itoa(i) }
func outerName(i int) string { return "outer" + strconv.Itoa(i) }

// plugName is the interface of the switch that leads to host i.
func (r *Rig) plugName(i int) string {
	if r.far[i] {
		return outerName(i)
	}
	return portName(i)
}

// shape has an interface send at the link's rate: a token bucket that holds two packets, and a queue of so many
// bytes (tc-tbf(8)). Its MTU is set elsewhere.
func (h *Host) shape(name string, l Link) error {
	if l.Rate == 0 {
		out, err := h.tc("qdisc show dev " + name)
		if err != nil || !strings.Contains(out, "qdisc tbf") {
			return err
		}
		_, err = h.tc("qdisc del dev " + name + " root")
		return err
	}
	queue := l.Queue
	if queue == 0 {
		queue = DefaultQueue
	}
	_, err := h.tc(fmt.Sprintf("qdisc replace dev %s root tbf rate %dbit burst %d limit %d", name, l.Rate, 2*maxFrame, queue))
	return err
}

// tc runs a command of iproute2's tc inside the host, and returns what it prints.
func (h *Host) tc(command string) (text string, err error) {
	err = h.Run(func() error {
		out, err := exec.Command("tc", strings.Fields(command)...).CombinedOutput()
		if text = string(out); err != nil {
			return fmt.Errorf("%w: tc %s (iproute2, CONFIG_NET_SCH_TBF): %w: %s", ErrUnsupported, command, err, bytes.TrimSpace(out))
		}
		return nil
	})
	return text, err
}
