package blaze_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A member that joins fifteen others has the whole table with its first question, also when the longest-serving
// one, whose turn it is to answer, was killed the moment before.
func TestLateJoiner(t *testing.T) {
	socketsOnly(t)
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	cfg := testConfig(t)
	cfg.Idle, cfg.Window, cfg.MaxMessageSize = blaze.Block, 64<<10, 1<<10
	oldest := inGroupTurned(t, "oldest", cfg)
	all := []*blaze.GroupChannel{oldest.GroupChannel}
	for i := range 14 {
		all = append(all, inGroup(t, fmt.Sprint("m", i), cfg))
	}
	waitMembers(t, 15, all...)
	joiner, err := blaze.NewGroupChannel("joiner", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := joiner.Init(); err != nil {
		t.Fatal(err)
	}
	defer joiner.Shutdown()
	for _, killed := range []bool{false, true} {
		var took []time.Duration
		for range rounds {
			if killed {
				oldest.pause()
			}
			at := time.Now()
			startGroup(t, joiner)
			waitMembers(t, 16, joiner)
			took = append(took, time.Since(at))
			if killed {
				// Others have removed it, or soon will; and it comes back.
				eventually(t, "the oldest is gone", func() bool { return len(all[1].Members()) == 15 })
				oldest.resume()
			}
			if err := joiner.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, g := range all {
				eventually(t, "all are back", func() bool { return len(g.Members()) == 15 })
			}
		}
		slices.Sort(took)
		t.Logf("oldest killed %t: median %v, longest %v", killed, took[len(took)/2], took[len(took)-1])
		if last := took[len(took)-1]; !testing.Short() && last > 20*time.Millisecond {
			t.Errorf("oldest killed %t: the table was complete after %v", killed, last)
		}
	}
}

// A member of 10,000 groups: a newcomer has them all, and the member needs little memory for them.
func TestTenThousandGroups(t *testing.T) {
	socketsOnly(t)
	const groups = 10_000
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 1<<20, 64<<10
	member := func(name string, groups int) (g *blaze.GroupChannel, bytes int64) {
		before := heap()
		g, err := blaze.NewGroupChannel(name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range groups {
			if err := g.Join(fmt.Sprintf("group.%05d", i)); err != nil {
				t.Fatal(err)
			}
		}
		startGroup(t, g)
		t.Cleanup(func() { _ = g.Shutdown() })
		eventually(t, "its own table", func() bool { return len(g.MembersOf("group.00000")) > 0 })
		return g, heap() - before
	}
	one, small := member("one", 1)
	if err := one.Shutdown(); err != nil {
		t.Fatal(err)
	}
	one = nil
	runtime.GC()
	g, large := member("many", groups)
	log := 0
	g.OnMember(func(blaze.MemberEvent) { log++ })
	t.Logf("a member of one group takes %d KiB, of %d groups %d KiB", small>>10, groups, large>>10)
	if large-small > 8<<20 {
		t.Errorf("%d groups take %d KiB more", groups, (large-small)>>10)
	}
	o, err := blaze.NewGroupChannel("joiner", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Shutdown()
	if err := o.Init(); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	startGroup(t, o)
	complete := func() bool {
		m, ok := o.Member(g.ID())
		return ok && len(m.Groups) == groups
	}
	for end := at.Add(patience); !complete() && time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
	}
	took := time.Since(at)
	t.Logf("the joiner has all groups after %v", took)
	if !complete() || !testing.Short() && took > 200*time.Millisecond {
		t.Errorf("the joiner has all groups after %v", took)
	}
	if n := len(o.MembersOf("group.09999")); n != 1 {
		t.Errorf("%d members of the last group", n)
	}
}
