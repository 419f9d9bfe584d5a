package fec

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// More makes count more repair symbols of a closed block, since a receiver lacks that many: the
// ones with the next indexes, which no receiver has yet, so that they serve every receiver whatever
// it lost. Within holdOff, which should be a round trip, of the last time, what was made then
// counts: of two receivers that ask for 2 and for 3, the second one has one more made.
//
// It is false when the block is not known any more, its source datagrams are gone or its indexes
// are used up. Then the datagrams themselves have to be sent again, as far as they are there.
func (e *Encoder) More(now clock.Time, block uint64, count int, holdOff time.Duration) bool {
	c := e.find(block)
	if c == nil || e.cfg.Held == nil || count < 1 {
		return false
	}
	if c.burst > 0 && now.Sub(c.at) < holdOff {
		made := min(int(c.burst), count)
		e.stats.HeldOff += uint64(made)
		if count -= made; count == 0 {
			return true
		}
	} else {
		c.burst = 0
	}
	count = min(count, int(c.sources))
	if int(c.next)+count > MaxSymbol-int(c.sources) {
		return false
	}
	for range count {
		if !e.makeRow(c, int(c.next)) {
			return false
		}
		c.next++
		c.burst++
		c.at = now
	}
	return true
}

// makeRow computes repair symbol r of a closed block from the source datagrams.
func (e *Encoder) makeRow(c *closedBlock, r int) bool {
	row := e.row[:padded(c.size)]
	clear(row)
	for i := range int(c.sources) {
		number := c.first + uint64(i*len(e.blocks))
		datagram := e.cfg.Held.Datagram(number)
		if datagram == nil {
			return false
		}
		n := e.fill(datagram, number)
		if n == 0 || n > c.size {
			return false
		}
		AccumulateRow(row, r, i, e.stage[:padded(n)])
	}
	if !e.send(c, r, row[:c.size]) {
		return false
	}
	e.stats.Asked++
	return true
}

// find is the closed block that begins with datagram first, nil when it is not known.
func (e *Encoder) find(first uint64) *closedBlock {
	lo, hi := e.closed-min(e.closed, recentBlocks), e.closed
	for lo < hi {
		mid := (lo + hi) / 2
		if e.recent[mid%recentBlocks].first < first {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == e.closed || e.recent[lo%recentBlocks].first != first {
		return nil
	}
	return &e.recent[lo%recentBlocks]
}

// Closed returns when the block that holds source datagram number was closed, or last got additional
// repair symbols. ok is false while the block is open, and after it was forgotten.
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
