package xdp

import (
	"testing"

	"github.com/activeblaze/blaze/buf"
)

// The way out follows the interface: its MTU, within what Open found, and whether packets can pass.
func TestWayFollowsTheInterface(t *testing.T) {
	na, nb := pair(t)
	d := na.open(t, testConfig(0))
	whole := buf.Way{Pack: 1472, Longest: 1472}
	becomes := func(what string, want buf.Way, why string) {
		t.Helper()
		var none [1]buf.Received
		wait(t, what, func() bool { d.Recv(none[:]); return d.Way() == want && d.NoWay() == why })
	}
	becomes("the beginning", whole, "")
	for _, c := range []struct {
		mtu  string
		pack int
	}{{"1400", 1372}, {"1500", 1472}, {"2000", 1472}, {"200", 548}, {"1500", 1472}} {
		na.ip(t, "link set v0 mtu "+c.mtu)
		becomes("MTU "+c.mtu, buf.Way{Pack: c.pack, Longest: 1472}, "")
	}
	shut := whole
	shut.Shut, shut.Down = true, true
	nb.ip(t, "link set v1 down")
	becomes("the link down", shut, "the link is down")
	nb.ip(t, "link set v1 up")
	becomes("the link up", whole, "")
	na.ip(t, "link del v0")
	becomes("no interface", shut, "the interface is gone")
}
