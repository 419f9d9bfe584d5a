package blaze

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/local"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/wire"
)

// Channel carries messages on topics between the members of a cluster. What one member broadcasts is
// received by all that subscribe to its topic, in the order in which it was sent. Config.Protocol
// chooses how losses are repaired.
//
// Its life is Constructed → Initialized → Started → Stopped, from where it can start again, and
// Shutdown leads back to Constructed. A transition that is already done is no error.
//
// All methods are safe for concurrent use. With Config.Invoker call Turn, Offer, Claim, Commit, Abort
// and Subscribe from one goroutine at a time, which may change; everything else may come from any.
type Channel struct {
	mu     sync.Mutex             // held through a transition
	cfg    atomic.Pointer[Config] // with its defaults; replaced, never changed
	state  atomic.Uint32
	id     atomic.Pointer[MemberID]
	table  *member.Table
	res    *attach.Attachment        // from Init to Shutdown
	starts uint64                    // guarded by mu
	run    atomic.Pointer[start]     // from Start to Stop
	ending atomic.Pointer[start]     // from Stop until its engines have ended
	bcasts *topic.Shared[*Publisher] // of Broadcast

	subsMu  sync.Mutex // never held while waiting for anything
	subs    map[*Subscription]struct{}
	serving bool // queues run

	last  atomic.Pointer[Stats] // of the last start, when it had ended
	looks looks
	local atomic.Pointer[local.Server] // from Init to Shutdown, with Config.Inspect

	viewsMu sync.Mutex
	views   atomic.Pointer[[]*func(View)] // replaced, never changed
	streams streamHandlers

	group   *groupState   // nil: it is no GroupChannel
	cluster *clusterState // nil: it is no ClusterChannel

	stock  intake.Stock  // where the messages that are queued wait
	watch  *intake.Watch // names slow consumers
	warned atomic.Bool   // of a pattern with the wildcards of other systems
	counters
}

// counters are counted outside the engine's thread, or too rarely to matter.
type counters struct {
	intakes                                                        intake.Counters // of all queues
	disconnected, badMessages, backPressure, unsent, slowReceivers atomic.Uint64
	inspectRefused                                                 atomic.Uint64
}

// start is one start of a channel.
type start struct {
	*run.Run
	serial  uint64 // counts the channel's starts
	began   time.Time
	beganAt clock.Time
	id      MemberID
	res     *attach.Attachment
	streams *streamWatch
	read    []atomic.Pointer[EngineStats] // by engine: as they were when they were last asked for
}

// NewChannel makes a channel in state Constructed. cfg is validated here and copied; its zero
// fields take their defaults.
func NewChannel(cfg Config) (*Channel, error) {
	c := newChannel()
	if err := c.SetConfig(cfg); err != nil {
		return nil, err
	}
	return c, nil
}

func newChannel() *Channel {
	return &Channel{
		table: member.NewTable(), subs: map[*Subscription]struct{}{}, watch: intake.NewWatch(engine.Now),
		bcasts: topic.NewShared[*Publisher](member.MaxCachedTopics),
	}
}

// State is the channel's state.
func (c *Channel) State() State { return State(c.state.Load()) }

// ID names this start of the channel, or the last one; it is zero before the first.
func (c *Channel) ID() MemberID {
	if id := c.id.Load(); id != nil {
		return *id
	}
	return MemberID{}
}

// Config is the channel's configuration, with its defaults filled in.
func (c *Channel) Config() Config { return c.cfg.Load().withDefaults() }

// SetConfig changes the configuration. In any state but Constructed it is ErrState.
func (c *Channel) SetConfig(cfg Config) error {
	if err := c.lock("SetConfig"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if s := c.State(); s != Constructed {
		return fmt.Errorf("%w: SetConfig in state %v: Shutdown first", ErrState, s)
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	full := cfg.withDefaults()
	full.group, full.clustered = c.group != nil, c.cluster != nil
	c.cfg.Store(&full)
	c.stock.SetLimit(full.queueBytes())
	for _, t := range full.Topics {
		c.warnOfPattern(t.Pattern)
	}
	return nil
}

func (c *Channel) logger() *slog.Logger {
	if l := c.cfg.Load().Logger; l != nil {
		return l
	}
	return slog.Default()
}

// Init opens the sockets and allocates the memory that Config asks for. Nothing is sent.
func (c *Channel) Init() error {
	if err := c.lock("Init"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	return c.init()
}

func (c *Channel) init() error {
	if c.State() != Constructed {
		return nil
	}
	if err := c.openDisk(); err != nil {
		return err
	}
	res, err := c.cfg.Load().attach(c.logger())
	if err != nil {
		c.closeDisk()
		return err
	}
	c.res = res
	s := c.lastStats() // until Start, what is open now shows, with the counters of the start before
	s.attached(res)
	c.last.Store(&s)
	c.state.Store(uint32(Initialized))
	c.openLocal()
	c.showInGroup()
	return nil
}

// Start makes the channel a member, with a new MemberID, through Init where that is needed.
func (c *Channel) Start() error {
	if err := c.lock("Start"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	if c.State() == Started {
		return nil
	}
	if err := c.init(); err != nil {
		return err
	}
	st, err := c.newStart()
	if err != nil {
		return c.cfg.Load().pinError(err)
	}
	if err := c.recovered(st); err != nil {
		return err
	}
	id := st.id // not a pointer into the start, which would stay with it
	c.id.Store(&id)
	c.run.Store(st)
	c.state.Store(uint32(Started))
	st.Group().Tell()
	st.Cluster().Serve()
	c.serve(true, func(s *Subscription) { s.queue.Start() })
	st.Engine(0).Post(st.streams.tell)
	c.announced(st)
	c.handlers().Serve(st.Run)
	// Not before Subscribe finds this start, or a subscription that is added meanwhile would get nothing.
	if err := st.Listen(func(m *member.Member) error { return m.ListenAll(st.Now()) }); err != nil {
		_ = c.stop()
		return err
	}
	c.logger().Debug("blaze: started", "member", st.id, "cluster", c.cfg.Load().Cluster,
		"transport", c.res.Name, "mode", c.res.Mode(), "why", c.res.Reason)
	return nil
}

// newStart draws a MemberID and starts the member's engines.
func (c *Channel) newStart() (*start, error) {
	conf := c.cfg.Load()
	c.starts++
	st := &start{serial: c.starts, began: wallNow(), beganAt: engine.Now(), res: c.res, streams: &streamWatch{c: c}}
	if _, err := rand.Read(st.id[:]); err != nil {
		return nil, fmt.Errorf("blaze: drawing a member ID: %w", err)
	}
	cfg := member.Config{
		ID: wire.MemberID(st.id), Cluster: wire.ClusterHash(conf.Cluster),
		Driver: c.res.Ports[0].Driver, Pool: c.res.Ports[0].Pool, Table: c.table,
		Protocol: conf.Protocol.wire(), Lanes: conf.Lanes,
		Window: conf.Window, MaxMessageSize: conf.MaxMessageSize,
		Fastest: conf.FlowControl == Fastest, SelfDelivery: !conf.NoSelfDelivery,
		Eviction: max(conf.FailureTimeout, time.Second), MaxRate: conf.MaxRate,
		SlowestFor: conf.SlowestFor, RepairTimeout: conf.RepairTimeout, FreePace: conf.CongestionControl == CongestionOff,
		Idle: conf.Idle.engine(), CPU: conf.engineCPU(0), Name: conf.Name, RepairNS: conf.hooks.RepairNS,
	}
	for _, t := range conf.Topics {
		cfg.Rules = append(cfg.Rules, member.Rule{Pattern: t.Pattern, Protocol: t.Protocol.wire(), Safe: t.Safe})
	}
	cfg.Safe, cfg.FEC = conf.Safe, conf.FEC.nack()
	// Names need not be unique, so the ring does not get them: it would take the older of two
	// members of one name for dead.
	views := &viewer{c: c}
	cfg.Ring = member.Ring{Profile: conf.Totem.profile(conf.Idle), Plain: conf.Totem.Plain, Views: views.view, Events: views.event}
	cfg.MaxStreams, cfg.Events = conf.MaxStreams, st.streams.event
	cfg.Filter = laneFilter(c.res, c.logger())
	for i, port := range c.res.Ports[1:] {
		cfg.Branches = append(cfg.Branches, member.Branch{Driver: port.Driver, Pool: port.Pool, CPU: conf.engineCPU(i + 1)})
	}
	if !conf.Invoker {
		cfg.Queue = conf.commandQueue()
	}
	inGroup := c.groupConfig(c.res) // first: it reads the wall clock, for both
	inCluster, err := c.clusterConfig()
	if err != nil {
		return nil, err
	}
	c.res.Discard()
	if st.Run, err = run.Start(run.Config{Member: cfg, Invoker: conf.Invoker, Group: inGroup, Cluster: inCluster, Held: c.heldBack(c.res)}); err != nil {
		return nil, err
	}
	st.read = make([]atomic.Pointer[EngineStats], st.Engines())
	return st, nil
}

// engineCPU is the CPU that an engine is pinned to; negative: none.
func (c *Config) engineCPU(engine int) int {
	if engine < len(c.EngineCPUs) {
		return c.EngineCPUs[engine]
	}
	return -1
}

// Stop ends this start of the channel. From its beginning nothing more is accepted. It waits, at most
// Config.Linger, for three things: that what was accepted has been sent and, under reliable protocols,
// reported received by all known receivers; that open claims are committed or aborted; and that the
// handlers have taken what is queued for them. What was missing is in the error, and Stats.Unsent counts
// the messages that were not sent. Then Stop announces that this member leaves. The channel can Start
// again.
//
// A handler that runs for another second is left running, and named in the error. The handlers of
// the next start wait for it.
//
// A handler may call Stop, and Stop does not wait for that handler. In an Inline handler Stop returns at
// once, and is carried out when the handler has returned. So it is in any handler while another
// goroutine starts or stops the channel.
func (c *Channel) Stop() error {
	return c.leave(func() error { return c.stop() })
}

// Shutdown stops the channel where that is needed and gives back every socket, goroutine and
// piece of memory. Subscriptions stay for the next Start. In a handler it behaves as
// Stop does.
func (c *Channel) Shutdown() error {
	return c.leave(func() error {
		err := c.stop()
		c.closeLocal()
		c.closeDisk() // of an Init without a Start
		if c.res != nil {
			if cerr := c.res.Close(); err == nil && cerr != nil {
				err = fmt.Errorf("blaze: closing the driver: %w", cerr)
			}
			c.res = nil
		}
		if c.cluster != nil {
			c.cluster.replica.Clear()
		}
		c.state.Store(uint32(Constructed))
		return err
	})
}

// leave calls do under the lock: at once, or after the Inline handler that calls. A handler does not
// wait for a transition that is under way, which may be waiting for the handler.
func (c *Channel) leave(do func() error) error {
	locked := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return do()
	}
	if st := c.turning(); st != nil && st.InHandler() {
		st.After(func() { _ = locked() })
		return nil
	}
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		return do()
	}
	if c.inHandler() {
		go func() { _ = locked() }()
		return nil
	}
	return locked()
}

// lock takes the lock for a transition that is called by its name. In a handler it fails rather than
// wait: the transition under way may be waiting for the handler.
func (c *Channel) lock(transition string) error {
	if c.mu.TryLock() {
		return nil
	}
	if c.inHandler() {
		return fmt.Errorf("%w: %s by a handler while another goroutine starts or stops the channel", ErrState, transition)
	}
	c.mu.Lock()
	return nil
}

// inHandler reports whether the caller is a handler of this channel.
func (c *Channel) inHandler() bool {
	if st := c.turning(); st != nil && st.InHandler() {
		return true
	}
	if c.group != nil && (c.group.listeners.Called() || c.group.handlers.Called()) || c.cluster != nil && c.cluster.replica.Called() {
		return true
	}
	return slices.ContainsFunc(c.queued(), func(s *Subscription) bool { return s.queue.Called() })
}

// turning is the start whose engines may be turning: the present one, or one that is ending.
func (c *Channel) turning() *start {
	if st := c.run.Load(); st != nil {
		return st
	}
	return c.ending.Load()
}

// handlerGrace is how long Stop waits for handlers that run when Config.Linger is over: a goroutine
// that has been kept from the CPU needs some of it.
const handlerGrace = time.Second

func (c *Channel) stop() error {
	st := c.run.Load()
	if st == nil {
		return nil
	}
	linger := c.cfg.Load().Linger
	deadline := engine.Now().Add(linger)
	st.Refuse()
	c.ending.Store(st)
	defer c.ending.Store(nil)
	c.run.Store(nil)
	c.state.Store(uint32(Stopped))

	exited := st.Cluster().Close(deadline)
	c.handlers().Close(st.Run)
	left := st.Settle(deadline)
	noWay := ""
	_ = st.Do(func() { noWay = st.res.NoWay() })
	if !exited {
		left = append(left, "the cluster has not taken note that this member leaves: to the others it has failed")
	}
	untaken := 0
	for _, s := range c.queued() {
		untaken += s.queue.Await(deadline)
	}
	if untaken > 0 {
		left = append(left, fmt.Sprintf("%d messages not taken by their handlers", untaken))
	}
	c.handlers().Settle(st.Run, deadline)
	st.streams.ended.Store(true)
	st.Cluster().End()
	st.End(func(unsent uint64) {
		if unsent > 0 {
			c.unsent.Add(unsent)
			left = append(left, fmt.Sprintf("%d messages accepted and not sent", unsent))
		}
		last := c.collect(st)
		for i := 1; i < st.Engines(); i++ {
			last.add(st.stats(i))
		}
		c.last.Store(&last)
	})
	left = append(left, c.closeDisk()...)
	c.bcasts.Clear()
	patience, cancel := context.WithTimeout(context.Background(), max(deadline.Sub(engine.Now()), handlerGrace))
	defer cancel()
	c.serve(false, func(s *Subscription) {
		s.queue.Expire()
		s.queue.Stop()
	})
	for _, s := range c.queued() {
		if !s.queue.Join(patience.Done()) {
			left = append(left, fmt.Sprintf("a handler of %q still runs", s.label()))
		}
	}
	for _, queue := range c.handlers().Join(patience.Done()) {
		left = append(left, fmt.Sprintf("a handler of queue %q still runs", queue))
	}
	if c.cluster != nil {
		for _, name := range c.cluster.replica.Join(patience.Done()) {
			left = append(left, fmt.Sprintf("a handler of %s still runs", name))
		}
	}
	if !c.told(st, patience.Done()) {
		left = append(left, "a handler of OnMember still runs")
	}
	c.handlers().Forget()
	if len(left) > 0 && noWay != "" {
		left = append(left, "there is no way out: "+noWay)
	}
	if len(left) > 0 {
		return fmt.Errorf("blaze: Stop: not all was received within Config.Linger (%v): %s", linger, strings.Join(left, "; "))
	}
	return nil
}

// Turn is one turn of the engine on the caller's goroutine, with Config.Invoker. It returns how
// much there was to do; 0 when there was nothing, when the channel is not started, when it has
// an engine of its own, and from within a handler.
func (c *Channel) Turn() (work int) {
	if st := c.run.Load(); st != nil {
		return st.Turn()
	}
	return 0
}

// barrier returns when no Inline handler that was running is running any more.
func (c *Channel) barrier() {
	if st := c.turning(); st != nil {
		st.Barrier()
	}
}

// resume wakes the engines: a consumer that held one of them up has room again.
func (c *Channel) resume() {
	c.table.Resume()
	if st := c.turning(); st != nil {
		st.Notify()
	}
}

// add takes in a new subscription. When it returns, messages for it are received.
func (c *Channel) add(s *Subscription, runInline bool) error {
	if s.to = (inline{s, &s.delivery}); !runInline {
		s.queue = s.newIntake(c.cfg.Load(), s.handle)
		s.to = s.queue
	}
	c.enlist(s)
	st := c.run.Load()
	if st == nil { // Start looks at all subscriptions
		return nil
	}
	return st.Listen(func(m *member.Member) error { return m.Listen(st.Now(), s.pattern) })
}

// enlist takes in a subscription.
func (c *Channel) enlist(s *Subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	c.subs[s] = struct{}{}
	if s.queue != nil && c.serving {
		s.queue.Start()
	}
	if s.to != nil {
		c.table.Add(s.pattern, s.to)
	}
}

func (c *Channel) forget(s *Subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	delete(c.subs, s)
}

// serve sets whether queues run from now on, and calls f for each subscription that has one.
func (c *Channel) serve(on bool, f func(*Subscription)) {
	c.subsMu.Lock()
	c.serving = on
	c.subsMu.Unlock()
	for _, s := range c.queued() {
		f(s)
	}
}

// queued is a snapshot of the subscriptions that have a queue.
func (c *Channel) queued() (all []*Subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	for s := range c.subs {
		if s.queue != nil {
			all = append(all, s)
		}
	}
	return all
}
