package lossy

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// lateRoom is how many datagrams can be on their way to a member. More stay with the driver
// below, where there is room for them or they are lost, as at any receiver.
const lateRoom = 8192

// Late is another driver on a longer wire: everything that it receives comes a fixed time later
// than it did, in the order in which it came.
type Late struct {
	engine.Driver
	delay time.Duration
	now   func() clock.Time

	// Datagrams from..to are on their way, lent..from are with the caller until the next Recv.
	slots          []lateSlot
	lent, from, to uint64
}

type lateSlot struct {
	at  clock.Time // when it arrives
	mem []byte     // room for the longest datagram
	buf buf.Buf
	buf.Received
}

// WrapLate makes everything that d receives arrive delay later, by the clock now.
func WrapLate(d engine.Driver, delay time.Duration, now func() clock.Time) *Late {
	l := &Late{Driver: d, delay: delay, now: now, slots: make([]lateSlot, lateRoom)}
	size := d.Datagram()
	memory := make([]byte, lateRoom*size) // pages that are never used are never touched
	for i := range l.slots {
		l.slots[i].mem = memory[i*size : i*size : (i+1)*size]
	}
	return l
}

// Recv takes in what has come, and hands out what would have come by now.
func (l *Late) Recv(batch []buf.Received) int {
	l.lent = l.from
	now := l.now()
	for l.to-l.lent+uint64(len(batch)) <= uint64(len(l.slots)) {
		n := l.Driver.Recv(batch)
		if n == 0 {
			break
		}
		now = l.now() // again: nothing may come too early because this thread was held up
		for _, r := range batch[:n] {
			s := &l.slots[l.to%uint64(len(l.slots))]
			s.mem = append(s.mem[:0], r.Buf.Bytes()...)
			s.at, s.Received = now.Add(l.delay), r
			l.to++
		}
	}
	n := 0
	for ; n < len(batch) && l.from < l.to; n++ {
		s := &l.slots[l.from%uint64(len(l.slots))]
		if s.at > now {
			break
		}
		s.buf.Lend(s.mem)
		batch[n] = buf.Received{Buf: &s.buf, From: s.From, Group: s.Group}
		l.from++
	}
	return n
}

// Wait sleeps no longer than until the next datagram arrives.
func (l *Late) Wait(d time.Duration) {
	if l.from < l.to {
		next := l.slots[l.from%uint64(len(l.slots))].at.Sub(l.now())
		if next <= 0 {
			return
		}
		if d < 0 || next < d {
			d = next
		}
	}
	l.Driver.Wait(d)
}

// Way implements engine.Follower.
func (l *Late) Way() buf.Way { return engine.WayOf(l.Driver) }

// LookAtAll implements engine.Looker.
func (l *Late) LookAtAll() { engine.LookAtAll(l.Driver) }
