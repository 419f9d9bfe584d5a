package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/totem"
)

// nowAndThen is a load of single messages, far apart for the ring, at any moment of a rotation.
var nowAndThen = RingLoad{Every: 20 * time.Millisecond, Size: 64}

// rotation is how long the token of a ring without load takes to go round, measured over a while.
func rotation(s *RingCluster, d time.Duration) time.Duration {
	before := s.Members[0].Protocol.Stats().Tokens
	s.For(d)
	return d / time.Duration(s.Members[0].Protocol.Stats().Tokens-before)
}

// An idle ring whose token keeps going round, as with BusySpin and Backoff: a message that is sent at
// any moment is delivered in agreed order, at every member, within one and a half rotations at the median.
func TestIdleRingLatency(t *testing.T) {
	RunRings(t, 10, func(t *testing.T, s *RingCluster) {
		s.Load = nowAndThen
		s.Start(3+int(s.Seed%3), Faults{Delay: 10 * time.Microsecond})
		s.Until(50 * time.Millisecond)
		r := rotation(s, 20*time.Millisecond)
		from := s.Net.Now()
		s.For(2 * time.Second)
		s.Heal()
		s.Settle(time.Second)
		l := latencies(s.Log, from)
		t.Logf("%d members, %d messages, rotation %v, median %v", len(s.Members), len(l), r, l[len(l)/2])
		if len(l) < 100 || l[len(l)/2] > r*3/2 {
			t.Errorf("median %v of %d, a rotation takes %v", l[len(l)/2], len(l), r)
		}
	})
}

// An idle ring whose token rests, as with Block and Backoff: a message that is sent meanwhile is delivered
// within two rotations of a token that does not rest.
func TestHeldRingLatency(t *testing.T) {
	for _, rotations := range []int{30, 500} { // Block, Backoff
		t.Run(fmt.Sprint(rotations), func(t *testing.T) { heldRingLatency(t, rotations) })
	}
}

func heldRingLatency(t *testing.T, rotations int) {
	RunRings(t, 10, func(t *testing.T, s *RingCluster) {
		s.Load = nowAndThen
		s.Start(3+int(s.Seed%3), Faults{Delay: 10 * time.Microsecond})
		s.Until(50 * time.Millisecond)
		r := rotation(s, 20*time.Millisecond)
		s.Heal()
		s.Settle(time.Second)

		held := NewRingCluster(t, s.Seed)
		held.Profile = totem.Tuned()
		held.Profile.Hold, held.Profile.IdleRotations = 4*time.Millisecond, rotations
		held.Load = nowAndThen
		held.Load.Every = time.Duration(rotations) * 150 * time.Microsecond // so that the token rests between two
		rested := func() (n uint64) {
			for _, m := range held.Members {
				n += m.Protocol.Stats().Holds
			}
			return n
		}
		held.Start(len(s.Members), Faults{Delay: 10 * time.Microsecond})
		held.Until(200 * time.Millisecond)
		from, holds := held.Net.Now(), rested()
		held.For(4 * time.Second)
		if rested() < holds+50 {
			t.Errorf("the token rested %d times", rested()-holds)
		}
		held.Heal()
		held.Settle(time.Second)
		l := latencies(held.Log, from)
		p := l[len(l)*9/10]
		t.Logf("%d members, %d messages, rotation %v, median %v, p90 %v, longest %v", len(held.Members), len(l), r, l[len(l)/2], p, l[len(l)-1])
		// One hop more: the word that ends the hold.
		if len(l) < 100 || p > 2*r+r/time.Duration(len(held.Members)) {
			t.Errorf("nine in ten take up to %v, a rotation takes %v", p, r)
		}
	})
}
