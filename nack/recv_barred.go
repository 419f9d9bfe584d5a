package nack

import (
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// maxBarred is how many members may be barred: as many as a group has in its table, and as many as it
// remembers of those that it removed.
const maxBarred = 1024 + 4096

// BarredBytes is what they take. The first Forget with a bar allocates it.
const BarredBytes = maxBarred * 3 * len(wire.MemberID{})

// barred is the set of members whose datagrams are refused.
type barred struct {
	known map[wire.MemberID]struct{}
	order []wire.MemberID // the one that was barred first comes first
}

// has reports whether a member is barred.
func (b *barred) has(m wire.MemberID) bool {
	if len(b.order) == 0 {
		return false
	}
	_, ok := b.known[m]
	return ok
}

// add bars a member. When the set is full, the member that was barred first goes.
func (b *barred) add(m wire.MemberID) {
	if b.has(m) {
		return
	}
	if b.known == nil {
		b.known = make(map[wire.MemberID]struct{}, maxBarred)
		b.order = make([]wire.MemberID, 0, maxBarred)
	}
	if len(b.order) == maxBarred {
		b.remove(b.order[0])
	}
	b.known[m] = struct{}{}
	b.order = append(b.order, m)
}

func (b *barred) remove(m wire.MemberID) {
	if b.has(m) {
		delete(b.known, m)
		i := slices.Index(b.order, m)
		b.order = slices.Delete(b.order, i, i+1)
	}
}

// Forget drops a member that failed or left: its streams end, and what is missing of them is
// reported as LossSenderGone in its place; it no longer counts as a receiver.
//
// Without bar, should it still be there and go on, so do its streams, and what was missed meanwhile is
// repaired or reported. With bar every datagram of it is refused as DropBarred until Admit. What came
// before, and is complete, is still delivered.
func (p *Protocol) Forget(now clock.Time, member wire.MemberID, bar bool) {
	for _, s := range p.senders {
		delete(s.outcasts, member)
		s.dropReceiver(member, ReceiverLeft)
	}
	for _, s := range p.streams {
		if s.from == member && s.state.open() {
			s.end(now, dormant)
		}
	}
	if bar {
		p.barred.add(member)
	}
}

// Admit ends what Forget with bar began: the member's streams go on with its next datagram, and it may be
// a receiver again. It may report rarely, so receivers are asked.
func (p *Protocol) Admit(now clock.Time, member wire.MemberID) {
	if !p.barred.has(member) {
		return
	}
	p.barred.remove(member)
	for _, s := range p.senders {
		if !p.closed {
			s.beat.send(s, now, true)
		}
	}
}

// Pending reports whether some stream of member holds a message that Sink refused, and so a message that
// is still to be delivered.
func (p *Protocol) Pending(member wire.MemberID) bool {
	for _, s := range p.paused {
		if s.from == member {
			return true
		}
	}
	return false
}

// Heard returns when something of member was last taken in: of a stream that it sends, or a report of it as
// a receiver. It is zero when nothing is known of it. It looks through all streams: it is for a timer, not
// for every datagram.
func (p *Protocol) Heard(member wire.MemberID) (at clock.Time) {
	for _, s := range p.streams {
		if s.from == member {
			at = max(at, s.heard)
		}
	}
	for _, s := range p.senders {
		if r := s.findReceiver(member); r != nil {
			at = max(at, r.heard)
		}
	}
	return at
}

// EachHeard calls f for each stream that is received, with its sender and the time when something of it was last
// taken in.
func (p *Protocol) EachHeard(f func(member wire.MemberID, at clock.Time)) {
	for _, s := range p.streams {
		f(s.from, s.heard)
	}
}
