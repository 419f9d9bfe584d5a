package cluster

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// A learner fetches: the operations that lead from its replica to the cut of the present primary, where its replica is a
// prefix of that history; else the state at a cut, in chunks. It asks one provider at a time. A cut that it has begun to
// fetch may be that of a primary that is over: what follows on it is fetched afterwards.

// fetchTimeout is how long a provider may be silent.
const fetchTimeout = 100 * time.Millisecond

// fetching is what a learner has of a transfer.
type fetching struct {
	on        bool
	opening   *wire.Opening // of the primary that is followed
	cut       position      // right after that
	providers []wire.MemberID
	at        int // the one that is asked

	question  wire.ClusterFetch
	asking    bool // an answer is waited for
	unsent    bool // the question is to be sent
	due       clock.Time
	taken     uint32            // answers to the question that were dealt with
	answers   [][]byte          // bodies of those that were not
	stateless bool              // the replica was found to be no prefix
	anew      bool              // no cut that is kept will do
	steps     []step            // of the last answer, to be counted
	stepsLast bool              // they lead to the cut
	of        wire.ClusterChunk // the cut that is fetched: Index, Hash, Entries, Digest; Index 0: none yet
	builder   *Builder
	part      uint32 // the next chunk
	from      uint64

	// Once all parts of the maps are there, the services'.
	built  *State // not shown to anybody yet
	parts  [][]byte
	place  int    // the service that is fetched
	sum    uint64 // of its bytes up to summed
	summed int
	size   uint64 // that its part has, and its hash; as the first chunk said
	hash   uint64
	begun  bool
}

// beginTransfer begins to fetch what c.ex.d.Opening begins with.
func (c *Core) beginTransfer(now clock.Time) {
	f := &c.fetch
	o := &c.ex.d.Opening
	if f.opening != nil && f.opening.Primary.Chain != o.Primary.Chain {
		f.forget()
	}
	f.on, f.opening, f.stateless, f.anew = true, o, false, false
	f.cut = position{index: o.End, hash: o.Hash}
	f.cut.open(o)
	c.learn.front = f.cut
	f.providers, f.at = c.providers(), 0
	c.ask(now)
}

// providers is who can be asked, the best one first: neither the longest-serving member, which leads, nor the one that would be
// master by its weight; the lowest load; the lowest id.
func (c *Core) providers() []wire.MemberID {
	d := c.ex.d
	type candidate struct {
		id   wire.MemberID
		lead bool
		load uint32
	}
	var list []candidate
	voters := d.Opening.Primary.Voters
	heaviest := int64(math.MinInt64)
	for i := range d.Members {
		if m := &d.Members[i]; m.Current && !m.State.Observer {
			heaviest = max(heaviest, m.State.Weight)
		}
	}
	for i := range d.Members {
		if m := &d.Members[i]; m.Current && m.Member != c.cfg.Self {
			first := len(voters) > 0 && m.HasSeat && m.Seat == voters[0].Seat
			master := m.State.Weight == heaviest && d.oneWeighs(heaviest)
			list = append(list, candidate{m.Member, first || master, m.State.Load})
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		if a.lead != b.lead {
			if a.lead {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.load, b.load), bytes.Compare(a.id[:], b.id[:]))
	})
	ids := make([]wire.MemberID, len(list))
	for i := range list {
		ids[i] = list[i].id
	}
	return ids
}

// oneWeighs reports whether one current member alone has this weight.
func (d *Decision) oneWeighs(weight int64) bool {
	n := 0
	for i := range d.Members {
		if m := &d.Members[i]; m.Current && !m.State.Observer && m.State.Weight == weight {
			n++
		}
	}
	return n == 1
}

// pauseTransfer stops asking: the ring has ended. What was fetched is kept.
func (c *Core) pauseTransfer() {
	f := &c.fetch
	f.on, f.asking, f.unsent = false, false, false
	f.answers, f.steps = nil, nil
}

// forget drops what was fetched of a state.
func (f *fetching) forget() {
	f.of, f.builder, f.part, f.from = wire.ClusterChunk{}, nil, 0, 0
	f.built, f.parts, f.place, f.begun = nil, nil, 0, false
}

// ask begins a question to the provider whose turn it is.
func (c *Core) ask(now clock.Time) {
	f := &c.fetch
	if c.taking != nil {
		f.asking, f.unsent = false, false // when the machines have what they are given
		return
	}
	c.questions++
	p := &f.opening.Primary
	q := wire.ClusterFetch{Number: c.questions, Chain: p.Chain, Epoch: p.Epoch, Most: chunkWindow}
	switch {
	case f.of.Index != 0:
		q.Index, q.Hash, q.Part, q.From = f.of.Index, f.of.Hash, f.part, f.from
		if f.built != nil {
			q.Part, q.Service = 0, f.built.services.list[f.place].name
		}
	case f.anew:
		q.Anew, q.Index, q.Hash = true, c.learn.front.index, c.learn.front.hash
	case c.state != nil && !f.stateless && c.state.Primary().Chain == p.Chain && c.state.Index() <= f.cut.index:
		q.Recent, q.Index, q.Hash = true, c.state.Index(), c.state.Hash()
	}
	f.question, f.taken, f.answers, f.steps = q, 0, nil, nil
	f.asking, f.unsent = true, true
	f.due = now.Add(fetchTimeout)
}

// askNext asks the next provider.
func (c *Core) askNext(now clock.Time) {
	c.fetch.at++
	c.ask(now)
}

// startOver drops what was fetched, and asks the next provider from the beginning.
func (c *Core) startOver(now clock.Time) {
	c.fetch.forget()
	c.askNext(now)
}

// provider is the one that is asked.
func (f *fetching) provider() wire.MemberID {
	if len(f.providers) == 0 {
		return wire.MemberID{}
	}
	return f.providers[f.at%len(f.providers)]
}

// TransferFrom takes a wire message Transfer of a member. False: there is no room for it now, or it is not taken from
// this member; the item is refused. It is lent.
func (c *Core) TransferFrom(now clock.Time, from wire.MemberID, payload []byte) (taken bool) {
	c.begin(now)
	kind, body, err := wire.ParseTransfer(payload)
	if err == nil && kind == wire.KindFetch {
		return c.onFetch(now, from, body)
	}
	f := &c.fetch
	if err != nil || !f.asking || from != f.provider() || len(f.answers) >= chunkWindow || (kind == wire.KindRecent) != f.question.Recent {
		c.stats.Ignored++
		return false
	}
	f.answers = append(f.answers, append([]byte(nil), body...))
	f.due = now.Add(fetchTimeout)
	return true
}

// Work does a bounded part (100 µs or so) of what is long: to serve and take chunks, to apply what a learner has kept. more
// reports whether some is left for the next turn. The engine calls it once a turn in which no token waits.
func (c *Core) Work(now clock.Time) (more bool) {
	c.begin(now)
	if c.phase == Learning && !c.transitional {
		return c.workLearner(now)
	}
	return c.workProvider(now)
}

// workLearner takes one answer, or counts a part of what it has of operations.
func (c *Core) workLearner(now clock.Time) (more bool) {
	f := &c.fetch
	switch {
	case c.taking != nil:
		return false
	case c.learn.fresh:
		return c.workKept(now)
	case len(f.steps) > 0:
		c.workSteps(now)
		f.due = now.Add(fetchTimeout)
		more = true
	case len(f.answers) > 0:
		body := f.answers[0]
		f.answers[0] = nil
		f.answers = f.answers[1:]
		if f.question.Recent {
			c.takeRecent(now, body)
		} else {
			c.takeChunk(now, body)
		}
		f.due = now.Add(fetchTimeout)
		more = true
	}
	if f.asking && f.question.Most-f.taken <= chunkWindow/2 {
		f.question.Most = f.taken + chunkWindow
		f.unsent = true
	}
	return c.sendQuestion(now) || more
}

func (c *Core) sendQuestion(now clock.Time) (sent bool) {
	f := &c.fetch
	if !f.asking || !f.unsent {
		return false
	}
	if sent = c.cfg.Pairs.Send(now, f.provider(), wire.AppendTransfer(nil, wire.KindFetch, &f.question)); sent {
		f.unsent = false
	}
	return sent
}

// isAnswer reports whether an answer is one to the present question.
func (c *Core) isAnswer(number uint64, chain wire.Chain, epoch uint64) bool {
	q := &c.fetch.question
	if number != q.Number {
		return false // to an earlier one
	}
	c.fetch.taken++
	if chain != q.Chain || epoch != q.Epoch {
		c.stats.Ignored++
		return false
	}
	return true
}

// takeChunk takes a range of the state.
func (c *Core) takeChunk(now clock.Time, body []byte) {
	var a wire.ClusterChunk
	f := &c.fetch
	if wire.ParseClusterPart(body, &a) != nil {
		c.stats.Ignored++
		c.askNext(now)
		return
	}
	if !c.isAnswer(a.Number, a.Chain, a.Epoch) {
		return
	}
	if a.Gone {
		c.startOver(now)
		return
	}
	if f.of.Index == 0 && a.Service == "" {
		if a.Index < c.learn.front.index || a.Index == f.cut.index && a.Hash != f.cut.hash {
			c.startOver(now) // what was kept does not follow on it
			return
		}
		f.builder = NewBuilder()
		f.of = wire.ClusterChunk{Index: a.Index, Hash: a.Hash, Entries: a.Entries, Digest: a.Digest}
	}
	if a.Service != "" {
		c.takeService(now, &a)
		return
	}
	switch {
	case f.built != nil, a.Index != f.of.Index || a.Hash != f.of.Hash || a.Entries != f.of.Entries || a.Digest != f.of.Digest,
		a.Part != f.part || a.From != f.from || !a.End && a.Next <= a.From || a.Last && !a.End,
		a.CRC != wire.PartChecksum(a.Data):
		c.stats.Ignored++
		c.askNext(now)
		return
	}
	before := f.builder.Entries()
	if err := f.builder.Add(now, a.Part, a.Data); err != nil || f.builder.Entries()-before != uint64(a.Count) {
		c.stats.Ignored++
		c.startOver(now)
		return
	}
	f.from = a.Next
	if a.End {
		f.part, f.from = f.part+1, 0
	}
	if c.lacks(now, f.builder.state) {
		return
	}
	if !a.End || f.builder.Parts() == 0 || int(f.part) < f.builder.Parts() {
		if a.Last {
			c.stats.Ignored++
			c.startOver(now)
		}
		return
	}
	s, err := f.builder.State(f.of.Digest)
	if err != nil || s.Index() != f.of.Index || s.Hash() != f.of.Hash || uint64(s.Size().Entries) != f.of.Entries || s.Primary().Chain != a.Chain {
		c.stats.Ignored++
		c.startOver(now)
		return
	}
	f.built, f.builder, f.place, f.from = s, nil, 0, 0
	f.parts = make([][]byte, len(s.services.list))
	c.nextService(now)
}

// lacks ends a transfer of a state in which a service is in force that this member does not have. It is false where none is, or
// where this member only watches.
func (c *Core) lacks(now clock.Time, s *State) bool {
	if s == nil || c.cfg.Observer {
		return false
	}
	for _, h := range s.services.list {
		if !slices.ContainsFunc(c.cfg.Services, func(o Service) bool { return o.Name == h.name }) {
			c.fetch.forget()
			c.pauseTransfer()
			c.unsupported(now, fmt.Sprintf("service %q is in force in the cluster, and this member does not have it", h.name))
			return true
		}
	}
	return false
}

// nextService goes on with the next service that this member has; with none the state is complete.
func (c *Core) nextService(now clock.Time) {
	f := &c.fetch
	list := f.built.services.list
	for f.place < len(list) && !slices.ContainsFunc(c.cfg.Services, func(o Service) bool { return o.Name == list[f.place].name }) {
		f.place++
	}
	f.from, f.sum, f.summed, f.begun = 0, 0, 0, false
	if f.place < len(list) {
		return
	}
	s, parts := f.built, f.parts
	f.forget()
	f.asking = false
	c.beginRestore(now, s, parts)
}

// takeService takes a range of a service's part.
func (c *Core) takeService(now clock.Time, a *wire.ClusterChunk) {
	f := &c.fetch
	if f.built == nil || a.Index != f.of.Index || a.Hash != f.of.Hash || a.CRC != wire.PartChecksum(a.Data) {
		c.stats.Ignored++
		c.askNext(now)
		return
	}
	h := f.built.services.list[f.place]
	switch {
	case a.Service < h.name:
		return // one that this member passes over
	case !a.End && len(a.Data) == 0 && a.Service == h.name:
		return // it is being made
	case !f.begun:
		f.size, f.hash, f.begun = a.Entries, a.Digest, true
	}
	end := a.From + uint64(len(a.Data))
	if a.Service != h.name || a.From != f.from || a.Next != end || a.Entries != f.size || a.Digest != f.hash || end > f.size || a.End != (end == f.size) {
		c.stats.Ignored++
		c.startOver(now) // of another state, though the cut is the same
		return
	}
	b := append(f.parts[f.place], a.Data...)
	for ; len(b)-f.summed > sumBlock; f.summed += sumBlock {
		f.sum = trie.Digest(f.sum, b[f.summed:f.summed+sumBlock])
	}
	f.parts[f.place], f.from = b, end
	if !a.End {
		return
	}
	if trie.Digest(f.sum, b[f.summed:]) != f.hash {
		c.stats.Ignored++
		c.startOver(now)
		return
	}
	f.place++
	c.nextService(now)
}

// takeRecent takes operations that follow on the replica.
func (c *Core) takeRecent(now clock.Time, body []byte) {
	var a wire.ClusterRecent
	f := &c.fetch
	if wire.ParseClusterPart(body, &a) != nil {
		c.stats.Ignored++
		c.askNext(now)
		return
	}
	if !c.isAnswer(a.Number, a.Chain, a.Epoch) {
		return
	}
	if a.Gone {
		f.stateless = true
		c.ask(now)
		return
	}
	index := c.state.Index()
	for i := range a.Entries {
		e := &a.Entries[i]
		if e.Index <= index || e.Index > f.cut.index || e.Opening != nil && e.Opening.Primary.Chain != a.Chain {
			c.stats.Ignored++
			c.askNext(now)
			return
		}
		index = e.Index
	}
	if a.Index != f.cut.index || a.Hash != f.cut.hash || a.Last != (index == f.cut.index) {
		c.stats.Ignored++
		c.askNext(now)
		return
	}
	for i := range a.Entries {
		e := &a.Entries[i]
		f.steps = append(f.steps, step{index: e.Index, hash: e.Hash, by: e.Member, batch: e.Batch, opening: e.Opening, received: now})
	}
	if f.stepsLast = a.Last; a.Last && len(a.Entries) == 0 {
		c.caughtUp(now)
	}
}

// workSteps counts a part of the operations of an answer.
func (c *Core) workSteps(now clock.Time) {
	f := &c.fetch
	for cost := 0; cost < learnSlice && len(f.steps) > 0; {
		s := f.steps[0]
		f.steps[0] = step{}
		f.steps = f.steps[1:]
		cost += len(s.batch) + stepBytes
		c.learn.partial = true
		c.apply(now, &s)
		if c.lacks(now, c.state) {
			c.replace(now, nil)
			return
		}
		if c.state.Index() != s.index || c.state.Hash() != s.hash {
			c.stats.HashMismatches++
			c.warn(now, Warn, f.provider(), "operations that it sent do not lead to where it said: the replica is dropped, and the state is fetched")
			c.replace(now, nil)
			c.startOver(now)
			return
		}
	}
	if len(f.steps) == 0 && f.stepsLast {
		c.caughtUp(now)
	}
}

// caughtUp ends a question for operations: the replica is at the cut.
func (c *Core) caughtUp(now clock.Time) {
	c.fetch.asking = false
	c.learned(now)
}

// silent reports whether the provider has not answered, so that the time counts until another one is asked.
func (f *fetching) silent() bool { return f.on && f.asking && len(f.answers) == 0 && len(f.steps) == 0 }

// tickLearning asks the next provider when one is silent.
func (c *Core) tickLearning(now clock.Time) {
	if f := &c.fetch; f.silent() && now >= f.due {
		c.askNext(now)
	}
}

// nextLearning is when tickLearning, or Work, has something to do.
func (c *Core) nextLearning() (at clock.Time, ok bool) {
	f := &c.fetch
	at, ok = f.due, f.silent()
	if f.on && f.asking && f.unsent {
		at, ok = clock.Earlier(at, ok, c.now.Add(sendAgain), true)
	}
	return clock.Earlier(at, ok, c.provide.wake, c.provide.wake != 0 && c.phase == Complete && !c.transitional)
}

// progress is how far the transfer has come.
func (c *Core) progress() Progress {
	f := &c.fetch
	if c.phase != Learning {
		return Progress{}
	}
	p := Progress{Provider: f.provider(), CatchingUp: f.question.Recent || c.learn.fresh, Of: f.of.Entries}
	if f.builder != nil {
		p.Entries = f.builder.Entries()
	}
	return p
}
