package sim

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
)

// groupLate is how late a loop may be in these runs.
const groupLate = groupTimeout / 5

// groupOf draws the number of members of a run: 2 to 12, and 32 in each fortieth.
func groupOf(s *GroupCluster) int {
	if s.Seed%40 == 39 {
		s.Data = time.Hour // none
		return 32
	}
	return 2 + int(s.Seed%11)
}

// TestGroupQuiet: without loss, cuts and long pauses nobody is ever reported, and all tables are equal.
func TestGroupQuiet(t *testing.T) {
	RunGroups(t, 245, func(t *testing.T, s *GroupCluster) {
		s.Rules.Accurate = true
		s.Late = groupLate
		s.Begin(groupOf(s), 0)
		s.For(2 * time.Second)
		s.Heal()
		s.Settle()
	})
}

// TestGroupLeave: who leaves is reported as stopped, and is never suspected.
func TestGroupLeave(t *testing.T) {
	RunGroups(t, 100, func(t *testing.T, s *GroupCluster) {
		s.Rules.Accurate = true
		s.Begin(groupOf(s), 0)
		s.Inject(GroupFaults{Leave: 0.01})
		s.For(2 * time.Second)
		s.Heal()
		s.Settle()
		for i := range s.Log.Records {
			// A member that starts while another one leaves may receive its answer and miss its Leaves.
			r := &s.Log.Records[i]
			if r.Kind == check.GroupFailed && s.Log.Procs[r.Proc].Started < s.Log.Procs[r.Subject].Ended.Add(-10*time.Millisecond) {
				t.Errorf("failed: %s", s.Log.String(i))
			}
		}
	})
}

// detectedWithin is in which time each of n members removes one that crashed (GM-3).
func detectedWithin(n int) time.Duration {
	timeout := max(groupTimeout, time.Duration(n)*groupTimeout/16) // beats of 17 and more are slower
	return timeout*9/10 + max(timeout/10, groupLate/2)
}

// TestGroupCrash: GM-3. Crashes of up to a quarter are reported by all in time, and nobody else is.
func TestGroupCrash(t *testing.T) {
	all := map[bool][]time.Duration{} // by whether beats are slower than in a small group
	var mu sync.Mutex
	t.Cleanup(func() {
		for _, large := range []bool{false, true} {
			if list := all[large]; len(list) > 0 {
				slices.Sort(list)
				members := map[bool]string{false: "2 to 12", true: "32"}[large]
				report(t, "of %s members, %d reports of crashes after: median %v, 99 %% %v, longest %v", members,
					len(list), list[len(list)/2], list[len(list)*99/100], list[len(list)-1])
			}
		}
	})
	RunGroups(t, 600, func(t *testing.T, s *GroupCluster) {
		n := groupOf(s)
		s.Rules = check.GroupRules{Accurate: true, Detection: detectedWithin(n) + 3*time.Millisecond}
		s.Late = groupLate / 2
		s.Begin(n, 0)
		for range 1 + s.rng.IntN(max(n/4, 1)) {
			s.For(between(s.rng, 50*time.Millisecond))
			s.Crash(s.rng.IntN(n))
		}
		s.For(500 * time.Millisecond)
		mu.Lock()
		all[n > 16] = append(all[n > 16], check.Detections(s.Log)...)
		mu.Unlock()
		s.Heal()
		s.Settle()
	})
}

// TestGroupCrashAll: GM-3. All members but one crash. That one suspects its own link first: it removes them within
// 1.4 T, or 0.9 T where there was one only.
func TestGroupCrashAll(t *testing.T) {
	RunGroups(t, 100, func(t *testing.T, s *GroupCluster) {
		n := groupOf(s)
		within := detectedWithin(n)
		if n > 2 {
			within += max(groupTimeout, time.Duration(n)*groupTimeout/16) / 2
		}
		s.Rules = check.GroupRules{Accurate: true, Detection: within + 3*time.Millisecond}
		s.Late = groupLate / 2
		s.Begin(n, 0)
		for i := 1; i < n; i++ {
			s.Crash(i)
		}
		s.For(500 * time.Millisecond)
		s.Heal()
		s.Settle()
	})
}

// TestGroupHundred: 100 members, of which some crash and start anew, leave, stand still, are cut off and lose
// datagrams. Beats come every 120 ms: what is true of 32 takes longer.
func TestGroupHundred(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds for each seed")
	}
	RunGroups(t, 10, func(t *testing.T, s *GroupCluster) {
		s.Within = 5 * time.Second
		s.Mixed(100)
		s.Settle()
	})
}

// TestGroupLoss: independent loss of up to 20 % removes nobody that runs.
func TestGroupLoss(t *testing.T) {
	RunGroups(t, 2340, func(t *testing.T, s *GroupCluster) {
		n := groupOf(s)
		s.Rules.Accurate = true
		s.Late = groupLate / 2
		loss := [...]float64{0.01, 0.05, 0.1, 0.2}[s.Seed%4]
		if n < 3 {
			loss = min(loss, 0.1) // two members have no witness
		}
		s.Begin(n, loss)
		s.For(4 * time.Second)
		s.Heal()
		s.Settle()
	})
}

// TestGroupStops: members that stand still for 0.2 to 15 T, while what arrives for them waits. They report
// that they were removed before they serve anything (GR-13), and all are back within 2 s.
func TestGroupStops(t *testing.T) {
	RunGroups(t, 2350, func(t *testing.T, s *GroupCluster) {
		s.Stops(groupOf(s), 1500*time.Millisecond)
		s.Settle()
	})
}

// TestGroupShortStops: pauses of up to 0.4 T remove nobody.
func TestGroupShortStops(t *testing.T) {
	RunGroups(t, 2000, func(t *testing.T, s *GroupCluster) {
		s.ShortStops(groupOf(s))
		s.Settle()
	})
}

// TestGroupStopAlone: GR-13 of a member that holds nobody when it goes on.
func TestGroupStopAlone(t *testing.T) {
	RunGroups(t, 40, func(t *testing.T, s *GroupCluster) {
		s.StopAlone()
		s.Settle()
	})
}

// TestGroupSuspended: hosts that stand still with their clocks.
func TestGroupSuspended(t *testing.T) {
	RunGroups(t, 400, func(t *testing.T, s *GroupCluster) {
		s.Suspended(max(groupOf(s), 4))
		s.Settle()
	})
}

// TestGroupStutter: a member that stands still most of the time reports nobody.
func TestGroupStutter(t *testing.T) {
	RunGroups(t, 200, func(t *testing.T, s *GroupCluster) {
		s.Stutter()
		s.Settle()
	})
}

// TestGroupOverflow: one member stands still and its socket overflows meanwhile. Nobody else is reported.
func TestGroupOverflow(t *testing.T) {
	RunGroups(t, 400, func(t *testing.T, s *GroupCluster) {
		s.Overflow(0.05 * float64(s.Seed%2))
		s.Settle()
	})
}

// TestGroupEverything: crashes with restarts, leaves, stops, splits, one-way cuts, deaf and dumb members,
// and loss of up to 30 %. All tables are equal and right 2 s after the last fault.
func TestGroupEverything(t *testing.T) {
	RunGroups(t, 440, func(t *testing.T, s *GroupCluster) {
		s.Everything(groupOf(s))
		s.Settle()
	})
}

// TestGroupMixed: 32 members. Some crash and start anew, leave, stand still, are split, cut off one way, deaf or
// dumb, and lose up to 30 %. Nobody reports one of the others as failed, and all tables are equal and right
// 2 s after the last fault.
func TestGroupMixed(t *testing.T) {
	RunGroups(t, 500, func(t *testing.T, s *GroupCluster) {
		s.Mixed(32)
		s.Settle()
	})
}

// TestGroupOneWays: ways between members are cut one way, and come back. Nobody is reported.
func TestGroupOneWays(t *testing.T) {
	RunGroups(t, 2000, func(t *testing.T, s *GroupCluster) {
		s.OneWays(max(groupOf(s), 4), [...]float64{0, 0, 0.01}[s.Seed%3])
		s.Settle()
	})
}

// TestGroupOneWay: one way between two members is cut, and nobody is reported.
func TestGroupOneWay(t *testing.T) {
	RunGroups(t, 770, func(t *testing.T, s *GroupCluster) {
		s.OneWay([...]float64{0, 0, 0.01}[s.Seed%3])
		s.Settle()
	})
}

// TestGroupDeaf: a deaf member alone reports others.
func TestGroupDeaf(t *testing.T) {
	RunGroups(t, 2790, func(t *testing.T, s *GroupCluster) {
		s.Deaf(0.02 * float64(s.Seed%2))
		s.Settle()
	})
}
