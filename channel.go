package blaze

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// Channel carries messages on topics between the members of a cluster: what one broadcasts,
// all that subscribe to it receive, in the order in which it was sent, repaired as
// Config.Protocol says.
//
// Its life is Constructed → Initialized → Started → Stopped, from where it can start again, and
// Shutdown leads back to Constructed. A transition that is already done is no error.
//
// All methods are safe for concurrent use. With Config.Invoker one goroutine turns the channel,
// and Offer, Claim, Commit, Abort and Subscribe are for that goroutine only.
type Channel struct {
	mu     sync.Mutex             // held through a transition
	cfg    atomic.Pointer[Config] // with its defaults; replaced, never changed
	state  atomic.Uint32
	id     atomic.Pointer[MemberID]
	table  *member.Table
	res    *attach.Attachment      // from Init to Shutdown
	run    atomic.Pointer[running] // from Start to Stop
	ending atomic.Pointer[running] // from Stop until its engines have ended
	bcasts topicCache

	subsMu  sync.Mutex // never held while waiting for anything
	subs    map[*Subscription]struct{}
	serving bool // queues run

	last atomic.Pointer[Stats] // of the last start, when it had ended

	viewsMu sync.Mutex
	views   atomic.Pointer[[]*func(View)] // replaced, never changed

	counters
}

// counters are counted outside the engine's thread, or too rarely to matter.
type counters struct {
	intakes                                 intake.Counters
	disconnected, badMessages, backPressure atomic.Uint64
}

// running is one start of a channel.
type running struct {
	id      MemberID
	res     *attach.Attachment
	member  *member.Member
	engine  *engine.Engine // the first
	workers []*worker      // all; with an Invoker the first, which it turns
	invoker bool
	filters bool          // lanes that are not wanted are kept away (lanes=subscribed)
	done    chan struct{} // closed when the channel begins to stop

	// With an Invoker.
	mu      sync.Mutex // held while the engine is touched: Stop and Stats may come from elsewhere
	turning bool       // the turning goroutine's own: a handler is running, and mu is held
	turns   uint64     // guarded by mu
	stack   uintptr    // guarded by mu: where the stack of the turning goroutine lies
	after   func()     // the turning goroutine's own: to do when the turn that runs is over
}

// NewChannel makes a channel in state Constructed. cfg is validated here and copied; its zero
// fields take their defaults.
func NewChannel(cfg Config) (*Channel, error) {
	c := &Channel{table: member.NewTable(), subs: map[*Subscription]struct{}{}}
	if err := c.SetConfig(cfg); err != nil {
		return nil, err
	}
	return c, nil
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.State(); s != Constructed {
		return fmt.Errorf("%w: SetConfig in state %v: Shutdown first", ErrState, s)
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	full := cfg.withDefaults()
	c.cfg.Store(&full)
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
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.init()
}

func (c *Channel) init() error {
	if c.State() != Constructed {
		return nil
	}
	res, err := c.cfg.Load().attach(c.logger())
	if err != nil {
		return err
	}
	c.res = res
	c.state.Store(uint32(Initialized))
	return nil
}

// Start makes the channel a member, with a new MemberID, through Init where that is needed.
func (c *Channel) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.State() == Started {
		return nil
	}
	if err := c.init(); err != nil {
		return err
	}
	run, err := c.newRunning()
	if err != nil {
		return err
	}
	c.res.Discard()
	if !run.invoker {
		if err := run.start(); err != nil {
			run.member.Release()
			return err
		}
	}
	c.id.Store(&run.id)
	c.run.Store(run)
	c.state.Store(uint32(Started))
	c.serve(true, func(s *Subscription) { s.queue.Start() })
	// Not before Subscribe finds this start, or what one adds meanwhile would not be heard.
	if err := run.hear(func(m *member.Member) error { return m.ListenAll(run.opening()) }); err != nil {
		_ = c.stop()
		return err
	}
	c.logger().Debug("blaze: started", "member", run.id, "cluster", c.cfg.Load().Cluster,
		"transport", c.res.Name, "mode", c.res.Mode(), "why", c.res.Reason)
	return nil
}

func (c *Channel) newRunning() (*running, error) {
	conf := c.cfg.Load()
	run := &running{res: c.res, invoker: conf.Invoker, done: make(chan struct{})}
	if _, err := rand.Read(run.id[:]); err != nil {
		return nil, fmt.Errorf("blaze: drawing a member ID: %w", err)
	}
	random, err := newRand()
	if err != nil {
		return nil, err
	}
	cfg := member.Config{
		ID: wire.MemberID(run.id), Cluster: wire.ClusterHash(conf.Cluster),
		Driver: c.res.Ports[0].Driver, Pool: c.res.Ports[0].Pool, Table: c.table,
		Rand:     random,
		Protocol: conf.Protocol.wire(), Lanes: conf.Lanes,
		Window: conf.Window, MaxMessageSize: conf.MaxMessageSize,
		Fastest: conf.FlowControl == Fastest, SelfDelivery: !conf.NoSelfDelivery,
		Eviction: max(conf.FailureTimeout, time.Second), MaxRate: conf.MaxRate,
		Idle: conf.Idle.engine(), CPU: conf.engineCPU(0), RepairNS: conf.hooks.RepairNS,
	}
	for _, t := range conf.Topics {
		cfg.Rules = append(cfg.Rules, member.Rule{Pattern: t.Pattern, Protocol: t.Protocol.wire(), Safe: t.Safe})
	}
	cfg.Safe, cfg.FEC = conf.Safe, conf.FEC.nack()
	// Names need not be unique, so the ring is not told them: it would take the older of two
	// members of one name for dead.
	cfg.Ring = member.Ring{Profile: conf.Totem.profile(conf.Idle), Plain: conf.Totem.Plain, Views: (&viewer{c: c}).view}
	cfg.Filter = laneFilter(c.res, c.logger())
	run.filters = cfg.Filter.Set != nil
	for i, port := range c.res.Ports[1:] {
		random, err := newRand()
		if err != nil {
			return nil, err
		}
		cfg.Further = append(cfg.Further, member.Further{Driver: port.Driver, Pool: port.Pool, Rand: random, CPU: conf.engineCPU(i + 1)})
	}
	if !run.invoker {
		cfg.Queue = conf.commandQueue()
	}
	run.member = member.New(cfg)
	run.engine = run.member.Engine()
	for _, e := range run.member.Engines() {
		run.workers = append(run.workers, &worker{engine: e, ended: make(chan struct{})})
	}
	if run.invoker {
		close(run.workers[0].ended)
	}
	return run, nil
}

// newRand is a source of random numbers of its own for one engine.
func newRand() (*mrand.Rand, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("blaze: drawing a seed: %w", err)
	}
	return mrand.New(mrand.NewChaCha8(seed)), nil
}

// Stop ends this start of the channel. It waits, at most Config.Linger, until what was accepted
// has been sent and, under reliable protocols, reported received by the receivers that are
// known, and until the handlers have taken what is queued for them; what was left is in the
// error. Then it tells the others that this member leaves. The channel can Start again.
//
// A handler that runs for another second is left running, and named in the error. The handlers of
// the next start wait for it.
//
// A handler may call Stop: the handler that does is not waited for, and where that is an Inline
// handler Stop returns at once and is carried out when the handler has returned.
func (c *Channel) Stop() error {
	return c.leave(func() error { return c.stop() })
}

// Shutdown stops the channel where that is needed and gives back every socket, goroutine and
// piece of memory. Subscriptions stay for the next Start. What is said of handlers at Stop
// holds here too.
func (c *Channel) Shutdown() error {
	return c.leave(func() error {
		err := c.stop()
		if c.res != nil {
			if cerr := c.res.Close(); err == nil && cerr != nil {
				err = fmt.Errorf("blaze: closing the driver: %w", cerr)
			}
			c.res = nil
		}
		c.state.Store(uint32(Constructed))
		return err
	})
}

// leave runs do under the lock, now, or after the Inline handler that calls.
func (c *Channel) leave(do func() error) error {
	locked := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return do()
	}
	if run := c.turning(); run != nil && run.inHandler() {
		if run.invoker {
			run.after = func() { _ = locked() }
		} else {
			go func() { _ = locked() }()
		}
		return nil
	}
	return locked()
}

// turning is the start whose engines may be turning: the present one, or one that is ending.
func (c *Channel) turning() *running {
	if run := c.run.Load(); run != nil {
		return run
	}
	return c.ending.Load()
}

// handlerGrace is how long Stop waits for handlers that run when Config.Linger is over: a goroutine
// that has been kept from the CPU needs some of it.
const handlerGrace = time.Second

func (c *Channel) stop() error {
	run := c.run.Load()
	if run == nil {
		return nil
	}
	linger := c.cfg.Load().Linger
	deadline := engine.Now().Add(linger)
	close(run.done) // who waits for room gets ErrClosed, and nothing more is accepted
	c.ending.Store(run)
	defer c.ending.Store(nil)
	c.run.Store(nil)
	c.state.Store(uint32(Stopped))

	var left []string
	if !run.until(deadline, run.member.Settled) {
		run.ask(func() { left = append(left, run.member.Unsettled()) })
	}
	if untaken := c.awaitHandlers(deadline); untaken > 0 {
		left = append(left, fmt.Sprintf("%d messages not taken by their handlers", untaken))
	}
	silent := engine.Now().Add(50 * time.Millisecond)
	for i, w := range run.workers {
		run.askAt(i, func() { run.member.CloseAt(i, w.engine.Now()) })
	}
	// Leave datagrams go out in the turns that follow. Their number is bounded, and so is this.
	for i := range run.workers {
		run.untilAt(i, silent, func() bool { return run.member.SilentAt(i) })
	}
	run.end()
	if n := run.member.Queued(); n > 0 && len(left) == 0 {
		left = append(left, fmt.Sprintf("%d bytes offered while it stopped", n))
	}
	last := c.collect(run)
	for i := range run.workers[1:] {
		last.add(run.read(i + 1))
	}
	c.last.Store(&last)
	run.member.Release()
	patience, cancel := context.WithTimeout(context.Background(), max(deadline.Sub(engine.Now()), handlerGrace))
	defer cancel()
	c.serve(false, func(s *Subscription) {
		s.queue.Expire()
		s.queue.Stop()
	})
	for _, s := range c.queued() {
		if !s.queue.Join(patience.Done()) {
			left = append(left, fmt.Sprintf("a handler of %q still runs", s.pattern))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("blaze: Stop: not all was received within Config.Linger (%v): %s", linger, strings.Join(left, "; "))
	}
	return nil
}

// awaitHandlers waits until the handlers have taken what is queued for them, and returns how
// many messages they have not. The handler that calls Stop is not waited for.
func (c *Channel) awaitHandlers(deadline clock.Time) (untaken int) {
	for _, s := range c.queued() {
		for wait := 20 * time.Microsecond; !s.queue.Idle() && !s.queue.Called(); wait = min(2*wait, time.Millisecond) {
			if engine.Now() > deadline {
				untaken += s.queue.Len()
				break
			}
			time.Sleep(wait)
		}
	}
	return untaken
}

// gidEvery is how many turns pass at most between two looks at which goroutine turns: every few
// milliseconds of a loop that spins. More often and the looks, some 5 µs each, are the p99.
const gidEvery = 1 << 16

// noteTurner notes which goroutine turns. Finding that out costs microseconds, so it is done when
// the stack lies elsewhere than at the last turn, and now and then, since a new goroutine may get
// the stack of one that has ended.
func (r *running) noteTurner() {
	var here byte
	if at := uintptr(unsafe.Pointer(&here)); at != r.stack || r.turns%gidEvery == 0 {
		r.stack = at
		r.workers[0].gid.Store(gid.Current())
	}
	r.turns++
}

// Turn is one turn of the engine on the caller's goroutine, with Config.Invoker. It returns how
// much there was to do; 0 when there was nothing, when the channel is not started, when it has
// an engine of its own, and from within a handler.
func (c *Channel) Turn() (work int) {
	run := c.run.Load()
	if run == nil || !run.invoker || run.turning {
		return 0
	}
	run.mu.Lock()
	run.noteTurner()
	run.turning = true
	work = run.engine.Turn(engine.Now())
	run.turning = false
	run.mu.Unlock()
	if f := run.after; f != nil {
		run.after = nil
		f()
	}
	return work
}

// await waits until cond holds, looking again whenever the lane changes. With an Invoker it
// turns the engine meanwhile.
func (c *Channel) await(ctx context.Context, run *running, lane *member.Lane, cond func() bool) error {
	for {
		changed, done := lane.Changed()
		if cond() {
			done()
			return nil
		}
		var err error
		switch {
		case run.inHandler():
			err = ErrBackPressure // waiting here would wait for itself
		case run.invoker && run.turnsHere():
			if err = ctx.Err(); err == nil && c.Turn() == 0 {
				run.res.Ports[0].Driver.Wait(50 * time.Microsecond)
			}
			if c.run.Load() != run {
				err = ErrClosed
			}
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				err = ctx.Err()
			case <-run.done:
				err = ErrClosed
			}
		}
		done()
		if err != nil {
			return err
		}
	}
}

// turnsHere tells, with an Invoker, whether it is for the caller to turn the engine while it
// waits: it did so before, or nobody has.
func (r *running) turnsHere() bool {
	g := r.workers[0].gid.Load()
	return g == 0 || g == gid.Current()
}

// barrier returns when no Inline handler that was running is running any more. A handler that calls
// it waits for none: those of two engines would wait for each other.
func (c *Channel) barrier() {
	run := c.turning()
	if run == nil || run.inHandler() {
		return
	}
	for i := range run.workers {
		run.askAt(i, func() {})
	}
}

// resume tells the engines that a consumer which held one of them up has room again.
func (c *Channel) resume() {
	c.table.Resume()
	if run := c.run.Load(); run != nil {
		for _, w := range run.workers {
			w.engine.Notify()
		}
	}
}

// add takes in a new subscription. When it returns what it can hear is heard.
func (c *Channel) add(s *Subscription, runInline bool) error {
	if s.to = (inline{s, &s.delivery}); !runInline {
		s.queue = s.newIntake(c.cfg.Load())
		s.to = s.queue
	}
	c.enlist(s)
	run := c.run.Load()
	if run == nil { // Start looks at all subscriptions
		return nil
	}
	return run.hear(func(m *member.Member) error { return m.Listen(run.opening(), s.pattern) })
}

func (c *Channel) enlist(s *Subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	c.subs[s] = struct{}{}
	if s.queue != nil && c.serving {
		s.queue.Start()
	}
	c.table.Add(s.pattern, s.to)
}

func (c *Channel) forget(s *Subscription) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	delete(c.subs, s)
}

// serve says whether queues run from now on, and does f with each subscription that has one.
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

// now is, with an Invoker, the time of the turn that runs or ran last.
func (r *running) now() clock.Time { return r.engine.Now() }

// opening is when a stream is opened by an Invoker that may not have turned yet.
func (r *running) opening() clock.Time {
	if now := r.now(); now != 0 {
		return now
	}
	return engine.Now()
}
