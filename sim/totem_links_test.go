package sim

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/totem"
)

// ringFlow is what a ring of three carried while its first member had always something to send, or all had.
type ringFlow struct {
	rate            float64 // bits/s of new data, with headers, as the slowest member received it
	sent            float64 // bytes of data that all members sent, for each byte of it that was new
	again           uint64  // datagrams
	views           uint64
	paced           uint64
	least           float64 // of what a sender sends that is new, bits/s with headers, the least
	delivered, lost uint64
	limited         core.Limited // the first member, at the end
}

func (f ringFlow) String() string {
	return fmt.Sprintf("%.1f Mbit/s, %.2f bytes sent for one, %d retransmissions, %d views, %d delivered, paced %d times, the slowest sender %.1f Mbit/s", f.rate/1e6, f.sent, f.again, f.views, f.delivered, f.paced, f.least/1e6)
}

// flowOf lets a ring of three, or of one more than senders, carry as much as it can for d. The second sender begins
// late after the first.
func flowOf(t *testing.T, seed uint64, f Faults, senders int, late, d time.Duration, free bool, change func(*RingCluster)) (flow ringFlow) {
	s := NewRingCluster(t, seed)
	s.Config.Bandwidth = 1_000_000_000
	s.Change = func(_ int, c *totem.Config) { c.FreePace = free }
	s.Profile = totem.Tuned()
	s.Load = RingLoad{Every: -1, Size: 1000}
	if f.Delay == 0 {
		f.Delay = 20 * time.Microsecond
	}
	s.Start(max(3, senders+1), f)
	s.Until(300 * time.Millisecond)
	if !s.OneRing() {
		t.Fatalf("no ring%s", s.Describe())
	}
	if change != nil {
		change(s)
	}
	var step func()
	end, second := s.Net.Now().Add(d), s.Net.Now().Add(late)
	step = func() {
		for i, m := range s.Members[:senders] {
			for (i == 0 || s.Net.Now() >= second) && m.Alive() && m.sendOf(1300, false) {
			}
		}
		if s.Net.Now() < end {
			s.Net.After(50*time.Microsecond, step)
		}
	}
	sum := func() (n totem.Stats) {
		for _, m := range s.Members {
			st := m.Protocol.Stats()
			n.Datagrams += st.Datagrams
			n.Retransmitted += st.Retransmitted
			n.MessageBytes += st.MessageBytes
			n.Views += st.Views
			n.Lost += st.Lost
			n.Paced += st.Paced
		}
		return n
	}
	before := sum()
	delivered, own := make([]uint64, len(s.Members)), make([]uint64, len(s.Members))
	for i, m := range s.Members {
		delivered[i], own[i] = m.Delivered, m.Protocol.Stats().Datagrams
	}
	step()
	s.Net.Run(end)
	after := sum()
	flow.delivered = ^uint64(0)
	for i, m := range s.Members {
		flow.delivered = min(flow.delivered, m.Delivered-delivered[i])
	}
	data := float64(after.Datagrams - before.Datagrams)
	flow.again, flow.views, flow.lost = after.Retransmitted-before.Retransmitted, after.Views-before.Views, after.Lost-before.Lost
	flow.sent = (data + float64(flow.again)) / data
	// A message is a datagram.
	const frame = 1300 + 14 + 28 + 100
	rate := func(n uint64) float64 { return float64(n) * frame * 8 / d.Seconds() }
	flow.rate, flow.least = rate(flow.delivered), math.Inf(1)
	for i, m := range s.Members[:senders] {
		flow.least = min(flow.least, rate(m.Protocol.Stats().Datagrams-own[i]))
	}
	flow.paced = after.Paced - before.Paced
	flow.limited = s.Members[0].Protocol.Limited(s.Net.Now())
	return flow
}

// TestRingBottleneck: the last member of a ring is behind 100 Mbit/s with a queue of 64 KiB. However many send through
// it, the bottleneck is used, little more than it carries is sent, and each has its part. Where one sender is behind it
// itself, it goes as fast as that lets it, and the other one is not held back.
func TestRingBottleneck(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: make sim does it")
	}
	const rate = 100_000_000
	cases := []struct {
		senders int
		where   string
		late    time.Duration
		lasts   time.Duration
	}{
		{1, "receiver", 0, 3 * time.Second},
		{1, "sender", 0, 3 * time.Second},
		{2, "receiver", 0, 3 * time.Second},
		{2, "sender", 0, 3 * time.Second},
		{2, "receiver", time.Second, 5 * time.Second},
		{3, "receiver", 0, 3 * time.Second},
	}
	seeds := uint64(4) // the order of the ring's members differs
	if testing.Short() {
		cases, seeds = cases[:4], 1
	}
	for _, c := range cases {
		for seed := range seeds {
			f := flowOf(t, 1+seed, Faults{}, c.senders, c.late, longer(c.lasts), false, func(s *RingCluster) {
				line := Port{Rate: rate, Queue: 64 << 10}
				if c.where == "sender" {
					s.Net.SetUp(0, line)
				} else {
					s.Net.SetDown(len(s.Members)-1, line)
				}
			})
			report(t, "%d senders, at the %s, one %v later: %v", c.senders, c.where, c.late, f)
			least := 0.6 / float64(c.senders) * rate // 0.3 of it for each of two
			if c.late > 0 {
				least *= float64(c.lasts-c.late) / float64(c.lasts)
			}
			if f.rate < 0.9*rate || f.sent > 1.25 || f.least < least || f.views > 0 || f.lost > 0 {
				t.Errorf("seed %d, %d senders, at the %s, one %v later: %v", 1+seed, c.senders, c.where, c.late, f)
			}
			// Where the token waits behind the data in the bottleneck's queue, flow control alone may be all that is needed.
			l, paced := f.limited, f.paced > 0
			if c.senders == 1 && (paced && (l.By != core.ByPace || l.Pace < rate/8/2 || l.Pace > rate/8*1.5) || !paced && l.By != core.ByWindow) {
				t.Errorf("seed %d, at the %s: limited by %v, at %.3g bytes/s", 1+seed, c.where, l.By, l.Pace)
			}
			if c.senders > 1 && c.where == "sender" && f.rate < 2.8*rate {
				t.Errorf("seed %d: the other sender is held back: %v", 1+seed, f)
			}
		}
	}
}

// TestRingRandomLoss: with up to a fifth of everything lost at random a ring is as quick as without congestion control.
func TestRingRandomLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: make sim does it")
	}
	type row struct {
		loss    float64
		senders int
		lasts   time.Duration
		least   float64 // of what there is without congestion control
	}
	const half = 500 * time.Millisecond
	// What is looked at once in five seconds takes a while; several senders look more often when a fifth is lost.
	rows, seeds := []row{{0, 1, half, 0.97}, {0.01, 1, half, 0.97}, {0.05, 1, half, 0.97}, {0.2, 1, 3 * time.Second, 0.97},
		{0.01, 2, half, 0.97}, {0.05, 2, time.Second, 0.9}, {0.2, 2, 5 * time.Second, 0.85}}, 4
	if !Full() {
		seeds = 2
	}
	for _, r := range rows {
		// What a ring loses by lost tokens differs by some percent from run to run.
		var flows [2]ringFlow
		for seed := range uint64(seeds) {
			for i, free := range []bool{true, false} {
				f := flowOf(t, 1+seed, Faults{Loss: r.loss}, r.senders, 0, longer(r.lasts), free, nil)
				f.rate, f.sent = flows[i].rate+f.rate/float64(seeds), flows[i].sent+f.sent/float64(seeds)
				flows[i] = f
			}
			if r.loss == 0 {
				for i := range flows {
					flows[i].rate, flows[i].sent = float64(seeds)*flows[i].rate, float64(seeds)*flows[i].sent
				}
				break
			}
		}
		if l := flows[1].limited; r.loss <= 0.05 && (flows[1].paced > 0 || l.By == core.ByPace) {
			t.Errorf("%v %% lost, %d senders: chance sets a pace: %v; limited by %v", 100*r.loss, r.senders, flows[1], l.By)
		}
		report(t, "%v %% lost, %d senders: %v; without congestion control %v", 100*r.loss, r.senders, flows[1], flows[0])
		if flows[1].rate < r.least*flows[0].rate {
			t.Errorf("%v %% lost, %d senders: %v; without congestion control %v", 100*r.loss, r.senders, flows[1], flows[0])
		}
	}
}

// TestRingTokensUnderLoss: a token that is lost is sent again soon, so that with one in twenty datagrams lost, and with one
// in five, the token still goes round at a third, and at a fifteenth, of the speed that it has when nothing is lost.
func TestRingTokensUnderLoss(t *testing.T) {
	visits := func(loss float64) float64 {
		var s *RingCluster
		var before uint64
		flowOf(t, 1, Faults{Loss: loss}, 3, 0, longer(50*time.Millisecond), false, func(c *RingCluster) {
			s, before = c, c.Members[0].Protocol.Stats().Tokens
		})
		return float64(s.Members[0].Protocol.Stats().Tokens - before)
	}
	clean := visits(0)
	for _, c := range []struct{ loss, least float64 }{{0.05, 1.0 / 3}, {0.2, 1.0 / 15}} {
		part := visits(c.loss) / clean
		report(t, "%v %% lost: %.3f of the visits without loss", 100*c.loss, part)
		if part < c.least {
			t.Errorf("%v %% lost: %.3f of the visits without loss", 100*c.loss, part)
		}
	}
}

// TestRingOwnMTU: the MTU of one, two or all members' interfaces is lowered under load and loss, and they learn of it 3 ms
// later. What they have sent in the ring and cannot send again as it is, and what did not leave in these 3 ms, arrives
// all the same: everything is delivered everywhere, and the ring stays.
func TestRingOwnMTU(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		s := NewRingCluster(t, 1+seed)
		s.Load = RingLoad{Every: 200 * time.Microsecond, Burst: 3, Size: 1400, Large: 0.1}
		s.Start(3, Faults{Loss: 0.03, Delay: 20 * time.Microsecond})
		s.Until(300 * time.Millisecond)
		if !s.OneRing() {
			t.Fatalf("no ring%s", s.Describe())
		}
		views := s.Members[0].Protocol.Stats().Views
		const mtu = 1000
		narrow := s.Members[:1+seed%3]
		for _, m := range narrow {
			s.Net.SetUp(m.Node, Port{MTU: mtu})
		}
		s.Until(303 * time.Millisecond)
		for _, m := range narrow {
			m.Protocol.Fit(s.Net.Now(), buf.Way{Pack: mtu - headers, Longest: mtu - headers})
		}
		s.Until(500 * time.Millisecond)
		for _, m := range s.Members {
			m.quiet = true
		}
		s.Until(800 * time.Millisecond)
		var sent uint64
		for _, m := range s.Members {
			sent += m.Protocol.Stats().Messages
		}
		for i, m := range s.Members {
			st := m.Protocol.Stats()
			if m.Delivered != sent || st.Views != views || st.Lost > 0 || st.Impossible > 0 {
				t.Errorf("seed %d, %d narrow: member %d delivered %d of %d, lost %d; %d views since", 1+seed, len(narrow), i, m.Delivered, sent, st.Lost, st.Views-views)
			}
		}
		report(t, "seed %d, %d narrow: %d messages", 1+seed, len(narrow), sent)
	}
}
