package jms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/jms/held"
)

// link is a connection as the holders have it: it numbers operations, repeats those whose holder went, and hands what
// comes to the consumers. It is safe for concurrent use.
type link struct {
	ch      *channel
	number  uint64        // of the connection, among this member's
	periods atomic.Uint64 // how often it has turned to a holder
	life    context.Context
	end     context.CancelFunc
	window  chan struct{} // a token for each operation under way

	mu        sync.Mutex
	next      uint64 // counter of the next operation
	last      *call  // that was begun; nil: it has ended
	under     []*call
	to        route
	broken    error // it is over: why
	consumers map[uint64]*heldSource
	lastID    uint64                   // of consumers, and of parts
	rooms     map[string]chan struct{} // closed when a queue has room
	attaching int                      // attach runs so often
	moving    sync.Mutex               // held while another holder is looked for
	fails     func(error)              // told why the link is over, unless it was closed
}

// maxUnder is how many operations of a connection are under way. held.MaxWindow is the bound there.
const maxUnder = 200

// call is one operation that is under way.
type call struct {
	l       *link
	op      []byte
	counter uint64
	prev    *call // the one before it; nil: it had ended
	done    chan struct{}
	answer  held.Answer // once done
	stored  bool
	err     error
}

// route is the way to one holder.
type route struct {
	own *holder        // in this process
	id  blaze.MemberID // elsewhere
}

// begin sends an operation. What one goroutine begins arrives in that order.
func (r route) begin(ctx context.Context, ch *channel, op []byte) (func(context.Context) ([]byte, error), error) {
	if r.own != nil {
		return r.own.begin(ctx, ch.g.ID(), op)
	}
	return reach.Blaze.Request(ctx, ch.g, r.id, holderInbox, op)
}

// errAgain means that the operation can be sent again.
var errAgain = errors.New("jms: the holder did not answer")

// open reads what came back.
func (r route) open(raw []byte, err error) (answer []byte, stored bool, _ error) {
	if r.own != nil || err != nil {
		return raw, r.own != nil && r.own.stored, err
	}
	var m blaze.Message
	if err := m.UnmarshalBinary(raw); err != nil {
		return nil, false, err
	}
	b, _ := m.Bytes()
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
	}
	return nil, false, fmt.Errorf("%w: %s", errAgain, b[2:])
}

// connectHolders begins a connection at the holders.
func (n *connection) connectHolders(ctx context.Context) (*link, error) {
	ch := n.ch
	select {
	case ch.beginning <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, ended(ctx, "waiting while another connection looks for a holder"))
	}
	l, stored, err := n.beginLink(ctx)
	<-ch.beginning
	if err != nil {
		return nil, err
	}
	if n.f.o.requireStore && !stored {
		_ = l.close()
		return nil, fmt.Errorf("%w: the holders have no DataDir, and jms.requireStore asks for one", blaze.ErrUnsupported)
	}
	if err := n.configure(ctx, l); err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

// beginLink begins a link, with the next number.
func (n *connection) beginLink(ctx context.Context) (_ *link, stored bool, _ error) {
	ch := n.ch
	l := &link{
		ch: ch, number: ch.numbers.Add(1), window: make(chan struct{}, maxUnder), next: 1,
		consumers: map[uint64]*heldSource{}, rooms: map[string]chan struct{}{}, fails: n.exception,
	}
	l.life, l.end = context.WithCancel(context.Background())
	if err := ch.listen(l); err != nil {
		return nil, false, err
	}
	to, err := ch.holderRoute(ctx, route{})
	if err != nil {
		l.over(err)
		return nil, false, err
	}
	a, stored, err := l.beginAt(ctx, to, n.clientName())
	if err == nil && a.Code != held.CodeOK {
		err = codeError(a, "connecting to the holders")
	}
	if err != nil {
		l.over(err)
		return nil, false, err
	}
	l.to = to
	return l, stored, nil
}

// beginAt says to a holder that the connection begins, or goes on, there.
func (l *link) beginAt(ctx context.Context, to route, name string) (a held.Answer, stored bool, err error) {
	op := held.Op{Kind: held.KindBegin, Conn: l.number, Name: []byte(name), Limit: l.periods.Add(1)}
	finish, err := to.begin(ctx, l.ch, op.Append(nil))
	if err != nil {
		return a, false, err
	}
	raw, stored, err := to.open(finish(ctx))
	if err != nil {
		return a, false, err
	}
	if !a.Parse(raw) {
		return a, false, fmt.Errorf("%w: an answer of a holder", blaze.ErrMalformed)
	}
	return a, stored, nil
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

// start begins an operation, in its turn. ctx bounds the wait for room in the window.
func (l *link) start(ctx context.Context, op *held.Op) (*call, error) {
	select {
	case l.window <- struct{}{}:
	default:
		select {
		case l.window <- struct{}{}:
		case <-ctx.Done():
			return nil, ended(ctx, "waiting for the holders")
		case <-l.life.Done():
			return nil, l.why()
		}
	}
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		<-l.window
		return nil, l.broken
	}
	c := &call{l: l, counter: l.next, prev: l.last, done: make(chan struct{})}
	op.Conn, op.Counter, op.Low = l.number, l.next, l.next
	if len(l.under) > 0 {
		op.Low = l.under[0].counter
	}
	c.op = op.Append(nil)
	l.next++
	l.last = c
	l.under = append(l.under, c)
	to := l.to
	finish, err := to.begin(l.life, l.ch, c.op) // under mu: in order
	l.mu.Unlock()
	go c.run(to, finish, err)
	return c, nil
}

// run sends the operation again until it has been answered.
func (c *call) run(to route, finish func(context.Context) ([]byte, error), err error) {
	l := c.l
	for {
		var raw []byte
		if err == nil {
			raw, c.stored, err = to.open(finish(l.life))
		}
		if err == nil && !c.answer.Parse(raw) {
			err = fmt.Errorf("%w: an answer of a holder", blaze.ErrMalformed)
		}
		if err == nil && c.answer.Code != held.CodeGap {
			break
		}
		if errors.Is(err, blaze.ErrTooLarge) || errors.Is(err, blaze.ErrArgument) || errors.Is(err, blaze.ErrMalformed) || errors.Is(err, blaze.ErrUnsupported) {
			l.over(err) // it will never be applied, and what follows it neither
		}
		if err != nil && l.ch.g.State() != blaze.Started {
			l.over(fmt.Errorf("%w: this member has stopped", blaze.ErrClosed))
		}
		// Those before it come first.
		if c.prev != nil {
			<-c.prev.done
		}
		if l.life.Err() != nil {
			c.err = l.why()
			break
		}
		if err != nil {
			if to, err = l.move(to, err); err != nil {
				l.over(err)
				c.err = l.why()
				break
			}
		}
		finish, err = to.begin(l.life, l.ch, c.op)
	}
	if c.err == nil && c.answer.Code == held.CodeNoConnection {
		l.over(fmt.Errorf("%w: the holders have ended the connection: this member was taken for failed", blaze.ErrClosed))
		c.err = l.why()
	}
	if c.err == nil && c.answer.Code == held.CodeForgotten {
		c.err = fmt.Errorf("%w: the holders remember no answer", blaze.ErrUnknownOutcome)
	}
	l.mu.Lock()
	c.prev = nil
	if l.last == c {
		l.last = nil
	}
	for i, o := range l.under {
		if o == c {
			l.under = append(l.under[:i], l.under[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
	close(c.done)
	<-l.window
}

// move finds a holder after one has not answered, and tells it of the connection.
func (l *link) move(from route, why error) (route, error) {
	l.moving.Lock()
	defer l.moving.Unlock()
	ctx, cancel := context.WithTimeout(l.life, l.ch.f.o.wait+5*time.Second)
	defer cancel()
	l.mu.Lock()
	now := l.to
	l.mu.Unlock()
	if now != from {
		return now, nil // another operation has done it
	}
	for {
		to, err := l.ch.holderRoute(ctx, from)
		if err == nil {
			var a held.Answer
			if a, _, err = l.beginAt(ctx, to, ""); err == nil {
				if a.Code == held.CodeOK {
					l.mu.Lock()
					l.to = to
					l.mu.Unlock()
					go l.settleIn()
					return to, nil
				}
				return to, codeError(a, "going on at another holder")
			}
		}
		select {
		case <-ctx.Done():
			return route{}, fmt.Errorf("%w: %w", why, err)
		case <-time.After(20 * time.Millisecond):
			from = route{} // any
		}
	}
}

// settleIn asks a new holder for what the old one may not have told: at once, and again while an operation that the old
// one had proposed may still be applied, which makes the old one the holder that tells.
func (l *link) settleIn() {
	l.attach()
	for _, d := range [...]time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond} {
		select {
		case <-time.After(d):
			l.attach()
		case <-l.life.Done():
			return
		}
	}
}

// attach asks the holder for what is in flight and did not arrive.
func (l *link) attach() {
	l.mu.Lock()
	l.attaching++
	l.mu.Unlock()
	defer l.attached()
	var session uint32
	var after uint64
	for {
		a, err := l.read(l.life, &held.Op{Kind: held.KindAttach, Session: session, After: after})
		if err != nil || a.Code != held.CodeOK {
			return
		}
		l.deliver(a.Messages)
		if !a.More || len(a.Messages) == 0 {
			return
		}
		last := &a.Messages[len(a.Messages)-1]
		session, after = last.Session, last.Number
	}
}

// attached is the end of attach. What has ended meanwhile may be forgotten now: the answer could have named it still.
func (l *link) attached() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attaching--; l.attaching > 0 {
		return
	}
	for _, s := range l.consumers {
		s.mu.Lock()
		for _, d := range s.over {
			delete(s.known, d)
		}
		s.over = nil
		s.mu.Unlock()
	}
}

// do is start, and the wait for the answer. A code other than OK and Later is an error.
func (l *link) do(ctx context.Context, op *held.Op) (held.Answer, error) {
	c, err := l.start(ctx, op)
	if err != nil {
		return held.Answer{}, err
	}
	return c.wait(ctx)
}

// wait waits for the answer.
func (c *call) wait(ctx context.Context) (held.Answer, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		return held.Answer{}, fmt.Errorf("%w: %w", blaze.ErrUnknownOutcome, ended(ctx, "waiting for the holders"))
	}
	if c.err != nil {
		return held.Answer{}, c.err
	}
	if c.answer.Code != held.CodeOK && c.answer.Code != held.CodeLater {
		return c.answer, codeError(c.answer, "")
	}
	return c.answer, nil
}

// read is an operation that changes nothing, and so has no turn.
func (l *link) read(ctx context.Context, op *held.Op) (a held.Answer, err error) {
	op.Conn = l.number
	b := op.Append(nil)
	for {
		if l.life.Err() != nil {
			return a, l.why()
		}
		l.mu.Lock()
		to := l.to
		l.mu.Unlock()
		var raw []byte
		finish, err := to.begin(ctx, l.ch, b)
		if err == nil {
			raw, _, err = to.open(finish(ctx))
		}
		if err == nil && a.Parse(raw) {
			return a, nil
		}
		if ctx.Err() != nil {
			return a, ended(ctx, "asking the holders")
		}
		if l.ch.g.State() != blaze.Started {
			return a, fmt.Errorf("%w: this member has stopped", blaze.ErrClosed)
		}
		if _, err := l.move(to, err); err != nil {
			return a, err
		}
	}
}

// over ends the link.
func (l *link) over(why error) {
	l.mu.Lock()
	if l.broken != nil {
		l.mu.Unlock()
		return
	}
	l.broken = why
	var all []*heldSource
	for _, s := range l.consumers {
		all = append(all, s)
	}
	for _, room := range l.rooms {
		close(room)
	}
	l.rooms = map[string]chan struct{}{}
	l.mu.Unlock()
	l.end()
	l.ch.forget(l)
	for _, s := range all {
		s.k.waker.wake()
	}
	if why != errConnectionOver {
		go l.fails(why)
	}
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

var errConnectionOver = closedError("connection to the holders")

// close ends the connection.
func (l *link) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.ch.g.Config().Linger)
	defer cancel()
	l.mu.Lock()
	over := l.broken != nil
	l.mu.Unlock()
	if over {
		return nil
	}
	_, err := l.do(ctx, &held.Op{Kind: held.KindEnd})
	l.over(errConnectionOver)
	if errors.Is(err, ErrIllegalState) {
		err = nil
	}
	return err
}

// notice takes what a holder reports.
func (l *link) notice(n *held.Notice) {
	switch n.Kind {
	case held.NoticeMessage:
		l.deliver(n.Messages)
	case held.NoticeNone:
		l.mu.Lock()
		s := l.consumers[n.Consumer]
		l.mu.Unlock()
		if s != nil {
			s.none(n.Counter)
		}
	case held.NoticeRoom:
		l.mu.Lock()
		if room := l.rooms[n.Queue]; room != nil {
			close(room)
			delete(l.rooms, n.Queue)
		}
		l.mu.Unlock()
	case held.NoticeEnded:
		go l.over(fmt.Errorf("%w: the holders have ended the connection: this member was taken for failed", blaze.ErrClosed))
	}
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

// deliver hands messages to the consumers that they are for.
func (l *link) deliver(ms []held.Message) {
	for len(ms) > 0 {
		n := 1
		for n < len(ms) && ms[n].Consumer == ms[0].Consumer {
			n++
		}
		l.mu.Lock()
		s := l.consumers[ms[0].Consumer]
		l.mu.Unlock()
		if s != nil {
			s.arrive(ms[:n])
		}
		ms = ms[n:]
	}
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
