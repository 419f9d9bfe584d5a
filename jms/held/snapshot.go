package held

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/activeblaze/blaze/internal/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of a snapshot, which nobody but this file reads. They come in this order.
const (
	fieldHead protowire.Number = 1 + iota
	fieldQueue
	fieldConn
	fieldConsumer
	fieldClient
	fieldReady
	fieldFlight
	fieldDelayed
	fieldStaged
	fieldMerged
	fieldFeed
	fieldPiece
	fieldJoin
	fieldEnd
)

func (q *queue) recordKey() key    { return key{uint64(fieldQueue), uint64(q.no)} }
func (c *conn) recordKey() key     { return key{uint64(fieldConn), uint64(c.no)} }
func (k *consumer) recordKey() key { return key{uint64(fieldConsumer), uint64(k.no)} }
func (c *client) recordKey() key   { return key{uint64(fieldClient), uint64(c.no)} }

// Snapshot is the state at one moment. It never changes.
type Snapshot struct {
	head    []byte
	records view[[]byte]
	trees   [4]view[*message] // ready, in flight, delayed, staged
	merged  view[idKey]
	feeds   []feed
	pieces  view[[]byte]
	joins   []join
}

// Snapshot returns the state as it is. It is quick, and what is applied later does not change it.
func (m *Machine) Snapshot() (*Snapshot, error) {
	s := m.state
	s.record(len(s.dirty))
	c := &Snapshot{
		head:    s.head(nil),
		records: s.records.snapshot(),
		trees:   [...]view[*message]{s.ready.snapshot(), s.flight.snapshot(), s.delayed.snapshot(), s.staged.snapshot()},
		merged:  s.mergedOrder.snapshot(),
		pieces:  s.pieces.snapshot(),
	}
	for _, f := range s.feeds {
		c.feeds = append(c.feeds, *f)
	}
	for _, j := range s.joins {
		c.joins = append(c.joins, *j)
	}
	return c, nil
}

// Close gives the snapshot up.
func (c *Snapshot) Close() error { return nil }

// WriteTo writes the state. Equal states write equal bytes. It may run beside the Machine.
func (c *Snapshot) WriteTo(w io.Writer) (n int64, err error) {
	out := snapshotWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.field(fieldHead, c.head)
	c.records.from(key{}, func(k key, b []byte) bool { return out.field(protowire.Number(k.hi), b) })
	for i := range c.trees {
		c.trees[i].from(key{}, func(_ key, m *message) bool {
			out.buf = m.append(out.buf[:0])
			return out.field(fieldReady+protowire.Number(i), out.buf)
		})
	}
	c.merged.from(key{}, func(k key, id idKey) bool {
		out.buf = appendNumber(out.buf[:0], 1, k.hi)
		out.buf = appendNumber(out.buf, 2, k.lo)
		out.buf = appendNumber(out.buf, 3, uint64(id.queue))
		out.buf = appendBytes(out.buf, 4, id.id[:])
		out.buf = appendMember(out.buf, 5, id.sender)
		return out.field(fieldMerged, out.buf)
	})
	for i := range c.feeds {
		f := &c.feeds[i]
		out.buf = appendNested(out.buf[:0], 1, f.m.append)
		out.buf = appendBytes(out.buf, 2, []byte(f.topic))
		out.buf = appendBytes(out.buf, 3, []byte(f.name))
		out.buf = appendNumber(out.buf, 4, uint64(f.next))
		out.buf = appendNumber(out.buf, 5, uint64(f.until))
		out.field(fieldFeed, out.buf)
	}
	c.pieces.from(key{}, func(k key, b []byte) bool {
		out.buf = appendNumber(out.buf[:0], 1, k.hi)
		out.buf = appendNumber(out.buf, 2, k.lo)
		out.buf = appendBytes(out.buf, 3, b)
		return out.field(fieldPiece, out.buf)
	})
	for i := range c.joins {
		j := &c.joins[i]
		out.buf = appendNested(out.buf[:0], 1, j.m.append)
		out.buf = appendNumber(out.buf, 2, j.size)
		for _, b := range j.pieces {
			out.buf = appendBytes(out.buf, 3, b)
		}
		out.field(fieldJoin, out.buf)
	}
	crc := out.crc
	out.buf = appendNumber(out.buf[:0], 1, out.fields)
	out.buf = appendNumber(out.buf, 2, uint64(crc))
	out.field(fieldEnd, out.buf)
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// snapshotWriter writes fields, and counts them.
type snapshotWriter struct {
	w      *bufio.Writer
	buf    []byte
	tag    []byte
	n      int64
	fields uint64
	crc    uint32
	err    error
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// field writes one field. It reports whether that went well.
func (w *snapshotWriter) field(number protowire.Number, b []byte) bool {
	w.tag = pb.AppendLength(w.tag[:0], number, len(b))
	for _, p := range [...][]byte{w.tag, b} {
		if w.err == nil {
			var n int
			n, w.err = w.w.Write(p)
			w.n += int64(n)
			w.crc = crc32.Update(w.crc, castagnoli, p)
		}
	}
	w.fields++
	return w.err == nil
}

// append appends a message with all that a snapshot needs of it.
func (m *message) append(dst []byte) []byte {
	w := m.wire()
	w.Data = m.whole()
	w.Consumer = uint64(m.consumer)
	dst = appendNested(dst, 1, w.Append)
	dst = appendNumber(dst, 2, uint64(m.queue))
	dst = appendNumber(dst, 3, uint64(m.conn))
	if m.more != nil {
		dst = appendBytes(dst, 4, []byte(m.more.topic))
	}
	return dst
}

// fields calls each with every field of b. It is false where b is malformed, or each was.
func fields(b []byte, each func(f pb.Field) bool) bool {
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 || !each(f) {
			return false
		}
		b = b[n:]
	}
	return true
}

// parseStored reads what append wrote. Nothing of b is kept.
func parseStored(b []byte) (m *message, ok bool) {
	m = &message{}
	var topic string
	ok = fields(b, func(f pb.Field) bool {
		switch f.Number {
		case 1:
			var w Message
			if !w.Parse(f.Bytes) {
				return false
			}
			copy(m.id[:], w.ID)
			m.data = append(make([]byte, 0, len(w.Data)), w.Data...)
			m.priority, m.expires, m.count, m.number = w.Priority, w.Expires, w.Count, w.Number
			m.sender, m.from, m.session, m.consumer, m.delivery = w.Sender, w.From, w.Session, uint32(w.Consumer), w.Delivery
			if w.Persistent {
				m.flags |= messagePersistent
			}
			if len(w.Group) > 0 || w.GroupSeq != 0 || w.Due != 0 || len(w.Queue) > 0 || w.Reason != 0 {
				m.more = &more{group: string(w.Group), groupSeq: w.GroupSeq, due: w.Due, origin: string(w.Queue), reason: w.Reason}
			}
		case 2:
			m.queue = uint32(f.Bits)
		case 3:
			m.conn = uint32(f.Bits)
		case 4:
			topic = string(f.Bytes)
		}
		return true
	})
	if topic != "" {
		m = m.copyWith(func(x *more) { x.topic = topic })
	}
	return m, ok
}

// head is what is in no record.
func (s *state) head(dst []byte) []byte {
	for i, p := range s.headNumbers() {
		dst = appendNumber(dst, protowire.Number(1+i), *p)
	}
	dst = appendNumber(dst, 11, uint64(s.now))
	dst = appendNested(dst, 12, s.defaults.Append)
	var left []byte
	for _, m := range s.left {
		left = append(left, m[:]...)
	}
	dst = appendBytes(dst, 13, left)
	var work, sweeps, drops, room []uint64
	for _, k := range s.work {
		work = append(work, uint64(k.no))
	}
	for _, c := range s.sweeps {
		sweeps = append(sweeps, uint64(c.no))
	}
	for _, q := range s.drops {
		drops = append(drops, uint64(q.no))
	}
	for _, w := range s.room {
		room = append(room, uint64(w.conn), uint64(w.queue))
	}
	dst = appendNumbers(dst, 14, work)
	dst = appendNumbers(dst, 15, sweeps)
	dst = appendNumbers(dst, 16, drops)
	dst = appendNumbers(dst, 17, room)
	var lagging []uint64
	for _, q := range s.lagging {
		lagging = append(lagging, uint64(q.no))
	}
	return appendNumbers(dst, 18, lagging)
}

// headNumbers are the head's first fields.
func (s *state) headNumbers() []*uint64 {
	return []*uint64{&s.nextNumber, &s.nextLine, &s.nextQueue, &s.nextConn, &s.nextConsumer, &s.nextClient, &s.refused, &s.nextDelivery}
}

func (q *queue) encode(s *state, dst []byte) []byte {
	if s.queueByNo[q.no] != q {
		return nil
	}
	dst = appendNumber(dst, 1, uint64(q.no))
	dst = appendBytes(dst, 2, []byte(q.name))
	dst = appendNested(dst, 3, q.settings.Append)
	dst = appendBool(dst, 4, q.declared)
	dst = appendNested(dst, 5, q.stats.Append)
	var room []uint64
	for _, no := range q.room {
		room = append(room, uint64(no))
	}
	dst = appendNumbers(dst, 6, room)
	dst = appendNumber(dst, 7, q.nextGroup)
	dst = appendBool(dst, 8, q.dropped)
	if x := q.sub; x != nil {
		dst = appendNested(dst, 9, func(b []byte) []byte {
			b = appendBytes(b, 1, []byte(x.client))
			b = appendBytes(b, 2, []byte(x.name))
			b = appendBytes(b, 3, []byte(x.topic))
			b = appendBytes(b, 4, []byte(x.text))
			b = appendBool(b, 5, x.noLocal)
			b = appendBool(b, 6, x.durable)
			return appendBool(b, 7, x.shared)
		})
	}
	if q.lagAt != nil {
		dst = appendNumber(dst, 10, q.lagAt.line)
		dst = appendNumber(dst, 11, q.lagPlace)
	}
	return dst
}

func (s *state) decodeQueue(b []byte) bool {
	q := &queue{}
	ok := fields(b, func(f pb.Field) bool {
		switch f.Number {
		case 1:
			q.no = uint32(f.Bits)
		case 2:
			q.name = string(f.Bytes)
		case 3:
			return q.settings.Parse(f.Bytes)
		case 4:
			q.declared = f.Bits != 0
		case 5:
			return q.stats.Parse(f.Bytes)
		case 6:
			room, ok := parseNumbers(nil, f.Bytes, len(f.Bytes))
			for _, no := range room {
				q.room = append(q.room, uint32(no))
			}
			return ok
		case 7:
			q.nextGroup = f.Bits
		case 8:
			q.dropped = f.Bits != 0
		case 10:
			s.lagLines[q] = f.Bits
		case 11:
			q.lagPlace = f.Bits
		case 9:
			x := &subscription{}
			q.sub = x
			return fields(f.Bytes, func(f pb.Field) bool {
				switch f.Number {
				case 1:
					x.client = string(f.Bytes)
				case 2:
					x.name = string(f.Bytes)
				case 3:
					x.topic = string(f.Bytes)
				case 4:
					x.text = string(f.Bytes)
					var err error
					x.selector, err = parseSelector(f.Bytes)
					return err == nil
				case 5:
					x.noLocal = f.Bits != 0
				case 6:
					x.durable = f.Bits != 0
				case 7:
					x.shared = f.Bits != 0
				}
				return true
			})
		}
		return true
	})
	s.queueByNo[q.no] = q
	if !q.dropped {
		s.queues[q.name] = q
		s.names = append(s.names, q.name)
		if q.sub != nil {
			s.subs = append(s.subs, q)
		}
	}
	return ok && q.no != 0
}

func (c *conn) encode(s *state, dst []byte) []byte {
	if s.connByNo[c.no] != c {
		return nil
	}
	dst = appendNumber(dst, 1, uint64(c.no))
	dst = appendMember(dst, 2, c.client.member)
	dst = appendNumber(dst, 3, c.number)
	dst = appendMember(dst, 4, c.by)
	dst = appendBytes(dst, 5, []byte(c.name))
	dst = appendNumber(dst, 6, c.next)
	for i := range c.answers {
		r := &c.answers[i]
		dst = appendNested(dst, 7, func(b []byte) []byte {
			b = appendNumber(b, 1, r.counter)
			b = appendNumber(b, 2, uint64(r.code))
			b = appendBytes(b, 3, []byte(r.detail))
			b = appendNumber(b, 4, r.value)
			b = appendNumber(b, 5, r.next)
			b = appendBool(b, 6, r.more)
			b = appendNumber(b, 7, uint64(r.session))
			return appendNumbers(b, 8, r.taken)
		})
	}
	for _, x := range c.sessions {
		dst = appendNested(dst, 8, func(b []byte) []byte {
			b = appendNumber(b, 1, uint64(x.id))
			b = appendNumber(b, 2, x.next)
			b = appendNumber(b, 3, x.bytes)
			b = appendNumber(b, 4, uint64(x.count))
			return appendNumbers(b, 5, x.settle)
		})
	}
	for _, p := range c.parts {
		dst = appendNested(dst, 9, func(b []byte) []byte {
			b = appendNumber(b, 1, p.id)
			b = appendNumber(b, 2, uint64(p.no))
			b = appendNumber(b, 3, p.size)
			b = appendNumber(b, 4, p.have)
			return appendNumber(b, 5, p.pieces)
		})
	}
	dst = appendNumber(dst, 10, uint64(c.nextPart))
	dst = appendBool(dst, 11, c.ended)
	dst = appendNumber(dst, 12, c.period)
	return appendNumber(dst, 13, uint64(c.since))
}

func (s *state) decodeConn(b []byte, owner map[uint32]Member) bool {
	c := &conn{}
	var member Member
	ok := fields(b, func(f pb.Field) bool {
		switch f.Number {
		case 1:
			c.no = uint32(f.Bits)
		case 2:
			return parseMember(&member, f.Bytes)
		case 3:
			c.number = f.Bits
		case 4:
			return parseMember(&c.by, f.Bytes)
		case 5:
			c.name = string(f.Bytes)
		case 6:
			c.next = f.Bits
		case 7:
			c.answers = append(c.answers, remembered{})
			return c.answers[len(c.answers)-1].decode(f.Bytes)
		case 8:
			x := &session{}
			c.sessions = append(c.sessions, x)
			return fields(f.Bytes, func(f pb.Field) (ok bool) {
				switch f.Number {
				case 1:
					x.id = uint32(f.Bits)
				case 2:
					x.next = f.Bits
				case 3:
					x.bytes = f.Bits
				case 4:
					x.count = int(f.Bits)
				case 5:
					x.settle, ok = parseNumbers(nil, f.Bytes, len(f.Bytes))
					return ok
				}
				return true
			})
		case 9:
			p := &part{}
			c.parts = append(c.parts, p)
			return fields(f.Bytes, func(f pb.Field) bool {
				switch f.Number {
				case 1:
					p.id = f.Bits
				case 2:
					p.no = uint32(f.Bits)
				case 3:
					p.size = f.Bits
					c.partBytes += f.Bits
					s.bytes += f.Bits
				case 4:
					p.have = f.Bits
				case 5:
					p.pieces = f.Bits
				}
				return true
			})
		case 10:
			c.nextPart = uint32(f.Bits)
		case 11:
			c.ended = f.Bits != 0
		case 12:
			c.period = f.Bits
		case 13:
			c.since = int64(f.Bits)
		}
		return true
	})
	s.connByNo[c.no] = c
	owner[c.no] = member
	if !c.ended {
		s.conns[connKey{member, c.number}] = c
	}
	return ok && c.no != 0
}

func (r *remembered) decode(b []byte) bool {
	return fields(b, func(f pb.Field) (ok bool) {
		switch f.Number {
		case 1:
			r.counter = f.Bits
		case 2:
			r.code = Code(f.Bits)
		case 3:
			r.detail = string(f.Bytes)
		case 4:
			r.value = f.Bits
		case 5:
			r.next = f.Bits
		case 6:
			r.more = f.Bits != 0
		case 7:
			r.session = uint32(f.Bits)
		case 8:
			r.taken, ok = parseNumbers(nil, f.Bytes, len(f.Bytes))
			return ok
		}
		return true
	})
}

func (k *consumer) encode(s *state, dst []byte) []byte {
	if s.consumers[k.no] != k {
		return nil
	}
	dst = appendNumber(dst, 1, uint64(k.no))
	dst = appendNumber(dst, 2, k.id)
	dst = appendNumber(dst, 3, uint64(k.conn.no))
	dst = appendNumber(dst, 4, uint64(k.queue.no))
	dst = appendNumber(dst, 5, uint64(k.session))
	dst = appendBytes(dst, 6, []byte(k.text))
	dst = appendBool(dst, 7, k.noLocal)
	dst = appendBool(dst, 8, k.exclusive)
	dst = appendNumber(dst, 9, k.pos)
	dst = appendNumber(dst, 10, k.credit)
	dst = appendBool(dst, 11, k.wait)
	dst = appendNumber(dst, 12, k.counter)
	dst = appendNumber(dst, 13, k.line)
	all := make([]groupAge, 0, len(k.groups))
	for name, no := range k.groups {
		all = append(all, groupAge{name, no})
	}
	slices.SortFunc(all, func(a, b groupAge) int { return cmp.Compare(a.no, b.no) })
	for _, g := range all {
		dst = appendNested(dst, 14, func(b []byte) []byte { return appendNumber(appendBytes(b, 1, []byte(g.name)), 2, g.no) })
	}
	return dst
}

func (s *state) decodeConsumer(b []byte) bool {
	k := &consumer{}
	ok := fields(b, func(f pb.Field) bool {
		switch f.Number {
		case 1:
			k.no = uint32(f.Bits)
		case 2:
			k.id = f.Bits
		case 3:
			k.conn = s.connByNo[uint32(f.Bits)]
		case 4:
			k.queue = s.queueByNo[uint32(f.Bits)]
		case 5:
			k.session = uint32(f.Bits)
		case 6:
			k.text = string(f.Bytes)
			var err error
			k.selector, err = parseSelector(f.Bytes)
			return err == nil
		case 7:
			k.noLocal = f.Bits != 0
		case 8:
			k.exclusive = f.Bits != 0
		case 9:
			k.pos = f.Bits
		case 10:
			k.credit = f.Bits
		case 11:
			k.wait = f.Bits != 0
		case 12:
			k.counter = f.Bits
		case 13:
			k.line = f.Bits
		case 14:
			var g groupAge
			if !fields(f.Bytes, func(f pb.Field) bool {
				if f.Number == 1 {
					g.name = string(f.Bytes)
				} else if f.Number == 2 {
					g.no = f.Bits
				}
				return true
			}) {
				return false
			}
			if k.groups == nil {
				k.groups = map[string]uint64{}
			}
			k.groups[g.name] = g.no
		}
		return true
	})
	if !ok || k.no == 0 || k.conn == nil || k.queue == nil {
		return false
	}
	s.consumers[k.no] = k
	i, _ := k.conn.consumer(k.id)
	k.conn.consumers = slices.Insert(k.conn.consumers, i, k)
	q := k.queue
	q.consumers = append(q.consumers, k)
	if k.exclusive && q.exclusive == nil {
		q.exclusive = k
	}
	if k.line == 0 {
		q.top = max(q.top, k.pos)
	}
	for name, no := range k.groups { // sorted below
		if q.groups == nil {
			q.groups = map[string]*consumer{}
		}
		q.groups[name] = k
		q.groupAge = append(q.groupAge, groupAge{name, no})
	}
	return true
}

func (c *client) encode(s *state, dst []byte) []byte {
	if s.clients[c.member] != c {
		return nil
	}
	dst = appendNumber(dst, 1, uint64(c.no))
	dst = appendMember(dst, 2, c.member)
	dst = appendNumber(dst, 3, c.highest)
	return appendBool(dst, 4, c.left)
}

func (s *state) decodeClient(b []byte) bool {
	c := &client{}
	ok := fields(b, func(f pb.Field) bool {
		switch f.Number {
		case 1:
			c.no = uint32(f.Bits)
		case 2:
			return parseMember(&c.member, f.Bytes)
		case 3:
			c.highest = f.Bits
		case 4:
			c.left = f.Bits != 0
		}
		return true
	})
	s.clients[c.member] = c
	return ok && c.no != 0
}

// ErrSnapshot means that what Restore read is no snapshot, or not a whole one.
var ErrSnapshot = errors.New("held: not a snapshot")

// maxField bounds what Restore allocates for one field.
const maxField = MaxStagedBytes + 1<<20

// load reads a snapshot into an empty state.
func (s *state) load(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var crc uint32
	var count uint64
	var buf []byte
	owner := map[uint32]Member{}
	s.lagLines = map[*queue]uint64{}
	for {
		tag, err := binary.ReadUvarint(in)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		size, err := binary.ReadUvarint(in)
		number, kind := protowire.DecodeTag(tag)
		if err != nil || kind != protowire.BytesType || size > maxField {
			return ErrSnapshot
		}
		buf = slices.Grow(buf[:0], int(size))[:size]
		if _, err = io.ReadFull(in, buf); err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		if number == fieldEnd {
			var fieldsWritten, sum uint64
			ok := fields(buf, func(f pb.Field) bool {
				if f.Number == 1 {
					fieldsWritten = f.Bits
				} else if f.Number == 2 {
					sum = f.Bits
				}
				return true
			})
			if !ok || fieldsWritten != count || sum != uint64(crc) {
				return ErrSnapshot
			}
			s.link(owner)
			return nil
		}
		count++
		crc = crc32.Update(crc, castagnoli, pb.AppendLength(nil, number, int(size)))
		crc = crc32.Update(crc, castagnoli, buf)
		if !s.loadField(number, buf, owner) {
			return ErrSnapshot
		}
	}
}

func (s *state) loadField(number protowire.Number, b []byte, owner map[uint32]Member) bool {
	var ok bool
	switch number {
	case fieldHead:
		return s.loadHead(b)
	case fieldQueue:
		ok = s.decodeQueue(b)
	case fieldConn:
		ok = s.decodeConn(b, owner)
	case fieldConsumer:
		ok = s.decodeConsumer(b)
	case fieldClient:
		ok = s.decodeClient(b)
	case fieldReady, fieldFlight, fieldDelayed, fieldStaged:
		return s.loadMessage(number, b)
	case fieldMerged:
		var k key
		var id idKey
		ok := fields(b, func(f pb.Field) bool {
			switch f.Number {
			case 1:
				k.hi = f.Bits
			case 2:
				k.lo = f.Bits
			case 3:
				id.queue = uint32(f.Bits)
			case 4:
				copy(id.id[:], f.Bytes)
			case 5:
				return parseMember(&id.sender, f.Bytes)
			}
			return true
		})
		s.merged[id] = struct{}{}
		s.mergedOrder.put(k, id)
		return ok
	case fieldFeed:
		x := &feed{}
		s.feeds = append(s.feeds, x)
		return fields(b, func(f pb.Field) (ok bool) {
			ok = true
			switch f.Number {
			case 1:
				x.m, ok = parseStored(f.Bytes)
			case 2:
				x.topic = string(f.Bytes)
			case 3:
				x.name = string(f.Bytes)
			case 4:
				x.next = uint32(f.Bits)
			case 5:
				x.until = uint32(f.Bits)
			}
			return ok
		}) && x.m != nil
	case fieldPiece:
		var k key
		var data []byte
		ok := fields(b, func(f pb.Field) bool {
			switch f.Number {
			case 1:
				k.hi = f.Bits
			case 2:
				k.lo = f.Bits
			case 3:
				data = slices.Clone(f.Bytes)
			}
			return true
		})
		s.pieces.put(k, data)
		return ok
	}
	if number == fieldJoin {
		j := &join{}
		s.joins = append(s.joins, j)
		return fields(b, func(f pb.Field) (ok bool) {
			ok = true
			switch f.Number {
			case 1:
				j.m, ok = parseStored(f.Bytes)
			case 2:
				j.size = f.Bits
			case 3:
				j.pieces = append(j.pieces, slices.Clone(f.Bytes))
				j.have += uint64(len(f.Bytes))
			}
			return ok
		}) && j.m != nil
	}
	if ok {
		var no uint64
		fields(b, func(f pb.Field) bool {
			if f.Number == 1 {
				no = f.Bits
			}
			return true
		})
		s.records.put(key{uint64(number), no}, slices.Clone(b))
	}
	return ok
}

func (s *state) loadMessage(number protowire.Number, b []byte) bool {
	m, ok := parseStored(b)
	if !ok {
		return false
	}
	q := s.queueByNo[m.queue]
	s.depth++
	s.bytes += uint64(m.size())
	if q == nil {
		if number != fieldStaged {
			return false
		}
	} else {
		q.bytes += uint64(m.size())
		if m.hasID() && number != fieldStaged {
			s.addID(m.idKey())
		}
	}
	switch number {
	case fieldReady:
		q.ready++
		s.ready.put(m.readyKey(), m)
		if m.expires != 0 {
			s.expiry.put(m.expiryKey(), m)
		}
	case fieldFlight:
		c := s.connByNo[m.conn]
		if c == nil {
			return false
		}
		if c.flight++; c.since == 0 && !c.undated {
			s.undate(c)
		}
		q.flight++
		s.flight.put(m.flightKey(), m)
	case fieldDelayed:
		q.delayed++
		s.delayed.put(m.delayedKey(), m)
	case fieldStaged:
		if q != nil {
			q.staged++
		}
		s.staged.put(m.flightKey(), m)
	}
	return true
}

func (s *state) loadHead(b []byte) bool {
	numbers := s.headNumbers()
	return fields(b, func(f pb.Field) bool {
		switch i := int(f.Number) - 1; {
		case i >= 0 && i < len(numbers):
			*numbers[i] = f.Bits
		case f.Number == 11:
			s.now = int64(f.Bits)
		case f.Number == 12:
			return s.defaults.Parse(f.Bytes)
		case f.Number == 13:
			for b := f.Bytes; len(b) >= len(Member{}); b = b[len(Member{}):] {
				s.left = append(s.left, Member(b[:len(Member{})]))
			}
		case f.Number >= 14 && f.Number <= 18:
			all, ok := parseNumbers(nil, f.Bytes, len(f.Bytes))
			s.lists[f.Number-14] = all
			return ok
		}
		return true
	})
}

// link puts together what the fields name by numbers.
func (s *state) link(owner map[uint32]Member) {
	slices.Sort(s.names)
	nos := make([]uint32, 0, len(owner))
	for no := range owner {
		nos = append(nos, no)
	}
	slices.Sort(nos)
	for _, no := range nos {
		c := s.connByNo[no]
		c.client = s.clients[owner[no]]
		if c.client == nil { // it has left, and is remembered no longer
			c.client = &client{member: owner[no], left: true}
		} else if !c.ended {
			c.client.conns = append(c.client.conns, c)
		}
	}
	waiting := make([]*consumer, 0, len(s.consumers))
	for _, k := range s.consumers {
		if k.line != 0 {
			waiting = append(waiting, k)
		}
	}
	slices.SortFunc(waiting, func(a, b *consumer) int { return cmp.Compare(a.line, b.line) })
	for _, k := range waiting {
		q := k.queue
		if k.prev = q.last; q.last != nil {
			q.last.succ = k
		} else {
			q.first = k
		}
		q.last = k
		q.waiting++
		if s.lagLines[q] == k.line {
			q.lagAt = k
		}
	}
	s.lagLines = nil
	for _, q := range s.queueByNo {
		slices.SortFunc(q.groupAge, func(a, b groupAge) int { return cmp.Compare(a.no, b.no) })
	}
	for _, no := range s.lists[0] {
		if k := s.consumers[uint32(no)]; k != nil {
			k.working = true
			s.work = append(s.work, k)
		}
	}
	for _, no := range s.lists[1] {
		if c := s.connByNo[uint32(no)]; c != nil {
			s.sweeps = append(s.sweeps, c)
		}
	}
	for _, no := range s.lists[2] {
		if q := s.queueByNo[uint32(no)]; q != nil {
			s.drops = append(s.drops, q)
		}
	}
	for l := s.lists[3]; len(l) >= 2; l = l[2:] {
		s.room = append(s.room, roomWait{uint32(l[0]), uint32(l[1])})
	}
	for _, no := range s.lists[4] {
		if q := s.queueByNo[uint32(no)]; q != nil {
			s.lagging = append(s.lagging, q)
		}
	}
	s.lists = [5][]uint64{}
}
