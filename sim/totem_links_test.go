package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/totem"
)

// ringFlow is what a ring of three carried while its first member had always something to send, or all had.
type ringFlow struct {
	rate            float64 // bits/s of new data, with headers, as the slowest member received it
	sent            float64 // bytes of data that all members sent, for each byte of it that was new
	again           uint64  // datagrams
	views           uint64
	paced           uint64
	delivered, lost uint64
}

func (f ringFlow) String() string {
	return fmt.Sprintf("%.1f Mbit/s, %.2f bytes sent for one, %d retransmissions, %d views, %d delivered, paced %d times", f.rate/1e6, f.sent, f.again, f.views, f.delivered, f.paced)
}

// flowOf lets a ring of three carry as much as it can for d.
func flowOf(t *testing.T, seed uint64, f Faults, senders int, d time.Duration, free bool, change func(*RingCluster)) (flow ringFlow) {
	s := NewRingCluster(t, seed)
	s.Config.Bandwidth = 1_000_000_000
	s.Change = func(_ int, c *totem.Config) { c.FreePace = free }
	s.Profile = totem.Tuned()
	s.Load = RingLoad{Every: -1, Size: 1000}
	if f.Delay == 0 {
		f.Delay = 20 * time.Microsecond
	}
	s.Start(3, f)
	s.Until(300 * time.Millisecond)
	if !s.OneRing() {
		t.Fatalf("no ring%s", s.Describe())
	}
	if change != nil {
		change(s)
	}
	var step func()
	end := s.Net.Now().Add(d)
	step = func() {
		for _, m := range s.Members[:senders] {
			for m.Alive() && m.sendOf(1300, false) {
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
	delivered := make([]uint64, len(s.Members))
	for i, m := range s.Members {
		delivered[i] = m.Delivered
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
	flow.rate = float64(flow.delivered) * frame * 8 / d.Seconds()
	flow.paced = after.Paced - before.Paced
	return flow
}

// TestRingBottleneck: one of three members is behind 100 Mbit/s with a queue of 64 KiB. The bottleneck is used, and little
// more than it carries is sent; half as much again where two send at once, since often one of them alone follows it.
func TestRingBottleneck(t *testing.T) {
	many := []int{1, 2}
	if testing.Short() {
		many = many[:1]
	}
	for _, senders := range many {
		for _, where := range []string{"receiver", "sender"} {
			f := flowOf(t, 1, Faults{}, senders, longer(3*time.Second), false, func(s *RingCluster) {
				line := Port{Rate: 100_000_000, Queue: 64 << 10}
				if where == "sender" {
					s.Net.SetUp(0, line)
				} else {
					s.Net.SetDown(2, line)
				}
			})
			report(t, "%d senders, at the %s: %v", senders, where, f)
			// Where one of two senders is behind it, the other's data do not pass it.
			most := 1.25
			if senders > 1 && where == "receiver" {
				most = 1.6
			}
			if f.rate < 0.9*100e6 || f.sent > most || f.views > 0 || f.lost > 0 || f.paced == 0 {
				t.Errorf("%d senders, at the %s: %v", senders, where, f)
			}
		}
	}
}

// TestRingRandomLoss: with up to a fifth of everything lost at random a ring is as quick as without congestion control.
func TestRingRandomLoss(t *testing.T) {
	losses, seeds := []float64{0, 0.01, 0.05, 0.2}, 4
	if testing.Short() {
		losses, seeds = []float64{0, 0.01}, 2
	}
	for _, loss := range losses {
		lasts := longer(500 * time.Millisecond)
		if loss == 0.2 {
			lasts = longer(3 * time.Second) // what is looked at once in five seconds takes a while
		}
		// What a ring loses by lost tokens differs by some percent from run to run.
		var flows [2]ringFlow
		for seed := range uint64(seeds) {
			for i, free := range []bool{true, false} {
				f := flowOf(t, 1+seed, Faults{Loss: loss}, 1, lasts, free, nil)
				f.rate, f.sent = flows[i].rate+f.rate/float64(seeds), flows[i].sent+f.sent/float64(seeds)
				flows[i] = f
			}
			if loss == 0 {
				for i := range flows {
					flows[i].rate, flows[i].sent = float64(seeds)*flows[i].rate, float64(seeds)*flows[i].sent
				}
				break
			}
		}
		report(t, "%v %% lost: %v; without congestion control %v", 100*loss, flows[1], flows[0])
		if flows[1].rate < 0.97*flows[0].rate {
			t.Errorf("%v %% lost: %v; without congestion control %v", 100*loss, flows[1], flows[0])
		}
	}
}
