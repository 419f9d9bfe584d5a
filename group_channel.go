package blaze

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// GroupChannel is a Channel whose members find each other. Each member has a name, and joins and leaves
// groups while it runs. Handlers are called with who came and who went (OnMember).
//
// Members find each other by themselves, within one Config.Cluster. One that leaves by Stop announces it. One that
// fails is noticed by its silence: see Config.FailureTimeout. A member that stood still for so long that the
// others may have removed it hands nothing to its handlers until it has asked them. If it was removed, its own
// handlers are given MemberFailed of itself, and MemberStarted with its next incarnation.
//
// Where some topic is sent under Totem, the views of the ring decide who of its members is here: MemberStarted and
// MemberFailed of them come with a view, after OnView. Over pointcast:// one listed address that is up is enough to
// find all members, also those that nobody lists.
//
// With Config.Invoker the member is alive only while the application turns it: with a pause of
// Config.HeartbeatInterval or more between two turns it counts as one that stands still.
type GroupChannel struct{ *Channel }

// groupState is what a GroupChannel has besides. It outlives starts.
type groupState struct {
	listeners *run.Listeners
	handlers  *run.Handlers

	mu      sync.Mutex // held while a change is handed to the core, so that it keeps their order; never while waiting
	groups  []string   // ascending
	bytes   int        // that groups take in the record
	started uint64     // when the channel last started, ns since 1970; later than the start before
	wall    uint64     // the wall clock at that time, which may have been set back

	inspecting *Subscription // the in-box of InspectAll; guarded by the channel's mu
}

// NewGroupChannel makes a channel in state Constructed, as NewChannel does. name wins over cfg.Name; if it is
// empty, cfg.Name counts.
func NewGroupChannel(name string, cfg Config) (*GroupChannel, error) {
	if name != "" {
		cfg.Name = name
	}
	g := newGroupChannel()
	if err := g.SetConfig(cfg); err != nil {
		return nil, err
	}
	return g, nil
}

func newGroupChannel() *GroupChannel {
	c := newChannel()
	c.group = &groupState{listeners: run.NewListeners(), handlers: run.NewHandlers()}
	return &GroupChannel{c}
}

// groupConfig is what a start of a GroupChannel needs besides; nil for others.
func (c *Channel) groupConfig(res *attach.Attachment) *run.GroupConfig {
	g := c.group
	if g == nil {
		return nil
	}
	conf := c.cfg.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wall = uint64(time.Now().UnixNano())
	g.started = max(g.wall, g.started+1)
	m := member.Group{
		Name: conf.Name, Started: g.started, Groups: slices.Clone(g.groups),
		HeartbeatInterval: conf.HeartbeatInterval, FailureTimeout: conf.FailureTimeout, HeartbeatRate: conf.HeartbeatRate,
		Queue: conf.groupQueue(), Buffers: group.DefaultBuffers,
		Peers: res.SetPeers(), Warn: c.warnOfTimeout,
	}
	return &run.GroupConfig{
		Member: m, Listeners: g.listeners, Handlers: g.handlers, Items: conf.SubscriptionQueue, Bytes: int(conf.queueBytes()),
		Marks: c.marks, Held: c.eventHeld,
	}
}

// announced waits until a new start has sent its first datagrams, where it has an engine of its own.
func (c *Channel) announced(st *start) {
	if c.group == nil {
		return
	}
	c.regroup(st) // what was joined meanwhile
	// What is posted runs at the beginning of a turn. Start has seen one turn begin.
	_ = st.Do(func() {})
}

// told waits until no handler of OnMember runs, unless it is the caller. It reports whether that came to be.
func (c *Channel) told(st *start, giveUp <-chan struct{}) bool {
	if c.group == nil || c.group.listeners.Called() {
		return true
	}
	select {
	case <-st.Group().Told():
		return true
	case <-giveUp:
		return false
	}
}

// command hands a command to the core of the start, if there is one. Nothing of it is kept.
func (c *Channel) command(kind member.CommandKind, name string) {
	if st := c.run.Load(); st != nil {
		if st.Command(kind, 0, wire.MemberID{}, name, nil) != nil { // the command ring is full, or closed
			c.regroup(st)
		}
	}
}

// regroup has the core follow the groups that the member is in. It waits for nothing.
func (c *Channel) regroup(st *start) {
	st.Engine(0).Post(func() {
		st.Member().Commands(st.Now(), math.MaxInt) // none that is older comes later
		g := c.group
		g.mu.Lock()
		defer g.mu.Unlock()
		st.Member().Group().SetGroups(st.Now(), g.groups)
	})
}

// serial is the number of the start that a handler runs in.
func (c *Channel) serial() uint64 {
	if st := c.turning(); st != nil {
		return st.serial
	}
	return 0
}

// handlers are those of in-boxes and queues; nil: the channel is no GroupChannel.
func (c *Channel) handlers() *run.Handlers {
	if c.group == nil {
		return nil
	}
	return c.group.handlers
}

// groupBytes is what a GroupChannel takes besides packet memory. A bar against members that were removed is there
// for each engine.
func (c *Config) groupBytes() int64 {
	if !c.group {
		return 0
	}
	return group.Bytes(c.MaxMessageSize) + run.MirrorBytes + int64(c.groupQueue()) + int64(nack.BarredBytes) + c.queueBytes()
}

// groupQueue is the size in bytes of a group's command ring, which is there with an Invoker too.
func (c *Config) groupQueue() int {
	d := *c
	d.Invoker = false
	return d.commandQueue()
}
