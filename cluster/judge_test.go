package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// In these tables a member is one letter, which is its name, its seat and its MemberID. An upper-case letter is a
// process of the lower-case name that was started later. The letters have started in the order of the alphabet.

func idOf(letter rune) (id [16]byte) {
	id[0] = byte(letter)
	if id[0] < 'a' { // keeps the order of the letters
		id[0], id[1] = id[0]+'a'-'A', 1
	}
	return id
}

func startOf(letter rune) uint64 {
	if letter < 'a' {
		return 1000 + uint64(letter-'A')
	}
	return 1 + uint64(letter-'a')
}

func voterNamed(letter rune) wire.Voter {
	return wire.Voter{Seat: idOf(letter), Name: wire.ClusterHash(strings.ToLower(string(letter))), Started: startOf(letter)}
}

// voters reads "abc"; "a!" is a voter with a disk.
func voters(letters string) []wire.Voter {
	var list []wire.Voter
	for _, letter := range letters {
		if letter == '!' {
			list[len(list)-1].Disk = true
			continue
		}
		list = append(list, voterNamed(letter))
	}
	return list
}

func names(voters []wire.Voter) string {
	var s strings.Builder
	for _, v := range voters {
		s.WriteString(nameOf(v.Seat))
	}
	return s.String()
}

func nameOf(id [16]byte) string {
	if id[1] == 1 {
		return strings.ToUpper(string(rune(id[0])))
	}
	return string(rune(id[0]))
}

func ringOf(seq uint64) wire.RingID { return wire.RingID{Rep: wire.MemberID{1}, Seq: seq} }

// Chains of these tables: A was founded before B.
var (
	chainA = wire.Chain{Ring: ringOf(1), Founded: 1000}
	chainB = wire.Chain{Ring: ringOf(2), Founded: 2000}
)

// prim is a primary of chain A. ring is its ring's sequence; all members of the ring are in seats.
func prim(epoch, ring uint64, set, seats string) wire.Primary {
	p := wire.Primary{Chain: chainA, Epoch: epoch, Ring: ringOf(ring), Voters: voters(set)}
	for _, letter := range seats {
		p.Seats = append(p.Seats, idOf(letter))
	}
	return p
}

func inB(p wire.Primary) wire.Primary { p.Chain = chainB; return p }

type fact func(*wire.ClusterState)

// tell is the State of a fresh member that supports the first rules, with facts.
func tell(letter rune, facts ...fact) Told {
	s := &wire.ClusterState{
		Seat: idOf(letter), Name: strings.ToLower(string(letter)), Started: startOf(letter), RulesMin: 1, RulesMax: 1,
		MaxValue: 1 << 20, StateLimit: 1 << 30,
	}
	for _, f := range facts {
		f(s)
	}
	return Told{Member: idOf(letter), State: s}
}

// in says that the member's replica belongs to p, which it was in last, and has come to end.
func in(p wire.Primary, end uint64) fact {
	return func(s *wire.ClusterState) {
		s.Last = &p
		s.Stages = []wire.Stage{{Primary: p, End: end, Hash: end, Rules: 1, Voters: p.Voters}}
		s.Index, s.Hash, s.Certain, s.CertainIndex = end, end, p.Voters, end
	}
}

// last says that the member has gone on to p without its replica.
func last(p wire.Primary) fact { return func(s *wire.ClusterState) { s.Last = &p } }

// tried says that p is open here, and that the tail does not have its opening.
func tried(p wire.Primary) fact {
	return func(s *wire.ClusterState) { s.Tried = append(s.Tried, p) }
}

// open says that p is open here, and that the tail goes on through its opening to end.
func open(p wire.Primary, end uint64) fact {
	return func(s *wire.ClusterState) {
		s.Tried = append(s.Tried, p)
		s.Stages = append(s.Stages, wire.Stage{Primary: p, End: end, Hash: end, Rules: 1, Voters: p.Voters})
	}
}

// tail says that the tail brings the last stage to end.
func tail(end uint64) fact {
	return func(s *wire.ClusterState) {
		t := &s.Stages[len(s.Stages)-1]
		t.End, t.Hash = end, end
	}
}

// became says that the tail has a change of the voters, in the last stage, at index.
func became(set string, index uint64) fact {
	return func(s *wire.ClusterState) {
		t := &s.Stages[len(s.Stages)-1]
		t.Voters = voters(set)
		t.Between = append(t.Between, wire.VoterSet{Index: index, Voters: t.Voters})
	}
}

// certain says that the replica has a change of the voters that is certain.
func certain(set string, index uint64) fact {
	return func(s *wire.ClusterState) {
		s.Certain, s.CertainIndex = voters(set), index
		s.Stages[0].Voters = s.Certain
	}
}

func hash(h uint64) fact {
	return func(s *wire.ClusterState) { s.Stages[len(s.Stages)-1].Hash = h }
}

func expect(n uint32) fact          { return func(s *wire.ClusterState) { s.Expected = n } }
func disk(s *wire.ClusterState)     { s.Disk = true }
func observer(s *wire.ClusterState) { s.Observer = true }
func forced(s *wire.ClusterState)   { s.Forced = true }
func atClock(t uint64) fact         { return func(s *wire.ClusterState) { s.Wall = t } }
func started(t uint64) fact         { return func(s *wire.ClusterState) { s.Started = t } }
func named(name string) fact        { return func(s *wire.ClusterState) { s.Name = name } }
func builds(min, max uint32) fact {
	return func(s *wire.ClusterState) { s.RulesMin, s.RulesMax = min, max }
}
func rules(v uint32) fact {
	return func(s *wire.ClusterState) { s.Stages[len(s.Stages)-1].Rules = v }
}

// summary says what a Decision decides, in one line.
func summary(d *Decision) string {
	var s []string
	add := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	o := &d.Opening
	if d.OK {
		if o.Primary.Chain == chainB {
			add("chain B")
		}
		if o.Founding {
			add("founds")
		}
		add("%d %s current", o.Primary.Epoch, names(o.Primary.Voters))
		for _, id := range d.Current {
			s[len(s)-1] += " " + nameOf(id)
		}
		if d.Resumed != nil {
			add("from %d/%d at %d", d.Resumed.Epoch, d.Resumed.Ring.Seq, o.End)
		}
		if o.Base != o.End {
			add("base %d", o.Base)
		}
		if o.Rules != 1 {
			add("rules %d", o.Rules)
		}
		switch d.Wait {
		case WaitDiscovery:
			add("discovery")
		case WaitRejoin:
			add("rejoin")
		}
		if d.Filler != (wire.MemberID{}) {
			add("%s fills after %d", nameOf(d.Filler), d.FillFrom)
		}
	} else {
		add("no: %v", d.Why)
	}
	for _, m := range d.Members {
		switch {
		case m.Twin:
			add("twin %s", nameOf(m.Member))
		case m.Refused:
			add("refused %s", nameOf(m.Member))
		case m.Unsupported:
			add("unsupported %s", nameOf(m.Member))
		case m.Took:
			add("%s for %s", nameOf(m.Member), nameOf(m.Seat))
		}
	}
	if len(d.Missing) > 0 {
		add("missing %s", names(d.Missing))
	}
	for i := range d.Failed {
		add("failed %d/%d", d.Failed[i].Epoch, d.Failed[i].Ring.Seq)
	}
	for i := range d.Open {
		add("open %d/%d", d.Open[i].Epoch, d.Open[i].Ring.Seq)
	}
	return strings.Join(s, ", ")
}

type judgement struct {
	name  string
	n     uint32 // every member's ExpectedMembers
	told  []Told
	want  string
	leave defect
}

func (c *judgement) judge() *Decision {
	for _, t := range c.told {
		if c.n > 0 && t.State != nil && t.State.Expected == 0 {
			t.State.Expected = c.n
		}
	}
	return judge(ringOf(99), c.told, c.leave)
}

func judgements() []judgement {
	p5 := prim(5, 50, "abc", "abc")
	p5abcd := prim(5, 50, "abcd", "abcd")
	p5ab := prim(5, 50, "ab", "ab")
	x6 := prim(6, 60, "abc", "abc")
	x6ab := prim(6, 61, "ab", "ab")
	b3 := inB(prim(3, 30, "de", "de"))
	founding := prim(1, 1, "abc", "abc")
	return []judgement{
		// 7.5: founding.
		{name: "one fresh member founds after it has looked for others", told: []Told{tell('a')}, want: "founds, 1 a current a, discovery"},
		{name: "voters in order of start", told: []Told{tell('a', started(9)), tell('b', started(8)), tell('c')}, want: "founds, 1 cba current a b c, discovery"},
		{name: "all that were expected found at once", n: 3, told: []Told{tell('a'), tell('b'), tell('c')}, want: "founds, 1 abc current a b c"},
		{name: "a majority waits for the others first", n: 3, told: []Told{tell('a'), tell('b')}, want: "founds, 1 ab current a b, rejoin"},
		{name: "less than a majority of those expected does not", n: 3, told: []Told{tell('a')}, want: "no: too few members"},
		{name: "half of them neither", n: 4, told: []Told{tell('a'), tell('b')}, want: "no: too few members"},
		{name: "the largest number told holds", told: []Told{tell('a', expect(5)), tell('b', expect(1))}, want: "no: too few members"},
		{name: "no more seats than expected", n: 2, told: []Told{tell('a'), tell('b'), tell('c')}, want: "founds, 1 ab current a b c"},
		{name: "seats for those with a disk only", n: 3, told: []Told{tell('a'), tell('b', disk), tell('c', disk)}, want: "founds, 1 bc current a b c"},
		{name: "the first N of those with a disk", n: 2, told: []Told{tell('a'), tell('b', disk), tell('c', disk), tell('d', disk)}, want: "founds, 1 bc current a b c d"},
		{name: "tokens rise with the clocks", told: []Told{tell('a', atClock(500)), tell('b', atClock(800))}, want: "founds, 1 ab current a b, base 800, discovery"},
		{name: "a clock that is far off counts as none", told: []Told{tell('a', atClock(500)), tell('b', atClock(1<<62))}, want: "founds, 1 ab current a b, base 500, discovery"},
		{name: "an observer founds nothing", told: []Told{tell('a', observer)}, want: "no: only observers"},
		{name: "and does not make a majority", n: 3, told: []Told{tell('a'), tell('b', observer)}, want: "no: too few members"},
		{name: "it follows", n: 1, told: []Told{tell('a', observer), tell('b')}, want: "founds, 1 b current a b"},

		// 6.1: the same members go on.
		{name: "all are current", told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 abc current a b c, from 5/50 at 90"},
		{name: "the longest replica is the best; the others are filled", told: []Told{tell('a', in(p5, 80), tail(90)), tell('b', in(p5, 80), tail(95)), tell('c', in(p5, 70))}, want: "6 b current b, from 5/50 at 95, b fills after 70"},
		{name: "of two that differ at one end the smaller hash", told: []Told{tell('a', in(p5, 90), hash(7)), tell('b', in(p5, 90), hash(6))}, want: "6 b current b, from 5/50 at 90, b fills after 90, missing c"},
		{name: "of three that of two", told: []Told{tell('a', in(p5, 90), hash(6)), tell('b', in(p5, 90), hash(7)), tell('c', in(p5, 90), hash(7))}, want: "6 bc current b c, from 5/50 at 90, b fills after 90"},
		{name: "a fresh one learns", told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('d')}, want: "6 ab current a b, from 5/50 at 90, missing c"},
		{name: "a replica of an older primary learns, however long it is", told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('c', in(prim(4, 40, "abc", "abc"), 99))}, want: "6 ab current a b, from 5/50 at 90, base 99"},
		{name: "nobody has the last primary's end", told: []Told{tell('a', in(prim(4, 40, "abc", "abc"), 99)), tell('b', in(prim(4, 40, "abc", "abc"), 99)), tell('c', last(p5))}, want: "no: no replica of the last primary is here"},
		{name: "the highest epoch is that of anybody who tells of one, also of a failed claim", told: []Told{tell('a', in(p5, 90), tried(prim(9, 70, "abc", "abc"))), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "10 abc current a b c, from 5/50 at 90, failed 9/70"},

		// 7: quorums, N = 0.
		{name: "two of three", told: []Told{tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 bc current b c, from 5/50 at 90, missing a"},
		{name: "one of three", told: []Told{tell('a', in(p5, 90))}, want: "no: no quorum of the voters, missing bc"},
		{name: "half of four with the longest-serving one", told: []Told{tell('a', in(p5abcd, 90)), tell('d', in(p5abcd, 90))}, want: "6 ad current a d, from 5/50 at 90, missing bc"},
		{name: "half of four without", told: []Told{tell('b', in(p5abcd, 90)), tell('c', in(p5abcd, 90))}, want: "no: no quorum of the voters, missing ad"},
		{name: "the longest-serving one of two", told: []Told{tell('a', in(p5ab, 90))}, want: "6 a current a, from 5/50 at 90, missing b"},
		{name: "the other one of two", told: []Told{tell('b', in(p5ab, 90))}, want: "no: no quorum of the voters, missing a"},
		{name: "the last of one", told: []Told{tell('b', in(prim(5, 50, "ab", "ab"), 90), certain("b", 90))}, want: "6 b current b, from 5/50 at 90"},
		{name: "who serves longest is first in the list, not in the alphabet", told: []Told{tell('b', in(prim(5, 50, "bacd", "abcd"), 90)), tell('d', in(prim(5, 50, "bacd", "abcd"), 90))}, want: "6 bd current b d, from 5/50 at 90, missing ac"},
		{name: "and stays first", told: []Told{tell('b', in(prim(5, 50, "dba", "abd"), 90)), tell('d', in(prim(5, 50, "dba", "abd"), 90)), tell('e')}, want: "6 db current b d, from 5/50 at 90, missing a"},

		// 7: quorums, N > 0.
		{name: "two of three expected: the third keeps its seat", n: 3, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90))}, want: "6 abc current a b, from 5/50 at 90, missing c"},
		{name: "of two halves neither", n: 4, told: []Told{tell('a', in(p5abcd, 90)), tell('b', in(p5abcd, 90))}, want: "no: too few members, missing cd"},
		{name: "a majority of the voters is no majority of those expected", n: 5, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90))}, want: "no: too few members, missing c"},
		{name: "a majority of those expected is none of the voters", n: 3, told: []Told{tell('a', in(p5, 90)), tell('d')}, want: "no: no quorum of the voters, missing bc"},
		{name: "half of the voters with the longest-serving one is none", n: 2, told: []Told{tell('a', in(p5ab, 90)), tell('c')}, want: "no: no quorum of the voters, missing b"},
		{name: "after exits the voters that are left", n: 3, told: []Told{tell('a', in(p5, 90), certain("a", 90)), tell('d')}, want: "6 a current a, from 5/50 at 90"},

		// 7.0: who the voters are.
		{name: "N > 0: a current member takes a free seat", n: 4, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('d', in(p5, 90))}, want: "6 abcd current a b d, from 5/50 at 90, missing c"},
		{name: "else that of a voter that is away", n: 3, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('d', in(p5, 90))}, want: "6 abd current a b d, from 5/50 at 90, missing c"},
		{name: "of the same name first", n: 5, told: []Told{tell('a', in(prim(5, 50, "abcde", "abcde"), 90)), tell('b', in(prim(5, 50, "abcde", "abcde"), 90)), tell('c', in(prim(5, 50, "abcde", "abcde"), 90)), tell('E', in(prim(5, 50, "abcde", "abcde"), 90))}, want: "6 abcdE current a b c E, from 5/50 at 90, E for e, missing d"},
		{name: "else none", n: 3, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90)), tell('d', in(p5, 90))}, want: "6 abc current a b c d, from 5/50 at 90"},
		{name: "a learner takes none", n: 4, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('d')}, want: "6 abc current a b, from 5/50 at 90, missing c"},
		{name: "a learner keeps its own", n: 3, told: []Told{tell('a', in(p5, 90)), tell('b', last(p5)), tell('d')}, want: "6 abc current a, from 5/50 at 90, missing c"},
		{name: "N = 0: those who are away, and learners, lose it", told: []Told{tell('a', in(p5abcd, 90)), tell('b', in(p5abcd, 90)), tell('c', last(p5abcd))}, want: "6 ab current a b, from 5/50 at 90, missing d"},
		{name: "N = 0: a member that was filled has it", told: []Told{tell('a', in(p5ab, 90)), tell('b', in(p5ab, 90)), tell('c', in(p5ab, 90))}, want: "6 abc current a b c, from 5/50 at 90"},
		{name: "fewer are expected than there are seats", n: 2, told: []Told{tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 bc current b c, from 5/50 at 90, missing a"},
		{name: "nor are those who are away kept for learners", n: 2, told: []Told{tell('b', in(p5, 90)), tell('c', last(p5))}, want: "6 bc current b, from 5/50 at 90, missing a"},
		{name: "the youngest one goes if all are here", n: 2, told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 ab current a b c, from 5/50 at 90"},
		{name: "the voters at the end of the tail are those that count", n: 3, told: []Told{tell('a', in(p5, 90), tail(95), became("ab", 94)), tell('b', in(p5, 90))}, want: "6 ab current a, from 5/50 at 95, a fills after 90, missing c"},
		{name: "observers have none, and serve their replica", n: 3, told: []Told{tell('a', last(p5)), tell('b', last(p5)), tell('o', in(p5, 90), observer)}, want: "6 abc current o, from 5/50 at 90, missing c"},
		{name: "N = 0: nor then", told: []Told{tell('a', last(p5)), tell('b', last(p5)), tell('o', in(p5, 90), observer)}, want: "6 abc current o, from 5/50 at 90, missing c"},
		{name: "an observer with a voter's seat has no vote", told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90), observer)}, want: "no: no quorum of the voters, missing c"},

		// 6.1: every set of voters that may be in force.
		{name: "a Ready in a tail: both sets are asked", told: []Told{tell('a', in(p5ab, 90), tail(95), became("abcd", 94))}, want: "no: no quorum of the voters, missing bcd"},
		{name: "both have one", told: []Told{tell('a', in(p5ab, 90), tail(95), became("abc", 94)), tell('c', last(p5ab))}, want: "6 a current a, from 5/50 at 95, missing b"},
		{name: "what is certain to one asks nobody else's older sets", told: []Told{tell('a', in(p5, 95), certain("a", 94)), tell('b', in(p5, 80), tail(93), became("abcd", 92))}, want: "6 a current a, from 5/50 at 95, a fills after 80"},
		{name: "what is certain holds against the set that the primary began with", told: []Told{tell('a', in(p5, 90), certain("abde", 80)), tell('b', in(p5, 90), certain("abde", 80))}, want: "6 ab current a b, from 5/50 at 90, missing de"},
		{name: "the latest that is certain", told: []Told{tell('a', in(p5, 90), certain("dabe", 80)), tell('b', in(p5, 90), certain("ab", 85))}, want: "6 ab current a b, from 5/50 at 90"},
		{name: "without a replica of the last primary, the set that it began with", told: []Told{tell('a', in(prim(4, 40, "ad", "ad"), 80), open(p5, 90)), tell('b', last(p5))}, want: "6 a current a, from 5/50 at 90, missing c, open"},

		// 6.1, 6.2: claims whose end is not known.
		{name: "an open primary is what goes on where its history is here", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', in(p5, 90), open(x6, 95))}, want: "7 ab current a b, from 6/60 at 95, missing c, open 6/60"},
		{name: "it needs a quorum of its voters too", told: []Told{tell('a', in(p5, 90), open(prim(6, 60, "abcde", "abcde"), 95)), tell('b', in(p5, 90), open(prim(6, 60, "abcde", "abcde"), 95))}, want: "no: no quorum of the voters, missing cde, open 6/60"},
		{name: "its history is not here", told: []Told{tell('a', in(p5, 90), tried(x6)), tell('b', in(p5, 90), tried(x6))}, want: "no: no replica of the last primary is here, missing c, open 6/60"},
		{name: "it has failed: a member of its ring did not see all claims", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', in(p5, 90))}, want: "7 ab current a b, from 5/50 at 90, base 95, missing c, failed 6/60"},
		{name: "an observer of its ring proves it as well", told: []Told{tell('a', in(p5, 90), open(prim(6, 60, "abc", "abco"), 95)), tell('b', in(p5, 90), open(prim(6, 60, "abc", "abco"), 95)), tell('o', in(p5, 90), observer)}, want: "7 ab current a b o, from 5/50 at 90, base 95, missing c, failed 6/60"},
		{name: "a member that was not in its ring proves nothing", told: []Told{tell('a', in(p5, 90), open(x6ab, 95)), tell('c', in(p5, 90))}, want: "7 a current a, from 6/61 at 95, a fills after 90, missing b, open 6/61"},
		{name: "a member that has gone on from it proves nothing: it is moot", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', in(prim(7, 70, "bc", "bc"), 99)), tell('c', in(prim(7, 70, "bc", "bc"), 99))}, want: "8 bc current b c, from 7/70 at 99, b fills after 90"},
		{name: "nor one that has established it", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', in(x6, 96))}, want: "7 b current b, from 6/60 at 96, b fills after 90, missing c"},
		{name: "nor one that has gone over to another chain", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', last(b3)), tell('c', in(p5, 90), open(x6, 95))}, want: "7 ac current a c, from 6/60 at 95, open 6/60"},
		{name: "a process that has restarted since proves nothing", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('B'), tell('c', in(p5, 90), open(x6, 95))}, want: "7 ac current a c, from 6/60 at 95, B for b, open 6/60"},
		{name: "a seat that comes back from its disk without it had not claimed", told: []Told{tell('a', in(p5, 90), disk, open(x6, 95)), tell('b', in(p5, 90), disk), tell('c', in(p5, 90), disk, open(x6, 95))}, want: "7 abc current a b c, from 5/50 at 90, base 95, failed 6/60"},
		{name: "a founding that failed", told: []Told{tell('a', open(founding, 9)), tell('b')}, want: "founds, 1 ab current a b, base 9, discovery, failed 1/1"},
		{name: "a founding that failed, told by a member that follows another chain", told: []Told{tell('a', in(inB(prim(1, 1, "a", "a")), 9), tried(founding)), tell('b')}, want: "chain B, 2 a current a, from 1/1 at 9, failed 1/1"},
		{name: "an open founding goes on where a quorum has it", told: []Told{tell('a', open(founding, 9)), tell('b', open(founding, 9))}, want: "2 ab current a b, from 1/1 at 9, missing c, open 1/1"},
		{name: "and not with less", told: []Told{tell('a', open(founding, 9)), tell('d')}, want: "no: no quorum of the voters, missing bc, open 1/1"},
		{name: "a failed claim in front of one that is open takes nothing with it", told: []Told{tell('a', in(p5, 90), open(prim(6, 60, "abc", "abcd"), 92), open(prim(7, 70, "ab", "ab"), 95)), tell('b', in(p5, 90), open(prim(6, 60, "abc", "abcd"), 92), open(prim(7, 70, "ab", "ab"), 95)), tell('d', in(p5, 90))}, want: "8 ab current a b, from 7/70 at 95, a fills after 90, missing c, failed 6/60, open 7/70"},
		{name: "of two that are open at one epoch the later ring", told: []Told{tell('a', in(p5, 90), open(prim(6, 60, "ac", "ac"), 97)), tell('b', in(p5, 90), open(prim(6, 61, "bc", "bc"), 95))}, want: "7 b current b, from 6/61 at 95, base 97, b fills after 90, missing c, open 6/60, open 6/61"},
		{name: "what is told as established is not open", told: []Told{tell('a', in(p5, 90), open(x6, 95)), tell('b', in(x6, 95)), tell('c', in(x6, 95))}, want: "7 abc current a b c, from 6/60 at 95"},

		// 7.6: two chains.
		{name: "the chain that was founded first goes on", told: []Told{tell('a', in(p5ab, 90)), tell('b', in(p5ab, 90)), tell('d', in(b3, 200)), tell('e', in(b3, 200))}, want: "6 ab current a b, from 5/50 at 90, base 200"},
		{name: "where it has a quorum", told: []Told{tell('b', in(p5ab, 90)), tell('d', in(b3, 200)), tell('e', in(b3, 200))}, want: "chain B, 4 de current d e, from 3/30 at 200"},
		{name: "neither has", told: []Told{tell('b', in(p5ab, 90)), tell('e', in(b3, 200))}, want: "no: no quorum of the voters, missing a"},
		{name: "a member that has gone over has no vote in its old chain", told: []Told{tell('a', last(b3)), tell('b', in(p5ab, 90)), tell('d', in(b3, 80)), tell('e', in(b3, 80))}, want: "chain B, 4 de current d e, from 3/30 at 80, base 90"},
		{name: "chains of the same time: the smaller ring", told: []Told{tell('a', in(prim(5, 50, "a", "a"), 90)), tell('b', in(wire.Primary{Chain: wire.Chain{Ring: ringOf(2), Founded: 1000}, Epoch: 7, Ring: ringOf(51), Voters: voters("b")}, 91))}, want: "6 a current a, from 5/50 at 90, base 91"},

		// 7.4: seats of restarted processes.
		{name: "a restarted process votes for the one before it", told: []Told{tell('a', in(p5, 90)), tell('C')}, want: "6 a current a, from 5/50 at 90, rejoin, C for c, missing b"},
		{name: "nobody is missing: no wait", told: []Told{tell('b', in(p5ab, 90)), tell('A')}, want: "6 b current b, from 5/50 at 90, A for a"},
		{name: "a quorum without it: no wait", told: []Told{tell('a', in(p5abcd, 90)), tell('b', in(p5abcd, 90)), tell('c', in(p5abcd, 90)), tell('E'), tell('D')}, want: "6 abc current a b c, from 5/50 at 90, D for d"},
		{name: "under another name it does not", told: []Told{tell('a', in(p5, 90)), tell('d')}, want: "no: no quorum of the voters, missing bc"},
		{name: "one process has one seat", told: []Told{tell('a', in(prim(5, 50, "abcCd", "abcd"), 90)), tell('C')}, want: "no: no quorum of the voters, missing bcd"},
		{name: "the start of an older process proves nothing", told: []Told{tell('a', in(p5, 90)), tell('d', named("c"), started(2))}, want: "no: no quorum of the voters, missing bc"},
		{name: "the voter is here itself", n: 3, told: []Told{tell('a', in(p5, 90)), tell('c', observer), tell('C')}, want: "no: no quorum of the voters, missing b"},
		{name: "never with a disk", n: 3, told: []Told{tell('a', in(prim(5, 50, "a!b!c!", "abc"), 90), disk), tell('C')}, want: "no: no quorum of the voters, missing bc"},
		{name: "never by one with a disk", n: 3, told: []Told{tell('a', in(p5, 90)), tell('C', disk)}, want: "no: no quorum of the voters, missing bc"},
		{name: "a learner that took it in the last ring takes it again", n: 3, told: []Told{tell('a', in(prim(6, 60, "abc", "aC"), 90)), tell('C', last(prim(6, 60, "abc", "aC")))}, want: "7 abc current a, from 6/60 at 90, rejoin, C for c, missing b"},
		{name: "one that follows another chain does not", told: []Told{tell('a', in(p5, 90)), tell('C', last(b3))}, want: "no: no quorum of the voters, missing bc"},
		{name: "without a replica of the last primary it is of no use", n: 3, told: []Told{tell('A'), tell('B'), tell('c', last(p5))}, want: "no: no replica of the last primary is here, A for a, B for b"},

		// 17: mixed members.
		{name: "where voters have disks others follow", told: []Told{tell('a', in(prim(5, 50, "a!b!", "ab"), 90), disk), tell('b', in(prim(5, 50, "a!b!", "ab"), 90), disk), tell('c', in(prim(5, 50, "a!b!", "ab"), 90))}, want: "6 ab current a b c, from 5/50 at 90"},
		{name: "also where only they are current", n: 3, told: []Told{tell('a', in(prim(4, 40, "a!b!", "ab"), 80), last(prim(5, 50, "a!b!", "abc")), disk), tell('b', last(prim(5, 50, "a!b!", "abc")), disk), tell('c', in(prim(5, 50, "a!b!", "abc"), 90))}, want: "6 ab current c, from 5/50 at 90, c fills after 80"},
		{name: "and with N = 0", told: []Told{tell('a', in(prim(4, 40, "a!b!", "ab"), 80), last(prim(5, 50, "a!b!", "abc")), disk), tell('b', last(prim(5, 50, "a!b!", "abc")), disk), tell('c', in(prim(5, 50, "a!b!", "abc"), 90))}, want: "6 ab current c, from 5/50 at 90, c fills after 80"},
		{name: "the first voter with a disk ends the vote of those without", n: 3, told: []Told{tell('a', in(p5ab, 90)), tell('b', in(p5ab, 90)), tell('d', in(p5ab, 90), disk)}, want: "6 d current a b d, from 5/50 at 90"},

		// 16: versions of the rules.
		{name: "a founding takes the rules that most support", told: []Told{tell('a', builds(1, 1)), tell('b', builds(1, 2)), tell('c', builds(1, 2))}, want: "founds, 1 abc current a b c, discovery"},
		{name: "the higher of two", told: []Told{tell('a', builds(1, 3)), tell('b', builds(1, 3)), tell('c', builds(1, 3))}, want: "founds, 1 abc current a b c, rules 3, discovery"},
		{name: "an old build founds nothing against two new ones", n: 3, told: []Told{tell('a', builds(1, 1)), tell('b', builds(2, 3)), tell('c', builds(2, 2))}, want: "founds, 1 bc current b c, rules 2, unsupported a"},
		{name: "nobody supports what enough others do", n: 3, told: []Told{tell('a', builds(1, 1)), tell('b', builds(2, 2)), tell('c', builds(3, 3))}, want: "no: builds that do not support the rules in force, unsupported a, unsupported b"},
		{name: "an old build that comes back follows nothing and has no vote", told: []Told{tell('a', in(p5, 90), rules(2), builds(2, 2)), tell('b', in(p5, 90), rules(2), builds(2, 3)), tell('c', in(p5, 80))}, want: "6 ab current a b, from 5/50 at 90, rules 2, unsupported c"},
		{name: "its vote is missed", told: []Told{tell('a', in(p5, 90), rules(2), builds(2, 2)), tell('c', in(p5, 80))}, want: "no: builds that do not support the rules in force, unsupported c, missing b"},
		{name: "a replica that its own build does not support", told: []Told{tell('a', in(p5, 90), rules(2), builds(1, 1)), tell('b', in(p5, 80)), tell('c', in(p5, 80))}, want: "6 bc current b c, from 5/50 at 80, base 90"},
		{name: "nobody's build supports it", told: []Told{tell('a', in(p5, 90), rules(2)), tell('b', in(p5, 90), rules(2))}, want: "no: builds that do not support the rules in force, unsupported a, unsupported b, missing c"},
		{name: "a new build keeps the rules in force", told: []Told{tell('a', in(p5, 90), builds(1, 9)), tell('b', in(p5, 90), builds(1, 9)), tell('c', in(p5, 90), builds(1, 9))}, want: "6 abc current a b c, from 5/50 at 90"},

		// 7.3: Force.
		{name: "forced: the longest of the highest epoch, without a quorum", n: 5, told: []Told{tell('c', in(prim(4, 40, "abc", "abc"), 99), forced), tell('d', in(p5, 90), forced)}, want: "4294967301 d current d, from 5/50 at 90, base 99"},
		{name: "forced: what is open is forgotten, and its history taken", told: []Told{tell('c', in(p5, 90), open(prim(6, 60, "abcde", "abcde"), 95), forced)}, want: "4294967302 c current c, from 6/60 at 95"},
		{name: "forced: not without everybody's word", told: []Told{tell('c', in(p5, 90), forced), tell('d')}, want: "no: no quorum of the voters, missing ab"},
		{name: "forced: nobody holds a replica", told: []Told{tell('c', last(p5), forced), tell('d', forced)}, want: "founds, 4294967301 cd current c d"},
		{name: "forced: nobody knows a chain", n: 5, told: []Told{tell('c', forced)}, want: "founds, 1 c current c"},
		{name: "forced: the oldest chain of which a replica is here", told: []Told{tell('a', last(p5), forced), tell('d', in(b3, 80), forced), tell('e', in(b3, 80), forced)}, want: "chain B, 4294967299 de current d e, from 3/30 at 80"},
		{name: "forced: not by observers alone", told: []Told{tell('a', in(p5, 90), observer, forced)}, want: "no: only observers"},

		// 6: what a member can remember.
		{name: "no claim where a member has no room for it", told: []Told{tell('a', claims(wire.MaxTried)...), tell('b', claims(wire.MaxTried)...)}, want: "no: too many claims whose end is not known, missing c, open"},
		{name: "the last one that has room", told: []Told{tell('a', claims(wire.MaxTried-1)...), tell('b', claims(wire.MaxTried-1)...)}, want: "21 ab current a b, from 20/74 at 105, missing c, open"},
		{name: "what others have gone on from takes no room", told: []Told{tell('a', claims(wire.MaxTried)...), tell('b', in(prim(40, 400, "bc", "bc"), 200)), tell('c', in(prim(40, 400, "bc", "bc"), 200))}, want: "41 bc current b c, from 40/400 at 200, b fills after 90"},

		// 15: States that break a limit.
		{name: "an index near the end of all numbers", told: []Told{tell('a', in(p5, 1<<63)), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 bc current b c, from 5/50 at 90, refused a"},
		{name: "an epoch of the far future", told: []Told{tell('a', in(prim(1<<63, 50, "abc", "abc"), 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 bc current b c, from 5/50 at 90, refused a"},
		{name: "too many voters", told: []Told{tell('a', in(wire.Primary{Chain: chainA, Epoch: 5, Voters: make([]wire.Voter, 10000)}, 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90))}, want: "6 bc current b c, from 5/50 at 90, refused a"},
		{name: "a voter twice", told: []Told{tell('a', in(prim(5, 50, "aab", "ab"), 90)), tell('b')}, want: "founds, 1 b current b, discovery, refused a"},
		{name: "nothing at all", told: []Told{{Member: idOf('a')}, tell('b')}, want: "founds, 1 b current b, discovery, refused a"},
		{name: "more members expected than a ring has", told: []Told{tell('a', expect(17)), tell('b')}, want: "founds, 1 b current b, discovery, refused a"},
		{name: "two members of one seat", told: []Told{tell('a', in(p5, 90)), tell('b', in(p5, 90)), tell('c', in(p5, 90)), tell('d', in(p5, 95), func(s *wire.ClusterState) { s.Seat = idOf('c') })}, want: "6 ab current a b, from 5/50 at 90, twin c, twin d"},
	}
}

// claims is a member with n open ones.
func claims(n int) []fact {
	facts := []fact{in(prim(5, 50, "abc", "abc"), 90)}
	for i := range uint64(n) {
		facts = append(facts, open(prim(6+i, 60+i, "abc", "ab"), 91+i))
	}
	return facts
}

// Rows in whose want "open" stands alone leave out which ones.
func (c *judgement) matches(got string) bool {
	want, some := strings.CutSuffix(c.want, ", open")
	if some {
		got, _, _ = strings.Cut(got, ", open")
	}
	return got == want
}

func TestJudge(t *testing.T) {
	for _, c := range judgements() {
		t.Run(c.name, func(t *testing.T) {
			if got := summary(c.judge()); !c.matches(got) {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

// The order in which States are told does not matter.
func TestJudgeInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range judgements() {
		first := c.judge()
		for range 4 {
			random.Shuffle(len(c.told), func(a, b int) { c.told[a], c.told[b] = c.told[b], c.told[a] })
			if d := c.judge(); !reflect.DeepEqual(d, first) {
				t.Fatalf("%s: in another order\n%s\nnot\n%s", c.name, summary(d), summary(first))
			}
		}
		if !slices.IsSortedFunc(first.Members, func(a, b Judged) int { return bytes.Compare(a.Member[:], b.Member[:]) }) {
			t.Fatalf("%s: members in no order", c.name)
		}
	}
}
