package cluster

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// holds checks what every Decision keeps to, whatever was told.
func holds(t *testing.T, told []Told, d *Decision) {
	t.Helper()
	if len(d.Members) != len(told) {
		t.Fatalf("%d members of %d", len(d.Members), len(told))
	}
	if !d.OK {
		if d.Why == WhyNone || len(d.Current) > 0 || d.Filler != (wire.MemberID{}) {
			t.Fatalf("not OK: %s", summary(d))
		}
		return
	}
	o := &d.Opening
	p := &o.Primary
	if len(d.Current) == 0 || len(p.Voters) == 0 || len(p.Voters) > wire.MaxRing || p.N > 0 && len(p.Voters) > int(p.N) && !kept(d) ||
		!saneVoters(p.Voters) || p.Epoch == 0 || p.Epoch > maxBelow+forcedStep || o.Base > maxBelow || o.End > o.Base || p.Ring != ringOf(99) {
		t.Fatalf("OK with %+v", p)
	}
	if !slices.IsSortedFunc(o.Members, func(a, b wire.OpeningMember) int { return slices.Compare(a.Member[:], b.Member[:]) }) {
		t.Fatal("members in no order")
	}
	if len(diskFirst(slices.Clone(p.Voters))) != len(p.Voters) {
		t.Fatalf("voters without a disk beside others with one: %s", summary(d))
	}
	for i, m := range d.Members {
		if m.Current != o.Members[i].Current || m.Current != slices.Contains(d.Current, m.Member) {
			t.Fatal("current or not")
		}
		if m.Refused {
			if m.Current || m.HasSeat || m.State != nil && seated(p.Voters, m.State.Seat) && !m.Twin && !seatedBefore(d, m.State.Seat) {
				t.Fatalf("%x was refused, and is current or votes: %s", m.Member, summary(d))
			}
			continue
		}
		if m.Stages > len(m.State.Stages) || m.Current && (m.Unsupported || !supports(m.State, o.Rules)) {
			t.Fatalf("%x: %d stages, unsupported %v", m.Member, m.Stages, m.Unsupported)
		}
		if l := m.State.Last; l != nil && l.Chain == p.Chain && l.Epoch >= p.Epoch {
			t.Fatalf("epoch %d after %d", p.Epoch, l.Epoch)
		}
		if m.State.Index > o.Base {
			t.Fatalf("base %d with a replica at %d", o.Base, m.State.Index)
		}
	}
}

// kept reports whether the voters are those of the last primary: nobody could vote who is current.
func kept(d *Decision) bool {
	return !slices.ContainsFunc(d.Members, func(m Judged) bool { return m.Current && votes(&m) })
}

func seatedBefore(d *Decision, seat wire.Seat) bool {
	return slices.ContainsFunc(d.Members, func(m Judged) bool {
		return !m.Refused && slices.ContainsFunc(m.State.Stages, func(s wire.Stage) bool { return seated(s.Voters, seat) })
	})
}

// Random States of hostile members: no panic, the same Decision in any order, and one that makes sense.
func TestJudgeHostile(t *testing.T) {
	runs := 5000
	if !testing.Short() {
		runs = 200000
	}
	random := rand.New(rand.NewPCG(3, 4))
	ok := 0
	for range runs {
		told := hostile(random)
		d := judge(ringOf(99), told, none)
		holds(t, told, d)
		if d.OK {
			ok++
		}
		random.Shuffle(len(told), func(a, b int) { told[a], told[b] = told[b], told[a] })
		if again := judge(ringOf(99), told, none); !reflect.DeepEqual(d, again) {
			t.Fatalf("in another order\n%s\nnot\n%s", summary(again), summary(d))
		}
	}
	if ok < runs/20 {
		t.Errorf("only %d of %d were OK: the States are of no use", ok, runs)
	}
}

// hostile makes the States of up to 16 members from small sets of values, good ones and bad ones.
func hostile(random *rand.Rand) []Told {
	pick := func(values ...uint64) uint64 { return values[random.IntN(len(values))] }
	rare := func() bool { return random.IntN(60) == 0 }
	edge := func(good uint64) uint64 {
		if rare() {
			return pick(0, 1, math.MaxUint32, 1<<62, 1<<63-1, 1<<63, math.MaxUint64)
		}
		return good
	}
	set := func() []wire.Voter {
		if rare() {
			return make([]wire.Voter, pick(0, 2, 16, 17, 10000))
		}
		var v []wire.Voter
		for i := range pick(1, 2, 3, 3, 4) {
			v = append(v, voterNamed(rune('a'+i)))
			v[i].Disk = random.IntN(40) == 0
		}
		return v
	}
	primary := func() wire.Primary {
		e := 3 + random.Uint64N(4)
		p := wire.Primary{Chain: chainA, Epoch: edge(e), Ring: ringOf(10*e + pick(0, 0, 1)), Voters: set(), N: uint32(edge(0))}
		if rare() {
			p.Chain = chainB
		}
		for i := range pick(1, 2, 4, 5) {
			p.Seats = append(p.Seats, idOf(rune('a'+i)))
		}
		return p
	}
	var told []Told
	expected := uint32(pick(0, 0, 3, 4))
	for i := range 1 + random.IntN(6) {
		m := tell(rune('a'+i), expect(uint32(edge(uint64(expected)))))
		s := m.State
		s.Wall, s.Started = edge(50), edge(s.Started)
		s.Disk, s.Observer, s.Forced = random.IntN(40) == 0, rare(), false
		s.RulesMin, s.RulesMax = 1, uint32(pick(1, 1, 2))
		for range pick(0, 0, 0, 1, 2) {
			s.Tried = append(s.Tried, primary())
		}
		end := edge(90)
		for k := range pick(0, 1, 1, 2) {
			p := primary()
			if k > 0 && len(s.Tried) > 0 {
				p = s.Tried[0]
			}
			stage := wire.Stage{Primary: p, End: end + k, Hash: pick(1, 1, 2), Rules: uint32(pick(1, 1, 1, 2)), Voters: set()}
			for range pick(0, 0, 1) {
				stage.Between = append(stage.Between, wire.VoterSet{Index: edge(80), Voters: set()})
			}
			s.Stages = append(s.Stages, stage)
			if k == 0 && random.IntN(8) > 0 {
				s.Last = &p
			}
		}
		if len(s.Stages) > 0 {
			s.Index, s.Certain, s.CertainIndex = edge(80), set(), edge(80)
		}
		if rare() {
			s.Seat = idOf('b')
		}
		told = append(told, m)
	}
	if rare() {
		for _, m := range told {
			m.State.Forced = true
		}
	}
	return told
}

// Of members that all come from one primary two sets without a common member never both go on, whatever is in their tails.
func TestJudgeTwoSides(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		const all = "abcdef"
		base := prim(5, 50, all[:1+random.IntN(len(all))], all)
		n := uint32(random.IntN(7))
		var sides [2][]Told
		for _, letter := range all {
			m := tell(letter, in(base, 90), expect(n))
			if random.IntN(2) == 0 {
				tail(90 + random.Uint64N(9))(m.State)
			}
			if random.IntN(4) == 0 {
				became(all[:1+random.IntN(len(all))], 91)(m.State)
			}
			if random.IntN(4) == 0 {
				open(prim(6, 60+random.Uint64N(2), all[random.IntN(3):][:1+random.IntN(3)], all[:random.IntN(7)]), 99)(m.State)
			}
			if side := random.IntN(3); side < 2 {
				sides[side] = append(sides[side], m)
			}
		}
		if len(sides[0]) > 0 && len(sides[1]) > 0 {
			a, b := judge(ringOf(99), sides[0], none), judge(ringOf(98), sides[1], none)
			if a.OK && b.OK {
				t.Fatalf("N %d, voters %s: both sides go on: %s; %s", n, names(base.Voters), summary(a), summary(b))
			}
		}
	}
}

// FuzzJudge reads bytes as States: each a length and a message's body.
func FuzzJudge(f *testing.F) {
	for _, c := range judgements() {
		f.Add(bytesOf(c.told))
	}
	random := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		f.Add(bytesOf(hostile(random)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var told []Told
		for len(b) >= 4 && len(told) < wire.MaxRing {
			n := int(binary.LittleEndian.Uint32(b))
			if b = b[4:]; n > len(b) {
				return
			}
			m := Told{Member: idOf(rune('a' + len(told)))}
			if s := new(wire.ClusterState); wire.ParseClusterPart(b[:n], s) == nil {
				m.State = s
			}
			told, b = append(told, m), b[n:]
		}
		if len(told) == 0 {
			return
		}
		d := judge(ringOf(99), told, none)
		holds(t, told, d)
		slices.Reverse(told)
		if again := judge(ringOf(99), told, none); !reflect.DeepEqual(d, again) {
			t.Fatalf("in another order\n%s\nnot\n%s", summary(again), summary(d))
		}
	})
}

func bytesOf(told []Told) []byte {
	var b []byte
	for _, m := range told {
		if m.State == nil {
			b = binary.LittleEndian.AppendUint32(b, 0)
			continue
		}
		part := wire.AppendClusterPart(nil, m.State)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return b
}
