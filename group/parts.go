package group

import (
	"math/bits"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// pack packs a call, or as much of it as the window lets. It is false when something is left.
func (s *sending) pack(now clock.Time, c *call) bool {
	if !s.packAll(now, c) {
		return false
	}
	x := s.pair.x
	c.unlink()
	switch c.kind {
	case wire.ItemRecord, wire.ItemResult, wire.ItemCancel, wire.ItemTransfer:
		x.freeNote(c) // nobody waits for it
		return true
	case wire.ItemReply:
		x.stats.Replies++
		x.calls.end(x, c, End{Why: Answered})
		return true
	}
	if c.queued == nil && !x.is(sendRepeated) {
		c.name, c.payload = "", nil
	}
	c.link(&s.unknown)
	return true
}

// packAll packs the items of a call. It is false when something is left, and goes on there next time.
func (s *sending) packAll(now clock.Time, c *call) bool {
	i := wire.Item{Kind: c.kind, PayloadKind: c.payloadOf, Call: c.number}
	switch {
	case c.queued != nil:
		i.Attempt, i.Redelivered = c.queued.attempt, c.queued.marked
	case c.kind == wire.ItemResult || c.kind == wire.ItemCancel:
		i.Call, i.Attempt, i.Result, i.Backlog, i.Service = c.about, c.attempt, c.outcome, c.backlog, c.service
	case c.kind == wire.ItemReply:
		i.Call = c.about
	}
	i.Name = nameBytes(c.name)
	if c.packed == 0 {
		if !s.open(now) {
			return false
		}
		i.Payload = c.payload
		if len(c.payload) <= s.filling.w.Room(c.name) || !s.large(c) {
			if !s.add(now, &i) {
				return false
			}
			c.item, c.whole = s.item-1, true
			return true
		}
	}
	i.Fragment, i.Size = true, uint32(len(c.payload))
	for c.packed < len(c.payload) {
		if !s.open(now) {
			return false
		}
		room := s.filling.w.Room(c.name)
		if room < min(minPart, len(c.payload)-c.packed) {
			s.close(now, false)
			continue
		}
		i.Offset = uint32(c.packed)
		i.Payload = c.payload[c.packed:][:min(room, len(c.payload)-c.packed)]
		if !s.add(now, &i) {
			return false
		}
		c.packed += len(i.Payload)
	}
	c.item, c.whole = s.item-1, true
	return true
}

// minPart is the shortest part, in bytes, that is worth the rest of a datagram.
const minPart = 64

// alone is the longest payload that an item takes in a datagram of its own, in any case.
func (s *sending) alone(name int) int {
	return s.pair.x.p.cfg.Datagram - wire.HeaderLen - itemSpace - name
}

// itemSpace is more than what a Pair and an item need around a payload.
const itemSpace = 160

func (s *sending) large(c *call) bool { return len(c.payload) > s.alone(len(c.name)) }

// fits reports whether a whole reply can be packed now.
func (s *sending) fits(now clock.Time, payload int) bool {
	if !s.open(now) {
		return false
	}
	if payload <= s.filling.w.Room("") {
		return true
	}
	need := uint64(payload/s.alone(0) + 2)
	return s.next+need <= s.bound() && s.pair.x.buffersFor(s.channel, maxWindow) >= int(need)
}

// partsPool is the memory in which fragments are put together: so many of the largest messages, and half of
// it for answers alone. Blocks have a power of two of bytes, or size.
type partsPool struct {
	size int // bytes of the largest message
	many int // of them
	free [32][][]byte
	made int // bytes that are allocated
	out  int // bytes of them that are in use
}

const (
	maxParts = 4
	minBlock = 4096
)

// parts is one large message of which not all is here.
type parts struct {
	mem  []byte
	n    int // bytes that are here
	size int
	call uint64
	kind wire.ItemKind
	pool *partsPool
	at   clock.Time // of the last fragment
}

// get returns memory for a message of so many bytes, nil if there is none.
func (p *partsPool) get(c wire.Channel, size int) []byte {
	most := p.many * p.size
	if c != wire.ChannelAnswers {
		most /= 2
	}
	class := bits.Len(uint(max(size, minBlock) - 1))
	size = min(1<<class, p.size)
	if p.out+size > most {
		return nil
	}
	p.out += size
	free := p.free[class]
	if last := len(free) - 1; last >= 0 {
		p.free[class] = free[:last]
		return free[last]
	}
	if p.made+size > p.many*p.size { // what is free has the wrong length
		p.free = [len(p.free)][][]byte{}
		p.made = p.out - size
	}
	p.made += size
	return make([]byte, size)
}

func (p *partsPool) put(mem []byte) {
	p.out -= len(mem)
	class := bits.Len(uint(len(mem) - 1))
	p.free[class] = append(p.free[class], mem)
}

const keepParts = time.Second // an unfinished message that gets no fragment gives way

// handPart takes in one fragment, and hands on the message with the last one.
func (in *receiving) handPart(now clock.Time, i *wire.Item, number uint64) (Verdict, wire.RefusalReason) {
	x := in.pair.x
	last := int(i.Offset)+len(i.Payload) == int(i.Size)
	limit, pool := x.p.cfg.MaxMessageSize, &x.parts
	switch i.Kind {
	case wire.ItemRecord:
		limit = maxRecord
	case wire.ItemTransfer:
		limit, pool = wire.MaxTransfer, &x.transfers
	}
	t := in.parts
	if i.Offset == 0 && (t == nil || t.n > 0) {
		in.dropParts()
		if int(i.Size) > limit {
			return in.passOver(i, last)
		}
		mem := pool.get(in.channel, int(i.Size))
		if mem == nil {
			x.giveWay(now)
			if mem = pool.get(in.channel, int(i.Size)); mem == nil {
				return Wait, 0
			}
		}
		t = &parts{mem: mem, size: int(i.Size), call: i.Call, kind: i.Kind, pool: pool, at: now}
		in.parts = t
		in.watchGap(now)
	}
	if t == nil || int(i.Offset) != t.n || int(i.Size) != t.size || i.Call != t.call || i.Kind != t.kind {
		in.dropParts()
		return in.passOver(i, last)
	}
	copy(t.mem[t.n:], i.Payload)
	t.at = now
	if !last {
		t.n += len(i.Payload)
		return Take, 0
	}
	v, reason := in.handWhole(now, i, t.mem[:t.size], number)
	if v != Wait {
		in.dropParts()
	}
	return v, reason
}

// passOver deals with a fragment that nothing can be made of: the last one is refused. A request whose reply
// that was ends.
func (in *receiving) passOver(i *wire.Item, last bool) (Verdict, wire.RefusalReason) {
	if !last {
		return Take, 0
	}
	if x := in.pair.x; i.Kind == wire.ItemReply {
		if c := x.calls.find(i.Call); c != nil && c.pair == in.pair && c.kind == wire.ItemRequest {
			x.calls.end(x, c, End{Why: Refused, Reason: wire.RefusedNoRoom, Unknown: true})
		}
	}
	return Refuse, wire.RefusedNoRoom
}

// dropParts gives back the memory of an unfinished message.
func (in *receiving) dropParts() {
	if in.parts != nil {
		in.parts.pool.put(in.parts.mem)
		in.parts = nil
	}
}

// giveWay drops unfinished messages that got no fragment for long, and do not wait for a handler.
func (x *pairs) giveWay(now clock.Time) {
	for _, pr := range x.all {
		for _, in := range pr.in {
			if in != nil && in.parts != nil && !in.blocked && now.Sub(in.parts.at) >= keepParts {
				in.dropParts()
			}
		}
	}
}

// nameBytes lends the bytes of a name.
func nameBytes(name string) []byte { return unsafe.Slice(unsafe.StringData(name), len(name)) }
