package sim

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// pairForger writes frames of pairs in the names of members, near to what these send.
type pairForger struct {
	c   *GroupCluster
	rng *rand.Rand
}

func (f *pairForger) near(n uint64) uint64 {
	switch f.rng.IntN(20) {
	case 0:
		return math.MaxUint64 - f.rng.Uint64N(3)
	case 1:
		return f.rng.Uint64()
	case 2:
		return n + f.rng.Uint64N(1<<21)
	}
	return 1 + f.rng.Uint64N(n+2)
}

// datagram is one in the name of from, for to.
func (f *pairForger) datagram(from, to *GroupMember) []byte {
	head := wire.Header{Cluster: wire.ClusterHash("sim"), Transmitter: from.id, Incarnation: from.Protocol.Incarnation(), Stream: group.Stream}
	channel := wire.Channel(f.rng.IntN(3))
	session := uint32(f.near(3))
	if f.rng.IntN(2) == 0 {
		a := wire.PairAck{To: to.id, Session: session, Channel: channel, Dead: f.rng.IntN(10) == 0, Next: f.near(200), Held: f.near(1000),
			Taken: f.near(200), Limit: f.near(300), Delay: uint32(f.near(1000))}
		for item := range uint64(f.rng.IntN(3)) {
			a.Refused = a.Refused.Append(wire.Refusal{Item: 1 + item*7, Reason: wire.RefusalReason(1 + f.rng.IntN(6))})
		}
		b := wire.AppendPairAck(wire.AppendHeader(nil, head), &a)
		wire.Seal(b)
		return b
	}
	p := wire.Pair{To: to.id, Session: session, ToIncarnation: uint32(f.rng.IntN(2)), Channel: channel, AckAtOnce: true,
		Number: f.near(200), Oldest: f.near(200), Known: f.near(200), FirstItem: f.near(200)}
	var w wire.PairWriter
	mem := make([]byte, 2048)
	w.Begin(mem, 1400)
	for range 1 + f.rng.IntN(3) {
		payload := make([]byte, 16+f.rng.IntN(100))
		binary.LittleEndian.PutUint64(payload, 1<<40)
		i := wire.Item{Kind: wire.ItemKind(1 + f.rng.IntN(12)), Call: f.near(200), Attempt: uint32(f.near(2)), Result: wire.Result(f.rng.IntN(5)), Payload: payload}
		if i.Kind.Named() {
			i.Name = []byte([]string{groupInbox, groupQueues[0], groupQueues[1], "none"}[f.rng.IntN(4)])
		}
		if f.rng.IntN(4) == 0 {
			i.Fragment, i.Offset, i.Size = true, uint32(f.rng.IntN(2)*f.rng.IntN(1000)), uint32(f.near(5000))
		}
		w.Add(&i)
	}
	off, n := w.Close(head, &p)
	b := append([]byte(nil), mem[off:][:n]...)
	wire.Seal(b)
	return b
}

// TestGroupPairsHostile: GM-6. A host sends frames of pairs in the names of members that call each other. Buffers
// and calls keep to their bounds, and afterwards all reach each other. What was called meanwhile may be spoilt:
// nothing tells a forgery that fits from what it imitates.
func TestGroupPairsHostile(t *testing.T) {
	RunGroups(t, 100, func(t *testing.T, s *GroupCluster) {
		x := AddPairs(s, 2*time.Millisecond)
		x.Buffers = 256
		s.Start(4, Link{Delay: 20 * time.Microsecond})
		s.For(150 * time.Millisecond)
		f := &pairForger{c: s, rng: rand.New(rand.NewPCG(s.Seed, 0xBADBAD))}
		d := s.Net.Attach(len(s.Members))
		end := s.Net.Now().Add(time.Second)
		var flood func()
		flood = func() {
			if s.Net.Now() >= end {
				return
			}
			from, to := s.Members[f.rng.IntN(4)], s.Members[f.rng.IntN(4)]
			if b := f.datagram(from, to); from != to && len(b) <= d.Datagram() {
				d.Inject(to.Driver.Local(), b)
			}
			for _, m := range s.Members {
				if held := m.Protocol.PairBuffersHeld(); held > x.Buffers {
					t.Fatalf("node %d: pairs hold %d buffers of %d", m.Node, held, x.Buffers)
				}
			}
			s.Net.After(time.Duration(f.rng.ExpFloat64()*float64(200*time.Microsecond)), flood)
		}
		flood()
		s.For(time.Second)
		d.Close()
		s.Forged = true
		s.For(200 * time.Millisecond)
		x.Stop()
		s.For(2 * time.Second)
		for _, a := range x.callers {
			for _, b := range x.callers {
				if a != b && !x.reaches(a, b) {
					t.Errorf("seed %d: node %d reaches node %d no more: %+v", s.Seed, a.m.Node, b.m.Node, a.p.Stats().PairStats)
				}
			}
		}
		s.Heal()
		s.Settle()
	})
}

// reaches reports whether one of a few requests is answered.
func (x *GroupPairs) reaches(a, b *groupCaller) bool {
	for range 6 {
		payload := make([]byte, 16)
		call := a.begin(b.m.id, payload)
		number := a.number
		binary.LittleEndian.PutUint64(payload, number)
		from := len(x.Log.Records)
		a.p.Request(x.c.Net.Now(), call)
		a.m.Driver.Wake()
		x.c.For(400 * time.Millisecond)
		for _, r := range x.Log.Records[from:] {
			if r.Kind == check.PairAnswered && r.Proc == a.proc && r.Number == number {
				return true
			}
		}
	}
	return false
}
