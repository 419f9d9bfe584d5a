package fanin

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Branch is one engine's part of a member with several engines. It implements engine.Protocol in
// place of the core that it holds.
//
// A transmitter's streams belong to the engine that receives from it first (owners). Its datagrams
// go on arriving there, since a card chooses the queue by addresses. What arrives elsewhere is
// copied into the transfer ring of the engine that it is for:
//
//   - Data, Heartbeat, Start, Repair, and a sender's Leave: the owner of the transmitter,
//   - Nak and SymbolNak: engine 0 for our own streams, else the owner of the origin, which lets the
//     other receiver's request stand for its own,
//   - Status: engine 0, if it is about our streams,
//   - Leave: engine 0 besides, since a member that leaves is no receiver any more,
//   - everything of the rings and of groups: engine 0.
//
// The core's Predicted needs no rule. It takes only what follows in a stream that the core has, and
// that makes this engine the owner.
//
// A full transfer ring drops, as a socket buffer does: repair brings the datagram again.
type Branch struct {
	*nack.Protocol
	number int // of the engine
	self   wire.MemberID
	owners *owners
	all    []*Branch // by engine
	totem  Stepper   // engine 0's; nil: no topic is sent under Totem
	group  Stepper   // engine 0's; nil: the member is in no group

	cluster Stepper // engine 0's; nil: the member is in no cluster
	notify  func()  // wakes the engine

	last  wire.MemberID   // the last transmitter that this engine owns; self: none
	owned []wire.MemberID // all of them

	checked int        // owned[checked] is checked next
	checkAt clock.Time // when

	transfer *ring.Bytes // what other engines have received for this one
	frame    wire.Datagram
	lent     buf.Buf // where frame lies in transfer
	stats    Stats
}

// Stepper is the part of a core that a Branch calls: that of a ring, or of a group.
type Stepper interface {
	Step(now clock.Time, d *wire.Datagram, r buf.Received) error
}

// Stats counts what passed between one of several engines and the others.
type Stats struct {
	Forwarded uint64 // datagrams copied to another engine's transfer ring
	InboxFull uint64 // datagrams that were not copied, since the other engine's transfer ring was full
	Taken     uint64 // datagrams taken from the engine's own transfer ring
	Stray     uint64 // frames for no engine: the transmitter is not known yet, or has just changed its engine
}

const (
	// TransferBytes is the size of each engine's transfer ring: some 700 datagrams of full length.
	TransferBytes = 1 << 20
	// maxEngines is the number of engines that a set in one word can name.
	maxEngines = 64
	// takeMax bounds the datagrams that one Take steps.
	takeMax = 256
	// Every checkEvery an engine checks, for at most checkMax of its transmitters, whether its core
	// still receives from them.
	checkEvery = 250 * time.Millisecond
	checkMax   = 64
)

// New returns the branches of a member's engines: the Branch of engine i is in front of cores[i].
// Each core receives streams streams at most. Each Branch is to be connected before its engine turns.
func New(self wire.MemberID, cores []*nack.Protocol, streams int) []*Branch {
	if len(cores) > maxEngines {
		panic("fanin: too many engines")
	}
	owners := newOwners(len(cores), streams)
	all := make([]*Branch, len(cores))
	for i, core := range cores {
		all[i] = &Branch{Protocol: core, number: i, self: self, owners: owners, all: all, last: self, transfer: ring.NewBytes(TransferBytes)}
	}
	return all
}

// Connect sets the function that wakes the Branch's engine and, at engine 0, the cores of the ring, of
// the group and of the cluster's ring; nil: there is none.
func (b *Branch) Connect(notify func(), totem, group, cluster Stepper) {
	b.notify, b.totem, b.group, b.cluster = notify, totem, group, cluster
}

// Stats returns the counters. It belongs to the engine's thread.
func (b *Branch) Stats() Stats {
	if b == nil {
		return Stats{}
	}
	return b.stats
}

// Step implements engine.Protocol.
func (b *Branch) Step(now clock.Time, d *wire.Datagram, r buf.Received) error {
	if d.Transmitter == b.last && ofTransmitter(d) {
		// The usual case. It needs no look at the table: no other engine takes an entry of this
		// engine away.
		return b.Protocol.Step(now, d, r)
	}
	return b.route(now, d, r, true)
}

// ofTransmitter reports whether all frames are about the transmitter's own stream, and so for its
// owner alone.
func ofTransmitter(d *wire.Datagram) bool {
	if ofFirst(d) {
		return false
	}
	frames := d.Frames()
	for i := range frames {
		switch frames[i].Kind {
		case wire.FrameData, wire.FrameHeartbeat, wire.FrameStart, wire.FrameRepair:
		default:
			return false
		}
	}
	return true
}

// ofFirst reports whether a datagram is for the first engine, whatever is in it.
func ofFirst(d *wire.Datagram) bool {
	q := d.Stream.Protocol()
	return q == wire.Totem || q == wire.Group || q == wire.ClusterRing
}

// route steps the frames that are for this engine, and forwards the datagram to the engines that
// other frames are for. Those engines route it again, with pass false: a datagram is forwarded once.
func (b *Branch) route(now clock.Time, d *wire.Datagram, r buf.Received, pass bool) error {
	if ofFirst(d) {
		core := b.totem
		switch d.Stream.Protocol() {
		case wire.Group:
			core = b.group
		case wire.ClusterRing:
			core = b.cluster
		}
		switch {
		case b.number != 0:
			b.forward(0, r)
		case core != nil:
			return core.Step(now, d, r)
		}
		return nil
	}
	me, to, here := uint64(1)<<b.number, uint64(0), false
	frames := d.Frames()
	for i := range frames {
		f := &frames[i]
		t := b.engines(now, d, f, r)
		if to |= t; t&me == 0 {
			f.Kind = 0 // which no core takes
		} else {
			here = true
		}
	}
	if others := to &^ me; pass {
		for ; others != 0; others &= others - 1 {
			b.forward(bits.TrailingZeros64(others), r)
		}
	} else if others != 0 && !here {
		b.stats.Stray++ // its owner has changed since
	}
	if !here {
		return nil
	}
	return b.Protocol.Step(now, d, r)
}

// engines returns the set of engines that a frame is for.
func (b *Branch) engines(now clock.Time, d *wire.Datagram, f *wire.Frame, r buf.Received) uint64 {
	switch f.Kind {
	case wire.FrameData, wire.FrameHeartbeat, wire.FrameStart, wire.FrameRepair:
		if owner, ok := b.owner(now, d.Transmitter, r.Group); ok {
			return 1 << owner
		}
		if b.stats.Stray++; r.Group {
			b.Refuse(now, d, r.From) // the table is full
		}
	case wire.FrameLeave:
		to := uint64(1)
		if owner, ok := b.owners.of(d.Transmitter); ok && f.Leave().HasLast {
			to |= 1 << owner
		}
		return to
	case wire.FrameNak:
		n := f.Nak()
		return b.asked(n.Origin)
	case wire.FrameSymbolNak:
		n := f.SymbolNak()
		return b.asked(n.Origin)
	case wire.FrameStatus:
		if st := f.Status(); st.Origin == b.self {
			return 1
		}
	}
	return 0
}

// asked returns the set of engines that a request for what origin sent is for.
func (b *Branch) asked(origin wire.MemberID) uint64 {
	if origin == b.self {
		return 1
	}
	if owner, ok := b.owners.of(origin); ok {
		return 1 << owner
	}
	return 0
}

// owner returns the engine that has a transmitter's streams. A new transmitter becomes this engine's
// with a datagram to the group. A datagram to this member alone may come in another queue than the
// rest, so it makes no engine an owner.
func (b *Branch) owner(now clock.Time, m wire.MemberID, group bool) (engine int, ok bool) {
	if engine, ok = b.owners.of(m); !ok && group {
		if engine, ok = b.owners.claim(m, b.number); ok && engine == b.number {
			if len(b.owned) == 0 {
				b.checkAt = now.Add(checkEvery)
			}
			b.owned = append(b.owned, m)
		}
	}
	if ok && engine == b.number {
		b.last = m
	}
	return engine, ok
}

// forward copies a datagram into another engine's transfer ring.
func (b *Branch) forward(to int, r buf.Received) {
	other, datagram := b.all[to], r.Buf.Bytes()
	rec, ok := other.transfer.Claim(8 + len(datagram))
	if !ok {
		b.stats.InboxFull++
		return
	}
	word := uint64(0)
	if r.Group {
		word = 1
	}
	rec.SetWord(word)
	room := rec.Bytes()
	binary.LittleEndian.PutUint64(room, uint64(r.From))
	copy(room[8:], datagram)
	rec.Commit()
	b.stats.Forwarded++
	other.notify()
}

// Take steps what other engines have forwarded, a bounded number of datagrams a call.
func (b *Branch) Take(now clock.Time) (n int) {
	if b == nil {
		return 0
	}
	for n < takeMax {
		word, rec, ok := b.transfer.Peek()
		if !ok {
			return n
		}
		from, datagram := buf.Endpoint(binary.LittleEndian.Uint64(rec)), rec[8:]
		b.lent.Lend(datagram)
		if wire.DecodeAgain(datagram, &b.frame) == nil { // it was decoded before it was forwarded
			_ = b.route(now, &b.frame, buf.Received{Buf: &b.lent, From: from, Group: word == 1}, false) // which counts what it refuses
		}
		b.transfer.Advance()
		b.stats.Taken++
		n++
	}
	b.transfer.Flush()
	return n
}

// Waiting reports whether Take has something to do. Like Take it accepts nil, the Branch of a member
// with one engine.
func (b *Branch) Waiting() bool { return b != nil && !b.transfer.Empty() }

// Deadline implements engine.Protocol.
func (b *Branch) Deadline() (at clock.Time, ok bool) {
	at, ok = b.Protocol.Deadline()
	return clock.Earlier(at, ok, b.checkAt, len(b.owned) > 0)
}

// Tick implements engine.Protocol.
func (b *Branch) Tick(now clock.Time) {
	b.Protocol.Tick(now)
	if len(b.owned) > 0 && now >= b.checkAt {
		b.check()
		b.checkAt = now.Add(checkEvery)
	}
}

// check gives up transmitters that the core has forgotten.
func (b *Branch) check() {
	var gone []wire.MemberID
	for range min(checkMax, len(b.owned)) {
		if b.checked >= len(b.owned) {
			b.checked = 0
		}
		m := b.owned[b.checked]
		if b.Hears(m) {
			b.checked++
			continue
		}
		gone = append(gone, m)
		last := len(b.owned) - 1
		b.owned[b.checked] = b.owned[last]
		b.owned = b.owned[:last]
		if b.last == m {
			b.last = b.self
		}
	}
	if gone != nil {
		b.owners.release(gone)
	}
}
