package cluster

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// LockView is a lock that is held, with its line.
type LockView struct {
	Held
	Left    time.Duration   // of the lease, as this replica counts it; 0: no lease
	Waiters []wire.MemberID // the first of the line
}

// MostWaiters is how many of a lock's line a LockView has.
const MostWaiters = 16

// LockRef is a lock that LookLocks found. It may be over when Look is called.
type LockRef struct{ lock *lock }

// LookLocks finds at most cap(into) locks that are held, in no order, and how many there are. It allocates nothing.
func (c *Core) LookLocks(into []LockRef) (found []LockRef, held int) {
	if c.state == nil {
		return into[:0], 0
	}
	into = into[:0]
	for _, m := range c.state.tables.maps {
		for _, l := range m.locks {
			if len(into) == cap(into) {
				return into, c.state.tables.held
			}
			if l.holder != nil {
				into = append(into, LockRef{l})
			}
		}
	}
	return into, c.state.tables.held
}

// Look copies a lock; ok is false where it is over.
func (r LockRef) Look(now clock.Time) (v LockView, ok bool) {
	l := r.lock
	if l.holder == nil || l.table.locks[l.key] != l {
		return v, false
	}
	v.Held = l.held()
	if v.Lease > 0 {
		v.Left = max(0, l.began.Add(time.Duration(v.Lease)).Sub(now))
	}
	for w := l.first; w != nil && len(v.Waiters) < MostWaiters; w = w.next {
		v.Waiters = append(v.Waiters, w.member)
	}
	return v, true
}
