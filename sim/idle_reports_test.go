package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// idleCluster are n members that each sent one message.
func idleCluster(t *testing.T, seed uint64, n int, f Faults) *Cluster {
	s := NewCluster(t, seed)
	s.Member.Window, s.Member.MaxMessageSize = 64<<10, 4<<10
	s.Load = Load{Senders: n, Messages: 1, Every: 10 * time.Millisecond, Topics: 1}
	s.Start(n, f)
	return s
}

// TestIdleMembersReportRarely: after thirty seconds of silence a hundred members exchange fewer than 1,000 datagrams a
// second in all, and after a minute a heartbeat each second and a report of each pair each 24 s. Before reports became rare
// there were 99,000 reports a second.
func TestIdleMembersReportRarely(t *testing.T) {
	n, most := 24, 200.0
	if Full() {
		n, most = 100, 1000
	}
	s := idleCluster(t, 1, n, Faults{Delay: 20 * time.Microsecond, Jitter: 10 * time.Microsecond})
	s.Until(30 * time.Second)
	s.watch = &watcher{c: s}
	s.Net.watch = s.watch
	const step = 5
	worst, last := 0.0, 0.0
	for s.Net.Now() < 110*1e9 {
		before, reports := s.Net.Stats().Sends, s.watch.statuses
		s.For(step * time.Second)
		last = float64(s.Net.Stats().Sends-before) / step
		worst = max(worst, last)
		report(t, "%d members, until %.0f s: %.0f datagrams a second, %.0f of them reports", n, float64(s.Net.Now())/1e9, last, float64(s.watch.statuses-reports)/step)
	}
	s.Net.watch = nil
	if worst > most {
		t.Errorf("%d idle members send %.0f datagrams a second in all", n, worst)
	}
	if each := float64(n) + float64(n*(n-1))/20; last > each {
		t.Errorf("%d members that were idle for more than a minute send %.0f datagrams a second in all, want %.0f", n, last, each)
	}
	s.Settle(5 * time.Second)
}

// TestIdleSilence: streams that are idle for two minutes, where nothing is lost, 1 % and 20 %. No live receiver is evicted,
// and no live sender is reported as silent unless a fifth is lost. A sender that crashes then is reported within 4 s, one
// that has just sent within 1 s (RM-18), and what waits for a receiver that has crashed goes on within a second or so.
func TestIdleSilence(t *testing.T) {
	Run(t, 60, func(t *testing.T, s *Cluster) {
		loss := []float64{0, 0.01, 0.2}[s.Seed%3]
		protocol := [...]wire.Protocol{wire.NACK, wire.BestEffort, wire.FEC, wire.Hybrid}[s.Seed/3%4]
		s.Load = Load{Senders: 4, Messages: 3, Protocol: protocol}
		s.Member.Protocol = protocol
		s.Member.Window, s.Member.MaxMessageSize = 64<<10, 4<<10
		s.Start(4, Faults{Loss: loss, Delay: 5 * time.Microsecond, Jitter: 15 * time.Microsecond})
		s.Until(2*time.Minute + time.Duration(s.Seed*77)*time.Millisecond)
		for _, r := range s.Log.Records {
			if r.Kind == check.ReceiverEvicted || r.Kind == check.StreamSilent && loss < 0.2 {
				t.Errorf("seed %d, %v, loss %v: %v at %.3f s", s.Seed, protocol, loss, r.Kind, float64(r.At)/1e9)
			}
		}
		crashed := s.Net.Now()
		s.Crash(0)
		s.Members[1].offer()
		s.For(4 * time.Second)
		for _, st := range s.streamsOf(0) {
			for node := 1; node < 4; node++ {
				if got := s.heard(node, st); got[len(got)-1] != check.StreamSilent {
					t.Errorf("seed %d, %v, loss %v: node %d reports %v 4 s after the crash", s.Seed, protocol, loss, node, got)
				}
			}
		}
		evicted := false
		for _, r := range s.Log.Records {
			if r.Kind == check.ReceiverEvicted && r.Proc == s.Members[1].Proc {
				if took := r.At.Sub(crashed); took > 1100*time.Millisecond {
					t.Errorf("seed %d, %v, loss %v: a receiver that has gone is evicted %v after the message that waits for it", s.Seed, protocol, loss, took)
				}
				evicted = true
			}
		}
		if !evicted {
			t.Errorf("seed %d, %v, loss %v: a receiver that has gone is not evicted", s.Seed, protocol, loss)
		}
		s.Finish()
	})
}
