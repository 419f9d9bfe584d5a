package blaze_test

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A member that joins gets all entries while others write, and is equal then; so does one that comes back.
func TestClusterJoin(t *testing.T) {
	const entries = 3000
	cfg := clusterConfig(t)
	a, b := inCluster(t, "a", cfg), inCluster(t, "b", cfg)
	ready(t, a, b)
	ctx := soon(t)
	var fill sync.WaitGroup
	var next atomic.Int64
	for w := range 64 {
		fill.Go(func() {
			m := []*blaze.ClusterChannel{a, b}[w%2].Map("m")
			for i := next.Add(1); i <= entries; i = next.Add(1) {
				if _, err := m.Put(ctx, fmt.Sprint("key ", i), make([]byte, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	fill.Wait()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i, c := range []*blaze.ClusterChannel{a, b} {
		writers.Go(func() {
			for n := i; ; n += 7 {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Map("m").Put(ctx, fmt.Sprint("key ", 1+n%entries), []byte("new")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c := inCluster(t, "c", cfg)
	ready(t, c)
	close(stop)
	writers.Wait()
	equal := func() {
		t.Helper()
		end := time.Now().Add(patience)
		for a.Stats().Cluster.Index != c.Stats().Cluster.Index {
			if time.Now().After(end) {
				t.Fatalf("a is at %d, c at %d", a.Stats().Cluster.Index, c.Stats().Cluster.Index)
			}
			time.Sleep(time.Millisecond)
		}
		if x, y := a.Stats().Cluster, c.Stats().Cluster; x.Hash != y.Hash || y.Entries != entries || y.Transfers != 1 || y.HashMismatches != 0 {
			t.Errorf("%+v\n%+v", x, y)
		}
	}
	equal()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, a.Map("m"), "key 1", "while it was away")
	startCluster(t, c)
	ready(t, c)
	equal()
	if e, ok := c.Map("m").Get("key 1"); !ok || string(e.Value) != "while it was away" {
		t.Errorf("Get = %+v, %v", e, ok)
	}
}

// A watch that begins while its member is given the state, or before its Start, sees the state and then every change, once.
func TestWatchBeginsInTransfer(t *testing.T) {
	cfg := clusterConfig(t)
	a, b := inCluster(t, "a", cfg), inCluster(t, "b", cfg)
	ready(t, a, b)
	const keys = 500
	for i := range keys {
		mustPut(t, a.Map("m"), fmt.Sprint("key ", i), "old")
	}
	ctx := soon(t)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			key, err := fmt.Sprint("key ", n%(2*keys)), error(nil)
			if n%5 == 4 {
				err = a.Map("m").Delete(ctx, key)
			} else {
				_, err = a.Map("m").Put(ctx, key, fmt.Append(nil, n))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	c := newCluster(t, "c", cfg)
	var watches []*watched
	watches = append(watches, watch(c))
	startCluster(t, c)
	for end := time.Now().Add(patience); len(watches) < 20 && time.Now().Before(end); time.Sleep(time.Millisecond / 2) {
		watches = append(watches, watch(c))
	}
	ready(t, c)
	watches = append(watches, watch(c))
	close(stop)
	writer.Wait()
	want := map[string]uint64{}
	for key, e := range a.Map("m").All() {
		want[key] = e.Version
	}
	for i, w := range watches {
		w.want(t, i, want)
	}
}

// watched is what a watch has shown: versions by key.
type watched struct {
	mu  sync.Mutex
	has map[string]uint64
	bad string
}

func watch(c *blaze.ClusterChannel) *watched {
	w := &watched{has: map[string]uint64{}}
	c.Map("m").Watch("", func(e blaze.MapEvent) {
		w.mu.Lock()
		defer w.mu.Unlock()
		was, is := w.has[e.Key]
		switch e.Kind {
		case blaze.MapReset:
			clear(w.has)
		case blaze.MapPresent:
			if is {
				w.bad = "present twice: " + e.Key
			}
			w.has[e.Key] = e.New.Version
		case blaze.MapPut:
			if is && e.New.Version <= was || is && e.Old.Version != was {
				w.bad = fmt.Sprintf("%s: version %d after %d, said to be after %d", e.Key, e.New.Version, was, e.Old.Version)
			}
			w.has[e.Key] = e.New.Version
		default:
			if !is {
				w.bad = "deleted, and was not there: " + e.Key
			}
			delete(w.has, e.Key)
		}
	})
	return w
}

func (w *watched) want(t *testing.T, i int, want map[string]uint64) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		same, bad, n := maps.Equal(w.has, want), w.bad, len(w.has)
		w.mu.Unlock()
		if same && bad == "" {
			return
		}
		if bad != "" || time.Now().After(end) {
			t.Errorf("watch %d: %s; %d keys of %d", i, bad, n, len(want))
			return
		}
	}
}
