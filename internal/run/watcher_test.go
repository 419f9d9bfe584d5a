package run

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/wire"
)

// writer writes a replica as the first engine does.
type writer struct {
	publication
	state *cluster.State
	run   *Cluster
}

func newWriter(t *testing.T, p *Replica) *writer {
	w := &writer{publication: publication{replica: p, maps: map[string]*ReplicaMap{}, post: func(f func()) { f() }}, state: newState()}
	w.run = &Cluster{cfg: &ClusterConfig{Slow: func(string, string) {}}, quit: make(chan struct{}), publication: w.publication}
	p.begin(w.run)
	t.Cleanup(func() {
		if w.run != nil {
			w.stop()
		}
	})
	return w
}

// newState is that of a cluster of one.
func newState() *cluster.State {
	s, id := cluster.NewState(), wire.MemberID{1}
	s.Establish(1, &wire.Opening{
		Primary:  wire.Primary{Chain: wire.Chain{Ring: wire.RingID{Seq: 1}, Founded: 5}, Epoch: 1, Ring: wire.RingID{Seq: 1}, Seats: []wire.Seat{wire.Seat(id)}},
		Founding: true, Rules: 1, MaxValue: 1 << 20, StateLimit: 1 << 30,
		Members: []wire.OpeningMember{{Member: id, Seat: wire.Seat(id), RulesMin: 1, RulesMax: 1, Current: true}},
	})
	s.ClearEvents()
	return s
}

func (w *writer) stop() {
	w.replica.end(w.run)
	w.replica.Join(nil)
	w.run = nil
}

// turn applies operations and publishes them.
func (w *writer) turn(ops ...wire.ClusterOp) {
	for i := range ops {
		w.state.Apply(1, wire.MemberID{1}, 0, &ops[i])
	}
	w.publish(&cluster.Publication{State: w.state, Events: w.state.Events()})
	w.state.ClearEvents()
}

// replace publishes another state.
func (w *writer) replace(ops ...wire.ClusterOp) {
	w.state = newState()
	for i := range ops {
		w.state.Apply(1, wire.MemberID{1}, 0, &ops[i])
	}
	w.publish(&cluster.Publication{State: w.state, Events: w.state.Events(), Reset: true})
	w.state.ClearEvents()
}

func put(name, key, value string) wire.ClusterOp {
	return wire.ClusterOp{Kind: wire.OpPut, Map: []byte(name), Key: []byte(key), Value: []byte(value)}
}

func del(name, key string) wire.ClusterOp {
	return wire.ClusterOp{Kind: wire.OpDelete, Map: []byte(name), Key: []byte(key)}
}

// seen collects what a watch is given.
type seen struct {
	mu   sync.Mutex
	list []string
	*Watcher
}

func (s *seen) add(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, what)
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func watchMap(p *Replica, m *ReplicaMap, prefix string) *seen {
	s := &seen{}
	s.Watcher = p.Watch(m, prefix,
		func(e *cluster.Entry) { s.add("has " + e.Key()) },
		func(e *cluster.Event) {
			if e.New != nil {
				s.add("put " + KeyOf(e) + "=" + string(e.New.Value()))
			} else {
				s.add("gone " + KeyOf(e))
			}
		},
		func() { s.add("reset") })
	return s
}

func (s *seen) want(t *testing.T, want ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := s.all()
		if slices.Equal(got, want) {
			return
		}
		if len(got) >= len(want) || time.Now().After(end) {
			t.Fatalf("a watch was given %q, want %q", got, want)
		}
	}
}

// First what is there, in order of keys, then every change, in order; other maps and other prefixes are left out.
func TestWatchPresentThenChanges(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	w.turn(put("m", "a2", "1"), put("m", "a1", "1"), put("m", "b", "1"), put("other", "a3", "1"))
	s := watchMap(p, p.Map("m"), "a")
	s.want(t, "has a1", "has a2")
	w.turn(put("m", "a3", "2"), put("other", "a9", "2"), put("m", "c", "2"))
	w.turn(del("m", "a1"))
	w.turn(put("other", "a1", "3"))
	s.want(t, "has a1", "has a2", "put a3=2", "gone a1")
	if n := p.Map("m").Root().Len(); n != 4 {
		t.Errorf("%d entries", n)
	}
}

// A state that does not continue the one before: reset, and what is there then. A map that it does not have is empty.
func TestWatchReset(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	w.turn(put("m", "a", "1"), put("gone", "x", "1"))
	s, gone := watchMap(p, p.Map("m"), ""), watchMap(p, p.Map("gone"), "")
	s.want(t, "has a")
	gone.want(t, "has x")
	w.replace(put("m", "z", "9"))
	s.want(t, "has a", "reset", "has z")
	w.turn(put("m", "y", "9"))
	s.want(t, "has a", "reset", "has z", "put y=9")
	gone.want(t, "has x", "reset")
	if p.Map("gone").Root().Len() != 0 {
		t.Error("a map of the old state is not empty")
	}
}

// Names that the application does not have are forgotten with their last entry, and found again with what they hold.
func TestMapsComeAndGo(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	kept := p.Map("kept")
	for i := range 100 {
		name := fmt.Sprint("m", i)
		w.turn(put(name, "k", "1"), put("kept", "k", "1"))
		if i == 50 && p.Map(name).Root().Len() != 1 {
			t.Fatal("a map is empty that was not named before it was written")
		}
		w.turn(del(name, "k"), del("kept", "k"))
	}
	w.turn(put("other", "k", "1"))
	w.replace(put("new", "k", "1"))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.maps) != 3 || len(w.maps) != 3 || p.maps["kept"] != kept || p.maps["m50"] == nil || p.maps["new"] == nil {
		t.Errorf("%d maps are kept", len(p.maps))
	}
}

// A map that was borrowed is there until the last one gives it back, and stays if it has entries, or the application has it.
func TestMapsBorrowed(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	there := func() int { return len(p.all()) }
	m, release := p.Borrow("m")
	again, releaseAgain := p.Borrow("m")
	w.turn(put("m", "k", "1"), put("full", "k", "1"))
	w.turn(del("m", "k"))
	_, releaseFull := p.Borrow("full")
	_, releaseKept := p.Borrow("kept")
	p.Map("kept")
	releaseFull()
	releaseKept()
	release()
	if m != again || p.Look("m") != m || there() != 3 {
		t.Fatalf("%d maps", there())
	}
	releaseAgain()
	if p.Look("m") == m || there() != 2 {
		t.Errorf("%d maps are kept", there())
	}
	// An old one that comes back late leaves the one that has its name now.
	w.turn(put("m", "k", "2"))
	w.retire(m)
	if p.Look("m").Root().Len() != 1 || there() != 3 {
		t.Errorf("%d maps", there())
	}
}

// A watch that is begun while nothing runs is given what is there when a run begins, and begins anew with the next one.
func TestWatchOutlivesRuns(t *testing.T) {
	p := NewReplica()
	s := watchMap(p, p.Map("m"), "")
	w := newWriter(t, p)
	w.turn(put("m", "a", "1"))
	for end := time.Now().Add(10 * time.Second); len(s.all()) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := s.all(); len(got) != 1 || got[0] != "has a" && got[0] != "put a=1" {
		t.Fatalf("given %q", got)
	}
	w.stop()
	p.Clear()
	next := newWriter(t, p)
	for end := time.Now().Add(10 * time.Second); len(s.all()) == 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	next.turn(put("m", "b", "2"))
	s.want(t, s.all()[0], "reset", "put b=2")
}

// readers waits until so many watches of a map have begun.
func readers(t *testing.T, m *ReplicaMap, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		m.feed.mu.Lock()
		there := len(m.feed.readers)
		m.feed.mu.Unlock()
		if there == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d watches have begun, want %d", there, n)
		}
	}
}

// Cancel waits for the handler, unless the handler calls it, and nothing comes after it.
func TestWatchCancel(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	m := p.Map("m")
	var self *Watcher
	ready, calls := make(chan struct{}), 0
	self = p.Watch(m, "", nil, func(*cluster.Event) {
		<-ready
		calls++
		self.Cancel()
	}, nil)
	readers(t, m, 1)
	close(ready)
	w.turn(put("m", "a", "1"), put("m", "b", "1"))
	<-self.gone
	self.Cancel() // from outside it waits
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	if len(m.feed.readers) != 0 || m.feed.tail != nil || len(p.watchers) != 0 {
		t.Error("the watch left something behind")
	}
}

// A watcher that sleeps is overrun: it begins anew with what is there, misses nothing after that, and holds nothing of
// what it did not read meanwhile. The others are given every event.
func TestWatchOverrun(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	m := p.Map("m")
	wake, entered, first := make(chan struct{}), make(chan struct{}), true
	slow := &seen{}
	slow.Watcher = p.Watch(m, "", func(e *cluster.Entry) { slow.add("has " + e.Key() + "=" + string(e.Value())) },
		func(e *cluster.Event) {
			if first {
				first = false
				close(entered)
				<-wake
			}
			slow.add("put " + KeyOf(e))
		}, func() { slow.add("reset") })
	readers(t, m, 1)
	fast, count := &seen{}, 0
	fast.Watcher = p.Watch(m, "", nil, func(*cluster.Event) { count++ }, func() { t.Error("the fast one began anew") })
	readers(t, m, 2)
	w.turn(put("m", "k", "0"))
	<-entered
	const turns, size = 300, 256 << 10 // 75 MiB
	value := string(make([]byte, size))
	for i := range turns {
		w.turn(put("m", "k", value))
		if i%64 == 0 { // the fast one has to be let run
			for fast.behind(&m.feed) > 1<<20 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	w.turn(put("m", "k", "last"))
	close(wake)
	slow.want(t, "put k", "reset", "has k=last")
	w.turn(put("m", "end", ""))
	slow.want(t, "put k", "reset", "has k=last", "put end")
	if p.Overruns() != 1 {
		t.Errorf("%d overruns", p.Overruns())
	}
	fast.Cancel()
	if count != turns+3 {
		t.Logf("the fast one was given %d events of %d before it was cancelled", count, turns+3)
	}
}

// behind is how many bytes the slowest reader but the first is behind.
func (s *seen) behind(f *feed[cluster.Event]) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes - f.readers[1].at.Load().bytes
}

// A thousand watches of one map are all given every event, in order.
func TestThousandWatches(t *testing.T) {
	p := NewReplica()
	w := newWriter(t, p)
	var all []*seen
	for range 1000 {
		all = append(all, watchMap(p, p.Map("m"), ""))
	}
	readers(t, p.Map("m"), 1000)
	var want []string
	for i := range 20 {
		w.turn(put("m", fmt.Sprint(i), "x"))
		want = append(want, fmt.Sprintf("put %d=x", i))
	}
	for _, s := range all {
		s.want(t, want...)
	}
}

// Each new master is given to every handler, and first the present one.
func TestWatchMaster(t *testing.T) {
	p := NewReplica()
	newWriter(t, p)
	a, b := wire.MemberID{1}, wire.MemberID{2}
	p.setMaster(a)
	got := make(chan wire.MemberID, 10)
	w := p.WatchMaster(func(_ *Cluster, id wire.MemberID) { got <- id })
	defer w.Cancel()
	want := func(id wire.MemberID) {
		t.Helper()
		select {
		case g := <-got:
			if g != id {
				t.Errorf("master %v, want %v", g, id)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no master")
		}
	}
	want(a)
	p.setMaster(wire.MemberID{})
	p.setMaster(b)
	p.setMaster(a)
	want(b)
	want(a)
}
