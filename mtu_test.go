package blaze_test

import (
	"sync/atomic"
	"testing"

	"github.com/activeblaze/blaze"
)

// A ring whose members have different MTUs: full datagrams, 2 % of them lost at each member, and all is
// delivered everywhere in the ring as it was formed.
func TestRingOfSeveralMTUs(t *testing.T) {
	socketsOnly(t)
	starts := 20
	if testing.Short() {
		starts = 3
	}
	for range starts {
		func() {
			cfg := testConfig(t)
			cfg.Protocol = blaze.Totem
			lossy(&cfg, 0.02)
			uri := cfg.BroadcastURI
			const messages = 30
			var members []*blaze.Channel
			var got [3]atomic.Int64
			for i, mtu := range []string{"1500", "1480", "1500"} {
				cfg.BroadcastURI = uri + "?mtu=" + mtu
				c := started(t, cfg)
				defer c.Shutdown()
				if _, err := c.SubscribePayload(">", func(*blaze.Delivery) { got[i].Add(1) }, blaze.Inline()); err != nil {
					t.Fatal(err)
				}
				members = append(members, c)
			}
			all := func(ok func(i int, s blaze.Stats) bool) func() bool {
				return func() bool {
					for i, c := range members {
						if !ok(i, c.Stats()) {
							return false
						}
					}
					return true
				}
			}
			eventually(t, "one ring", all(func(_ int, s blaze.Stats) bool { return s.Totem.Members == 3 }))
			views := [3]uint64{}
			all(func(i int, s blaze.Stats) bool { views[i] = s.Totem.Views; return true })()
			payload := make([]byte, 60_000)
			for i, c := range members {
				p := publisher(t, c, "x", 2)
				for range messages {
					offer(t, p, payload[:len(payload)-i])
				}
			}
			eventually(t, "all delivered", all(func(i int, _ blaze.Stats) bool { return got[i].Load() == 3*messages }))
			all(func(i int, s blaze.Stats) bool {
				if s.Totem.Views != views[i] {
					t.Errorf("member %d: the ring formed %d times anew", i, s.Totem.Views-views[i])
				}
				return true
			})()
		}()
	}
}
