package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// slot is one datagram of a ring. Its buffer begins with a canonical header and a Data; the Ring
// behind that may be another ring's, when the datagram was recovered.
type slot struct {
	buf       *buf.Buf // nil: not held
	seq       uint64
	origin    uint8 // its place among the ring's members
	by        uint8 // the place of who sent it last, as far as this member saw
	safe      bool
	recovered bool   // carries a datagram of an older ring, and nothing for the application
	queued    bool   // of an old ring: waits to be sent again in recovery
	again     uint8  // how often it was sent again, by this member or, as far as it saw that, another
	visit     uint16 // tokens.visits then
	received  clock.Time
}

// ring is what a member holds of one ring: the one that it is in or that is being formed, or the
// old one, whose messages are kept until the next is installed.
type ring struct {
	id      wire.RingID
	key     wire.RingKey
	members idSet
	me      int // this member's place

	slots []slot // slots[seq&mask], for seq in (discarded, discarded+len(slots)]
	mask  uint64

	high      uint64 // highest number seen
	aru       uint64 // all received up to
	delivered uint64
	stable    uint64 // all members have received up to
	discarded uint64
}

func newRing(size int) *ring {
	return &ring{slots: make([]slot, size), mask: uint64(size) - 1}
}

// begin makes r a ring without messages.
func (r *ring) begin(id wire.RingID, members *idSet, self wire.MemberID) {
	r.drop()
	r.id, r.key, r.members = id, id.Key(), *members
	r.me, _ = members.index(self)
	r.high, r.aru, r.delivered, r.stable, r.discarded = 0, 0, 0, 0, 0
}

// place is id's among the ring's members; guess is where it often is.
func (r *ring) place(id wire.MemberID, guess uint8) (i int, ok bool) {
	if i = int(guess); i < r.members.n && r.members.ids[i] == id {
		return i, true
	}
	return r.members.index(id)
}

// at is datagram seq; nil when it is not held.
func (r *ring) at(seq uint64) *slot {
	if s := &r.slots[seq&r.mask]; s.buf != nil && s.seq == seq {
		return s
	}
	return nil
}

// accepts reports whether datagram seq is new and within the window.
func (r *ring) accepts(seq uint64) bool {
	return seq > max(r.delivered, r.stable) && seq <= r.discarded+uint64(len(r.slots)) && r.at(seq) == nil
}

// put holds a datagram that accepts has judged. The ring owns the reference.
func (r *ring) put(s slot) {
	t := &r.slots[s.seq&r.mask]
	if t.buf != nil {
		t.buf.Release() // of a number that was discarded: cannot happen
	}
	*t = s
	r.high = max(r.high, s.seq)
	for r.aru < r.high && r.at(r.aru+1) != nil {
		r.aru++
	}
}

// discard gives up all datagrams up to seq.
func (r *ring) discard(seq uint64) {
	for r.discarded < seq {
		r.discarded++
		if s := &r.slots[r.discarded&r.mask]; s.buf != nil && s.seq == r.discarded {
			s.buf.Release()
			s.buf = nil
		}
	}
}

// drop gives up all datagrams.
func (r *ring) drop() {
	if r.high == 0 {
		return
	}
	for i := range r.slots {
		if s := &r.slots[i]; s.buf != nil {
			s.buf.Release()
			*s = slot{}
		}
	}
}

// recount finds aru and high from what is held.
func (r *ring) recount() {
	r.aru = max(r.delivered, r.stable, r.discarded)
	r.high = r.aru
	for seq := r.discarded + 1; seq <= r.discarded+uint64(len(r.slots)); seq++ {
		if r.at(seq) != nil {
			r.high = max(r.high, seq)
		}
	}
	for r.aru < r.high && r.at(r.aru+1) != nil {
		r.aru++
	}
}

// bound is the highest number that was delivered or is known to be stable.
func (r *ring) bound() uint64 { return max(r.delivered, r.stable) }
