package wire

import "encoding/binary"

// Table is a frame of kind FrameMembers: what the transmitter has in its table, or a part of that.
type Table struct {
	Compare bool    // Records have ids, incarnations and versions that count, and no lists: answer with what I lack
	More    bool    // more such frames follow
	Nonces  Numbers // of the Hellos that this answers, at most MaxNonces
	Count   int     // Records, 0..MaxRecords

	lists     []byte
	canonical bool
}

// Bounds of a Table.
const (
	MaxNonces  = 8
	MaxRecords = 64
)

const (
	membersHead    = 5
	membersCompare = 1 << 0
	membersMore    = 1 << 1 // bits of the flags
)

// MembersOverhead is what a members frame has besides its records, in bytes, at most.
const MembersOverhead = 2 + 3 + membersHead + 2 + 8*MaxNonces

var membersLayout = newLayout(membersInRange,
	flags(membersCompare|membersMore), // flags
	blob,                              // nonces
	listed,                            // members
).withNested(MaxRecords, canonicalRecord, judgeRecord)

// AppendTableRecord appends one record, with these lists, to those of a Table that AppendMembers writes.
func AppendTableRecord(records []byte, r *Record, lists RecordLists) []byte {
	return appendRecordField(records, 3, r, lists)
}

// TableRecordSize is how many bytes AppendTableRecord appends for a record that takes so many.
func TableRecordSize(record int) int { return 1 + varintLen(record) + record }

// AppendMembers appends t as one frame, with records that AppendTableRecord has made. It checks nothing: a
// receiver refuses values outside their bounds.
func AppendMembers(dst []byte, t *Table, records []byte) []byte {
	flags := uint32(0)
	if t.Compare {
		flags |= membersCompare
	}
	if t.More {
		flags |= membersMore
	}
	dst = appendLength(append(dst, 0xEA, 0x01), membersHead+1+varintLen(len(t.Nonces))+len(t.Nonces)+len(records))
	dst = appendFixed32(dst, 1, flags)
	dst = appendBytes(dst, 2, t.Nonces)
	return append(dst, records...)
}

// Members reads a frame of kind FrameMembers. Its lists are lent with the datagram.
func (f *Frame) Members() Table {
	b := f.head
	_ = b[membersHead-1]
	flags := binary.LittleEndian.Uint32(b[1:])
	return Table{
		Compare:   flags&membersCompare != 0,
		More:      flags&membersMore != 0,
		Nonces:    f.bytes[0],
		Count:     int(f.parts.count),
		lists:     f.lists,
		canonical: f.canonical,
	}
}

func membersInRange(p *parts) bool {
	n := len(p.bytes[0])
	return n%8 == 0 && n <= 8*MaxNonces
}

// Records iterates over the records.
func (t *Table) Records() RecordIter { return RecordIter{rest: t.lists, canonical: t.canonical} }

// RecordIter is one walk over the records of a Table.
type RecordIter struct {
	rest      []byte
	canonical bool
}

// Next is the next Record, lent with the datagram. It is not ok at the end.
func (it *RecordIter) Next() (r Record, ok bool) {
	b, ok := nextMessage(&it.rest, 3)
	if ok {
		r = readRecord(b, it.canonical)
	}
	return r, ok
}
