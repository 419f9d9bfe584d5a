package member

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// shard is what one of a member's several engines runs: a core of its own, and in front of it the
// rule which engine a frame is for. A member with one engine has none.
//
// The first engine sends, runs the ring and hears itself. The others only receive. A transmitter's
// streams belong to the engine that hears it first (owners), and that is where its datagrams go on
// arriving, since a card chooses the queue by addresses. What arrives elsewhere is copied into the
// inbox of the engine that it is for:
//
//   - Data, Heartbeat, Start, Repair, and a sender's Leave: the owner of the transmitter,
//   - Nak and SymbolNak: the first engine for our own streams, else the owner of the origin, which
//     lets the other receiver's request stand for its own,
//   - Status: the first engine, if it speaks of our streams,
//   - Leave: the first engine besides, since who leaves is no receiver any more,
//   - everything of Totem: the first engine.
//
// The core's Predicted needs no rule: it takes only what follows in a stream that it has, and that
// makes this engine the owner.
//
// An inbox that is full drops, as a socket buffer does: repair will bring it.
type shard struct {
	*nack.Protocol
	me     int // number of the engine
	self   wire.MemberID
	engine *engine.Engine
	view   *view
	owners *owners
	all    []*shard        // by engine
	totem  engine.Protocol // the first engine's; nil: no topic is sent under Totem

	mine wire.MemberID   // the last transmitter that is this engine's; self: none
	own  []wire.MemberID // all of them

	looked int        // own[looked] is looked at next
	lookAt clock.Time // when

	inbox *ring.Bytes
	frame wire.Datagram // of the inbox
	lent  buf.Buf       // where it lies
	stats ShardStats
}

// ShardStats counts what one of several engines had to do with the others.
type ShardStats struct {
	Forwarded uint64 // datagrams copied to another engine's inbox
	InboxFull uint64 // of what was to be forwarded: dropped, since the other engine is behind
	Taken     uint64 // datagrams taken from the own inbox
	Stray     uint64 // frames that are no engine's: a transmitter that is not known yet, or has just changed its engine
}

const (
	// inboxBytes is the size of an inbox: some 700 datagrams of full length.
	inboxBytes = 1 << 20
	// maxEngines is how many a set of engines in one word can name.
	maxEngines = 64
	// lookEvery and lookMost say how often, and at how many of its transmitters, an engine looks
	// whether they are still known.
	lookEvery = 250 * time.Millisecond
	lookMost  = 64
)

// ShardBytes is what each of several engines takes for its inbox.
const ShardBytes = inboxBytes

// Step implements engine.Protocol.
func (s *shard) Step(now clock.Time, d *wire.Datagram, r buf.Received) error {
	if d.Transmitter == s.mine && ofTransmitter(d) {
		// The usual case. Nobody else takes an entry of this engine away, so that no look at the
		// table is needed.
		return s.Protocol.Step(now, d, r)
	}
	return s.route(now, d, r, true)
}

// ofTransmitter tells that all frames speak of the transmitter's own stream, and are for its owner
// alone.
func ofTransmitter(d *wire.Datagram) bool {
	if d.Stream.Protocol() == wire.Totem {
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

// route steps the frames that are for this engine, and passes the datagram on to the engines that
// other frames are for. Those look for themselves which are theirs: what has been passed on once
// (pass is false) is not passed on again.
func (s *shard) route(now clock.Time, d *wire.Datagram, r buf.Received, pass bool) error {
	if d.Stream.Protocol() == wire.Totem {
		switch {
		case s.me != 0:
			s.forward(0, r)
		case s.totem != nil:
			return s.totem.Step(now, d, r)
		}
		return nil
	}
	me, to, here := uint64(1)<<s.me, uint64(0), false
	frames := d.Frames()
	for i := range frames {
		f := &frames[i]
		t := s.engines(now, d, f, r.Group)
		if to |= t; t&me == 0 {
			f.Kind = 0 // which no core knows
		} else {
			here = true
		}
	}
	if others := to &^ me; pass {
		for ; others != 0; others &= others - 1 {
			s.forward(bits.TrailingZeros64(others), r)
		}
	} else if others != 0 && !here {
		s.stats.Stray++ // its owner has changed since
	}
	if !here {
		return nil
	}
	return s.Protocol.Step(now, d, r)
}

// engines is the set of engines that a frame is for.
func (s *shard) engines(now clock.Time, d *wire.Datagram, f *wire.Frame, group bool) uint64 {
	switch f.Kind {
	case wire.FrameData, wire.FrameHeartbeat, wire.FrameStart, wire.FrameRepair:
		if owner, ok := s.owner(now, d.Transmitter, group); ok {
			return 1 << owner
		}
		s.stats.Stray++
	case wire.FrameLeave:
		to := uint64(1)
		if owner, ok := s.owners.of(d.Transmitter); ok && f.Leave().HasLast {
			to |= 1 << owner
		}
		return to
	case wire.FrameNak:
		n := f.Nak()
		return s.asked(n.Origin)
	case wire.FrameSymbolNak:
		n := f.SymbolNak()
		return s.asked(n.Origin)
	case wire.FrameStatus:
		if st := f.Status(); st.Origin == s.self {
			return 1
		}
	}
	return 0
}

// asked is the engine that hears of a request for what origin sent.
func (s *shard) asked(origin wire.MemberID) uint64 {
	if origin == s.self {
		return 1
	}
	if owner, ok := s.owners.of(origin); ok {
		return 1 << owner
	}
	return 0
}

// owner is the engine that has a transmitter's streams. One that is new becomes this engine's when
// it speaks to the group: what it sends to us alone may come in another queue than all the rest.
func (s *shard) owner(now clock.Time, m wire.MemberID, group bool) (engine int, ok bool) {
	if engine, ok = s.owners.of(m); !ok && group {
		if engine, ok = s.owners.claim(m, s.me); ok && engine == s.me {
			if len(s.own) == 0 {
				s.lookAt = now.Add(lookEvery)
			}
			s.own = append(s.own, m)
		}
	}
	if ok && engine == s.me {
		s.mine = m
	}
	return engine, ok
}

// forward copies a datagram to another engine.
func (s *shard) forward(to int, r buf.Received) {
	p, b := s.all[to], r.Buf.Bytes()
	rec, ok := p.inbox.Claim(8 + len(b))
	if !ok {
		s.stats.InboxFull++
		return
	}
	word := uint64(0)
	if r.Group {
		word = 1
	}
	rec.SetWord(word)
	room := rec.Bytes()
	binary.LittleEndian.PutUint64(room, uint64(r.From))
	copy(room[8:], b)
	rec.Commit()
	s.stats.Forwarded++
	p.engine.Notify()
}

// take steps what other engines have forwarded, a bounded number of datagrams a call.
func (s *shard) take(now clock.Time) (n int) {
	for n < drainMax {
		word, b, ok := s.inbox.Peek()
		if !ok {
			return n
		}
		from := buf.Endpoint(binary.LittleEndian.Uint64(b))
		s.lent.Lend(b[8:])
		if wire.DecodeAgain(b[8:], &s.frame) == nil { // it was decoded before it was forwarded
			_ = s.route(now, &s.frame, buf.Received{Buf: &s.lent, From: from, Group: word == 1}, false) // which counts what it refuses
		}
		s.inbox.Advance()
		s.stats.Taken++
		n++
	}
	s.inbox.Flush()
	return n
}

// Deadline implements engine.Protocol.
func (s *shard) Deadline() (at clock.Time, ok bool) {
	at, ok = s.Protocol.Deadline()
	return clock.Earlier(at, ok, s.lookAt, len(s.own) > 0)
}

// Tick implements engine.Protocol.
func (s *shard) Tick(now clock.Time) {
	s.Protocol.Tick(now)
	if len(s.own) > 0 && now >= s.lookAt {
		s.look()
		s.lookAt = now.Add(lookEvery)
	}
}

// look gives up transmitters that the core has forgotten.
func (s *shard) look() {
	var gone []wire.MemberID
	for range min(lookMost, len(s.own)) {
		if s.looked >= len(s.own) {
			s.looked = 0
		}
		m := s.own[s.looked]
		if s.Hears(m) {
			s.looked++
			continue
		}
		gone = append(gone, m)
		last := len(s.own) - 1
		s.own[s.looked] = s.own[last]
		s.own = s.own[:last]
		if s.mine == m {
			s.mine = s.self
		}
	}
	if gone != nil {
		s.owners.release(gone)
	}
}

// Drain implements engine.Source, for the engines that only receive.
func (s *shard) Drain(now clock.Time) int {
	s.view.settle()
	return s.take(now)
}

// Waiting implements engine.Source.
func (s *shard) Waiting() bool { return s.view.resumed.Load() || !s.inbox.Empty() }

// shardSink is where the core of an engine that only receives hands messages up.
type shardSink struct{ *shard }

func (s shardSink) Deliver(d *core.Delivery) bool { return s.view.deliver(s.engine.Now(), d) }

func (s shardSink) Lost(l *core.Loss) { s.view.lost(l) }
