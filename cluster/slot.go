package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// slot is one operation that this member proposes: of a call, or one of the core's own. It is in one place at a time.
type slot struct {
	call   *Call // nil: the core's own, or its caller has given up
	number uint64
	kind   CallKind
	own    ownKind
	place  place

	op      wire.ClusterOp // of the core's own
	request uint64         // of a Lock that was proposed
	hold    *hold          // of a Lock: what was granted. Of Unlock and Extend: what it is about

	// The result, from when it was counted.
	index  uint64
	code   Code
	answer []byte     // of a service
	until  clock.Time // of Extend
	once   bool       // of a Lock that has counted, was over too soon, and is proposed anew

	next *slot // of the free list
}

// proposed reports whether the operation may have happened, or may yet.
func (s *slot) proposed() bool { return s.once || s.place >= offered && s.place <= counted }

// place is where a slot is.
type place uint8

const (
	nowhere place = iota
	queued        // not proposed yet, or dropped by everybody: it did not happen
	offered       // given to the ring, and not delivered yet
	doubted       // in the tail, or kept by a learner
	inLine        // a Lock that waits for its grant
	counted       // it has a result, and a quorum's disks do not have it yet
	asking        // it is not proposed: a linear read, WaitReady, Force
)

// ownKind is what one of the core's own operations is for.
type ownKind uint8

const (
	notOwn  ownKind = iota
	owed            // Unlock or Cancel of what was given up: proposed until it has counted
	duty            // of the leader: what time asks for. It is not proposed again by itself
	ready           // Ready
	exit            // Exit
	yield           // Unlock of the master's lock
	compare         // the answers of services
)

// queue is a first-in first-out list of slots.
type queue struct {
	list []*slot
	head int
}

func (q *queue) len() int       { return len(q.list) - q.head }
func (q *queue) first() *slot   { return q.list[q.head] }
func (q *queue) items() []*slot { return q.list[q.head:] }

func (q *queue) push(s *slot) {
	if q.head > 1024 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, s)
}

func (q *queue) pop() *slot {
	s := q.list[q.head]
	q.list[q.head] = nil
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return s
}

// again puts slots before all others, in their order.
func (q *queue) again(s []*slot) {
	if len(s) <= q.head {
		q.head -= len(s)
		copy(q.list[q.head:], s)
		return
	}
	q.list, q.head = append(append(make([]*slot, 0, len(s)+q.len()), s...), q.items()...), 0
}

// empty takes all slots out.
func (q *queue) empty() []*slot {
	s := q.items()
	*q = queue{}
	return s
}

// take is a fresh slot.
func (c *Core) take() *slot {
	s := c.spare
	if s == nil {
		return new(slot)
	}
	c.spare = s.next
	*s = slot{}
	return s
}

// release takes back a slot that is in no place any more.
func (c *Core) release(s *slot) {
	if s.request != 0 {
		delete(c.requests, s.request)
	}
	*s = slot{next: c.spare}
	c.spare = s
}
