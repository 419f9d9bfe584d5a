package jms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/jms/held"
	core "github.com/activeblaze/blaze/jms/link"
)

// link runs one core.Link, which has the rules: it sends what the core hands out to holders, gives the core what comes
// back, and wakes callers and consumers. It is safe for concurrent use.
type link struct {
	ch     *channel
	number uint64 // of the connection, among this member's
	born   time.Time
	life   context.Context
	end    context.CancelFunc
	opened chan struct{} // closed once a holder has begun the connection
	fails  func(error)   // told why the link is over, unless it was closed
	lastID atomic.Uint64 // of consumers, and of parts

	mu        sync.Mutex
	core      *core.Link
	calls     map[uint64]*call // without answer, by ticket
	later     map[uint64]*call // Takes that do not wait, are answered, and go on
	full      chan struct{}    // closed with the next answer; nil: nobody waits for room
	consumers map[uint64]*heldSource
	rooms     map[string]chan struct{} // closed when a queue has room
	tries     map[uint64]uint64        // requests that have left, and the visit in which
	armed     bool                     // the timer runs
	seeking   bool                     // a holder is looked for, or this process becomes one
	stored    bool                     // a holder that has answered has a DataDir
	leaving   bool                     // close has sent the end
	looking   bool                     // a look of lookSoon is under way
	failed    time.Time                // when the last failure was taken in
	failing   time.Time                // since when nothing but failures came; zero: an answer has
	broken    error                    // it is over: why
}

const (
	// maxUnder is how many operations of a connection are under way, and how many reads.
	maxUnder = held.MaxWindow / 2
	// retryAfter is how long a holder may be silent that is a member of the group all the while, silences times.
	retryAfter = 2 * time.Second
	silences   = 2
	// failureGap is between failures: a holder that cannot decide now is not asked without a pause.
	failureGap = 20 * time.Millisecond
	// failFor is how long holders may fail, beyond Wait, before the connection is given up.
	failFor = 5 * time.Second
)

// call is one operation, or read, that is under way.
type call struct {
	l      *link
	ticket uint64
	done   chan struct{}
	answer held.Answer   // once done
	err    error         // core.ErrLost or core.ErrInDoubt
	then   func(*call)   // called with the answer, under mu of the link; nil: nothing
	over   chan struct{} // closed with the end of a Take that does not wait; nil: it is another operation
}

// Errors of what came back.
var (
	errAgain          = errors.New("jms: the holder did not answer")
	errConnectionOver = closedError("connection to the holders")
	errTakenForFailed = fmt.Errorf("%w: the holders have ended the connection: this member was taken for failed", blaze.ErrClosed)
)

// connectHolders begins a connection at the holders.
func (n *connection) connectHolders(ctx context.Context) (*link, error) {
	ch := n.ch
	select {
	case ch.beginning <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, ended(ctx, "waiting while another connection looks for a holder"))
	}
	l, err := n.beginLink(ctx)
	<-ch.beginning
	if err != nil {
		return nil, err
	}
	if n.f.o.requireStore && !l.isStored() {
		err = fmt.Errorf("%w: the holders have no DataDir, and jms.requireStore asks for one", blaze.ErrUnsupported)
	} else {
		err = n.configure(ctx, l)
	}
	if err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

// beginLink begins a link, with the next number.
func (n *connection) beginLink(ctx context.Context) (*link, error) {
	ch := n.ch
	l := &link{
		ch: ch, number: ch.numbers.Add(1), born: time.Now(), opened: make(chan struct{}),
		calls: map[uint64]*call{}, later: map[uint64]*call{}, consumers: map[uint64]*heldSource{},
		rooms: map[string]chan struct{}{}, tries: map[uint64]uint64{},
	}
	l.core = core.New(core.Config{Conn: l.number, Name: n.clientName(), Window: maxUnder, RetryAfter: retryAfter, Patience: silences})
	l.life, l.end = context.WithCancel(context.Background())
	err := ch.listen(l)
	if err == nil {
		err = l.open(ctx)
	}
	if err != nil {
		l.over(err)
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	l.fails = n.exception // up to here the error is the caller's
	return l, nil
}

// open waits until a holder has begun the connection.
func (l *link) open(ctx context.Context) error {
	if err := l.ch.findHolder(ctx); err != nil {
		return err
	}
	l.refresh()
	select {
	case <-l.opened:
		return nil
	case <-l.life.Done():
		return l.why()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotHeld, ended(ctx, "beginning a connection at a holder"))
	}
}

func (l *link) isStored() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// configure sets what the factory's options say of the queues.
func (n *connection) configure(ctx context.Context, l *link) error {
	o := &n.f.o
	if o.depth != 0 || o.maxRedeliveries != 0 || o.redeliveryDelay != 0 || o.deadLetterExpired || o.noAutoCreate {
		s := &held.Settings{
			Depth: o.depth, MaxRedeliveries: o.maxRedeliveries, RedeliveryDelay: millis(o.redeliveryDelay), Doubling: o.backoff,
			DeadLetterExpired: o.deadLetterExpired, NoAutoCreate: o.noAutoCreate,
		}
		if _, err := l.do(ctx, &held.Op{Kind: held.KindConfigure, Settings: s}); err != nil {
			return err
		}
	}
	names := map[string]*held.Settings{}
	of := func(name string) *held.Settings {
		if names[name] == nil {
			names[name] = &held.Settings{}
		}
		return names[name]
	}
	for _, name := range o.queues {
		of(name)
	}
	for name, depth := range o.depthOf {
		of(name).Depth = depth
	}
	for name, bytes := range o.bytesOf {
		of(name).Bytes = bytes
	}
	for name, s := range names {
		if _, err := l.do(ctx, &held.Op{Kind: held.KindConfigure, Queue: []byte(name), Settings: s}); err != nil {
			return err
		}
	}
	return nil
}

// now is the core's time.
func (l *link) now() clock.Time { return clock.Time(time.Since(l.born)) + 1 }

// newID is a number for a consumer, or for parts of a message.
func (l *link) newID() uint64 { return l.lastID.Add(1) }

// turn hands out what the core has. mu is held.
func (l *link) turn() {
	l.dispatch()
	now := clock.Time(0)
	for {
		if now == 0 {
			now = l.now()
		}
		s, ok := l.core.PollSend(now)
		if !ok {
			break
		}
		if visit, under := l.tries[s.Request]; under && visit == s.Visit {
			continue // it is on its way still: the channel repeats what is lost
		}
		l.tries[s.Request] = s.Visit
		l.ch.traffic.send(l, s)
	}
	if l.armed {
		return // later requests have later deadlines
	}
	if at, ok := l.core.Deadline(); ok {
		l.armed = true
		time.AfterFunc(at.Sub(l.now()), l.tick)
	}
}

func (l *link) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.core.Tick(l.now())
	l.turn()
}

// dispatch hands the core's events to those that they are for. mu is held.
func (l *link) dispatch() {
	for {
		e, ok := l.core.PollEvent()
		if !ok {
			return
		}
		switch e.Kind {
		case core.EventAnswer:
			l.answered(&e)
		case core.EventMessage:
			if s := l.consumers[e.Message.Consumer]; s == nil || !s.arrive(&e.Message) {
				// Its consumer has closed, and nobody has seen it.
				go l.background(&held.Op{
					Kind: held.KindRelease, Session: e.Message.Session, Numbers: []uint64{e.Message.Number}, Flags: held.FlagUnseen,
				})
			}
		case core.EventNone:
			if c := l.later[e.Ticket]; c != nil {
				delete(l.later, e.Ticket)
				close(c.over)
			}
		case core.EventRoom:
			if room := l.rooms[e.Queue]; room != nil {
				close(room)
				delete(l.rooms, e.Queue)
			}
		case core.EventOpen:
			select {
			case <-l.opened:
			default:
				close(l.opened)
			}
			l.roomForAll() // what the old holder reported may be lost: whoever waits tries again
		case core.EventRefused:
			l.breakUp(codeError(e.Answer, "connecting to the holders"))
		case core.EventEnded:
			if l.leaving {
				l.breakUp(errConnectionOver)
			} else {
				l.breakUp(errTakenForFailed)
			}
		}
	}
}

func (l *link) answered(e *core.Event) {
	c := l.calls[e.Ticket]
	if c == nil {
		return
	}
	delete(l.calls, e.Ticket)
	if l.full != nil {
		close(l.full)
		l.full = nil
	}
	c.answer, c.err = e.Answer, e.Err
	if c.over != nil && c.err == nil && c.answer.Code == held.CodeLater {
		l.later[e.Ticket] = c
	}
	if c.then != nil {
		c.then(c)
	}
	close(c.done)
}

func (l *link) roomForAll() {
	for _, room := range l.rooms {
		close(room)
	}
	clear(l.rooms)
}

// breakUp ends the link. mu is held, and turn follows.
func (l *link) breakUp(why error) {
	if l.broken != nil {
		return
	}
	l.broken = why
	l.core.Abandon()
	l.roomForAll()
	l.end()
	for _, s := range l.consumers {
		s.k.waker.wake()
	}
	fails := l.fails
	go func() {
		l.ch.forget(l)
		if fails != nil && why != errConnectionOver {
			fails(why)
		}
	}()
}

// over ends the link.
func (l *link) over(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakUp(why)
	l.turn()
}

// why is the reason for which the link is over.
func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		return errConnectionOver
	}
	return l.broken
}

// openReply reads what a holder elsewhere has replied.
func openReply(b []byte) (answer []byte, stored bool, _ error) {
	if len(b) < 2 {
		return nil, false, errAgain
	}
	switch b[0] {
	case replyAnswer:
		return b[2:], b[1]&flagStored != 0, nil
	case replyNoQuorum:
		return nil, false, fmt.Errorf("%w (%s)", blaze.ErrNoQuorum, b[2:])
	case replyUnknown:
		return nil, false, fmt.Errorf("%w (%s)", blaze.ErrUnknownOutcome, b[2:])
	case replyTooLarge:
		return nil, false, fmt.Errorf("%w (%s)", blaze.ErrTooLarge, b[2:])
	}
	return nil, false, fmt.Errorf("%w: %s", errAgain, b[2:])
}

// landed notes that a request has come to its end. It is false where it was sent again since, or the link is over. mu is
// held.
func (l *link) landed(s core.Send) bool {
	visit, under := l.tries[s.Request]
	if !under || visit != s.Visit {
		return false
	}
	delete(l.tries, s.Request)
	return true
}

// take gives the core an answer. mu is held, and turn follows.
func (l *link) take(s core.Send, raw []byte, stored bool) {
	l.landed(s)
	l.failing = time.Time{}
	l.stored = l.stored || stored
	l.core.Answer(s.To, raw)
}

// fail takes in that requests that left together were not answered.
func (l *link) fail(sends []core.Send, err error) {
	switch {
	case errors.Is(err, blaze.ErrTooLarge) || errors.Is(err, blaze.ErrArgument) || errors.Is(err, blaze.ErrMalformed) || errors.Is(err, blaze.ErrUnsupported):
		l.over(err) // it will never be applied, and what follows it neither
		return
	case l.life.Err() != nil:
		return
	case l.ch.g.State() != blaze.Started:
		l.over(fmt.Errorf("%w: this member has stopped", blaze.ErrClosed))
		return
	}
	l.mu.Lock()
	under := sends[:0]
	for _, s := range sends {
		if l.landed(s) {
			under = append(under, s)
		}
	}
	if len(under) == 0 {
		l.mu.Unlock()
		return
	}
	now := time.Now()
	pause := failureGap - now.Sub(l.failed)
	l.failed = now
	if l.failing.IsZero() {
		l.failing = now
	}
	long := now.Sub(l.failing) > l.ch.f.o.wait+failFor
	l.mu.Unlock()
	if long {
		l.over(err)
		return
	}
	if pause > 0 {
		select {
		case <-time.After(pause):
		case <-l.life.Done():
		}
	}
	l.refresh()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range under {
		l.core.Failed(s) // the first of a visit ends it
	}
	l.turn()
}

// refresh tells the core which holders there are. Where there is none, one is looked for.
func (l *link) refresh() {
	all := l.ch.holders()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return
	}
	if len(all) == 0 && !l.seeking {
		l.seeking = true
		go l.seek()
	}
	l.core.Holders(all)
	l.turn()
}

// seek waits for a holder, or has this process become one.
func (l *link) seek() {
	ctx, cancel := context.WithTimeout(l.life, l.ch.f.o.wait+failFor)
	defer cancel()
	err := l.ch.findHolder(ctx)
	l.mu.Lock()
	l.seeking = false
	l.mu.Unlock()
	if err != nil {
		l.over(err)
		return
	}
	l.refresh()
}

// submit gives the core an operation once there is room in its window. build makes it, under mu: no message arrives
// between that and its place among the operations. ctx bounds the wait for room.
func (l *link) submit(ctx context.Context, c *call, build func() *held.Op) error {
	c.l, c.done = l, make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		err := l.broken
		if err == nil && l.core.UnderWay() < maxUnder {
			if op := build(); op != nil {
				c.ticket, err = l.core.Submit(op)
			} else {
				c.ticket, err = l.core.Look()
			}
			if err == nil {
				l.calls[c.ticket] = c
				l.turn()
				return nil
			}
		}
		if err != nil && err != core.ErrWindow {
			return err
		}
		if l.full == nil {
			l.full = make(chan struct{})
		}
		full := l.full
		l.mu.Unlock()
		select {
		case <-full:
			err = nil
		case <-ctx.Done():
			err = ended(ctx, "waiting for the holders")
		case <-l.life.Done():
			err = l.why()
		}
		l.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// submitNow is submit by the then of a call, in whose place the new one comes. mu is held.
func (l *link) submitNow(c *call, op *held.Op) {
	c.l, c.done = l, make(chan struct{})
	ticket, err := l.core.Submit(op)
	switch err {
	case nil:
		c.ticket = ticket
		l.calls[ticket] = c
	case core.ErrWindow: // another one has taken its place
		go func() { _ = l.submit(l.life, c, func() *held.Op { return op }) }()
	}
}

// start begins an operation, in its turn.
func (l *link) start(ctx context.Context, op *held.Op) (*call, error) {
	c := &call{}
	return c, l.submit(ctx, c, func() *held.Op { return op })
}

// background begins an operation whose answer nobody waits for.
func (l *link) background(op *held.Op) { _, _ = l.start(l.life, op) }

// do is start, and the wait for the answer. A code other than OK and Later is an error.
func (l *link) do(ctx context.Context, op *held.Op) (held.Answer, error) {
	c, err := l.start(ctx, op)
	if err != nil {
		return held.Answer{}, err
	}
	return c.wait(ctx)
}

// read is an operation that changes nothing. Every code is an answer.
func (l *link) read(ctx context.Context, op *held.Op) (held.Answer, error) {
	c, err := l.start(ctx, op)
	if err != nil {
		return held.Answer{}, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return held.Answer{}, ended(ctx, "asking the holders")
	}
	if c.err != nil {
		return held.Answer{}, l.why()
	}
	return c.answer, nil
}

// forgetLater notes that nobody waits for the end of a Take any longer.
func (l *link) forgetLater(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.later, c.ticket)
}

// lookSoon is look, on a goroutine of its own. One is enough for all consumers.
func (l *link) lookSoon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking {
		return
	}
	l.looking = true
	go func() {
		_ = l.look(l.life)
		l.mu.Lock()
		l.looking = false
		l.mu.Unlock()
	}()
}

// look has what was given to this connection, and has not arrived, arrive before it returns.
func (l *link) look(ctx context.Context) error {
	c := &call{}
	if err := l.submit(ctx, c, func() *held.Op { return nil }); err != nil {
		return err
	}
	_, err := c.wait(ctx)
	return err
}

// wait waits for the answer.
func (c *call) wait(ctx context.Context) (held.Answer, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		return held.Answer{}, fmt.Errorf("%w: %w", blaze.ErrUnknownOutcome, ended(ctx, "waiting for the holders"))
	}
	switch {
	case c.err != nil:
		return held.Answer{}, fmt.Errorf("%w: %w", blaze.ErrUnknownOutcome, c.l.why())
	case c.answer.Code == held.CodeForgotten:
		return held.Answer{}, fmt.Errorf("%w: the holders remember no answer", blaze.ErrUnknownOutcome)
	case c.answer.Code != held.CodeOK && c.answer.Code != held.CodeLater:
		return c.answer, codeError(c.answer, "")
	}
	return c.answer, nil
}

// lost reports whether the connection has ended before the operation was sent, or in a way that undoes it.
func (c *call) lost() bool {
	select {
	case <-c.done:
		return c.err == core.ErrLost
	default:
		return false
	}
}

// close ends the connection.
func (l *link) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.ch.g.Config().Linger)
	defer cancel()
	l.mu.Lock()
	if l.broken != nil {
		l.mu.Unlock()
		return nil
	}
	l.leaving = true
	l.mu.Unlock()
	_, err := l.do(ctx, &held.Op{Kind: held.KindEnd})
	l.over(errConnectionOver)
	if errors.Is(err, blaze.ErrClosed) {
		err = nil // it has ended by itself
	}
	return err
}

// notice takes what a holder reports.
func (l *link) notice(n *held.Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.Notice(n)
	l.turn()
}

// room returns what is closed when a queue has room.
func (l *link) room(queue string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.rooms[queue]
	if c == nil {
		c = make(chan struct{})
		if l.broken != nil {
			close(c)
			return c
		}
		l.rooms[queue] = c
	}
	return c
}

// unseen takes what has arrived at consumers of a session, or at one of them, and was not received: at most what one
// operation names. mu is held.
func (l *link) unseen(session uint32, one *heldSource) (numbers []uint64, more bool) {
	var all []*heldSource
	for _, s := range l.consumers {
		if s.k.c.id == session && (one == nil || s == one) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *heldSource) int { return cmp.Compare(a.id, b.id) })
	for _, s := range all {
		numbers, more = s.unseen(numbers)
		if more {
			return numbers, true
		}
	}
	return numbers, false
}

// codeError is the error of an answer.
func codeError(a held.Answer, what string) error {
	if what != "" {
		what = ": " + what
	}
	switch a.Code {
	case held.CodeQueueFull, held.CodeHolderFull:
		return fmt.Errorf("%w%s", ErrQueueFull, what)
	case held.CodeNoQueue:
		return fmt.Errorf("%w: there is no such queue, and none is made by naming it%s", ErrInvalidDestination, what)
	case held.CodeSelector:
		return fmt.Errorf("%w: %s", ErrInvalidSelector, a.Detail)
	case held.CodeInUse:
		return fmt.Errorf("%w: it is in use%s", ErrIllegalState, what)
	case held.CodeTooMany:
		return fmt.Errorf("%w: a bound of connections, consumers, queues, subscriptions or of a transaction%s", blaze.ErrTooLarge, what)
	case held.CodeTooLarge:
		return fmt.Errorf("%w: the message is larger than the queue may be%s", blaze.ErrTooLarge, what)
	case held.CodeNoSubscription:
		return fmt.Errorf("%w: there is no such subscription%s", ErrInvalidDestination, what)
	case held.CodeNotHeld:
		return fmt.Errorf("%w: the messages are not this session's any more%s", ErrIllegalState, what)
	case held.CodeNoConnection:
		return fmt.Errorf("%w: the holders have ended the connection%s", blaze.ErrClosed, what)
	}
	return fmt.Errorf("%w: a holder answers with code %d%s", blaze.ErrUnsupported, a.Code, what)
}
