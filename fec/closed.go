package fec

import "github.com/activeblaze/blaze/clock"

// Closed tells when the block of source datagram number was closed, or last had more repair
// symbols made. It is not ok while the block is open, and when it is not known any more.
func (e *Encoder) Closed(number uint64) (at clock.Time, ok bool) {
	stride := uint64(len(e.blocks))
	lo, hi := e.closed-min(e.closed, recentBlocks), e.closed
	oldest := lo
	for lo < hi { // the first block that begins above number
		mid := (lo + hi) / 2
		if e.recent[mid%recentBlocks].first <= number {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for i := lo; i > oldest && lo-i < stride; i-- {
		c := &e.recent[(i-1)%recentBlocks]
		if d := number - c.first; d%stride == 0 && d/stride < uint64(c.sources) {
			return c.at, true
		}
	}
	return 0, false
}
