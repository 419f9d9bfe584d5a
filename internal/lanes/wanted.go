package lanes

import (
	"strings"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
)

// Wanted is the set of the group's lanes that a member has to receive. It is used where the driver
// can keep the others away. It rests on every member of the cluster hashing topics over the same
// number of lanes.
//
// A member receives the lanes of its subscriptions. It also receives the lanes that it sends on,
// since other receivers' reports and NAKs come in the stream's own lane.
//
// A member with the same number of lanes never uses a lane beyond it. Traffic there comes from a
// member that is configured differently. Those lanes are wanted too, so that we notice it.
//
// Lanes are only added. A receiver that left a lane would still count as the stream's receiver. It
// would hold the stream up, and would report a loss when it comes back.
type Wanted struct {
	// By lane: since when; 0: from the beginning, unwanted: not. All above are. One thread writes,
	// and with several engines others read.
	since []atomic.Int64
}

const unwanted = clock.Time(-1)

// NewWanted returns what a member wants that hashes topics over lanes and has not subscribed or
// sent yet. A ring, and the members of groups, are in lane 0, whatever lanes is: with first it is wanted.
func NewWanted(lanes int, first bool) *Wanted {
	w := &Wanted{since: make([]atomic.Int64, max(lanes, 1))}
	for l := range w.since {
		w.since[l].Store(int64(unwanted))
	}
	if first {
		w.since[0].Store(0)
	}
	return w
}

// Topic adds what a subscription to pattern can receive, from now on, and reports whether that is
// new. The sender chooses a topic's protocol. That makes no difference to its lane, except under
// Totem: only the ring's members receive the ring.
func (w *Wanted) Topic(pattern string, now clock.Time) (grown bool) {
	if strings.ContainsAny(pattern, "*>") { // nowhere else in a valid pattern
		return w.All(now)
	}
	return w.Lane(Of(pattern, len(w.since)), now)
}

// Lane adds a lane, and reports whether it is new.
func (w *Wanted) Lane(lane uint16, now clock.Time) (grown bool) {
	if _, ok := w.Since(lane); ok {
		return false
	}
	w.since[lane].Store(int64(now))
	return true
}

// All adds all lanes, and reports whether one of them is new.
func (w *Wanted) All(now clock.Time) (grown bool) {
	for l := range w.since {
		grown = w.Lane(uint16(l), now) || grown
	}
	return grown
}

// Since reports whether a lane is wanted, and returns since when.
func (w *Wanted) Since(lane uint16) (at clock.Time, ok bool) {
	if int(lane) >= len(w.since) {
		return 0, true
	}
	at = clock.Time(w.since[lane].Load())
	return at, at != unwanted
}

// Ranges returns all lanes that are wanted, as ranges of a first and a last one in ascending order;
// nil if that is every lane. There are at most half as many as the member has lanes, and one more.
func (w *Wanted) Ranges() (ranges [][2]uint32) {
	const end = 1 << 16 // of the lanes on the wire
	own := uint32(len(w.since))
	for l := uint32(0); l <= own; l++ {
		last := l
		if l == own {
			last = end - 1 // all above the own ones
		}
		if _, ok := w.Since(uint16(l)); !ok || l == end {
			continue
		}
		if n := len(ranges); n > 0 && ranges[n-1][1] == l-1 {
			ranges[n-1][1] = last
		} else {
			ranges = append(ranges, [2]uint32{l, last})
		}
	}
	if len(ranges) == 1 && ranges[0] == [2]uint32{0, end - 1} {
		return nil
	}
	return ranges
}
