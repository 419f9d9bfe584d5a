package run

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// GroupConfig is what a run of a member of a group has besides.
type GroupConfig struct {
	Member    member.Group // Mirror, Tell, Calls, Command and Gate are filled in
	Listeners *Listeners
	// Handlers are served, each queue with so many Items and Bytes that no handler has begun.
	Handlers     *Handlers
	Items, Bytes int
	// Marks returns a mark for each queue that holds something now. It is called on the first engine's thread.
	Marks func() []Mark
	// Held is called once for an end that has waited long for the handler of a queue. It runs on the
	// teller's goroutine.
	Held func(queue string, e Event)
}

// Group is the group's part of a run: two goroutines besides the engines'.
type Group struct {
	run    *Run
	mirror *Mirror
	teller *teller
	quit   chan struct{}

	latest map[wire.MemberID]*snapshot // the first engine's
}

// newGroup completes the member's configuration.
func newGroup(r *Run, cfg *GroupConfig, m *member.Config) *Group {
	self := &Info{ID: m.ID, Name: cfg.Member.Name, Groups: cfg.Member.Groups, Address: m.Driver.Local(), Started: cfg.Member.Started}
	g := &Group{run: r, mirror: newMirror(self), quit: make(chan struct{}), latest: map[wire.MemberID]*snapshot{}}
	g.teller = &teller{self: m.ID, listeners: cfg.Listeners, marks: cfg.Marks, held: cfg.Held, selfTold: g.selfTold,
		ended: make(chan struct{}), told: map[wire.MemberID]*told{}}
	g.teller.in.init()
	g.teller.in.shrink = g.teller.shorten
	r.serving = &serving{r: r, hs: cfg.Handlers, items: cfg.Items, bytes: cfg.Bytes, inboxes: map[string]group.InboxHandler{}, queues: map[string]*appliedQueue{}}
	own := cfg.Member
	own.Calls, own.Command, own.Gate = &r.calls, r.calls.Command, r.serving.gate
	own.Mirror, own.Tell = g.changed, g.tell
	m.Group = &own
	return g
}

func (g *Group) start() { go g.mirror.serve(g.quit) }

// Tell begins to call the listeners, once they can call back into this run. On nil it does nothing.
func (g *Group) Tell() {
	if g != nil {
		go g.teller.serve(g.quit)
	}
}

// end ends the goroutines, the teller's after the handler that runs.
func (g *Group) end() { close(g.quit) }

// Mirror is the table of the group.
func (g *Group) Mirror() *Mirror { return g.mirror }

// Told is closed when no handler runs any more after the end of the run.
func (g *Group) Told() <-chan struct{} { return g.teller.ended }

// GroupStats are the counters of the group's core and of the run's part in it; zero where there is none. It belongs
// to the first engine's thread.
func (r *Run) GroupStats() (s group.Stats) {
	if r.group != nil {
		s = r.member.Group().Stats()
		held, longest := r.group.Held()
		s.EventsHeld += held
		s.EventHoldNS = max(s.EventHoldNS, longest)
	}
	return s
}

// Held returns how many ends have waited for a handler to begin what lay before them, and for how long at most, ns.
func (g *Group) Held() (count, longest uint64) {
	return g.teller.heldCount.Load(), g.teller.heldLongest.Load()
}

// snapshot returns what a change says of a member: that of the change before, if it is the same.
func (g *Group) snapshot(c *group.Change) *snapshot {
	s := g.latest[c.ID]
	if s == nil || s.incarnation != c.Incarnation || &s.key[0] != &c.Record[0] {
		s = &snapshot{id: c.ID, incarnation: c.Incarnation, record: c.Record, key: c.Record}
		g.latest[c.ID] = s
	}
	if c.Kind == group.Stopped || c.Kind == group.Failed {
		delete(g.latest, c.ID)
	}
	return s
}

func (g *Group) changed(_ clock.Time, c *group.Change) {
	g.mirror.in.put(mirrored{c.Kind, g.snapshot(c)})
}

func (g *Group) tell(now clock.Time, c *group.Change) {
	g.teller.take(now, c.Kind, g.snapshot(c), c.Group)
}

// selfTold has the core learn that handlers begin to be given an end of the member itself.
func (g *Group) selfTold() {
	r := g.run
	r.engine.Post(func() { r.member.Group().SelfTold(engine.Now()) })
}

// Group is the run's part in a group, nil where it has none.
func (r *Run) Group() *Group { return r.group }

// Command has the group's core carry out a command, in order with those before. It returns ErrClosed, or
// nack.ErrWindow: the command ring is full. It never waits.
func (r *Run) Command(kind member.CommandKind, call uint64, to wire.MemberID, name string, payload []byte) error {
	if !r.member.Command(kind, call, to, name, payload) {
		return r.full()
	}
	r.engine.Notify()
	return nil
}
