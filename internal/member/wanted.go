package member

import (
	"strings"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
)

// Wanted is which of the group's lanes a member has to hear, where the driver can keep the
// others away. It rests on every member of the cluster hashing topics over the same number of lanes.
//
// A member hears the lanes of what it subscribes to, and those that it sends on, since other
// receivers' reports and NAKs come in the stream's own lane. Lanes at and above its number of
// lanes nobody with the same number uses; so it hears them too, for whoever does is configured
// otherwise and must be noticed. Lanes are only added: a receiver that stopped to hear a stream
// would go on counting as its receiver, hold it up, and report a loss when it comes back.
type Wanted struct {
	// By lane: since when; 0: from the beginning, unwanted: not. All above are. One thread writes,
	// and with several engines others read.
	lanes []atomic.Int64
}

const unwanted = clock.Time(-1)

// NewWanted is what a member wants that hashes topics over lanes and has not subscribed or sent
// yet. A ring is in lane 0, whatever lanes says.
func NewWanted(lanes int, ring bool) *Wanted {
	w := &Wanted{lanes: make([]atomic.Int64, max(lanes, 1))}
	for l := range w.lanes {
		w.lanes[l].Store(int64(unwanted))
	}
	if ring {
		w.lanes[0].Store(0)
	}
	return w
}

// Topic adds what a subscription to pattern can hear, from now on, and tells whether that is new. Which
// protocol a topic is sent under is the sender's choice, and makes no difference to its lane but
// for Totem, whose ring is heard by who takes part in it.
func (w *Wanted) Topic(pattern string, now clock.Time) (grown bool) {
	if strings.ContainsAny(pattern, "*>") { // nowhere else in a valid pattern
		return w.All(now)
	}
	return w.Lane(LaneOf(pattern, len(w.lanes)), now)
}

// Lane adds a lane, and tells whether that is new.
func (w *Wanted) Lane(lane uint16, now clock.Time) (grown bool) {
	if _, ok := w.Since(lane); ok {
		return false
	}
	w.lanes[lane].Store(int64(now))
	return true
}

// All adds all lanes, and tells whether one of them is new.
func (w *Wanted) All(now clock.Time) (grown bool) {
	for l := range w.lanes {
		grown = w.Lane(uint16(l), now) || grown
	}
	return grown
}

// Since tells whether a lane is wanted, and since when.
func (w *Wanted) Since(lane uint16) (at clock.Time, ok bool) {
	if int(lane) >= len(w.lanes) {
		return 0, true
	}
	at = clock.Time(w.lanes[lane].Load())
	return at, at != unwanted
}

// List is all lanes that are wanted, in ascending order; nil if that is every one.
func (w *Wanted) List() []uint32 {
	const end = 1 << 16 // of lanes on the wire
	list := make([]uint32, 0, end)
	for l := range end {
		if _, ok := w.Since(uint16(l)); ok {
			list = append(list, uint32(l))
		}
	}
	if len(list) == end {
		return nil
	}
	return list
}
