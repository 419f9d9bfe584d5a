package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
)

// rough is the network of the project's first promise: 5 % loss each way, bursts, duplicates
// and reordering.
var rough = Faults{
	Loss: 0.05, Burst: Burst{Enter: 0.001, Leave: 0.2, Loss: 0.9}, Duplicate: 0.02,
	Reorder: 0.05, ReorderBy: 200 * time.Microsecond, Delay: 5 * time.Microsecond, Jitter: 15 * time.Microsecond,
}

// makers are the ways in which members are put together.
var makers = [...]func(NodeConfig) Node{NewCoreNode, NewQueuedNode, NewInvokedNode}

// TestExactlyOnceInOrder: one sender, eight receivers, a rough network. Nothing is missing,
// doubled or out of order, and every run settles, without the network having been healed.
func TestExactlyOnceInOrder(t *testing.T) {
	Run(t, 500, func(t *testing.T, s *Cluster) {
		s.Load = Load{Every: 200 * time.Microsecond, Burst: 1 + int(s.Seed%20), Large: 0.02}
		s.Config.Guard = true
		s.Config.Echo = s.Seed%4 == 0
		s.Make = makers[s.Seed%3]
		s.Start(9, rough)
		s.Until(100 * time.Millisecond)
		// Bursts are counted in datagrams: an idle link that has turned bad loses heartbeats
		// for seconds.
		s.Settle(5 * time.Second)
		for _, m := range s.Members[1:] {
			if m.Gone != 0 {
				t.Errorf("seed %d: member %d lost %d messages", s.Seed, m.Node, m.Gone)
			}
		}
	})
}

// TestEverybodySends: five members all send and all receive.
func TestEverybodySends(t *testing.T) {
	Run(t, 200, func(t *testing.T, s *Cluster) {
		s.Load = Load{Senders: 5, Every: 400 * time.Microsecond, Burst: 4, Large: 0.02}
		s.Member.SelfDelivery = s.Seed%2 == 0
		s.Member.Lanes = 1 + int(s.Seed%3)
		s.Make = makers[s.Seed/3%3]
		s.Config.Guard = true
		s.Start(5, rough)
		s.Until(50 * time.Millisecond)
		s.Settle(2 * time.Second)
	})
}

// TestTailIsRepaired is RM-12 as a directed test: the last datagram before a silence is lost
// at every receiver, and is there within a few milliseconds.
func TestTailIsRepaired(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Messages: 20}
		s.Start(4, Faults{})
		s.Until(20 * time.Millisecond)
		drops := 0
		s.Net.SetTap(func(f *Flight) bool {
			drops++
			return f.From != 0 || drops > 3 // the next datagram of node 0, at its three receivers
		})
		s.Members[0].offer()
		s.Settle(5 * time.Millisecond)
	})
}

// TestHalfIsLost: with half of all datagrams lost each way, nothing live is ever given up.
func TestHalfIsLost(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Every: 300 * time.Microsecond, Burst: 4}
		s.Start(4, Faults{Loss: 0.5})
		s.Until(50 * time.Millisecond)
		s.Settle(10 * time.Second)
	})
}

// TestSmallDatagrams: messages of all sizes over a small MTU; nothing larger than the MTU is
// ever handed to the network.
func TestSmallDatagrams(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Config.MTU = 576
		s.Load = Load{Every: 500 * time.Microsecond, Burst: 5, Large: 0.1, LargeTo: 20_000}
		s.Start(4, rough)
		s.Until(50 * time.Millisecond)
		s.Settle(2 * time.Second)
		if n := s.Net.Stats().Oversize; n != 0 {
			t.Errorf("%d datagrams were larger than the MTU", n)
		}
	})
}

// TestSmallWindows: windows and receive buffers so small that flow control decides; bandwidth
// and a rate limit besides.
func TestSmallWindows(t *testing.T) {
	Run(t, 100, func(t *testing.T, s *Cluster) {
		s.Member.Window = 64 << 10
		s.Member.MaxMessageSize = 16 << 10
		s.Config.Room = 32 << 10
		switch s.Seed % 3 {
		case 1:
			s.Config.Bandwidth = 100_000_000
		case 2:
			s.Member.MaxRate = 50_000_000
		}
		s.Load = Load{Every: 100 * time.Microsecond, Burst: 30, Large: 0.01}
		s.Start(5, rough)
		s.Until(30 * time.Millisecond)
		s.Settle(3 * time.Second)
	})
}

// TestSameSeedSameRun is RS-5: whole members, all faults, twice.
func TestSameSeedSameRun(t *testing.T) {
	seeds := uint64(5)
	if Full() {
		seeds = 50
	}
	run := func(seed uint64) uint64 {
		s := NewCluster(nil, seed)
		s.Load = Load{Senders: 3, Burst: 4, Large: 0.02}
		f := rough
		f.Partition, f.Pause, f.Crash, f.Stall = 0.05, 0.05, 0.05, 0.05
		s.Start(5, f)
		s.Until(50 * time.Millisecond)
		s.Heal()
		s.Settle(time.Second)
		return s.Hash()
	}
	for seed := range seeds {
		for _, v := range check.RS5(seed, run(seed), run(seed)) {
			t.Error(v)
		}
	}
}
