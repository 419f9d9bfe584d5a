package member

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// ringListener takes what a cluster's ring delivers.
type ringListener struct {
	order   []byte
	streams map[wire.StreamID]bool
	views   []totem.View
	visits  int
	late    time.Duration // the longest time from Received to the delivery
	card    *card
	w       *wires
}

func (r *ringListener) Deliver(d *core.Delivery) bool {
	r.order = append(r.order, d.Payload[0])
	r.streams[d.Stream] = true
	r.late = max(r.late, r.w.now.Sub(d.Received))
	return true
}

func (r *ringListener) Lost(*core.Loss) {}

// newClusterWires joins cards that have a cluster's ring. Datagrams of one ring arrive at engine 1, others at engine 2.
func newClusterWires(t *testing.T) (*wires, map[*card]*ringListener) {
	w := newWires(t, 3)
	all := map[*card]*ringListener{}
	w.cluster = func(c *card) *ClusterRing {
		r := &ringListener{streams: map[wire.StreamID]bool{}, card: c, w: w}
		all[c] = r
		return &ClusterRing{Sink: r, Views: func(v totem.View) {
			if v.Kind == totem.Regular {
				r.views = append(r.views, v)
			}
		}, Visit: func(_, confirmed clock.Time, _ uint64) {
			if confirmed != 0 {
				r.visits++
			}
		}}
	}
	w.pick = func(_ *card, x packet) int {
		if h, ok := wire.Peek(x.data); ok && h.Stream == ClusterStream {
			return 1
		}
		return 2
	}
	return w, all
}

// Members with two rings: each ring has its own members and its own order, and neither takes a datagram of the other.
// One of the members has three engines, and one has no topics under Totem.
func TestTwoRings(t *testing.T) {
	w, all := newClusterWires(t)
	a, b, c := w.add(3, wire.Totem), w.add(1, wire.Totem), w.add(1, wire.NACK)
	for _, m := range w.cards {
		m.late = true
	}
	rings := func() bool {
		return len(a.Totem().Members()) == 2 && len(b.Totem().Members()) == 2 && len(a.Cluster().Members()) == 3 &&
			len(b.Cluster().Members()) == 3 && len(c.Cluster().Members()) == 3
	}
	w.until("both rings", rings)
	if a.Totem().Ring() == a.Cluster().Ring() {
		t.Log("equal names of two rings do no harm")
	}
	foreign := a.Totem().Stats().Drops[totem.DropForeign] + a.Cluster().Stats().Drops[totem.DropForeign]
	for i := range 50 {
		for _, m := range w.cards {
			if err := m.Cluster().Offer(w.now, "c", wire.KindRaw, []byte{byte(i)}, false); err != nil {
				t.Fatal(err)
			}
		}
		w.offer(a)
		w.offer(b)
		w.turn()
	}
	w.until("all operations", func() bool {
		return len(all[a].order) == 150 && len(all[b].order) == 150 && len(all[c].order) == 150
	})
	w.until("all topics", func() bool { return a.next[b.id] == 50 && b.next[a.id] == 50 })
	for _, m := range w.cards {
		r := all[m]
		if string(r.order) != string(all[a].order) {
			t.Error("two members have another order")
		}
		if len(r.streams) != 1 || !r.streams[ClusterStream] {
			t.Errorf("streams %v", r.streams)
		}
		if r.visits == 0 {
			t.Error("no visit confirmed anything")
		}
	}
	if n := a.Totem().Stats().Drops[totem.DropForeign] + a.Cluster().Stats().Drops[totem.DropForeign]; n != foreign {
		t.Errorf("the rings of a member refused %d datagrams of each other", n-foreign)
	}
	w.done()
}

// A subscription that takes nothing holds up the ring of topics for everybody. The ring of the cluster goes on as before.
func TestPausedTopicLeavesClusterRingAlone(t *testing.T) {
	w, all := newClusterWires(t)
	a, b := w.add(3, wire.Totem), w.add(1, wire.Totem)
	a.late, b.late = true, true
	w.until("both rings", func() bool { return len(a.Totem().Members()) == 2 && len(a.Cluster().Members()) == 2 })
	slow := &full{card: b, busy: true}
	b.table.Add("topic", slow)
	took := func() (d time.Duration) {
		for range 20 {
			from, n := w.now, len(all[b].order)
			if err := a.Cluster().Offer(w.now, "c", wire.KindRaw, []byte{1}, false); err != nil {
				t.Fatal(err)
			}
			w.until("an operation", func() bool { return len(all[b].order) > n })
			d = max(d, w.now.Sub(from))
		}
		return d
	}
	before := took()
	w.until("the ring of topics is held up", func() bool { w.offer(a); return b.Totem().Stats().Pauses > 0 && a.Totem().Stats().BackPressure > 0 })
	if views := len(all[b].views); views == 0 {
		t.Error("no view of the cluster's ring")
	}
	if d := took(); d > 2*before+time.Millisecond {
		t.Errorf("an operation took up to %v, and %v before", d, before)
	}
	slow.busy = false
	w.until("the topics come", func() bool { return slow.got > 0 })
	w.done()
}

// Nothing is paid for a ring that is not there, and each of two rings reckons with half of the socket's room.
func TestRoomOfTwoRings(t *testing.T) {
	w := newWires(t, 1)
	alone := w.add(1, wire.Totem)
	if alone.Cluster() != nil || alone.cfg.ringRoom() != 1<<20 {
		t.Errorf("room %d", alone.cfg.ringRoom())
	}
	two, _ := newClusterWires(t)
	if both := two.add(1, wire.Totem); both.cfg.ringRoom() != 1<<19 {
		t.Errorf("room of one of two rings: %d", both.cfg.ringRoom())
	}
	if one := two.add(1, wire.NACK); one.cfg.ringRoom() != 1<<20 {
		t.Errorf("room of the only ring: %d", one.cfg.ringRoom())
	}
}

// Where lanes are kept away from a member, that of the cluster's ring comes.
func TestClusterRingIsInAWantedLane(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		w := newWires(t, 1)
		if cluster {
			w, _ = newClusterWires(t)
		}
		var set [][2]uint32
		w.filter = lanes.Filter{Set: func(ranges [][2]uint32) error { set = ranges; return nil }}
		for w.lanes = 4; lanes.Of("topic", w.lanes) == 0; w.lanes++ {
		}
		c := w.add(1, wire.NACK)
		if err := c.ListenAll(w.now); err != nil {
			t.Fatal(err)
		}
		if len(set) == 0 {
			t.Fatal("the driver was given no lanes")
		}
		if got := set[0][0] == 0; got != cluster {
			t.Errorf("in a cluster: %v; lanes %v", cluster, set)
		}
	}
}
