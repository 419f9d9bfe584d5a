package intake

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Policy decides what happens when an intake is full.
type Policy uint8

// The policies.
const (
	Pause      Policy = iota // the streams wait
	Drop                     // the message is dropped, and reported as lost
	Disconnect               // the intake ends
)

// Message is one message as the handler's goroutine gets it.
type Message struct {
	From     wire.MemberID
	Stream   wire.StreamID
	Sequence uint64
	Kind     wire.Kind
	Topic    string
	Payload  []byte // lent until the handler returns
	Received clock.Time
}

// Config is what an Intake is made of. Handle and Lost are called by its goroutine, one call at a time.
// The other funcs are called on an engine's thread as well, and must not wait.
type Config struct {
	Size   int // messages that wait in an inlet
	Policy Policy

	Count bool // what the handler has begun, for Mark

	Handle func(m *Message)
	Lost   func(l core.Loss) // in its place among the messages; nil: losses are not wanted

	Resume func()            // an engine was waiting, and there is room now
	Full   func(waiting int) // Disconnect: the intake is full. It ends the owner, which calls End
	Slow   func(s Slow)      // it is slow, or was; called on a goroutine of the Watch
	Ended  func()            // after End, when the goroutine that served it has ended; nil: nothing

	Labels Labels

	// All intakes of an owner share them.
	Stock    *Stock
	Watch    *Watch
	Counters *Counters
}

// Counters are counted by all intakes of an owner.
type Counters struct {
	Pauses, LongPauses, Dropped, LossesUntold atomic.Uint64
	Slow                                      atomic.Uint64 // times that one became slow
}

// LongPause is how long a pause lasts that counts as a long one.
const LongPause = 100 * time.Millisecond

// Intake carries messages from the engines' threads to the goroutine of one handler. With several
// engines each has an inlet of its own, so that each is the only producer of its queue. The goroutine
// takes from the inlets in turn: the messages of one stream all come through one inlet, in order.
//
// An Intake outlives the engines: Start and Stop belong to one start of a channel, End is for ever.
type Intake struct {
	cfg    Config
	inlets atomic.Pointer[[]*inlet] // by engine; replaced, never changed; empty when it has ended
	ended  atomic.Bool
	end    chan struct{} // closed when it has ended
	report bool          // End: what is queued is reported as lost; written before ended

	wake   chan struct{} // one token: there may be something to take
	parked ring.Signal

	// turn holds a token while a goroutine takes from the inlets. That may be one that a Stop
	// gave up waiting for, when the next start's is there already.
	turn   chan struct{}
	server atomic.Uint64 // the goroutine whose turn it is; 0: none
	lent   Message       // to the handler, by the goroutine whose turn it is

	mu   sync.Mutex
	quit chan struct{} // closed: the goroutine ends after the handler that runs; nil while the channel is not started

	watching atomic.Bool
	watched  watched

	dropped atomic.Uint64
	full    atomic.Uint64 // share of the last second: the bits of a float64
	times   Times
}

// New makes an Intake. Messages that come before Start wait.
func New(cfg Config) *Intake {
	q := &Intake{cfg: cfg, end: make(chan struct{}), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	q.inlets.Store(&[]*inlet{{q: q}})
	return q
}

// At implements member.Divided.
func (q *Intake) At(engine int) member.Consumer { return q.at(engine) }

func (q *Intake) at(engine int) *inlet {
	q.mu.Lock()
	defer q.mu.Unlock()
	inlets := *q.inlets.Load()
	if len(inlets) <= engine {
		inlets = slices.Clone(inlets)
		for len(inlets) <= engine {
			inlets = append(inlets, &inlet{q: q})
		}
		if !q.ended.Load() {
			q.inlets.Store(&inlets)
		}
	}
	return inlets[engine]
}

// Ready, Deliver and Lost are the first engine's: an Intake is a member.Consumer too.
func (q *Intake) Ready(now clock.Time) bool { return q.At(0).Ready(now) }

// Deliver implements member.Consumer.
func (q *Intake) Deliver(now clock.Time, topic string, d *core.Delivery) {
	q.At(0).Deliver(now, topic, d)
}

// Lost implements member.Consumer.
func (q *Intake) Lost(l *core.Loss) { q.At(0).Lost(l) }

// End has the intake take nothing more. What is queued is not handled any more; with report it is
// reported as lost. The goroutine ends after the handler that runs. Any goroutine may call it, once.
func (q *Intake) End(report bool) {
	q.report = report
	q.ended.Store(true)
	close(q.end)
}

// Start begins to serve the intake on a goroutine.
func (q *Intake) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.quit != nil || q.ended.Load() {
		return
	}
	q.quit = make(chan struct{})
	go q.serve(q.quit)
}

// Stop has the goroutine end after the handler that runs.
func (q *Intake) Stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.quit != nil {
		close(q.quit)
		q.quit = nil
	}
}

// Join waits until no goroutine but perhaps the caller serves the stopped intake, and reports whether
// that came to be. It gives up when the channel is closed, nil for never.
func (q *Intake) Join(giveUp <-chan struct{}) bool {
	if q.Called() {
		return true
	}
	select {
	case q.turn <- struct{}{}:
	default:
		select {
		case q.turn <- struct{}{}:
		case <-giveUp:
			return false
		}
	}
	q.drop()
	<-q.turn
	return true
}

// Called reports whether the caller is this intake's handler.
func (q *Intake) Called() bool { return q.server.Load() == gid.Current() }

// Idle reports whether the handler has returned from everything that was queued.
func (q *Intake) Idle() bool {
	for _, in := range *q.inlets.Load() {
		if !in.idle() {
			return false
		}
	}
	return true
}

// Await waits, at most until the deadline, until the handler has taken what is queued. It returns how
// many messages and losses it has not taken. A handler does not wait for itself.
func (q *Intake) Await(deadline clock.Time) (untaken int) {
	for wait := 20 * time.Microsecond; !q.Idle() && !q.Called(); wait = min(2*wait, time.Millisecond) {
		if q.cfg.Watch.now() > deadline {
			return q.Len()
		}
		time.Sleep(wait)
	}
	return 0
}

// Len is how many messages and losses are queued.
func (q *Intake) Len() (n int) {
	for _, in := range *q.inlets.Load() {
		n += in.len()
	}
	return n
}

// Expire marks what is queued as not for the next start. The engines do not run.
func (q *Intake) Expire() {
	for _, in := range *q.inlets.Load() {
		in.losses = in.losses[:0]
		in.paused, in.long, in.full, in.refused = 0, false, false, false
		in.fullSince.Store(0)
		in.stale.Store(in.given.Load())
	}
}

// drop forgets what has expired, and all when the intake has ended. It is for the goroutine whose turn it is.
func (q *Intake) drop() {
	inlets := *q.inlets.Load()
	for _, in := range inlets {
		in.drop()
	}
	if !q.ended.Load() || len(inlets) == 0 {
		return
	}
	if q.report {
		q.reportRest(inlets)
	}
	q.mu.Lock()
	q.inlets.Store(new([]*inlet))
	q.mu.Unlock()
	for _, in := range inlets {
		in.release()
	}
	if q.cfg.Stock.short.Swap(false) {
		q.cfg.Resume()
	}
	if q.cfg.Ended != nil {
		q.cfg.Ended()
	}
}

// reportRest reports what is queued as lost, one range for each stream and reason.
func (q *Intake) reportRest(inlets []*inlet) {
	if q.cfg.Lost == nil {
		return
	}
	for _, in := range inlets {
		var losses []core.Loss
		for g, it := in.peek(); g != nil; g, it = in.peek() {
			if !join(&losses, it.asLost()) {
				q.cfg.Counters.LossesUntold.Add(1)
			}
			in.advance()
		}
		for _, l := range losses {
			q.cfg.Lost(l)
		}
	}
}

func (q *Intake) serve(quit <-chan struct{}) {
	select {
	case q.turn <- struct{}{}:
	case <-quit:
		return
	}
	q.server.Store(gid.Current())
	q.cfg.Labels.set()
	defer func() {
		q.drop() // all, when the intake has ended
		q.server.Store(0)
		<-q.turn
	}()
	q.drop()
	for {
		came := false
		for _, in := range *q.inlets.Load() {
			came = in.serve(quit) || came
		}
		if !came && !q.park(quit) {
			return
		}
	}
}

// park waits until there is something to take. False means that the goroutine ends.
func (q *Intake) park(quit <-chan struct{}) bool {
	select {
	case <-quit:
		return false
	case <-q.end:
		return false
	default:
	}
	q.parked.Arm()
	defer q.parked.Disarm()
	if !q.Idle() {
		return true
	}
	select {
	case <-q.wake:
		return true
	case <-quit:
	case <-q.end:
	}
	return false
}

// rouse ends a park.
func (q *Intake) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
