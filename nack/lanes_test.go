package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// A receiver leaves in the lane of every stream that it receives, and only there if it sends
// nothing: a sender may hear no other lanes than those that it sends on.
func TestReceiverLeavesInEveryLane(t *testing.T) {
	lane := func(p wire.Protocol, l uint16) wire.StreamID { return wire.NewStreamID(p, l) }
	theirs := []wire.StreamID{lane(wire.NACK, 3), lane(wire.NACK, 5), lane(wire.FEC, 5), lane(wire.Hybrid, 6), lane(wire.BestEffort, 7)}
	for _, sends := range [][]wire.StreamID{nil, {lane(wire.NACK, 1)}, {lane(wire.NACK, 5), lane(wire.BestEffort, 7)}} {
		net := newNetwork(t, 12)
		net.extra = 12 * 300
		fec := func(c *Config) { c.FEC = FEC{Source: 20, Interleave: 1, Max: 6} }
		a, b, r := net.add(fec), net.add(fec), net.add(fec)
		var senders []*Sender
		for _, n := range []*node{a, b} { // two senders in the same lanes
			for _, id := range theirs {
				senders = append(senders, n.p.Open(net.now, id))
			}
			net.turn(n)
		}
		for _, id := range sends {
			r.p.Open(net.now, id)
		}
		net.turn(r)
		known := func() (n int) {
			for _, s := range senders {
				if _, ok := s.index[r.id]; ok {
					n++
				}
			}
			return n
		}
		if !net.until(time.Second, func() bool { return known() == len(senders) }) {
			t.Fatalf("%d of %d know the receiver", known(), len(senders))
		}
		left := map[wire.StreamID]int{}
		net.filter = func(from, to *node, d *wire.Datagram) bool {
			if from == r && to == a && d.Frames()[0].Kind == wire.FrameLeave {
				left[d.Stream]++
				return false // until the last one: they must be in all lanes, whichever is heard
			}
			return true
		}
		r.p.Close(net.now)
		net.turn(r)
		net.run(time.Millisecond)
		want := map[wire.StreamID]bool{}
		for _, id := range theirs {
			want[id] = true
		}
		for _, id := range sends {
			want[id] = true
		}
		if len(sends) == 0 {
			want[lane(wire.NACK, 0)] = true
		}
		for id := range want {
			if left[id] != leaveCopies {
				t.Errorf("sends %v: %d farewells in %v", sends, left[id], id)
			}
		}
		if len(left) != len(want) {
			t.Errorf("sends %v: farewells in %v", sends, left)
		}
		if n := known(); n != len(theirs) {
			t.Errorf("sends %v: %d streams still wait for who left, want only %d of the one that heard nothing", sends, n, len(theirs))
		}
		net.run(50 * time.Millisecond)
		net.done()
	}
}

// A sender that receives only the lanes that it sends on notices that a receiver leaves.
func TestFilteringSenderHearsTheFarewell(t *testing.T) {
	net := newNetwork(t, 13)
	sender, r := net.add(), net.add()
	id := wire.NewStreamID(wire.NACK, 5)
	s := sender.p.Open(net.now, id)
	net.turn(sender)
	if !net.until(time.Second, func() bool { return s.Receivers() == 1 }) {
		t.Fatal("no receiver")
	}
	net.filter = func(from, to *node, d *wire.Datagram) bool { return to != sender || d.Stream.Lane() == 5 }
	r.p.Close(net.now)
	net.turn(r)
	net.run(time.Millisecond)
	if s.Receivers() != 0 {
		t.Error("it waits for the eviction")
	}
	net.done()
}

// What is not wanted and comes nevertheless makes no stream known; a Start of a sender that
// hashes over another number of lanes is told, wanted or not, and its stream is counted once.
func TestUnwantedLanes(t *testing.T) {
	for _, lanes := range []int{8, 4} {
		net := newNetwork(t, 14)
		net.extra = 4 * 300
		wanted := func(l uint16) (clock.Time, bool) { return 0, l == 3 }
		told := map[int]int{}
		r := net.add(func(c *Config) {
			c.Lanes = 8
			c.Wanted = func(l uint16) (clock.Time, bool) { return wanted(l) }
			c.OtherLanes = func(_ wire.MemberID, n int) {
				told[n]++
				wanted = func(uint16) (clock.Time, bool) { return 0, true }
			}
		})
		sender := net.add(func(c *Config) { c.Lanes = lanes })
		in, out := sender.p.Open(net.now, wire.NewStreamID(wire.NACK, 3)), sender.p.Open(net.now, wire.NewStreamID(wire.NACK, 2))
		net.turn(sender)
		net.offer(sender, in, 5, 64)
		net.offer(sender, out, 5, 64)
		net.run(200 * time.Millisecond)
		st := r.p.Stats()
		if lanes == 8 {
			if in.Receivers() != 1 || out.Receivers() != 0 || st.Streams != 1 || st.LanesDiffer != 0 || len(told) != 0 {
				t.Errorf("the same lanes: %d and %d receivers, %d streams, %d differ, told %v", in.Receivers(), out.Receivers(), st.Streams, st.LanesDiffer, told)
			}
			if st.Drops[DropLane] == 0 {
				t.Error("what was refused is not counted")
			}
		} else if in.Receivers() != 1 || out.Receivers() != 1 || st.Streams != 2 || st.LanesDiffer != 2 || told[4] == 0 || st.Drops[DropLane] != 0 {
			t.Errorf("other lanes: %d and %d receivers, %d streams, %d differ, told %v", in.Receivers(), out.Receivers(), st.Streams, st.LanesDiffer, told)
		}
		net.done()
	}
}

// A Start has the number of lanes also when the stream is older than the member that receives it.
func TestLanesOfAnOlderStream(t *testing.T) {
	net := newNetwork(t, 15)
	net.faults.delay = 100 * time.Microsecond
	sender := net.add(func(c *Config) { c.Lanes = 4 })
	s := sender.p.Open(net.now, wire.NewStreamID(wire.NACK, 2))
	net.turn(sender)
	net.run(150 * time.Millisecond) // all that is sent alone has been sent: heartbeats go on with it
	told := 0
	r := net.add(func(c *Config) { c.Lanes, c.OtherLanes = 8, func(wire.MemberID, int) { told++ } })
	net.run(600 * time.Millisecond)
	if told == 0 || r.p.Stats().LanesDiffer != 1 || s.Receivers() != 1 {
		t.Errorf("told %d times, %d differ, %d receivers", told, r.p.Stats().LanesDiffer, s.Receivers())
	}
	net.done()
}

// Who wants a lane only now hears a stream that began before from now on, young as it is; and one
// that begins afterwards from its beginning.
func TestLaneWantedLater(t *testing.T) {
	net := newNetwork(t, 16)
	net.extra = 4 * 300
	since := clock.Time(-1)
	r := net.add(func(c *Config) { c.Wanted = func(uint16) (clock.Time, bool) { return since, since >= 0 } })
	sender := net.add()
	old := sender.p.Open(net.now, wire.NewStreamID(wire.NACK, 0))
	net.turn(sender)
	net.offer(sender, old, 5, 64)
	net.run(time.Millisecond)
	if old.Receivers() != 0 {
		t.Fatal("an unwanted lane was heard")
	}
	since = net.now
	net.run(400 * time.Millisecond) // its heartbeats go on to say where it began
	net.offer(sender, old, 5, 64)
	fresh := sender.p.Open(net.now, wire.NewStreamID(wire.BestEffort, 0))
	net.filter = func(from, _ *node, d *wire.Datagram) bool {
		return from != sender || d.Frames()[0].Kind != wire.FrameData
	}
	net.offer(sender, fresh, 5, 64)
	net.run(10 * time.Microsecond)
	net.filter = nil
	net.run(400 * time.Millisecond)
	if h := r.stream(sender.id, old.ID()); h.first != 6 || h.next != 11 {
		t.Errorf("messages %d to %d of the old stream were heard", h.first, h.next-1)
	}
	if h := r.stream(sender.id, fresh.ID()); len(h.lost) != 1 || h.lost[0].First != 1 {
		t.Errorf("of the new one %v is lost", h.lost)
	}
	net.done()
}
