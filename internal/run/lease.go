package run

import (
	"sync/atomic"

	"github.com/activeblaze/blaze/engine"
)

// Lease is a lock that this member was granted. Any goroutine may call its methods.
type Lease struct {
	cluster  *Cluster
	number   uint64 // of the call that got it
	token    uint64
	deadline atomic.Int64 // clock.Time
	over     atomic.Bool
	lost     chan struct{}
}

// Number names the lock to the core.
func (l *Lease) Number() uint64 { return l.number }

// Token is the fencing token.
func (l *Lease) Token() uint64 { return l.token }

// Of reports whether the lock was granted in a run.
func (l *Lease) Of(r *Run) bool { return r != nil && l.cluster == r.cluster }

// Held reports whether the lock is held: it was not given up or taken away, its lease is not over, and this member is
// sure to be in the primary component. It reads the clock, for an engine may be late.
func (l *Lease) Held() bool {
	return !l.over.Load() && l.cluster.believes() && int64(engine.Now()) < l.deadline.Load()
}

// GiveUp has the lock count as held no longer. It is false where it did so before.
func (l *Lease) GiveUp() bool { return l.end() }

// GiveBack gives the lock up, and back. It waits for nothing.
func (l *Lease) GiveBack() {
	l.end()
	c := l.cluster
	c.run.engine.Post(func() {
		c.owed = append(c.owed, l.number)
		c.settle(c.run.Now())
	})
}

// Lost is closed when the lock is held no longer.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

func (l *Lease) end() (first bool) {
	if first = l.over.CompareAndSwap(false, true); first {
		close(l.lost)
	}
	return first
}
