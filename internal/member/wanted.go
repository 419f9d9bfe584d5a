package member

import "strings"

// Wanted is which of the group's lanes a member has to hear, where the driver can keep the
// others away. It rests on every member of the cluster hashing topics over the same number of lanes.
//
// A member hears the lanes of what it subscribes to, and those that it sends on, since other
// receivers' reports and NAKs come in the stream's own lane. Lanes at and above its number of
// lanes nobody with the same number uses; so it hears them too, for whoever does is configured
// otherwise and must be noticed. Lanes are only added: a receiver that stopped to hear a stream
// would go on counting as its receiver, hold it up, and report a loss when it comes back.
type Wanted struct {
	lanes []bool // by lane; all above are wanted
}

// NewWanted is what a member wants that hashes topics over lanes and has not subscribed or sent
// yet. A ring is in lane 0, whatever lanes says.
func NewWanted(lanes int, ring bool) *Wanted {
	w := &Wanted{lanes: make([]bool, max(lanes, 1))}
	w.lanes[0] = ring
	return w
}

// Topic adds what a subscription to pattern can hear, and tells whether that is new. Which
// protocol a topic is sent under is the sender's choice, and makes no difference to its lane but
// for Totem, whose ring is heard by who takes part in it.
func (w *Wanted) Topic(pattern string) (grown bool) {
	if strings.ContainsAny(pattern, "*>") { // nowhere else in a valid pattern
		return w.All()
	}
	return w.Lane(LaneOf(pattern, len(w.lanes)))
}

// Lane adds a lane, and tells whether that is new.
func (w *Wanted) Lane(lane uint16) (grown bool) {
	if w.Has(lane) {
		return false
	}
	w.lanes[lane] = true
	return true
}

// All adds all lanes, and tells whether one of them is new.
func (w *Wanted) All() (grown bool) {
	for l := range w.lanes {
		grown = grown || !w.lanes[l]
		w.lanes[l] = true
	}
	return grown
}

// Has tells whether a lane is wanted.
func (w *Wanted) Has(lane uint16) bool { return int(lane) >= len(w.lanes) || w.lanes[lane] }

// List is all lanes that are wanted, in ascending order; nil if that is every one.
func (w *Wanted) List() []uint32 {
	const end = 1 << 16 // of lanes on the wire
	list := make([]uint32, 0, end)
	for l := range end {
		if w.Has(uint16(l)) {
			list = append(list, uint32(l))
		}
	}
	if len(list) == end {
		return nil
	}
	return list
}
