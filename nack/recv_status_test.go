package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// A ping-pong sends one small datagram at a time. Its bytes would fill a quarter of a large
// receive buffer only long after its datagrams have filled the window: reports are due by
// datagrams as well, or the sender stands still.
func TestSmallDatagramsAreReportedInTime(t *testing.T) {
	net, sender, s := pair(t, 5, 1, func(c *Config) { c.Window, c.Room = 64*1472, 64<<20 })
	for i := range 5000 {
		if net.offer(sender, s, 1, 64) != 1 {
			t.Fatalf("datagram %d met back-pressure though its receiver takes all at once", i)
		}
		net.run(200 * time.Microsecond)
	}
	net.done()
}

// All reports are lost until the window is full. Nothing waits to be sent then, and still the
// sender asks, soon.
func TestFullWindowAsks(t *testing.T) {
	for seed := range uint64(20) { // and moments: a periodic report may happen to come soon
		net, sender, s := pair(t, seed, 1, func(c *Config) { c.Window = 64 * 1472 })
		deaf := true
		net.filter = func(_, _ *node, d *wire.Datagram) bool {
			return !deaf || d.Frames()[0].Kind != wire.FrameStatus
		}
		sent := 0
		for net.offer(sender, s, 1, 64) == 1 {
			sent++
			net.run(20 * time.Microsecond)
		}
		if sent < 32 || sent > 66 {
			t.Fatalf("%d datagrams were accepted, the window is 64", sent)
		}
		for range 400 + 5*seed { // long enough for ordinary heartbeats to become rare
			net.offer(sender, s, 1, 64)
			net.run(time.Millisecond)
		}
		deaf = false
		if !net.until(25*time.Millisecond, func() bool { return net.offer(sender, s, 1, 64) == 1 }) {
			t.Fatalf("seed %d: the sender did not ask for the report that it waits for", seed)
		}
		net.done()
	}
}
