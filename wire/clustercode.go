package wire

import (
	"encoding/binary"
	"slices"
)

// ClusterKind is which message a ClusterMessage is. Its value is the field's number.
type ClusterKind uint8

// The kinds.
const (
	KindState  ClusterKind = 1
	KindFill   ClusterKind = 2
	KindClaim  ClusterKind = 3
	KindSynced ClusterKind = 4
	KindBatch  ClusterKind = 5
	KindForce  ClusterKind = 6

	KindCompared ClusterKind = 7
)

// TransferKind is which message a Transfer is. Its value is the field's number.
type TransferKind uint8

// The kinds.
const (
	KindFetch  TransferKind = 1
	KindChunk  TransferKind = 2
	KindRecent TransferKind = 3
)

// A clusterPart is a message whose fields one function lists, for writing and for reading. The messages of a
// cluster that are rare are such: reading one allocates its lists.
type clusterPart interface{ code(*coder) }

// AppendCluster appends a ClusterMessage with m, which is one of *ClusterState, *ClusterFill, *ClusterClaim,
// *ClusterSynced, *ClusterForce and *ClusterCompared: kind says which. It checks nothing.
func AppendCluster(dst []byte, kind ClusterKind, m clusterPart) []byte {
	return appendPart(dst, byte(kind), m)
}

// AppendTransfer appends a Transfer with m, which is one of *ClusterFetch, *ClusterChunk and *ClusterRecent:
// kind says which. It checks nothing.
func AppendTransfer(dst []byte, kind TransferKind, m clusterPart) []byte {
	return appendPart(dst, byte(kind), m)
}

func appendPart(dst []byte, number byte, m clusterPart) []byte {
	c := coder{dst: dst}
	nest(&c, number, m)
	return c.dst
}

// PartChecksum is the CRC-32C of a ClusterChunk's Data.
func PartChecksum(data []byte) uint32 { return checksum(0, data) }

// AppendClusterPart appends the bare encoding of m: what ParseClusterPart reads.
func AppendClusterPart(dst []byte, m clusterPart) []byte {
	c := coder{dst: dst}
	m.code(&c)
	return c.dst
}

// ParseCluster splits a ClusterMessage. body is for ParseClusterPart, or of KindBatch for ParseBatch. It fails
// with ErrMalformed or ErrRange.
func ParseCluster(b []byte) (kind ClusterKind, body []byte, err error) {
	if len(b) > MaxCluster {
		return 0, nil, ErrRange
	}
	k, body, err := splitOne(b, byte(KindCompared))
	return ClusterKind(k), body, err
}

// ParseTransfer splits a Transfer. body is for ParseClusterPart. It fails with ErrMalformed or ErrRange.
func ParseTransfer(b []byte) (kind TransferKind, body []byte, err error) {
	if len(b) > MaxTransfer {
		return 0, nil, ErrRange
	}
	k, body, err := splitOne(b, byte(KindRecent))
	return TransferKind(k), body, err
}

// ParseClusterPart reads b, which is the encoding of a T in any layout, into m, and checks all of it but the
// batches inside. It fails with ErrMalformed or ErrRange; then m is unspecified. Slices of bytes in m are lent
// with b; the other lists are m's own.
func ParseClusterPart[T any, P interface {
	*T
	clusterPart
}](b []byte, m P) error {
	*m = *new(T)
	return readPart(b, m)
}

// splitOne reads a message in which exactly one of the fields 1 to last is present.
func splitOne(b []byte, last byte) (number byte, body []byte, err error) {
	if len(b) > 0 {
		n := b[0] >> 3
		if v, rest, ok := canonicalBytes(b, n); ok && len(rest) == 0 && n >= 1 && n <= last {
			return n, v, nil
		}
	}
	s := scanner{rest: b}
	for s.next() {
		if s.typ != typeBytes || s.field > uint32(last) {
			continue
		}
		if number != 0 {
			return 0, nil, ErrMalformed
		}
		number, body = byte(s.field), s.bytes
	}
	if s.bad || number == 0 {
		return 0, nil, ErrMalformed
	}
	return number, body, nil
}

// coder writes the fields of a part, or reads them: one call of the part's code for each field that is there,
// and one more at the end.
type coder struct {
	dst []byte // written so far

	reading bool
	s       scanner // stands on the field that is read; on field 0 in the last call
	want    uint32  // bits of field numbers: those that are required
	seen    uint32  // those that were read
	wrong   uint32  // those whose last value is outside its bounds
	err     error   // of a message inside
}

func readPart(b []byte, m clusterPart) error {
	c := coder{reading: true, s: scanner{rest: b}}
	for c.s.next() {
		m.code(&c)
		if c.err != nil {
			return c.err
		}
	}
	c.s.field = 0
	m.code(&c)
	switch {
	case c.s.bad || c.seen&c.want != c.want:
		return ErrMalformed
	case c.wrong != 0:
		return ErrRange
	}
	return nil
}

// is reports whether a field is to be read, and notes that it is there.
func (c *coder) is(n byte, typ uint8, required bool) bool {
	if required {
		c.want |= 1 << n
	}
	if !c.s.is(uint32(n), typ) {
		return false
	}
	c.seen |= 1 << n
	c.wrong &^= 1 << n
	return true
}

// check notes that the value of field n is outside its bounds, unless it is ok.
func (c *coder) check(n byte, ok bool) {
	if !ok {
		c.wrong |= 1 << n
	}
}

// bound is a condition on several fields. It counts once all are there.
func (c *coder) bound(ok bool) {
	if c.reading && c.s.field == 0 {
		c.check(0, ok)
	}
}

func (c *coder) fixed64(n byte, v *uint64) {
	if !c.reading {
		c.dst = appendFixed64(c.dst, n, *v)
	} else if c.is(n, typeFixed64, true) {
		*v = c.s.value
	}
}

func (c *coder) fixed32(n byte, v *uint32) {
	if !c.reading {
		c.dst = appendFixed32(c.dst, n, *v)
	} else if c.is(n, typeFixed32, true) {
		*v = uint32(c.s.value)
	}
}

func (c *coder) signed(n byte, v *int64) {
	u := uint64(*v)
	c.fixed64(n, &u)
	*v = int64(u)
}

// flags is bits of a fixed32, from the lowest on.
func (c *coder) flags(n byte, flags ...*bool) {
	v := uint32(0)
	for i, f := range flags {
		if *f {
			v |= 1 << i
		}
	}
	c.fixed32(n, &v)
	for i, f := range flags {
		*f = v&(1<<i) != 0
	}
}

// bytes is a field that is required.
func (c *coder) bytes(n byte, b *[]byte) {
	if !c.reading {
		c.dst = appendLong(c.dst, n, *b)
	} else if c.is(n, typeBytes, true) {
		*b = c.s.bytes
	}
}

// optionalBytes is a field that is absent where it is empty.
func (c *coder) optionalBytes(n byte, b *[]byte) {
	if !c.reading {
		if len(*b) > 0 {
			c.dst = appendLong(c.dst, n, *b)
		}
	} else if c.is(n, typeBytes, false) {
		*b = c.s.bytes
	}
}

// text is UTF-8, which is absent where it is empty.
func (c *coder) text(n byte, v *string) {
	if !c.reading {
		if *v != "" {
			c.dst = append(binary.AppendUvarint(append(c.dst, n<<3|typeBytes), uint64(len(*v))), *v...)
		}
	} else if c.is(n, typeBytes, false) {
		if !validText(c.s.bytes) {
			c.err = ErrMalformed
		}
		*v = string(c.s.bytes)
	}
}

// texts is a list of at most so many texts of 1 to MaxName bytes, ascending.
func (c *coder) texts(n byte, list *[]string, most int) {
	if !c.reading {
		for i := range *list {
			c.text(n, &(*list)[i])
		}
	} else if c.is(n, typeBytes, false) {
		if !validText(c.s.bytes) {
			c.err = ErrMalformed
		} else if k := len(*list); k == most || len(c.s.bytes) == 0 || len(c.s.bytes) > MaxName || k > 0 && (*list)[k-1] >= string(c.s.bytes) {
			c.err = ErrRange
		} else {
			*list = append(*list, string(c.s.bytes))
		}
	}
}

func (c *coder) id(n byte, id *[16]byte) {
	b := id[:]
	c.bytes(n, &b)
	if c.reading && c.s.is(uint32(n), typeBytes) {
		c.check(n, len(b) == len(id))
		copy(id[:], b)
	}
}

// ring is a RingID, which may be zero.
func (c *coder) ring(n byte, r *RingID) {
	b := append(make([]byte, 0, 24), r.Rep[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	c.bytes(n, &b)
	if c.reading && c.s.is(uint32(n), typeBytes) {
		if c.check(n, len(b) == 24); len(b) == 24 {
			*r = RingID{Rep: MemberID(b), Seq: binary.LittleEndian.Uint64(b[16:])}
			c.check(n, r.Seq <= MaxRingSeq)
		}
	}
}

// chain is a Chain, which may be zero.
func (c *coder) chain(n byte, v *Chain) {
	b := append(make([]byte, 0, 32), v.Ring.Rep[:]...)
	b = binary.LittleEndian.AppendUint64(b, v.Ring.Seq)
	b = binary.LittleEndian.AppendUint64(b, v.Founded)
	c.bytes(n, &b)
	if c.reading && c.s.is(uint32(n), typeBytes) {
		if c.check(n, len(b) == 32); len(b) == 32 {
			v.Ring = RingID{Rep: MemberID(b), Seq: binary.LittleEndian.Uint64(b[16:])}
			v.Founded = binary.LittleEndian.Uint64(b[24:])
			c.check(n, v.Ring.Seq <= MaxRingSeq)
		}
	}
}

func (c *coder) voters(n byte, v *[]Voter) { packed(c, n, v, voterLen, putVoter, getVoter) }

// packed is a list of at most MaxRing values of fixed size in one field of bytes.
func packed[T any](c *coder, n byte, list *[]T, size int, put func([]byte, T) []byte, get func([]byte) (T, bool)) {
	if !c.reading {
		c.dst = appendLong(c.dst, n, nil)
		at := len(c.dst)
		for _, v := range *list {
			c.dst = put(c.dst, v)
		}
		c.setLength(at)
	} else if c.is(n, typeBytes, true) {
		var ok bool
		*list, ok = unpack(c.s.bytes, size, get)
		c.check(n, ok)
	}
}

func unpack[T any](b []byte, size int, get func([]byte) (T, bool)) (list []T, ok bool) {
	if len(b)%size != 0 || len(b) > MaxRing*size {
		return nil, false
	}
	for ; len(b) > 0; b = b[size:] {
		v, ok := get(b)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

// nest is a message inside, which is required.
func nest(c *coder, n byte, m clusterPart) {
	if !c.reading {
		c.dst = append(c.dst, n<<3|typeBytes, 0)
		at := len(c.dst)
		m.code(c)
		c.setLength(at)
		return
	}
	again := c.seen&(1<<n) != 0
	if c.is(n, typeBytes, true) {
		if again {
			c.err = ErrMalformed // protobuf would merge them
			return
		}
		c.err = readPart(c.s.bytes, m)
	}
}

// nestOptional is a message inside, which is absent where it is nil.
func nestOptional[T any, P interface {
	*T
	clusterPart
}](c *coder, n byte, m *P) {
	if !c.reading {
		if *m != nil {
			nest(c, n, *m)
		}
	} else if c.s.is(uint32(n), typeBytes) {
		if *m == nil {
			*m = new(T)
		}
		nest(c, n, *m)
	}
}

// nestList is a list of at most so many messages.
func nestList[T any, P interface {
	*T
	clusterPart
}](c *coder, n byte, list *[]T, most int) {
	if !c.reading {
		for i := range *list {
			nest(c, n, P(&(*list)[i]))
		}
	} else if c.s.is(uint32(n), typeBytes) {
		if len(*list) == most {
			c.err = ErrRange
			return
		}
		*list = append(*list, *new(T))
		c.err = readPart(c.s.bytes, P(&(*list)[len(*list)-1]))
	}
}

// setLength puts the length of what was written from at on into its place, the one byte before.
func (c *coder) setLength(at int) {
	n := len(c.dst) - at
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	c.dst = slices.Insert(c.dst, at, length[1:size]...)
	c.dst[at-1] = length[0]
}

// appendLong appends a field of bytes of any length.
func appendLong(dst []byte, n byte, b []byte) []byte {
	return append(binary.AppendUvarint(append(dst, n<<3|typeBytes), uint64(len(b))), b...)
}
