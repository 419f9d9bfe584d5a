package totem

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// offerAll offers until it is accepted, turning meanwhile.
func (r *rig) offerAll(n *rigNode, topic string, payload []byte, safe bool) {
	r.t.Helper()
	for range 100000 {
		err := n.p.Offer(r.now, topic, wire.KindMessage, payload, safe)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrWindow) {
			r.t.Fatal(err)
		}
		r.turn()
		r.now += 20_000
	}
	r.t.Fatal("not accepted")
}

// longRun skips a long run of one goroutine under the race detector, which finds nothing there.
func longRun(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and too long a run for the race detector")
	}
}

// same fails when the nodes that run were handed different sequences.
func (r *rig) same(want int) {
	r.t.Helper()
	var first *rigNode
	for i, n := range r.nodes {
		if n.down {
			continue
		}
		if first == nil {
			first = n
		}
		if len(n.got) != want {
			r.t.Errorf("node %d was handed %d messages, not %d", i, len(n.got), want)
		}
		if !slices.Equal(n.got, first.got) {
			r.t.Errorf("node %d was handed other messages, or in another order", i)
		}
	}
}

// TO-23: messages of every length arrive whole, at every size of datagram, and no datagram is
// larger than it may be, also when it is recovered.
func TestLengths(t *testing.T) {
	for _, datagram := range []int{548, 1372, 1472, 8972} {
		r := newRig(t, 3, func(c *Config) { c.Datagram = datagram })
		r.form()
		room := wire.MessageRoom(r.nodes[0].p.room(), "a")
		part := wire.FragmentRoom(r.nodes[0].p.room(), "a")
		sent := 0
		for i, length := range []int{0, 1, 63, 127, 128, room - 1, room, room + 1, part, part + 1, 2 * part, 2*part + 1, 7*part - 1, 20000, 100_000} {
			payload := bytes.Repeat([]byte{byte('a' + i)}, length)
			r.offerAll(r.nodes[i%3], "a", payload, i%4 == 0)
			sent++
		}
		r.run(20 * time.Millisecond)
		r.same(sent)
		r.done()
	}
}

// A message of 1,344 bytes on a topic of 10 fits one datagram at an MTU of 1500.
func TestFullMessageFits(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	r.offerAll(r.nodes[0], "bench.ping", make([]byte, 1344), false)
	r.run(time.Millisecond)
	r.same(1)
	if n := r.nodes[0].p.Stats().Fragmented; n != 0 {
		t.Error("it was cut into parts")
	}
	r.done()
}

func TestOfferErrors(t *testing.T) {
	r := newRig(t, 1)
	p := r.nodes[0].p
	if err := p.Offer(r.now, "a", 0, make([]byte, 100_001), false); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	n := 0
	for ; n < 100_000 && p.Offer(r.now, "a", 0, make([]byte, 1000), false) == nil; n++ {
	}
	if err := p.Offer(r.now, "a", 0, make([]byte, 1000), false); !errors.Is(err, ErrWindow) || n < 100 {
		t.Errorf("after %d messages: %v", n, err)
	}
	if p.Stats().BackPressure == 0 || p.Stats().Messages != uint64(n) {
		t.Errorf("%+v", p.Stats())
	}
	r.form()
	r.run(10 * time.Millisecond)
	r.same(n)
	p.Close(r.now)
	if err := p.Offer(r.now, "a", 0, nil, false); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	r.done()
}

// A ring of one orders, is stable at once, and merges.
func TestAlone(t *testing.T) {
	r := newRig(t, 1)
	r.form()
	n := r.nodes[0]
	for i := range 50 {
		r.offerAll(n, "a", []byte{byte(i)}, i%2 == 0)
	}
	r.turn()
	r.same(50)
	if !n.p.Acknowledged() {
		t.Error("not acknowledged")
	}
	r.add()
	r.form()
	r.done()
}

// Both classes keep one order: an agreed message waits behind a safe one (section 7).
func TestAgreedWaitsBehindSafe(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	for i := range 60 {
		r.offerAll(r.nodes[i%3], "a", []byte{byte(i)}, i%3 == 0)
	}
	r.run(5 * time.Millisecond)
	r.same(60)
	r.done()
}

// An application that takes nothing for a while holds its own messages back, and loses none. The
// others slow down with it, within the bound of their stores.
func TestSlowApplication(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.Profile = Tuned(); c.Profile.StuckTime = 10 * time.Second })
	r.form()
	slow := r.nodes[1]
	slow.refuse = true
	sent := 0
	for range 3000 {
		for _, n := range r.nodes {
			if n.p.Offer(r.now, "a", 0, make([]byte, 900), sent%5 == 0) == nil {
				sent++
			}
		}
		r.turn()
		r.now += 20_000
	}
	if len(slow.got) > 0 || r.nodes[0].p.Stats().BackPressure == 0 {
		t.Errorf("%d messages handed to who refuses; back-pressure %d", len(slow.got), r.nodes[0].p.Stats().BackPressure)
	}
	slow.refuse = false
	r.run(200 * time.Millisecond)
	r.same(sent)
	if n := r.nodes[0].p.Stats().Views; n != 1 {
		t.Errorf("%d views", n)
	}
	r.done()
}

// Messages and views that an application does not take while rings change come later, in order.
func TestStalledAcrossRings(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	slow := r.nodes[1]
	slow.refuse = true
	for i := range 30 {
		r.offerAll(r.nodes[i%3], "a", bytes.Repeat([]byte{byte(i)}, 3000), false)
	}
	r.run(2 * time.Millisecond)
	r.nodes[2].down = true
	views := len(slow.views)
	r.form()
	if len(slow.views) != views {
		t.Error("a view overtook the messages before it")
	}
	for i := range 10 {
		r.offerAll(r.nodes[i%2], "b", []byte{byte(i)}, false)
	}
	r.run(2 * time.Millisecond)
	slow.refuse = false
	r.run(2 * time.Millisecond)
	r.same(40)
	if len(slow.views) != views+2 {
		t.Errorf("%d views came", len(slow.views)-views)
	}
	r.done()
}

// Section 13, 13 and 15: a member that receives no data is put out of the ring, and the others
// neither lose anything nor form ring after ring because of it.
func TestDeafMember(t *testing.T) {
	longRun(t)
	r := newRig(t, 4)
	r.form()
	deaf := r.nodes[3]
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool { return to == deaf && d.Frames()[0].Kind == wire.FrameData }
	sent := 0
	for range 50_000 { // 5 s
		if r.turn(); sent < 20_000 && r.nodes[sent%3].p.Offer(r.now, "a", 0, make([]byte, 100), false) == nil {
			sent++
		}
		r.now += 100_000
	}
	deaf.down = true
	r.form()
	r.run(20 * time.Millisecond)
	r.same(sent)
	s := r.nodes[0].p.Stats()
	if s.Reasons[ReceiverStuck] == 0 && r.nodes[1].p.Stats().Reasons[ReceiverStuck] == 0 && r.nodes[2].p.Stats().Reasons[ReceiverStuck] == 0 {
		t.Error("nobody noticed")
	}
	// Each time it comes back it is in for StuckTime, and out for a hold-down of up to 1 s.
	if s.Views > 16 || s.HeldDown == 0 {
		t.Errorf("%d rings in five seconds, held down %d times", s.Views, s.HeldDown)
	}
	t.Logf("%d rings", s.Views)
	r.done()
}

// Section 13, 14: no token reaches one member. It is left out, and the others go on.
func TestNoTokenReaches(t *testing.T) {
	r := newRig(t, 4)
	r.form()
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool {
		k := d.Frames()[0].Kind
		return to == r.nodes[3] && (k == wire.FrameToken || k == wire.FrameCommit)
	}
	r.run(3 * time.Second)
	s := r.nodes[0].p.Stats()
	if s.Views > 80 {
		t.Errorf("%d rings in three seconds", s.Views)
	}
	r.nodes[3].down = true
	r.form()
	r.offerAll(r.nodes[0], "a", nil, true)
	r.run(5 * time.Millisecond)
	r.same(1)
	r.done()
}

// Sixteen members are one ring. The seventeenth is told, and does not make the ring break.
func TestSeventeenMembers(t *testing.T) {
	longRun(t)
	short := func(c *Config) { c.Profile = Tuned(); c.Profile.HoldDown = 50 * time.Millisecond }
	r := newRig(t, 16, short)
	r.form()
	r.offerAll(r.nodes[5], "a", bytes.Repeat([]byte("x"), 5000), true)
	r.run(10 * time.Millisecond)
	r.same(1)
	views := r.nodes[0].p.Stats().Views
	late := r.add(short)
	r.run(450 * time.Millisecond)
	if n := r.nodes[0].p.Stats().Views - views; n > 0 {
		t.Errorf("%d new rings", n)
	}
	told := false
	for _, e := range r.nodes[0].events {
		told = told || e.Kind == TooManyMembers && e.Member == late.id
	}
	if !told || len(r.nodes[0].p.Members()) != 16 {
		t.Errorf("told: %v; a ring of %d", told, len(r.nodes[0].p.Members()))
	}
	r.nodes[3].down = true
	if !r.until(3*time.Second, r.formed) {
		t.Error("the seventeenth does not come in when there is room")
	}
	r.done()
}

// A ring of sixteen has room for a member that starts anew, also before it has noticed the death
// of the old one. Once it was not heard for ten seconds, and with it whoever had heard of it.
func TestRestartInFullRing(t *testing.T) {
	longRun(t)
	for _, named := range []bool{true, false} {
		started := uint64(10)
		config := func(node uint64) func(*Config) {
			return func(c *Config) {
				if c.Started = started; named {
					c.Node = node
				}
			}
		}
		r := newRig(t, 0)
		for i := range uint64(16) {
			r.add(config(i + 1))
		}
		r.form()
		limit := time.Second
		if named {
			limit = 20 * time.Millisecond // nobody waits for a time-out
		}
		for _, i := range []int{3, 0, 9} {
			r.nodes[i].down = true
			started++
			r.add(config(uint64(i + 1)))
			if !r.until(limit, r.formed) {
				t.Errorf("named %v: no ring with the restarted member %d within %v", named, i, limit)
				r.form()
			}
		}
		r.done()
	}
}

// Two rings that would be too large together stay apart.
func TestTwoLargeRings(t *testing.T) {
	longRun(t)
	r := newRig(t, 20)
	apart := true
	r.lost = func(from, to *rigNode, _ *wire.Datagram) bool { return apart && (from.at <= 10) != (to.at <= 10) }
	ten := func() bool {
		for _, n := range r.nodes {
			if n.p.State() != Operational || len(n.p.Members()) != 10 {
				return false
			}
		}
		return true
	}
	if !r.until(3*time.Second, ten) {
		t.Fatal("no two rings of ten")
	}
	apart = false
	before := r.nodes[0].p.Stats().Views
	r.run(2 * time.Second)
	if !r.until(time.Second, ten) {
		t.Error("not two rings of ten any more")
	}
	if n := r.nodes[0].p.Stats().Views - before; n > 3 {
		t.Errorf("%d new rings in two seconds", n)
	}
	r.done()
}

// Section 13, 17: one name on two hosts. The younger one keeps out, and both are told.
func TestSameName(t *testing.T) {
	named := func(node, started uint64) func(*Config) {
		return func(c *Config) { c.Node, c.Started = node, started }
	}
	r := newRig(t, 0)
	r.add(named(1, 10))
	r.add(named(2, 11))
	older := r.add(named(3, 12))
	r.form()
	younger := r.add(named(3, 13))
	r.run(time.Second)
	younger.down = true
	r.form()
	if !younger.p.closed || older.p.closed {
		t.Errorf("closed: the younger %v, the older %v", younger.p.closed, older.p.closed)
	}
	has := func(n *rigNode) bool {
		return slices.ContainsFunc(n.events, func(e Event) bool { return e.Kind == SameName })
	}
	if !has(younger) || !has(older) {
		t.Errorf("told: the younger %v, the older %v", has(younger), has(older))
	}
	r.done()
}

// 8.3: a newer start of a node proves that the older one is dead; nobody waits for a time-out.
func TestRestartIsNoticedAtOnce(t *testing.T) {
	r := newRig(t, 0)
	for i := range uint64(3) {
		r.add(func(c *Config) { c.Node, c.Started = i+1, 10 })
	}
	r.form()
	r.nodes[1].down = true
	r.add(func(c *Config) { c.Node, c.Started = 2, 11 })
	began := r.now
	r.form()
	if d := r.now.Sub(began); d > 20*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	r.done()
}

// 8.8: nobody waits for a time-out when a member leaves.
func TestLeaveIsQuick(t *testing.T) {
	r := newRig(t, 4)
	r.form()
	r.offerAll(r.nodes[2], "a", []byte("last"), true)
	if !r.until(time.Second, func() bool { return r.nodes[2].p.Acknowledged() }) {
		t.Fatal("not acknowledged")
	}
	r.nodes[2].p.Close(r.now)
	began := r.now
	others := func() bool {
		for i, n := range r.nodes {
			if i != 2 && (n.p.State() != Operational || len(n.p.Members()) != 3) {
				return false
			}
		}
		return true
	}
	if !r.until(time.Second, others) || r.now.Sub(began) > 5*time.Millisecond {
		t.Errorf("it took %v", r.now.Sub(began))
	}
	if !r.until(time.Second, r.nodes[2].p.Idle) {
		t.Error("the one that leaves is never idle")
	}
	r.nodes[2].down = true
	r.run(time.Second)
	if n := r.nodes[0].p.Stats().Views; n != 2 {
		t.Errorf("%d rings", n)
	}
	r.same(1)
	r.done()
}

// 5.6: with a hold the idle ring is quiet, and a message of any member wakes it at once.
func TestHold(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.Profile = Tuned(); c.Profile.Hold = time.Millisecond })
	r.form()
	r.run(50 * time.Millisecond)
	before := r.nodes[1].p.Stats()
	r.run(100 * time.Millisecond)
	s := r.nodes[1].p.Stats()
	if n := s.Tokens - before.Tokens; n < 80 || n > 100 {
		t.Errorf("%d rotations in 100ms", n)
	}
	if s.TokensAgain > before.TokensAgain {
		t.Errorf("%d tokens were sent again while one was held", s.TokensAgain-before.TokensAgain)
	}
	for i, n := range r.nodes {
		r.run(7 * time.Millisecond)
		began, got := r.now, len(r.nodes[0].got)
		r.offerAll(n, "a", nil, false)
		if !r.until(time.Millisecond, func() bool { return len(r.nodes[0].got) > got }) || r.now.Sub(began) > 10*20*time.Microsecond {
			t.Errorf("a message of node %d took %v", i, r.now.Sub(began))
		}
	}
	r.run(time.Millisecond)
	r.same(3)
	r.done()
}

// Section 13, 12: a member whose loop stood still does not believe the Joins that waited in its
// queue, and enters Gather by itself when the gap was longer than the token-loss time.
func TestPauseRule(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	p := r.nodes[2].p
	r.run(time.Millisecond)
	r.now = r.now.Add(200 * time.Millisecond)
	// What waits: a Join of somebody.
	b := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: r.nodes[0].id, Stream: Stream})
	set := append(append(wire.Members(nil), r.nodes[0].id[:]...), r.nodes[1].id[:]...)
	b = wire.AppendJoin(b, &wire.Join{RingSeq: 1000, Counter: 9, Proc: set})
	wire.Seal(b)
	if err := r.nodes[2].step(b); !errors.Is(err, ErrHeld) {
		t.Errorf("a Join that waited: %v", err)
	}
	if p.State() != Gather || p.Stats().LoopGaps != 1 || p.Stats().Reasons[Paused] != 1 {
		t.Errorf("%v, %d gaps", p.State(), p.Stats().LoopGaps)
	}
	if p.Stats().TokenLoss <= 50*time.Millisecond {
		t.Errorf("the token-loss time is %v after a gap of 200ms", p.Stats().TokenLoss)
	}
	r.form()
	r.done()
}

// The token is sent again after what a rotation takes, long before the fixed time of the profile.
func TestRetransmitFollowsRotation(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	r.run(20 * time.Millisecond)
	lost := 0
	r.lost = func(_, _ *rigNode, d *wire.Datagram) bool {
		if d.Frames()[0].Kind == wire.FrameToken && lost == 0 {
			lost++
			return true
		}
		return false
	}
	r.turn()
	began := r.now
	again := r.nodes[0].p.Stats().TokensAgain + r.nodes[1].p.Stats().TokensAgain + r.nodes[2].p.Stats().TokensAgain
	if !r.until(10*time.Millisecond, func() bool {
		return r.nodes[0].p.Stats().TokensAgain+r.nodes[1].p.Stats().TokensAgain+r.nodes[2].p.Stats().TokensAgain > again
	}) || r.now.Sub(began) > 500*time.Microsecond {
		t.Errorf("sent again after %v", r.now.Sub(began))
	}
	r.done()
}

// 5.3: a rotation brings no more than the host of a member holds.
func TestWindowFitsRoom(t *testing.T) {
	for _, c := range []struct{ room, window, personal int }{
		{0, 160, 50}, {4 << 20, 160, 50}, {212992, 144, 50}, {60_000, 40, 40}, {1000, 16, 16},
	} {
		if p := Tuned().within(c.room, 1472); p.Window != c.window || p.Personal != c.personal || p.Validate() != nil {
			t.Errorf("room %d: window %d, personal %d, want %d and %d; %v", c.room, p.Window, p.Personal, c.window, c.personal, p.Validate())
		}
	}
}

// Section 12: who has seen the token take long waits for it longer, so that a member that is held up
// now and then, as on a host with fewer processors than members, does not split the ring.
func TestTokenLossFollowsLongestRotation(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	r.run(20 * time.Millisecond)
	if d := r.nodes[0].p.Stats().TokenLoss; d != Tuned().TokenLoss {
		t.Fatalf("before: %v", d)
	}
	views := r.nodes[0].p.Stats().Views
	stalled := true
	r.lost = func(_, to *rigNode, d *wire.Datagram) bool { return stalled && to == r.nodes[1] }
	r.run(40 * time.Millisecond)
	stalled = false
	r.run(5 * time.Millisecond)
	for i, n := range r.nodes {
		if d := n.p.Stats().TokenLoss; d < 3*40*time.Millisecond || d > maxRaise*Tuned().TokenLoss {
			t.Errorf("node %d: token loss after %v, with a rotation of 40ms just now", i, d)
		}
	}
	r.run(10 * time.Millisecond)
	stalled = true
	r.run(100 * time.Millisecond)
	stalled = false
	r.run(10 * time.Millisecond)
	if v := r.nodes[0].p.Stats().Views; v != views {
		t.Errorf("a stall of 100ms after one of 40ms made %d views", v-views)
	}
	r.done()
}

// 5.3: all members at saturation get about the same share, and one that is alone gets all it may.
func TestFairShare(t *testing.T) {
	r := newRig(t, 4)
	r.form()
	for _, n := range r.nodes {
		n.quiet = true
	}
	flood := func(n *rigNode) {
		for n.p.Offer(r.now, "a", 0, make([]byte, 1200), false) == nil {
		}
	}
	for range 2000 {
		for _, n := range r.nodes {
			flood(n)
		}
		r.turn()
		r.now += 20_000
	}
	least, most := uint64(1<<62), uint64(0)
	for _, n := range r.nodes {
		d := n.p.Stats().Datagrams
		least, most = min(least, d), max(most, d)
	}
	if least < 1000 || most > least*11/10 {
		t.Errorf("between %d and %d datagrams each", least, most)
	}
	// A burst after silence leaves at one visit, up to Personal datagrams.
	r.run(20 * time.Millisecond)
	visits, sent := r.nodes[0].p.Stats().Tokens, r.nodes[0].p.Stats().Datagrams
	for range 15 {
		_ = r.nodes[0].p.Offer(r.now, "a", 0, make([]byte, 1200), false)
	}
	r.until(time.Millisecond, func() bool { return r.nodes[0].p.Stats().Datagrams >= sent+15 })
	if n := r.nodes[0].p.Stats().Tokens - visits; n > 2 {
		t.Errorf("a burst of 15 took %d visits", n)
	}
	r.done()
}

// A datagram in another layout is ordered, delivered and repaired like any other.
func TestOtherLayout(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	strange := func(b []byte) []byte {
		b = append(bytes.Clone(b), 0xA0, 0x06, 1) // field 100, a varint
		wire.Seal(b)
		return b
	}
	first := true
	lost := false
	r.lost = func(from, to *rigNode, d *wire.Datagram) bool {
		if d.Frames()[0].Kind != wire.FrameData || from != r.nodes[0] {
			return false
		}
		if to == r.nodes[2] && first { // it gets it from node 1, which has kept its own copy
			first, lost = false, true
			return true
		}
		return false
	}
	r.offerAll(r.nodes[0], "a", []byte("one"), false)
	r.offerAll(r.nodes[0], "b", bytes.Repeat([]byte("two"), 700), false)
	for range 50 {
		r.turn()
		r.now += 20_000
		for _, n := range r.nodes {
			for i := range n.inbox {
				n.inbox[i] = strange(n.inbox[i])
			}
		}
	}
	r.same(2)
	if !lost {
		t.Error("nothing was lost")
	}
	r.done()
}

// MaxRate bounds what leaves.
func TestMaxRate(t *testing.T) {
	r := newRig(t, 2, func(c *Config) { c.Pacer = core.NewPacer(50_000_000, c.Datagram) })
	r.form()
	for _, n := range r.nodes {
		n.quiet = true
	}
	var sent int64
	r.lost = func(from, to *rigNode, d *wire.Datagram) bool { return false }
	before := r.nodes[0].p.Stats().Datagrams
	for range 10_000 { // 200ms
		for r.nodes[0].p.Offer(r.now, "a", 0, make([]byte, 1200), false) == nil {
		}
		r.turn()
		r.now += 20_000
	}
	sent = int64(r.nodes[0].p.Stats().Datagrams-before) * (1200 + 150) * 8
	if limit := int64(50_000_000) / 5; sent > limit*11/10 || sent < limit/2 {
		t.Errorf("%d bits in 200ms, %d allowed", sent, limit)
	}
	r.done()
}

// Section 13, 9: three rings become one while each has as much outstanding as it may, so that
// more has to be recovered than a store holds.
func TestLongRecovery(t *testing.T) {
	r := newRig(t, 6, func(c *Config) { c.Window, c.Profile = 1, Tuned(); c.Profile.StuckTime = 10 * time.Second })
	apart, deaf := true, false
	r.lost = func(from, to *rigNode, d *wire.Datagram) bool {
		return apart && (from.at-1)/2 != (to.at-1)/2 || deaf && to.at%2 == 0 && d.Frames()[0].Kind == wire.FrameData && !d.Frames()[1].Ring().Recovered
	}
	pairs := func() bool {
		for _, n := range r.nodes {
			if n.p.State() != Operational || len(n.p.Members()) != 2 {
				return false
			}
		}
		return true
	}
	if !r.until(3*time.Second, pairs) {
		t.Fatal("no three rings")
	}
	deaf = true
	for range 300 {
		for i, n := range r.nodes {
			if i%2 == 0 {
				_ = n.p.Offer(r.now, "a", 0, make([]byte, 1200), false)
			}
		}
		r.turn()
	}
	outstanding := 0
	for i, n := range r.nodes {
		if i%2 == 0 {
			outstanding += int(n.p.cur.high)
		}
	}
	if outstanding <= minStore {
		t.Fatalf("only %d datagrams are outstanding", outstanding)
	}
	apart = false // and nothing is repaired but in the recovery
	r.form()
	sent := uint64(0)
	for _, n := range r.nodes {
		sent += n.p.Stats().RecoverySent
	}
	if sent <= minStore {
		t.Errorf("only %d datagrams were recovered", sent)
	}
	deaf = false
	r.run(50 * time.Millisecond)
	for i := 0; i < 6; i += 2 {
		if a, b := r.nodes[i], r.nodes[i+1]; len(a.got) < 128 || !slices.Equal(a.got[:128], b.got[:128]) {
			t.Errorf("pair %d was handed %d and %d messages", i/2, len(a.got), len(b.got))
		}
	}
	r.done()
}

// What was ordered where a member could not hear it is reported as lost, in its place.
func TestLostElsewhere(t *testing.T) {
	r := newRig(t, 4)
	r.form()
	r.offerAll(r.nodes[3], "a", []byte("1"), false)
	r.run(5 * time.Millisecond)
	apart := true
	r.lost = func(from, to *rigNode, _ *wire.Datagram) bool { return apart && (from.at <= 2) != (to.at <= 2) }
	r.run(400 * time.Millisecond)
	r.offerAll(r.nodes[3], "a", []byte("2"), false)
	r.offerAll(r.nodes[3], "a", []byte("3"), false)
	r.run(5 * time.Millisecond)
	apart = false
	r.form()
	r.offerAll(r.nodes[3], "a", []byte("4"), false)
	r.run(5 * time.Millisecond)
	want := []core.Loss{{From: r.nodes[3].id, Stream: Stream, First: 2, Last: 3, Reason: core.LossSenderGone}}
	if !slices.Equal(r.nodes[0].losses, want) || len(r.nodes[2].losses) > 0 {
		t.Errorf("lost: %+v, and beside the sender %+v", r.nodes[0].losses, r.nodes[2].losses)
	}
	r.done()
}

// Incarnation and sequence at wire limits: a Join from the far future does not use the numbers up.
func TestRingSequenceFromTheFuture(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	id := wire.MemberID{0xFF, 1}
	b := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: id, Stream: Stream})
	b = wire.AppendJoin(b, &wire.Join{RingSeq: wire.MaxRingSeq, Proc: wire.Members(id[:])})
	wire.Seal(b)
	for range 3 {
		for _, n := range r.nodes {
			_ = n.step(b)
		}
		r.run(300 * time.Millisecond)
	}
	r.form()
	r.add() // it knows nothing of such numbers
	r.form()
	if s := r.nodes[0].p.Ring().Seq; s > 100*maxLeap {
		t.Errorf("the ring's sequence is %d", s)
	}
	r.done()
}

func TestProfiles(t *testing.T) {
	for _, p := range []Profile{{}, Tuned(), Isolated(), Shared(), Isolated().WithTokenLoss(3 * time.Millisecond), Shared().WithTokenLoss(100 * time.Millisecond)} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	ms := time.Millisecond
	for _, c := range []struct {
		field string
		p     Profile
	}{
		{"TokenLoss", Profile{TokenRetransmit: 20 * ms}},
		{"Consensus", Profile{TokenLoss: 100 * ms}},
		{"Join", Profile{Join: 30 * ms}},
		{"Hold", Profile{Hold: 5 * ms}},
		{"Window", Profile{Window: -1}},
		{"Personal", Profile{Personal: 200}},
		{"IdleRotations", Profile{IdleRotations: -1}},
		{"negative", Profile{Merge: -1}},
	} {
		if err := c.p.Validate(); err == nil || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}

// Every reason and state has a name, and every drop an error of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range Reasons {
		seen[fmt.Sprint("reason ", i)] = true
	}
	for i := range DropReasons {
		seen["drop "+i.String()] = true
		if dropErrors[i] == nil {
			t.Errorf("%v has no error", i)
		}
	}
	for s := Gather; s <= Operational; s++ {
		seen[s.String()] = true
	}
	for k := StateEntered; k <= WasExcluded; k++ {
		seen[k.String()] = true
	}
	if len(seen) != int(Reasons)+int(DropReasons)+4+int(WasExcluded) {
		t.Errorf("%d names", len(seen))
	}
}

var _ interface {
	Step(clock.Time, *wire.Datagram, buf.Received) error
	Deadline() (clock.Time, bool)
	Tick(clock.Time)
	Flush(clock.Time)
	PollSend(clock.Time) (buf.Send, bool)
	Deliver(clock.Time) int
} = (*Protocol)(nil)

// A commit token that its maker has abandoned is refused: the maker's Join told a ring sequence
// that is as large. Two members that took each other's abandoned tokens at the same moments once
// never formed a ring again.
func TestAbandonedCommit(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.nodes[0], r.nodes[1]
	b.p.Flush(r.now)
	both := append(append(wire.Members(nil), a.id[:]...), b.id[:]...)
	header := wire.Header{Cluster: 7, Transmitter: a.id, Stream: Stream}
	seal := func(m []byte) []byte { wire.Seal(m); return m }
	if err := b.step(seal(wire.AppendJoin(wire.AppendHeader(nil, header), &wire.Join{RingSeq: 9, Proc: both}))); err != nil {
		t.Fatal(err)
	}
	commit := func(seq uint64) []byte {
		c := wire.Commit{Ring: wire.RingID{Rep: a.id, Seq: seq}, Index: 1, Rings: wire.OldRings(nil).Append(wire.RingID{Rep: a.id, Seq: 1})}
		c.Entries = c.Entries.Append(wire.CommitEntry{ID: a.id, Filled: true}).Append(wire.CommitEntry{ID: b.id})
		return seal(wire.AppendCommit(wire.AppendHeader(nil, header), &c))
	}
	if err := b.step(commit(9)); !errors.Is(err, ErrStale) || b.p.State() != Gather {
		t.Errorf("abandoned: %v, %v", err, b.p.State())
	}
	if err := b.step(commit(13)); err != nil || b.p.State() != Commit {
		t.Errorf("fresh: %v, %v", err, b.p.State())
	}
	r.done()
}

// A Join from the future that raises the ring's sequence by 2^32 does not make old data find its
// ring again: what was recorded in a ring is refused in all later ones.
func TestRecordedData(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	first := r.nodes[0].p.Ring()
	var old [][]byte
	r.heard = func(to *rigNode, b []byte) {
		if wire.Decode(b, &r.d) == nil && len(r.d.Frames()) == 2 && to == r.nodes[1] {
			old = append(old, bytes.Clone(b))
		}
	}
	for i := range 5 {
		r.offerAll(r.nodes[0], "old", []byte{byte(i)}, false)
		r.run(time.Millisecond)
	}
	r.heard = nil
	id := wire.MemberID{0xFF, 1}
	join := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: id, Stream: Stream})
	join = wire.AppendJoin(join, &wire.Join{RingSeq: first.Seq + 1<<32 - 4, Proc: wire.Members(id[:])})
	wire.Seal(join)
	r.inject(join, 7)
	r.run(300 * time.Millisecond)
	r.form()
	if now := r.nodes[0].p.Ring(); now.Seq < first.Seq+1<<32 || now.Key() == first.Key() {
		t.Errorf("after ring %d comes %d", first.Seq, now.Seq)
	}
	for _, b := range old {
		r.inject(b, 7)
	}
	r.run(5 * time.Millisecond)
	r.offerAll(r.nodes[2], "new", nil, true)
	r.run(5 * time.Millisecond)
	if len(old) == 0 {
		t.Error("nothing was recorded")
	}
	r.same(6)
	r.done()
}

// When no sequence is left, no ring is formed: none ever has the identifier of another.
func TestSequencesUsedUp(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.RingSeq = wire.MaxRingSeq - 10 })
	r.form()
	r.nodes[2].down = true
	r.run(time.Second)
	r.nodes[2].down = false
	r.run(time.Second)
	rings := map[wire.RingID][]wire.MemberID{}
	for i, n := range r.nodes {
		for _, v := range n.views {
			if v.Kind != Regular {
				continue
			}
			if m, ok := rings[v.Ring]; ok && !slices.Equal(m, v.Members) {
				t.Errorf("node %d: ring %d has other members than before", i, v.Ring.Seq)
			}
			rings[v.Ring] = v.Members
			if v.Ring.Seq > wire.MaxRingSeq {
				t.Errorf("ring %d", v.Ring.Seq)
			}
		}
	}
	r.done()
}

// The low half of the ring's sequence, which data carries, wraps: nobody notices.
func TestRingSequenceWraps(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.RingSeq = 1<<32 - 12 })
	sent := 0
	for i := range 8 {
		r.form()
		for range 20 {
			r.offerAll(r.nodes[sent%2], "a", []byte{byte(sent)}, sent%3 == 0)
			sent++
		}
		r.run(2 * time.Millisecond)
		r.nodes[2].down = i%2 == 0
	}
	r.run(2 * time.Millisecond)
	if s := r.nodes[0].p.Ring().Seq; s < 1<<32 {
		t.Errorf("only ring %d", s)
	}
	for i, n := range r.nodes[:2] {
		if len(n.got) != sent {
			t.Errorf("node %d was handed %d of %d", i, len(n.got), sent)
		}
	}
	r.ordered()
	r.done()
}

// The low half of token_seq, which data carries as its round, wraps, and nobody notices; at the end
// of the whole number the ring is formed anew, with nothing out of order.
func TestTokenSequenceWraps(t *testing.T) {
	for _, start := range []uint64{1<<31 - 100, 1<<32 - 100, 1<<64 - 100} {
		r := newRig(t, 3)
		r.mild = true // the last number of all has no place on the wire
		r.form()
		jumped := false
		for !jumped { // the next token is one that has gone round for years
			r.turn()
			r.now += 20_000
			for _, n := range r.nodes {
				for i, b := range n.inbox {
					if wire.Decode(b, &r.d) == nil && r.d.Frames()[0].Kind == wire.FrameToken && !jumped {
						tok := r.d.Frames()[0].Token()
						tok.TokenSeq, jumped = start, true
						b = wire.AppendToken(wire.AppendHeader(nil, r.d.Header), &tok)
						wire.Seal(b)
						n.inbox[i] = b
					}
				}
			}
		}
		lose := 0
		r.lost = func(_, _ *rigNode, d *wire.Datagram) bool {
			lose++
			return lose%29 == 0
		}
		for i := range 200 {
			r.offerAll(r.nodes[i%3], "a", []byte{byte(i)}, i%5 == 0)
			r.run(200 * time.Microsecond)
		}
		r.lost = nil
		r.form()
		r.run(20 * time.Millisecond)
		r.same(200)
		views := uint64(1)
		if start > 1<<63 {
			views = 2
		}
		if n := r.nodes[0].p.Stats().Views; n != views {
			t.Errorf("from %d on: %d views", start, n)
		}
		r.done()
	}
}
