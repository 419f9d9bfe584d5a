package xdp

import (
	"testing"

	"github.com/activeblaze/blaze/buf"
)

// The way out follows the interface: its MTU, within what Open found, and whether packets can pass. Further queues
// send through the same interface, from threads of their own, and learn the same.
func TestWayFollowsTheInterface(t *testing.T) {
	na, nb := manyQueues(t, 3)
	cfg := testConfig(0)
	cfg.Queues, cfg.Split = 3, true
	d := na.open(t, cfg)
	whole := buf.Way{Pack: 1472, Longest: 1472}
	becomes := func(what string, want buf.Way, why string) {
		t.Helper()
		var none [1]buf.Received
		wait(t, what, func() bool { d.Recv(none[:]); return d.Way() == want && d.NoWay() == why })
		want.Longest = want.Pack // by the ordinary socket
		for _, q := range d.Queues() {
			if q.Way() != want {
				t.Errorf("%s: %+v, queue %d has %+v", what, want, q.number, q.Way())
			}
		}
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

// A driver whose engine sleeps takes in another MTU at once: the queues learn it of that engine, and may send meanwhile.
func TestMTUWakesTheEngine(t *testing.T) {
	na, _ := manyQueues(t, 2)
	cfg := testConfig(0)
	cfg.Queues, cfg.Split = 2, true
	d := na.open(t, cfg)
	stop := threads(ends(d)[:1], func(_ int, e end) {
		if e.Recv(make([]buf.Received, 1)) == 0 {
			e.Wait(-1)
		}
	})
	defer stop()
	for range 3 {
		for mtu, pack := range map[string]int{"1400": 1372, "1500": 1472} {
			na.ip(t, "link set v0 mtu "+mtu)
			wait(t, "MTU "+mtu, func() bool { return d.Queues()[0].Way().Pack == pack })
		}
	}
}
