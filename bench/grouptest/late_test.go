package grouptest

import (
	"cmp"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/groupmember"
)

// longestServing is the index of the member that started first: the one that a newcomer asks first.
func longestServing(t *testing.T, all []*groupmember.Remote) int {
	t.Helper()
	list := do(t, all[0], groupmember.Command{Do: groupmember.DoMembers}).Members
	first := slices.MinFunc(list, func(a, b groupmember.Member) int {
		return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.ID, b.ID))
	})
	return slices.IndexFunc(all, func(m *groupmember.Remote) bool { return m.ID == first.ID })
}

// A member that starts late has all others in its table at once: within 3 round trips or 10 ms,
// whichever is more; also when the longest-serving one was killed the moment before. In the long form
// the time has twice the slack.
func TestLateJoiner(t *testing.T) {
	members, rounds := 16, 20
	if testing.Short() {
		members, rounds = 5, 2
	}
	for _, kill := range []bool{false, true} {
		name := "all there"
		if kill {
			name = "the longest-serving one killed"
		}
		t.Run(name, func(t *testing.T) {
			p := newPlan(t)
			here := p.together(t, members, nil)
			var took []time.Duration
			for round := range rounds {
				joiner := p.start(t, 1, func(_ int, o *groupmember.Order) { o.Held = true })[0]
				if kill {
					i := longestServing(t, here)
					if err := here[i].Kill(); err != nil {
						t.Fatal(err)
					}
					here = slices.Delete(here, i, i+1)
				}
				var ids []string
				for _, m := range here {
					ids = append(ids, m.ID)
				}
				a := do(t, joiner, groupmember.Command{Do: groupmember.DoStart, Members: ids})
				joiner.ID = a.Self
				took = append(took, a.Took)
				t.Logf("start %d: %d members after %v", round+1, len(a.Members), a.Took)
				if kill {
					here = append(here, joiner)
				} else {
					do(t, joiner, groupmember.Command{Do: groupmember.DoStop})
					joiner.Close(2 * time.Second)
				}
				awaitExactly(t, here)
			}
			slices.Sort(took)
			t.Logf("the whole table after %v at the median, %v at most", took[len(took)/2], took[len(took)-1])
			// CI asserts no absolute time.
			if limit := 2 * 10 * time.Millisecond; !testing.Short() && os.Getenv("CI") == "" && took[len(took)-1] > limit {
				t.Errorf("the whole table after %v, want %v: %v", took[len(took)-1], limit, took)
			}
		})
	}
}
