package core

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

const frame = 1000 // bytes of UDP payload of the tests' datagrams

// sendFor sends data whenever the Pacer is ready, and control as told, and returns the bits on the wire.
func sendFor(p *Pacer, now clock.Time, d time.Duration, control func(now clock.Time) (datagrams int)) (bits int) {
	for end := now.Add(d); now < end; now += 1000 {
		for range control(now) {
			p.Spend(now, frame)
			bits += (frame + WireOverhead) * 8
		}
		for p.Ready(now) {
			p.Spend(now, frame)
			bits += (frame + WireOverhead) * 8
		}
	}
	return bits
}

func none(clock.Time) int { return 0 }

func TestPacerHoldsItsRate(t *testing.T) {
	p := NewPacer(1_000_000_000, 1472)
	sendFor(p, 1, time.Millisecond, none) // the burst
	if bits := sendFor(p, 1_000_001, 100*time.Millisecond, none); bits < 99_900_000 || bits > 100_100_000 {
		t.Errorf("%d bits in 100 ms of 1 Gbit/s", bits)
	}
}

// Control never waits; data gives way to it, and the sum stays the same.
func TestPacerControlIsCharged(t *testing.T) {
	p := NewPacer(1_000_000_000, 1472)
	sendFor(p, 1, time.Millisecond, none)
	control := 0
	bits := sendFor(p, 1_000_001, 100*time.Millisecond, func(now clock.Time) int {
		if now%20_000 == 1 { // 0.4 of the rate
			control++
			return 1
		}
		return 0
	})
	if control != 5000 || bits < 99_900_000 || bits > 100_100_000 {
		t.Errorf("%d bits in 100 ms of 1 Gbit/s, %d datagrams of control among them", bits, control)
	}
}

func TestPacerBranchIsCharged(t *testing.T) {
	p := NewPacer(1_000_000_000, 1472)
	b := p.Branch(new(atomic.Int64))
	sendFor(p, 1, time.Millisecond, none)
	bits := sendFor(p, 1_000_001, 100*time.Millisecond, func(now clock.Time) int {
		if now%20_000 == 1 {
			if !b.Ready(now) {
				t.Fatal("control waits")
			}
			b.Spend(now, frame)
		}
		return 0
	}) + 5000*(frame+WireOverhead)*8
	if bits < 99_900_000 || bits > 100_100_000 {
		t.Errorf("%d bits in 100 ms of 1 Gbit/s", bits)
	}
}

// Most foretells how often Ready will be true in a row.
func TestPacerMost(t *testing.T) {
	p := NewPacer(100_000_000, 1472)
	now := clock.Time(1)
	for range 50 {
		want := p.Most(now, 0, frame, 1000)
		got := 0
		for p.Ready(now) {
			p.Spend(now, frame)
			got++
		}
		if got != want {
			t.Fatalf("%d were ready, %d foretold", got, want)
		}
		if p.Most(now, 0, frame, 1000) != 0 || p.Most(now, 10*time.Millisecond, frame, 1000) < 100 || p.Most(now, time.Second, frame, 1000) != 1000 {
			t.Fatal("Most does not count with the wait, or the limit")
		}
		if at := p.At(); at <= now || p.Ready(at-1000) || !p.Ready(at) {
			t.Fatal("At is not when it becomes ready")
		}
		now += 313_000
	}
}

func TestNoPacerIsNoBound(t *testing.T) {
	p := NewPacer(0, 1472)
	p.Spend(1, 1e9)
	if p != nil || !p.Ready(1) || p.Branch(nil) != nil || p.Most(1, 0, frame, 7) != 7 || p.At() != 0 {
		t.Error("no rate is no bound")
	}
}
