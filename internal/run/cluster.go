package run

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/store"
	"github.com/activeblaze/blaze/wire"
)

// ClusterConfig is what a run of a member of a cluster has besides. It is a member of a group too.
type ClusterConfig struct {
	Ring    member.ClusterRing // Core is filled in
	Core    cluster.Config     // Sink is filled in
	Replica *Replica
	Disk    *store.Store // nil: memory only. It is open, Core has what it holds; its owner closes it after the run

	Finish func() // what works for services is to end

	Warn func(w *cluster.Warning)     // on the first engine's thread; lent
	Slow func(watcher, prefix string) // a watcher was overrun; on its goroutine
}

// Cluster is the cluster's part of a run.
type Cluster struct {
	run   *Run
	cfg   *ClusterConfig
	calls member.ClusterCalls
	quit  chan struct{}  // closed at the end: watchers end
	work  sync.WaitGroup // in the background

	until    atomic.Int64 // the time up to which this member may believe what follows, and in its locks
	primary  atomic.Bool
	master   atomic.Pointer[wire.MemberID]
	stopping atomic.Bool // no lock is held any more, and no call returns one

	// The first engine's.
	publication
	masterIndex uint64
	leases      map[uint64]*Lease // by the call that got the lock
	owed        []uint64          // locks that nobody waits for, and that were not given back yet
	exited      bool
}

// newCluster completes the member's configuration.
func newCluster(r *Run, cfg *ClusterConfig, m *member.Config) *Cluster {
	c := &Cluster{run: r, cfg: cfg, quit: make(chan struct{}), leases: map[uint64]*Lease{},
		publication: publication{replica: cfg.Replica, maps: map[string]*ReplicaMap{}, post: func(f func()) { r.engine.Post(f) }}}
	c.master.Store(new(wire.MemberID))
	ring, core := cfg.Ring, cfg.Core
	core.Sink, ring.Core = c, &core
	core.Background = c.background
	if cfg.Disk != nil {
		core.Store = cfg.Disk
	}
	m.ClusterRing = &ring
	commands := m.Group.Command
	m.Group.Command = func(now clock.Time, g *group.Protocol, cmd *member.Command) {
		if !c.calls.Command(now, c.core(), cmd) {
			commands(now, g, cmd)
		}
	}
	return c
}

// background implements cluster.Config.Background.
func (c *Cluster) background(work func(over func() bool), then func(now clock.Time)) (cancel func()) {
	var over atomic.Bool
	c.work.Go(func() {
		work(over.Load)
		c.run.engine.Post(func() { then(c.run.Now()) })
	})
	return func() { over.Store(true) }
}

func (c *Cluster) core() *cluster.Core { return c.run.member.Replica() }

// startDisk has the disk write. Its goroutine posts what becomes of that to the engine.
func (c *Cluster) startDisk() {
	if c == nil || c.cfg.Disk == nil {
		return
	}
	c.cfg.Disk.Start(func(e store.Event) {
		c.run.engine.Post(func() {
			if e.Err != nil {
				c.core().DiskFailed(c.run.Now(), e.Err)
			} else {
				c.core().Durable(c.run.Now(), e.Ticket, e.Index)
			}
		})
	})
}

// Cluster is the run's part in a cluster, nil where it has none.
func (r *Run) Cluster() *Cluster { return r.cluster }

// Serve has watchers run from now on, which can call back into this run. On nil it does nothing, as the next two.
func (c *Cluster) Serve() {
	if c != nil {
		c.replica.begin(c)
	}
}

// Wall is the wall clock, ns since 1970, as the core reckons it.
func (c *Cluster) Wall() int64 { return c.cfg.Core.Wall*1000 + int64(engine.Now()) }

// ClusterBytes is what the core holds at most besides the state: what a learner keeps, the log of recent operations, the
// events that slow watchers have before them, transfers that are put together, and calls.
const ClusterBytes = 256<<20 + 64<<20 + feedBytes + wire.MaxTransfer + member.MaxSlots*int64(unsafe.Sizeof(member.ClusterCall{}))

// Close begins the end: no call returns a lock from now on, calls are answered, and this member leaves the cluster. It
// waits for that until the deadline. exited is false where this member is gone to the others as if it had crashed.
func (c *Cluster) Close(deadline clock.Time) (exited bool) {
	if c == nil {
		return true
	}
	c.stopping.Store(true)
	r := c.run
	err := r.Do(func() {
		for _, l := range c.leases {
			l.end()
		}
		c.core().Close(r.Now(), max(0, deadline.Sub(r.Now())))
	})
	r.until(0, deadline.Add(closeGrace), func() (closed bool) {
		closed, c.exited = c.core().Closed()
		return closed
	})
	return err != nil || c.exited
}

// closeGrace is how long the core has to notice that its deadline is over.
const closeGrace = 100 * time.Millisecond

// End ends the watchers, each after the handler that runs.
func (c *Cluster) End() {
	if c != nil {
		c.until.Store(0)
		c.replica.end(c)
		c.cfg.Finish()
		c.work.Wait()
	}
}

// believes reports whether no primary component can have followed without this member.
func (c *Cluster) believes() bool { return !c.stopping.Load() && int64(engine.Now()) < c.until.Load() }

// Primary reports whether this member is in the primary component, as far as it can be sure.
func (c *Cluster) Primary() bool { return c.primary.Load() && c.believes() }

// Master is the master; zero: there is none, or this member is outside of the primary component.
func (c *Cluster) Master() wire.MemberID {
	if id := *c.master.Load(); c.believes() {
		return id
	}
	return wire.MemberID{}
}

// Info is what is known of a member. Its record may come a moment later than it itself: Info waits for that a little.
func (c *Cluster) Info(id wire.MemberID) *Info {
	m := c.run.group.mirror
	timer := time.NewTimer(infoWait)
	defer timer.Stop()
	for {
		changed, done := m.Changed()
		i := m.Get(id)
		if i != nil {
			done()
			return i
		}
		select {
		case <-changed:
			done()
			continue
		case <-timer.C:
		case <-c.quit:
		}
		done()
		return &Info{ID: id}
	}
}

// infoWait is how long a member's record is waited for.
const infoWait = 200 * time.Millisecond

// Publish implements cluster.Sink.
func (c *Cluster) Publish(_ clock.Time, p *cluster.Publication) {
	// Who is master is known before the time that it holds for: nobody believes in a master longer than that one may.
	if old := c.master.Load(); *old != p.Master {
		id := p.Master
		c.master.Store(&id)
	}
	c.primary.Store(p.Primary)
	c.until.Store(int64(p.Until))
	if p.State != nil {
		c.publish(p)
	}
	if p.Master != (wire.MemberID{}) && p.MasterIndex != c.masterIndex || p.Master != c.replica.master {
		c.masterIndex = p.MasterIndex
		c.replica.setMaster(p.Master)
	}
}

// Done implements cluster.Sink.
func (c *Cluster) Done(now clock.Time, call *cluster.Call) {
	slot, kind, number, about, code := c.calls.Of(call), call.Kind, call.Number, call.Lock, call.Code
	switch {
	case kind == cluster.CallLock && code == cluster.CodeOK:
		l := &Lease{cluster: c, number: number, token: call.Token, lost: make(chan struct{})}
		l.deadline.Store(int64(call.Deadline))
		c.leases[number], slot.Result = l, l
	case kind == cluster.CallExtend && code == cluster.CodeOK:
		if l := c.leases[about]; l != nil {
			l.deadline.Store(int64(call.Deadline))
		}
	case kind == cluster.CallUnlock:
		delete(c.leases, about)
	}
	if !c.calls.End(slot) && kind == cluster.CallLock && code == cluster.CodeOK {
		c.leases[number].end()
		c.owed = append(c.owed, number)
	}
	c.settle(now)
}

// settle gives back locks that nobody waits for, and begins what had no room.
func (c *Cluster) settle(now clock.Time) {
	if len(c.owed) == 0 && !c.calls.Late() {
		return
	}
	c.run.engine.Post(func() { // not inside of the core
		c.calls.Retry(c.run.Now(), c.core())
		for ; len(c.owed) > 0; c.owed = c.owed[1:] {
			call := c.calls.Get()
			if call == nil {
				return // one that ends comes here again
			}
			call.Call.Kind, call.Call.Lock = cluster.CallUnlock, c.owed[0]
			c.calls.Begin(c.run.Now(), c.core(), call)
		}
	})
}

// Lost implements cluster.Sink.
func (c *Cluster) Lost(_ clock.Time, lock uint64) {
	if l := c.leases[lock]; l != nil {
		l.end()
		delete(c.leases, lock)
	}
}

// Warn implements cluster.Sink.
func (c *Cluster) Warn(_ clock.Time, w *cluster.Warning) { c.cfg.Warn(w) }

// Slot takes a slot for a call, and waits for one if there is none.
func (c *Cluster) Slot(ctx context.Context) (*member.ClusterCall, error) {
	var others lookout
	for {
		if s := c.calls.Get(); s != nil {
			return s, nil
		}
		if err := c.run.awaitSlot(ctx, &others); err != nil {
			return nil, err
		}
	}
}

// Free gives a slot back.
func (c *Cluster) Free(s *member.ClusterCall) { c.calls.Free(s) }

// Begin begins a call: those that one goroutine begins come to the core in their order. On an error the slot is free, and
// the call was not begun. The error is ctx's, ErrClosed or ErrOccupied.
func (c *Cluster) Begin(ctx context.Context, s *member.ClusterCall) (err error) {
	r := c.run
	if r.InHandler() {
		err = ErrOccupied
	}
	for err == nil && !r.member.BeginClusterCall(s) {
		err = r.makeRoom(ctx, r.refused)
	}
	if err != nil {
		c.calls.Free(s)
		return err
	}
	r.engine.Notify()
	return nil
}

// TrySlot is Slot that does not wait: nil if there is none.
func (c *Cluster) TrySlot() *member.ClusterCall { return c.calls.Get() }

// BeginHere begins a call that nobody waits for: its Then is called. Only an in-box handler on the first engine's thread may
// call it.
func (c *Cluster) BeginHere(s *member.ClusterCall) { c.calls.Begin(c.run.Now(), c.core(), s) }

// Leave is BeginHere for any goroutine. It never waits, and is false when the command ring is full.
func (c *Cluster) Leave(s *member.ClusterCall) bool {
	r := c.run
	if !r.member.BeginClusterCallUnwatched(s) {
		c.calls.Free(s)
		return false
	}
	r.engine.Notify()
	return true
}

// Finish waits for the end of a call that was begun. Where ended is true the slot is the caller's, with the result; when
// ctx has ended it may be Cancelled. Else the slot is gone, and the call may have happened. The error is ctx's or
// ErrClosed.
func (c *Cluster) Finish(ctx context.Context, s *member.ClusterCall) (ended bool, err error) {
	r := c.run
	number := s.Number()
	// Not refused: the core answers all calls when the run begins to stop.
	return r.finish(ctx, &s.Slot, r.gone, func() bool { return r.member.CancelClusterCall(number) })
}

// Status is what the core knows of the cluster.
func (r *Run) Status() (s *cluster.Status) {
	if r.cluster != nil {
		_ = r.Do(func() { s = r.cluster.core().Status(r.Now()) })
	}
	return s
}

// ClusterStats are the core's counters; zero where there is none. It belongs to the first engine's thread.
func (r *Run) ClusterStats() (s cluster.Stats) {
	if r.cluster != nil {
		s = r.cluster.core().Stats()
	}
	return s
}
