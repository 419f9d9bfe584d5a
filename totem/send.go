package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// maxLarge bounds the messages in fragments that wait.
const maxLarge = 64

// sendQueue is what was accepted and has no number yet: closed datagrams and messages that need
// several, in order, and at the end one datagram that is being packed.
type sendQueue struct {
	p       *Protocol
	entries []entry // entries[i&mask] for i in [head, tail)
	mask    uint64
	head    uint64
	tail    uint64
	parts   int // datagrams that the large messages still need
	bytes   int // memory of the large messages' payloads
	idle    int // and of spare
	bound   bound

	datagram int // length of the longest datagram that the ring takes
	cut      cut // of the first entry, when it was packed for a ring that takes longer ones

	larges [maxLarge]large
	spare  [][]byte // memory for their payloads

	w       wire.DataWriter
	buf     *buf.Buf // that w fills; nil: nothing is being packed
	safe    bool     // of what is being packed
	message uint64   // number of the next message
	number  uint64   // datagrams written, to number them before they have their place in a ring
	last    uint64   // highest number that an own datagram has in the ring
	count   int      // of the datagram that next has handed out: messages; 0: a fragment
	first   uint64   // and the first of them
	part    int      // which part of it, from 1; 0: whole messages
	begun   uint64   // the first message in what is being packed
}

// entry is one closed datagram, or one large message.
type entry struct {
	buf   *buf.Buf
	first uint64
	count int
	large int // index in larges, where buf is nil
	safe  bool
}

// cut is how far a datagram that is too long for the ring has been sent in shorter ones.
type cut struct {
	messages int // of it have left
	at       int // so many bytes of the next one too
}

// large is a message in fragments. Its payload is kept until the last fragment has its number,
// because a message never spans rings: on the next ring it begins anew (section 11).
type large struct {
	used    bool
	payload []byte
	at      int // payload[at:] has no number yet
	room    int // bytes in each part
	topic   string
	kind    wire.Kind
	message uint64
}

func (q *sendQueue) init(p *Protocol, size int) {
	q.p, q.entries, q.mask, q.message, q.datagram = p, make([]entry, size), uint64(size)-1, 1, p.cfg.Datagram
	q.bound.init(size)
}

// QueueBytes is how many bytes of payload a Protocol holds in messages that need several datagrams and wait
// for the token, and for the next of them. One message of any size that is allowed always fits.
func QueueBytes(maxMessageSize int) int { return maxMessageSize }

// room is the longest datagram up to its Ring, with what recovery adds. Every member of the ring takes
// it, and so any of them can send it again.
func (p *Protocol) room() int { return p.send.datagram - wire.RingMax }

// backlog is the number of datagrams that wait for the token.
func (q *sendQueue) backlog() int {
	n := int(q.tail-q.head) + q.parts
	if q.buf != nil {
		n++
	}
	return n
}

// Offer accepts one message; the payload is copied. It fails with ErrWindow (back-pressure:
// nothing has changed, try again after a rotation of the token), ErrTooLarge or ErrClosed. topic
// is 1..255 bytes of UTF-8 and stays as it is. With safe the message is delivered when every
// member of the ring has it.
func (p *Protocol) Offer(now clock.Time, topic string, kind wire.Kind, payload []byte, safe bool) error {
	q := &p.send
	safe = safe || p.cfg.Safe
	switch {
	case p.closed:
		return ErrClosed
	case len(payload) > p.cfg.MaxMessageSize:
		return ErrTooLarge
	}
	if q.buf != nil && q.safe == safe && q.w.Add(topic, kind, payload) {
		p.accepted(len(payload))
		return nil
	}
	if len(payload) > wire.MessageRoom(p.room(), topic) {
		return p.offerLarge(topic, kind, payload, safe)
	}
	if q.full() {
		p.stats.BackPressure++
		return ErrWindow
	}
	b := p.cfg.Pool.Get()
	if b == nil {
		p.stats.BackPressure++
		return ErrWindow
	}
	q.close()
	q.begin(b, safe)
	if !q.w.Add(topic, kind, payload) {
		panic("totem: a message that fits does not fit")
	}
	p.accepted(len(payload))
	return nil
}

func (p *Protocol) accepted(n int) {
	p.send.message++
	p.stats.Messages++
	p.stats.MessageBytes += uint64(n)
}

// full reports whether no other entry fits, or as much waits as the bound allows. One entry is kept for the datagram
// that is being packed.
func (q *sendQueue) full() bool {
	full := q.tail-q.head+1 >= uint64(len(q.entries)) || q.bound.on() && q.backlog() >= int(q.bound.most)
	q.bound.refused = q.bound.refused || full
	return full
}

func (q *sendQueue) begin(b *buf.Buf, safe bool) {
	q.number++
	q.buf, q.safe, q.begun = b, safe, q.message
	q.w.Begin(b.Mem(), q.p.room(), q.p.header(), q.number, q.message)
}

// close ends the datagram that is being packed.
func (q *sendQueue) close() {
	if q.buf == nil {
		return
	}
	q.tailed(q.buf, &q.w)
	q.entries[q.tail&q.mask] = entry{buf: q.buf, first: q.begun, count: q.w.Count(), safe: q.safe}
	q.tail++
	q.buf = nil
}

// tailed ends a datagram with the room for its Ring.
func (q *sendQueue) tailed(b *buf.Buf, w *wire.DataWriter) {
	off, n := w.Close()
	b.Set(off, len(wire.AppendRing(b.Mem()[:off+n], wire.Ring{}))-off)
}

// offerLarge accepts a message that needs several datagrams.
func (p *Protocol) offerLarge(topic string, kind wire.Kind, payload []byte, safe bool) error {
	q := &p.send
	room := wire.FragmentRoom(p.room(), topic)
	if room < 1 {
		return ErrTooLarge
	}
	i := 0
	for i < maxLarge && q.larges[i].used {
		i++
	}
	if q.full() || i == maxLarge || q.bytes > 0 && q.bytes+len(payload) > QueueBytes(p.cfg.MaxMessageSize) {
		p.stats.BackPressure++
		return ErrWindow
	}
	q.close()
	l := &q.larges[i]
	*l = large{used: true, payload: append(q.memory(len(payload)), payload...), room: room, topic: topic, kind: kind, message: q.message}
	q.parts += l.left() - 1 // its entry counts as one
	q.bytes += cap(l.payload)
	q.entries[q.tail&q.mask] = entry{large: i, safe: safe}
	q.tail++
	p.stats.Fragmented++
	p.accepted(len(payload))
	return nil
}

// memory returns empty memory for n bytes: what a message of about that length has left behind, or else new
// memory in the place of what is idle.
func (q *sendQueue) memory(n int) []byte {
	for i, m := range q.spare {
		if cap(m) >= n && cap(m) <= 2*n {
			last := len(q.spare) - 1
			q.spare[i], q.spare = q.spare[last], q.spare[:last]
			q.idle -= cap(m)
			return m
		}
	}
	for last := len(q.spare) - 1; last >= 0 && q.bytes+q.idle+n > QueueBytes(q.p.cfg.MaxMessageSize); last-- {
		q.idle -= cap(q.spare[last])
		q.spare[last], q.spare = nil, q.spare[:last]
	}
	return make([]byte, 0, n)
}

// left is the number of parts that have no number yet.
func (l *large) left() int { return (len(l.payload) - l.at + l.room - 1) / l.room }

// next hands out the next datagram, which has no number and no Ring yet, with its reference. It
// is nil when nothing is left, or no buffer.
func (q *sendQueue) next() (b *buf.Buf, safe bool) {
	if q.head == q.tail {
		if q.buf == nil {
			return nil, false
		}
		q.close()
	}
	e := &q.entries[q.head&q.mask]
	if e.buf != nil && e.buf.Len()-wire.RingLen > q.p.room() {
		return q.nextCut(e)
	}
	if e.buf != nil {
		b, q.first, q.count, q.part = e.buf, e.first, e.count, 0
		*e = entry{safe: e.safe}
		q.head++
		return b, e.safe
	}
	l := &q.larges[e.large]
	if b = q.p.cfg.Pool.Get(); b == nil {
		q.p.stats.Drops[DropNoBuffer]++
		return nil, false
	}
	q.number++
	var w wire.DataWriter
	w.Begin(b.Mem(), q.p.room(), q.p.header(), q.number, l.message)
	n := min(l.room, len(l.payload)-l.at)
	if !w.AddFragment(l.topic, l.kind, uint32(l.at), uint32(len(l.payload)), l.payload[l.at:l.at+n]) {
		panic("totem: a fragment does not fit its datagram")
	}
	q.tailed(b, &w)
	q.first, q.count, q.part = l.message, 0, l.at/l.room+1
	l.at += n
	if l.at < len(l.payload) {
		q.parts--
		return b, e.safe
	}
	safe = e.safe
	q.bytes -= cap(l.payload)
	q.spare = append(q.spare, l.payload[:0])
	q.idle += cap(l.payload)
	*l = large{}
	*e = entry{}
	q.head++
	return b, safe
}

// Unsent is the number of messages that were accepted and have no place in a ring yet, in whole or in
// part.
func (p *Protocol) Unsent() uint64 {
	q := &p.send
	switch {
	case q.head == q.tail && q.buf == nil:
		return 0
	case q.head == q.tail:
		return q.message - q.begun
	}
	e := &q.entries[q.head&q.mask]
	if e.buf != nil {
		return q.message - e.first
	}
	return q.message - q.larges[e.large].message
}

// nextCut hands out the next shorter datagram of one that was packed for a ring that takes longer ones.
func (q *sendQueue) nextCut(e *entry) (b *buf.Buf, safe bool) {
	if b = q.p.cfg.Pool.Get(); b == nil {
		q.p.stats.Drops[DropNoBuffer]++
		return nil, false
	}
	m := wire.StoredData(e.buf.Bytes())
	it := m.Messages()
	for range q.cut.messages + 1 {
		it.Step()
	}
	q.number++
	q.first, q.count, q.part = e.first+uint64(q.cut.messages), 0, 0
	var w wire.DataWriter
	w.Begin(b.Mem(), q.p.room(), q.p.header(), q.number, q.first)
	if q.cut.at == 0 {
		for q.cut.messages < e.count && w.Add(string(it.Topic), it.Kind, it.Payload) {
			q.cut.messages++
			q.count++
			it.Step()
		}
	}
	if q.count == 0 { // not even one fits: in fragments
		topic := string(it.Topic)
		part := max(wire.FragmentRoom(q.p.room(), topic), 1)
		n := min(part, len(it.Payload)-q.cut.at)
		if !w.AddFragment(topic, it.Kind, uint32(q.cut.at), uint32(len(it.Payload)), it.Payload[q.cut.at:q.cut.at+n]) {
			panic("totem: a fragment does not fit its datagram")
		}
		q.part = q.cut.at/part + 1
		if q.cut.at += n; q.cut.at == len(it.Payload) {
			q.cut.messages, q.cut.at = q.cut.messages+1, 0
		}
	}
	q.tailed(b, &w)
	safe = e.safe
	if q.cut.messages == e.count {
		e.buf.Release()
		*e = entry{}
		q.cut = cut{}
		q.head++
	}
	return b, safe
}

// newRing begins the message anew that the old ring has ended in the middle of. datagram is the length of
// the longest datagram that the new ring takes.
func (q *sendQueue) newRing(datagram int) {
	q.last = 0
	q.cut.at = 0
	q.fit(datagram)
	if q.head == q.tail || q.p.cfg.defect == crossingParts {
		return
	}
	if e := &q.entries[q.head&q.mask]; e.buf == nil {
		l := &q.larges[e.large]
		q.parts -= l.left()
		l.at = 0
		q.parts += l.left()
	}
}

// fit makes datagram the length of the longest datagram from now on.
func (q *sendQueue) fit(datagram int) {
	if q.datagram == datagram {
		return
	}
	q.close()
	q.datagram = datagram
	for i := range q.larges {
		if l := &q.larges[i]; l.used {
			before := l.left()
			l.room = max(wire.FragmentRoom(q.p.room(), l.topic), 1)
			q.parts += l.left() - before
		}
	}
}

// Fit makes what is sent from now on fit the way. It implements engine.Fitter. What has its number in the ring stays as
// it is: if it is too long now, it leaves in parts (long.go).
func (p *Protocol) Fit(_ clock.Time, w buf.Way) {
	p.longest, p.whole = min(w.Pack, p.cfg.Datagram), min(w.Longest, p.cfg.Datagram)
	p.send.fit(p.peers.smallest(&p.cur.members, p.longest))
}

func (q *sendQueue) release() {
	for ; q.head < q.tail; q.head++ {
		if e := &q.entries[q.head&q.mask]; e.buf != nil {
			e.buf.Release()
			e.buf = nil
		}
	}
	if q.buf != nil {
		q.buf.Release()
		q.buf = nil
	}
	q.parts = 0
}
