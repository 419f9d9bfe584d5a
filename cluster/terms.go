package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// term is one lease or TTL as this replica counts it. Terms are no part of the replicated state: an operation that ends
// one says which, and the state decides.
type term struct {
	at    clock.Time
	where int // in the heap

	lock  *lock
	table *table // of entry
	entry *Entry
}

func (x *term) key() int64  { return int64(x.at) }
func (x *term) place() *int { return &x.where }

// terms is what ends first, first.
type terms struct{ heap heap[*term] }

func (t *terms) add(x *term) { t.heap.add(x) }

// remove takes x out; nil, and one that is not in, are fine.
func (t *terms) remove(x *term) {
	if x != nil && x.where >= 0 {
		t.heap.remove(x)
	}
}

// NextTerm returns when the next lease or TTL of this replica ends by its own clock.
func (s *State) NextTerm() (at clock.Time, ok bool) {
	h := s.tables.terms.heap
	if len(h) == 0 {
		return 0, false
	}
	return h[0].at, true
}

// resume has all terms of a State that was read from a disk, as if at time 0, count from now. Nobody else has seen it yet.
func (s *State) resume(now clock.Time) {
	for _, x := range s.tables.terms.heap {
		x.at += now
		if x.lock != nil {
			x.lock.began += now
			s.tables.soil(x.lock)
		} else {
			x.entry.Shift(now)
		}
	}
}

// EndedTerm returns an operation that asks to end what has lived for its term at now: Expire or ExpireEntry. It is the
// leader's to propose. It comes once again at retry, if the operation had no effect until then. ok is false where nothing
// has ended. The operation's slices are its own.
func (s *State) EndedTerm(now, retry clock.Time) (op wire.ClusterOp, ok bool) {
	t := &s.tables.terms
	if len(t.heap) == 0 || t.heap[0].at > now {
		return op, false
	}
	x := t.heap[0]
	x.at = max(retry, now+1)
	t.heap.down(0)
	if l := x.lock; l != nil {
		return wire.ClusterOp{
			Kind: wire.OpExpire, Map: []byte(l.table.name), Key: []byte(l.key), Token: l.token, Version: l.renewed,
		}, true
	}
	return wire.ClusterOp{
		Kind: wire.OpExpireEntry, Map: []byte(x.table.name), Key: []byte(x.entry.Key()), Version: x.entry.Version(),
	}, true
}
