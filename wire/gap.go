package wire

// Gap names Count datagrams of a stream that are missing, starting at First.
type Gap struct {
	First uint64 // lowest missing datagram number, from 1
	Count uint32 // datagrams, 1 or more; First+Count is at most 2^64-1
}

// AppendGap appends the canonical encoding of g: 14 bytes, tags 0x09 and 0x15.
func AppendGap(dst []byte, g Gap) []byte {
	return appendFixed32(appendFixed64(dst, 1, g.First), 2, g.Count)
}

// ParseGap decodes the Gap that is b, canonical or not. It fails with ErrMalformed or ErrRange,
// keeps no reference to b and skips unknown fields.
func ParseGap(b []byte) (Gap, error) {
	first, count, ok := scanPair(b)
	switch {
	case !ok:
		return Gap{}, ErrMalformed
	case !nakLayout.pairs.inRange(first, count):
		return Gap{}, ErrRange
	}
	return Gap{First: first, Count: count}, nil
}
