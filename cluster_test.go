package blaze_test

import (
	"context"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// clusterConfig is for tests of what a cluster does, not of how soon it notices that a process stands still: tests run on
// loaded machines, and a ring that breaks there costs the quorum for a moment.
func clusterConfig(t testing.TB) blaze.Config {
	cfg := testConfig(t)
	cfg.Totem.Profile = blaze.Shared
	return cfg
}

// inCluster makes a ClusterChannel that is started, and shut down when the test ends.
func inCluster(t testing.TB, name string, cfg blaze.Config) *blaze.ClusterChannel {
	t.Helper()
	c := newCluster(t, name, cfg)
	startCluster(t, c)
	return c
}

func newCluster(t testing.TB, name string, cfg blaze.Config) *blaze.ClusterChannel {
	t.Helper()
	c, err := blaze.NewClusterChannel(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Shutdown(); err != nil {
			t.Logf("Shutdown: %v", err)
		}
	})
	return c
}

func startCluster(t testing.TB, c *blaze.ClusterChannel) {
	t.Helper()
	var err error
	inNetwork(t, c.Config(), func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
}

// ready waits until all are ready.
func ready(t testing.TB, all ...*blaze.ClusterChannel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range all {
		if err := c.WaitReady(ctx); err != nil {
			t.Fatalf("%s: %v\n%+v", c.Config().Name, err, c.Status())
		}
	}
}

// clusterOf makes a cluster of n that are all there from its founding on.
func clusterOf(t testing.TB, n int) []*blaze.ClusterChannel {
	t.Helper()
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = n
	var all []*blaze.ClusterChannel
	for i := range n {
		all = append(all, inCluster(t, string(rune('a'+i)), cfg))
	}
	ready(t, all...)
	return all
}

func TestMapPutHereGetThere(t *testing.T) {
	all := clusterOf(t, 2)
	a, b := all[0], all[1]
	ctx := soon(t)
	began := time.Now()
	version, err := a.Map("m").Put(ctx, "k", []byte("v"))
	if err != nil || version == 0 {
		t.Fatalf("Put = %d, %v", version, err)
	}
	t.Logf("a put took %v", time.Since(began))
	if e, ok := a.Map("m").Get("k"); !ok || string(e.Value) != "v" || e.Version != version {
		t.Errorf("the member's own Get = %+v, %v", e, ok)
	}
	e, ok, err := b.Map("m").GetLinear(ctx, "k")
	if err != nil || !ok || string(e.Value) != "v" || e.Version != version {
		t.Errorf("GetLinear = %+v, %v, %v", e, ok, err)
	}
	if e, ok := b.Map("m").Get("k"); !ok || string(e.Value) != "v" {
		t.Errorf("Get = %+v, %v", e, ok)
	}
}
