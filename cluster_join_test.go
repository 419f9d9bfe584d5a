package blaze_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A member that joins gets all entries while others write, and is equal then; so does one that comes back.
func TestClusterJoin(t *testing.T) {
	const entries = 3000
	cfg := testConfig(t)
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
