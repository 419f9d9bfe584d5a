package blaze

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// subscriptionQueue carries a subscription's messages from the engine's thread to the
// subscription's goroutine. The payload is copied into the slot, whose memory is used again.
type subscriptionQueue struct {
	s      *Subscription
	policy SlowConsumer
	items  *ring.SPSC[queued]
	bytes  atomic.Int64 // payload bytes waiting
	limit  int64        // of bytes

	wake   chan struct{} // one token: there may be something to take
	parked ring.Signal

	mu     sync.Mutex
	runner *runner // nil while the channel is not started

	// The engine's thread's own.
	slot   *queued // reserved for the next message
	losses []Loss  // told before the next message, when there was no room for them
	paused clock.Time
	named  bool // the log has named this pause's culprit

	waiting atomic.Bool   // the engine waits for room
	given   atomic.Uint64 // items published
	taken   atomic.Uint64 // items whose handlers have returned
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
	return &subscriptionQueue{
		s: s, policy: cfg.SlowConsumer,
		items: ring.NewSPSC[queued](cfg.SubscriptionQueue),
		limit: int64(max(cfg.Window, 2*cfg.MaxMessageSize)),
		wake:  make(chan struct{}, 1),
	}
}

// Ready implements member.Consumer.
func (q *subscriptionQueue) Ready(now clock.Time) bool {
	if q.s.closed.Load() {
		return true // and Deliver forgets it
	}
	if q.room() {
		q.paused, q.named = 0, false
		return true
	}
	switch q.policy {
	case Drop:
		return true // and Deliver counts it as lost
	case Disconnect:
		q.s.c.disconnected.Add(1)
		q.s.end(fmt.Errorf("%w: subscription to %q was disconnected: its queue of %d messages was full (Config.SlowConsumer Disconnect)",
			ErrClosed, q.s.pattern, q.items.Cap()))
		return true
	}
	q.waiting.Store(true)
	if q.room() { // the handler may have made room before it could see that we wait
		q.waiting.Store(false)
		return true
	}
	if q.paused == 0 {
		q.paused = now
		q.s.c.pauses.Add(1)
	} else if !q.named && now.Sub(q.paused) >= pauseNotice {
		q.named = true
		q.s.c.longPauses.Add(1)
		go q.s.c.logger().Warn("blaze: a slow consumer holds up its streams",
			"subscription", q.s.pattern, "queued", q.items.Len(), "for", pauseNotice)
	}
	return false
}

// room tells whether one more message can be queued, and reserves its slot.
func (q *subscriptionQueue) room() bool {
	if q.bytes.Load() >= q.limit {
		return false
	}
	for len(q.losses) > 0 {
		slot, ok := q.items.Reserve()
		if !ok {
			return false
		}
		slot.loss, slot.isLoss = q.losses[0], true
		q.losses = append(q.losses[:0], q.losses[1:]...)
		q.publish()
	}
	if q.slot == nil {
		q.slot, _ = q.items.Reserve()
	}
	return q.slot != nil
}

// Deliver implements member.Consumer.
func (q *subscriptionQueue) Deliver(now clock.Time, topic string, d *wire.Delivery) {
	if q.s.closed.Load() {
		return
	}
	if q.slot == nil {
		q.s.c.dropped.Add(1)
		q.miss(Loss{From: MemberID(d.From), Stream: uint32(d.Stream), First: d.Sequence, Last: d.Sequence, Reason: LossSlowConsumer})
		return
	}
	slot := q.slot
	q.slot = nil
	slot.memory = append(slot.memory[:0], d.Payload...)
	slot.isLoss = false
	slot.delivery = Delivery{
		Payload: slot.memory, Kind: Kind(d.Kind), Topic: topic, From: MemberID(d.From),
		Sequence: d.Sequence, Received: int64(now),
	}
	q.bytes.Add(int64(len(d.Payload)))
	q.publish()
}

// Lost implements member.Consumer.
func (q *subscriptionQueue) Lost(l *wire.Loss) {
	if q.s.onLoss == nil || q.s.closed.Load() {
		return
	}
	q.miss(lossOf(l))
	if q.slot == nil {
		q.room() // takes the losses along; the slot that it reserves waits for the next message
		return
	}
	// A slot is reserved already: it takes the first loss, so that order is kept.
	q.slot.loss, q.slot.isLoss = q.losses[0], true
	q.slot = nil
	q.losses = append(q.losses[:0], q.losses[1:]...)
	q.publish()
	q.room()
}

// miss queues a loss. Since the last message that this subscription was given nothing but
// losses came, so those of one stream make one range, whatever lay between them.
func (q *subscriptionQueue) miss(l Loss) {
	if q.s.onLoss == nil {
		return
	}
	for i := range q.losses {
		if w := &q.losses[i]; w.From == l.From && w.Stream == l.Stream && w.Reason == l.Reason {
			w.Last = l.Last
			return
		}
	}
	if len(q.losses) == maxQueuedLosses {
		q.s.c.lossesUntold.Add(1)
		return
	}
	q.losses = append(q.losses, l)
}

func (q *subscriptionQueue) publish() {
	q.given.Add(1)
	q.items.Publish()
	if q.parked.Notify() {
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
	if q.runner != nil || q.s.closed.Load() {
		return
	}
	r := &runner{quit: make(chan struct{}), ended: make(chan struct{})}
	q.runner = r
	go q.serve(r)
}

// stop ends the goroutine after the handler that runs, and tells whether it has ended. It waits
// for that unless it is the caller or wait is false. What is queued stays queued.
func (q *subscriptionQueue) stop(wait bool) (ended bool) {
	q.mu.Lock()
	r := q.runner
	q.runner = nil
	q.mu.Unlock()
	if r == nil {
		return true
	}
	close(r.quit)
	if wait && !r.called() {
		<-r.ended
		return true
	}
	return false
}

// called tells whether the caller is this queue's handler.
func (q *subscriptionQueue) called() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.runner != nil && q.runner.called()
}

// idle tells that the handlers have returned from everything that was queued.
func (q *subscriptionQueue) idle() bool { return q.taken.Load() == q.given.Load() }

// clear forgets what is queued. Neither the engine nor the goroutine may be running.
func (q *subscriptionQueue) clear() {
	for {
		it, ok := q.items.Peek()
		if !ok {
			break
		}
		q.bytes.Add(-int64(len(it.delivery.Payload)))
		it.delivery.Payload = nil
		q.items.Advance()
		q.taken.Add(1)
	}
	q.losses = q.losses[:0]
	q.paused, q.named = 0, false
}

func (q *subscriptionQueue) serve(r *runner) {
	defer close(r.ended)
	r.gid.Store(gid.Current())
	for {
		select {
		case <-r.quit:
			return
		default:
		}
		it, ok := q.items.Peek()
		if !ok {
			q.park(r)
			continue
		}
		q.handle(it)
		q.taken.Add(1)
		if cap(it.memory) > keepMemory {
			it.memory = nil
		}
		q.items.Advance()
		if q.waiting.Load() {
			q.items.Flush()
			q.waiting.Store(false)
			q.s.c.resume()
		}
	}
}

func (q *subscriptionQueue) handle(it *queued) {
	if it.isLoss {
		if !q.s.closed.Load() {
			q.s.onLoss(it.loss)
		}
		return
	}
	n := int64(len(it.delivery.Payload)) // the handler may change the Delivery
	if !q.s.closed.Load() {
		q.s.handler(&it.delivery)
	}
	it.delivery.Payload = nil
	q.bytes.Add(-n)
}

// park waits until there is something to take, or the goroutine shall end.
func (q *subscriptionQueue) park(r *runner) {
	q.parked.Arm()
	defer q.parked.Disarm()
	if !q.items.Empty() {
		return
	}
	select {
	case <-q.wake:
	case <-r.quit:
	case <-q.s.done:
		// Ended from elsewhere: nothing more comes. Wait to be stopped.
		<-r.quit
	}
}
