package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// naksForOneLoss makes a cluster in which all receivers miss the same datagram, again and
// again, and returns the number of NAKs for each of these losses, sorted.
func naksForOneLoss(t *testing.T, seed uint64, receivers, losses int, tempo time.Duration) []int {
	s := NewCluster(t, seed)
	s.Watch = true
	s.Member.Window = 256 << 10
	s.Load = Load{Every: tempo}
	s.Start(receivers+1, Faults{Delay: 10 * time.Microsecond, Jitter: 5 * time.Microsecond})
	s.Until(250 * time.Millisecond) // round trips and receiver counts are known
	var counts []int
	for range losses {
		// The first transmission of the next datagram reaches nobody.
		var victim uint64
		id, drop := uint64(0), false
		var frame wire.Datagram
		s.Net.SetTap(func(f *Flight) bool {
			if f.ID != id {
				id, drop = f.ID, false
				if f.From == 0 && f.Group && victim == 0 && wire.Decode(f.Bytes, &frame) == nil {
					for i := range frame.Frames() {
						if fr := &frame.Frames()[i]; fr.Kind == wire.FrameData && fr.Data().Number == s.Log.Streams[0].Emitted {
							victim, drop = f.ID, true
						}
					}
				}
			}
			return !drop
		})
		before := s.watch.naks
		s.For(20 * time.Millisecond)
		counts = append(counts, int(s.watch.naks-before))
		s.Net.SetTap(nil)
		s.For(5 * time.Millisecond)
	}
	s.Settle(time.Second)
	slices.Sort(counts)
	return counts
}

// tempos are of a stream whose losses show by the next datagram, and by the next heartbeat.
var tempos = [...]time.Duration{200 * time.Microsecond, time.Millisecond}

func TestNAKsStayFew64(t *testing.T) {
	seeds, losses := uint64(4), 10
	if Full() {
		seeds, losses = 20, 20
	}
	var all []int
	for seed := range seeds {
		all = append(all, naksForOneLoss(t, seed, 64, losses, tempos[seed%2])...)
	}
	slices.Sort(all)
	t.Logf("64 receivers miss the same datagram, %d times: %d NAKs at least, %d median, %d at most", len(all), all[0], all[len(all)/2], all[len(all)-1])
	if all[0] == 0 {
		t.Error("a loss without a NAK: the test shows nothing")
	}
	if median := all[len(all)/2]; median > 4 {
		t.Errorf("median %d, at most 4 wanted", median)
	}
	if most := all[len(all)-1]; most > 32 {
		t.Errorf("%d NAKs for one loss: a storm", most)
	}
}

func TestNAKsStayFew1000(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand members take half a minute: make sim does it")
	}
	losses := 4
	if Full() {
		losses = 20
	}
	all := naksForOneLoss(t, 1, 1000, losses, time.Millisecond)
	t.Logf("1000 receivers miss the same datagram, %d times: %d NAKs at least, %d median, %d at most", len(all), all[0], all[len(all)/2], all[len(all)-1])
	if all[0] == 0 {
		t.Error("a loss without a NAK: the test shows nothing")
	}
	if median := all[len(all)/2]; median > 6 {
		t.Errorf("median %d, at most 6 wanted", median)
	}
	if most := all[len(all)-1]; most > 100 {
		t.Errorf("%d NAKs for one loss: a storm", most)
	}
}

// TestRepairTraffic is RM-9, RM-10 and RM-15 on a rough network, for groups of several sizes.
func TestRepairTraffic(t *testing.T) {
	Run(t, 60, func(t *testing.T, s *Cluster) {
		s.Watch = true
		receivers := []int{1, 2, 3, 8, 20}[s.Seed%5]
		s.Load = Load{Burst: 3}
		f := Faults{Loss: 0.02, Delay: 10 * time.Microsecond, Jitter: 5 * time.Microsecond}
		s.Start(receivers+1, f)
		s.Until(300 * time.Millisecond)
		s.Settle(time.Second)
		for _, v := range check.RM9(s.Log, check.Repair{Naks: 4, Extra: 0.5}) {
			t.Errorf("seed %d, %d receivers: %v", s.Seed, receivers, v)
		}
		for _, v := range check.RM10(s.Log, nack.MaxNaks) {
			t.Errorf("seed %d, %d receivers: %v", s.Seed, receivers, v)
		}
		for _, v := range check.RM15(s.Log) {
			t.Errorf("seed %d, %d receivers: %v", s.Seed, receivers, v)
		}
	})
}

// TestHeartbeats is RM-15 for streams of many tempos: idle, sparse, steady, in bursts.
func TestHeartbeats(t *testing.T) {
	Run(t, 60, func(t *testing.T, s *Cluster) {
		s.Watch = true
		every := []time.Duration{40 * time.Microsecond, 200 * time.Microsecond, 1100 * time.Microsecond,
			5 * time.Millisecond, 30 * time.Millisecond, 400 * time.Millisecond}[s.Seed%6]
		s.Load = Load{Every: every}
		s.Start(1+int(s.Seed/6)%5, Faults{Loss: 0.01 * float64(s.Seed%2)})
		s.Until(1500 * time.Millisecond)
		s.EndLoad()
		s.For(1500 * time.Millisecond)
		for _, v := range check.RM15(s.Log) {
			t.Errorf("seed %d, every %v: %v", s.Seed, every, v)
		}
	})
}

// TestIndependence is RM-8: one receiver of eight loses 10 % of its datagrams both ways, is
// paused now and then, and the others are as fast as they were without.
func TestIndependence(t *testing.T) {
	run := func(seed uint64, spoil func(s *Cluster)) *check.Log {
		s := NewCluster(t, seed)
		s.Load = Load{Every: 100 * time.Microsecond, Burst: 3}
		s.Start(9, Faults{})
		s.Until(20 * time.Millisecond)
		spoil(s)
		s.Until(200 * time.Millisecond)
		s.Forget()
		return s.Log
	}
	for seed := range uint64(5) {
		clean := run(seed, func(*Cluster) {})
		lossy := run(seed, func(s *Cluster) {
			l := s.Net.Default()
			l.Loss = 0.1
			for i := range 8 {
				s.Net.SetLink(i, 8, l)
				s.Net.SetLink(8, i, l)
			}
		})
		paused := run(seed, func(s *Cluster) {
			for k := range time.Duration(8) {
				s.Net.After(k*20*time.Millisecond, func() { s.Pause(8) })
				s.Net.After(k*20*time.Millisecond+2*time.Millisecond, func() { s.Resume(8) })
			}
		})
		for node := 1; node < 8; node++ {
			vs := append(check.RM8(clean, lossy, node, clock.Time(25*time.Millisecond), 0.5),
				check.RM8(clean, paused, node, clock.Time(25*time.Millisecond), 0.5)...)
			for _, v := range vs {
				t.Errorf("seed %d: %v", seed, v)
			}
		}
	}
}
