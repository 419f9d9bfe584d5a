package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// TestFaultsBySize: some ways have an MTU for a while: between some pairs, one way, to one member or from one. Afterwards
// everything flows again, and all that was promised has come.
func TestFaultsBySize(t *testing.T) {
	Run(t, 60, func(t *testing.T, s *Cluster) {
		f := rough
		f.BySize, f.Lasting = 0.03, 20*time.Millisecond
		s.Load = Load{Senders: 2, Every: 300 * time.Microsecond, Burst: 4, Large: 0.02}
		s.coded(repairing[s.Seed%2])
		s.Make = makers[s.Seed%3]
		s.Start(5, f)
		s.Until(200 * time.Millisecond)
		if s.Net.Stats().Blocked == 0 {
			t.Errorf("seed %d: everything passed", s.Seed)
		}
		s.Heal()
		s.Settle(5 * time.Second)
	})
}

// TestFaultsOfLinks: bottlenecks, black holes, and ways that multicast or unicast alone does not pass, come and go. Nothing
// that was promised breaks, and in no second recovery takes more than it may (RM-21). Afterwards everything flows again.
func TestFaultsOfLinks(t *testing.T) {
	for _, p := range repairing {
		t.Run(fmt.Sprintf("protocol=%d", p), func(t *testing.T) {
			Run(t, 1000, func(t *testing.T, s *Cluster) {
				s.Watch, s.Expect.Behind = true, true
				s.Load = Load{Senders: 2, Every: 2 * time.Millisecond, Burst: 8, Size: 1000, Large: 0.02}
				s.coded(p)
				s.Make = makers[s.Seed%3]
				s.Start(4, Faults{Loss: 0.01, Delay: 50 * time.Microsecond, Jitter: 20 * time.Microsecond,
					Squeeze: 0.003, BySize: 0.003, OneSort: 0.003, Lasting: 800 * time.Millisecond})
				s.Until(3 * time.Second)
				if s.Net.Stats().Blocked == 0 {
					t.Errorf("seed %d: everything passed", s.Seed)
				}
				s.Heal()
				s.Settle(5 * time.Second)
				for _, v := range check.RM21(s.Log, 256<<10) {
					s.fail(v)
				}
			})
		})
	}
}

// TestBySizeIsHonest: without repair, what is too long for a way is reported as lost, exactly and in its place.
func TestBySizeIsHonest(t *testing.T) {
	Run(t, 40, func(t *testing.T, s *Cluster) {
		s.Load = Load{Every: 50 * time.Microsecond, Burst: 4, Large: 0.02}
		s.coded([...]wire.Protocol{wire.BestEffort, wire.FEC}[s.Seed%2])
		s.Member.Window = 4 << 20
		s.Make = makers[s.Seed%3]
		s.Start(4, rough)
		s.Net.Narrow(0, 1, leastMTU+int(s.Seed*37)%(mostMTU-leastMTU))
		s.Until(50 * time.Millisecond)
		s.EndLoad()
		s.For(3 * time.Second) // the tail is told by a heartbeat
		total := uint64(0)
		for i := range s.Log.Streams {
			total += s.Log.Next(check.Stream(i)) - 1
		}
		for _, m := range s.Members[1:] {
			if m.Delivered+m.Gone != total {
				t.Errorf("seed %d: member %d: %d sent, %d delivered and %d lost", s.Seed, m.Node, total, m.Delivered, m.Gone)
			}
		}
		if s.Members[1].Gone <= s.Members[2].Gone {
			t.Errorf("seed %d: %d messages were lost behind the narrow way, %d elsewhere", s.Seed, s.Members[1].Gone, s.Members[2].Gone)
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// TestRingsBySize: the same ways, and longer, under a ring. Once all ways carry everything, one ring of all forms, and
// the order holds.
func TestRingsBySize(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 12
	}
	RunRings(t, seeds, func(t *testing.T, s *RingCluster) {
		s.Load = RingLoad{Every: 5 * time.Millisecond, Burst: 4, Size: 1400, Safe: 0.3}
		s.Profile = totem.Tuned()
		s.Profile.StuckRotations, s.Profile.StuckTime = 100, 2*s.Profile.TokenRetransmit
		s.Profile.HoldDown = time.Second
		s.Start(3+int(s.Seed%4), Faults{Loss: 0.002, Delay: 50 * time.Microsecond, BySize: 0.002, Lasting: 2 * time.Second})
		s.Until(5 * time.Second)
		if s.Net.Stats().Blocked == 0 {
			t.Errorf("seed %d: everything passed", s.Seed)
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// TestRingFaultsOfLinks: bottlenecks, black holes, ways that multicast or unicast alone does not pass, and pairs that do
// not receive each other, come and go under a ring. Nothing that was promised breaks, and in no second what is sent again
// takes more than it may (TO-26). Afterwards one ring of all forms, and everything flows again.
func TestRingFaultsOfLinks(t *testing.T) {
	RunRings(t, 1000, func(t *testing.T, s *RingCluster) {
		for _, v := range s.LinksFail(256 << 10) {
			t.Errorf("seed %d: %v", s.Seed, v)
		}
		if s.Net.Stats().Blocked == 0 {
			t.Errorf("seed %d: everything passed", s.Seed)
		}
	})
}

// TestNotTransitive: two of three receivers do not receive each other. A sender that reaches both reaches both.
func TestNotTransitive(t *testing.T) {
	for _, p := range repairing {
		r := newLinkRun(t, Config{Seed: 9, Link: Link{Loss: 0.02}}, 4, MemberConfig{Protocol: p})
		r.Net.Cut(1, 2)
		r.Net.Cut(2, 1)
		r.open(0)
		n := r.nodes[0]
		n.feed(longer(time.Second), 200*time.Microsecond, mixed)
		r.run(longer(time.Second) + 2*time.Second)
		report(t, "%v: %v; %s; %s", p, n.sent(), r.nodes[1].summary(0), r.nodes[3].summary(0))
		for _, o := range r.nodes[1:] {
			if s := o.of(n.id); s.delivered != int(n.offered) || s.quantile(0.999) > 100*time.Millisecond {
				t.Errorf("%v: node %d got %d of %d, p99.9 %v", p, o.driver.Node(), s.delivered, n.offered, s.quantile(0.999))
			}
		}
	}
}
