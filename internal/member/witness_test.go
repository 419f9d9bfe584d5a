package member

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// full is a consumer of a card that may be full.
type full struct {
	*card
	busy bool
	got  int
}

func (f *full) Ready(clock.Time) bool { return !f.busy }

func (f *full) Deliver(clock.Time, string, *core.Delivery) { f.got++ }

// newGroupWires joins cards that are in a group. Group datagrams arrive at engine 1, others at engine 2. It returns
// what was told of others to each.
func newGroupWires(t *testing.T) (*wires, map[*card][]group.Change) {
	t.Helper()
	w := newWires(t, 1)
	events := map[*card][]group.Change{}
	w.group = func(c *card) *Group {
		return &Group{
			Name: "n", Started: uint64(1 + len(w.cards)), HeartbeatInterval: 20 * time.Millisecond, FailureTimeout: 100 * time.Millisecond,
			HeartbeatRate: 800_000, Queue: 1 << 16, Buffers: 64,
			Tell: func(_ clock.Time, ch *group.Change) {
				if ch.ID != c.id {
					events[c] = append(events[c], *ch)
				} else if ch.Kind == group.Failed {
					c.excluded = true
					c.Engine().Post(func() { c.Group().SelfTold(c.Engine().Now()) })
				}
			},
		}
	}
	w.pick = func(_ *card, x packet) int {
		if isGroupPacket(x) {
			return 1
		}
		return 2
	}
	return w, events
}

func isGroupPacket(x packet) bool {
	h, ok := wire.Peek(x.data)
	return ok && h.Stream.Protocol() == wire.Group
}

// A member with three engines is in a group with one that has one. Group datagrams arrive at engine 1, topics at
// engine 2. Topics alone are a sign of life, at whichever engine they arrive. A member that is removed is barred at
// all engines, and its end is reported when none holds anything of it.
func TestGroupOfSeveralEngines(t *testing.T) {
	w, events := newGroupWires(t)
	r, s := w.add(3, wire.NACK), w.add(1, wire.NACK)
	r.late, s.late = true, true
	slow := &full{card: r}
	r.table.Add("topic", slow)
	last := func(c *card, kind group.ChangeKind) func() bool {
		return func() bool { n := len(events[c]); return n > 0 && events[c][n-1].Kind == kind }
	}
	w.until("both are there", func() bool { return last(r, group.Started)() && last(s, group.Started)() })
	if !r.Command(CommandJoin, 0, wire.MemberID{}, "traders", nil) {
		t.Fatal("the command ring is full")
	}
	w.until("the group", last(s, group.JoinedGroup))

	w.drop = isGroupPacket
	for next, end := w.now, w.now.Add(time.Second); w.now < end; w.turn() {
		if w.now >= next {
			w.offer(s)
			next = w.now.Add(10 * time.Millisecond)
		}
	}
	if !last(r, group.Started)() {
		t.Fatalf("events of a member whose topics came: %v", events[r])
	}
	slow.busy = true
	w.offer(s)
	at, had := w.now, slow.got
	w.until("the core has removed it", func() bool { return r.Group().Stats().Removed == 1 })
	if d := w.now.Sub(at); d < 80*time.Millisecond || d > 130*time.Millisecond {
		t.Errorf("removed after %v", d)
	}
	for end := w.now.Add(50 * time.Millisecond); w.now < end; w.turn() {
	}
	if last(r, group.Failed)() || slow.got != had {
		t.Fatalf("the end was reported while a full queue held up a message")
	}
	slow.busy = false
	w.until("the end", last(r, group.Failed))
	if slow.got != had+1 {
		t.Errorf("%d messages after the end, want 1", slow.got-had)
	}
	w.offer(s)
	w.until("it is barred", func() bool { return r.NackStats(2).Drops[nack.DropBarred] > 0 })

	w.drop = nil
	w.until("it is back", last(r, group.Started))
	had = slow.got
	w.until("its topics are", func() bool { w.offer(s); return slow.got > had })
	w.done()
}

// A process that was stopped goes on, at first with an engine that is not the first one. What waits there is not handed
// to a handler before the first engine has closed the gate, nor before the member has reported its own end (GR-13).
func TestGateOfSeveralEngines(t *testing.T) {
	for _, stopped := range []time.Duration{500 * time.Millisecond, 60 * time.Millisecond} {
		w, _ := newGroupWires(t)
		r, s := w.add(3, wire.NACK), w.add(1, wire.NACK)
		r.late, s.late = true, true
		got := &full{card: r}
		r.table.Add("topic", got)
		w.until("both are there", func() bool { return r.Group().Stats().Members == 2 && s.Group().Stats().Members == 2 })
		w.until("topics flow", func() bool { w.offer(s); return got.got > 20 })
		r.gone = true // its turns
		for end := w.now.Add(stopped); w.now < end; w.turn() {
			if w.rand.IntN(100) == 0 {
				w.offer(s)
			}
		}
		removed := s.Group().Stats().Removed == 1
		if removed != (stopped > 100*time.Millisecond) {
			t.Fatalf("stopped for %v; removed: %t", stopped, removed)
		}
		had := got.got
		for range 20 {
			w.now = w.now.Add(20 * time.Microsecond)
			r.Engines()[2].Turn(w.now)
		}
		if removed && got.got != had {
			t.Errorf("%d messages were handed over before the first engine turned", got.got-had)
		}
		r.gone = false
		w.until("topics flow again", func() bool { return got.got > had })
		if removed && !r.excluded {
			t.Error("a message was handed over before the member reported its own end")
		}
		w.done()
	}
}

// A member of a group receives lane 0, whatever it subscribes to: the group's datagrams are in it.
func TestGroupWantsLaneZero(t *testing.T) {
	for _, in := range []bool{false, true} {
		w := newWires(t, 1)
		var set [][2]uint32
		w.filter, w.lanes = lanes.Filter{Set: func(ranges [][2]uint32) error { set = ranges; return nil }}, 64
		if in {
			w.group = func(*card) *Group { return &Group{Name: "n", Started: 1, Queue: 1 << 16, Buffers: 64} }
		}
		r := w.add(1, wire.NACK)
		if err := r.ListenAll(w.now); err != nil {
			t.Fatal(err)
		}
		if zero := len(set) > 0 && set[0][0] == 0; zero != in || lanes.Of("topic", 64) == 0 {
			t.Errorf("in a group %t: it receives lanes %v", in, set)
		}
		w.done()
	}
}
