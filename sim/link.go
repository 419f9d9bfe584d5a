package sim

import (
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Link is what happens to a datagram on its way from one node to another. Its zero value
// carries everything at once, in order.
type Link struct {
	Loss      float64       // chance that a copy is lost, each on its own
	Burst     Burst         // loss that comes in bursts, on top of Loss
	Duplicate float64       // chance that a copy arrives twice
	Reorder   float64       // chance that a copy is held back and overtaken by later ones
	ReorderBy time.Duration // the longest that one is held back; zero means ten times Delay
	Delay     time.Duration // the least time on the way
	Jitter    time.Duration // at most this is added, evenly drawn; order is kept

	MTU      int  // bytes of an IP packet: a longer one is lost without a word; zero means no limit
	NoGroup  bool // multicast is lost
	NoDirect bool // unicast is lost
}

// Burst is the model of Gilbert and Elliott: a link is good or bad, and may change with each
// datagram. In the bad state it loses datagrams with chance Loss. Its zero value never does.
type Burst struct {
	Enter float64 // chance, with each datagram, that a good link turns bad
	Leave float64 // chance, with each datagram, that a bad link turns good
	Loss  float64 // chance that a datagram is lost while the link is bad
}

// way is the state of one directed link.
type way struct {
	last clock.Time // when the last datagram that kept its place arrives
	bad  bool       // Burst's state
}

// chance is true with probability p. It draws nothing when there is nothing to decide, so
// that a fault which is switched off does not shift the draws of the others.
func chance(rng *rand.Rand, p float64) bool { return p > 0 && rng.Float64() < p }

// between draws a duration from 0 to d.
func between(rng *rand.Rand, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(d) + 1))
}

// loses decides whether one datagram is lost.
func (l *Link) loses(rng *rand.Rand, w *way) bool {
	lost := chance(rng, l.Loss)
	if l.Burst.Enter > 0 || w.bad {
		if w.bad {
			w.bad = !chance(rng, l.Burst.Leave)
		} else {
			w.bad = chance(rng, l.Burst.Enter)
		}
		if w.bad && chance(rng, l.Burst.Loss) {
			lost = true
		}
	}
	return lost
}

// arrival decides when a datagram that leaves at depart arrives, and whether it loses its place.
func (l *Link) arrival(rng *rand.Rand, w *way, depart clock.Time) (at clock.Time, held bool) {
	at = depart.Add(l.Delay + between(rng, l.Jitter))
	if chance(rng, l.Reorder) {
		by := l.ReorderBy
		if by == 0 {
			by = 10 * l.Delay
		}
		return at.Add(between(rng, by)), true
	}
	at = max(at, w.last)
	w.last = at
	return at, false
}
