package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// TestFaults: partitions of all kinds, pauses, stalled applications and crashes, alone and
// together, shorter and longer than the eviction time. Afterwards everything flows again.
func TestFaults(t *testing.T) {
	Run(t, 300, func(t *testing.T, s *Cluster) {
		f := rough
		f.Loss = 0.02
		f.Lasting = 20 * time.Millisecond
		if s.Seed%5 == 4 {
			f.Lasting = 400 * time.Millisecond // long enough to be evicted
			s.Member.Eviction = 200 * time.Millisecond
		}
		if s.Seed&1 != 0 {
			f.Partition = 0.02
		}
		if s.Seed&2 != 0 {
			f.Pause = 0.02
		}
		if s.Seed&4 != 0 {
			f.Crash = 0.01
		}
		if s.Seed&8 != 0 {
			f.Stall = 0.02
		}
		s.Load = Load{Senders: 2, Every: 300 * time.Microsecond, Burst: 4, Large: 0.01}
		s.Make = makers[s.Seed%3]
		s.Config.Guard = true
		s.Start(5, f)
		s.Until(200 * time.Millisecond)
		s.Heal()
		s.Settle(5 * time.Second)
	})
}

// TestLateJoin is RM-7: a receiver that comes later starts at the present and misses nothing
// from there on.
func TestLateJoin(t *testing.T) {
	Run(t, 100, func(t *testing.T, s *Cluster) {
		s.Load = Load{Burst: 3, Large: 0.05}
		s.Start(3, rough)
		s.Until(30 * time.Millisecond)
		late := s.Join()
		s.Until(60 * time.Millisecond)
		if s.Members[late].Delivered == 0 {
			t.Errorf("seed %d: nothing delivered 30ms after joining a busy stream", s.Seed)
		}
		s.Settle(2 * time.Second)
		if s.Members[late].Gone != 0 {
			t.Errorf("seed %d: %d messages lost at a late joiner", s.Seed, s.Members[late].Gone)
		}
	})
}

// TestJoinInSilence: a receiver that joins while the sender is silent hears what comes next.
func TestJoinInSilence(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Messages: 10}
		s.Start(2, rough)
		s.Until(2 * time.Second)
		late := s.Join()
		s.For(2 * time.Second)
		s.Members[0].offer()
		s.Settle(2 * time.Second)
		if got := s.Members[late].Delivered; got != 2 { // that one, and Settle's
			t.Errorf("seed %d: %d messages delivered, want 2", s.Seed, got)
		}
	})
}

// TestSenderCrash: a sender that dies leaves nobody hanging, and its successor is a new stream.
func TestSenderCrash(t *testing.T) {
	Run(t, 100, func(t *testing.T, s *Cluster) {
		s.Member.Eviction = 100 * time.Millisecond
		s.Expect.Eviction = s.Member.Eviction
		s.Load = Load{Senders: 2, Burst: 5, Large: 0.02}
		s.Start(5, rough)
		s.Until(20 * time.Millisecond)
		s.Crash(0)
		s.For(5 * time.Millisecond)
		s.Restart(0)
		s.For(40 * time.Millisecond)
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// TestReceiverCrashDisturbsNobodyForLong: a receiver that dies holds the others up for no
// longer than the eviction time.
func TestReceiverCrashDisturbsNobodyForLong(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Member.Window = 64 << 10 // soon full
		s.Member.MaxMessageSize = 16 << 10
		s.Member.Eviction = 200 * time.Millisecond
		s.Load = Load{Every: 50 * time.Microsecond, Burst: 5}
		s.Start(4, Faults{Loss: 0.01})
		s.Until(20 * time.Millisecond)
		s.Crash(3)
		crashed := s.Net.Now()
		s.For(500 * time.Millisecond)
		longest, last := time.Duration(0), crashed
		for _, r := range s.Log.Records {
			if r.Kind == check.Delivered && r.Proc == s.Members[1].Proc && r.At >= crashed {
				longest, last = max(longest, r.At.Sub(last)), r.At
			}
		}
		longest = max(longest, s.Net.Now().Sub(last))
		if longest > s.Member.Eviction+50*time.Millisecond {
			t.Errorf("seed %d: nothing delivered for %v after a receiver crashed; eviction is %v", s.Seed, longest, s.Member.Eviction)
		}
		s.Log.Fault(s.Net.Now(), check.Healed, 0, 0)
		s.Settle(time.Second)
	})
}

// TestLeave: a sender that stops in order has delivered everything; a receiver that stops is
// not waited for.
func TestLeave(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Senders: 2, Burst: 5}
		s.Start(5, Faults{})
		s.Until(20 * time.Millisecond)
		sent := s.Log.Next(0) - 1
		if s.Members[0].waiting != nil {
			t.Fatalf("seed %d: back-pressure on a clean network", s.Seed)
		}
		s.Leave(0)
		s.Leave(4)
		s.For(20 * time.Millisecond)
		for _, m := range s.Members[1:4] {
			if at := m.at(0); at != sent || m.Gone != 0 {
				t.Errorf("seed %d: member %d is at %d of %d when the sender has left, %d lost", s.Seed, m.Node, at, sent, m.Gone)
			}
		}
		s.Settle(time.Second)
	})
}

// TestStalledApplicationHoldsTheSender is RM-14, Pause: the sender meets back-pressure, its
// memory is bounded, nothing is lost, and the others are not lied to.
func TestStalledApplicationHoldsTheSender(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Member.Window = 64 << 10
		s.Member.MaxMessageSize = 16 << 10
		s.Load = Load{Every: 50 * time.Microsecond, Burst: 5}
		f := rough
		f.Loss = 0.01
		s.Start(4, f)
		s.Until(20 * time.Millisecond)
		s.Stall(3)
		s.For(300 * time.Millisecond)
		if s.Members[0].Refused == 0 {
			t.Errorf("seed %d: no back-pressure from an application that stopped reading", s.Seed)
		}
		s.Unstall(3)
		s.Settle(2 * time.Second)
		if s.Members[3].Gone != 0 {
			t.Errorf("seed %d: %d messages lost at a paused subscription", s.Seed, s.Members[3].Gone)
		}
		// Retransmit window, reorder window, and a datagram that is being packed.
		for _, v := range check.RM14(s.Log, int64(2*s.Member.Window+2*s.Config.MTU+1500)) {
			t.Errorf("seed %d: %v", s.Seed, v)
		}
	})
}

// TestSlowestFor: an application that does not read holds all up for as long as SlowestFor lets it. Then the others go on,
// and what it has lost when it reads again is explained by its eviction (RM-6).
func TestSlowestFor(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Member.Window = 64 << 10
		s.Member.MaxMessageSize = 16 << 10
		s.Member.SlowestFor = 500 * time.Millisecond
		s.Load = Load{Every: 50 * time.Microsecond, Burst: 5, Protocol: []wire.Protocol{wire.NACK, wire.Hybrid}[s.Seed%2]}
		s.Member.Protocol = s.Load.Protocol
		f := rough
		f.Loss = []float64{0.01, 0.2}[s.Seed/2%2]
		s.Start(4, f)
		s.Until(100 * time.Millisecond)
		s.Stall(3)
		s.For(900 * time.Millisecond)
		before := s.Members[1].Delivered
		s.For(500 * time.Millisecond)
		if n := s.Members[1].Delivered - before; n < 1000 {
			t.Errorf("seed %d: %d messages in half a second after the eviction", s.Seed, n)
		}
		s.Unstall(3)
		s.For(2 * time.Second)
		for _, r := range s.Log.Records {
			if r.Kind == check.ReceiverEvicted && r.Peer != s.Members[3].Proc {
				t.Errorf("seed %d: node %d is evicted", s.Seed, r.Peer)
			}
		}
		if s.Members[3].Gone == 0 {
			t.Errorf("seed %d: nothing is lost at the member that stood still: the test shows nothing", s.Seed)
		}
		if s.Members[1].Gone+s.Members[2].Gone != 0 {
			t.Errorf("seed %d: the others lost %d and %d messages", s.Seed, s.Members[1].Gone, s.Members[2].Gone)
		}
		s.Settle(5 * time.Second)
	})
}

// TestFastest: a sender that waits for nobody overruns a receiver that pauses. What is gone is
// told exactly, and the others lose nothing.
func TestFastest(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Member.Window = 64 << 10
		s.Member.MaxMessageSize = 16 << 10
		s.Member.Fastest = true
		s.Config.Room = 64 << 10
		s.Load = Load{Every: 100 * time.Microsecond, Burst: 4}
		s.Start(4, Faults{Loss: 0.01})
		s.Until(20 * time.Millisecond)
		s.Pause(3)
		s.For(200 * time.Millisecond)
		s.Resume(3)
		s.For(20 * time.Millisecond)
		s.Heal()
		s.Settle(2 * time.Second)
		if s.Members[0].Refused != 0 {
			t.Errorf("seed %d: a Fastest sender met back-pressure", s.Seed)
		}
		if s.Members[3].Gone == 0 {
			t.Errorf("seed %d: nothing lost at a receiver that was overrun", s.Seed)
		}
		for _, m := range s.Members[1:3] {
			if m.Gone != 0 {
				t.Errorf("seed %d: member %d lost %d messages, and was never slow", s.Seed, m.Node, m.Gone)
			}
		}
		if total, m := s.Log.Next(0)-1, s.Members[3]; m.Delivered+m.Gone != total {
			t.Errorf("seed %d: %d sent, %d delivered and %d lost", s.Seed, total, m.Delivered, m.Gone)
		}
	})
}

// TestBestEffortIsHonest: nothing is repaired, and every loss is told exactly, in its place.
func TestBestEffortIsHonest(t *testing.T) {
	Run(t, 100, func(t *testing.T, s *Cluster) {
		s.Load = Load{Protocol: wire.BestEffort, Burst: 4, Large: 0.02}
		s.Watch = true
		s.Start(5, rough)
		s.Until(50 * time.Millisecond)
		s.EndLoad()
		s.For(3 * time.Second) // the tail is told by a heartbeat
		total := s.Log.Next(0) - 1
		lost := uint64(0)
		for _, m := range s.Members[1:] {
			first := uint64(0)
			for _, r := range s.Log.Records {
				if r.Proc == m.Proc && (r.Kind == check.Delivered || r.Kind == check.Gap) {
					first = r.First
					break
				}
			}
			if m.Delivered+m.Gone != total-first+1 {
				t.Errorf("seed %d: member %d: %d sent from %d on, %d delivered and %d lost", s.Seed, m.Node, total, first, m.Delivered, m.Gone)
			}
			lost += m.Gone
		}
		if lost == 0 {
			t.Errorf("seed %d: nothing was lost: the test shows nothing", s.Seed)
		}
		if s.watch.naks != 0 {
			t.Errorf("seed %d: %d NAKs for a best-effort stream", s.Seed, s.watch.naks)
		}
	})
}

// TestIncarnations is RM-13: one node restarts again and again under load.
func TestIncarnations(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Burst: 3}
		s.Member.Eviction = 100 * time.Millisecond
		s.Expect.Eviction = s.Member.Eviction
		s.Start(3, rough)
		for range 5 {
			s.For(10 * time.Millisecond)
			if s.Seed%2 == 0 {
				s.Crash(0)
			} else {
				s.Leave(0)
			}
			s.For(2 * time.Millisecond)
			s.Restart(0)
		}
		s.For(10 * time.Millisecond)
		s.Heal()
		s.Settle(2 * time.Second)
	})
}
