//go:build unix

package grouptest

import (
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// signalTo sends a signal to a member's process.
func signalTo(t *testing.T, m *groupmember.Remote, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(m.PID(), s); err != nil {
		t.Fatal(err)
	}
}

// A member that is stopped, so long that it is excluded, and continued: it reports its own exclusion before it
// delivers anything that was sent meanwhile, and is back in everybody's list with its next incarnation, within
// 1 s; in the long form with twice the slack.
func TestStoppedMember(t *testing.T) {
	stop := 5 * time.Second
	p := newPlan(t)
	if testing.Short() {
		stop, p.FailureTimeout = 500*time.Millisecond, 200*time.Millisecond
	}
	all := p.together(t, 3, nil)
	sender, other, victim := all[0], all[1], all[2]
	do(t, victim, groupmember.Command{Do: groupmember.DoSubscribe, Name: "news"})
	do(t, victim, groupmember.Command{Do: groupmember.DoHandle})
	// All along there is something for the victim, on a topic and in its in-box.
	length := stop + 3*time.Second
	if testing.Short() {
		length = stop + time.Second
	}
	news := sender.Go(groupmember.Command{Do: groupmember.DoPublish, Name: "news", Stamp: true, Every: 5 * time.Millisecond, For: length})
	mail := other.Go(groupmember.Command{Do: groupmember.DoSend, To: victim.ID, Stamp: true, Every: 5 * time.Millisecond, For: length})
	awaitLog(t, victim, func(log []groupmember.Entry) bool { return kinds(log, "message") > 10 && kinds(log, "item") > 10 })

	signalTo(t, victim, syscall.SIGSTOP)
	stopped := engine.Now()
	for _, m := range []*groupmember.Remote{sender, other} {
		a := do(t, m, groupmember.Command{Do: groupmember.DoFailed, To: victim.ID})
		t.Logf("%s reported the failure after %v", m.Order.Name, clock.Time(a.At).Sub(stopped).Round(time.Millisecond))
	}
	time.Sleep(stop - engine.Now().Sub(stopped)) // how long it is to stand still
	signalTo(t, victim, syscall.SIGCONT)
	continued := engine.Now()
	back := awaitLog(t, sender, returned(victim.ID)).Sub(continued)
	back = max(back, awaitLog(t, other, returned(victim.ID)).Sub(continued))
	back = max(back, awaitLog(t, victim, returned(victim.ID)).Sub(continued))
	t.Logf("back in everybody's list after %v", back.Round(time.Millisecond))
	if limit := 2 * time.Second; !testing.Short() && back > limit {
		t.Errorf("back in everybody's list after %v, want %v", back, limit)
	}
	awaitExactlyWith(t, all)
	finish(t, news)
	sends := finish(t, mail)
	t.Logf("%d sends ended well, %d did not: %q", sends.Count, sends.Failed, sends.Errors)

	// What was sent before the stop may lie in a handler's queue. What was sent meanwhile must not be handed
	// out before the member has reported its own exclusion.
	const late = 20 * time.Millisecond // for the signal to have its effect
	log := do(t, victim, groupmember.Command{Do: groupmember.DoLog}).Log
	last := map[string]uint64{}
	excluded := false
	for _, e := range log {
		switch e.Kind {
		case blaze.MemberFailed.String():
			excluded = excluded || e.ID == victim.ID
		case "message", "item":
			if e.Number <= last[e.Kind] {
				t.Errorf("%s %d came after %d", e.Kind, e.Number, last[e.Kind])
			}
			last[e.Kind] = e.Number
			if sent := clock.Time(e.Number); e.At >= int64(continued) && !excluded && sent > stopped.Add(late) {
				t.Errorf("a %s that was sent %v after the stop was handed out %v after the member went on, before it reported its own exclusion",
					e.Kind, sent.Sub(stopped), clock.Time(e.At).Sub(continued))
			}
		}
	}
	if !excluded {
		t.Error("the member has not reported its own exclusion")
	}
	if last["message"] < uint64(continued) {
		t.Error("nothing came on the topic after the member's return")
	}
	for _, m := range all {
		replay(t, m.Order.Name, do(t, m, groupmember.Command{Do: groupmember.DoLog}).Log)
	}
}

// awaitLog waits until the log of a member is as it should be, and returns when that was seen.
func awaitLog(t *testing.T, m *groupmember.Remote, ok func([]groupmember.Entry) bool) clock.Time {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok(do(t, m, groupmember.Command{Do: groupmember.DoLog}).Log) {
			return engine.Now()
		}
	}
	t.Fatalf("%s: the log is not as it should be", m.Order.Name)
	return 0
}

func kinds(log []groupmember.Entry, kind string) (n int) {
	for _, e := range log {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// returned reports whether a member has started with a higher incarnation than its first one.
func returned(id string) func([]groupmember.Entry) bool {
	return func(log []groupmember.Entry) bool {
		for _, e := range log {
			if e.ID == id && e.Kind == blaze.MemberStarted.String() && e.Incarnation > 0 {
				return true
			}
		}
		return false
	}
}

// awaitExactlyWith is awaitExactly; it also wants the last of them to have a higher incarnation.
func awaitExactlyWith(t *testing.T, all []*groupmember.Remote) {
	t.Helper()
	awaitExactly(t, all)
	for _, a := range doAll(t, all, groupmember.Command{Do: groupmember.DoMembers}) {
		for _, m := range a.Members {
			if m.ID == all[len(all)-1].ID && m.Incarnation == 0 {
				t.Errorf("the member that was excluded has incarnation 0 in\n%s", table(a.Members))
			}
		}
	}
}

// A consumer that is stopped while it remains a member keeps its messages, however long that takes.
func TestStoppedConsumer(t *testing.T) {
	stop := 10 * time.Second
	if testing.Short() {
		stop = time.Second
	}
	p := newPlan(t)
	p.FailureTimeout = 30 * time.Second
	sender, all, files := consumers(t, p, 2, groupmember.Command{Work: 200 * time.Microsecond})
	const messages = 10_000 // more than a second of work: the stop comes in the middle of it
	wait := sender.Go(groupmember.Command{Do: groupmember.DoEnqueue, Name: "work", N: messages, Parallel: 16})
	for end := time.Now().Add(10 * time.Second); len(handlings(t, files[1])) < 50 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	signalTo(t, all[1], syscall.SIGSTOP)
	time.Sleep(stop) // how long it is to stand still
	if n := len(handlings(t, files[0])) + len(handlings(t, files[1])); n >= messages {
		t.Fatalf("the stopped consumer holds nothing: %d messages are handled", n)
	}
	signalTo(t, all[1], syscall.SIGCONT)
	if a := finish(t, wait); a.Count != messages || a.Failed > 0 {
		t.Errorf("%d of %d ended well, %d did not: %q", a.Count, messages, a.Failed, a.Errors)
	}
	seen := map[uint64]bool{}
	for _, file := range files {
		for _, h := range handlings(t, file) {
			if h.Marked || seen[h.Number] {
				t.Errorf("message %d: handled before: %v, marked: %v", h.Number, seen[h.Number], h.Marked)
			}
			seen[h.Number] = true
		}
	}
	if len(seen) != messages {
		t.Errorf("%d of %d messages were handled", len(seen), messages)
	}
	stats := do(t, sender, groupmember.Command{Do: groupmember.DoStats})
	if s, err := stats.Group(); err != nil || s.Redelivered > 0 {
		t.Errorf("%d were handed out again, %v", s.Redelivered, err)
	}
}
