package lanes

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Filter keeps lanes of the group that the member does not want away from it (Wanted).
type Filter struct {
	// Set changes which lanes come: ranges of a first and a last one; nil: all. It is called on the
	// first engine's thread, at most once for each lane and Start. After an error it is called again
	// with the next change.
	Set func(ranges [][2]uint32) error
	// Differs is called once, for the first member that hashes topics over another number of lanes.
	// All lanes are wanted from then on; err is what Set returned for that. It may be nil.
	Differs func(from wire.MemberID, lanes int, err error)
}

// Listener is the lanes that a member wants, and whether its driver has been given them. It belongs
// to the first engine's thread. Its methods accept nil, which is a member without a Filter: it
// receives every lane.
type Listener struct {
	filter  Filter
	wanted  *Wanted
	set     bool // Set has taken what is wanted
	differs bool // Differs has been called
}

// NewListener returns a Listener for a member that hashes topics over lanes, and nil without a
// Filter. The driver is given the lanes with the first Topics, or Lane. With first the member wants lane 0
// in any case: it is one of a ring, or of a group.
func NewListener(f Filter, lanes int, first bool) *Listener {
	if f.Set == nil {
		return nil
	}
	return &Listener{filter: f, wanted: NewWanted(lanes, first)}
}

// Want adds what subscriptions to patterns can receive, as if they had been there from the
// beginning. The driver is not given it yet.
func (l *Listener) Want(patterns []string) {
	if l == nil {
		return
	}
	for _, p := range patterns {
		l.wanted.Topic(p, 0)
	}
}

// Topics adds what subscriptions to patterns can receive. A stream in a lane that was not wanted
// before is received from now on, also if it began a moment ago.
func (l *Listener) Topics(now clock.Time, patterns ...string) error {
	if l == nil {
		return nil
	}
	grown := false
	for _, p := range patterns {
		grown = l.wanted.Topic(p, now) || grown
	}
	return l.give(grown)
}

// Lane adds a lane that the member is about to send on.
func (l *Listener) Lane(now clock.Time, lane uint16) error {
	if l == nil {
		return nil
	}
	return l.give(l.wanted.Lane(lane, now))
}

// give has the driver take what is wanted, if that has grown or the driver has not taken it yet.
func (l *Listener) give(grown bool) error {
	if l.set && !grown {
		return nil
	}
	err := l.filter.Set(l.wanted.Ranges())
	l.set = err == nil
	return err
}

// Wanted returns the function that reports since when a lane is wanted, for the cores; nil: every
// lane is. Any engine's thread may call it.
func (l *Listener) Wanted() func(lane uint16) (since clock.Time, ok bool) {
	if l == nil {
		return nil
	}
	return l.wanted.Since
}

// Others returns the function that a core calls for a Start whose sender hashes over another number
// of lanes; nil: it need not. post runs its argument on the first engine's thread, and is nil for
// that engine's own core. With post the function acts a turn of the first engine later: the stream
// is joined at one of its next Starts or heartbeats.
func (l *Listener) Others(post func(func())) func(from wire.MemberID, lanes int) {
	if l == nil {
		return nil
	}
	if post == nil {
		return l.others
	}
	posted := false
	return func(from wire.MemberID, lanes int) {
		if !posted {
			posted = true
			post(func() { l.others(from, lanes) })
		}
	}
}

func (l *Listener) others(from wire.MemberID, lanes int) {
	if l.differs {
		return
	}
	l.differs = true
	err := l.give(l.wanted.All(0)) // its streams began unreceived, and a subscription may have waited for them
	if l.filter.Differs != nil {
		l.filter.Differs(from, lanes, err)
	}
}
