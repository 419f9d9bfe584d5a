package cluster

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// FuzzMessages gives two members the same bytes as messages of one of them, at any phase: nothing panics, and their
// replicas stay equal.
func FuzzMessages(f *testing.F) {
	r := newRig(&testing.T{}, 2, nil)
	r.split([]int{0, 1})
	for _, n := range r.nodes {
		for _, p := range n.pending {
			f.Add(uint8(0), p)
			f.Add(uint8(200), p)
		}
	}
	f.Add(uint8(255), wire.AppendBatch(nil, 1<<61, wire.ClusterOps(nil).Append(&wire.ClusterOp{Kind: wire.OpExit}, nil)))
	f.Add(uint8(255), wire.AppendBatch(nil, 1, wire.ClusterOps(nil).Append(&wire.ClusterOp{Kind: wire.OpLock, Map: []byte("m"), Key: []byte("k"), Request: 1, Lease: 1e9}, nil)))
	f.Add(uint8(3), wire.AppendCluster(nil, wire.KindClaim, &wire.ClusterClaim{Ring: r.nodes[0].ring.id}))
	f.Fuzz(func(t *testing.T, turns uint8, payload []byte) {
		r := newRig(t, 2, func(_ int, c *Config) { c.Expected = 2 })
		r.split([]int{0, 1})
		for range int(turns) % 16 {
			r.turn()
		}
		for _, n := range r.nodes {
			r.deliver(n, len(n.ring.ordered))
		}
		r.forge(r.nodes[0].id, payload)
		r.run(10 * time.Millisecond)
		a, b := r.nodes[0].core, r.nodes[1].core
		if a.phase != b.phase {
			t.Fatalf("phases %v and %v", a.phase, b.phase)
		}
		if a.State() != nil && b.State() != nil && a.phase == Complete {
			r.same(0, 1)
		}
	})
}

// FuzzEvents has a Core take its inputs in any order, with messages of its own and of others: nothing panics, no call ends twice.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("0123456789"))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 200, 100, 50})
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) { runEvents(t, script) })
}

func runEvents(t *testing.T, script []byte) {
	r := newRig(t, 3, func(_ int, c *Config) { c.Expected = 2 })
	n := r.nodes[0]
	c := n.core
	all := ids(r.nodes)
	var sentOut [][]byte
	var ring wire.RingID
	next := func() byte {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return b
	}
	for len(script) > 0 {
		r.now = r.now.Add(time.Duration(next()) * time.Millisecond)
		sentOut = append(sentOut, n.pending...)
		n.pending = nil
		switch next() % 16 {
		case 0:
			c.Transitional(r.now, ring, all[:1+int(next())%3])
		case 1:
			r.rings++
			ring = wire.RingID{Rep: n.id, Seq: r.rings}
			n.ring = &ringSim{id: ring, members: r.nodes[:1]}
			c.Regular(r.now, ring, slices.Clone(all[:1+int(next())%3]))
		case 2, 3, 4, 5, 6: // an own message comes back, in its order
			if len(sentOut) > 0 {
				c.Deliver(r.now, &core.Delivery{From: n.id, Payload: sentOut[0], Received: r.now - clock.Time(next())})
				sentOut = sentOut[1:]
			}
		case 7: // another says the same as this member, about itself
			if len(sentOut) > 0 {
				c.Deliver(r.now, &core.Delivery{From: all[1+int(next())%2], Payload: sentOut[0], Received: r.now})
			}
		case 8:
			c.Visit(r.now, r.now-clock.Time(next())*1e6, uint64(next()))
		case 9:
			n.put("k", string(rune(next())))
		case 10:
			n.lock("l", time.Duration(1+int(next()))*time.Millisecond)
		case 11:
			n.call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("k")}})
		case 12:
			number := uint64(next())
			if _, ok := c.Cancel(r.now, number); ok && n.done[number] != nil {
				t.Fatalf("call %d is done, and under way", number)
			}
		case 13:
			n.call(&Call{Kind: CallKind(2 + next()%6), Lock: uint64(next()), Op: wire.ClusterOp{Map: []byte("m"), Key: []byte("l"), Lease: 1e9}})
		case 14:
			switch next() % 8 {
			case 0:
				c.Close(r.now, time.Second)
			case 1:
				c.Full(r.now)
			default:
				c.TransferFrom(r.now, all[1], script[:min(len(script), 20)])
			}
		case 15:
			c.Tick(r.now)
			c.Work(r.now)
		}
		c.Deadline()
		c.Flush(r.now)
		c.Status(r.now)
		c.Stats()
	}
	c.Close(r.now, 0)
	c.Flush(r.now)
	for number := uint64(1); number <= n.calls; number++ {
		if n.done[number] == nil && c.calls[number] != nil {
			t.Fatalf("call %d waits after Stop", number)
		}
	}
}
