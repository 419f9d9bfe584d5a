package cluster

import (
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

var modelSeed = goflag.Uint64("model.seed", 0, "TestJudgeModel runs this seed alone")

// ruled carries judge through random schedules: rings of any members, claims that all, some or none see in time, operations
// that some have applied and others have in their tails only, learners that get ready, exits, crashes. It knows nothing of
// messages: a step is one ring, with everything that safe delivery lets happen in it.
type ruled struct {
	random  *rand.Rand
	disks   int // percent of the members that have one, and lose nothing that was applied or claimed
	watch   int // percent of the members that are observers
	n       uint32
	members []*ruledMember
	ring    uint64
	next    uint64 // number of the next operation
	starts  byte
	wall    uint64
	leave   defect
	ringOf  map[ruledEpoch]wire.RingID
	acked   map[wire.Chain][]uint64
	wrong   []string
	opened  int // claims left open
	begun   int // establishments
	filled  int
}

type ruledEpoch struct {
	chain wire.Chain
	epoch uint64
}

// ruledMember is one process.
type ruledMember struct {
	id      [16]byte
	started uint64
	disk    bool
	watches bool // an observer
	down    bool // with a disk: it comes back
	last    *wire.Primary
	tried   []wire.Primary
	applied []ruledEntry
	tail    []ruledEntry
	durable []ruledEntry // the tail as of the last claim
}

// ruledEntry is one step of a history.
type ruledEntry struct {
	op      uint64        // an operation
	opening *wire.Opening // or an opening
	ready   *wire.Voter   // the operation is a Ready
	exit    *wire.Seat    // or an Exit
}

// ruledState is what a history leads to.
type ruledState struct {
	index, hash uint64
	primary     wire.Primary
	voters      []wire.Voter
}

func (s *ruledState) apply(e *ruledEntry) (changed bool) {
	s.index++
	switch {
	case e.opening != nil:
		s.index = max(s.index-1, e.opening.Base) + 1
		s.primary, s.voters = e.opening.Primary, e.opening.Primary.Voters
		s.hash = s.hash*0x9E3779B97F4A7C15 + s.index ^ e.opening.Primary.Epoch<<20 ^ e.opening.Primary.Ring.Seq
		return true
	case e.ready != nil:
		s.voters, changed = Seated(s.voters, &s.primary, *e.ready), true
	case e.exit != nil:
		s.voters, changed = Unseated(s.voters, *e.exit), true
	}
	s.hash = s.hash*0x9E3779B97F4A7C15 + s.index ^ e.op<<32
	return changed
}

func lead(entries []ruledEntry) (s ruledState) {
	for i := range entries {
		s.apply(&entries[i])
	}
	return s
}

// state is what the member says in the exchange.
func (m *ruled) state(p *ruledMember, filled bool) *wire.ClusterState {
	s := &wire.ClusterState{
		Seat: p.id, Name: fmt.Sprint(p.id), Started: p.started, Wall: m.wall, Last: p.last, Tried: slices.Clone(p.tried),
		Expected: m.n, Disk: p.disk, Observer: p.watches, RulesMin: 1, RulesMax: 1, Filled: filled,
	}
	at := lead(p.applied)
	s.Index, s.Hash, s.Certain, s.CertainIndex = at.index, at.hash, at.voters, at.index
	if p.disk { // here nothing after the establishment is certain
		at = ruledState{}
		for i := range p.applied {
			if at.apply(&p.applied[i]); p.applied[i].opening != nil {
				s.Certain, s.CertainIndex = at.voters, at.index
			}
		}
	}
	stage := func() *wire.Stage {
		if len(s.Stages) == 0 {
			return nil
		}
		return &s.Stages[len(s.Stages)-1]
	}
	if len(p.applied) > 0 {
		s.Stages = []wire.Stage{{Primary: at.primary}}
	}
	at = ruledState{}
	for i, e := range slices.Concat(p.applied, p.tail) {
		changed := at.apply(&e)
		if i >= len(p.applied) && e.opening != nil {
			s.Stages = append(s.Stages, wire.Stage{Primary: at.primary})
		}
		if t := stage(); changed && at.index > s.CertainIndex {
			t.Between = append(t.Between, wire.VoterSet{Index: at.index, Voters: at.voters})
		}
		if t := stage(); t != nil {
			t.End, t.Hash, t.Voters, t.Rules = at.index, at.hash, at.voters, 1
		}
	}
	return s
}

func (m *ruled) fail(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

func (m *ruled) judge(of []*ruledMember, filled bool) *Decision {
	var told []Told
	for _, p := range of {
		told = append(told, Told{Member: p.id, State: m.state(p, filled)})
	}
	return judge(wire.RingID{Rep: of[0].id, Seq: m.ring}, told, m.leave)
}

func (m *ruled) start() {
	m.starts++
	m.wall += 10
	m.members = append(m.members, &ruledMember{id: [16]byte{m.starts}, started: m.wall, disk: m.chance(m.disks), watches: m.chance(m.watch)})
}

func (m *ruled) chance(percent int) bool { return m.random.IntN(100) < percent }

// step is one ring of some members. calm: nothing goes wrong in it. It reports whether it became primary.
func (m *ruled) step(of []*ruledMember, calm bool) bool {
	m.ring++
	m.wall++
	d := m.judge(of, false)
	if !d.OK {
		return false
	}
	if d.Filler != (wire.MemberID{}) && (calm || m.chance(80)) {
		m.fill(of, d)
		m.filled++
		if d = m.judge(of, true); !d.OK {
			m.fail("ring %d: a fill took the quorum away: %s", m.ring, summary(d))
			return false
		}
	}
	if !calm && m.chance(10) {
		return false // the ring ends before the first claim
	}

	// Claims.
	o := d.Opening
	p := o.Primary
	is := make(map[*ruledMember]*Judged)
	for i := range d.Members {
		for _, q := range of {
			if q.id == d.Members[i].Member {
				is[q] = &d.Members[i]
			}
		}
	}
	var begin []ruledEntry
	for _, q := range of {
		q.tail = cut(q, is[q].Stages)
		q.tried = slices.DeleteFunc(q.tried, func(x wire.Primary) bool { return among(d.Failed, &x) })
		if d.Last != nil && q.last != nil && q.last.Chain == d.Last.Chain {
			if d.Last.Epoch > q.last.Epoch {
				q.last = d.Last
			}
			q.tried = slices.DeleteFunc(q.tried, func(x wire.Primary) bool {
				return x.Chain == d.Last.Chain && x.Epoch <= d.Last.Epoch
			})
		}
		q.tried = append(q.tried, p)
		q.durable = slices.Clone(q.tail)
		if is[q].Current {
			if o.Founding {
				q.applied, q.tail, q.durable = nil, nil, nil
			}
			q.durable = append(q.durable, ruledEntry{opening: &o})
			begin = append(slices.Concat(q.applied, q.tail), ruledEntry{opening: &o})
			if at := lead(begin[:len(begin)-1]); !o.Founding && (at.index != o.End || at.hash != o.Hash) {
				m.fail("ring %d: a current member's replica ends at %d %x, not %d %x", m.ring, at.index, at.hash, o.End, o.Hash)
			}
		}
	}
	if len(p.Voters) == 0 {
		m.fail("ring %d: no voters", m.ring)
	}

	// Who sees all claims, and when.
	all := calm || m.chance(80)
	var regular, open []*ruledMember
	var crashed []*ruledMember
	group := m.chance(50)
	for _, q := range of {
		switch {
		case !calm && m.chance(8):
			crashed = append(crashed, q)
		case calm || all && m.chance(60):
			regular = append(regular, q)
		}
	}
	for _, q := range of {
		if all && !slices.Contains(regular, q) && !slices.Contains(crashed, q) && (len(regular) > 0 || m.chance(50) || group) {
			open = append(open, q)
		}
	}
	learned := make(map[*ruledMember]bool)
	for _, q := range regular {
		q.last, q.tried = &p, nil
		if is[q].Current {
			q.applied = slices.Clone(begin)
		}
		q.tail, q.durable = nil, nil
		learned[q] = is[q].Current
	}
	for _, q := range open {
		m.opened++
		if is[q].Current {
			q.tail = append(slices.Clone(q.tail), ruledEntry{opening: &o})
		}
	}
	for _, q := range of {
		if !slices.Contains(regular, q) && !slices.Contains(open, q) && !slices.Contains(crashed, q) {
			q.tried = slices.DeleteFunc(q.tried, func(x wire.Primary) bool { return samePrimary(&x, &p) })
		}
	}
	if len(regular) > 0 {
		m.established(&p, begin)
		m.operate(&p, regular, open, is, learned, begin, calm)
	}
	for _, q := range crashed {
		m.crash(q)
	}
	return len(regular) > 0
}

// cut is what stands of a tail.
func cut(q *ruledMember, stages int) []ruledEntry {
	if len(q.applied) > 0 {
		stages--
	}
	for i := range q.tail {
		if q.tail[i].opening != nil {
			if stages == 0 {
				return slices.Clone(q.tail[:i])
			}
			stages--
		}
	}
	if stages < 0 {
		return nil
	}
	return slices.Clone(q.tail)
}

func (m *ruled) fill(of []*ruledMember, d *Decision) {
	var filler *ruledMember
	for _, q := range of {
		if q.id == d.Filler {
			filler = q
		}
	}
	i := slices.IndexFunc(d.Members, func(j Judged) bool { return j.Member == d.Filler })
	history := slices.Concat(filler.applied, cut(filler, d.Members[i].Stages))
	for _, q := range of {
		at := lead(q.applied)
		if j := slices.IndexFunc(d.Members, func(j Judged) bool { return j.Member == q.id }); d.Members[j].Current ||
			len(q.applied) == 0 || len(q.applied) > len(history) {
			continue
		}
		if from := lead(history[:len(q.applied)]); from.index != at.index || from.hash != at.hash {
			continue
		}
		if q.last != nil && filler.last != nil && q.last.Chain != filler.last.Chain {
			continue
		}
		q.tail = slices.Clone(history[len(q.applied):])
		for _, e := range q.tail {
			if e.opening != nil && !among(q.tried, &e.opening.Primary) {
				q.tried = append(q.tried, e.opening.Primary)
			}
		}
		if filler.last != nil && (q.last == nil || q.last.Epoch < filler.last.Epoch) {
			q.last = filler.last
		}
		slices.SortStableFunc(q.tried, func(a, b wire.Primary) int { return comparePrimaries(&a, &b) })
	}
}

// established checks what a primary begins with.
func (m *ruled) established(p *wire.Primary, begin []ruledEntry) {
	m.begun++
	e := ruledEpoch{p.Chain, p.Epoch}
	if ring, ok := m.ringOf[e]; ok && ring != p.Ring {
		m.fail("epoch %d of chain %d was established in rings %d and %d", p.Epoch, p.Chain.Founded, ring.Seq, p.Ring.Seq)
	}
	m.ringOf[e] = p.Ring
	for _, op := range m.acked[p.Chain] {
		if !slices.ContainsFunc(begin, func(e ruledEntry) bool { return e.op == op }) {
			m.fail("ring %d: operation %d, which was acknowledged, is not in epoch %d", m.ring, op, p.Epoch)
		}
	}
}

// operate orders operations in a primary. Of what any member delivers as regular everybody delivers the whole.
func (m *ruled) operate(p *wire.Primary, regular, open []*ruledMember, is map[*ruledMember]*Judged, learned map[*ruledMember]bool, begin []ruledEntry, calm bool) {
	ops := make([]ruledEntry, m.random.IntN(4))
	ready := make(map[*ruledMember]int) // where a learner is complete
	for i := range ops {
		m.next++
		ops[i] = ruledEntry{op: m.next}
	}
	for _, q := range regular {
		if !learned[q] && (calm || m.chance(60)) && slices.ContainsFunc(regular, func(r *ruledMember) bool { return is[r].Current }) {
			m.next++
			e := ruledEntry{op: m.next}
			if !q.watches {
				e.ready = &wire.Voter{Seat: q.id, Name: wire.ClusterHash(fmt.Sprint(q.id)), Started: q.started, Disk: q.disk}
			}
			ready[q] = len(ops)
			ops = append(ops, e)
		}
	}
	if !calm && m.chance(10) {
		m.next++
		seat := wire.Seat(regular[m.random.IntN(len(regular))].id)
		ops = append(ops, ruledEntry{op: m.next, exit: &seat})
	}
	if calm {
		for _, q := range regular {
			q.applied, learned[q] = slices.Concat(begin, ops), true
		}
		m.acknowledge(p, begin, ops, regular)
		return
	}
	safe := m.random.IntN(len(ops) + 1)
	together := safe + m.random.IntN(len(ops)-safe+1)
	delivered := func() int {
		if m.chance(50) {
			return together
		}
		return safe + m.random.IntN(len(ops)-safe+1)
	}
	some := false
	for _, q := range regular {
		r := m.random.IntN(safe + 1)
		at, learner := ready[q]
		if !learned[q] && (!learner || r < at) {
			continue // its buffer goes with the ring
		}
		q.applied = slices.Concat(begin, ops[:r])
		q.tail = slices.Clone(ops[r:delivered()])
		some = true
	}
	if !some {
		return
	}
	for _, q := range open {
		if is[q].Current {
			q.tail = append(q.tail, ops[:delivered()]...)
		}
	}
	m.acknowledge(p, begin, ops, regular)
}

// acknowledge notes the operations that a caller may have got an answer for.
func (m *ruled) acknowledge(p *wire.Primary, begin, ops []ruledEntry, of []*ruledMember) {
	at := lead(begin)
	sets := [][]wire.Voter{at.voters}
	for i := range ops {
		if at.apply(&ops[i]) {
			sets = append(sets, at.voters)
		}
		has := func(seat wire.Seat) bool {
			return slices.ContainsFunc(of, func(q *ruledMember) bool {
				return wire.Seat(q.id) == seat && len(q.applied) > len(begin)+i && q.applied[len(begin)+i].op == ops[i].op
			})
		}
		acked := slices.ContainsFunc(of, func(q *ruledMember) bool { return has(q.id) }) &&
			!slices.ContainsFunc(sets, func(v []wire.Voter) bool { return v[0].Disk && !Quorum(v, m.n, has) })
		if acked {
			m.acked[p.Chain] = append(m.acked[p.Chain], ops[i].op)
		}
	}
}

func (m *ruled) crash(q *ruledMember) {
	if q.disk {
		q.down, q.tail = true, q.durable
		return
	}
	m.members = slices.DeleteFunc(m.members, func(p *ruledMember) bool { return p == q })
	m.start()
}

// run is one schedule. It returns what went wrong.
func (m *ruled) run() {
	m.ringOf, m.acked = make(map[ruledEpoch]wire.RingID), make(map[wire.Chain][]uint64)
	if m.disks = []int{0, 0, 100, 100, 50}[m.random.IntN(5)]; m.chance(20) {
		m.watch = 20
	}
	for range 2 + m.random.IntN(4) {
		m.start()
	}
	if m.chance(50) {
		m.n = uint32(len(m.members))
	}
	crashes := m.disks == 100 || m.chance(30)
	size := len(m.members)
	for range 8 + m.random.IntN(25) {
		if m.chance(8) && crashes {
			if q := m.members[m.random.IntN(len(m.members))]; !q.down {
				m.crash(q)
			}
		}
		var of []*ruledMember
		for _, q := range m.members {
			if q.down && m.chance(40) {
				q.down = false
			}
			if !q.down && m.chance(60) {
				of = append(of, q)
			}
		}
		if len(of) > 0 {
			m.step(of, m.chance(25))
		}
		if len(m.wrong) > 0 {
			return
		}
	}
	for _, q := range m.members {
		q.down = false
	}
	var ok bool
	for range 3 {
		ok = m.step(m.members, true)
	}
	if len(m.wrong) > 0 {
		return
	}
	voting := 0
	for _, q := range m.members {
		if !q.watches {
			voting++
		}
	}
	if restarted := int(m.starts) > size; !ok && !restarted && voting > int(m.n)/2 {
		m.fail("no primary though all are here: %s", summary(m.judge(m.members, false)))
	}
	if ok {
		first := lead(m.members[0].applied)
		for _, q := range m.members {
			if at := lead(q.applied); at.index != first.index || at.hash != first.hash || len(q.tail) > 0 || len(q.tried) > 0 {
				m.fail("replicas differ at the end")
			}
		}
	}
}

// In every schedule an epoch is established in one ring only, begins with all that was acknowledged in its chain, and in the
// end, when all are back, there is a primary.
func TestJudgeModel(t *testing.T) {
	runs := uint64(3000)
	if !testing.Short() {
		runs = 20000
	}
	var opened, begun, filled int
	for seed := uint64(1); seed <= runs; seed++ {
		if *modelSeed != 0 {
			seed, runs = *modelSeed, 0
		}
		m := &ruled{random: rand.New(rand.NewPCG(seed, 0))}
		m.run()
		if len(m.wrong) > 0 {
			t.Fatalf("-model.seed=%d: disks %d, observers %d, N %d: %q", seed, m.disks, m.watch, m.n, m.wrong)
		}
		opened, begun, filled = opened+m.opened, begun+m.begun, filled+m.filled
	}
	t.Logf("%d establishments, %d claims left open, %d fills", begun, opened, filled)
}

// Each rule of judge is missed when it is left out.
func TestJudgeModelPlanted(t *testing.T) {
	for name, leave := range map[string]defect{
		"open primaries are not remembered": openForgotten, "nothing ever fails": nothingFails,
		"quorum of the last voters only": lastVotersOnly, "both halves go on": bothHalves,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 20000; seed++ {
				m := &ruled{random: rand.New(rand.NewPCG(seed, 0)), leave: leave}
				m.run()
				if len(m.wrong) > 0 {
					t.Logf("seed %d: %s", seed, m.wrong[0])
					return
				}
			}
			t.Error("not noticed")
		})
	}
}
