package wire

import "encoding/binary"

// OpKind is what an operation of a cluster does.
type OpKind uint8

// The kinds. Zero is never sent; what is not listed is from newer members.
const (
	OpPut         OpKind = 1
	OpDelete      OpKind = 2
	OpLock        OpKind = 3
	OpUnlock      OpKind = 4
	OpExtend      OpKind = 5
	OpCancel      OpKind = 6
	OpExpire      OpKind = 7
	OpExpireEntry OpKind = 8
	OpRelease     OpKind = 9
	OpReady       OpKind = 10
	OpExit        OpKind = 11
	OpSweep       OpKind = 12
	OpWeight      OpKind = 13
	OpRules       OpKind = 14
	OpService     OpKind = 15 // Value is an operation of the service that Key names
	OpTick        OpKind = 16 // Expires is the time for the service that Key names
	OpAnswers     OpKind = 17 // what the services have answered so far is compared
	OpServe       OpKind = 18 // the service that Key names is in force from here on
)

// Mapped reports whether an operation of this kind is about a key of a map.
func (k OpKind) Mapped() bool { return k >= OpPut && k <= OpRelease }

// ClusterOp is one operation. Which fields it needs, and what they mean there, is its kind's matter: what it
// does not need is zero. The slices are lent with the message.
type ClusterOp struct {
	Kind         OpKind
	Compare      bool   // of a put or delete: Version is the version that the entry must have, 0: that there is none
	HasToken     bool   // of a put or delete: Token is that of the lock's holder
	RemoveOnExit bool   // of a put
	Try          bool   // of a lock
	Keep         bool   // of a lock: it is not orphaned by its holder's exit
	Map          []byte // UTF-8, at most MaxMapName bytes; of the kinds that are Mapped, else nil
	Key          []byte // at most MaxKey bytes
	Value        []byte // at most MaxClusterValue bytes
	Version      uint64 // index of the operation that wrote the entry; of an expiry: that renewed the lock
	Token        uint64
	Request      uint64 // the proposer's number of the call
	TTL, Lease   int64  // ns, 0..MaxTerm
	Expires      int64  // ns since 1970: for information; of a tick, the leader's wall clock
	Member       MemberID
	Seat         Seat
	Weight       int64
	Rules        uint32
}

// ClusterBatch is operations of one member, in order.
type ClusterBatch struct {
	Stamp uint64 // µs since 1970 by the member's wall clock
	Count int    // operations, 1..MaxClusterOps

	ops []byte
}

// ClusterOps is operations as they lie in a ClusterBatch. It is made with Append.
type ClusterOps []byte

// Bits of an operation's head.
const (
	opCompare      = 1 << 8
	opHasToken     = 1 << 9
	opRemoveOnExit = 1 << 10
	opTry          = 1 << 11
	opKeep         = 1 << 12
	opKnown        = 0xFF | opCompare | opHasToken | opRemoveOnExit | opTry | opKeep

	tagOps = 2<<3 | typeBytes
)

// ClusterBatchOverhead is what a ClusterMessage with a batch has besides its operations, in bytes, at most.
const ClusterBatchOverhead = 1 + 4 + 9

// Size is how many bytes Append adds for op, where last is the map of the last operation before it that is
// Mapped; empty: there is none.
func (op *ClusterOp) Size(last []byte) int {
	n := op.bodySize(last)
	return 1 + uvarintLen(n) + n
}

func (op *ClusterOp) bodySize(last []byte) int {
	n := 5 + longLen(op.Key) + longLen(op.Value)
	if op.changesMap(last) {
		n += 1 + uvarintLen(len(op.Map)) + len(op.Map)
	}
	for _, v := range op.numbers() {
		if v != 0 {
			n += 9
		}
	}
	if op.Member != (MemberID{}) {
		n += 2 + memberLen
	}
	if op.Seat != (Seat{}) {
		n += 2 + memberLen
	}
	if op.Rules != 0 {
		n += 5
	}
	return n
}

// changesMap reports whether the map is written behind an operation on last.
func (op *ClusterOp) changesMap(last []byte) bool {
	return op.Kind.Mapped() && string(op.Map) != string(last)
}

// numbers is the fields 5 to 10, and 13.
func (op *ClusterOp) numbers() [7]uint64 {
	return [...]uint64{op.Version, op.Token, op.Request, uint64(op.TTL), uint64(op.Lease), uint64(op.Expires), uint64(op.Weight)}
}

// Append appends op, where last is as for Size. It checks nothing.
func (l ClusterOps) Append(op *ClusterOp, last []byte) ClusterOps {
	l = binary.AppendUvarint(append(l, tagOps), uint64(op.bodySize(last)))
	head := uint32(op.Kind)
	for i, f := range [...]bool{op.Compare, op.HasToken, op.RemoveOnExit, op.Try, op.Keep} {
		if f {
			head |= opCompare << i
		}
	}
	l = appendFixed32(l, 1, head)
	if op.changesMap(last) {
		l = appendLong(l, 2, op.Map)
	}
	if len(op.Key) > 0 {
		l = appendLong(l, 3, op.Key)
	}
	if len(op.Value) > 0 {
		l = appendLong(l, 4, op.Value)
	}
	numbers := op.numbers()
	for i, v := range numbers[:6] {
		if v != 0 {
			l = appendFixed64(l, byte(5+i), v)
		}
	}
	if op.Member != (MemberID{}) {
		l = appendMember(l, 11, op.Member)
	}
	if op.Seat != (Seat{}) {
		l = appendMember(l, 12, MemberID(op.Seat))
	}
	if op.Weight != 0 {
		l = appendFixed64(l, 13, uint64(op.Weight))
	}
	if op.Rules != 0 {
		l = appendFixed32(l, 14, op.Rules)
	}
	return l
}

// AppendBatch appends a ClusterMessage with a batch of these operations. It checks nothing.
func AppendBatch(dst []byte, stamp uint64, ops ClusterOps) []byte {
	dst = binary.AppendUvarint(append(dst, byte(KindBatch)<<3|typeBytes), uint64(9+len(ops)))
	return append(appendFixed64(dst, 1, stamp), ops...)
}

// ParseBatch reads the body of a batch, in any layout, and checks all of it. It fails with ErrMalformed or
// ErrRange, alike at every member. The batch keeps parts of b. Nothing is allocated.
func ParseBatch(b []byte) (ClusterBatch, error) {
	var batch ClusterBatch
	var last []byte
	var op ClusterOp
	stamped := false
	if len(b) >= 9 && b[0] == 1<<3|typeFixed64 {
		batch.Stamp, stamped, b = binary.LittleEndian.Uint64(b[1:]), true, b[9:]
	}
	batch.ops = b
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed64):
			batch.Stamp, stamped = s.value, true
		case s.is(2, typeBytes):
			if batch.Count++; batch.Count > MaxClusterOps {
				return batch, ErrRange
			}
			if err := op.parse(s.bytes, &last); err != nil {
				return batch, err
			}
		}
	}
	switch {
	case s.bad || !stamped:
		return batch, ErrMalformed
	case batch.Count < 1:
		return batch, ErrRange
	}
	return batch, nil
}

// Ops iterates over the operations, without allocating.
func (b *ClusterBatch) Ops() ClusterOpIter { return ClusterOpIter{s: scanner{rest: b.ops}} }

// ClusterOpIter is one walk over the operations of a ClusterBatch:
//
//	it := batch.Ops()
//	for it.Step() {
//		use(&it.ClusterOp, it.Bytes)
//	}
type ClusterOpIter struct {
	ClusterOp        // the current operation
	Bytes     []byte // its encoding, without the map where the wire leaves it out
	s         scanner
	last      []byte
}

// Step moves to the next operation. It is false at the end.
func (it *ClusterOpIter) Step() bool {
	for it.s.next() {
		if it.s.is(2, typeBytes) {
			it.Bytes = it.s.bytes
			return it.ClusterOp.parse(it.Bytes, &it.last) == nil
		}
	}
	return false
}

// ParseOp reads one operation, which is Bytes of a ClusterOpIter, with the map last where it has none itself.
func (op *ClusterOp) ParseOp(b, last []byte) error { return op.parse(b, &last) }

// parse reads one operation in any layout, and checks it. last is the map of the last one, and becomes op's.
func (op *ClusterOp) parse(b []byte, last *[]byte) error {
	*op = ClusterOp{}
	head, seen := uint32(0), false
	var name, member, seat []byte
	named, bad := false, false
	// The fields of a put come first, as this package writes them.
	if len(b) >= 5 && b[0] == 1<<3|typeFixed32 {
		head, seen, b = binary.LittleEndian.Uint32(b[1:]), true, b[5:]
		if v, rest, ok := canonicalBytes(b, 2); ok {
			name, named, bad, b = v, true, !validText(v), rest
		}
		if v, rest, ok := canonicalBytes(b, 3); ok {
			op.Key, b = v, rest
		}
		if v, rest, ok := canonicalBytes(b, 4); ok {
			op.Value, b = v, rest
		}
	}
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed32):
			head, seen = uint32(s.value), true
		case s.is(2, typeBytes):
			name, named, bad = s.bytes, true, bad || !validText(s.bytes)
		case s.is(3, typeBytes):
			op.Key = s.bytes
		case s.is(4, typeBytes):
			op.Value = s.bytes
		case s.is(5, typeFixed64):
			op.Version = s.value
		case s.is(6, typeFixed64):
			op.Token = s.value
		case s.is(7, typeFixed64):
			op.Request = s.value
		case s.is(8, typeFixed64):
			op.TTL = int64(s.value)
		case s.is(9, typeFixed64):
			op.Lease = int64(s.value)
		case s.is(10, typeFixed64):
			op.Expires = int64(s.value)
		case s.is(11, typeBytes):
			member = s.bytes
		case s.is(12, typeBytes):
			seat = s.bytes
		case s.is(13, typeFixed64):
			op.Weight = int64(s.value)
		case s.is(14, typeFixed32):
			op.Rules = uint32(s.value)
		}
	}
	if s.bad || bad || !seen {
		return ErrMalformed
	}
	op.Kind = OpKind(head)
	op.Compare, op.HasToken, op.RemoveOnExit = head&opCompare != 0, head&opHasToken != 0, head&opRemoveOnExit != 0
	op.Try, op.Keep = head&opTry != 0, head&opKeep != 0
	if op.Kind < 1 || head&^opKnown != 0 || len(name) > MaxMapName || len(op.Key) > MaxKey || len(op.Value) > MaxClusterValue ||
		op.TTL < 0 || op.TTL > MaxTerm || op.Lease < 0 || op.Lease > MaxTerm ||
		member != nil && len(member) != memberLen || seat != nil && len(seat) != memberLen {
		return ErrRange
	}
	if member != nil {
		op.Member = MemberID(member)
	}
	if seat != nil {
		op.Seat = Seat(seat)
	}
	if op.Kind.Mapped() {
		if named {
			*last = name
		}
		op.Map = *last
	}
	return nil
}

// longLen is the length of a field of bytes, 0 where it is empty.
func longLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return 1 + uvarintLen(len(b)) + len(b)
}

// uvarintLen is the length of the shortest varint.
func uvarintLen(n int) int {
	if n < 1<<21 {
		return varintLen(n)
	}
	return 4 // below 1<<28
}
