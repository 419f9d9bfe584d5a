package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// coded makes a cluster's members send under p.
func (c *Cluster) coded(p wire.Protocol) {
	c.Member.Protocol, c.Load.Protocol = p, p
	c.Member.FEC = nack.FEC{Interleave: []int{1, 2, 8, 16}[c.Seed/3%4]}
}

// TestHybrid: what NACK promises holds under Hybrid, whichever way members are put together: one
// sender and five receivers on a rough network, slow and fast, with and without a round trip that
// blocks are quicker than.
func TestHybrid(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Every: 200 * time.Microsecond, Burst: 1 + int(s.Seed%20), Large: 0.02}
		s.coded(wire.Hybrid)
		s.Config.Guard = true
		s.Make = makers[s.Seed%3]
		f := rough
		if s.Seed%2 == 1 {
			f.Delay = time.Millisecond
		}
		s.Start(6, f)
		s.Until(100 * time.Millisecond)
		s.Settle(5 * time.Second)
		for _, m := range s.Members[1:] {
			if m.Gone != 0 {
				t.Errorf("seed %d: member %d lost %d messages", s.Seed, m.Node, m.Gone)
			}
		}
	})
}

// TestHybridUnderFaults: partitions, pauses, crashes and slow applications; then all is healed.
func TestHybridUnderFaults(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Senders: 3, Every: 300 * time.Microsecond, Burst: 4, Large: 0.02}
		s.coded(wire.Hybrid)
		s.Make = makers[s.Seed%3]
		f := rough
		f.Partition, f.Pause, f.Crash, f.Stall = 0.05, 0.05, 0.05, 0.05
		s.Start(5, f)
		s.Until(50 * time.Millisecond)
		s.Heal()
		s.Settle(3 * time.Second)
	})
}

// TestFECIsHonest: under FEC alone nothing is asked for, blocks give back most of what is lost, and
// the rest is told exactly, in its place.
func TestFECIsHonest(t *testing.T) {
	Run(t, 50, func(t *testing.T, s *Cluster) {
		s.Load = Load{Every: 50 * time.Microsecond, Burst: 4, Large: 0.02}
		s.coded(wire.FEC)
		s.Member.Window = 4 << 20 // nothing is to be told as lost for want of room
		s.Make = makers[s.Seed%3]
		s.Watch = true
		s.Start(5, rough)
		s.Until(50 * time.Millisecond)
		s.EndLoad()
		s.For(3 * time.Second) // the tail is told by a heartbeat
		lost, total := uint64(0), uint64(0)
		for i := range s.Log.Streams { // one for each lane: here one
			total += s.Log.Next(check.Stream(i)) - 1
		}
		for _, m := range s.Members[1:] {
			if m.Delivered+m.Gone != total {
				t.Errorf("seed %d: member %d: %d sent, %d delivered and %d lost", s.Seed, m.Node, total, m.Delivered, m.Gone)
			}
			lost += m.Gone
		}
		if lost == 0 || lost > total*4/10 {
			t.Errorf("seed %d: %d of %d messages were lost at four receivers", s.Seed, lost, total)
		}
		if s.watch.naks != 0 {
			t.Errorf("seed %d: %d NAKs for an FEC stream", s.Seed, s.watch.naks)
		}
	})
}
