package blaze

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// Enqueue hands m to exactly one of the consumers of a queue, of this member or of others, and returns nil once
// that consumer's handler has returned nil. Where the consumer leaves or fails first, or its handler returns an
// error, another one gets m, marked Redelivered: a new one where there is one. A consumer that is slow keeps what it
// has. With no consumer Enqueue waits for one. The sender holds the message meanwhile: it is lost when the sender is.
//
// The messages of one sender are handed out in the order of its calls, each to the consumer with the least to do.
//
// When ctx ends first, the error wraps ctx's, and ErrNoConsumer too if nobody took from the queue at that moment or
// all had failed on m; it is open whether a handler that has begun finishes. The other errors: ErrTopic, the name is
// empty, longer than 255 bytes or not UTF-8; ErrArgument, it begins with "blaze.", or m is nil; ErrTooLarge, ErrState,
// ErrClosed and, in an Inline handler, ErrBackPressure as for SendInbox.
func (g *GroupChannel) Enqueue(ctx context.Context, queue string, m *Message) error {
	if err := checkName("queue", queue); err != nil {
		return err
	}
	w := what{kind: member.CallEnqueue, name: queue}
	st, c, err := g.callWith(ctx, w, m)
	if err != nil {
		return err
	}
	return g.finish(ctx, st, c, w)
}

// RequestQueue is Enqueue of a request: it returns the reply of the consumer that m was handed to. If its handler
// returns nil without a reply, the error is ErrNoReply. A reply is final: an error that the handler returns after it
// changes nothing.
func (g *GroupChannel) RequestQueue(ctx context.Context, queue string, m *Message) (*Message, error) {
	if err := checkName("queue", queue); err != nil {
		return nil, err
	}
	return g.request(ctx, what{kind: member.CallRequestQueue, name: queue}, m)
}

// Queues are the names of the queues that members consume from, this one included, in ascending order. While the
// channel is not started there are none.
func (g *GroupChannel) Queues() []string {
	names := map[string]bool{}
	g.apply(func(_ *start, core *group.Protocol) {
		core.EachQueue(func(name []byte) { names[string(name)] = true })
	})
	return slices.Sorted(maps.Keys(names))
}

// ConsumeOption is an option of Consume.
type ConsumeOption func(*consumeOptions)

type consumeOptions struct{ exclusive bool }

// Exclusive lets one consumer at a time have the queue; another takes over when it goes: the one that has been
// waiting for the longest. Consumers of the queue without this option stand by too. A new one takes nothing for
// about a FailureTimeout, until all members have its record, so that two that begin at a time are not both active.
//
// While members disagree about who is here, after a false report of a failure and until it is mended, two may be
// active. What must never overlap needs a lock with a fencing token (ClusterChannel).
func Exclusive() ConsumeOption { return func(o *consumeOptions) { o.exclusive = true } }

// Consume takes part in consuming a queue: h is called with messages that were enqueued, one at a time, on a
// goroutine of its own. Several Consume calls, of one member or of many, share the queue. h owns the message that it
// gets. If h returns nil, the message is done with; after an error another consumer gets it, or this one again after
// a pause. Message.Redelivered reports whether it may have been begun before. Requests arrive here too: see Reply.
//
// Close waits until a handler that runs has returned, unless a handler calls it; what it has not begun goes back to
// its senders. So it is in Stop, at most for Config.Linger. Consume works in every state, and the consumer outlives Stop and Shutdown.
//
// The errors: ErrTopic, the name is empty, longer than 255 bytes or not UTF-8; ErrArgument, it begins with "blaze.",
// or h or an option is nil; ErrTooLarge, this member consumes from 4,096 queues already, or this queue has 1,024
// consumers in it.
func (g *GroupChannel) Consume(queue string, h func(*Message) error, opts ...ConsumeOption) (*Subscription, error) {
	if err := checkName("queue", queue); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, fmt.Errorf("%w: Consume %q: the handler is nil", ErrArgument, queue)
	}
	var o consumeOptions
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: Consume %q: an option is nil", ErrArgument, queue)
		}
		opt(&o)
	}
	s := &Subscription{c: g.Channel, pattern: queue, done: make(chan struct{})}
	k := &consumer{s: s, h: h, exclusive: o.exclusive}
	k.worker = intake.NewWorker(queue, k.take, k.handle)
	s.consumer = k
	hs := &g.group.handlers
	if err := hs.add(k, queue); err != nil {
		return nil, err
	}
	g.serveQueue(queue)
	var err error
	g.apply(func(st *start, core *group.Protocol) { err = st.group.applyQueue(st.Now(), core, hs, queue) })
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("%w: Consume %q: this member consumes from %d queues, or their names are too long together", ErrTooLarge, queue, wire.MaxConsumes)
	}
	return s, nil
}

// consumer is what a Subscription has besides that consumes from a queue.
type consumer struct {
	s         *Subscription
	q         *workQueue
	h         func(*Message) error
	exclusive bool
	worker    *intake.Worker

	// The worker's own.
	m      *Message // that is being handled; nil: it could not be read
	wanted bool
}

// take reads an item where it lies.
func (k *consumer) take(i *intake.Work) {
	m, err := messageFrom(Kind(i.Kind), i.Payload)
	if k.wanted = i.Wanted; err != nil {
		k.s.c.badMessages.Add(1)
		k.m = nil
		return
	}
	m.setReceived(k.s.pattern, MemberID(i.From), i.Sequence, i.Redelivered)
	if i.Wanted {
		m.asked = &asked{g: k.s.c, start: k.s.c.serial(), from: i.From, call: i.Call}
	}
	k.m = m
}

// handle calls the handler with what take has read.
func (k *consumer) handle() wire.Result {
	m := k.m
	if k.m = nil; m == nil {
		return wire.ResultError
	}
	a := m.asked
	err := k.h(m)
	switch {
	case err != nil:
		return wire.ResultError
	case k.wanted && !a.replied.Load():
		return wire.ResultNoReply
	}
	return wire.ResultHandled
}

// workQueue is a queue that this member consumes from.
type workQueue struct {
	name      string
	consumers []*consumer // in the order of Consume; one that closes is in it until its handler has returned
	works     *intake.Works
	start     *groupStart // that works is of
}

// handlers are the in-boxes and queues of a GroupChannel. They outlive starts.
type handlers struct {
	mu      sync.Mutex // never held while waiting for anything
	inboxes map[string]*Subscription
	queues  map[string]*workQueue
}

// Bounds of the handlers of one queue.
const (
	maxConsumers = 1024
	worksAhead   = 16 // items that its handlers are given ahead
)

func (hs *handlers) add(k *consumer, queue string) error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	q := hs.queues[queue]
	if q == nil {
		q = &workQueue{name: queue}
		hs.queues[queue] = q
	}
	if len(q.consumers) == maxConsumers {
		return fmt.Errorf("%w: Consume %q: it has %d consumers in this member", ErrTooLarge, queue, maxConsumers)
	}
	k.q = q
	q.consumers = append(q.consumers, k)
	return nil
}

// remove takes a consumer out, and reports whether it was there.
func (hs *handlers) remove(k *consumer) bool {
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
func (q *workQueue) atWork() (list []*consumer, exclusive bool) {
	for i, k := range q.consumers {
		if k.exclusive {
			return q.consumers[i : i+1], true
		}
	}
	return q.consumers, false
}

// serveQueue has the consumers take from a queue that are to, and no others, while the channel serves.
func (c *Channel) serveQueue(name string) {
	st := c.run.Load()
	if st == nil {
		return
	}
	hs := &c.group.handlers
	hs.mu.Lock()
	defer hs.mu.Unlock()
	q := hs.queues[name]
	if q == nil || st.group.stopping.Load() {
		return
	}
	list, _ := q.atWork()
	for _, k := range q.consumers {
		if slices.Contains(list, k) && !k.s.closed.Load() {
			k.worker.Serve(st.group.works(q))
		} else {
			k.worker.Stop()
		}
	}
}

// close ends a consumer. A handler that runs is waited for, unless it is the caller.
func (k *consumer) close() {
	c, hs := k.s.c, &k.s.c.group.handlers
	k.worker.Stop()
	if !k.exclusive && hs.remove(k) { // of exclusive ones the next takes over when the handler has returned
		c.queueChanged(k.s.pattern)
	}
	if st := c.turning(); k.worker.Called() || st != nil && st.InHandler() { // it may wait for the engine
		go k.leave(nil)
		return
	}
	k.leave(nil)
}

// leave waits for the handler, and takes the consumer out where close has not.
func (k *consumer) leave(giveUp <-chan struct{}) {
	k.worker.Join(giveUp)
	if k.s.c.group.handlers.remove(k) {
		k.s.c.queueChanged(k.s.pattern)
	}
}

// queueChanged has the core, and the consumers, follow a change of a queue's consumers.
func (c *Channel) queueChanged(name string) {
	c.serveQueue(name)
	c.apply(func(st *start, core *group.Protocol) {
		_ = st.group.applyQueue(st.Now(), core, &c.group.handlers, name)
	})
}

// apply calls f where the core may be touched, if the channel is started.
func (c *Channel) apply(f func(st *start, core *group.Protocol)) {
	if st := c.run.Load(); st != nil {
		_ = st.Do(func() {
			if !st.group.stopping.Load() {
				f(st, st.Member().Group())
			}
		})
	}
}

// groupStart is what a start of a GroupChannel has besides. Fields without a remark belong to the first engine's
// thread, once it turns.
type groupStart struct {
	c        *Channel
	st       *start
	stopping atomic.Bool
	inboxes  map[string]group.InboxHandler // that the core has
	queues   map[string]*appliedQueue      // that the core has
	running  bool                          // the engine turns: see retry
	retrying bool
}

// appliedQueue is a queue as the core has it.
type appliedQueue struct {
	exclusive bool
	rank      uint32 // 0: not announced as exclusive
	works     *intake.Works
}

// begin gives the core the handlers that there are.
func (s *groupStart) begin(now clock.Time, core *group.Protocol) {
	hs := &s.c.group.handlers
	hs.mu.Lock()
	var inboxes, queues []string
	for name := range hs.inboxes {
		inboxes = append(inboxes, name)
	}
	for name := range hs.queues {
		queues = append(queues, name)
	}
	hs.mu.Unlock()
	slices.Sort(inboxes) // maps are walked over in any order
	slices.Sort(queues)
	for _, name := range inboxes {
		s.applyInbox(core, hs, name)
	}
	for _, name := range queues {
		_ = s.applyQueue(now, core, hs, name)
	}
}

// applyInbox has the core have the handler of an in-box that there is.
func (s *groupStart) applyInbox(core *group.Protocol, hs *handlers, name string) {
	if s.stopping.Load() {
		return
	}
	var h group.InboxHandler
	hs.mu.Lock()
	if sub := hs.inboxes[name]; sub != nil {
		h = sub.inbox.handler
	}
	hs.mu.Unlock()
	if s.inboxes[name] == h {
		return
	}
	if s.inboxes[name] != nil {
		core.CloseInbox(name)
		delete(s.inboxes, name)
	}
	if h != nil {
		if b, ok := h.(*inlineInbox); ok {
			b.core = core
		}
		_ = core.HandleInbox(name, h) // it has none
		s.inboxes[name] = h
	}
}

// works is where the items of a queue lie in this start. It is called with the lock of handlers.
func (s *groupStart) works(q *workQueue) *intake.Works {
	if q.start != s {
		q.works, q.start = intake.NewWorks(worksAhead+len(q.consumers), engine.Now, s.done), s
	}
	return q.works
}

func (s *groupStart) done(d *member.Done) { s.st.Done(d) }

// applyQueue has the core follow the consumers of a queue. It fails when the record has no room for its name.
func (s *groupStart) applyQueue(now clock.Time, core *group.Protocol, hs *handlers, name string) error {
	n, exclusive := 0, false
	var works *intake.Works
	hs.mu.Lock()
	if q := hs.queues[name]; q != nil && !s.stopping.Load() {
		var list []*consumer
		list, exclusive = q.atWork()
		n, works = len(list), s.works(q)
	}
	hs.mu.Unlock()
	a := s.queues[name]
	if a != nil && (n == 0 || a.works != works) {
		s.close(now, core, name)
		a = nil
	}
	if n == 0 {
		return nil
	}
	conf := s.c.cfg.Load()
	if a == nil {
		a = &appliedQueue{works: works}
		s.queues[name] = a
		_ = core.HandleQueue(now, name, works, n, conf.SubscriptionQueue, int(conf.queueBytes())) // it is not open
	}
	works.Hold(core.Gated())
	works.Grow(n + worksAhead)
	ahead := worksAhead
	if exclusive {
		ahead = 0
	}
	core.Handlers(now, name, n, ahead)
	if a.exclusive = exclusive; !exclusive {
		a.rank = 0
	} else if a.rank == 0 {
		if !core.Joined(now) { // the ranks of the others are not known yet
			s.retry()
			return nil
		}
		a.rank = core.NextRank(name)
	}
	if err := core.Consume(now, name, uint32(n), a.rank); err != nil {
		s.close(now, core, name)
		return err
	}
	return nil
}

func (s *groupStart) close(now clock.Time, core *group.Protocol, name string) {
	core.CloseQueue(now, name)
	_ = core.Consume(now, name, 0, 0) // which only fails with handlers
	delete(s.queues, name)
}

// retry has the exclusive queues announced that are not, a little later.
func (s *groupStart) retry() {
	if s.retrying || !s.running { // serveQueues comes here again
		return
	}
	s.retrying = true
	time.AfterFunc(retryJoined, func() {
		s.st.Engine(0).Post(func() {
			if s.retrying = false; s.stopping.Load() {
				return
			}
			for name, a := range s.queues {
				if a.exclusive && a.rank == 0 {
					_ = s.applyQueue(s.st.Now(), s.st.Member().Group(), &s.c.group.handlers, name)
				}
			}
		})
	})
}

// retryJoined is how often it is looked whether the table is complete after a start.
const retryJoined = 5 * time.Millisecond

// gate has work queues give out nothing while the gate is closed.
func (s *groupStart) gate(closed bool) {
	for _, a := range s.queues {
		a.works.Hold(closed)
	}
}

// stop closes all in-boxes and queues of the core: what no handler has begun goes back to its senders, and what this
// member enqueued and no consumer has is not handed out any more.
func (s *groupStart) stop() {
	s.stopping.Store(true)
	_ = s.st.Do(func() {
		core, now := s.st.Member().Group(), s.st.Now()
		core.CloseWaiting(now)
		for name := range s.inboxes {
			core.CloseInbox(name)
		}
		for name := range s.queues {
			core.CloseQueue(now, name)
			_ = core.Consume(now, name, 0, 0)
		}
	})
}

// workers are the workers of all consumers.
func (hs *handlers) workers() (all []*consumer) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, q := range hs.queues {
		all = append(all, q.consumers...)
	}
	return all
}

// serveQueues has the core and the consumers of a new start take in what there is.
func (c *Channel) serveQueues(st *start) {
	if c.group == nil {
		return
	}
	hs := &c.group.handlers
	_ = st.Do(func() { // what came while it started
		st.group.running = true
		st.group.begin(st.Now(), st.Member().Group())
	})
	hs.mu.Lock()
	var names []string
	for name := range hs.queues {
		names = append(names, name)
	}
	hs.mu.Unlock()
	for _, name := range names {
		c.serveQueue(name)
	}
}

// consumerCalled reports whether the caller is the handler of a consumer.
func (c *Channel) consumerCalled() bool {
	return slices.ContainsFunc(c.group.handlers.workers(), func(k *consumer) bool { return k.worker.Called() })
}

// closeHandlers begins the stop of in-boxes and queues.
func (c *Channel) closeHandlers(st *start) {
	if st.group != nil {
		st.group.stop()
	}
}

// settleHandlers waits until the handlers of consumers have returned and what they have done is known.
func (c *Channel) settleHandlers(st *start, deadline clock.Time) {
	if st.group == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline.Sub(engine.Now()))
	defer cancel()
	all := c.group.handlers.workers()
	for _, k := range all {
		k.worker.Stop()
	}
	for _, k := range all {
		k.worker.Join(ctx.Done())
	}
	st.SettleGroup(max(deadline, engine.Now().Add(settleResults)))
}

// settleResults is how long Stop waits at least until results and replies have arrived.
const settleResults = 20 * time.Millisecond

// joinConsumers waits until no handler of a consumer runs. It names those that still do.
func (c *Channel) joinConsumers(giveUp <-chan struct{}) (left []string) {
	if c.group == nil {
		return nil
	}
	for _, k := range c.group.handlers.workers() {
		if !k.worker.Join(giveUp) {
			left = append(left, fmt.Sprintf("a handler of queue %q still runs", k.s.pattern))
		}
	}
	return left
}
