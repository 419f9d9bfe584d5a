package sim

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/totem"
)

// stranger is on the network of a ring: it records what it hears, and sends what it recorded again,
// whole or damaged.
type stranger struct {
	s      *RingCluster
	d      *Driver
	rng    *rand.Rand
	kept   [][]byte // some of all that was sent, and so also from rings that are gone
	seen   int
	whole  int // sent again as they were
	broken int
}

func newStranger(s *RingCluster) *stranger {
	a := &stranger{s: s, rng: rand.New(rand.NewPCG(s.Seed, 0x7374))}
	a.d = s.Net.Attach(99)
	a.d.Pause()
	s.Net.SetTap(func(f *Flight) bool {
		if f.From == 99 {
			return f.To != 99
		}
		if f.To == 99 {
			return false
		}
		if a.seen++; len(a.kept) < 2000 {
			a.kept = append(a.kept, bytes.Clone(f.Bytes))
		} else if i := a.rng.IntN(a.seen); i < len(a.kept) {
			a.kept[i] = bytes.Clone(f.Bytes)
		}
		return true
	})
	return a
}

// every sends something d apart on average, until the faults have been healed.
func (a *stranger) every(d time.Duration) {
	var next func()
	wait := func() { a.s.Net.After(time.Duration(a.rng.ExpFloat64()*float64(d)), next) }
	next = func() {
		if a.s.Log.Healed == 0 {
			a.send()
			wait()
		}
	}
	wait()
}

func (a *stranger) send() {
	if len(a.kept) == 0 {
		return
	}
	b := bytes.Clone(a.kept[a.rng.IntN(len(a.kept))])
	switch a.rng.IntN(3) {
	case 0:
		a.whole++
	case 1: // a few bits are wrong
		a.broken++
		for range 1 + a.rng.IntN(3) {
			b[a.rng.IntN(len(b))] ^= 1 << a.rng.IntN(8)
		}
	case 2:
		a.broken++
		b = b[:a.rng.IntN(len(b))]
	}
	to := buf.Group
	if m := a.s.Members[a.rng.IntN(len(a.s.Members))]; m.Alive() && a.rng.IntN(2) == 0 {
		to = m.Driver.Local()
	}
	a.d.Inject(to, b)
}

// Tokens, Joins, commit tokens and data that were recorded on the network, in this ring and in rings
// that are gone, come again from a stranger's address, whole and damaged: no ring is formed for them, and
// nothing is delivered twice or out of order.
func TestRingRecorded(t *testing.T) {
	RunRings(t, 50, func(t *testing.T, s *RingCluster) {
		s.Load = RingLoad{Every: time.Millisecond, Safe: 0.3, Large: 0.02}
		s.Start(4, Faults{Delay: 30 * time.Microsecond})
		a := newStranger(s)
		s.Until(100 * time.Millisecond)
		s.Crash(1) // the stranger knows its Joins and its ring
		s.For(300 * time.Millisecond)
		s.Restart(1)
		s.For(300 * time.Millisecond)
		before := s.Log.Rings()
		if !s.OneRing() {
			t.Fatalf("no ring%s", s.Describe())
		}
		a.every(200 * time.Microsecond)
		s.For(time.Second)
		if n := s.Log.Rings() - before; n > 12 { // the dead cannot be told from strangers, but are held down
			t.Errorf("%d rings were formed for %d recorded datagrams%s", n, a.whole, s.Describe())
		}
		if a.whole < 500 || a.broken < 500 {
			t.Errorf("only %d recorded and %d damaged datagrams", a.whole, a.broken)
		}
		s.Heal()
		s.Settle(time.Second)
	})
}

// The same while everything else goes wrong as well.
func TestRingRecordedAndFaults(t *testing.T) {
	RunRings(t, 100, func(t *testing.T, s *RingCluster) {
		n, f := swarm(s)
		s.Profile = totem.Tuned()
		s.Rare.Deaf, s.Rare.Narrow = 0, 0 // they use the tap
		f.Partition, f.Crash = max(f.Partition, 0.001), max(f.Crash, 0.001)
		s.Start(n, f)
		newStranger(s).every(time.Millisecond)
		s.Until(3 * time.Second)
		s.Heal()
		s.Settle(2 * time.Second)
	})
}
