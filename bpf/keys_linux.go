package bpf

import (
	"math"
	"sync/atomic"
)

// SetLanes changes the lanes that are wanted, as Config.Lanes: nil all, empty none. A lane that is
// wanted before and afterwards is redirected all the time.
func (f *Filter) SetLanes(ranges [][2]uint32) error {
	if err := checkLanes(ranges); err != nil {
		return err
	}
	return f.change(func() { f.storeLanes(ranges) })
}

// storeLanes writes each word of the lanes' bits that changes once. It takes about a microsecond:
// all words are compared, and few change.
func (f *Filter) storeLanes(ranges [][2]uint32) {
	var words [len(f.keys.Lanes)]uint64
	if ranges == nil {
		ranges = [][2]uint32{{0, MaxLanes - 1}}
	}
	for _, r := range ranges {
		for l := r[0]; l <= r[1]; {
			n := min(64-l%64, r[1]-l+1) // lanes of the range in this word
			words[l/64] |= math.MaxUint64 >> (64 - n) << (l % 64)
			l += n
		}
	}
	for i, w := range words {
		if at := &f.keys.Lanes[i]; atomic.LoadUint64(at) != w {
			atomic.StoreUint64(at, w)
		}
	}
}

func (f *Filter) change(store func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	store()
	return nil
}
