package sim

import (
	"testing"
	"time"
)

// idleReports is how many reports, and datagrams in all, n members exchange in a second that each sent one message,
// half a minute after that.
func idleReports(t *testing.T, n int, watched bool) (statuses, all float64) {
	s := NewCluster(t, 1)
	s.Member.Watched = watched
	s.Member.Window = 64 << 10
	s.Load = Load{Senders: n, Messages: 1, Every: 10 * time.Millisecond, Topics: 1}
	s.Start(n, Faults{Delay: 20 * time.Microsecond, Jitter: 10 * time.Microsecond})
	s.Until(30 * time.Second)
	const seconds = 4
	s.watch = &watcher{c: s}
	s.Net.watch = s.watch
	before := s.Net.Stats().Sends
	s.For(seconds * time.Second)
	statuses, all = float64(s.watch.statuses)/seconds, float64(s.Net.Stats().Sends-before)/seconds
	s.Net.watch = nil
	s.Settle(5 * time.Second)
	return statuses, all
}

// TestIdleMembersReportRarely: members of a group that each sent one message go silent; without a group they report ten
// times a second to each sender.
func TestIdleMembersReportRarely(t *testing.T) {
	n := 24
	if Full() {
		n = 100
	}
	before, allBefore := idleReports(t, n, false)
	after, allAfter := idleReports(t, n, true)
	report(t, "%d members that each sent one message, after 30 s: %.0f reports a second of %.0f datagrams, in a group %.0f of %.0f", n, before, allBefore, after, allAfter)
	pairs := float64(n * (n - 1))
	if before < 8*pairs {
		t.Errorf("%.0f reports a second without a group: the test shows nothing", before)
	}
	if after > pairs/2 {
		t.Errorf("%.0f reports a second from %.0f pairs in a group", after, pairs)
	}
}
