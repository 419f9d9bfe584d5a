package fec

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// forecast is what a receiver expects of the stream's blocks, from those that it has seen.
type forecast struct {
	rhythm rhythm // of new datagrams
	known  bool
	end    uint64 // one above the last datagram of the latest block
	span   uint64 // datagrams of a full group of blocks
	stride uint64
}

// learn takes in the shape of a block.
func (f *forecast) learn(x *shape) {
	span, end := uint64(x.sources)*uint64(x.stride), x.number(int(x.sources)-1)+1
	if f.known && end < f.end {
		return // a late symbol of an older one
	}
	if f.known && end == f.end {
		span = max(span, f.span) // another symbol of the same one
	} else if f.known {
		span = max(span, f.span*7/8) // a short block hardly shortens what is expected
	}
	f.known, f.end, f.span, f.stride = true, end, span, uint64(x.stride)
}

// blockEnd is one above the last datagram that has to come before the block of n can have its
// repair symbols. Interleaved blocks end one after the other, so their end is known to within
// stride-1.
func (f *forecast) blockEnd(n uint64) uint64 {
	if n < f.end {
		return f.end + f.stride - 1
	}
	return f.end + ((n-f.end)/f.span+1)*f.span
}

// Mended returns when source datagram n, which is missing, will have been rebuilt if repair symbols
// can do it: when its block ends at the present rate, or because the stream pauses, and its
// repair symbols have followed. A time that is not after now means that they have come, or should
// have. It is not ok as long as nothing is known of the stream's blocks.
//
// It is an estimate, for the decision whether to ask for n at once or to wait. See
// docs/decisions/fec-integration.md.
func (d *Decoder) Mended(now clock.Time, n uint64) (at clock.Time, ok bool) {
	f := &d.forecast
	if !f.known {
		return 0, false
	}
	spread := min(max(f.rhythm.smooth+f.rhythm.variation, shortestPause), d.cfg.MaxOpen)
	for i := range d.open {
		b := d.open[i]
		if !b.has(n) {
			continue
		}
		if b.highest+1 >= b.repairs {
			return b.last, true // its last symbol has come, and it was not enough
		}
		return b.last.Add(spread), true
	}
	if n < f.end && (f.stride == 1 || n+f.span < f.end) {
		return now, true // its block is past
	}
	end := f.blockEnd(n)
	if n < f.end && d.high > end {
		return now, true // interleaved, and all blocks of its group have ended
	}
	left := time.Duration(end-min(end, d.high)) * f.rhythm.smooth
	// If the stream pauses now, that ends the block, and it takes this long to be noticed.
	left = max(left, f.rhythm.pause(shortestPause, d.cfg.MaxOpen))
	return f.rhythm.last.Add(min(left, d.cfg.MaxOpen) + spread), true
}

// Lacking returns how many more repair symbols the block of source datagram n needs. It is not ok
// when no repair symbol of that block has come: then only the datagram itself can be asked for.
func (d *Decoder) Lacking(n uint64) (block uint64, count int, ok bool) {
	for i := range d.open {
		b := d.open[i]
		if !b.has(n) {
			continue
		}
		for c := range int(b.shape.sources) {
			if b.sources[c] == nil {
				count++
			}
		}
		return b.first, count - b.held, count > b.held
	}
	return 0, 0, false
}

// Past reports whether the repair symbols of source datagram n, which is missing, have come or
// should have, by what came after them: if datagrams come in order, no other of its block can follow.
// Where Mended guesses by the rate of the stream, this waits for a sign. It is false as long as no
// block of the stream is known.
func (d *Decoder) Past(n uint64) bool {
	f := &d.forecast
	if !f.known {
		return false
	}
	for i := range d.open {
		if b := d.open[i]; b.has(n) && b.highest+1 >= b.repairs {
			return true
		}
	}
	if n < f.end && (f.stride == 1 || n+f.span < f.end) {
		for i := range d.open {
			if b := d.open[i]; b.has(n) && b.number(int(b.shape.sources)-1)+1 == f.end {
				return d.high > f.end+f.stride-1 // the latest block: some of its symbols may be on their way
			}
		}
		return true
	}
	return d.high > f.blockEnd(n)
}
