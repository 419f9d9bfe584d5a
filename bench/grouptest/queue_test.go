package grouptest

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/bench/workload"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// Queue messages over four consumers, none or one of which is killed midway: each is handled, all duplicates
// bear a mark, and there are at most as many as were outstanding at the killed one. Without a kill
// there are none, and no consumer has less than an eighth.
func TestQueue(t *testing.T) {
	messages := 100_000
	if testing.Short() {
		messages = 4000
	}
	for _, kills := range []int{0, 1} {
		name := "all live"
		if kills > 0 {
			name = "one killed"
		}
		t.Run(name, func(t *testing.T) {
			g := workload.GroupOptions{What: "queue", Consumers: 4, Count: messages, Kills: kills}
			if testing.Short() {
				g.FailureTimeout = patient
			}
			r := run(t, g, workload.Options{Idle: "backoff"})
			t.Logf("%d enqueued at %.0f/s, %d handled, %d again, %d marked, %d handed out again, the least of a consumer %.3f",
				r.Sent, r.QueuePerSecond, r.Delivered, r.Duplicates, r.Redelivered, r.Outstanding, r.LeastShare)
			if r.Sent != uint64(messages) || r.Lost+r.Corrupt > 0 {
				t.Errorf("of %d messages %d were enqueued, %d never handled, %d corrupt", messages, r.Sent, r.Lost, r.Corrupt)
			}
			if r.Unmarked > 0 {
				t.Errorf("%d messages were handled again without a mark", r.Unmarked)
			}
			if r.Duplicates > r.Outstanding {
				t.Errorf("%d messages were handled twice, and %d were outstanding", r.Duplicates, r.Outstanding)
			}
			if kills == 0 && (r.Duplicates > 0 || r.Redelivered > 0 || r.Outstanding > 0 || r.LeastShare < 1./8) {
				t.Errorf("nobody was killed: %d twice, %d marked, %d handed out again, the least of a consumer %.3f", r.Duplicates, r.Redelivered, r.Outstanding, r.LeastShare)
			}
		})
	}
}

// consumers starts n members that consume the queue "work", each with a file of what it handles, and one that
// enqueues, all in each other's tables.
func consumers(t *testing.T, p *plan, n int, c groupmember.Command) (sender *groupmember.Remote, all []*groupmember.Remote, files []string) {
	t.Helper()
	sender = p.start(t, 1, nil)[0]
	for range n {
		m, file := consumer(t, p, c)
		all, files = append(all, m), append(files, file)
	}
	awaitMembers(t, append([]*groupmember.Remote{sender}, all...), n+1)
	return sender, all, files
}

func consumer(t *testing.T, p *plan, c groupmember.Command) (*groupmember.Remote, string) {
	t.Helper()
	m := p.start(t, 1, nil)[0]
	c.Do, c.Name, c.File = groupmember.DoConsume, "work", filepath.Join(t.TempDir(), m.Order.Name)
	do(t, m, c)
	return m, c.File
}

func handlings(t *testing.T, file string) []groupmember.Handling {
	t.Helper()
	all, err := groupmember.ReadHandlings(file)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Of three exclusive consumers the active one is killed, again and again: another handles within 300 ms, and
// never two at a time. In the long form the time has twice the slack.
func TestExclusive(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 2
	}
	p := newPlan(t)
	each := groupmember.Command{Exclusive: true, Work: time.Millisecond}
	sender, all, files := consumers(t, p, 3, each)
	wait := sender.Go(groupmember.Command{Do: groupmember.DoEnqueue, Name: "work", Parallel: 4, For: time.Minute})
	type work struct {
		groupmember.Handling
		by string
	}
	ended := map[string]int64{} // name to the time of its end
	paths := map[string]string{}
	for i, m := range all {
		paths[m.Order.Name] = files[i]
	}
	var took []time.Duration
	for range kills {
		// The active one is the one whose file grows.
		active := awaitHandling(t, all, paths, engine.Now())
		at := engine.Now()
		if err := all[active].Kill(); err != nil {
			t.Fatal(err)
		}
		killed := all[active]
		killed.Close(2 * time.Second) // reaped: it handles nothing any more
		ended[killed.Order.Name] = int64(engine.Now())
		all = slices.Delete(all, active, active+1)
		next := all[awaitHandling(t, all, paths, at)]
		first := handlings(t, paths[next.Order.Name])
		i := slices.IndexFunc(first, func(h groupmember.Handling) bool { return h.Begin > int64(at) })
		took = append(took, clock.Time(first[i].Begin).Sub(at))
		m, file := consumer(t, p, each)
		all, paths[m.Order.Name] = append(all, m), file
		awaitMembers(t, append([]*groupmember.Remote{sender}, all...), len(all)+1)
	}
	slices.Sort(took)
	t.Logf("from SIGKILL to another one's handler: %v", took)
	if longest := took[len(took)-1]; !testing.Short() && longest > 2*300*time.Millisecond {
		t.Errorf("another one took over after %v", longest)
	}
	sender.Close(0)
	_, _ = wait(within(t, 10*time.Second)) // it is gone
	var log []work
	for name, file := range paths {
		for _, h := range handlings(t, file) {
			if h.End == 0 { // its handler did not return
				if h.End = ended[name]; h.End == 0 {
					h.End = int64(engine.Now())
				}
			}
			log = append(log, work{h, name})
		}
	}
	slices.SortFunc(log, func(a, b work) int { return cmp.Compare(a.Begin, b.Begin) })
	for i := 1; i < len(log); i++ {
		if a, b := log[i-1], log[i]; a.by != b.by && b.Begin < a.End {
			t.Errorf("%s handled message %d from %d to %d, and %s message %d from %d on", a.by, a.Number, a.Begin, a.End, b.by, b.Number, b.Begin)
		}
	}
	t.Logf("%d messages handled", len(log))
}

// awaitHandling waits until one of the consumers has begun something after a time, and returns its index.
func awaitHandling(t *testing.T, all []*groupmember.Remote, paths map[string]string, after clock.Time) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for i, m := range all {
			if h := handlings(t, paths[m.Order.Name]); len(h) > 0 && h[len(h)-1].Begin > int64(after) {
				return i
			}
		}
	}
	t.Fatal("nobody handles anything")
	return 0
}
