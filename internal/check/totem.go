package check

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Rings runs the checkers of Totem's safety properties, TO-1 to TO-18, and TO-23 to TO-25. With settled the
// run has ended quietly, so that what is owed at the end is judged too (TO-8, TO-9 and TO-10), and
// TO-20 and TO-21 for what came after RingLog.Settle.
func Rings(l *RingLog, settled bool) []Violation {
	c := &ringChecker{l: l, byRing: map[wire.RingID]*ringFacts{}}
	c.collect()
	all := c.walk()
	all = append(all, c.segments()...)
	if settled {
		all = append(all, c.together()...)
		all = append(all, c.owed()...)
		all = append(all, c.progress()...)
	}
	ids := make([]string, 0, len(l.online))
	for id := range l.online {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		all = append(all, l.online[id]...)
	}
	return all
}

// ringFacts is what is known of one ring.
type ringFacts struct {
	members []wire.MemberID // of its regular configuration; nil: no process installed it
	numbers []number        // ascending by seq
}

// find is the place of datagram seq, or where it would be.
func (f *ringFacts) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(f.numbers, seq, func(n number, s uint64) int { return cmp.Compare(n.seq, s) })
}

type ringChecker struct {
	l      *RingLog
	byRing map[wire.RingID]*ringFacts
	early  reports

	// Segments of each process, one for each regular configuration.
	segs [][]segment
	safe []promise
}

// segment is what one process delivered in one regular configuration and the transitional one
// that followed.
type segment struct {
	ring, next   wire.RingID
	at           int // the record of the regular view
	trans        []wire.MemberID
	regular, end uint64 // hashes of what was delivered
	closed       bool   // the next regular configuration was installed
}

// arrival is when a safe message was handed over in a regular configuration for the first time, in which record, or -1;
// and when the last member received it.
type arrival struct {
	at, last clock.Time
	first    int
}

// promise is a safe message that a process delivered, and the members that have to deliver it.
type promise struct {
	from    Proc
	number  uint64
	members []wire.MemberID
	at      int
}

func (c *ringChecker) facts(id wire.RingID) *ringFacts {
	f := c.byRing[id]
	if f == nil {
		f = &ringFacts{}
		c.byRing[id] = f
	}
	return f
}

// collect sorts what was sequenced. TO-3: one number, one message.
func (c *ringChecker) collect() {
	c.early.log = c.l
	for id, list := range c.l.numbers {
		f := c.facts(id)
		f.numbers = slices.Clone(list)
		slices.SortStableFunc(f.numbers, func(a, b number) int { return cmp.Compare(a.seq, b.seq) })
		for i := 1; i < len(f.numbers); i++ {
			if a, b := &f.numbers[i-1], &f.numbers[i]; a.seq == b.seq {
				c.early.add("TO-3", -1, "number %d of ring %s is %s's and %s's", a.seq, ringName(id), c.l.procName(a.proc), c.l.procName(b.proc))
			}
		}
	}
}

// procState is where a walk over the log stands with one process.
type procState struct {
	ring    wire.RingID // of the last regular view
	hasRing bool
	trans   *RingRecord // the transitional view since then
	left    bool        // it left Operational, and no transitional view came since
	top     uint64      // highest ring sequence installed
	late    int         // the first record since it left that hands something over
	handed  []uint64    // datagrams of ring, in order
	regular int         // index in facts.numbers of what has to come next in the regular phase
	message []uint64    // by process: highest message delivered
	hash    uint64
	regHash uint64
}

// walk checks everything that a single pass can.
func (c *ringChecker) walk() []Violation {
	l := c.l
	r := c.early
	states := make([]procState, len(l.Procs))
	c.segs = make([][]segment, len(l.Procs))
	seen := make([]map[int64]bool, len(l.Procs)) // (from, number) delivered: TO-4
	where := map[int64]wire.RingID{}             // TO-5: the ring that a message was ordered in
	got := map[int64]arrival{}                   // TO-24
	for i := range states {
		states[i].message = make([]uint64, len(l.Procs))
		seen[i] = map[int64]bool{}
	}
	for i := range l.Records {
		d := &l.Records[i]
		s := &states[d.Proc]
		switch d.Kind {
		case RingView:
			c.view(&r, i, s)
		case RingLeft:
			s.left = true
		case RingHanded:
			if s.left && s.late == 0 {
				s.late = i // it belongs to the installation of the next ring, or is wrong
			}
			if !s.hasRing || d.Ring != s.ring {
				r.add("TO-5", i, "not of the configuration that is being delivered")
				continue
			}
			c.handed(&r, i, s)
		case RingDelivered:
			sent := l.message(d.From, d.Number)
			switch {
			case sent == nil:
				r.add("TO-1", i, "no process sent this message")
				continue
			case sent.Hash != d.Hash || sent.Length != d.Length:
				r.add("TO-1", i, "the bytes are not those that were sent")
			}
			key := int64(d.From)<<40 | int64(d.Number)
			if seen[d.Proc][key] {
				r.add("TO-4", i, "delivered before")
			}
			seen[d.Proc][key] = true
			if d.Number <= s.message[d.From] {
				r.add("TO-13", i, "behind message %d", s.message[d.From])
			}
			s.message[d.From] = max(s.message[d.From], d.Number)
			if w, ok := where[key]; ok && w != d.Ring {
				r.add("TO-5", i, "another process delivered it as one of ring %s", ringName(w))
			}
			where[key] = d.Ring
			s.hash = mix(mix(s.hash, uint64(key)), d.Hash)
			c.origin(&r, i)
			if sent.Safe {
				members := c.facts(s.ring).members
				if s.trans != nil {
					members = s.trans.Members
				}
				c.safe = append(c.safe, promise{d.From, d.Number, members, i})
				g, ok := got[key]
				if s.trans == nil && (!ok || g.first < 0 || d.At < g.at) {
					g.at, g.first = d.At, i
				} else if !ok {
					g.first = -1
				}
				g.last = max(g.last, d.Got)
				got[key] = g
			}
		}
	}
	for _, g := range got {
		if g.first >= 0 && g.last > g.at {
			r.add("TO-24", g.first, "a member received it only at %v", g.last.Sub(0))
		}
	}
	for p := range states {
		c.seal(Proc(p), &states[p], wire.RingID{}, false)
	}
	return r.done()
}

// view checks a configuration: TO-2, TO-11, TO-14, TO-15.
func (c *ringChecker) view(r *reports, i int, s *procState) {
	l := c.l
	d := &l.Records[i]
	self := l.Procs[d.Proc].Member
	if !slices.Contains(d.Members, self) {
		r.add("TO-11", i, "it is not in its own configuration")
	}
	if !d.Regular {
		if s.trans != nil {
			r.add("TO-15", i, "a second transitional configuration")
		}
		if s.late > 0 && l.Records[s.late].At != d.At {
			r.add("TO-18", s.late, "delivered outside of Operational")
		}
		s.trans, s.left, s.late = d, false, 0
		s.regHash, s.hash = s.hash, 0
		return
	}
	if s.trans == nil || s.trans.Ring != d.Ring || s.trans.Old != d.Old {
		r.add("TO-15", i, "no transitional configuration before it")
	} else if !s.hasRing && !slices.Equal(s.trans.Members, []wire.MemberID{self}) {
		r.add("TO-12", i, "nobody else comes from where it began")
	}
	f := c.facts(d.Ring)
	if f.members == nil {
		f.members = d.Members
		nodes := map[int]bool{}
		for _, m := range d.Members {
			p := l.ProcOf(m)
			if p < 0 {
				continue
			}
			if nodes[l.Procs[p].Node] {
				r.add("TO-14", i, "two starts of one node")
			}
			nodes[l.Procs[p].Node] = true
		}
	} else if !slices.Equal(f.members, d.Members) {
		r.add("TO-2", i, "the same ring with other members")
	}
	if d.Ring.Seq <= s.top {
		r.add("TO-2", i, "ring sequences do not increase")
	}
	if s.hasRing && s.ring != d.Old {
		r.add("TO-5", i, "the old ring is not the one before")
	}
	c.seal(d.Proc, s, d.Ring, true)
	*s = procState{ring: d.Ring, hasRing: true, top: d.Ring.Seq, message: s.message}
	c.segs[d.Proc] = append(c.segs[d.Proc], segment{ring: d.Ring, at: i})
}

// seal ends the last segment of a process.
func (c *ringChecker) seal(p Proc, s *procState, next wire.RingID, closed bool) {
	list := c.segs[p]
	if len(list) == 0 {
		return
	}
	g := &list[len(list)-1]
	g.next, g.closed, g.regular = next, closed, s.hash
	if s.trans != nil {
		g.trans, g.regular, g.end = s.trans.Members, s.regHash, s.hash
	}
}

// handed checks the order of datagrams: TO-6, TO-7.
func (c *ringChecker) handed(r *reports, i int, s *procState) {
	d := &c.l.Records[i]
	f := c.facts(d.Ring)
	if n := len(s.handed); n > 0 && d.Seq <= s.handed[n-1] {
		r.add("TO-6", i, "behind number %d", s.handed[n-1])
		return
	}
	at, ok := f.find(d.Seq)
	if !ok {
		r.add("TO-1", i, "no process sent this datagram")
		return
	}
	if s.trans == nil {
		if at != s.regular {
			r.add("TO-6", i, "a hole in a regular configuration before it")
		}
		s.regular = at + 1
	}
	// What its sender had delivered when it sent it comes first.
	before, exact := f.find(f.numbers[at].position)
	if exact {
		before++
	}
	have, exact := slices.BinarySearch(s.handed, f.numbers[at].position)
	if exact {
		have++
	}
	if have != before {
		r.add("TO-7", i, "%d of %d datagrams came before it that its sender had delivered", have, before)
	}
	s.handed = append(s.handed, d.Seq)
}

// origin checks that a message is part of the datagram that it was delivered from, and of that
// ring from its first part on: TO-3, TO-23.
func (c *ringChecker) origin(r *reports, i int) {
	d := &c.l.Records[i]
	f := c.facts(d.Ring)
	at, ok := f.find(d.Seq)
	if !ok {
		return
	}
	n := &f.numbers[at]
	switch {
	case n.proc != d.From || n.part == 0 && (d.Number < n.first || d.Number >= n.first+uint64(n.count)) || n.part > 0 && d.Number != n.first:
		r.add("TO-3", i, "number %d is another message", d.Seq)
	case n.part > 0:
		// Walk back to its first part.
		want := n.part - 1
		for j := at - 1; j >= 0 && want > 0; j-- {
			if m := &f.numbers[j]; m.proc == n.proc && m.part == want && m.first == n.first {
				want--
			}
		}
		if want > 0 {
			r.add("TO-23", i, "its first parts were ordered in another ring")
		}
	}
}

// segments compares what processes delivered that went together: TO-9, TO-12.
//
// A transitional set is what its members knew when they installed the ring: those of the commit
// token that came from the same ring. One of them may have crashed before it installed, or its
// recovery may have failed, so that it went on from the same ring to another one (docs/totem.md,
// 9.4 and 9.5). Everything else is a violation: that it was never in the old ring, or that it
// installed the new one and came from elsewhere.
func (c *ringChecker) segments() []Violation {
	r := reports{log: c.l}
	type pair struct{ a, b wire.RingID }
	first := map[pair]struct {
		p Proc
		g *segment
	}{}
	for p := range c.segs {
		for j := range c.segs[p] {
			g := &c.segs[p][j]
			if !g.closed {
				continue
			}
			for _, m := range g.trans {
				if !slices.Contains(c.facts(g.ring).members, m) || !slices.Contains(c.facts(g.next).members, m) {
					r.add("TO-12", g.at, "a transitional member that is in only one of the configurations")
				}
				c.transitional(&r, g, m)
			}
			o, ok := first[pair{g.ring, g.next}]
			if !ok {
				first[pair{g.ring, g.next}] = struct {
					p Proc
					g *segment
				}{Proc(p), g}
				continue
			}
			if !slices.Equal(o.g.trans, g.trans) {
				r.add("TO-9", g.at, "other transitional members than %s", c.l.procName(o.p))
			}
			if o.g.regular != g.regular {
				r.add("TO-9", g.at, "delivered otherwise than %s in the regular configuration", c.l.procName(o.p))
			}
			if o.g.end != g.end {
				r.add("TO-9", g.at, "delivered otherwise than %s in the transitional configuration", c.l.procName(o.p))
			}
			if !slices.Contains(o.g.trans, c.l.Procs[p].Member) {
				r.add("TO-12", g.at, "it went along, and is not in the transitional configuration of %s", c.l.procName(o.p))
			}
		}
	}
	return r.done()
}

// transitional looks where a transitional member of g came from: TO-12.
func (c *ringChecker) transitional(r *reports, g *segment, m wire.MemberID) {
	q := c.l.ProcOf(m)
	if q < 0 {
		r.add("TO-12", g.at, "a transitional member that was never started")
		return
	}
	list := c.segs[q]
	i := slices.IndexFunc(list, func(s segment) bool { return s.ring == g.ring })
	if i < 0 {
		r.add("TO-12", g.at, "%s is a transitional member, and was never in the old ring", c.l.procName(q))
		return
	}
	if j := slices.IndexFunc(list, func(s segment) bool { return s.ring == g.next }); j >= 0 && j != i+1 {
		r.add("TO-12", g.at, "%s is a transitional member, and came from another ring", c.l.procName(q))
	}
}

// owed checks what must have happened by the end: TO-8, TO-10.
func (c *ringChecker) owed() []Violation {
	l := c.l
	r := reports{log: l}
	delivered := make([]map[int64]bool, len(l.Procs))
	for p := range delivered {
		delivered[p] = map[int64]bool{}
	}
	for i := range l.Records {
		if d := &l.Records[i]; d.Kind == RingDelivered && d.From >= 0 {
			delivered[d.Proc][int64(d.From)<<40|int64(d.Number)] = true
		}
	}
	for _, s := range c.safe {
		for _, m := range s.members {
			if p := l.ProcOf(m); p >= 0 && l.Procs[p].Ended == 0 && !delivered[p][int64(s.from)<<40|int64(s.number)] {
				r.add("TO-8", s.at, "%s never delivered it", l.procName(p))
			}
		}
	}
	for p := range l.Procs {
		if l.Procs[p].Ended != 0 {
			continue
		}
		for n := range l.sent[p] {
			if !delivered[p][int64(p)<<40|int64(n+1)] {
				r.add("TO-10", int(l.sent[p][n]), "it never delivered this message of its own")
			}
		}
	}
	return r.done()
}
