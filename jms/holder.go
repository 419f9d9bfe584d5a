package jms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/jms/held"
)

// Names that holders and their clients agree on. Applications cannot use them.
const (
	holderGroup   = "blaze.jms" // all holders are members of it
	holderInbox   = "blaze.jms" // takes operations: requests
	clientInbox   = "blaze.jms.client"
	holderService = "jms"
)

// holder is a member of a cluster that holds the queues.
type holder struct {
	c       *blaze.ClusterChannel
	machine *queues
	inbox   *blaze.Subscription
	local   func(*held.Notice) // takes notices for the client of this process
	self    blaze.MemberID     // that client
	scratch []byte             // of request
	cancel  func()             // of OnMember and OnMaster
	quit    chan struct{}
	work    sync.WaitGroup
	stored  bool // it has a DataDir

	mu     sync.Mutex
	outs   map[held.Member]*outbox // of clients elsewhere
	fresh  []held.Member           // that have notices since leave
	closed bool
	woken  chan struct{}
	feeds  map[string]*blaze.Subscription // the master's, of topics with subscriptions; under keep's goroutine
}

// outbox are the notices for one client that have not left. While some are on their way, what comes waits and leaves
// together.
type outbox struct {
	notices []held.Notice
	under   []byte // notices that are on their way; nil: none are
}

// noticeBytes is about how many bytes of notices leave together: the engine's thread encodes them.
const noticeBytes = 32 << 10

// maxOutbox is how many notices wait for one client. One that takes none for so long gets what it missed when it asks:
// link.look.
const maxOutbox = 10_000

// hold makes this process a holder, with a channel of its own. It returns once the queues are there. self is the client
// in this process; zero: the holder's channel is the client too.
func hold(ctx context.Context, cfg blaze.Config, self blaze.MemberID, local func(*held.Notice)) (*holder, error) {
	c, err := blaze.NewClusterChannel("", cfg)
	if err != nil {
		return nil, err
	}
	h := &holder{
		c: c, local: local, self: self, quit: make(chan struct{}), outs: map[held.Member]*outbox{}, woken: make(chan struct{}, 1),
		stored: cfg.DataDir != "", feeds: map[string]*blaze.Subscription{},
	}
	h.machine = &queues{h: h}
	if err := c.Service(holderService, h.machine); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		_ = c.Shutdown()
		return nil, err
	}
	if h.self.IsZero() {
		h.self = c.ID()
	}
	if err := c.WaitReady(ctx); err != nil {
		_ = c.Shutdown()
		return nil, fmt.Errorf("%w: becoming a holder: %w", ErrNotHeld, err)
	}
	s, err := reach.Blaze.Serve(c.GroupChannel, holderInbox, h.request)
	if err == nil {
		h.inbox = s.(*blaze.Subscription)
		err = reach.Blaze.Join(c.GroupChannel, holderGroup)
	}
	if err != nil {
		_ = c.Shutdown()
		return nil, err
	}
	endMember := c.OnMember(func(e blaze.MemberEvent) {
		if e.Kind == blaze.MemberStopped || e.Kind == blaze.MemberFailed {
			h.look()
		}
	})
	endMaster := c.OnMaster(func(blaze.Member) { h.look() })
	h.cancel = func() { endMember(); endMaster() }
	if cfg := c.Config(); !h.stored {
		cfg.Logger.Info("jms: this member holds queues in memory: what is PERSISTENT lasts while one holder lives", "cluster", cfg.Cluster, "member", cfg.Name)
	}
	h.work.Go(h.keep)
	return h, nil
}

// close ends the holder. The other holders go on.
func (h *holder) close() error {
	_ = reach.Blaze.Leave(h.c.GroupChannel, holderGroup)
	h.cancel()
	close(h.quit)
	_ = h.inbox.Close()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	err := h.c.Shutdown()
	h.work.Wait()
	return err
}

// look has the keeper look at what there is to do.
func (h *holder) look() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

// keep does what the master of the holders does: it ends the connections of members that are gone, and feeds
// subscriptions with what is published NON_PERSISTENT.
func (h *holder) keep() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-h.quit; cancel() }()
	defer h.unfeed(nil)
	again := time.NewTicker(time.Second) // what failed, and what an event did not tell
	defer again.Stop()
	for {
		select {
		case <-h.quit:
			return
		case <-h.woken:
		case <-again.C:
		}
		if !h.c.IsMaster() {
			h.unfeed(nil)
			continue
		}
		h.endGone(ctx)
		h.feed(ctx)
	}
}

// endGone ends the connections of clients that are no members any more. One that was excluded and has come back is one:
// its connections may go on.
func (h *holder) endGone(ctx context.Context) {
	for _, m := range h.machine.clients() {
		id := blaze.MemberID(m)
		if _, here := h.c.Member(id); here || id == h.self || id == h.c.ID() {
			continue
		}
		op := held.Op{Kind: held.KindGone, To: m}
		if _, err := h.c.Propose(ctx, holderService, op.Append(nil)); err != nil {
			return // the ticker comes back to it
		}
	}
}

// feed subscribes to the topics that subscriptions are for.
func (h *holder) feed(ctx context.Context) {
	topics := h.machine.topics()
	h.unfeed(topics)
	for _, name := range topics {
		if h.feeds[name] != nil {
			continue
		}
		s, err := h.c.Subscribe(name, func(b *blaze.Message) { h.publish(ctx, name, b) })
		if err == nil {
			h.feeds[name] = s
		}
	}
}

// unfeed ends the subscriptions to topics that are not among those of keep.
func (h *holder) unfeed(keep []string) {
	for name, s := range h.feeds {
		if !slices.Contains(keep, name) {
			_ = s.Close()
			delete(h.feeds, name)
		}
	}
}

// publish gives subscriptions a message that is not persistent. Those that are came from their publishers.
func (h *holder) publish(ctx context.Context, pattern string, b *blaze.Message) {
	from, name := b.From(), b.Topic()
	m, err := decode(b)
	if err != nil || m.DeliveryMode() == Persistent {
		return
	}
	for _, other := range h.machine.topics() {
		if topic.Match(other, []byte(name)) { // the first of the patterns that match puts it
			if other != pattern {
				return
			}
			break
		}
	}
	if m.header.ID == (jmsheader.ID{}) { // of a core program, or without ids
		m.header.ID = jmsheader.MakeID(from, b.Sequence())
	}
	raw, err := m.encode()
	if err != nil {
		return
	}
	data, err := raw.MarshalBinary()
	if err != nil {
		return
	}
	op := held.Op{Kind: held.KindPublish, Topic: []byte(name), HasMessage: true, Message: outgoingOf(&m.header).held(data)}
	op.Message.Sender = held.Member(from)
	_, _ = h.c.Propose(ctx, holderService, op.Append(nil))
}

// Outcomes of a request to a holder: the first byte of the reply. Then comes a byte of flags, and the answer or a text.
const (
	replyAnswer = iota
	replyNoQuorum
	replyUnknown
	replyFailed
	replyTooLarge
)

const flagStored = 1 << 0 // the holder has a DataDir

// request takes an operation of a client, on the engine's thread: it reaches the ring in this turn.
func (h *holder) request(i *reach.Item) {
	if !i.Wanted {
		return
	}
	asked := i.Asked
	h.scratch = held.Sign(append(h.scratch[:0], i.Payload...), i.From)
	reply := func(answer []byte, err error) { _ = asked.Reply(&asked, h.reply(answer, err)) }
	if err := reach.Blaze.ProposeThen(h.c, true, holderService, h.scratch, reply); err != nil {
		reply(nil, err)
	}
	if cap(h.scratch) > 2*noticeBytes {
		h.scratch = nil
	}
}

func (h *holder) reply(answer []byte, err error) []byte {
	out := make([]byte, 2, 2+len(answer))
	if h.stored {
		out[1] |= flagStored
	}
	switch {
	case err == nil:
		return append(out, answer...)
	case errors.Is(err, blaze.ErrUnknownOutcome):
		out[0] = replyUnknown
	case errors.Is(err, blaze.ErrNoQuorum):
		out[0] = replyNoQuorum
	case errors.Is(err, blaze.ErrTooLarge):
		out[0] = replyTooLarge
	default:
		out[0] = replyFailed
	}
	return append(out, err.Error()...)
}

// begin proposes operations of the client in this process. then is called on the engine's thread.
func (h *holder) begin(from blaze.MemberID, op []byte, then func(answer []byte, err error)) error {
	op = held.Sign(slices.Clip(op), held.Member(from))
	return reach.Blaze.ProposeThen(h.c, false, holderService, op, then)
}

// send hands a notice to its client, behind those before it. It is called on the engine's thread; leave follows.
func (h *holder) send(n held.Notice) {
	if blaze.MemberID(n.To) == h.self {
		h.local(&n)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.outs[n.To]
	if o == nil {
		o = &outbox{}
		h.outs[n.To] = o
	}
	if len(o.notices) < maxOutbox {
		o.notices = append(o.notices, n)
	}
	if o.under == nil {
		h.fresh = append(h.fresh, n.To)
	}
}

// leave sends what send was given.
func (h *holder) leave() {
	h.mu.Lock()
	fresh := h.fresh
	h.fresh = nil
	h.mu.Unlock()
	for _, to := range fresh {
		h.empty(to)
	}
}

// empty sends the next notices of an outbox, unless some are on their way. Any goroutine may call it; it does not wait.
func (h *holder) empty(to held.Member) {
	h.mu.Lock()
	o := h.outs[to]
	if o == nil || o.under != nil {
		h.mu.Unlock()
		return
	}
	if len(o.notices) == 0 {
		delete(h.outs, to)
		h.mu.Unlock()
		return
	}
	n := 0
	var b []byte
	for n < len(o.notices) && len(b) < noticeBytes {
		b = held.AppendNotice(b, &o.notices[n])
		n++
	}
	rest := copy(o.notices, o.notices[n:])
	clear(o.notices[rest:])
	o.notices, o.under = o.notices[:rest], b
	h.mu.Unlock()
	then := func(err error) { h.emptied(to, o, err) }
	if err := reach.Blaze.SendThen(h.c.GroupChannel, to, clientInbox, b, then); err != nil {
		then(err)
	}
}

// emptied takes in what became of notices that were on their way.
func (h *holder) emptied(to held.Member, o *outbox, err error) {
	h.mu.Lock()
	if err != nil {
		if !h.closed {
			h.work.Go(func() {
				h.tell(to, o.under)
				h.emptied(to, o, nil)
			})
		}
		h.mu.Unlock()
		return
	}
	o.under = nil
	h.mu.Unlock()
	h.empty(to)
}

// tellFor is how long notices are tried. A client that is gone by then is ended by the master, and one that is not asks
// for what it missed: heldSource.look.
const tellFor = 5 * time.Second

// tell sends notices again. A client that was excluded by mistake comes back, so an error is not the end.
func (h *holder) tell(to held.Member, b []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), tellFor)
	defer cancel()
	for {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		case <-h.quit:
			return
		}
		done := make(chan error, 1)
		if err := reach.Blaze.SendThen(h.c.GroupChannel, to, clientInbox, b, func(err error) { done <- err }); err != nil {
			continue
		}
		select {
		case err := <-done:
			if err == nil {
				return
			}
		case <-ctx.Done():
			return
		case <-h.quit:
			return
		}
	}
}

// queues is the state machine as the cluster's service. The engine's thread calls it; mu lets readers look.
type queues struct {
	h  *holder
	mu sync.Mutex
	m  *held.Machine

	named     bool // m has the channel's id
	topicList []string
	listed    uint64 // held.Machine.Subscribed, of topicList
	seen      uint64 // the same, when the keeper was last told
}

// own is the machine. While Start replays what the disk has, the channel has no id yet, and no client either: the machine is
// given it with the first operation after that. mu is held.
func (q *queues) own() *held.Machine {
	if q.m == nil {
		q.m, q.named = held.New(held.Member{}), false
	}
	if id := q.h.c.ID(); !q.named && !id.IsZero() {
		q.m.SetSelf(held.Member(id))
		q.named = true
	}
	return q.m
}

func (q *queues) Apply(op blaze.Operation) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.changed()
	return q.own().Apply(op.Data, held.Member(op.By), op.Index)
}

// changed has the keeper look where subscriptions have changed. mu is held.
func (q *queues) changed() {
	if n := q.m.Subscribed(); n != q.seen {
		q.seen = n
		q.h.look()
	}
}

func (q *queues) Gone(m blaze.MemberID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.own().Gone(held.Member(m))
	q.changed()
	q.h.look()
}

func (q *queues) Tick(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.own().Tick(now)
	q.changed()
}

func (q *queues) Next() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m == nil {
		return time.Time{}, false
	}
	return q.m.Next()
}

func (q *queues) Certain(index uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m == nil {
		return
	}
	q.m.Certain(index)
	for {
		n, ok := q.m.Notice()
		if !ok {
			break
		}
		q.h.send(n)
	}
	q.h.leave()
}

func (q *queues) Snapshot() (blaze.ServiceSnapshot, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.own().Snapshot()
}

func (q *queues) Restore(r io.Reader, chain bool) (iter.Seq[[]byte], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r == nil {
		q.m, q.topicList, q.listed, q.seen = nil, nil, 0, 0 // the channel's id is that of the next start
		return nil, nil
	}
	defer q.changed()
	return q.own().Restore(r, chain)
}

func (q *queues) clients() []held.Member {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m == nil {
		return nil
	}
	return q.m.Clients()
}

func (q *queues) topics() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m == nil {
		return nil
	}
	if n := q.m.Subscribed(); n != q.listed {
		q.topicList, q.listed = q.m.Topics(), n
	}
	return q.topicList
}
