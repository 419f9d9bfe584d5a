package fec

// Past tells whether the repair symbols of source datagram n, which is missing, have come or
// should have, by what came after them: in order, nothing of its block is to be expected. Where
// Mended guesses by the rate of the stream, this waits for a sign. It is false as long as nothing
// is known of the stream's blocks.
func (d *Decoder) Past(n uint64) bool {
	f := &d.forecast
	if !f.known {
		return false
	}
	for i := range d.open {
		if b := &d.open[i]; b.has(n) && b.highest+1 >= b.repairs {
			return true
		}
	}
	if n < f.end && (f.stride == 1 || n+f.span < f.end) {
		for i := range d.open {
			if b := &d.open[i]; b.has(n) && b.number(int(b.shape.sources)-1)+1 == f.end {
				return d.high > f.end+f.stride-1 // the latest block: some of its symbols may be on their way
			}
		}
		return true
	}
	return d.high > f.blockEnd(n)
}
