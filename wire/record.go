package wire

import (
	"bytes"
	"encoding/binary"
)

// Record is a member's description of itself.
type Record struct {
	ID          MemberID
	Incarnation uint32
	Version     uint32 // counts the changes
	Started     uint64 // ns since 1970
	Address     uint64 // its own endpoint: IPv4 << 16 | port, less than 2^48
	Interval    uint32 // µs between two of its beats, MinInterval..MaxInterval
	Partial     bool   // groups and queues are left out: ask for the record
	Ring        bool   // the member is in a ring of topics: its views say for others of that ring whether it is here
	Cluster     bool   // the same for the ring of a cluster
	Name        []byte // UTF-8, at most MaxName bytes; empty: it has none. Lent with the datagram

	lists []byte // fields of a Record that was read, from the first group or queue on, or earlier
}

// Consumes is a queue that a member takes messages from.
type Consumes struct {
	Queue    []byte // UTF-8, 1..MaxName bytes; lent with the datagram
	Handlers uint32 // 1 or more
	Rank     uint32 // 0: not exclusive; else 1 + its place in line
}

// Bounds of a Record.
const (
	MaxName     = 255       // bytes of the name of a member, a group, an in-box or a queue
	MaxGroups   = 16384     // groups of one member
	MaxConsumes = 4096      // queues that it takes messages from
	MaxRecord   = 256 << 10 // bytes of the encoding
)

// maxAddress is above the largest address.
const maxAddress = 1 << 48

// RecordLists is the groups and then the queues of a Record as the canonical layout has them. It is made
// with AppendGroup and AppendQueue, both in ascending order and without repetition.
type RecordLists []byte

// AppendGroup appends the name of a group.
func (l RecordLists) AppendGroup(name string) RecordLists {
	return append(appendLength(append(l, 9<<3|typeBytes), len(name)), name...)
}

// AppendQueue appends a queue that the member takes messages from.
func (l RecordLists) AppendQueue(queue string, handlers, rank uint32) RecordLists {
	l = appendLength(append(l, 10<<3|typeBytes), 1+varintLen(len(queue))+len(queue)+2*5)
	l = append(appendLength(append(l, 1<<3|typeBytes), len(queue)), queue...)
	return appendFixed32(appendFixed32(l, 2, handlers), 3, rank)
}

// The bits of a Record's flags.
const (
	recordPartial = 1 << 0
	recordRing    = 1 << 1
	recordCluster = 1 << 2
	recordFlags   = recordPartial | recordRing | recordCluster
)

const recordHead = 18 + 2*5 + 2*9 + 2*5

// RecordLen is the length in bytes of the encoding of a Record whose name and lists have these lengths.
func RecordLen(name, lists int) int {
	if name > 0 {
		name += 1 + varintLen(name)
	}
	return recordHead + name + lists
}

// AppendRecord appends the canonical encoding of r with these lists, RecordLen bytes. It checks nothing.
func AppendRecord(dst []byte, r *Record, lists RecordLists) []byte {
	dst = appendMember(dst, 1, r.ID)
	dst = appendFixed32(dst, 2, r.Incarnation)
	dst = appendFixed32(dst, 3, r.Version)
	dst = appendFixed64(dst, 4, r.Started)
	dst = appendFixed64(dst, 5, r.Address)
	dst = appendFixed32(dst, 6, r.Interval)
	flags := uint32(0)
	if r.Partial {
		flags |= recordPartial
	}
	if r.Ring {
		flags |= recordRing
	}
	if r.Cluster {
		flags |= recordCluster
	}
	dst = appendFixed32(dst, 7, flags)
	if len(r.Name) > 0 {
		dst = appendBytes(dst, 8, r.Name)
	}
	return append(dst, lists...)
}

// appendRecordField appends a field with a Record.
func appendRecordField(dst []byte, field byte, r *Record, lists RecordLists) []byte {
	dst = appendLength(append(dst, field<<3|typeBytes), RecordLen(len(r.Name), len(lists)))
	return AppendRecord(dst, r, lists)
}

// ParseRecord reads the Record that is b, canonical or not, and checks all of it. It fails with
// ErrMalformed or ErrRange. The Record keeps parts of b.
func ParseRecord(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, ErrRange
	}
	if isRecord(b) {
		return loadRecord(b), nil
	}
	return scanRecord(b)
}

// readRecord reads a Record that was checked before.
func readRecord(b []byte, canonical bool) Record {
	if canonical {
		return loadRecord(b)
	}
	r, _ := scanRecord(b)
	return r
}

// AppendLists appends the groups and the queues of a Record that was read in the canonical layout.
func (r *Record) AppendLists(dst RecordLists) RecordLists {
	groups, queues := r.Groups(), r.Queues()
	for g, ok := groups.Next(); ok; g, ok = groups.Next() {
		dst = appendBytes(dst, 9, g)
	}
	for q, ok := queues.Next(); ok; q, ok = queues.Next() {
		dst = appendLength(append(dst, 10<<3|typeBytes), 1+varintLen(len(q.Queue))+len(q.Queue)+2*5)
		dst = appendBytes(dst, 1, q.Queue)
		dst = appendFixed32(appendFixed32(dst, 2, q.Handlers), 3, q.Rank)
	}
	return dst
}

// Groups iterates over the groups of a Record that was read, in ascending order.
func (r *Record) Groups() GroupIter { return GroupIter{rest: r.lists} }

// GroupIter is one walk over the groups of a Record.
type GroupIter struct{ rest []byte }

// Next is the name of the next group, UTF-8 of 1..MaxName bytes, lent with the datagram. It is not ok at
// the end.
func (it *GroupIter) Next() (name []byte, ok bool) { return nextMessage(&it.rest, 9) }

// Queues iterates over the queues of a Record that was read, in ascending order.
func (r *Record) Queues() QueueIter { return QueueIter{rest: r.lists} }

// QueueIter is one walk over the queues of a Record.
type QueueIter struct{ rest []byte }

// Next is the next queue. It is not ok at the end.
func (it *QueueIter) Next() (c Consumes, ok bool) {
	b, ok := nextMessage(&it.rest, 10)
	if !ok {
		return c, false
	}
	c, err := scanConsumes(b)
	return c, err == nil
}

func canonicalRecord(b []byte, _ uint32) (uint32, bool) { return 0, isRecord(b) }

func judgeRecord(b []byte, _ uint32) (uint32, error) {
	_, err := scanRecord(b)
	return 0, err
}

// isRecordHead reports whether b begins with the fields of fixed size of a Record.
func isRecordHead(b []byte) bool {
	return len(b) >= recordHead && b[0] == 1<<3|typeBytes && b[1] == memberLen &&
		b[18] == 2<<3|typeFixed32 && b[23] == 3<<3|typeFixed32 && b[28] == 4<<3|typeFixed64 && b[37] == 5<<3|typeFixed64 &&
		b[46] == 6<<3|typeFixed32 && b[51] == 7<<3|typeFixed32
}

// isRecord reports whether b is a Record in the canonical layout and in range.
func isRecord(b []byte) bool {
	if !isRecordHead(b) || binary.LittleEndian.Uint32(b[52:])&^recordFlags != 0 {
		return false
	}
	r := loadRecord(b)
	if !r.inRange() || r.Partial && len(r.lists) > 0 {
		return false
	}
	if rest := b[recordHead:]; len(rest) > 0 && rest[0] == 8<<3|typeBytes && (len(r.Name) == 0 || !validText(r.Name)) {
		return false
	}
	rest, last, n := r.lists, []byte(nil), 0
	for ; len(rest) > 0 && rest[0] == 9<<3|typeBytes; n++ {
		name, after, ok := canonicalBytes(rest, 9)
		if !ok || n == MaxGroups || !isName(name, last) {
			return false
		}
		rest, last = after, name
	}
	for last, n = nil, 0; len(rest) > 0; n++ {
		body, after, ok := canonicalBytes(rest, 10)
		if !ok || n == MaxConsumes {
			return false
		}
		queue, tail, ok := canonicalBytes(body, 1)
		if !ok || len(tail) != 2*5 || tail[0] != 2<<3|typeFixed32 || tail[5] != 3<<3|typeFixed32 ||
			binary.LittleEndian.Uint32(tail[1:]) < 1 || !isName(queue, last) {
			return false
		}
		rest, last = after, queue
	}
	return true
}

// isName reports whether name is valid, not empty, and above the one before it.
func isName(name, last []byte) bool {
	return len(name) >= 1 && len(name) <= MaxName && bytes.Compare(name, last) > 0 && validText(name)
}

// inRange judges the fields of fixed size, and the length of the name.
func (r *Record) inRange() bool {
	return r.Address < maxAddress && intervalInRange(r.Interval) && len(r.Name) <= MaxName
}

func loadRecord(b []byte) Record {
	_ = b[recordHead-1]
	r := Record{
		ID:          MemberID(b[2:]),
		Incarnation: binary.LittleEndian.Uint32(b[19:]),
		Version:     binary.LittleEndian.Uint32(b[24:]),
		Started:     binary.LittleEndian.Uint64(b[29:]),
		Address:     binary.LittleEndian.Uint64(b[38:]),
		Interval:    binary.LittleEndian.Uint32(b[47:]),
		Partial:     b[52]&recordPartial != 0,
		Ring:        b[52]&recordRing != 0,
		Cluster:     b[52]&recordCluster != 0,
		lists:       b[recordHead:],
	}
	if name, rest, ok := canonicalBytes(r.lists, 8); ok {
		r.Name, r.lists = name, rest
	}
	return r
}

// scanRecord reads a Record in any layout, and checks all of it.
func scanRecord(b []byte) (r Record, err error) {
	const all = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7
	var id, group, queue []byte
	seen, groups, queues := uint32(0), 0, 0
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			id = s.bytes
		case s.is(2, typeFixed32):
			r.Incarnation = uint32(s.value)
		case s.is(3, typeFixed32):
			r.Version = uint32(s.value)
		case s.is(4, typeFixed64):
			r.Started = s.value
		case s.is(5, typeFixed64):
			r.Address = s.value
		case s.is(6, typeFixed32):
			r.Interval = uint32(s.value)
		case s.is(7, typeFixed32):
			r.Partial, r.Ring, r.Cluster = s.value&recordPartial != 0, s.value&recordRing != 0, s.value&recordCluster != 0
		case s.is(8, typeBytes):
			if !validText(s.bytes) {
				return r, ErrMalformed
			}
			r.Name = s.bytes
			continue
		case s.is(9, typeBytes):
			if !validText(s.bytes) {
				return r, ErrMalformed
			}
			if groups++; groups > MaxGroups || !isName(s.bytes, group) {
				return r, ErrRange
			}
			group = s.bytes
			continue
		case s.is(10, typeBytes):
			c, err := scanConsumes(s.bytes)
			if err != nil {
				return r, err
			}
			if queues++; queues > MaxConsumes || !isName(c.Queue, queue) {
				return r, ErrRange
			}
			queue = c.Queue
			continue
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != all:
		return r, ErrMalformed
	case len(id) != memberLen || !r.inRange() || r.Partial && groups+queues > 0:
		return r, ErrRange
	}
	r.ID, r.lists = MemberID(id), b
	return r, nil
}

// scanConsumes reads a Consumes in any layout. It leaves the length of the name to isName.
func scanConsumes(b []byte) (c Consumes, err error) {
	seen := uint32(0)
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeBytes):
			if !validText(s.bytes) {
				return c, ErrMalformed
			}
			c.Queue = s.bytes
		case s.is(2, typeFixed32):
			c.Handlers = uint32(s.value)
		case s.is(3, typeFixed32):
			c.Rank = uint32(s.value)
		default:
			continue
		}
		seen |= 1 << s.field
	}
	switch {
	case s.bad || seen != 1<<1|1<<2|1<<3:
		return c, ErrMalformed
	case c.Handlers < 1:
		return c, ErrRange
	}
	return c, nil
}
