package totem

import (
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// assembly is one message in parts, of one member of the ring.
type assembly struct {
	message uint64 // 0: none
	size    int
	bytes   []byte // the memory stays for the next message, until another needs it
	grown   uint64 // when the last part came, counted in parts
}

// assemblies are the messages of a ring that are being put together. All of them together have a size of
// at most limit. The order of delivery leaves no choice but to go on: when a message begins that does not
// fit, the one that has got no part for longest is dropped, and told as a loss. All members see the same
// parts in the same order, so members with the same MaxMessageSize drop the same message.
type assemblies struct {
	list  [MaxMembers]assembly
	limit int
	size  int // of the messages that have begun
	held  int // bytes of memory, never more than limit
	ages  uint64
}

// AssemblyBytes is how many bytes a Protocol takes to put messages together. A member sends one message in
// parts after the other, so this is enough for four members with messages of the largest size at once.
func AssemblyBytes(maxMessageSize int) int { return 4 * maxMessageSize }

// beginParts makes a the message that m is the first part of.
func (p *Protocol) beginParts(a *assembly, m *wire.Data) {
	t := &p.deliv.parts
	size := int(m.Size)
	for t.size+size > t.limit {
		p.dropParts(t.eldest())
	}
	t.size += size
	a.message, a.size = m.FirstMessage, size
	if cap(a.bytes) >= size {
		a.bytes = a.bytes[:0]
		return
	}
	t.forget(a)
	for i := range t.list { // first the memory that is idle, then what is more than a message needs
		if x := &t.list[i]; t.held+size > t.limit && x.message == 0 {
			t.forget(x)
		}
	}
	for i := range t.list {
		if x := &t.list[i]; t.held+size > t.limit && cap(x.bytes) > x.size {
			t.held -= cap(x.bytes) - x.size
			x.bytes = append(make([]byte, 0, x.size), x.bytes...)
		}
	}
	a.bytes = make([]byte, 0, size)
	t.held += size
}

// eldest returns the message that has got no part for longest.
func (t *assemblies) eldest() (e *assembly) {
	for i := range t.list {
		if x := &t.list[i]; x.message != 0 && (e == nil || x.grown < e.grown) {
			e = x
		}
	}
	return e
}

// end notes that a has no message any more.
func (t *assemblies) end(a *assembly) {
	if a.message != 0 {
		a.message = 0
		t.size -= a.size
	}
}

// forget gives up the memory of a.
func (t *assemblies) forget(a *assembly) {
	t.held -= cap(a.bytes)
	a.bytes = nil
}

// dropParts gives up a message that is not whole, and reports it lost.
func (p *Protocol) dropParts(a *assembly) {
	d := &p.deliv
	message := a.message
	d.parts.end(a)
	p.stats.PartsDropped++
	for i := range d.parts.list {
		if o := d.from[i]; a == &d.parts.list[i] && o != nil && message >= o.next {
			first := max(o.next, 1)
			if o.next == 0 {
				first = message
			}
			p.stats.Lost += message + 1 - first
			o.next = message + 1
			d.loss = core.Loss{From: o.id, Stream: p.cfg.Stream, First: first, Last: message, Reason: core.LossMalformed}
			p.cfg.Sink.Lost(&d.loss)
		}
	}
}
