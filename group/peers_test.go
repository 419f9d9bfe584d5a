package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

func newRigAlone(t *testing.T, n int) *rig {
	return newRigOf(&rig{t: t, now: 1_000_000, alone: true}, n)
}

func (r *rig) wantPeers(m *rigMember, want ...buf.Endpoint) {
	r.t.Helper()
	if fmt.Sprint(m.peers) != fmt.Sprint(want) {
		r.t.Errorf("what member %d sends to the group goes to %v, want %v", m.at, m.peers, want)
	}
}

// The list has the configured address and all members, also those that nobody lists. The lost are looked for
// after 1, 2 and 4 s, and then every 5 s; both sides then return, though each removed the other.
func TestPeers(t *testing.T) {
	r := newRigAlone(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	r.wantPeers(a, 1, 2, 3)
	r.wantPeers(b, 1, 3)
	r.wantPeers(c, 1, 2)
	b.silent, b.deaf = true, true
	r.run(300 * time.Millisecond)
	r.wantPeers(a, 1, 3)
	r.wantPeers(c, 1)
	r.run(8 * time.Second)
	if tomb := c.table.tombs[b.id()]; tomb == nil || tomb.seeks != 3 {
		t.Errorf("tombstone %+v", tomb)
	}
	a.down = true // nobody listed is up
	r.run(300 * time.Millisecond)
	b.silent, b.deaf = false, false
	r.run(5 * time.Second)
	r.want(c, b.id(), Started, Failed, Started)
	r.want(b, c.id(), Started, Failed, Started)
	r.wantPeers(b, 1, 3)
	r.wantPeers(c, 1, 2)
	if got := c.Incarnation() + b.Incarnation(); got != 2 {
		t.Errorf("incarnations %d and %d", b.Incarnation(), c.Incarnation())
	}
}

// What goes to the group goes where a member has answered from. A Hello that somebody made up, and a datagram
// in a member's name from elsewhere, lead nothing there; nor is it looked for after its end.
func TestPeersAreProven(t *testing.T) {
	r := newRigAlone(t, 2)
	a, b := r.members[0], r.members[1]
	a.Join(r.now, "group")
	r.run(100 * time.Millisecond)
	const victim, elsewhere = 77, 78
	made := wire.MemberID{0xEE}
	h := wire.AppendHello(nil, &wire.Hello{Ask: true, Record: wire.Record{ID: made, Interval: 20_000, Address: victim}}, nil)
	r.forge(a, made, 0, victim, func(d []byte) []byte { return append(d, h...) })
	r.forge(a, b.id(), 0, elsewhere, func(d []byte) []byte { return wire.AppendBeat(d, wire.Beat{Interval: 20_000, Members: 1}) })
	r.wantPeers(a, 1, 2)
	r.run(10 * time.Second)
	r.wantPeers(a, 1, 2)
	if a.find(made) != nil {
		t.Error("the made-up member is here")
	}
	// Part of a Hello, a probe, and a question of the other member, to which a Compare named it.
	if n := r.sentTo[victim]; n == 0 || n > 300 {
		t.Errorf("%d bytes were sent to the address that a Hello was forged from", n)
	}
	if n := r.sentTo[elsewhere]; n > 100 {
		t.Errorf("%d bytes were sent to where one datagram was forged from", n)
	}
}

// A member whose address changes gets what goes to the group as soon as it has answered from the new one.
func TestPeerMoves(t *testing.T) {
	r := newRigAlone(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	c.at = 9
	r.run(50 * time.Millisecond)
	r.wantPeers(a, 1, 2, 9)
	r.wantPeers(b, 1, 9)
	r.want(a, c.id(), Started)
}

// A start at whose beginning nobody is up that it lists goes on asking.
func TestPeersComeLater(t *testing.T) {
	r := newRigOf(&rig{t: t, now: 1_000_000, alone: true}, 0)
	a := r.add()
	a.down = true
	b, c := r.add(), r.add()
	r.run(3 * time.Second)
	if len(b.Members(nil)) != 1 {
		t.Fatal("they cannot have found each other")
	}
	a.down = false
	r.run(300 * time.Millisecond)
	r.want(b, c.id(), Started)
	r.wantPeers(b, 1, 3)
}

// No more than twice what was received goes to an address that nobody has answered from, however large the
// record: the rest follows the answer.
func TestAnswerIsNotLarger(t *testing.T) {
	for _, alone := range []bool{false, true} {
		r := newRigOf(&rig{t: t, now: 1_000_000, alone: alone}, 2)
		a := r.members[0]
		for i := range 60 {
			a.Join(r.now, fmt.Sprintf("a group with a long name %d", i))
		}
		r.run(100 * time.Millisecond)
		got := 0
		for i := range 20_000 {
			id := wire.MemberID{0xEE, byte(i), byte(i >> 8)}
			r.forge(a, id, 0, 77, func(d []byte) []byte {
				switch i % 5 {
				case 0:
					d = wire.AppendHello(d, &wire.Hello{Ask: true, Attempt: uint8(i), Record: wire.Record{ID: id, Interval: 20_000, Address: 77}}, nil)
				case 1:
					d = wire.AppendBeat(d, wire.Beat{Interval: 20_000, Members: 1})
				case 2:
					d = wire.AppendProbe(d, wire.Probe{To: a.id(), Kind: wire.ProbeRecord})
				case 3:
					d = wire.AppendProbe(d, wire.Probe{To: wire.MemberID{9}, Kind: wire.ProbeThere})
				case 4:
					d = wire.AppendProbe(d, wire.Probe{To: a.id(), Kind: wire.ProbeThere})
				}
				got += len(d)
				return d
			})
			if i%50 == 0 {
				r.run(time.Millisecond)
			}
		}
		if n := r.sentTo[77]; n > 2*got {
			t.Errorf("%d bytes received from an address that did not answer, %d sent there", got, n)
		} else {
			t.Logf("%d bytes received, %d sent", got, n)
		}
		r.run(100 * time.Millisecond)
		c := r.add()
		r.run(2 * time.Second)
		if n := c.Stats().Groups; n != 60 {
			t.Errorf("the groups of a member that answers are %d", n)
		}
	}
}
