package sim

import (
	"testing"
	"time"
)

// flightRun is one stream through 1 Gbit/s with a queue as long as the receiver's room.
func flightRun(t *testing.T, delay time.Duration, loss float64, free bool) (r *linkRun, n *linkNode, s *linkStream) {
	room := max(8<<20, int(16*delay.Seconds()*gigabit/8)) // 8 round trips
	r = newLinkRun(t, Config{Seed: 5, Link: Link{Delay: delay, Loss: loss}, Bandwidth: 10 * gigabit, Room: room}, 2, MemberConfig{Window: room, FreePace: free})
	r.Net.SetDown(1, Port{Rate: gigabit, Queue: room})
	r.open(0)
	return r, r.nodes[0], r.nodes[1].of(r.nodes[0].id)
}

const gigabit = 1_000_000_000

// TestInFlight: floods through a link with a long queue, with round trips of 20 µs to 100 ms. The link is used, and what
// stands in the queue is a few round trips, or what a few batches take, and not the receiver's room. With -short it is one
// link; make sim has more, and with all seeds all of them.
func TestInFlight(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		loss  float64
		used  float64       // of the link at least, in the last half second
		most  time.Duration // p99
		long  bool
	}{
		{10 * time.Microsecond, 0, 0.98, 4 * time.Millisecond, false},
		{time.Millisecond, 0, 0.97, 12 * time.Millisecond, false},
		{10 * time.Millisecond, 0, 0.9, 110 * time.Millisecond, true},
		{50 * time.Millisecond, 0, 0.95, 550 * time.Millisecond, true},
		// What is lost is repaired behind what stands in the queue.
		{10 * time.Microsecond, 0.01, 0.9, 25 * time.Millisecond, false},
		{time.Millisecond, 0.01, 0.9, 40 * time.Millisecond, true},
		{10 * time.Millisecond, 0.05, 0.8, 250 * time.Millisecond, true},
	} {
		if c.long && !Full() || testing.Short() && (c.delay > 10*time.Microsecond || c.loss > 0) {
			continue
		}
		const lasts = 500 * time.Millisecond
		r, n, s := flightRun(t, c.delay, c.loss, false)
		n.flood(time.Second+lasts, 1000)
		r.run(time.Second)
		before := s.delivered
		s.latency = s.latency[:0]
		r.run(lasts)
		st := n.stats()
		used := wireBytes(st.Datagrams, st.DatagramBytes) * float64(s.delivered-before) / float64(n.offered) * 8 / (gigabit * lasts.Seconds())
		p99 := s.quantile(0.99)
		report(t, "delay %v, %v %% lost: %.3f of the link, p50 %v p99 %v, %d reports", c.delay, 100*c.loss, used, s.quantile(0.5), p99, st.StatusesReceived)
		if s.lost > 0 || used < c.used || p99 > c.most {
			t.Errorf("delay %v, %v %% lost: %.3f of the link, p99 %v, %d messages lost; at least %.2f and at most %v wanted", c.delay, 100*c.loss, used, p99, s.lost, c.used, c.most)
		}
	}
}

// TestBurstAfterIdleness: after a flood, whose bound is low, and a second of silence a burst as large as half of the
// receiver's room leaves as quickly as without a bound.
func TestBurstAfterIdleness(t *testing.T) {
	var took [2]time.Duration
	for i, free := range []bool{true, false} {
		r, n, s := flightRun(t, 10*time.Microsecond, 0, free)
		n.flood(500*time.Millisecond, 1000)
		r.run(1500 * time.Millisecond)
		const burst = 3000 // what waits to be packed is less than that
		at, before, sent := r.Net.Now(), s.delivered, n.stats().Datagrams
		n.flood(4*time.Millisecond, 1000)
		r.run(4 * time.Millisecond)
		left := n.stats().Datagrams - sent
		r.run(time.Second)
		took[i] = s.lastAt.Sub(at)
		report(t, "no bound %v: %d datagrams left within 4 ms, all %d were there after %v", free, left, s.delivered-before, took[i])
		if left < burst {
			t.Errorf("no bound %v: %d datagrams left within 4 ms", free, left)
		}
	}
	if took[1] > took[0]*11/10 {
		t.Errorf("the last one was there after %v, without a bound after %v", took[1], took[0])
	}
}
