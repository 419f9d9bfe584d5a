package blaze

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/testnet"
)

// After Stop every buffer is free again, whatever was under way: two members, puts, a lock, and a transfer of state.
func TestClusterGivesBuffersBack(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all []*ClusterChannel
	for _, name := range []string{"a", "b"} {
		c, err := NewClusterChannel(name, Config{BroadcastURI: uri, Cluster: cluster, ExpectedMembers: 2, Totem: TotemConfig{Profile: Shared}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Shutdown()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for round := range 2 {
		for _, c := range all {
			if err := c.WaitReady(ctx); err != nil {
				t.Fatal(err)
			}
			for i := range 30 {
				_, err := c.Map("m").Put(ctx, fmt.Sprint(round, i), make([]byte, 3000))
				if err != nil && !errors.Is(err, ErrNoQuorum) && !errors.Is(err, ErrUnknownOutcome) { // the ring may break for a moment
					t.Fatal(err)
				}
			}
			if _, err := c.Map("m").Lock(ctx, fmt.Sprint(c.Local().Name, round)); err != nil {
				t.Fatal(err)
			}
		}
		stopping := all[round%2]
		if err := stopping.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
		for _, p := range stopping.res.Ports {
			if p.Pool.Free() != p.Pool.Count() {
				t.Errorf("after Stop %d of %d buffers are free", p.Pool.Free(), p.Pool.Count())
			}
		}
		if err := stopping.Start(); err != nil {
			t.Fatal(err)
		}
	}
}
