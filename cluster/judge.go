package cluster

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/wire"
)

// Told is the State that one member of a ring multicast.
type Told struct {
	Member wire.MemberID
	State  *wire.ClusterState
}

// Decision is what judge makes of the States of all members of a ring. Every member gets the same one.
type Decision struct {
	// OK: the ring may claim Opening.Primary. Otherwise its members stay outside a primary, and Why says why.
	OK  bool
	Why Why

	// Opening is what goes into the tail of a current member, and what State.Establish takes. Where not OK it has only Rules,
	// those in force; 0: not known.
	Opening wire.Opening

	Forced bool // no quorum was asked for: a member that claims forgets what is open
	Wait   Wait // before the claim is sent

	Members []Judged        // all of the ring, ascending by MemberID, as Opening.Members
	Current []wire.MemberID // whose replicas are those that the primary begins with, ascending

	// Last is the established primary of the deciding chain with the highest epoch that anybody tells; nil: none. A member
	// that follows the chain and claims makes it its own last, and takes from tried what is not above it.
	Last *wire.Primary
	// Resumed is the primary whose end the new one begins with; nil at a founding, and where there is none.
	Resumed *wire.Primary
	// Open are the tried primaries of the deciding chain that may have been established. Failed are those of all chains that
	// are proven not to have been: a member takes them from tried before it claims.
	Open, Failed []wire.Primary

	// Missing are the voters, of all sets that a quorum is asked of, whose seats are neither here nor taken over. Where not OK
	// they are those of the oldest chain.
	Missing []wire.Voter
	Taken   int // how many seats are taken over
	Need    int // N/2 + 1: how many members the ring must have; 1 with N = 0
	Have    int // members that count towards it: observers do not

	// Filler sends its recent history, from the operation after FillFrom on, to the members of the chain whose
	// replicas are not current. Zero: nobody needs it.
	Filler   wire.MemberID
	FillFrom uint64
}

// Judged is what was decided of one member.
type Judged struct {
	Told
	Current bool
	// Stages is how many of State.Stages stand: what follows on them in the tail goes before the claim.
	Stages int
	// Seat is the seat that it votes for: its own, or one that it takes over (Took). HasSeat is false without.
	Seat          wire.Seat
	HasSeat, Took bool
	Refused       bool // its State breaks a limit: it counts as an observer without a replica
	Twin          bool // another member has the same seat; both are Refused
	Unsupported   bool // its build does not support the rules in force: it does not vote and gets no state
}

// Wait says how long a member waits before it sends its Claim.
type Wait uint8

// The waits.
const (
	NoWait        Wait = iota
	WaitDiscovery      // until its start is Config.Discovery ago: it looks for others before it founds
	WaitRejoin         // Config.Rejoin from the decision on: others may be only slow
)

// Why says why a ring is no primary.
type Why uint8

// The reasons.
const (
	WhyNone    Why = iota
	WhyMembers     // fewer than N/2 + 1 members
	WhyVoters      // nobody in the ring could vote: only observers
	WhyReplica     // nobody has the replica that the last primary ended with
	WhyQuorum      // no quorum of the voters
	WhyRules       // the build of too many members does not support the rules in force
	WhyTried       // a member has as many open primaries as it can remember
)

var whys = [...]string{
	"", "too few members", "only observers", "no replica of the last primary is here", "no quorum of the voters",
	"builds that do not support the rules in force", "too many claims whose end is not known",
}

// String says the reason: "no quorum of the voters".
func (w Why) String() string {
	if int(w) < len(whys) {
		return whys[w]
	}
	return "unknown reason"
}

const (
	maxVoters = wire.MaxRing // in one set, and the largest ExpectedMembers
	maxBelow  = 1 << 63      // indexes and epochs are lower
	stampMax  = 1 << 62      // wall clocks are lower, or count as 0

	forcedStep = 1 << 32 // by how much a Force raises the epoch
)

// judge decides whether a ring becomes a primary, and which one. told has the State of each member of the ring once, in any
// order; it stays as it is, and the Decision refers to it. judge is a pure function. leave is a rule to leave out.
func judge(ring wire.RingID, told []Told, leave defect) *Decision {
	j := jury{ring: ring, leave: leave, d: &Decision{Need: 1}}
	j.admit(told)
	j.findFailed()
	chains := j.chains()
	if len(chains) == 0 {
		j.found()
		return j.d
	}
	for i := range chains {
		c := j.weigh(&chains[i])
		if i == 0 || c.ok {
			j.adopt(c)
		}
		if c.ok {
			break
		}
	}
	if !j.d.OK && j.d.Forced && j.d.Have > 0 && j.d.Resumed == nil {
		j.foundAgain(&chains[0])
	}
	return j.d
}

// jury is judge at work.
type jury struct {
	ring  wire.RingID
	leave defect
	d     *Decision
	n     uint32 // the largest ExpectedMembers
}

// admit sorts the members and checks their States.
func (j *jury) admit(told []Told) {
	d := j.d
	d.Members = make([]Judged, len(told))
	for i, t := range told {
		d.Members[i] = Judged{Told: t, Refused: t.State == nil || !sane(t.State)}
	}
	slices.SortFunc(d.Members, func(a, b Judged) int { return bytes.Compare(a.Member[:], b.Member[:]) })
	for i := range d.Members {
		for k := range d.Members[:i] {
			a, b := &d.Members[i], &d.Members[k]
			if a.State != nil && b.State != nil && a.State.Seat == b.State.Seat {
				a.Refused, a.Twin, b.Refused, b.Twin = true, true, true, true
			}
		}
	}
	d.Forced = len(d.Members) > 0
	for i := range d.Members {
		m := &d.Members[i]
		if m.Refused {
			continue
		}
		d.Forced = d.Forced && m.State.Forced
		if !m.State.Observer {
			d.Have++
			j.n = max(j.n, m.State.Expected)
		}
	}
	if j.n > 0 {
		d.Need = int(j.n/2) + 1
	}
}

// sane reports whether s keeps the limits. A State from the wire keeps some of them anyway.
func sane(s *wire.ClusterState) bool {
	if s.Expected > maxVoters || s.RulesMin > s.RulesMax || len(s.Tried) > wire.MaxTried || len(s.Stages) > wire.MaxStages ||
		s.Index >= maxBelow || s.CertainIndex >= maxBelow || !saneVoters(s.Certain) ||
		s.Last != nil && !sanePrimary(s.Last) {
		return false
	}
	for i := range s.Tried {
		if !sanePrimary(&s.Tried[i]) {
			return false
		}
	}
	for i := range s.Stages {
		t := &s.Stages[i]
		if t.End >= maxBelow || !sanePrimary(&t.Primary) || !saneVoters(t.Voters) || len(t.Voters) == 0 {
			return false
		}
		if i > 0 && (t.End < s.Stages[i-1].End || t.Primary.Epoch <= s.Stages[i-1].Primary.Epoch ||
			t.Primary.Chain != s.Stages[i-1].Primary.Chain) {
			return false
		}
		for k := range t.Between {
			if !saneVoters(t.Between[k].Voters) || t.Between[k].Index >= maxBelow {
				return false
			}
		}
	}
	return true
}

func sanePrimary(p *wire.Primary) bool {
	return p.Epoch > 0 && p.Epoch < maxBelow && p.N <= maxVoters && len(p.Voters) > 0 && saneVoters(p.Voters) &&
		len(p.Seats) <= wire.MaxRing
}

func saneVoters(voters []wire.Voter) bool {
	if len(voters) > maxVoters {
		return false
	}
	for i := range voters {
		if seated(voters[:i], voters[i].Seat) {
			return false
		}
	}
	return true
}

// samePrimary reports whether a and b are one primary.
func samePrimary(a, b *wire.Primary) bool {
	return a.Epoch == b.Epoch && a.Ring == b.Ring && a.Chain == b.Chain
}

// among reports whether list has p.
func among(list []wire.Primary, p *wire.Primary) bool {
	return slices.ContainsFunc(list, func(q wire.Primary) bool { return samePrimary(&q, p) })
}

// findFailed finds the tried primaries that were never established: a member that took part in the ring of one, and
// neither lists it nor has gone on from it, did not see all claims. Safe delivery would have brought them all to it, had anybody
// delivered the last one in the regular configuration.
func (j *jury) findFailed() {
	if j.leave == nothingFails {
		return
	}
	for i := range j.d.Members {
		if j.d.Members[i].Refused {
			continue
		}
		for _, p := range j.d.Members[i].State.Tried {
			if !among(j.d.Failed, &p) && j.hasFailed(&p) {
				j.d.Failed = append(j.d.Failed, p)
			}
		}
	}
	sortPrimaries(j.d.Failed)
}

func (j *jury) hasFailed(p *wire.Primary) bool {
	for i := range j.d.Members {
		m := &j.d.Members[i]
		if m.Refused || !slices.Contains(p.Seats, m.State.Seat) || among(m.State.Tried, p) {
			continue
		}
		// A member that has gone over to another chain has forgotten what it knew of this one.
		if last := m.State.Last; last == nil || last.Chain == p.Chain && last.Epoch < p.Epoch {
			return true
		}
	}
	return false
}

// sortPrimaries orders a list by chain, epoch and ring: a ring with a higher sequence is a later one.
func sortPrimaries(list []wire.Primary) {
	slices.SortFunc(list, func(a, b wire.Primary) int {
		return cmp.Or(compareChains(a.Chain, b.Chain), comparePrimaries(&a, &b))
	})
}

// comparePrimaries orders primaries of one chain. Two of one epoch can both be open only where the members that took part
// in both took the first for failed; so the one of the later ring is what counts.
func comparePrimaries(a, b *wire.Primary) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), compareRings(a.Ring, b.Ring))
}

func compareRings(a, b wire.RingID) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.Rep[:], b.Rep[:]))
}

// compareChains orders chains by age, the oldest first.
func compareChains(a, b wire.Chain) int {
	return cmp.Or(cmp.Compare(a.Founded, b.Founded), compareRings(a.Ring, b.Ring))
}

// chain is what the ring's members tell of one chain.
type chain struct {
	wire.Chain
	last *wire.Primary  // the established one with the highest epoch; nil: only tried ones are told
	open []wire.Primary // tried, higher than last, not failed; ascending

	ok      bool
	why     Why
	base    *wire.Primary
	stage   []int // by member: of its candidate stage; -1: none
	best    *wire.Stage
	rules   uint32
	need    [][]wire.Voter // every set that a quorum is asked of
	vote    []wire.Seat    // by member, where it has one
	has     []bool
	took    []bool
	unable  []bool // by member: unsupported
	relies  bool   // no quorum without the seats that are taken over
	missing []wire.Voter
}

// chains lists what anybody knows, the oldest chain first.
func (j *jury) chains() []chain {
	var list []chain
	of := func(id wire.Chain) *chain {
		for i := range list {
			if list[i].Chain == id {
				return &list[i]
			}
		}
		list = append(list, chain{Chain: id})
		return &list[len(list)-1]
	}
	for i := range j.d.Members {
		if m := &j.d.Members[i]; !m.Refused && m.State.Last != nil {
			if c := of(m.State.Last.Chain); c.last == nil || comparePrimaries(m.State.Last, c.last) > 0 {
				c.last = m.State.Last
			}
		}
	}
	for i := range j.d.Members {
		if j.d.Members[i].Refused {
			continue
		}
		for _, p := range j.d.Members[i].State.Tried {
			if among(j.d.Failed, &p) {
				continue
			}
			if c := of(p.Chain); (c.last == nil || p.Epoch > c.last.Epoch) && !among(c.open, &p) {
				c.open = append(c.open, p)
			}
		}
	}
	for i := range list {
		sortPrimaries(list[i].open)
		if j.leave == openForgotten && list[i].last != nil {
			list[i].open = nil
		}
	}
	slices.SortFunc(list, func(a, b chain) int { return compareChains(a.Chain, b.Chain) })
	return list
}

// counts reports whether a member counts for a chain: it follows the chain, or none yet.
func counts(m *Judged, c *chain) bool {
	return !m.Refused && (m.State.Last == nil || m.State.Last.Chain == c.Chain)
}

// votes reports whether a member may hold a seat at all.
func votes(m *Judged) bool { return !m.Refused && !m.State.Observer }

func supports(s *wire.ClusterState, rules uint32) bool {
	return s.RulesMin <= rules && rules <= s.RulesMax
}

// weigh judges one chain.
func (j *jury) weigh(c *chain) *chain {
	members := j.d.Members
	c.vote = make([]wire.Seat, len(members))
	c.has, c.took, c.unable = make([]bool, len(members)), make([]bool, len(members)), make([]bool, len(members))
	c.base = c.last
	if len(c.open) > 0 {
		c.base = &c.open[len(c.open)-1]
	}
	if j.d.Forced {
		j.pickForced(c)
	} else {
		j.pick(c)
	}
	if c.best != nil {
		c.rules = c.best.Rules
		for i := range members {
			c.unable[i] = members[i].State != nil && !supports(members[i].State, c.rules)
		}
	}
	if !j.d.Forced {
		j.collect(c)
	}
	j.take(c)
	quorum := j.quorum(c, false)
	switch have := j.able(c); {
	case c.best == nil:
		c.why = WhyReplica
		if slices.Contains(c.unable, true) {
			c.why = WhyRules
		}
	case j.d.Have == 0:
		c.why = WhyVoters
	case j.d.Forced:
		c.ok = have > 0
		if !c.ok {
			c.why = WhyRules
		}
	case j.d.Have < j.d.Need:
		c.why = WhyMembers
	case !quorum && !j.quorum(c, true):
		c.why = WhyQuorum
	case !quorum || have < j.d.Need:
		c.why = WhyRules
	default:
		c.ok = true
	}
	if c.ok && !j.d.Forced && j.full(c) {
		c.ok, c.why = false, WhyTried
	}
	return c
}

// full reports whether a member could not remember one more claim, in chain c or in a new one (nil).
func (j *jury) full(c *chain) bool {
	for i := range j.d.Members {
		m := &j.d.Members[i]
		if m.Refused {
			continue
		}
		open := 0
		for k := range m.State.Tried {
			p := &m.State.Tried[k]
			moot := c != nil && c.last != nil && p.Chain == c.Chain && p.Epoch <= c.last.Epoch && m.State.Last != nil && counts(m, c)
			if !moot && !among(j.d.Failed, p) {
				open++
			}
		}
		if open >= wire.MaxTried {
			return true
		}
	}
	return false
}

// able is how many members count towards N/2 + 1.
func (j *jury) able(c *chain) int {
	n := 0
	for i := range j.d.Members {
		if votes(&j.d.Members[i]) && !c.unable[i] {
			n++
		}
	}
	return n
}

// pick finds each member's candidate stage, the highest one whose primary is last or open, and the best of them all.
func (j *jury) pick(c *chain) {
	j.candidates(c, func(p *wire.Primary) bool {
		return c.last != nil && samePrimary(p, c.last) || among(c.open, p)
	})
	for i := range j.d.Members {
		if s := j.candidate(c, i); s != nil && samePrimary(c.base, &s.Primary) {
			j.better(c, s)
		}
	}
}

// pickForced takes the best stage of the highest epoch that anybody holds.
func (j *jury) pickForced(c *chain) {
	c.open = nil
	j.candidates(c, func(p *wire.Primary) bool { return p.Chain == c.Chain && !among(j.d.Failed, p) })
	c.base = nil
	for i := range j.d.Members {
		if s := j.candidate(c, i); s != nil && (c.base == nil || comparePrimaries(&s.Primary, c.base) > 0) {
			c.base, c.best = &s.Primary, nil
		}
		if s := j.candidate(c, i); s != nil && samePrimary(&s.Primary, c.base) {
			j.better(c, s)
		}
	}
}

func (j *jury) candidates(c *chain, stands func(*wire.Primary) bool) {
	c.stage = make([]int, len(j.d.Members))
	for i := range j.d.Members {
		m := &j.d.Members[i]
		c.stage[i] = -1
		if !counts(m, c) {
			continue
		}
		for k := range m.State.Stages {
			if stands(&m.State.Stages[k].Primary) {
				c.stage[i] = k
			}
		}
		if k := c.stage[i]; k >= 0 && !supports(m.State, m.State.Stages[k].Rules) {
			c.rules = m.State.Stages[k].Rules
			c.stage[i], c.unable[i] = -1, true // it could not go on from there
		}
	}
}

// candidate is the candidate stage of a member, nil without one.
func (j *jury) candidate(c *chain, member int) *wire.Stage {
	if c.stage[member] < 0 {
		return nil
	}
	return &j.d.Members[member].State.Stages[c.stage[member]]
}

// better takes s for the best stage if it has come further. Replicas that differ at one end are a defect: then most of them
// are right, or those with the smaller hash.
func (j *jury) better(c *chain, s *wire.Stage) {
	b := c.best
	if b == nil || s.End > b.End || s.End == b.End && s.Hash != b.Hash &&
		cmp.Or(cmp.Compare(j.alike(c, s), j.alike(c, b)), cmp.Compare(b.Hash, s.Hash)) > 0 {
		c.best = s
	}
}

// alike is how many members have come to where s is.
func (j *jury) alike(c *chain, s *wire.Stage) (n int) {
	for i := range j.d.Members {
		if o := j.candidate(c, i); o != nil && sameEnd(o, s) {
			n++
		}
	}
	return n
}

// sameEnd reports whether two stages are one.
func sameEnd(a, b *wire.Stage) bool {
	return a.End == b.End && a.Hash == b.Hash && samePrimary(&a.Primary, &b.Primary)
}

// collect finds every set of voters that may be in force: a quorum of each is needed.
func (j *jury) collect(c *chain) {
	var certain []wire.Voter
	var index uint64
	if c.last != nil {
		certain = c.last.Voters
	}
	for i := range j.d.Members {
		if j.candidate(c, i) == nil || c.last == nil {
			continue
		}
		s := j.d.Members[i].State
		if samePrimary(&s.Stages[0].Primary, c.last) && len(s.Certain) > 0 && s.CertainIndex > index {
			certain, index = s.Certain, s.CertainIndex
		}
	}
	if j.leave == lastVotersOnly && c.last != nil {
		c.ask(c.last.Voters)
		return
	}
	c.ask(certain)
	for i := range j.d.Members {
		if j.candidate(c, i) == nil {
			continue
		}
		for k := range j.d.Members[i].State.Stages[:c.stage[i]+1] {
			s := &j.d.Members[i].State.Stages[k]
			if c.last != nil && s.Primary.Epoch < c.last.Epoch {
				continue // the establishment of last is later than its sets
			}
			for b := range s.Between {
				if s.Between[b].Index > index {
					c.ask(s.Between[b].Voters)
				}
			}
		}
	}
	for i := range c.open {
		c.ask(c.open[i].Voters)
	}
}

// ask adds a set to those that a quorum is needed of.
func (c *chain) ask(voters []wire.Voter) {
	if len(voters) > 0 && !slices.ContainsFunc(c.need, func(v []wire.Voter) bool { return slices.Equal(v, voters) }) {
		c.need = append(c.need, voters)
	}
}

// take gives each member the seat that it votes for: its own, or, in memory mode, that of a voter of its name which it has
// replaced. The start of a process proves the end of the one before it.
func (j *jury) take(c *chain) {
	here := func(seat wire.Seat) bool {
		for i := range j.d.Members {
			if m := &j.d.Members[i]; m.State != nil && m.State.Seat == seat || c.has[i] && c.vote[i] == seat {
				return true
			}
		}
		return false
	}
	asked := func(seat wire.Seat) bool {
		return slices.ContainsFunc(c.need, func(v []wire.Voter) bool { return seated(v, seat) })
	}
	order := j.byStart()
	for _, i := range order {
		if m := &j.d.Members[i]; votes(m) && counts(m, c) && asked(m.State.Seat) {
			c.vote[i], c.has[i] = m.State.Seat, true
		}
	}
	for _, set := range c.need {
		for v := range set {
			if here(set[v].Seat) {
				continue
			}
			i := slices.IndexFunc(order, func(i int) bool {
				m := &j.d.Members[i]
				return votes(m) && counts(m, c) && !c.has[i] && !c.unable[i] && !m.State.Disk && !set[v].Disk &&
					m.State.Started > set[v].Started && wire.ClusterHash(m.State.Name) == set[v].Name
			})
			switch {
			case i >= 0:
				c.vote[order[i]], c.has[order[i]], c.took[order[i]] = set[v].Seat, true, true
			case !seated(c.missing, set[v].Seat):
				c.missing = append(c.missing, set[v])
			}
		}
	}
	c.relies = slices.Contains(c.took, true) && !j.passes(c, func(i int) bool { return !c.took[i] && !c.unable[i] })
}

// quorum reports whether the members are one of every set; unable counts those in that cannot vote for their rules.
func (j *jury) quorum(c *chain, unable bool) bool {
	return j.passes(c, func(i int) bool { return unable || !c.unable[i] })
}

func (j *jury) passes(c *chain, member func(int) bool) bool {
	here := func(seat wire.Seat) bool {
		for i := range c.vote {
			if c.has[i] && c.vote[i] == seat && member(i) {
				return true
			}
		}
		return false
	}
	for _, set := range c.need {
		if j.leave == bothHalves && j.n == 0 && 2*count(set, here) == len(set) {
			continue
		}
		if !Quorum(set, j.n, here) {
			return false
		}
	}
	return true
}

// byStart is the order in which members have started: positions in Members.
func (j *jury) byStart() []int {
	order := make([]int, len(j.d.Members))
	for i := range order {
		order[i] = i
	}
	started := func(i int) uint64 {
		if s := j.d.Members[i].State; s != nil {
			return s.Started
		}
		return maxBelow
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(started(a), started(b)) })
	return order
}

// adopt makes what was found of a chain the decision.
func (j *jury) adopt(c *chain) {
	d := j.d
	d.OK, d.Why, d.Last, d.Open, d.Resumed, d.Missing = c.ok, c.why, c.last, c.open, c.base, c.missing
	if c.best == nil {
		d.Resumed = nil
	}
	d.Taken, d.Current, d.Wait = 0, nil, NoWait
	for i := range d.Members {
		m := &d.Members[i]
		m.Seat, m.HasSeat, m.Took, m.Unsupported = c.vote[i], c.has[i], c.took[i], c.unable[i]
		m.Stages, m.Current = j.standing(c, i), false
		if m.Took {
			d.Taken++
		}
		s := j.candidate(c, i)
		if c.ok && s != nil && !c.unable[i] && sameEnd(s, c.best) {
			m.Current = true
			d.Current = append(d.Current, m.Member)
		}
	}
	if !c.ok {
		d.Opening = wire.Opening{Rules: c.rules}
		return
	}
	if c.relies && len(c.missing) > 0 {
		d.Wait = WaitRejoin
	}
	step := uint64(1)
	if d.Forced {
		step = forcedStep
	}
	p := wire.Primary{Chain: c.Chain, Epoch: j.epoch(c.Chain) + step, Ring: j.ring, N: j.n, Seats: j.seats()}
	old := diskFirst(slices.Clone(c.best.Voters))
	p.Voters = j.voters(old, &p)
	if d.Forced {
		p.Voters = j.founders()
	}
	if len(p.Voters) == 0 {
		p.Voters = old // nobody who is current can vote
	}
	d.Opening = wire.Opening{Primary: p, End: c.best.End, Hash: c.best.Hash, Rules: c.rules}
	j.open()
	j.fill(c)
}

// standing is how many stages of a member stand.
func (j *jury) standing(c *chain, member int) int {
	m := &j.d.Members[member]
	if m.Refused {
		return 0
	}
	if k := c.stage[member]; k >= 0 {
		return k + 1
	}
	for k := len(m.State.Stages); k > 0; k-- {
		if !among(j.d.Failed, &m.State.Stages[k-1].Primary) {
			return k
		}
	}
	return 0
}

// epoch is the highest epoch that anybody tells of a chain.
func (j *jury) epoch(id wire.Chain) uint64 {
	var highest uint64
	see := func(p *wire.Primary) {
		if p.Chain == id {
			highest = max(highest, p.Epoch)
		}
	}
	for i := range j.d.Members {
		if j.d.Members[i].Refused {
			continue
		}
		s := j.d.Members[i].State
		if s.Last != nil {
			see(s.Last)
		}
		for k := range s.Tried {
			see(&s.Tried[k])
		}
		for k := range s.Stages {
			see(&s.Stages[k].Primary)
		}
	}
	return highest
}

// seats are those of all members of the ring, observers and all: who took part can prove that a claim has failed.
func (j *jury) seats() []wire.Seat {
	var seats []wire.Seat
	for i := range j.d.Members {
		if m := &j.d.Members[i]; !m.Refused {
			seats = append(seats, m.State.Seat)
		}
	}
	return seats
}

// voters are those of the new primary: what the voters at the end of the last one become.
func (j *jury) voters(old []wire.Voter, p *wire.Primary) []wire.Voter {
	disk := slices.ContainsFunc(old, func(v wire.Voter) bool { return v.Disk })
	if p.N == 0 {
		var kept []wire.Voter
		for i := range old {
			if m := j.bySeat(old[i].Seat); m != nil && m.Current && votes(m) {
				kept = append(kept, voterOf(m.State))
			}
		}
		old = kept
	} else {
		old = slices.Clone(old)
		for i := len(old) - 1; i >= 0 && len(old) > int(p.N); i-- { // ExpectedMembers was lowered
			if !slices.Contains(p.Seats, old[i].Seat) {
				old = slices.Delete(old, i, i+1)
			}
		}
		old = old[:min(len(old), int(p.N))]
	}
	for _, i := range j.byStart() {
		if m := &j.d.Members[i]; m.Current && votes(m) && (!disk || m.State.Disk) {
			old = Seated(old, p, voterOf(m.State))
		}
	}
	return old
}

func (j *jury) bySeat(seat wire.Seat) *Judged {
	for i := range j.d.Members {
		if m := &j.d.Members[i]; !m.Refused && m.State.Seat == seat {
			return m
		}
	}
	return nil
}

func voterOf(s *wire.ClusterState) wire.Voter {
	return wire.Voter{Seat: s.Seat, Name: wire.ClusterHash(s.Name), Started: s.Started, Disk: s.Disk}
}

// founders are the voters of a founding: the current members in order of start.
func (j *jury) founders() []wire.Voter {
	var voters []wire.Voter
	for _, i := range j.byStart() {
		if m := &j.d.Members[i]; m.Current && votes(m) {
			voters = append(voters, voterOf(m.State))
		}
	}
	voters = diskFirst(voters)
	if j.n > 0 {
		voters = voters[:min(len(voters), int(j.n))]
	}
	return voters
}

// found begins a new chain: nobody knows one.
func (j *jury) found() {
	d := j.d
	if d.Have == 0 {
		d.Why = WhyVoters
		return
	}
	rules, able := j.foundingRules()
	switch {
	case d.Forced && able > 0:
	case d.Have < d.Need:
		d.Why = WhyMembers
	case able < d.Need:
		d.Why = WhyRules
	case j.full(nil):
		d.Why = WhyTried
	}
	if d.Why != WhyNone {
		d.Opening = wire.Opening{Rules: rules}
		return
	}
	j.beginEmpty(wire.Primary{Chain: wire.Chain{Ring: j.ring, Founded: j.founded()}, Epoch: 1}, rules)
	switch {
	case d.Forced:
	case j.n == 0:
		d.Wait = WaitDiscovery
	case d.Have < int(j.n):
		d.Wait = WaitRejoin
	}
}

// foundAgain lets a forced primary go on in a chain of which no replica is left.
func (j *jury) foundAgain(c *chain) {
	if rules, able := j.foundingRules(); able > 0 {
		j.beginEmpty(wire.Primary{Chain: c.Chain, Epoch: j.epoch(c.Chain) + forcedStep}, rules)
	}
}

// beginEmpty makes all members that support the rules current, with an empty replica.
func (j *jury) beginEmpty(p wire.Primary, rules uint32) {
	d := j.d
	d.OK, d.Why, d.Missing, d.Current = true, WhyNone, nil, nil
	for i := range d.Members {
		m := &d.Members[i]
		m.Stages = 0
		if m.Current = !m.Refused && !m.Unsupported; m.Current {
			d.Current = append(d.Current, m.Member)
		}
	}
	p.Ring, p.N, p.Seats, p.Voters = j.ring, j.n, j.seats(), j.founders()
	d.Opening = wire.Opening{Primary: p, Founding: true, Rules: rules}
	for i := range d.Members {
		m := &d.Members[i]
		m.HasSeat = !m.Refused && seated(p.Voters, m.State.Seat)
		if m.HasSeat {
			m.Seat = m.State.Seat
		}
	}
	j.open()
}

// foundingRules is the version that most members support, of two the higher one, and how many can found with it.
func (j *jury) foundingRules() (rules uint32, able int) {
	for i := range j.d.Members {
		if !votes(&j.d.Members[i]) {
			continue
		}
		v, n := j.d.Members[i].State.RulesMax, 0
		for k := range j.d.Members {
			if m := &j.d.Members[k]; votes(m) && supports(m.State, v) {
				n++
			}
		}
		if n > able || n == able && v > rules {
			rules, able = v, n
		}
	}
	for i := range j.d.Members {
		m := &j.d.Members[i]
		m.Unsupported = !m.Refused && !supports(m.State, rules)
	}
	return rules, able
}

// founded is the time of a founding: the lower median of the wall clocks, so that a single clock that is off does not make a
// chain older or younger than it is.
func (j *jury) founded() uint64 {
	var walls []uint64
	for i := range j.d.Members {
		if m := &j.d.Members[i]; votes(m) {
			walls = append(walls, wall(m.State))
		}
	}
	slices.Sort(walls)
	return walls[(len(walls)-1)/2]
}

func wall(s *wire.ClusterState) uint64 {
	if s.Wall >= stampMax {
		return 0
	}
	return s.Wall
}

// open fills in what an opening says of all members.
func (j *jury) open() {
	o := &j.d.Opening
	first := true
	for i := range j.d.Members {
		m := &j.d.Members[i]
		if m.Refused {
			o.Members = append(o.Members, wire.OpeningMember{Member: m.Member, Observer: true})
			continue
		}
		s := m.State
		o.Members = append(o.Members, wire.OpeningMember{
			Member: m.Member, Seat: s.Seat, Name: s.Name, Started: s.Started, Weight: s.Weight, Guard: s.Guard,
			RulesMin: s.RulesMin, RulesMax: s.RulesMax, Disk: s.Disk, Observer: s.Observer, Services: s.Services, Current: m.Current,
		})
		if first || s.MaxValue < o.MaxValue {
			o.MaxValue = s.MaxValue
		}
		if first || s.StateLimit < o.StateLimit {
			o.StateLimit = s.StateLimit
		}
		first = false
		o.Base = max(o.Base, s.Index, s.CertainIndex)
		if j.leave != noClockInIndex {
			o.Base = max(o.Base, wall(s))
		}
		for k := range s.Stages {
			o.Base = max(o.Base, s.Stages[k].End)
		}
	}
}

// fill finds who brings the replicas of the chain up to the best one, and from where on.
func (j *jury) fill(c *chain) {
	d := j.d
	for i := range d.Members {
		m := &d.Members[i]
		if m.Current || m.Unsupported || !counts(m, c) || len(m.State.Stages) == 0 ||
			m.State.Stages[0].Primary.Chain != c.Chain || m.State.Index > c.best.End {
			continue
		}
		if d.Filler == (wire.MemberID{}) || m.State.Index < d.FillFrom {
			d.FillFrom = m.State.Index
		}
		d.Filler = d.Current[0]
	}
}
