package nack

import (
	"github.com/activeblaze/blaze/clock"
)

// gap is a run of missing datagrams, first <= n < end, that were noticed and asked for together.
type gap struct {
	first, end  uint64
	noticed     clock.Time
	at          clock.Time // when to ask, or to ask again
	asked       clock.Time // when it was last asked for; 0: never
	since       clock.Time // when it was first asked for; 0: never, or there is no room for it
	attempts    uint16     // how often
	failedAt    clock.Time // when it was last counted
	failed      uint16     // how often since any of the run came
	unheard     uint16     // after how many requests in a row nothing came from the sender
	lowest      uint8      // how often it was asked for as the stream's lowest gap
	byGroup     bool       // the last request for it went to the group
	awaitsBlock bool       // it is left to its block until at
}

// maxGaps bounds the runs that one stream keeps. What is missing beyond them is noticed when
// some of them have been closed.
const maxGaps = 1024

// keptGaps is how many runs each stream has memory for; sharedGaps is how many all streams together
// can have memory for besides.
const (
	keptGaps   = 2
	sharedGaps = 4 * maxGaps
)

// gaps are the runs that one stream misses, in order of their numbers. They never overlap.
type gaps struct {
	list  []gap
	spare *int // of sharedGaps, what is not taken; nil: no bound
}

// full reports whether there is no place for another run.
func (g *gaps) full() bool {
	n := len(g.list)
	return n >= maxGaps || n >= keptGaps && n == cap(g.list) && g.spare != nil && *g.spare < 2*n-g.taken()
}

// taken is what the list has of sharedGaps.
func (g *gaps) taken() int {
	if cap(g.list) <= keptGaps {
		return 0
	}
	return cap(g.list)
}

// insert makes place i free.
func (g *gaps) insert(i int) {
	if len(g.list) == cap(g.list) {
		g.resize(max(2*cap(g.list), keptGaps))
	}
	g.list = g.list[:len(g.list)+1]
	copy(g.list[i+1:], g.list[i:])
}

// trim gives up the memory of many runs when there are none any more.
func (g *gaps) trim() {
	if len(g.list) == 0 && cap(g.list) > keptGaps {
		g.resize(0)
	}
}

func (g *gaps) resize(n int) {
	before := g.taken()
	list := make([]gap, len(g.list), n)
	copy(list, g.list)
	if g.list = list; n == 0 {
		g.list = nil
	}
	if g.spare != nil {
		*g.spare += before - g.taken()
	}
}

// find is the index of the run that contains n, or of the first one above n.
func (g *gaps) find(n uint64) int {
	lo, hi := 0, len(g.list)
	for lo < hi {
		mid := (lo + hi) / 2
		if g.list[mid].end <= n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// add appends or inserts a run of datagrams that no other run contains.
func (g *gaps) add(r gap) {
	i := g.find(r.first)
	g.insert(i)
	g.list[i] = r
}

// remove takes out n, which came, and returns the run that it was in.
func (g *gaps) remove(n uint64) (was gap, ok bool) {
	i := g.find(n)
	if i == len(g.list) || n < g.list[i].first {
		return gap{}, false
	}
	was = g.list[i]
	g.list[i].failed = 0
	switch r := &g.list[i]; {
	case r.first == n && r.end == n+1:
		g.list = append(g.list[:i], g.list[i+1:]...)
		g.trim()
	case r.first == n:
		r.first++
	case r.end == n+1:
		r.end--
	default:
		g.split(i, n+1)
		g.list[i].end = n
	}
	return was, true
}

// split cuts run i in two at n, which lies inside it.
func (g *gaps) split(i int, n uint64) {
	g.insert(i)
	g.list[i].end, g.list[i+1].first = n, n
}

// isolate makes the part of run i that lies in first..end a run of its own, where there is room
// for the cuts, and returns its index. Run i reaches into first..end.
func (g *gaps) isolate(i int, first, end uint64) int {
	if g.list[i].first < first && !g.full() {
		g.split(i, first)
		i++
	}
	if end < g.list[i].end && !g.full() {
		g.split(i, end)
	}
	return i
}

// below takes out all below n.
func (g *gaps) below(n uint64) {
	i := g.find(n)
	g.list = g.list[:copy(g.list, g.list[i:])]
	if len(g.list) > 0 && g.list[0].first < n {
		g.list[0].first = n
	}
	g.trim()
}

// above takes out n and all above it.
func (g *gaps) above(n uint64) {
	i := g.find(n)
	if i < len(g.list) && g.list[i].first < n {
		g.list[i].end = n
		i++
	}
	g.list = g.list[:i]
	g.trim()
}
