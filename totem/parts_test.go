package totem

import (
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// part hands node 0 a part of a message of member index, as if the ring had ordered it.
func (r *rig) part(t *testing.T, index int, message uint64, offset, size int, payload []byte) {
	t.Helper()
	n := r.nodes[0]
	b := n.pool.Get()
	var w wire.DataWriter
	h := wire.Header{Cluster: 7, Transmitter: n.p.deliv.from[index].id, Stream: Stream}
	w.Begin(b.Mem(), 1400, h, 1, message)
	if !w.AddFragment("a", 0, uint32(offset), uint32(size), payload) {
		t.Fatal("a part does not fit")
	}
	off, length := w.Close()
	b.Set(off, length)
	if !n.p.hand(b, uint8(index), n.p.cur.id, 1, 0) {
		t.Fatal("refused")
	}
	b.Release()
}

// Messages that never become whole take a bounded amount of memory. When there is no more the one that
// has got no part for longest is dropped, and told as a loss in its place.
func TestPartsAreBounded(t *testing.T) {
	r := newRig(t, 6)
	r.form()
	n := r.nodes[0]
	p, parts := n.p, &n.p.deliv.parts
	size := p.cfg.MaxMessageSize
	chunk := make([]byte, 1000)
	for round := range 3 {
		message := uint64(10 * (round + 1))
		for offset := 0; offset+len(chunk) < size; offset += len(chunk) {
			for i := range 6 {
				if a := &parts.list[i]; offset > 0 && a.message != message {
					continue // dropped
				}
				r.part(t, i, message, offset, size, chunk)
			}
			held := 0
			for i := range parts.list {
				held += cap(parts.list[i].bytes)
			}
			if held != parts.held || held > AssemblyBytes(size) || parts.size > AssemblyBytes(size) {
				t.Fatalf("%d bytes are held, %d counted, %d in messages", held, parts.held, parts.size)
			}
		}
	}
	if len(n.losses) == 0 || n.losses[0].Reason != core.LossMalformed || n.losses[0].Last != 10 {
		t.Errorf("told: %+v", n.losses)
	}
	// The last message of somebody becomes whole all the same.
	for i := range 6 {
		if a := &parts.list[i]; a.message == 30 {
			before := n.count
			for offset := len(a.bytes); offset < size; offset += len(chunk) {
				r.part(t, i, 30, offset, size, chunk[:min(len(chunk), size-offset)])
			}
			if n.count != before+1 {
				t.Error("a message that is whole was not delivered")
			}
			break
		}
	}
	r.done()
}

// Payloads that wait for the token take a bounded amount of memory, and what they leave behind does too.
func TestQueueOfLargeMessagesIsBounded(t *testing.T) {
	r := newRig(t, 2)
	r.form()
	p := r.nodes[0].p
	limit := QueueBytes(p.cfg.MaxMessageSize)
	for i := range 2000 {
		size := []int{2000, 90_000, 5000, 30_000}[i/7%4]
		for p.Offer(r.now, "a", 0, make([]byte, size), false) == nil {
			held := 0
			for i := range p.send.larges {
				held += cap(p.send.larges[i].payload)
			}
			for _, m := range p.send.spare {
				held += cap(m)
			}
			if held > limit || held != p.send.bytes+p.send.idle {
				t.Fatalf("%d bytes are held, %d are counted, %d allowed", held, p.send.bytes+p.send.idle, limit)
			}
		}
		r.turn()
	}
	if !r.until(1e9, func() bool { return p.send.backlog() == 0 }) {
		t.Error("messages wait for ever")
	}
	r.done()
}

// The age of a gap: one that is longer ago than the memory lasts does not count any more.
func TestGapMeterForgets(t *testing.T) {
	var g gapMeter
	now := clock.Time(1)
	g.add(now, 1000)
	if g.longest(now+1) != 1000 {
		t.Error("a gap is not known")
	}
	if d := g.longest(now.Add(gapMemory / 2)); d != 1000 {
		t.Errorf("longest %v after half the time", d)
	}
	if d := g.longest(now.Add(2*gapMemory + 1)); d != 0 {
		t.Errorf("longest %v after more than twice the time, and no other gap", d)
	}
	g.add(now.Add(5*gapMemory), 7)
	if d := g.longest(now.Add(5 * gapMemory)); d != 7 {
		t.Errorf("longest %v, an old gap counts", d)
	}
}
