package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Filter keeps lanes of the group that the member does not want away from it (Wanted).
type Filter struct {
	// Set changes which lanes come; nil: all. It is called on the first engine's thread, at most once
	// for each lane and Start. After an error it is called again with the next change.
	Set func(lanes []uint32) error
	// Differs hears, once, of a member that hashes topics over another number of lanes. All
	// lanes are wanted from then on; err is what Set answered to that. It may be nil.
	Differs func(from wire.MemberID, lanes int, err error)
}

// listener is the lanes that a member wants, and whether its driver knows. It belongs to the
// first engine's thread. Without a Filter it is nil, and everything is heard.
type listener struct {
	filter Filter
	wanted *Wanted
	told   bool // Set has taken what is wanted
	differ bool // Differs has been called
}

// newListener wants what the subscriptions of the table can hear. The driver is told with the
// first Listen, or stream that is opened.
func newListener(cfg *Config) *listener {
	if cfg.Filter.Set == nil {
		return nil
	}
	l := &listener{filter: cfg.Filter, wanted: NewWanted(cfg.Lanes, cfg.uses(wire.Totem))}
	for _, s := range *cfg.Table.subs.Load() {
		l.wanted.Topic(s.pattern, 0)
	}
	return l
}

// tell has the driver take what is wanted, if that has grown or it has not yet.
func (l *listener) tell(grown bool) error {
	if l.told && !grown {
		return nil
	}
	err := l.filter.Set(l.wanted.List())
	l.told = err == nil
	return err
}

// further has the core of an engine besides the first ask what is wanted, and pass on what it hears of
// other numbers of lanes. That is heeded a turn of the first engine later: the stream is joined
// at one of its next Starts or heartbeats.
func (l *listener) further(post func(func()), cfg *nack.Config) {
	said := false
	cfg.Wanted = l.wanted.Since
	cfg.OtherLanes = func(from wire.MemberID, lanes int) {
		if !said {
			said = true
			post(func() { l.otherLanes(from, lanes) })
		}
	}
}

// otherLanes hears of a Start whose sender hashes over another number of lanes.
func (l *listener) otherLanes(from wire.MemberID, lanes int) {
	if l.differ {
		return
	}
	l.differ = true
	err := l.tell(l.wanted.All(0)) // its streams began unheard, and somebody may have waited for them
	if l.filter.Differs != nil {
		l.filter.Differs(from, lanes, err)
	}
}

// Listen has the lanes heard that a subscription to pattern can hear. A stream in a lane that was
// not wanted before is heard from now on, also if it began a moment ago. Listen belongs to the
// engine's thread.
func (m *Member) Listen(now clock.Time, pattern string) error {
	if m.listener == nil {
		return nil
	}
	return m.listener.tell(m.listener.wanted.Topic(pattern, now))
}

// ListenAll is Listen for all subscriptions that there are.
func (m *Member) ListenAll(now clock.Time) error {
	if m.listener == nil {
		return nil
	}
	grown := false
	for _, s := range *m.table.subs.Load() {
		grown = m.listener.wanted.Topic(s.pattern, now) || grown
	}
	return m.listener.tell(grown)
}
