package grouptest

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
)

// What an idle member of a cluster takes more than an idle one of a group with topics under Totem: both have one ring.
// Three processes of each, with Block, looked at in turn. The long form has the bar: 0.2 % of a core.
func TestIdleCluster(t *testing.T) {
	rounds, window := 6, 3*time.Second
	if testing.Short() {
		rounds, window = 1, 500*time.Millisecond
	}
	groups, clusters := newPlan(t), newPlan(t)
	groups.Idle, clusters.Idle = blaze.Block, blaze.Block
	idle := map[string][]*groupmember.Remote{
		"group":   groups.together(t, 3, func(_ int, o *groupmember.Order) { o.Totem = true }),
		"cluster": clusters.together(t, 3, func(_ int, o *groupmember.Order) { o.Shared = &groupmember.ClusterOrder{Expected: 3} }),
	}
	for _, m := range idle["group"] { // opens the ring
		do(t, m, groupmember.Command{Do: groupmember.DoSubscribe, Name: "topic", Quiet: true})
		do(t, m, groupmember.Command{Do: groupmember.DoPublish, Name: "topic", N: 1, Size: 64})
	}
	for _, m := range idle["cluster"] {
		do(t, m, groupmember.Command{Do: groupmember.DoReady})
	}
	took := map[string][]float64{}
	sleeps := map[string]uint64{}
	for range rounds {
		for _, what := range []string{"group", "cluster"} {
			all := idle[what]
			before := stats(t, all)
			<-time.After(window) // what is measured
			after := stats(t, all)
			sum := 0.0
			for i := range all {
				sum += (after[i].CPU - before[i].CPU).Seconds() / time.Duration(after[i].At-before[i].At).Seconds()
				sleeps[what] += after[i].Sleeps - before[i].Sleeps
			}
			took[what] = append(took[what], 100*sum/float64(len(all)))
		}
	}
	middle := func(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
	g, c := middle(took["group"]), middle(took["cluster"])
	t.Logf("a member of a group with a Totem topic takes %.2f %% of a core (%.2f), one of a cluster %.2f %% (%.2f); engines slept %d and %d times",
		g, took["group"], c, took["cluster"], sleeps["group"], sleeps["cluster"])
	most := 0.2
	if os.Getenv("CI") != "" { // a host that others share
		most = 0.4
	}
	if !testing.Short() && c-g > most {
		t.Errorf("the cluster takes %.2f %% of a core more, want at most %v", c-g, most)
	}
	if sleeps["cluster"] > 2*sleeps["group"]+100 {
		t.Errorf("a cluster's engines slept %d times, a group's %d times", sleeps["cluster"], sleeps["group"])
	}
}

func stats(t *testing.T, all []*groupmember.Remote) (out []groupmember.Answer) {
	t.Helper()
	for _, m := range all {
		out = append(out, do(t, m, groupmember.Command{Do: groupmember.DoStats}))
	}
	return out
}
