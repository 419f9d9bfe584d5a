package run

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
)

// Handlers are the in-boxes and queues of a channel that handlers serve. They outlive starts.
type Handlers struct {
	mu      sync.Mutex // never held while waiting for anything
	inboxes map[string]group.InboxHandler
	queues  map[string]*queue

	run    atomic.Pointer[Run] // the present start; nil once it stops
	ending atomic.Pointer[Run] // it stops
}

// Errors of Handlers.Consume.
var (
	ErrConsumers = errors.New("run: a queue has MaxConsumers consumers")
	ErrRecord    = errors.New("run: the member's record has no room for one more queue")
)

// MaxConsumers bounds the handlers of one queue.
const MaxConsumers = 1024

// NewHandlers makes Handlers that hold nothing.
func NewHandlers() *Handlers {
	return &Handlers{inboxes: map[string]group.InboxHandler{}, queues: map[string]*queue{}}
}

// Bound is an in-box handler that calls the core of the start that it serves.
type Bound interface {
	group.InboxHandler
	// Bind is called on the first engine's thread, before the start gives the handler anything, and with nil after
	// its end.
	Bind(*group.Protocol)
}

// HandleInbox has h serve an in-box. It is false when another handler does.
func (hs *Handlers) HandleInbox(name string, h group.InboxHandler) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.inboxes[name] != nil {
		return false
	}
	hs.inboxes[name] = h
	return true
}

// Inbox has the present start follow HandleInbox. When it returns, messages for the in-box are taken.
func (hs *Handlers) Inbox(name string) {
	hs.apply(func(s *serving, _ clock.Time, core *group.Protocol) { s.applyInbox(core, name) })
}

// CloseInbox undoes HandleInbox. Any goroutine may call it, and it waits for nothing.
func (hs *Handlers) CloseInbox(name string, h group.InboxHandler) {
	hs.mu.Lock()
	if hs.inboxes[name] == h {
		delete(hs.inboxes, name)
	}
	hs.mu.Unlock()
	if r := hs.run.Load(); r != nil {
		r.engine.Post(func() { r.serving.applyInbox(r.member.Group(), name) })
	}
}

// Consumer is one handler of a queue.
type Consumer struct {
	hs        *Handlers
	q         *queue
	exclusive bool
	closed    atomic.Bool
	worker    *intake.Worker
}

// queue is a queue that this member consumes from.
type queue struct {
	name      string
	consumers []*Consumer // in the order of Consume; one that closes is in it until its handler has returned
	works     *intake.Works
	start     *serving // that works is of
}

// Consume has w take part in consuming a queue. The error is ErrConsumers or ErrRecord.
func (hs *Handlers) Consume(name string, w *intake.Worker, exclusive bool) (*Consumer, error) {
	k := &Consumer{hs: hs, exclusive: exclusive, worker: w}
	if !hs.add(k, name) {
		return nil, ErrConsumers
	}
	hs.serveQueue(name)
	var err error
	hs.apply(func(s *serving, now clock.Time, core *group.Protocol) { err = s.applyQueue(now, core, name) })
	if err != nil {
		k.Close()
		return nil, ErrRecord
	}
	return k, nil
}

func (hs *Handlers) add(k *Consumer, name string) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	q := hs.queues[name]
	if q == nil {
		q = &queue{name: name}
		hs.queues[name] = q
	}
	if len(q.consumers) == MaxConsumers {
		return false
	}
	k.q = q
	q.consumers = append(q.consumers, k)
	return true
}

// remove takes a consumer out, and reports whether it was there.
func (hs *Handlers) remove(k *Consumer) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	i := slices.Index(k.q.consumers, k)
	if i < 0 {
		return false
	}
	if k.q.consumers = slices.Delete(k.q.consumers, i, i+1); len(k.q.consumers) == 0 {
		delete(hs.queues, k.q.name)
	}
	return true
}

// atWork returns the consumers of a queue that are to take from it. It is called with the lock.
func (q *queue) atWork() (list []*Consumer, exclusive bool) {
	for i, k := range q.consumers {
		if k.exclusive {
			return q.consumers[i : i+1], true
		}
	}
	return q.consumers, false
}

// serveQueue has the consumers take from a queue that are to, and no others, while a start serves.
func (hs *Handlers) serveQueue(name string) {
	r := hs.run.Load()
	if r == nil {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	q := hs.queues[name]
	if q == nil || r.serving.stopping.Load() {
		return
	}
	list, _ := q.atWork()
	for _, k := range q.consumers {
		if slices.Contains(list, k) && !k.closed.Load() {
			k.worker.Serve(r.serving.works(q))
		} else {
			k.worker.Stop()
		}
	}
}

// Close ends a consumer. A handler that runs is waited for, unless it is the caller, or is Inline's thread, for
// which the handler may wait.
func (k *Consumer) Close() {
	hs := k.hs
	k.closed.Store(true)
	k.worker.Stop()
	if !k.exclusive && hs.remove(k) { // of exclusive ones the next takes over when the handler has returned
		hs.queueChanged(k.q.name)
	}
	if r := hs.turning(); k.worker.Called() || r != nil && r.InHandler() {
		go k.leave()
		return
	}
	k.leave()
}

// leave waits for the handler, and takes the consumer out where Close has not.
func (k *Consumer) leave() {
	k.worker.Join(nil)
	if k.hs.remove(k) {
		k.hs.queueChanged(k.q.name)
	}
}

// queueChanged has the core, and the consumers, follow a change of a queue's consumers.
func (hs *Handlers) queueChanged(name string) {
	hs.serveQueue(name)
	hs.apply(func(s *serving, now clock.Time, core *group.Protocol) { _ = s.applyQueue(now, core, name) })
}

// turning is the start whose engine may be turning.
func (hs *Handlers) turning() *Run {
	if r := hs.run.Load(); r != nil {
		return r
	}
	return hs.ending.Load()
}

// apply calls f where the core may be touched, if a start serves.
func (hs *Handlers) apply(f func(s *serving, now clock.Time, core *group.Protocol)) {
	if r := hs.run.Load(); r != nil {
		_ = r.Do(func() {
			if !r.serving.stopping.Load() {
				f(r.serving, r.Now(), r.member.Group())
			}
		})
	}
}

// Consumed are the queues that members consume from, in ascending order; none while no start serves.
func (hs *Handlers) Consumed() []string {
	names := map[string]bool{}
	hs.apply(func(_ *serving, _ clock.Time, core *group.Protocol) {
		core.EachQueue(func(name []byte) { names[string(name)] = true })
	})
	return slices.Sorted(maps.Keys(names))
}

// Serve has a new start serve. On nil it does nothing, as all that follow.
func (hs *Handlers) Serve(r *Run) {
	if hs == nil {
		return
	}
	hs.run.Store(r)
	_ = r.Do(func() { // what came while it started
		r.serving.running = true
		r.serving.begin(r.Now(), r.member.Group())
	})
	for _, name := range hs.names() {
		hs.serveQueue(name)
	}
}

// names are the queues.
func (hs *Handlers) names() (all []string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for name := range hs.queues {
		all = append(all, name)
	}
	return all
}

// workers are all consumers.
func (hs *Handlers) workers() (all []*Consumer) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, q := range hs.queues {
		all = append(all, q.consumers...)
	}
	return all
}

// Called reports whether the caller is the handler of a consumer.
func (hs *Handlers) Called() bool {
	return hs != nil && slices.ContainsFunc(hs.workers(), func(k *Consumer) bool { return k.worker.Called() })
}

// Close begins the end of a start: its in-boxes and queues take nothing more.
func (hs *Handlers) Close(r *Run) {
	if hs != nil {
		hs.ending.Store(r)
		hs.run.Store(nil)
		r.serving.stop()
	}
}

// Settle waits until the handlers of consumers have returned and what they have done is known.
func (hs *Handlers) Settle(r *Run, deadline clock.Time) {
	if hs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline.Sub(engine.Now()))
	defer cancel()
	all := hs.workers()
	for _, k := range all {
		k.worker.Stop()
	}
	for _, k := range all {
		k.worker.Join(ctx.Done())
	}
	r.SettleGroup(max(deadline, engine.Now().Add(settleResults)))
}

// Join waits until no handler of a consumer runs. It returns the queues of those that still do.
func (hs *Handlers) Join(giveUp <-chan struct{}) (left []string) {
	if hs == nil {
		return nil
	}
	for _, k := range hs.workers() {
		if !k.worker.Join(giveUp) {
			left = append(left, k.q.name)
		}
	}
	return left
}

// Forget has nothing refer to a start that has ended: its cores, and packet memory with them, would stay.
func (hs *Handlers) Forget() {
	if hs == nil {
		return
	}
	hs.ending.Store(nil)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.inboxes {
		if b, ok := h.(Bound); ok {
			b.Bind(nil)
		}
	}
	for _, q := range hs.queues {
		q.works, q.start = nil, nil
	}
}
