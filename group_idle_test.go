package blaze_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// An idle member with Block: beats that arrive together share a turn, so there are fewer turns than beats.
func TestIdleMembersShareTurns(t *testing.T) {
	socketsOnly(t)
	for _, n := range []int{2, 3, 16} {
		if n < 16 && testing.Short() {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Idle, cfg.Window, cfg.MaxMessageSize = blaze.Block, 64<<10, 1<<10
			var all []*blaze.GroupChannel
			for i := range n {
				all = append(all, inGroup(t, fmt.Sprint("m", i), cfg))
			}
			waitMembers(t, n, all...)
			before, at := all[0].Stats(), time.Now()
			beats := uint64(2000)
			if testing.Short() {
				beats = 500
			}
			eventually(t, "beats", func() bool {
				time.Sleep(20 * time.Millisecond)
				return all[0].Stats().Group.BeatsHeard-before.Group.BeatsHeard > beats*uint64(n-1)/15
			})
			s, seconds := all[0].Stats(), time.Since(at).Seconds()
			heard := float64(s.Group.BeatsHeard - before.Group.BeatsHeard)
			turns, sleeps := float64(s.Engine.BusyTurns-before.Engine.BusyTurns), float64(s.Engine.Sleeps-before.Engine.Sleeps)
			sent := float64(s.Group.BeatsSent - before.Group.BeatsSent)
			t.Logf("%d members: each second %.0f beats received, %.0f sent, %.0f turns with work, %.0f sleeps", n, heard/seconds, sent/seconds, turns/seconds, sleeps/seconds)
			if n == 16 && turns > heard*3/4 {
				t.Errorf("%.0f turns for %.0f beats", turns, heard)
			}
		})
	}
}
