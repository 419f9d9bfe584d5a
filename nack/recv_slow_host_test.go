package nack

import (
	"slices"
	"testing"
	"time"
)

// Two receivers on slow hosts, which read what comes a millisecond late and lose nothing, do not make the four others
// wait for their repairs: those counted their back-off in the longest round trip of the group, and the first heartbeat
// after a datagram waited for it too.
func TestSlowHostsHurtNobody(t *testing.T) {
	var median, tail []float64
	seeds := 10
	if testing.Short() {
		seeds = 3
	}
	for seed := range uint64(seeds) {
		quick, slow := repairTimes(t, seed, 0), repairTimes(t, seed, time.Millisecond)
		of := func(v []time.Duration, q float64) float64 { return float64(v[int(q*float64(len(v)-1))]) }
		median = append(median, of(slow, 0.5)/of(quick, 0.5))
		tail = append(tail, of(slow, 0.99)/of(quick, 0.99))
	}
	slices.Sort(median)
	slices.Sort(tail)
	t.Logf("repairs beside two slow hosts, times of those beside two quick ones: median %.2f, p99 %.2f (medians of %d runs)", median[seeds/2], tail[seeds/2], seeds)
	if median[seeds/2] > 1.2 || tail[seeds/2] > 1.2 {
		t.Errorf("median %.2f, p99 %.2f times as long beside slow hosts, at most 1.2 wanted: %.2f, %.2f", median[seeds/2], tail[seeds/2], median, tail)
	}
}

// repairTimes is how long four receivers wait for repairs from noticing that something is missing, in order of length:
// 1,500 messages a second at 1 % loss, beside two receivers on hosts with that lag, which lose nothing.
func repairTimes(t *testing.T, seed uint64, lag time.Duration) (times []time.Duration) {
	net, sender, s := besideSlowHosts(t, seed, lag)
	const messages = 6000
	for _, n := range net.nodes[1:5] {
		n.loss = 0.01
		n.p.cfg.RepairNS = func(ns int64) { times = append(times, time.Duration(ns)) }
	}
	for range messages {
		net.offer(sender, s, 1, 64)
		net.run(time.Second / 1500)
	}
	slices.Sort(times)
	if len(times) < messages/100 {
		t.Fatalf("seed %d: only %d repairs", seed, len(times))
	}
	return times
}

// besideSlowHosts is a sender and six receivers that it knows; the last two read all that comes so much later.
func besideSlowHosts(t *testing.T, seed uint64, lag time.Duration) (*network, *node, *Sender) {
	net := newNetwork(t, seed)
	net.faults = faults{delay: 25 * time.Microsecond, jitter: 10 * time.Microsecond}
	sender := net.add()
	for i := range 6 {
		n := net.add()
		if i >= 4 {
			n.lag = lag
		}
	}
	s := net.open(sender, testStream)
	if !net.until(5*time.Second, func() bool { return s.Receivers() == 6 }) {
		t.Fatalf("seed %d: %d of 6 receivers known", seed, s.Receivers())
	}
	for range 20 {
		net.offer(sender, s, 1, 64)
		net.run(20 * time.Millisecond)
	}
	return net, sender, s
}

// The bucket of a round trip ends at most an eighth above it.
func TestTripBuckets(t *testing.T) {
	for d := time.Duration(16); d <= rttMax; d += d/50 + 1 {
		if end := bucketEnd(tripBucket(d)); end <= d || end > d+d/8+1 {
			t.Fatalf("%v is counted as %v", d, end)
		}
	}
}

// One quick round trip of many counts for 8 to 16 samples.
func TestQuickTrip(t *testing.T) {
	var q quickTrip
	slow, quick := time.Millisecond, 50*time.Microsecond
	for range 20 {
		q.sample(slow)
	}
	if int(q.least) != tripBucket(slow) {
		t.Fatalf("of %v alone: bucket %d", slow, q.least)
	}
	for i := range 8 {
		for range i {
			q.sample(slow)
		}
		q.sample(quick)
		n := 0
		for ; int(q.least) == tripBucket(quick) && n < 100; n++ {
			q.sample(slow)
		}
		if n < 8 || n > 16 {
			t.Errorf("%v counts for %d samples after it", quick, n)
		}
	}
}

// A last message that is lost is noticed as soon beside slow hosts, in a group of any size.
func TestTailLossBesideSlowHosts(t *testing.T) {
	var took [2]time.Duration
	for i, lag := range []time.Duration{0, time.Millisecond} {
		net, sender, s := besideSlowHosts(t, 1, lag)
		for range 20 {
			lose, began := s.Sent()+1, net.now
			net.filter = dropData(func(n uint64) bool { return n == lose })
			net.offer(sender, s, 1, 64)
			if !net.until(time.Second, func() bool { return net.nodes[1].stream(sender.id, testStream).next > lose }) {
				t.Fatal("not repaired")
			}
			took[i] += net.now.Sub(began)
			net.run(200 * time.Millisecond)
		}
	}
	if took[1] > took[0]*6/5 {
		t.Errorf("20 last messages were repaired after %v in all, beside slow hosts after %v", took[0], took[1])
	}
}
