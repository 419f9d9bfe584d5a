package blaze

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/ring"
)

// subscriptionQueue carries a subscription's messages from the engine's thread to the
// subscription's goroutine. With several engines each has an intake of its own, so that each is
// the only producer of its ring, and the goroutine takes from them in turn: the messages of one
// stream all come through one intake, in order.
type subscriptionQueue struct {
	intake // the first engine's
	s      *Subscription
	policy SlowConsumer
	size   int                       // messages that wait in an intake
	limit  int64                     // bytes of payload that wait in an intake
	more   atomic.Pointer[[]*intake] // the other engines'; replaced, never changed

	wake   chan struct{} // one token: there may be something to take
	parked ring.Signal

	// turn holds a token while a goroutine takes from the intakes. That may be one that a Stop
	// gave up waiting for, when the next start's is there already.
	turn   chan struct{}
	server atomic.Uint64 // the goroutine whose turn it is; 0: none

	mu   sync.Mutex
	quit chan struct{} // closed: the goroutine ends after the handler that runs; nil while the channel is not started
}

// intake is one engine's end of a subscriptionQueue. The payload is copied into the slot, whose
// memory is used again.
type intake struct {
	q     *subscriptionQueue
	items *ring.SPSC[queued]
	bytes atomic.Int64 // payload bytes waiting

	// The engine's thread's own.
	slot   *queued // reserved for the next message
	losses []Loss  // told before the next message, when there was no room for them
	paused clock.Time
	named  bool // the log has named this pause's culprit

	waiting atomic.Bool   // the engine waits for room
	given   atomic.Uint64 // items published
	taken   atomic.Uint64 // items whose handlers have returned, or that were dropped
	stale   atomic.Uint64 // items up to here are an earlier start's
}

// queued is a message, or a loss, on its way to the subscription's goroutine.
type queued struct {
	delivery Delivery
	memory   []byte // where delivery.Payload lies, kept for the next message in this slot
	loss     Loss
	isLoss   bool
}

const (
	// maxQueuedLosses bounds the losses that wait for room: one for each stream and reason.
	maxQueuedLosses = 64
	// keepMemory is the largest payload memory, in bytes, that a slot keeps for the next message.
	keepMemory = 64 << 10
)

func newSubscriptionQueue(s *Subscription, cfg *Config) *subscriptionQueue {
	q := &subscriptionQueue{
		s: s, policy: cfg.SlowConsumer, size: cfg.SubscriptionQueue,
		limit: int64(max(cfg.Window, 2*cfg.MaxMessageSize)),
		wake:  make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
	q.open(q)
	return q
}

func (in *intake) open(q *subscriptionQueue) {
	in.q, in.items = q, ring.NewSPSC[queued](q.size)
}

// At implements member.Divided.
func (q *subscriptionQueue) At(engine int) member.Consumer {
	if engine == 0 {
		return &q.intake
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	more := slices.Clone(q.others())
	for len(more) < engine {
		in := new(intake)
		in.open(q)
		more = append(more, in)
	}
	q.more.Store(&more)
	return more[engine-1]
}

// others are the intakes of the engines besides the first.
func (q *subscriptionQueue) others() []*intake {
	if more := q.more.Load(); more != nil {
		return *more
	}
	return nil
}

// Ready implements member.Consumer.
func (in *intake) Ready(now clock.Time) bool {
	q := in.q
	if q.s.closed.Load() {
		return true // and Deliver forgets it
	}
	if in.room() {
		in.paused, in.named = 0, false
		return true
	}
	switch q.policy {
	case Drop:
		return true // and Deliver counts it as lost
	case Disconnect:
		q.s.c.disconnected.Add(1)
		q.s.end(fmt.Errorf("%w: subscription to %q was disconnected: its queue of %d messages was full (Config.SlowConsumer Disconnect)",
			ErrClosed, q.s.pattern, in.items.Cap()))
		return true
	}
	in.waiting.Store(true)
	if in.room() { // the handler may have made room before it could see that we wait
		in.waiting.Store(false)
		return true
	}
	if in.paused == 0 {
		in.paused = now
		q.s.c.pauses.Add(1)
	} else if !in.named && now.Sub(in.paused) >= pauseNotice {
		in.named = true
		q.s.c.longPauses.Add(1)
		go q.s.c.logger().Warn("blaze: a slow consumer holds up its streams",
			"subscription", q.s.pattern, "queued", in.items.Len(), "for", pauseNotice)
	}
	return false
}

// room tells whether one more message can be queued, and reserves its slot.
func (in *intake) room() bool {
	if in.bytes.Load() >= in.q.limit {
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
func (in *intake) Deliver(now clock.Time, topic string, d *core.Delivery) {
	if in.q.s.closed.Load() {
		return
	}
	if in.slot == nil {
		in.q.s.c.dropped.Add(1)
		in.miss(Loss{From: MemberID(d.From), Stream: uint32(d.Stream), First: d.Sequence, Last: d.Sequence, Reason: LossSlowConsumer})
		return
	}
	slot := in.slot
	in.slot = nil
	slot.memory = append(slot.memory[:0], d.Payload...)
	slot.isLoss = false
	slot.delivery = Delivery{
		Payload: slot.memory, Kind: Kind(d.Kind), Topic: topic, From: MemberID(d.From),
		Sequence: d.Sequence, Received: int64(now),
	}
	in.bytes.Add(int64(len(d.Payload)))
	in.publish()
}

// Lost implements member.Consumer.
func (in *intake) Lost(l *core.Loss) {
	if in.q.s.onLoss == nil || in.q.s.closed.Load() {
		return
	}
	in.miss(lossOf(l))
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

// miss queues a loss. Since the last message that this subscription was given nothing but
// losses came, so those of one stream make one range, whatever lay between them.
func (in *intake) miss(l Loss) {
	if in.q.s.onLoss == nil {
		return
	}
	for i := range in.losses {
		if w := &in.losses[i]; w.From == l.From && w.Stream == l.Stream && w.Reason == l.Reason {
			w.Last = l.Last
			return
		}
	}
	if len(in.losses) == maxQueuedLosses {
		in.q.s.c.lossesUntold.Add(1)
		return
	}
	in.losses = append(in.losses, l)
}

func (in *intake) publish() {
	in.given.Add(1)
	in.items.Publish()
	if q := in.q; q.parked.Notify() {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// start begins to serve the queue on a goroutine.
func (q *subscriptionQueue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.quit != nil || q.s.closed.Load() {
		return
	}
	q.quit = make(chan struct{})
	go q.serve(q.quit)
}

// stop has the goroutine end after the handler that runs.
func (q *subscriptionQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.quit != nil {
		close(q.quit)
		q.quit = nil
	}
}

// join waits until no goroutine but perhaps the caller serves the stopped queue, and tells whether
// that came to be. It gives up when the channel is closed, nil for never.
func (q *subscriptionQueue) join(giveUp <-chan struct{}) bool {
	if q.called() {
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

// called tells whether the caller is this queue's handler.
func (q *subscriptionQueue) called() bool { return q.server.Load() == gid.Current() }

// idle tells that the handlers have returned from everything that was queued.
func (q *subscriptionQueue) idle() bool {
	for _, in := range q.others() {
		if !in.idle() {
			return false
		}
	}
	return q.intake.idle()
}

func (in *intake) idle() bool { return in.taken.Load() == in.given.Load() }

// len is how many messages and losses are queued.
func (q *subscriptionQueue) len() int {
	n := q.items.Len()
	for _, in := range q.others() {
		n += in.items.Len()
	}
	return n
}

// expire says that what is queued is not for the next start. The engines do not run.
func (q *subscriptionQueue) expire() {
	q.intake.expire()
	for _, in := range q.others() {
		in.expire()
	}
}

func (in *intake) expire() {
	in.losses = in.losses[:0]
	in.paused, in.named = 0, false
	in.stale.Store(in.given.Load())
}

// drop forgets what has expired. It is for the goroutine whose turn it is.
func (q *subscriptionQueue) drop() {
	q.intake.drop()
	for _, in := range q.others() {
		in.drop()
	}
}

func (in *intake) drop() {
	for in.taken.Load() < in.stale.Load() {
		it, ok := in.items.Peek()
		if !ok {
			return
		}
		in.bytes.Add(-int64(len(it.delivery.Payload)))
		it.delivery.Payload = nil
		in.advance(it)
	}
}

func (q *subscriptionQueue) serve(quit <-chan struct{}) {
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
		came := q.intake.serve(quit)
		for _, in := range q.others() {
			came = in.serve(quit) || came
		}
		if !came && !q.park(quit) {
			return
		}
	}
}

// serve handles one item, if there is one and the goroutine is not to end.
func (in *intake) serve(quit <-chan struct{}) bool {
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
func (in *intake) advance(it *queued) {
	in.taken.Add(1)
	if cap(it.memory) > keepMemory {
		it.memory = nil
	}
	in.items.Advance()
	if in.waiting.Load() {
		in.items.Flush()
		in.waiting.Store(false)
		in.q.s.c.resume()
	}
}

func (in *intake) handle(it *queued) {
	s := in.q.s
	if it.isLoss {
		if !s.closed.Load() {
			s.onLoss(it.loss)
		}
		return
	}
	n := int64(len(it.delivery.Payload)) // the handler may change the Delivery
	if !s.closed.Load() {
		s.handler(&it.delivery)
	}
	it.delivery.Payload = nil
	in.bytes.Add(-n)
}

// park waits until there is something to take. False means that the goroutine is to end.
func (q *subscriptionQueue) park(quit <-chan struct{}) bool {
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
	case <-q.s.done:
		// Ended from elsewhere: nothing more comes. Wait to be stopped.
		<-quit
		return false
	}
	return true
}
