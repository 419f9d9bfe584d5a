package member

import (
	"slices"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
)

// An engine looks into the queues of the lanes that are in use, and not into all that are open: a lane whose queue was empty
// for quietTurns turns is left out, until somebody puts something into it and calls. A lane in use costs its producers one
// load that hits their cache, and the engine sees a message as soon as without this.
type calling struct {
	out  atomic.Bool // the engine does not look into the queue
	next *Lane       // of those that called; the caller's until it is among them
	all  *calls
	idle int // engine's thread only: turns in a row in which the queue was empty; leftOut: it is to be left out
}

// calls are the lanes of a member that were left out and called: a stack that producers push to, and that the engine takes
// as a whole. It is no part of the Member, which a publisher that keeps its lane must not keep as well.
type calls struct{ top atomic.Pointer[Lane] }

const (
	quietTurns = 256
	leftOut    = -1
)

// call has the engine look into the queue, in which something is now.
func (l *Lane) call() {
	// The engine first says that it leaves the lane out and then looks once more, and this comes after the record was
	// committed: one of the two sees what the other did.
	if c := &l.calling; c.out.Load() && c.out.CompareAndSwap(true, false) {
		for {
			top := c.all.top.Load()
			c.next = top
			if c.all.top.CompareAndSwap(top, l) {
				return
			}
		}
	}
}

// quiet notes how many messages a turn found, and reports whether the lane is left out from now on.
func (l *Lane) quiet(n int) bool {
	c := &l.calling
	if n > 0 || l.full || l.ahead.Load() > 0 { // the bound is to be lifted in time for the next burst
		c.idle = 0
		return false
	}
	if c.idle++; c.idle < quietTurns {
		return false
	}
	c.idle = 0
	c.out.Store(true)
	if !l.queue.Empty() && c.out.CompareAndSwap(true, false) {
		return false
	}
	c.idle = leftOut
	return true
}

// drainLanes moves messages from the queues of the lanes in use to their senders.
func (m *Member) drainLanes(now clock.Time) (n int) {
	return m.eachUsed(func(l *Lane) int { return l.drain(now) })
}

// eachUsed calls drain, which returns how many messages it took, for each lane in use.
func (m *Member) eachUsed(drain func(*Lane) int) (n int) {
	if m.calls.top.Load() != nil {
		for l := m.calls.top.Swap(nil); l != nil; {
			next := l.calling.next
			l.calling.next, l.calling.idle = nil, 0
			m.used = append(m.used, l)
			l = next
		}
	}
	leaves := false
	for _, l := range m.used {
		took := drain(l)
		n += took
		leaves = l.quiet(took) || leaves
	}
	if leaves {
		m.used = slices.DeleteFunc(m.used, func(l *Lane) bool { return l.calling.idle == leftOut })
	}
	return n
}
