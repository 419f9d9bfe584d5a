package run

import (
	"errors"
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
)

// Errors that calls return bare, besides those of package nack.
var (
	ErrClosed   = errors.New("run: closed")                      // the run stops, or has ended
	ErrOccupied = errors.New("run: waiting in an engine's turn") // the wait would wait for itself
)

// Config is what a run is made of.
type Config struct {
	Member  member.Config
	Invoker bool // no goroutines: the application turns the engine

	Group   *GroupConfig   // nil: the member is in no group
	Cluster *ClusterConfig // nil: the member is in no cluster; else Group is set

	// Held is called when something else than the application has limited a stream for more than half of a
	// second, every ten seconds while it does so, and when it does not any more. It runs on a goroutine of its
	// own, one call at a time. Nil: nobody looks.
	Held func(Held)
}

// Run is one start of a channel. Any goroutine may call its methods, where they do not say otherwise.
type Run struct {
	member  *member.Member
	engine  *engine.Engine // the first
	driver  engine.Driver  // of the first
	workers []*worker      // one for each engine
	name    string         // of the member, in profiles
	invoker bool
	filters bool // lanes that are not wanted are kept away
	held    func(Held)
	watch   *watch
	group   *Group         // nil: the member is in no group
	cluster *Cluster       // nil: the member is in no cluster
	serving *serving       // of a member of a group
	calls   member.Calls   // of a member of a group
	spins   bool           // the engine never sleeps
	rest    func()         // lets the driver wait a little; made once
	looked  func(rows int) // in tests: called for each piece that Look copies, on the engine's thread

	refused chan struct{} // closed by Refuse
	gone    chan struct{} // closed by End, at its end

	// With an Invoker.
	mu        sync.Mutex // held by whoever touches the engine
	refuses   bool       // guarded by mu: Refuse was called
	ended     bool       // guarded by mu: no turn, and no use of the member any more
	abandoned bool       // guarded by mu: claims in datagrams have been taken back
	turns     uint64     // guarded by mu
	turner    uint64     // guarded by mu: the goroutine that turned last, for Await alone; 0: none has
	after     []func()   // guarded by mu: to call when the turn that runs is over
}

// Start puts a member together and, without an Invoker, runs its engines. Engines that have no source
// of random numbers get one.
func Start(cfg Config) (*Run, error) {
	if err := seed(&cfg.Member); err != nil {
		return nil, err
	}
	r := &Run{
		driver: cfg.Member.Driver, name: cfg.Member.Name, invoker: cfg.Invoker, held: cfg.Held,
		filters: cfg.Member.Filter.Set != nil, refused: make(chan struct{}), gone: make(chan struct{}),
	}
	if cfg.Group != nil {
		r.group = newGroup(r, cfg.Group, &cfg.Member)
	}
	if cfg.Cluster != nil {
		r.cluster = newCluster(r, cfg.Cluster, &cfg.Member)
	}
	r.spins, r.rest = cfg.Member.Idle == engine.BusySpin, func() { r.driver.Wait(idleWait) }
	r.member = member.New(cfg.Member)
	if r.group != nil {
		r.serving.begin(engine.Now(), r.member.Group())
	}
	r.engine, r.watch = r.member.Engine(), &watch{run: r}
	for _, e := range r.member.Engines() {
		r.workers = append(r.workers, &worker{engine: e, ended: make(chan struct{})})
	}
	if !r.invoker {
		if err := r.startWorkers(); err != nil {
			r.member.Release()
			return nil, err
		}
	}
	if r.group != nil {
		r.group.start()
	}
	r.cluster.startDisk()
	return r, nil
}

// Member is the member that runs. Its engines' state may be touched inside Do and DoAt only.
func (r *Run) Member() *member.Member { return r.member }

// Engine is one of the member's engines.
func (r *Run) Engine(i int) *engine.Engine { return r.workers[i].engine }

// Engines is the number of the member's engines.
func (r *Run) Engines() int { return len(r.workers) }

// Gone is closed when the run has ended, and the function that End was given has returned.
func (r *Run) Gone() <-chan struct{} { return r.gone }

// Notify wakes the engines that sleep.
func (r *Run) Notify() {
	for _, w := range r.workers {
		w.engine.Notify()
	}
}

// Listen opens the lanes that listen wants. It calls listen where the engine's state may be touched,
// and only if lanes are kept away at all. Of a run that has ended it is nil.
func (r *Run) Listen(listen func(*member.Member) error) (err error) {
	if r.filters {
		_ = r.Do(func() { err = listen(r.member) })
	}
	return err
}

// Now is the time of the first engine's turn that runs or ran last. It belongs to that engine.
func (r *Run) Now() clock.Time {
	if now := r.engine.Now(); now != 0 {
		return now
	}
	return engine.Now() // an Invoker has not turned yet
}

const (
	// firstWait and longestWait bound the sleep between two looks at a condition.
	firstWait   = 20 * time.Microsecond
	longestWait = time.Millisecond
)
