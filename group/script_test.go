package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

func (r *rig) want(m *rigMember, id wire.MemberID, kinds ...ChangeKind) {
	r.t.Helper()
	if got := m.last(id); fmt.Sprint(got) != fmt.Sprint(kinds) {
		r.t.Errorf("handlers of member %d were given of member %d: %v, want %v", m.at, id[0], got, kinds)
	}
}

// Members find each other, and each is given its own start, and the groups of all.
func TestStart(t *testing.T) {
	r := newRig(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	for _, m := range r.members {
		for _, o := range r.members {
			r.want(m, o.id(), Started)
		}
		if m.Digest() != a.Digest() || m.Stats().Members != 3 {
			t.Errorf("member %d holds %d members, digest %x", m.at, m.Stats().Members, m.Digest())
		}
	}
	b.Join(r.now, "x")
	b.Join(r.now, "y")
	b.Join(r.now, "y")
	r.run(time.Millisecond)
	b.Leave(r.now, "x")
	r.run(time.Millisecond)
	for _, m := range []*rigMember{a, b, c} {
		r.want(m, b.id(), Started, JoinedGroup, JoinedGroup, LeftGroup)
	}
	if n := c.find(b.id()).version; n != b.own.version {
		t.Errorf("version %d of a record that is at %d", n, b.own.version)
	}
}

// A process on the endpoint of a member that died answers for itself: the member is removed within a
// round trip, long before its silence shows.
func TestRestartAtSameEndpoint(t *testing.T) {
	r := newRig(t, 3)
	a, b, old := r.members[0], r.members[1], r.members[2]
	old.down = true
	n := r.add()
	n.at, n.cfg.Local = old.at, old.at
	r.run(5 * time.Millisecond)
	for _, m := range []*rigMember{a, b} {
		r.want(m, old.id(), Started, Failed)
		r.want(m, n.id(), Started)
	}
}

// Death is believed only if the answer has the nonce of one's own probe.
func TestNotToNeedsNonce(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	err := r.forge(a, wire.MemberID{99}, 0, 50, func(d []byte) []byte {
		return wire.AppendProbe(d, wire.Probe{To: b.id(), Kind: wire.ProbeNotTo, Nonce: 12345})
	})
	if err == nil {
		t.Error("it was taken")
	}
	r.want(a, b.id(), Started)
}

// A forged Leave does not end a member for good: its next beat from where it was takes the Leave back, and it
// returns with its next incarnation.
func TestForgedLeave(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
		return wire.AppendWord(d, []wire.About{{ID: b.id(), Kind: wire.AboutLeave}})
	})
	r.want(a, b.id(), Started) // what it sent before to a alone may still come
	r.run(2 * time.Millisecond)
	r.want(a, b.id(), Started, Stopped)
	r.run(200 * time.Millisecond)
	r.want(a, b.id(), Started, Stopped, Started)
	if b.Incarnation() != 1 {
		t.Errorf("incarnation %d", b.Incarnation())
	}
	r.want(b, b.id(), Started, Failed, Started)
	r.want(r.members[2], b.id(), Started) // it was never gone there
}

// Nor does it where what is held of that member was made up before: where it is, and a higher incarnation. It may beat
// again as late as it likes.
func TestForgedLeaveOfAForgedRecord(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
		return wire.AppendWord(d, []wire.About{{ID: b.id(), Kind: wire.AboutLeave}})
	})
	r.run(2 * time.Millisecond)
	tomb := a.table.tombs[b.id()]
	tomb.endpoint, tomb.address, tomb.proven, tomb.incarnation = 99, 99, 0, 1
	tomb.at = r.now.Add(-time.Minute)
	r.run(200 * time.Millisecond)
	r.want(a, b.id(), Started, Stopped, Started)
	if b.Incarnation() != 2 {
		t.Errorf("incarnation %d", b.Incarnation())
	}
}

// A Leave in the name of another transmitter, and verdicts about a member that is received of, change nothing.
func TestForgedWords(t *testing.T) {
	r := newRig(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	err := r.forge(a, c.id(), 0, c.at, func(d []byte) []byte {
		return wire.AppendWord(d, []wire.About{{ID: b.id(), Kind: wire.AboutLeave}})
	})
	if err == nil {
		t.Error("a Leave of another was taken")
	}
	r.forge(a, c.id(), 0, c.at, func(d []byte) []byte {
		return wire.AppendWord(d, []wire.About{{ID: b.id(), Kind: wire.AboutVerdict}, {ID: b.id(), Kind: wire.AboutLeft}, {ID: b.id(), Kind: wire.AboutDoubt}})
	})
	r.run(300 * time.Millisecond)
	r.want(a, b.id(), Started)
	if a.Stats().VouchesSent == 0 {
		t.Error("no vouch for a member that was doubted and is received of")
	}
}

// An incarnation near the largest number is refused.
func TestIncarnationJump(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	for _, i := range []uint32{1001, 1 << 31, 1<<32 - 1} {
		if r.forge(a, b.id(), i, b.at, func(d []byte) []byte { return wire.AppendBeat(d, wire.Beat{Interval: 20000, Members: 1}) }) == nil {
			t.Errorf("incarnation %d was taken", i)
		}
		r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
			return wire.AppendWord(d, []wire.About{{ID: a.id(), Incarnation: i, Kind: wire.AboutVerdict}})
		})
		if a.Incarnation() != 0 {
			t.Fatalf("a verdict about incarnation %d was taken", i)
		}
	}
}

// Verdicts about a member itself, one incarnation after the other: it goes up ten times a second at most.
func TestExclusionsAreBounded(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	r.now += 1e9
	for range 100 {
		r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
			return wire.AppendWord(d, []wire.About{{ID: a.id(), Incarnation: a.Incarnation(), Kind: wire.AboutVerdict}})
		})
	}
	if a.Incarnation() != exclusions {
		t.Errorf("incarnation %d", a.Incarnation())
	}
}

// Made-up members: no more than 32 that have not answered, 32 questions, and no datagram in answer to most.
func TestMadeUpMembers(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	sent := len(a.sent)
	for i := range 10_000 {
		id := wire.MemberID{0xEE, byte(i), byte(i >> 8)}
		if i%2 == 0 {
			r.forge(a, id, 0, 77, func(d []byte) []byte {
				return wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: id, Interval: 60_000_000, Address: 77}}, nil)
			})
		} else {
			r.forge(a, id, 0, 77, func(d []byte) []byte { return wire.AppendBeat(d, wire.Beat{Interval: 20000, Members: 1}) })
		}
	}
	if s := a.Stats(); s.Unconfirmed != MaxUnconfirmed || s.Members != 2+MaxUnconfirmed || len(a.asks) > MaxQuestions {
		t.Errorf("%d unconfirmed of %d members, %d questions", s.Unconfirmed, s.Members, len(a.asks))
	}
	r.run(10 * time.Millisecond)
	if n := len(a.sent) - sent; n > 2*MaxUnconfirmed+MaxQuestions+10 {
		t.Errorf("%d datagrams sent", n)
	}
	r.run(300 * time.Millisecond)
	if s := a.Stats(); s.Members != 2 || s.Unconfirmed != 0 {
		t.Errorf("%d members, %d unconfirmed: they have to be gone", s.Members, s.Unconfirmed)
	}
	r.want(a, b.id(), Started)
}

// An end waits for what a full queue holds up, and the start of the next incarnation waits for the end.
func TestEndWaits(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	b.Join(r.now, "x")
	r.run(time.Millisecond)
	a.held = true
	b.silent, b.deaf = true, true
	r.run(300 * time.Millisecond)
	if a.find(b.id()) != nil {
		t.Fatal("it is not removed")
	}
	r.want(a, b.id(), Started, JoinedGroup)
	b.silent, b.deaf = false, false
	r.run(300 * time.Millisecond)
	if a.find(b.id()) == nil {
		t.Fatal("it is not back")
	}
	r.want(a, b.id(), Started, JoinedGroup)
	a.held = false
	r.run(10 * time.Millisecond)
	r.want(a, b.id(), Started, JoinedGroup, Failed, Started, JoinedGroup)
}

// Compare: a member that receives nothing of another one gets its record from a third, and keeps it because the
// third vouches for it.
func TestCompare(t *testing.T) {
	r := &rig{t: t, now: 1_000_000}
	a, b, c := r.add(), r.add(), r.add()
	a.cut = b
	r.run(time.Second)
	if a.find(b.id()) == nil {
		t.Error("the record of a member that is not received of did not come")
	}
	if a.Stats().Compares == 0 || a.Digest() != c.Digest() {
		t.Errorf("%d Compares, digests %x and %x", a.Stats().Compares, a.Digest(), c.Digest())
	}
	r.run(2 * time.Second)
	r.want(a, b.id(), Started)
	if s := a.Stats(); s.Vouched == 0 {
		t.Error("nobody vouched")
	}
}

// A digest that stays another one costs at most a Compare in five intervals.
func TestCompareRate(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	b.table.digest ^= 1
	r.run(2 * time.Second)
	if n := a.Stats().Compares; n < 10 || n > 20 || b.Stats().Compares != 0 {
		t.Errorf("%d and %d Compares in 2 s", n, b.Stats().Compares)
	}
}

// All buffers are back after Release.
func TestRelease(t *testing.T) {
	r := newRig(t, 3)
	for _, m := range r.members {
		m.Close(r.now)
	}
	r.run(10 * time.Millisecond)
	for _, m := range r.members {
		if !m.Left() {
			t.Errorf("member %d has not left", m.at)
		}
		m.Release()
		if m.pool.Free() != m.pool.Count() {
			t.Errorf("member %d: %d of %d buffers are free", m.at, m.pool.Free(), m.pool.Count())
		}
	}
}

// Forged incarnations do not end a member for good, however high they are: it goes up to them, in steps.
func TestForgedIncarnations(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	for i := range uint32(5) {
		r.forge(a, b.id(), 1000*(i+1), b.at, func(d []byte) []byte { return wire.AppendBeat(d, wire.Beat{Interval: 20_000, Members: 1}) })
	}
	if a.find(b.id()).incarnation != 5000 {
		t.Fatal("not forged")
	}
	r.run(3 * time.Second)
	if e := a.find(b.id()); e == nil || e.incarnation != b.Incarnation() || e.incarnation < 5000 {
		t.Errorf("entry %+v of a member at %d", e, b.Incarnation())
	}
	for _, m := range r.members {
		if m.Digest() != a.Digest() {
			t.Errorf("the tables of members %d and %d differ: %v %v", a.at, m.at, a.Members(nil), m.Members(nil))
		}
	}
}

// A forged version does not hide a member's record for good.
func TestForgedVersion(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
		return wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: b.id(), Version: 1 << 31, Interval: 20_000, Address: 2}}, wire.RecordLists(nil).AppendGroup("forged"))
	})
	r.want(a, b.id(), Started, JoinedGroup)
	r.run(300 * time.Millisecond)
	r.want(a, b.id(), Started, JoinedGroup, LeftGroup)
	if a.Digest() != b.Digest() {
		t.Error("the tables differ")
	}
}

// Nor does a forged record with the version of the member's own.
func TestForgedRecord(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	r.run(100 * time.Millisecond)
	r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
		return wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: b.id(), Interval: 20_000, Address: 2}}, wire.RecordLists(nil).AppendGroup("forged"))
	})
	r.want(a, b.id(), Started, JoinedGroup)
	r.run(300 * time.Millisecond)
	r.want(a, b.id(), Started, JoinedGroup, LeftGroup)
	if a.find(b.id()).contested {
		t.Error("it is not settled")
	}
}

// A member that was excluded hands nothing to a handler until these begin to be given its own end, or T has passed.
// Each exclusion counts.
func TestSelfTold(t *testing.T) {
	for _, told := range []bool{true, false} {
		r := newRig(t, 2)
		a, b := r.members[0], r.members[1]
		exclude := func() {
			r.forge(a, b.id(), 0, b.at, func(d []byte) []byte {
				return wire.AppendWord(d, []wire.About{{ID: a.id(), Incarnation: a.Incarnation(), Kind: wire.AboutVerdict}})
			})
		}
		a.SelfTold(r.now) // of nothing
		exclude()
		exclude()
		r.want(a, a.id(), Started, Failed, Started, Failed, Started)
		a.SelfTold(r.now)
		r.run(90 * time.Millisecond)
		if !a.Gated() {
			t.Error("the gate is open, and one of two ends was given")
		}
		if told {
			a.SelfTold(r.now)
		} else {
			r.run(20 * time.Millisecond)
		}
		if a.Gated() {
			t.Errorf("the gate is closed, told %t", told)
		}
	}
}

// A member that removes this one says of which incarnation, and sessions for that one are dead. If somebody forges that
// with an incarnation that this member does not go up to, sessions for the one that it has are alive.
func TestForgedFloor(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	if err := b.HandleInbox("", b); err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint32{900_000, 1<<32 - 2} {
		r.forge(b, a.id(), 0, a.at, func(d []byte) []byte {
			return wire.AppendWord(d, []wire.About{{ID: b.id(), Incarnation: i, Kind: wire.AboutVerdict}})
		})
	}
	a.Send(r.now, &Call{Number: 1, To: b.id(), Payload: []byte("x")})
	r.run(50 * time.Millisecond)
	if len(a.ends) != 1 || a.ends[0].Why != Answered {
		t.Errorf("ends of a Send after the forgery: %+v", a.ends)
	}
	if n := a.Stats().SessionsDead; n > 0 {
		t.Errorf("%d sessions were declared dead", n)
	}
}
