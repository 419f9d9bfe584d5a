package cluster

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Members of the tests: a, b, c … in this order.
func member(name byte) wire.MemberID { return wire.MemberID{name} }

func opening(epoch, base uint64, members string, current string) *wire.Opening {
	o := &wire.Opening{
		Primary:  wire.Primary{Chain: wire.Chain{Ring: wire.RingID{Seq: 1}, Founded: 5}, Epoch: epoch, Ring: wire.RingID{Seq: epoch}},
		Founding: epoch == 1, Base: base, Rules: 1, MaxValue: 1 << 20, StateLimit: 1 << 30,
	}
	for i := range len(members) {
		m := wire.OpeningMember{
			Member: member(members[i]), Seat: wire.Seat{members[i]}, Name: members[i : i+1], Started: uint64(members[i]),
			Guard: 200e6, RulesMin: 1, RulesMax: 2, Current: strings.Contains(current, members[i:i+1]),
		}
		o.Members = append(o.Members, m)
		o.Primary.Seats = append(o.Primary.Seats, m.Seat)
		if m.Current {
			o.Primary.Voters = append(o.Primary.Voters, wire.Voter{Seat: m.Seat, Name: wire.ClusterHash(m.Name), Started: m.Started})
		}
	}
	return o
}

// bench is a State under a test, with the index that each operation takes.
type desk struct {
	t *testing.T
	*State
	now clock.Time
}

func newDesk(t *testing.T, members string) *desk {
	d := &desk{t: t, State: NewState(), now: 1}
	d.Establish(d.now, opening(1, 100, members, members))
	d.ClearEvents()
	return d
}

func op(kind wire.OpKind, key string) wire.ClusterOp {
	return wire.ClusterOp{Kind: kind, Map: []byte("m"), Key: []byte(key)}
}

func put(key, value string) wire.ClusterOp {
	o := op(wire.OpPut, key)
	o.Value = []byte(value)
	return o
}

func lockOp(key string, request uint64) wire.ClusterOp {
	o := op(wire.OpLock, key)
	o.Request, o.Lease = request, int64(time.Second)
	return o
}

// do applies an operation and wants its code and, in short, its events.
func (d *desk) do(by byte, o wire.ClusterOp, code Code, events ...string) Result {
	d.t.Helper()
	before := d.index
	r := d.Apply(d.now, member(by), 0, &o)
	if r.Code != code || r.Index != before+1 || d.index != r.Index {
		d.t.Fatalf("kind %d of %c: code %d at %d, want %d at %d", o.Kind, by, r.Code, r.Index, code, before+1)
	}
	d.want(events...)
	return r
}

var eventNames = [...]string{
	"", "put", "deleted", "expired", "owner gone", "granted", "extended", "released", "orphaned", "master", "vacant", "unseated",
	"entered", "left", "ready", "weight", "voters", "rules",
}

func (e *Event) String() string {
	var b strings.Builder
	b.WriteString(eventNames[e.Kind])
	if e.By != (wire.MemberID{}) {
		fmt.Fprintf(&b, " %c", e.By[0])
	}
	if e.Map != "" && e.Map != "m" {
		fmt.Fprintf(&b, " in %s", e.Map)
	}
	switch {
	case e.New != nil:
		fmt.Fprintf(&b, " %s=%s", e.New.Key(), e.New.Value())
	case e.Old != nil:
		fmt.Fprintf(&b, " %s", e.Old.Key())
	case e.Key != "":
		fmt.Fprintf(&b, " %s", e.Key)
	}
	return b.String()
}

func (d *desk) want(events ...string) {
	d.t.Helper()
	var got []string
	for i := range d.events {
		if d.events[i].Index != d.index {
			d.t.Errorf("event %v has index %d at %d", &d.events[i], d.events[i].Index, d.index)
		}
		got = append(got, d.events[i].String())
	}
	d.ClearEvents()
	if strings.Join(got, "; ") != strings.Join(events, "; ") {
		d.t.Errorf("events %q, want %q", got, events)
	}
}

func with(o wire.ClusterOp, f func(*wire.ClusterOp)) wire.ClusterOp {
	f(&o)
	return o
}

func compared(o wire.ClusterOp, version uint64) wire.ClusterOp {
	o.Compare, o.Version = true, version
	return o
}

func holding(o wire.ClusterOp, token uint64) wire.ClusterOp {
	o.HasToken, o.Token = true, token
	return o
}

func TestPut(t *testing.T) {
	d := newDesk(t, "ab")
	d.do('a', put("k", "1"), CodeOK, "put a k=1")
	v := d.index
	d.do('b', compared(put("k", "2"), 0), CodeVersion)
	d.do('b', compared(put("k", "2"), v+1), CodeVersion)
	d.do('b', compared(put("k", "2"), v), CodeOK, "put b k=2")
	d.do('a', compared(put("new", ""), 7), CodeVersion)
	d.do('a', compared(put("new", ""), 0), CodeOK, "put a new=")
	if e := d.Get([]byte("m"), []byte("new")); e == nil || e.Value() == nil || len(e.Value()) != 0 {
		t.Error("an empty value is not an absent one")
	}
	d.do('a', compared(op(wire.OpDelete, "k"), v), CodeVersion)
	d.do('a', op(wire.OpDelete, "k"), CodeOK, "deleted a k")
	d.do('a', op(wire.OpDelete, "k"), CodeOK)
	d.do('a', op(wire.OpDelete, "other"), CodeOK)
	d.do('a', with(op(wire.OpDelete, "k"), func(o *wire.ClusterOp) { o.Map = []byte("none") }), CodeOK)
	if s := d.Size(); s.Entries != 1 || s.Bytes != 3+EntryBytes || s.Maps != 1 {
		t.Errorf("size %+v", s)
	}
	d.do('a', op(wire.OpDelete, "new"), CodeOK, "deleted a new")
	if s := d.Size(); s != (Size{}) {
		t.Errorf("size %+v of nothing", s)
	}
}

// Bad input has an index and no effect.
func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 4097)
	for _, c := range []struct {
		why  string
		code Code
		o    wire.ClusterOp
	}{
		{"no key", CodeMalformed, put("", "v")},
		{"long key", CodeMalformed, put(long, "v")},
		{"no map", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.Map = nil })},
		{"long map", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.Map = []byte(long[:256]) })},
		{"map not UTF-8", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.Map = []byte("\xff") })},
		{"TTL below 1 ms", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.TTL = 1e6 - 1 })},
		{"negative TTL", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.TTL = -1e9 })},
		{"TTL above 24 h", CodeMalformed, with(put("k", ""), func(o *wire.ClusterOp) { o.TTL = 24*3600e9 + 1 })},
		{"value above the limit", CodeTooLarge, put("k", strings.Repeat("x", 1<<20-ValueReserve))},
		{"the master's name", CodeMalformed, with(put(MasterKey, ""), func(o *wire.ClusterOp) { o.Map = nil })},
		{"no lease", CodeMalformed, with(lockOp("k", 1), func(o *wire.ClusterOp) { o.Lease = 0 })},
		{"negative lease", CodeMalformed, with(lockOp("k", 1), func(o *wire.ClusterOp) { o.Lease = math.MinInt64 })},
		{"lease above 24 h", CodeMalformed, with(lockOp("k", 1), func(o *wire.ClusterOp) { o.Lease = 25 * 3600e9 })},
		{"the master's lock", CodeMalformed, with(lockOp(MasterKey, 1), func(o *wire.ClusterOp) { o.Map = nil })},
		{"unlock of no lock", CodeNotOwner, op(wire.OpUnlock, "k")},
		{"unlock without key", CodeMalformed, op(wire.OpUnlock, "")},
		{"extend of no lock", CodeNotOwner, with(op(wire.OpExtend, "k"), func(o *wire.ClusterOp) { o.Lease = 1e9 })},
		{"extend without lease", CodeMalformed, op(wire.OpExtend, "k")},
		{"extend without key", CodeMalformed, op(wire.OpExtend, "")},
		{"expire of no lock", CodeNotOwner, op(wire.OpExpire, "k")},
		{"expire without key", CodeMalformed, op(wire.OpExpire, "")},
		{"release of no lock", CodeNotOwner, op(wire.OpRelease, "k")},
		{"release without key", CodeMalformed, op(wire.OpRelease, "")},
		{"release of the master's", CodeNotOwner, with(op(wire.OpRelease, MasterKey), func(o *wire.ClusterOp) { o.Map = nil })},
		{"unlock of another's mastership", CodeNotOwner, with(op(wire.OpUnlock, MasterKey), func(o *wire.ClusterOp) { o.Map = nil })},
		{"expiry of no entry", CodeVersion, op(wire.OpExpireEntry, "k")},
		{"expiry without key", CodeMalformed, op(wire.OpExpireEntry, "")},
		{"token of no lock", CodeNotOwner, holding(put("k", ""), 1)},
		{"delete with token of no lock", CodeNotOwner, holding(op(wire.OpDelete, "k"), 1)},
		{"sweep of a member", CodeNotOwner, wire.ClusterOp{Kind: wire.OpSweep, Member: member('a')}},
		{"sweep of nobody", CodeNotOwner, wire.ClusterOp{Kind: wire.OpSweep}},
		{"ready for another's seat", CodeMalformed, wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{'a'}}},
		{"rules that skip", CodeMalformed, wire.ClusterOp{Kind: wire.OpRules, Rules: 3}},
		{"rules that go down", CodeMalformed, wire.ClusterOp{Kind: wire.OpRules, Rules: 0}},
		{"rules that stay", CodeMalformed, wire.ClusterOp{Kind: wire.OpRules, Rules: 1}},
		{"no kind", CodeMalformed, wire.ClusterOp{}},
		{"unknown kind", CodeMalformed, wire.ClusterOp{Kind: 200}},
	} {
		d := newDesk(t, "ab")
		digest, hash := contents(d.State), d.Hash()
		d.do('b', c.o, c.code)
		if contents(d.State) != digest || d.Hash() == hash {
			t.Errorf("%s: the state has changed, or the history has not", c.why)
		}
		index := d.Index()
		if r := d.Apply(d.now, member('x'), 0, &c.o); r.Code != CodeMalformed || contents(d.State) != digest || r.Index != index+1 {
			t.Errorf("%s, by a member that is not in the table: %+v", c.why, r)
		}
	}
	d := newDesk(t, "a")
	digest, hash := contents(d.State), d.Hash()
	if r := d.Refuse(member('a'), 0, []byte("rubbish")); r.Code != CodeMalformed || r.Index != 102 || d.Index() != 102 || contents(d.State) != digest || d.Hash() == hash {
		t.Errorf("refused: %+v", r)
	}
}

// contents is a digest of all but index and hash.
func contents(s *State) uint64 {
	p := s.position
	p.index, p.hash = 0, 0
	return s.first.cut(0, &p).digest()
}

func TestIndexes(t *testing.T) {
	d := newDesk(t, "a")
	for _, c := range []struct{ stamp, want uint64 }{
		{0, 102}, {102, 103}, {1000, 1000}, {999, 1001}, {1 << 62, 1002}, {math.MaxUint64, 1003}, {1<<62 - 1, 1<<62 - 1}, {5, 1 << 62},
	} {
		o := put("k", "v")
		if r := d.Apply(d.now, member('a'), c.stamp, &o); r.Index != c.want || d.Get(o.Map, o.Key).Version() != c.want {
			t.Errorf("stamp %d: index %d, want %d", c.stamp, r.Index, c.want)
		}
	}
	for _, c := range []struct{ base, index, want uint64 }{
		{0, 50, 51}, {50, 50, 51}, {70, 50, 71}, {1 << 62, 50, 51}, {math.MaxUint64, 50, 51},
	} {
		d := newDesk(t, "a")
		d.index = c.index
		d.Establish(d.now, opening(2, c.base, "a", "a"))
		if d.Index() != c.want {
			t.Errorf("base %d at %d: %d, want %d", c.base, c.index, d.Index(), c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	d := newDesk(t, "a")
	o := opening(2, 0, "a", "a")
	o.StateLimit = 2*(EntryBytes+4) - 1
	d.Establish(d.now, o)
	d.ClearEvents()
	d.do('a', put("k1", "12"), CodeOK, "put a k1=12")
	d.do('a', put("k2", "12"), CodeTooLarge)
	d.do('a', put("k2", "1"), CodeOK, "put a k2=1")
	d.do('a', put("k2", "12"), CodeTooLarge)
	// What lowers the limit does not stop what makes the state smaller.
	o = opening(3, 0, "a", "a")
	o.StateLimit = 10
	d.Establish(d.now, o)
	d.ClearEvents()
	d.do('a', put("k2", "1"), CodeOK, "put a k2=1")
	d.do('a', put("k2", ""), CodeOK, "put a k2=")
	d.do('a', put("k2", "1"), CodeTooLarge)

	d = newDesk(t, "a")
	in := func(i int, o wire.ClusterOp) wire.ClusterOp {
		o.Map = fmt.Append(nil, "map", i)
		return o
	}
	for i := range MaxMaps {
		x := in(i, put("k", ""))
		d.Apply(d.now, member('a'), 0, &x)
	}
	d.ClearEvents()
	d.do('a', in(-1, put("k", "")), CodeTooLarge)
	d.do('a', in(-1, lockOp("k", 1)), CodeTooLarge)
	d.do('a', in(7, op(wire.OpDelete, "k")), CodeOK, "deleted a in map7 k")
	d.do('a', in(-1, lockOp("k", 1)), CodeOK, "granted a in map-1 k")
	d.do('a', in(7, put("k", "")), CodeTooLarge)

	d = newDesk(t, "ab")
	d.do('a', lockOp("k", 1), CodeOK, "granted a k")
	for i := range MaxLine {
		d.do('b', lockOp("k", uint64(i+1)), CodeOK)
	}
	d.do('b', lockOp("k", MaxLine+1), CodeTooLarge)
	d.do('a', lockOp("k", 2), CodeTooLarge)
	if s := d.Size(); s.Locks != 1 || s.Waits != MaxLine {
		t.Errorf("size %+v", s)
	}
}

func TestLocks(t *testing.T) {
	d := newDesk(t, "abc")
	one := d.do('a', lockOp("k", 1), CodeOK, "granted a k")
	if one.Token != one.Index {
		t.Errorf("token %d at %d", one.Token, one.Index)
	}
	d.do('a', lockOp("k", 1), CodeMalformed) // the same request twice
	if r := d.do('b', lockOp("k", 1), CodeOK); r.Token != 0 {
		t.Errorf("a lock that is held was granted: %+v", r)
	}
	d.do('c', with(lockOp("k", 1), func(o *wire.ClusterOp) { o.Try = true }), CodeLocked)
	d.do('a', lockOp("k", 2), CodeOK) // its own holder: a second call waits
	d.do('c', lockOp("k", 2), CodeOK)

	// Writes.
	d.do('b', put("k", "x"), CodeLocked)
	d.do('a', put("k", "x"), CodeLocked)
	d.do('b', holding(put("k", "x"), one.Token), CodeNotOwner)
	d.do('a', holding(put("k", "x"), one.Token+1), CodeNotOwner)
	d.do('a', holding(put("other", "x"), one.Token), CodeNotOwner)
	d.do('a', holding(put("k", "x"), one.Token), CodeOK, "put a k=x")
	d.do('b', op(wire.OpDelete, "k"), CodeLocked)
	d.do('a', compared(holding(put("k", "y"), one.Token), 1), CodeVersion)
	d.do('b', put("other", "x"), CodeOK, "put b other=x")

	token := func(o wire.ClusterOp, token uint64) wire.ClusterOp { o.Token = token; return o }
	extend := with(op(wire.OpExtend, "k"), func(o *wire.ClusterOp) { o.Lease = 2e9 })
	d.do('b', token(op(wire.OpUnlock, "k"), one.Token), CodeNotOwner)
	d.do('a', token(op(wire.OpUnlock, "k"), one.Token+1), CodeNotOwner)
	d.do('b', token(extend, one.Token), CodeNotOwner)
	x := d.do('a', token(extend, one.Token), CodeOK, "extended a k")
	expire := func(renewed uint64) wire.ClusterOp {
		return with(token(op(wire.OpExpire, "k"), one.Token), func(o *wire.ClusterOp) { o.Version = renewed })
	}
	d.do('c', expire(one.Token), CodeNotOwner) // extended since
	d.do('c', token(op(wire.OpRelease, "k"), one.Token), CodeNotOwner)
	h, ok := d.Held([]byte("m"), []byte("k"))
	if want := (Held{Map: "m", Key: "k", Holder: member('a'), Request: 1, Token: one.Token, Lease: 2e9, Renewed: x.Index, Waiting: 3}); !ok || h != want {
		t.Errorf("held %+v, want %+v", h, want)
	}

	// Cancel in the line, of what is not there, and of what is held.
	cancel := func(n uint64) wire.ClusterOp {
		return with(op(wire.OpCancel, "k"), func(o *wire.ClusterOp) { o.Request = n })
	}
	d.do('a', cancel(2), CodeOK)
	d.do('a', cancel(2), CodeOK)
	d.do('c', cancel(1), CodeOK)
	d.do('a', cancel(1), CodeOK, "released a k", "granted b k")
	d.do('a', token(op(wire.OpUnlock, "k"), one.Token), CodeNotOwner)
	h, _ = d.Held([]byte("m"), []byte("k"))
	d.do('a', with(token(op(wire.OpExpire, "k"), h.Token), func(o *wire.ClusterOp) { o.Version = h.Renewed }), CodeOK, "released b k", "granted c k")
	h, _ = d.Held([]byte("m"), []byte("k"))
	d.do('c', token(op(wire.OpUnlock, "k"), h.Token), CodeOK, "released c k")
	d.do('c', token(op(wire.OpUnlock, "k"), h.Token), CodeNotOwner)
	if _, ok := d.Held([]byte("m"), []byte("k")); ok {
		t.Error("the lock is still held")
	}
	d.do('b', with(lockOp("k", 9), func(o *wire.ClusterOp) { o.Try = true }), CodeOK, "granted b k")
}

// Whoever the primary lost may still believe in its locks: they are orphaned. Who exits does not.
func TestGone(t *testing.T) {
	keep := func(o wire.ClusterOp) wire.ClusterOp { o.Keep = true; return o }
	own := func(o wire.ClusterOp) wire.ClusterOp { o.RemoveOnExit = true; return o }
	setup := func() (d *desk, token, kept uint64) {
		d = newDesk(t, "abc")
		d.do('b', lockOp("l1", 1), CodeOK, "granted b l1")
		token = d.index
		d.do('b', keep(lockOp("l2", 2)), CodeOK, "granted b l2")
		kept = d.index
		d.do('c', lockOp("l1", 1), CodeOK)
		d.do('b', lockOp("l1", 3), CodeOK)
		d.do('c', lockOp("l2", 2), CodeOK)
		d.do('b', own(put("y", "1")), CodeOK, "put b y=1")
		d.do('b', own(put("z", "1")), CodeOK, "put b z=1")
		d.do('b', own(put("x", "1")), CodeOK, "put b x=1")
		d.do('c', put("z", "2"), CodeOK, "put c z=2")
		d.do('b', own(put("y", "2")), CodeOK, "put b y=2")
		d.do('b', put("stays", "1"), CodeOK, "put b stays=1")
		d.do('c', own(put("w", "1")), CodeOK, "put c w=1")
		return d, token, kept
	}

	d, _, kept := setup()
	d.do('b', wire.ClusterOp{Kind: wire.OpExit}, CodeOK, "left b", "voters", "released b l1", "granted c l1", "owner gone b x", "owner gone b y")
	d.do('b', put("k", ""), CodeMalformed)
	if h, _ := d.Held([]byte("m"), []byte("l2")); h.Token != kept || h.Orphaned || h.Holder != member('b') {
		t.Errorf("a lock that is kept: %+v", h)
	}
	d.do('a', with(op(wire.OpExpire, "l2"), func(o *wire.ClusterOp) { o.Token, o.Version = kept, kept }), CodeOK, "released b l2", "granted c l2")

	d, token, _ := setup()
	d.Establish(d.now, opening(2, 0, "acd", "ac"))
	d.want("voters", "left b", "orphaned b l1", "entered d", "owner gone b x", "owner gone b y")
	if o := d.Orphans(); len(o) != 1 || o[0].Token != token || o[0].Waiting != 1 {
		t.Errorf("orphans %+v", o)
	}
	d.do('c', holding(put("l1", ""), token), CodeNotOwner)
	d.do('c', put("l1", ""), CodeLocked)
	release := with(op(wire.OpRelease, "l1"), func(o *wire.ClusterOp) { o.Token = token })
	d.do('a', with(release, func(o *wire.ClusterOp) { o.Token++ }), CodeNotOwner)
	d.do('a', release, CodeOK, "released b l1", "granted c l1")
	d.do('a', release, CodeNotOwner)
	if h := d.HeldBy(member('c')); len(h) != 1 || h[0].Key != "l1" {
		t.Errorf("c holds %+v", h)
	}

	// It comes back: its orphan is not its own, and what it writes now is.
	d, token, _ = setup()
	d.Establish(d.now, opening(2, 0, "abc", "ac"))
	d.want("voters", "left b", "orphaned b l1", "entered b", "owner gone b x", "owner gone b y")
	d.do('b', wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{'b'}}, CodeOK, "ready b", "voters")
	for _, o := range []wire.ClusterOp{
		holding(put("l1", ""), token), with(op(wire.OpUnlock, "l1"), func(o *wire.ClusterOp) { o.Token = token }),
		with(op(wire.OpExtend, "l1"), func(o *wire.ClusterOp) { o.Token, o.Lease = token, 1e9 }),
	} {
		d.do('b', o, CodeNotOwner)
	}
	d.do('b', with(op(wire.OpCancel, "l1"), func(o *wire.ClusterOp) { o.Request = 1 }), CodeOK)
	d.do('b', own(put("x", "new")), CodeOK, "put b x=new")
	d.Establish(d.now, opening(3, 0, "abc", "ac"))
	d.want("voters", "left b", "entered b", "owner gone b x")
}

// Entries of who is gone go in pieces, so that no turn gets long.
func TestSweep(t *testing.T) {
	d := newDesk(t, "abc")
	const n = 2500
	for i := range n {
		for _, by := range "bc" {
			o := put(fmt.Sprint(string(by), i), "")
			o.RemoveOnExit = true
			d.Apply(d.now, member(byte(by)), 0, &o)
		}
	}
	d.ClearEvents()
	if _, ok := d.Unswept(); ok {
		t.Fatal("nobody is gone")
	}
	gone := func(want int) {
		t.Helper()
		var last uint64
		n := 0
		for _, e := range d.events {
			if e.Kind == EventOwnerGone {
				n++
				if e.Old.Version() <= last {
					t.Fatal("not in order of version")
				}
				last = e.Old.Version()
			}
		}
		d.ClearEvents()
		if n != want {
			t.Errorf("%d entries gone, want %d", n, want)
		}
	}
	d.Establish(d.now, opening(2, 0, "ab", "a")) // b comes back as a learner
	gone(1000)
	d.Apply(d.now, member('b'), 0, ptr(wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{'b'}}))
	o := put("b again", "")
	o.RemoveOnExit = true
	d.Apply(d.now, member('b'), 0, &o)
	d.ClearEvents()
	for _, want := range []struct {
		by byte
		n  int
	}{{'b', 1000}, {'b', 500}, {'c', 1000}, {'c', 1000}, {'c', 500}} {
		id, ok := d.Unswept()
		if !ok || id != member(want.by) {
			t.Fatalf("%c is to be swept, want %c", id[0], want.by)
		}
		d.Apply(d.now, member('a'), 0, &wire.ClusterOp{Kind: wire.OpSweep, Member: id})
		gone(want.n)
	}
	if id, ok := d.Unswept(); ok || d.Size().Entries != 1 {
		t.Errorf("%c is to be swept; %d entries", id[0], d.Size().Entries)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTerms(t *testing.T) {
	d := newDesk(t, "a")
	if _, ok := d.NextTerm(); ok {
		t.Error("a term of nothing")
	}
	ttl := func(key string, d time.Duration) wire.ClusterOp {
		return with(put(key, ""), func(o *wire.ClusterOp) { o.TTL, o.Expires = int64(d), 77 })
	}
	d.now = 1000
	d.do('a', ttl("k", 3*time.Second), CodeOK, "put a k=")
	version := d.index
	if e := d.Get([]byte("m"), []byte("k")); e.Expires() != 77 || e.More().TTL != 3e9 {
		t.Errorf("%+v", e.More())
	}
	d.do('a', lockOp("l", 1), CodeOK, "granted a l")
	token := d.index
	next := func(want clock.Time) {
		t.Helper()
		if at, ok := d.NextTerm(); !ok || at != want {
			t.Errorf("the next term ends at %d, want %d", at, want)
		}
	}
	next(1000 + 1e9)
	if _, ok := d.EndedTerm(1000+1e9-1, 0); ok {
		t.Error("a term ended early")
	}
	o, ok := d.EndedTerm(1000+1e9, 5e9)
	if !ok || o.Kind != wire.OpExpire || o.Token != token || o.Version != token {
		t.Errorf("%+v", o)
	}
	next(1000 + 3e9)
	o, ok = d.EndedTerm(1000+3e9, 6e9)
	if !ok || o.Kind != wire.OpExpireEntry || o.Version != version {
		t.Errorf("%+v", o)
	}
	d.do('a', o, CodeOK, "expired k")
	next(5e9) // the lock's, once more
	d.now = 2e9
	d.do('a', with(op(wire.OpExtend, "l"), func(o *wire.ClusterOp) { o.Token, o.Lease = token, 10e9 }), CodeOK, "extended a l")
	next(12e9)
	// An entry that is written anew, or without TTL, does not expire as the old one.
	d.do('a', ttl("k", time.Second), CodeOK, "put a k=")
	o, _ = d.EndedTerm(3e9, 4e9)
	d.do('a', put("k", ""), CodeOK, "put a k=")
	d.do('a', o, CodeVersion)
	d.do('a', op(wire.OpExpireEntry, "k"), CodeVersion)
	o.Version = d.Get([]byte("m"), []byte("k")).Version()
	d.do('a', o, CodeVersion) // it has no TTL
	next(12e9)
	d.do('a', with(op(wire.OpUnlock, "l"), func(o *wire.ClusterOp) { o.Token = token }), CodeOK, "released a l")
	if _, ok := d.NextTerm(); ok {
		t.Error("a term of nothing")
	}
}

func TestMembers(t *testing.T) {
	d := &desk{t: t, State: NewState()}
	o := opening(1, 100, "abc", "abc")
	o.Members[0].Started, o.Members[2].Weight, o.Members[1].Observer = 1000, 3, true
	d.Establish(d.now, o)
	d.want("voters", "entered b", "entered c", "entered a", "master c") // in order of start
	if d.Leader() != member('c') {                                      // b is an observer
		t.Errorf("leader %c", d.Leader()[0])
	}
	weight := func(by byte, w int64, events ...string) {
		d.do(by, wire.ClusterOp{Kind: wire.OpWeight, Weight: w}, CodeOK, events...)
	}
	abdicate := func(by byte, code Code, events ...string) {
		m, _ := d.Master()
		d.do(by, wire.ClusterOp{Kind: wire.OpUnlock, Key: []byte(MasterKey), Token: m.Token}, code, events...)
	}
	weight('b', 100, "weight b")
	weight('a', 4, "weight a")
	if d.Heir() != member('a') {
		t.Errorf("heir %c", d.Heir()[0])
	}
	abdicate('a', CodeNotOwner)
	abdicate('c', CodeOK, "vacant c", "master a")
	weight('c', 4, "weight c")
	if d.Heir() != member('c') { // of equal weight the older one
		t.Errorf("heir %c", d.Heir()[0])
	}
	// The master is lost: nobody is before a Release.
	m, _ := d.Master()
	d.Establish(d.now, opening(2, 0, "bcd", "bc"))
	d.want("voters", "left a", "unseated a", "entered d")
	d.do('d', wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{'d'}}, CodeOK, "ready d", "voters")
	release := wire.ClusterOp{Kind: wire.OpRelease, Key: []byte(MasterKey), Token: m.Token}
	d.do('c', with(release, func(o *wire.ClusterOp) { o.Token++ }), CodeNotOwner)
	d.do('c', release, CodeOK, "vacant a", "master b") // weights stay: b has 100, and is no observer any more
	d.do('c', release, CodeNotOwner)
	d.do('b', wire.ClusterOp{Kind: wire.OpExit}, CodeOK, "left b", "voters", "vacant b", "master c")
	d.do('d', wire.ClusterOp{Kind: wire.OpExit}, CodeOK, "left d", "voters")
	d.do('c', wire.ClusterOp{Kind: wire.OpExit}, CodeOK, "left c", "vacant c") // the last voter keeps its seat
	if v := d.Voters(); len(v) != 1 || v[0].Seat != (wire.Seat{'c'}) || len(d.Members()) != 0 {
		t.Errorf("voters %+v, members %+v", v, d.Members())
	}
}

func TestRules(t *testing.T) {
	d := newDesk(t, "ab")
	d.do('a', wire.ClusterOp{Kind: wire.OpRules, Rules: 2}, CodeOK, "rules")
	d.do('a', wire.ClusterOp{Kind: wire.OpRules, Rules: 3}, CodeMalformed) // nobody supports them
	if d.Rules() != 2 {
		t.Errorf("rules %d", d.Rules())
	}
	o := opening(2, 0, "ab", "a")
	o.Rules, o.Members[1].RulesMax = 2, 1
	d.Establish(d.now, o)
	d.ClearEvents()
	d.do('b', wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{'b'}}, CodeOK, "ready b") // no vote
}

// What a turn changed is named, and what was shown stays.
func TestChanged(t *testing.T) {
	d := newDesk(t, "a")
	d.do('a', put("k", "1"), CodeOK, "put a k=1")
	one := d.Changed()
	if len(one) != 1 || one[0].Name != "m" || one[0].Root.Len() != 1 {
		t.Fatalf("%+v", one)
	}
	root := one[0].Root
	if len(d.Changed()) != 0 {
		t.Error("nothing has changed since")
	}
	d.do('a', put("k", "2"), CodeOK, "put a k=2")
	d.do('a', put("k2", "2"), CodeOK, "put a k2=2")
	if root.Len() != 1 || !bytes.Equal(root.Get("k").Value(), []byte("1")) {
		t.Error("what was shown has changed")
	}
	d.do('a', op(wire.OpDelete, "k"), CodeOK, "deleted a k")
	d.do('a', op(wire.OpDelete, "k2"), CodeOK, "deleted a k2")
	if c := d.Changed(); len(c) != 1 || c[0].Root != nil {
		t.Errorf("%+v", c)
	}
	if len(d.Maps()) != 0 {
		t.Error("no map is left")
	}
}

// Locks and waits together have a bound.
func TestMaxLocks(t *testing.T) {
	if testing.Short() {
		t.Skip("a million locks")
	}
	d := newDesk(t, "ab")
	o := lockOp("", 0)
	for i := range MaxLocks {
		o.Key, o.Request = fmt.Append(nil, i/2), uint64(i)
		if r := d.Apply(d.now, member('a'), 0, &o); r.Code != CodeOK {
			t.Fatalf("lock %d: %+v", i, r)
		}
		d.ClearEvents()
	}
	d.do('b', lockOp("new", 1), CodeTooLarge)
	d.do('b', lockOp("7", 1), CodeTooLarge)
	before := time.Now()
	d.do('b', with(lockOp("7", 1), func(o *wire.ClusterOp) { o.Try = true }), CodeLocked)
	d.Cut(d.now)
	t.Logf("a cut with half a million locks took %v", time.Since(before))
	before = time.Now()
	d.Apply(d.now, member('a'), 0, &wire.ClusterOp{Kind: wire.OpExit})
	t.Logf("the exit of who held them took %v", time.Since(before))
	if s := d.Size(); s.Locks+s.Waits+s.Maps != 0 {
		t.Errorf("size %+v", s)
	}
}
