package fec

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// A stream that beats like a clock is given half of its rhythm more before it counts as paused; lost
// datagrams do not make it seem slow; one long silence is soon forgotten.
func TestRhythm(t *testing.T) {
	const every, longest = 100 * time.Microsecond, 10 * time.Millisecond
	var r rhythm
	now := clock.Time(1)
	for range 500 {
		now = now.Add(every)
		r.beat(now, 1, longest)
	}
	if p := r.pause(shortestPause, longest); r.smooth > every || p < every*5/4 || p > 2*every {
		t.Errorf("smooth %v, pause %v", r.smooth, p)
	}
	was := r
	now = now.Add(9 * every)
	if r.beat(now, 9, longest); r.smooth != was.smooth && (r.smooth-was.smooth).Abs() > time.Microsecond {
		t.Errorf("eight lost datagrams took the rhythm from %v to %v", was.smooth, r.smooth)
	}
	now = now.Add(time.Minute)
	r.beat(now, 1, longest)
	for range 100 {
		now = now.Add(every)
		r.beat(now, 1, longest)
	}
	if p := r.pause(shortestPause, longest); p > 3*every {
		t.Errorf("pause %v, long after a silence", p)
	}
	if r.beat(now, 1<<63, longest); r.smooth < 0 {
		t.Error("a rhythm below zero")
	}
}

// Mended is right about interleaved blocks: a gap's block ends within its group, also after a burst of
// losses; and when the group is past without a symbol of it, nothing is waited for.
func TestMendedInterleaved(t *testing.T) {
	const k, m, depth, group = 20, 1, 8, 160
	const every = 10 * time.Microsecond
	pool := buf.NewPool(1024, 2048)
	s := newSending(rand.New(rand.NewPCG(9, 1)), k, m, depth)
	r := newReceiver(t, s.writer, pool, 512)
	lost := func(n int) bool { return n >= 2*group+20 && n < 2*group+28 || n == 2*group+155 }
	now := clock.Time(1)
	for n := range 3*group + 20 {
		now = now.Add(every)
		source, repairs := s.send(now, 100, false)
		if !lost(n) {
			r.take(now, source)
		}
		if n < 2*group { // of the last whole group no symbol comes but the last block's
			for _, b := range repairs {
				r.take(now, b)
			}
		} else if n == 3*group-1 {
			r.take(now, repairs[0])
		}
		if n == 2*group+28 {
			end := clock.Time(1).Add(every * (3*group + depth))
			if at, ok := r.d.Mended(now, 2*group+21); !ok || at <= now || at > end.Add(end.Sub(now)/4) {
				t.Errorf("after a burst: Mended says %v from now, the group ends in %v", at.Sub(now), end.Sub(now))
			}
		}
	}
	for n := uint64(1); n <= 3*group; n++ {
		if _, here := r.got[n]; here {
			continue
		}
		if at, ok := r.d.Mended(now, n); n != 2*group+156 && (!ok || at > now) {
			t.Errorf("datagram %d, of a group that is past: Mended says %v from now, %v", n, at.Sub(now), ok)
		}
	}
	r.d.Release()
	s.e.Release()
	full(t, pool, s.pool)
}
