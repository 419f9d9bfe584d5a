package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// reader takes everything, and counts it by protocol.
type reader map[wire.Protocol]int

func (r reader) Ready(clock.Time) bool                            { return true }
func (r reader) Deliver(_ clock.Time, _ string, d *core.Delivery) { r[d.Stream.Protocol()]++ }
func (r reader) Lost(l *core.Loss)                                { r[0]++ }

// One member has one rate: with topics under NACK, FEC and Totem at once everything that it sends,
// control and repairs included, stays below MaxRate, and uses it up. Each protocol has its part.
func TestOneRateForAllProtocols(t *testing.T) {
	const rate = 8_000_000
	net := New(Config{Seed: 1, Link: Link{Delay: 50 * time.Microsecond, Loss: 0.01}})
	topics := []string{"ring.x", "fec.x", "plain"}
	members, readers := make([]*member.Member, 3), make([]reader, 3)
	for i := range members {
		d := net.Attach(i)
		const window = 256 << 10
		fec := nack.FEC{}
		n := nack.Buffers(window, d.Datagram(), 4, 4) + nack.FECBuffers(fec, 4) + totem.Buffers(window, d.Datagram()) + 2*engine.Batch
		table := member.NewTable()
		readers[i] = reader{}
		table.Add(">", readers[i])
		m := member.New(member.Config{ID: wire.MemberID{byte(i + 1)}, Cluster: 5, Driver: d, Pool: buf.NewPool(n, d.Datagram()+nack.Headroom), Table: table,
			Rand: rand.New(rand.NewPCG(1, uint64(i))), Protocol: wire.NACK, Lanes: 1, Window: window, MaxMessageSize: 64 << 10,
			Rules:    []member.Rule{{Pattern: "ring.>", Protocol: wire.Totem}, {Pattern: "fec.>", Protocol: wire.FEC}},
			Eviction: time.Second, MaxRate: rate, CPU: -1})
		members[i] = m
		d.Drive(m.Engine())
		defer d.Close()
	}
	payload := make([]byte, 600)
	var load func()
	load = func() { // far more than the rate
		for _, name := range topics {
			l, safe := members[0].Lane(net.Now(), name)
			for l.Offer(net.Now(), name, wire.KindRaw, payload, safe) == nil {
			}
		}
		net.After(200*time.Microsecond, load)
	}
	net.After(time.Millisecond, load)
	net.Run(clock.Time(time.Second))
	sent := func() uint64 {
		s := members[0].Engine().Stats()
		return 8 * (s.SentBytes + core.WireOverhead*s.Sent)
	}
	before, views := sent(), members[1].Totem().Stats().Views
	for _, r := range readers {
		clear(r)
	}
	net.Run(clock.Time(3 * time.Second))
	got := float64(sent()-before) / 2
	t.Logf("%.2f Mbit/s on the wire; delivered %v", got/1e6, readers[1])
	if got < 0.95*rate || got > 1.001*rate { // a burst more or less at the ends
		t.Errorf("%.2f Mbit/s on the wire, %.1f allowed", got/1e6, rate/1e6)
	}
	for _, p := range []wire.Protocol{wire.NACK, wire.FEC, wire.Totem} {
		if n := readers[1][p]; n < 300 { // 1,480 is what the rate carries at most of each
			t.Errorf("%v delivered %d messages in 2 s", p, n)
		}
	}
	if n := members[1].Totem().Stats().Views; n != views {
		t.Errorf("the ring formed %d times anew", n-views)
	}
}
