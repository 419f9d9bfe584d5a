package workload

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// ringSeed is the seed of the payloads here.
const ringSeed = 9

// fakeMember is the application at a member of a ring, whose ring is the test.
type fakeMember struct {
	*recorder
	time  clock.Time
	maker *measure.Maker
}

func newFakeMember(members int) *fakeMember {
	m := &fakeMember{time: 1, maker: measure.NewMaker(64, ringSeed)}
	m.recorder = newRecorder(members, 64, ringSeed, 1, func() clock.Time { return m.time })
	return m
}

// gets delivers message n of a member, sent a microsecond ago.
func (m *fakeMember) gets(from int, n uint64) {
	b := m.maker.Make(measure.Message{Number: uint64(from+1)<<senderShift | n, Measured: true, Stamp: int64(m.time)})
	m.time += 1000
	m.take(&blaze.Delivery{Payload: b, From: blaze.MemberID{byte(from + 1)}, Received: int64(m.time)})
}

func (m *fakeMember) enters(kind blaze.ViewKind, ring uint64, members int) {
	m.view(blaze.View{Kind: kind, ID: blaze.ViewID{Sequence: ring}, Members: make([]blaze.MemberID, members)})
}

// ring makes two members in ring 1 that deliver n messages of each other, in turn.
func fakeRing(n uint64) (a, b *fakeMember) {
	a, b = newFakeMember(2), newFakeMember(2)
	for _, m := range []*fakeMember{a, b} {
		m.enters(blaze.ViewRegular, 1, 2)
		for i := range n {
			m.gets(0, i+1)
			m.gets(1, i+1)
		}
	}
	return a, b
}

// ringOf is a run of a ring that is over.
func ringOf(g RingOptions) *run {
	r := &run{kind: Order, o: Options{Size: 64, Protocol: blaze.Totem, Ring: g}, res: &measure.Result{}}
	r.ringResult()
	return r
}

// judge has a run sum up what members report.
func judge(t *testing.T, members ...*fakeMember) *measure.OrderResult {
	t.Helper()
	r := ringOf(RingOptions{Members: len(members), Verify: true})
	var reports []*report
	for _, m := range members {
		reports = append(reports, m.report(0))
	}
	if err := r.sumRing(reports); err != nil {
		t.Fatal(err)
	}
	return r.ring.res
}

func TestVerifyCatchesPlantedViolations(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(a, b *fakeMember)
		want  string // empty: all is well
	}{
		{"the same order", func(a, b *fakeMember) {}, ""},
		{"one is behind", func(a, b *fakeMember) { a.gets(0, 11); a.gets(1, 11); b.gets(0, 11) }, ""},
		{"two senders' messages the other way round", func(a, b *fakeMember) {
			a.gets(0, 11)
			a.gets(1, 11)
			b.gets(1, 11)
			b.gets(0, 11)
		}, "members 0 and 1 in ring 1@"},
		{"another message", func(a, b *fakeMember) { a.gets(0, 11); b.gets(1, 11) }, "another order between messages 21 and 21"},
		{"both go on, one lacks a message", func(a, b *fakeMember) {
			a.gets(0, 11)
			for _, m := range []*fakeMember{a, b} {
				m.enters(blaze.ViewTransitional, 2, 2)
				m.enters(blaze.ViewRegular, 2, 2)
			}
		}, "21 and 20 messages, though both went on"},
		{"they part, and what was agreed among few differs", func(a, b *fakeMember) {
			a.enters(blaze.ViewTransitional, 2, 1)
			b.enters(blaze.ViewTransitional, 3, 1)
			a.gets(0, 11)
			b.gets(1, 11)
			a.enters(blaze.ViewRegular, 2, 1)
			b.enters(blaze.ViewRegular, 3, 1)
			a.gets(0, 12)
			b.gets(1, 12)
		}, ""},
		{"they part, and what was agreed among all differs", func(a, b *fakeMember) {
			a.gets(0, 11)
			b.gets(1, 11)
			a.enters(blaze.ViewRegular, 2, 1)
			b.enters(blaze.ViewRegular, 3, 1)
		}, "another order between messages 21 and 21"},
		{"they meet again and differ", func(a, b *fakeMember) {
			a.enters(blaze.ViewRegular, 2, 1)
			b.enters(blaze.ViewRegular, 3, 1)
			a.gets(0, 11)
			a.enters(blaze.ViewRegular, 4, 2)
			b.enters(blaze.ViewRegular, 4, 2)
			a.gets(0, 12)
			b.gets(1, 12)
		}, "members 0 and 1 in ring 4@"},
		{"a damaged message at one", func(a, b *fakeMember) {
			a.gets(0, 11)
			msg := slices.Clone(a.maker.Make(measure.Message{Number: 1<<senderShift | 11}))
			msg[12] ^= 1
			b.take(&blaze.Delivery{Payload: msg})
		}, "another order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := fakeRing(10)
			c.plant(a, b)
			r := judge(t, a, b)
			all := strings.Join(r.Violations, "\n")
			if c.want == "" != (r.OrderViolations == 0) || !strings.Contains(all, c.want) {
				t.Errorf("%d violations: %q, want %q", r.OrderViolations, all, c.want)
			}
		})
	}
}

// A sequence is too long for a mark at each message: an error anywhere must show all the same.
func TestVerifyLongSequences(t *testing.T) {
	const n = 5 * maxMarks / 2
	a, _ := fakeRing(n)
	b := newFakeMember(2)
	b.enters(blaze.ViewRegular, 1, 2)
	for i := range uint64(n) {
		if i == 1000 {
			b.gets(1, i+1)
			b.gets(0, i+1)
			continue
		}
		b.gets(0, i+1)
		b.gets(1, i+1)
	}
	if r := judge(t, a, b); r.OrderViolations != 1 || !strings.Contains(r.Violations[0], "between messages 2001 and 2008") {
		t.Errorf("%d violations: %v", r.OrderViolations, r.Violations)
	}
	for i := range uint64(777) { // one is behind: marks of another density
		a.gets(0, n+i+1)
	}
	a2, _ := fakeRing(n)
	if r := judge(t, a, a2); r.OrderViolations != 0 || r.Compared < 2*n-8 {
		t.Errorf("%v, %d messages compared", r.Violations, r.Compared)
	}
}

func TestMarksOfAMemberThatWasKilled(t *testing.T) {
	a, b := fakeRing(10)
	a.enters(blaze.ViewTransitional, 2, 1) // b was killed
	a.gets(0, 11)
	a.enters(blaze.ViewRegular, 2, 1)
	b.gets(1, 11)
	ring, s := b.seq.stretches[0].Ring, b.seq.stretches[0]
	before, after := mark{ring, 20, s.Marks[19]}, mark{ring, 21, s.Marks[20]}
	beyond := mark{ring, 30, 1}
	for _, c := range []struct {
		name string
		m    mark
		safe bool
		ok   bool
	}{
		{"the same before", before, true, true},
		{"other hash before", mark{ring, 20, 1}, false, false},
		{"agreed promises nothing after the transitional view", after, false, true},
		{"safe does", after, true, false},
		{"agreed may be lost with who delivered it", beyond, false, true},
		{"safe may not", beyond, true, false},
		{"a ring that the other was not in", mark{"7@", 1, 1}, true, true},
	} {
		where, _ := verifyMarks([]mark{c.m}, a.seq.from(0), c.safe)
		if c.ok != (where == "") {
			t.Errorf("%s: %q", c.name, where)
		}
	}
}

func TestRecorderCountsDefects(t *testing.T) {
	m, _ := fakeRing(10)
	m.gets(0, 12) // 11 is missing
	m.gets(0, 11) // and comes late
	m.gets(0, 11)
	m.gets(1, 3)
	m.gets(2, 1) // a member that there is not
	b := m.maker.Make(measure.Message{Number: 1<<senderShift | 13})
	m.take(&blaze.Delivery{Payload: b, From: blaze.MemberID{77}})
	p := m.report(0)
	if !slices.Equal(p.Ring.Delivered, []uint64{12, 10}) || p.Reordered != 1 || p.Duplicates != 2 || p.Corrupt != 2 {
		t.Errorf("delivered %d, reordered %d, duplicates %d, corrupt %d", p.Delivered, p.Reordered, p.Duplicates, p.Corrupt)
	}
	if r := judge(t, m); r.OrderViolations != 3 {
		t.Errorf("%d violations, want 3: what comes again or late breaks the order", r.OrderViolations)
	}
}

func TestTimesOfOwnAndLastDelivery(t *testing.T) {
	a, b := newFakeMember(2), newFakeMember(2)
	for i := range uint64(3 * maxSamples) {
		for _, m := range []*fakeMember{a, b} {
			at := m.time
			msg := m.maker.Make(measure.Message{Number: 1<<senderShift | i + 1, Measured: true, Stamp: int64(at)})
			m.time += 5000
			if m == b {
				m.time += 2000
			}
			m.take(&blaze.Delivery{Payload: msg, From: blaze.MemberID{1}, Received: int64(m.time)})
			m.time = at + 7000
		}
	}
	r := judge(t, a, b)
	near := func(got, want int64) bool { return math.Abs(float64(got-want)) < 10 }
	if r.Own == nil || !near(r.Own.Min, 5000) || !near(r.Own.Max, 5000) {
		t.Errorf("own delivery %+v, want 5 µs", r.Own)
	}
	if p := r.Last; p != nil && (!near(p.Min, 7000) || !near(p.Max, 7000)) {
		t.Errorf("last delivery %+v, want 7 µs", p)
	}
}

func TestFailoverIsTheStallUntilANewRingDelivers(t *testing.T) {
	const kill, pause = 50_000, 100_000_000
	for _, c := range []struct {
		name  string
		first func(a *fakeMember) // what comes after the pause
	}{
		{"the new ring's first message", func(a *fakeMember) { a.enters(blaze.ViewTransitional, 2, 1) }},
		{"what was recovered, before any view", func(a *fakeMember) { a.gets(0, 12); a.enters(blaze.ViewTransitional, 2, 1) }},
		{"safe messages, in the transitional view", func(a *fakeMember) { a.enters(blaze.ViewTransitional, 2, 1); a.gets(0, 12) }},
	} {
		a, _ := fakeRing(10)
		a.time += 2 * pause // an earlier pause has nothing to do with it
		a.gets(1, 11)
		a.seq.watch.Store(int64(a.time) + kill)
		a.time += kill
		a.gets(0, 11)
		a.time += pause
		c.first(a)
		a.enters(blaze.ViewRegular, 2, 1)
		r := ringOf(RingOptions{Members: 2, Kill: true})
		if r.failover([]*report{a.report(0), nil}); r.ring.res.FailoverMS != nil {
			t.Errorf("%s: nothing was delivered in the new ring, and it counts as working", c.name)
		}
		a.gets(0, 13)
		a.time += 3 * pause // nor has a later one
		a.gets(0, 14)
		// And a later ring in which nothing is sent takes nothing back.
		a.enters(blaze.ViewRegular, 3, 1)
		r.failover([]*report{a.report(0), nil})
		if r.ring.res.FailoverMS == nil || math.Abs(*r.ring.res.FailoverMS-100) > 0.1 {
			t.Errorf("%s: failover %v, want 100 ms", c.name, r.ring.res.FailoverMS)
		}
	}
}

func TestRecorderAllocatesNothing(t *testing.T) {
	m := newFakeMember(1)
	m.enters(blaze.ViewRegular, 1, 1)
	marks := make(chan mark, 1)
	m.seq.marks = marks
	n := uint64(0)
	if a := testing.AllocsPerRun(3*maxSamples, func() { n++; m.gets(0, n) }); a != 0 {
		// The Delivery that gets makes does not escape, nor does its payload.
		t.Errorf("%v allocations a message", a)
	}
}

func TestRingOptionsNameValueAndRange(t *testing.T) {
	for _, c := range []struct {
		change func(o *Options)
		want   string
	}{
		{func(o *Options) { o.Ring.Members = 17 }, "members 17: want 1 to 16"},
		{func(o *Options) { o.Ring.Members, o.Ring.Kill = 1, true }, "members 1: to kill one"},
		{func(o *Options) { o.Protocol = blaze.FEC }, `protocol "fec": want totem or nack`},
		{func(o *Options) { o.Protocol, o.Ring.Verify = blaze.NACK, true }, "protocol nack: it has no ring"},
		{func(o *Options) { o.Size = 15 }, "size 15: a message needs 16"},
		{func(o *Options) { o.Rate = math.NaN() }, "rate NaN: want 0"},
		{func(o *Options) { o.Loss = 1 }, "loss 1: want a share"},
		{func(o *Options) { o.Idle = "lazy" }, `idle "lazy": want busyspin, backoff or block`},
		{func(o *Options) { o.Ring.Profile = "wan" }, `profile "wan": want lan, isolated or shared`},
		{func(o *Options) { o.Duration = time.Millisecond }, "duration 1ms: want 10ms to"},
		{func(o *Options) { o.Rig = "veth" }, "rig veth has two ends"},
	} {
		o := Options{Protocol: blaze.Totem}
		c.change(&o)
		if _, err := o.fill(Order); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	o, err := Options{Protocol: blaze.Totem, Ring: RingOptions{Members: MaxRing}}.fill(Order)
	if err != nil || o.Idle != crowdedIdle || o.Ring.Profile != blaze.LAN.String() {
		t.Errorf("%d members, more than there are CPUs: %s, %s, %v", MaxRing, o.Idle, o.Ring.Profile, err)
	}
}
