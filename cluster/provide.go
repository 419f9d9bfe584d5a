package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A provider answers learners: with the state at a cut, in chunks, or with the operations that lead to one.

// Bounds of a provider.
const (
	chunkBytes  = 64 << 10         // of entries in a chunk, and of operations in another answer
	chunkWindow = 8                // answers to one learner that are under way
	oldCuts     = 2                // cuts of primaries that are over
	oldCutLives = 10 * time.Second // without a question for it
	sendAgain   = time.Millisecond // after the pair had no room
)

// providing is a provider's part.
type providing struct {
	cut     *Cut // the state right after the establishment of the present primary; nil: nobody has to learn it any more
	at      position
	old     []oldCut // of earlier primaries
	streams []*stream
	next    int        // the stream whose turn it is
	cuts    []*Cut     // those that hold something of services
	wake    clock.Time // a pair had no room, or the pace says so; 0: not
	pace    pace
}

// oldCut is a cut that outlives its primary.
type oldCut struct {
	*Cut
	asked clock.Time // 0: not here
	until clock.Time
}

// stream is the answers to one question of one member.
type stream struct {
	to     wire.MemberID
	fetch  wire.ClusterFetch
	sent   uint32 // answers
	ended  bool   // the last one was sent
	cut    *Cut   // of a state
	own    bool   // it was made for this stream
	at     position
	part   uint32
	from   uint64 // in the part; of a service, an offset
	hosted int    // once the parts are through: which service of the cut
	unsent []byte // an answer that the pair had no room for
	asked  clock.Time
	said   clock.Time // when it said last that a part is being made
}

// begin keeps the state for those of a new primary that do not have it.
func (p *providing) begin(now clock.Time, s *State) {
	p.at = s.position
	p.cut = nil
	if slices.ContainsFunc(s.Members(), func(m Member) bool { return !m.Ready }) {
		p.cut = p.take(now, s)
	}
	p.collect()
}

// take is a cut of the present state.
func (p *providing) take(now clock.Time, s *State) *Cut {
	cut := s.Cut(now)
	if len(cut.hosted) > 0 {
		p.cuts = append(p.cuts, cut)
	}
	return cut
}

// collect gives back cuts that nobody has any more.
func (p *providing) collect() {
	p.cuts = slices.DeleteFunc(p.cuts, func(cut *Cut) bool {
		if cut == p.cut || slices.ContainsFunc(p.old, func(o oldCut) bool { return o.Cut == cut }) ||
			slices.ContainsFunc(p.streams, func(s *stream) bool { return s.cut == cut }) {
			return false
		}
		cut.drop()
		return true
	})
}

// end takes in that the ring has ended. A cut that a learner may have begun to fetch is kept for it, also where it asked
// somebody else.
func (p *providing) end(now clock.Time) {
	if p.cut != nil {
		o := oldCut{Cut: p.cut, until: now.Add(oldCutLives)}
		for _, s := range p.streams {
			if s.cut == p.cut {
				o.asked = now
			}
		}
		if p.old = append(p.old, o); len(p.old) > oldCuts {
			first := slices.MinFunc(p.old, func(a, b oldCut) int { return cmp.Compare(a.asked, b.asked) })
			p.old = slices.DeleteFunc(p.old, func(o oldCut) bool { return o.Cut == first.Cut })
		}
	}
	p.streams, p.cut, p.wake, p.pace = nil, nil, 0, pace{}
	p.collect()
}

// onFetch takes a question.
func (c *Core) onFetch(now clock.Time, from wire.MemberID, body []byte) bool {
	f := wire.ClusterFetch{}
	p := &c.provide
	if wire.ParseClusterPart(body, &f) != nil || c.place(from) < 0 || from == c.cfg.Self || c.phase != Complete && c.phase != Claiming {
		c.stats.Ignored++
		return false
	}
	i := slices.IndexFunc(p.streams, func(s *stream) bool { return s.to == from })
	if i < 0 {
		p.streams = append(p.streams, &stream{to: from})
		i = len(p.streams) - 1
	}
	s := p.streams[i]
	s.asked = now
	if s.fetch.Number == f.Number {
		s.fetch.Most = max(s.fetch.Most, min(f.Most, s.sent+chunkWindow))
		return true
	}
	f.Most = min(f.Most, chunkWindow)
	*s = stream{to: from, fetch: f, cut: s.cut, own: s.own, at: position{index: f.Index, hash: f.Hash}, part: f.Part, from: f.From, hosted: -1, asked: now}
	return true
}

// workProvider sends one answer. more reports whether another one can go in the next turn.
func (c *Core) workProvider(now clock.Time) (more bool) {
	p := &c.provide
	if c.phase != Complete || c.transitional {
		return false
	}
	if p.cut != nil || len(p.old) > 0 || len(p.streams) > 0 {
		c.tidy(now)
	}
	if len(p.streams) == 0 {
		p.wake = 0
		return false
	}
	if now < p.wake {
		return false
	}
	p.wake = 0
	for range p.streams {
		p.next = (p.next + 1) % len(p.streams)
		s := p.streams[p.next]
		if s.ended || s.sent >= s.fetch.Most {
			continue
		}
		if s.unsent == nil {
			c.answerFetch(now, s)
		}
		if s.unsent == nil {
			continue
		}
		if !c.cfg.Pairs.Send(now, s.to, s.unsent) {
			p.wake = now.Add(sendAgain)
			continue
		}
		s.unsent = nil
		s.sent++
		c.stats.ChunksServed++
		if gap := p.pace.sent(); gap > 0 {
			p.wake = now.Add(gap)
			return false
		}
		return true
	}
	return false
}

// tidy forgets what nobody needs: cuts, once all members are ready, and streams of members that are gone.
func (c *Core) tidy(now clock.Time) {
	p := &c.provide
	p.streams = slices.DeleteFunc(p.streams, func(s *stream) bool {
		m, ok := c.state.Member(s.to)
		return !ok || m.Ready && s.ended || now.Sub(s.asked) > oldCutLives
	})
	if !slices.ContainsFunc(c.state.Members(), func(m Member) bool { return !m.Ready }) {
		p.cut, p.old = nil, nil
		p.collect()
		return
	}
	p.old = slices.DeleteFunc(p.old, func(o oldCut) bool {
		_, reaches := c.history.after(o.Index, o.Hash)
		return !reaches || now > o.until
	})
	p.collect()
}

// answerFetch makes the next answer of a stream; none, where it has to wait.
func (c *Core) answerFetch(now clock.Time, s *stream) {
	f := &s.fetch
	if f.Epoch != c.last.Epoch || f.Chain != c.last.Chain {
		s.ended = true // of another primary: nobody waits for it
		return
	}
	if f.Recent {
		c.answerRecent(s)
		return
	}
	if !c.findCut(now, s) {
		return
	}
	a := wire.ClusterChunk{Number: f.Number, Chain: f.Chain, Epoch: f.Epoch, Part: s.part, From: s.from}
	if s.hosted < 0 && f.Service != "" {
		s.hosted = s.cut.place(f.Service)
	}
	if s.cut == nil || s.hosted >= len(s.cut.hosted) {
		a.Gone, s.ended = true, true
		s.unsent = wire.AppendTransfer(nil, wire.KindChunk, &a)
		return
	}
	if s.hosted >= 0 {
		c.answerService(now, s, &a)
		return
	}
	a.Index, a.Hash, a.Entries, a.Digest = s.cut.Index, s.cut.Hash, s.cut.Entries, s.cut.Digest
	var n int
	a.Data, n, a.Next, a.End = s.cut.Part(c.buf[:0], now, s.part, s.from, chunkBytes)
	if c.buf = a.Data; cap(c.buf) > 4*chunkBytes {
		c.buf = nil // it was one long entry
	}
	a.Count, a.CRC = uint32(n), wire.PartChecksum(a.Data)
	s.from = a.Next
	if a.End {
		s.part, s.from = s.part+1, 0
		if int(s.part) >= s.cut.Parts() {
			s.hosted = 0
			a.Last = len(s.cut.hosted) == 0
		}
		s.ended = a.Last
	}
	s.unsent = wire.AppendTransfer(nil, wire.KindChunk, &a)
}

// stillHere is how often a provider says so while a service's part is being made: less than a fetchTimeout.
const stillHere = 30 * time.Millisecond

// answerService makes the next answer about a service; none, where its part is not made yet.
func (c *Core) answerService(now clock.Time, s *stream, a *wire.ClusterChunk) {
	h := s.cut.hosted[s.hosted]
	a.Index, a.Hash, a.Part, a.Service, a.Next = s.cut.Index, s.cut.Hash, 0, h.name, s.from
	switch {
	case !c.ready(h):
		if now < s.said.Add(stillHere) {
			c.provide.wake = s.said.Add(stillHere)
			return
		}
		s.said = now
	case h.err != nil || s.from > uint64(len(h.bytes)):
		c.sayFailed(now, h)
		a.Gone, s.ended = true, true
	default:
		size := uint64(len(h.bytes))
		a.Entries, a.Digest = size, h.sum
		a.Next = min(size, s.from+chunkBytes)
		a.Data, a.End = h.bytes[s.from:a.Next], a.Next == size
		s.from = a.Next
		if a.End {
			s.hosted, s.from = s.hosted+1, 0
			a.Last = s.hosted == len(s.cut.hosted)
			s.ended = a.Last
		}
	}
	a.CRC = wire.PartChecksum(a.Data)
	s.unsent = wire.AppendTransfer(nil, wire.KindChunk, a)
}

// place is where a service stands in a cut; one more than the last: nowhere. c may be nil.
func (c *Cut) place(service string) int {
	if c == nil {
		return 0
	}
	if i := slices.IndexFunc(c.hosted, func(h *hostedCut) bool { return h.name == service }); i >= 0 {
		return i
	}
	return len(c.hosted)
}

// findCut finds the cut that a stream is about; nil: it is not here. It is false where the stream has to wait.
func (c *Core) findCut(now clock.Time, s *stream) bool {
	f, p := &s.fetch, &c.provide
	if s.sent > 0 {
		return true
	}
	is := func(cut *Cut) bool { return cut != nil && cut.Index == f.Index && cut.Hash == f.Hash }
	switch {
	case f.Anew, f.Index == 0 && (p.cut == nil || c.cfg.defect == presentSnapshot):
		if c.state.Index() < f.Index {
			return false // the learner has kept nothing that would follow on it
		}
		s.cut, s.own = p.take(now, c.state), true
	case f.Index == 0, is(p.cut):
		s.cut, s.own = p.cut, false
	case is(s.cut):
	default:
		s.cut, s.own = nil, false
		for i := range p.old {
			if is(p.old[i].Cut) {
				s.cut, p.old[i].asked, p.old[i].until = p.old[i].Cut, now, now.Add(oldCutLives)
			}
		}
	}
	if s.cut != nil && s.cut.parted {
		s.cut = nil
	}
	return true
}

// answerRecent makes an answer of operations.
func (c *Core) answerRecent(s *stream) {
	f, cut := &s.fetch, &c.provide.at
	a := wire.ClusterRecent{Number: f.Number, Chain: f.Chain, Epoch: f.Epoch, Index: cut.index, Hash: cut.hash}
	steps, ok := c.history.after(s.at.index, s.at.hash)
	if !ok || s.at.index > cut.index {
		a.Gone, s.ended = true, true
	} else {
		bytes := 0
		for i := range steps {
			t := &steps[i]
			if t.index > cut.index || bytes > 0 && bytes+len(t.batch)+stepBytes > chunkBytes {
				break
			}
			bytes += len(t.batch) + stepBytes
			if t.opening != nil {
				bytes += 1024
			}
			a.Entries = append(a.Entries, t.entry())
			s.at.index, s.at.hash = t.index, t.hash
		}
		a.Last = s.at.index == cut.index
		s.ended = a.Last
	}
	s.unsent = wire.AppendTransfer(nil, wire.KindRecent, &a)
}

// Bounds of the pace.
const (
	paceStep = 50 * time.Microsecond
	paceMost = 2 * time.Millisecond // 32 MB a second
)

// pace keeps a provider from slowing down the ring: when the rotation has doubled since before the transfer, the rate of
// answers halves.
type pace struct {
	last    clock.Time // of a visit
	high    uint64
	measure time.Duration // a rotation, smoothed
	base    time.Duration // what it was without a transfer; 0: not measured
	gap     time.Duration // between two answers
	answers int           // since the last visit of measure
}

// visit measures a rotation. One in which nothing was sent says nothing: the token rests.
func (p *pace) visit(now clock.Time, high uint64) {
	if p.last != 0 && high > p.high {
		r := now.Sub(p.last)
		if p.measure == 0 {
			p.measure = r
		}
		p.measure += (r - p.measure) / 16
		if p.answers == 0 {
			if p.base == 0 {
				p.base = p.measure
			}
			p.base += (p.measure - p.base) / 16
		} else {
			p.base = min(p.base, p.measure)
			p.answers--
		}
	}
	p.last, p.high = now, high
}

// sent says how long the next answer has to wait.
func (p *pace) sent() time.Duration {
	p.answers = 16
	switch {
	case p.base == 0:
		return 0
	case p.measure > 2*p.base:
		p.gap = min(max(2*p.gap, 4*paceStep), paceMost)
	default:
		if p.gap -= p.gap / 4; p.gap < paceStep {
			p.gap = 0
		}
	}
	return p.gap
}
