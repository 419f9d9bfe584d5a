package attach

import (
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
)

// twoPlaces is a driver that looks at one of two sockets at a time, as udp does, and at both when it is told to.
type twoPlaces struct {
	engine.Driver // not used

	waiting [2]int // datagrams
	each    int    // that a Recv brings at most; 0: it brings nothing, since all are own copies
	both    bool
}

func (d *twoPlaces) LookAtAll() { d.both = true }

func (d *twoPlaces) Recv([]buf.Received) (n int) {
	for i := range d.waiting {
		if i == 0 || d.both {
			k := min(d.waiting[i], max(d.each, 1))
			d.waiting[i] -= k
			n += k
		}
	}
	d.both = false
	return min(n, d.each)
}

// Discard leaves nothing behind in any socket.
func TestDiscard(t *testing.T) {
	for _, c := range []struct {
		waiting [2]int
		each    int
	}{
		{[2]int{0, 1}, 1},
		{[2]int{1, 0}, 1},
		{[2]int{1000, 3}, 64},
		{[2]int{3, 1000}, 64},
		{[2]int{2, 2}, 0},
	} {
		d := &twoPlaces{waiting: c.waiting, each: c.each}
		a := &Attachment{Ports: []*Port{{below: d, Driver: d}}}
		if a.Discard(); d.waiting != [2]int{} {
			t.Errorf("%v, %d at a time: %v are left", c.waiting, c.each, d.waiting)
		}
	}
}
