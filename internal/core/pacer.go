package core

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Pacer bounds the rate at which one member sends. All protocols of the member spend from it. It
// works by virtual scheduling (the GCRA of ITU-T I.371): due is the time at which everything that was
// sent would have left at the exact rate.
//
// Data, repairs and parity wait until Ready. Control datagrams are spent like all others and never
// wait. They move due into the future, and so data gives way to them.
//
// A nil Pacer sets no bound. A Pacer belongs to one thread; see Branch for the others.
type Pacer struct {
	perByte float64 // ns
	burst   time.Duration
	due     clock.Time
	branch  Counter // bytes that branches have sent since the last look; nil: there are none
	root    bool
}

// Counter is a number that several threads share, as *atomic.Int64 is. Cores use no atomics themselves.
type Counter interface {
	Add(delta int64) int64
	Load() int64
	Swap(value int64) int64
}

const (
	// WireOverhead is the bytes of Ethernet, IPv4 and UDP headers that each datagram counts with.
	WireOverhead = 42
	// paceBurst is how far ahead of the exact rate a burst may run. Two full datagrams may always.
	paceBurst = 500 * time.Microsecond
)

// NewPacer returns a Pacer for a rate in bits per second on the wire. datagram is the largest UDP
// payload in bytes. For a rate of zero it returns nil: no bound.
func NewPacer(bitsPerSecond int64, datagram int) *Pacer {
	if bitsPerSecond <= 0 {
		return nil
	}
	perByte := 8e9 / float64(bitsPerSecond)
	return &Pacer{perByte: perByte, burst: max(paceBurst, time.Duration(2*perByte*float64(datagram+WireOverhead))), root: true}
}

// Branch returns a Pacer for another thread of the same member, before p is used. That thread sends
// control datagrams only, so a branch is always Ready. What it spends is charged to p through spent;
// all branches of p are given the same.
func (p *Pacer) Branch(spent Counter) *Pacer {
	if p == nil {
		return nil
	}
	p.branch = spent
	return &Pacer{branch: spent}
}

// Ready reports whether data may be sent now.
func (p *Pacer) Ready(now clock.Time) bool {
	if p == nil || !p.root {
		return true
	}
	p.collect(now)
	return p.due.Sub(now) <= p.burst
}

// Spend charges one datagram of n bytes of UDP payload.
func (p *Pacer) Spend(now clock.Time, n int) {
	switch {
	case p == nil:
	case p.root:
		p.charge(now, n+WireOverhead)
	default:
		p.branch.Add(int64(n + WireOverhead))
	}
}

// At returns the time at which Ready becomes true if nothing is spent before.
func (p *Pacer) At() clock.Time {
	if p == nil {
		return 0
	}
	return p.due.Add(-p.burst)
}

// Most returns how many datagrams of n bytes would be ready in a row if each were sent at the latest
// at now+wait. It is at most limit.
func (p *Pacer) Most(now clock.Time, wait time.Duration, n, limit int) int {
	if p == nil || !p.root {
		return limit
	}
	p.collect(now)
	left := p.burst + wait - max(p.due.Sub(now), 0)
	if left < 0 {
		return 0
	}
	return int(min(float64(left)/(p.perByte*float64(n+WireOverhead)), float64(limit-1))) + 1
}

func (p *Pacer) charge(now clock.Time, n int) {
	p.due = max(p.due, now) + clock.Time(p.perByte*float64(n))
}

// collect charges what the branches have sent.
func (p *Pacer) collect(now clock.Time) {
	if p.branch != nil && p.branch.Load() != 0 {
		p.charge(now, int(p.branch.Swap(0)))
	}
}
