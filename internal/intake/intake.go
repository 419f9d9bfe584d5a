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

// Policy says what happens when an intake is full.
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

// Config is what an Intake is made of. Funcs other than Handle and Lost are called on an engine's
// thread, or by the goroutine, and must not wait.
type Config struct {
	Size   int   // messages that wait in an inlet
	Limit  int64 // bytes of payload that wait in an inlet
	Policy Policy

	Handle func(m *Message)  // called by the intake's goroutine, one call at a time
	Lost   func(l core.Loss) // as Handle, in its place among the messages; nil: losses are not wanted

	Resume func()            // an engine was waiting, and there is room now
	Full   func(size int)    // Disconnect: the intake is full. It ends the owner, which calls End
	Slow   func(waiting int) // Pause: the engine has waited for PauseNotice. Called on a goroutine of its own

	Counters *Counters // of all intakes of an owner
}

// Counters are counted by all intakes of an owner.
type Counters struct {
	Pauses, LongPauses, Dropped, LossesUntold atomic.Uint64
}

// PauseNotice is how long a slow consumer holds up its streams before Config.Slow is called.
const PauseNotice = 100 * time.Millisecond

// Intake carries messages from the engines' threads to the goroutine of one handler. With several
// engines each has an inlet of its own, so that each is the only producer of its ring. The goroutine
// takes from the inlets in turn: the messages of one stream all come through one inlet, in order.
//
// An Intake outlives the engines: Start and Stop belong to one start of a channel, End is for ever.
type Intake struct {
	inlet // the first engine's
	cfg   Config
	more  atomic.Pointer[[]*inlet] // the other engines'; replaced, never changed
	ended atomic.Bool
	end   chan struct{} // closed when it has ended

	wake   chan struct{} // one token: there may be something to take
	parked ring.Signal

	// turn holds a token while a goroutine takes from the intakes. That may be one that a Stop
	// gave up waiting for, when the next start's is there already.
	turn   chan struct{}
	server atomic.Uint64 // the goroutine whose turn it is; 0: none

	mu   sync.Mutex
	quit chan struct{} // closed: the goroutine ends after the handler that runs; nil while the channel is not started
}

// inlet is one engine's end of an Intake. The payload is copied into the slot, whose memory is used
// again.
type inlet struct {
	q     *Intake
	items *ring.SPSC[queued]
	bytes atomic.Int64 // payload bytes waiting

	// The engine's thread's own.
	slot   *queued     // reserved for the next message
	losses []core.Loss // reported before the next message, when there was no room for them
	paused clock.Time
	named  bool // Config.Slow has been called for this pause

	waiting atomic.Bool   // the engine waits for room
	given   atomic.Uint64 // items published
	taken   atomic.Uint64 // items whose handlers have returned, or that were dropped
	stale   atomic.Uint64 // items up to here are an earlier start's
}

// queued is a message, or a loss, on its way to the goroutine.
type queued struct {
	message Message
	memory  []byte // where message.Payload lies, kept for the next message in this slot
	loss    core.Loss
	isLoss  bool
}

const (
	// maxQueuedLosses bounds the losses that wait for room: one for each stream and reason.
	maxQueuedLosses = 64
	// keepMemory is the largest payload memory, in bytes, that a slot keeps for the next message.
	keepMemory = 64 << 10
)

// New makes an Intake that takes nothing yet: messages that come before Start wait.
func New(cfg Config) *Intake {
	q := &Intake{cfg: cfg, end: make(chan struct{}), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	q.open(q)
	return q
}

func (in *inlet) open(q *Intake) {
	in.q, in.items = q, ring.NewSPSC[queued](q.cfg.Size)
}

// At implements member.Divided.
func (q *Intake) At(engine int) member.Consumer {
	if engine == 0 {
		return &q.inlet
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	more := slices.Clone(q.others())
	for len(more) < engine {
		in := new(inlet)
		in.open(q)
		more = append(more, in)
	}
	q.more.Store(&more)
	return more[engine-1]
}

// others are the intakes of the engines besides the first.
func (q *Intake) others() []*inlet {
	if more := q.more.Load(); more != nil {
		return *more
	}
	return nil
}

// Ready implements member.Consumer.
func (in *inlet) Ready(now clock.Time) bool {
	q := in.q
	if q.ended.Load() {
		return true // and Deliver forgets it
	}
	if in.room() {
		in.paused, in.named = 0, false
		return true
	}
	switch q.cfg.Policy {
	case Drop:
		return true // and Deliver counts it as lost
	case Disconnect:
		q.cfg.Full(in.items.Cap())
		return true
	}
	in.waiting.Store(true)
	if in.room() { // the handler may have made room before it could see that we wait
		in.waiting.Store(false)
		return true
	}
	if in.paused == 0 {
		in.paused = now
		q.cfg.Counters.Pauses.Add(1)
	} else if !in.named && now.Sub(in.paused) >= PauseNotice {
		in.named = true
		q.cfg.Counters.LongPauses.Add(1)
		go q.cfg.Slow(in.items.Len())
	}
	return false
}

// room reports whether one more message can be queued, and reserves its slot.
func (in *inlet) room() bool {
	if in.bytes.Load() >= in.q.cfg.Limit {
		return false
	}
	for len(in.losses) > 0 {
		slot, ok := in.items.Reserve()
		if !ok {
			return false
		}
		slot.loss, slot.isLoss = in.losses[0], true
		in.losses = append(in.losses[:0], in.losses[1:]...)
		in.publish()
	}
	if in.slot == nil {
		in.slot, _ = in.items.Reserve()
	}
	return in.slot != nil
}

// Deliver implements member.Consumer.
func (in *inlet) Deliver(now clock.Time, topic string, d *core.Delivery) {
	if in.q.ended.Load() {
		return
	}
	if in.slot == nil {
		in.q.cfg.Counters.Dropped.Add(1)
		in.miss(core.Loss{From: d.From, Stream: d.Stream, First: d.Sequence, Last: d.Sequence, Reason: core.LossSlowConsumer})
		return
	}
	slot := in.slot
	in.slot = nil
	slot.memory = append(slot.memory[:0], d.Payload...)
	slot.isLoss = false
	slot.message = Message{
		From: d.From, Stream: d.Stream, Sequence: d.Sequence, Kind: d.Kind,
		Topic: topic, Payload: slot.memory, Received: now,
	}
	in.bytes.Add(int64(len(d.Payload)))
	in.publish()
}

// Lost implements member.Consumer.
func (in *inlet) Lost(l *core.Loss) {
	if in.q.cfg.Lost == nil || in.q.ended.Load() {
		return
	}
	in.miss(*l)
	if in.slot == nil {
		in.room() // takes the losses along; the slot that it reserves waits for the next message
		return
	}
	// A slot is reserved already: it takes the first loss, so that order is kept.
	in.slot.loss, in.slot.isLoss = in.losses[0], true
	in.slot = nil
	in.losses = append(in.losses[:0], in.losses[1:]...)
	in.publish()
	in.room()
}

// miss queues a loss. Since the last message that this intake was given nothing but
// losses came, so those of one stream make one range, whatever lay between them.
func (in *inlet) miss(l core.Loss) {
	if in.q.cfg.Lost == nil {
		return
	}
	for i := range in.losses {
		if w := &in.losses[i]; w.From == l.From && w.Stream == l.Stream && w.Reason == l.Reason {
			w.Last = l.Last
			return
		}
	}
	if len(in.losses) == maxQueuedLosses {
		in.q.cfg.Counters.LossesUntold.Add(1)
		return
	}
	in.losses = append(in.losses, l)
}

func (in *inlet) publish() {
	in.given.Add(1)
	in.items.Publish()
	if q := in.q; q.parked.Notify() {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// End has the intake take nothing more. What is queued is not handled any more. Any goroutine may call
// it, once.
func (q *Intake) End() {
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
	for _, in := range q.others() {
		if !in.idle() {
			return false
		}
	}
	return q.inlet.idle()
}

func (in *inlet) idle() bool { return in.taken.Load() == in.given.Load() }

// Len is how many messages and losses are queued.
func (q *Intake) Len() int {
	n := q.items.Len()
	for _, in := range q.others() {
		n += in.items.Len()
	}
	return n
}

// Expire says that what is queued is not for the next start. The engines do not run.
func (q *Intake) Expire() {
	q.inlet.expire()
	for _, in := range q.others() {
		in.expire()
	}
}

func (in *inlet) expire() {
	in.losses = in.losses[:0]
	in.paused, in.named = 0, false
	in.stale.Store(in.given.Load())
}

// drop forgets what has expired. It is for the goroutine whose turn it is.
func (q *Intake) drop() {
	q.inlet.drop()
	for _, in := range q.others() {
		in.drop()
	}
}

func (in *inlet) drop() {
	for in.taken.Load() < in.stale.Load() {
		it, ok := in.items.Peek()
		if !ok {
			return
		}
		in.bytes.Add(-int64(len(it.message.Payload)))
		it.message.Payload = nil
		in.advance(it)
	}
}

func (q *Intake) serve(quit <-chan struct{}) {
	select {
	case q.turn <- struct{}{}:
	case <-quit:
		return
	}
	q.server.Store(gid.Current())
	defer func() {
		q.server.Store(0)
		<-q.turn
	}()
	q.drop()
	for {
		came := q.inlet.serve(quit)
		for _, in := range q.others() {
			came = in.serve(quit) || came
		}
		if !came && !q.park(quit) {
			return
		}
	}
}

// serve handles one item, if there is one and the goroutine is not to end.
func (in *inlet) serve(quit <-chan struct{}) bool {
	select {
	case <-quit:
		return false
	default:
	}
	it, ok := in.items.Peek()
	if !ok {
		return false
	}
	in.handle(it)
	in.advance(it)
	return true
}

// advance gives the item's slot back to the engine.
func (in *inlet) advance(it *queued) {
	in.taken.Add(1)
	if cap(it.memory) > keepMemory {
		it.memory = nil
	}
	in.items.Advance()
	if in.waiting.Load() {
		in.items.Flush()
		in.waiting.Store(false)
		in.q.cfg.Resume()
	}
}

func (in *inlet) handle(it *queued) {
	q := in.q
	if it.isLoss {
		if !q.ended.Load() {
			q.cfg.Lost(it.loss)
		}
		return
	}
	n := int64(len(it.message.Payload)) // the handler may change the Message
	if !q.ended.Load() {
		q.cfg.Handle(&it.message)
	}
	it.message.Payload = nil
	in.bytes.Add(-n)
}

// park waits until there is something to take. False means that the goroutine is to end.
func (q *Intake) park(quit <-chan struct{}) bool {
	q.parked.Arm()
	defer q.parked.Disarm()
	empty := q.items.Empty()
	for _, in := range q.others() {
		empty = in.items.Empty() && empty
	}
	if !empty {
		select {
		case <-quit:
			return false
		default:
			return true
		}
	}
	select {
	case <-q.wake:
	case <-quit:
		return false
	case <-q.end:
		// Ended from elsewhere: nothing more comes. Wait to be stopped.
		<-quit
		return false
	}
	return true
}
