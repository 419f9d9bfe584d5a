package blaze

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/wire"
)

// what is the thing that a call asks for.
type what struct {
	kind  member.CallKind
	to    MemberID
	name  string // of the in-box or queue
	group string // SendGroup: to all of it
}

// String is for errors: "sending to 3f2a…, in-box \"orders\"".
func (w what) String() string {
	inbox := ""
	if w.name != "" {
		inbox = fmt.Sprintf(", in-box %q", w.name)
	}
	switch {
	case w.group != "":
		return fmt.Sprintf("sending to group %q", w.group)
	case w.kind == member.CallSend:
		return fmt.Sprintf("sending to %v%s", w.to, inbox)
	case w.kind == member.CallRequest:
		return fmt.Sprintf("a request to %v%s", w.to, inbox)
	case w.kind == member.CallEnqueue:
		return fmt.Sprintf("a message in queue %q", w.name)
	case w.kind == member.CallRequestQueue:
		return fmt.Sprintf("a request in queue %q", w.name)
	}
	return fmt.Sprintf("a reply to %v", w.to)
}

// asked is what a received Message has that is a request.
type asked struct {
	g       *Channel // that received it
	start   uint64   // of it
	from    wire.MemberID
	call    uint64
	replied atomic.Bool
}

// mayCall judges whether a call can be begun.
func (g *GroupChannel) mayCall(ctx context.Context, w what, m *Message) (*start, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: %v: the message is nil", ErrArgument, w)
	}
	return g.started(ctx, w)
}

// started returns the start that a call is made in.
func (g *GroupChannel) started(ctx context.Context, w what) (*start, error) {
	st := g.run.Load()
	if st == nil {
		return nil, fmt.Errorf("%w: %v in state %v: Start the channel first", ErrState, w, g.State())
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("blaze: %v: %w", w, err)
	}
	return st, nil
}

// slot takes a slot for a call.
func (g *GroupChannel) slot(ctx context.Context, st *start, w what) (*member.Call, error) {
	c, err := st.Slot(ctx)
	if err != nil {
		return nil, callError(w, nil, err)
	}
	c.Kind, c.To, c.Name = w.kind, wire.MemberID(w.to), w.name
	return c, nil
}

// callWith takes a slot for a call with a Message.
func (g *GroupChannel) callWith(ctx context.Context, w what, m *Message) (*start, *member.Call, error) {
	st, err := g.mayCall(ctx, w, m)
	if err != nil {
		return nil, nil, err
	}
	c, err := g.slot(ctx, st, w)
	if err != nil {
		return nil, nil, err
	}
	payload, err := m.AppendBinary(c.Room())
	if err != nil {
		st.Free(c)
		return nil, nil, err
	}
	c.PayloadKind, c.Payload = wire.KindMessage, payload
	c.Keep()
	return st, c, nil
}

func (g *GroupChannel) checkSize(w what, n int) error {
	if most := g.cfg.Load().MaxMessageSize; n > most {
		return fmt.Errorf("%w: %v: %d bytes; Config.MaxMessageSize is %d", ErrTooLarge, w, n, most)
	}
	return nil
}

// finish begins a call, waits for its end, and gives the slot back.
func (g *GroupChannel) finish(ctx context.Context, st *start, c *member.Call, w what) error {
	err := g.carry(ctx, st, c, w, false)
	if err == nil {
		st.Free(c)
	}
	return err
}

// carry begins a call and waits for its end. On nil the slot is the caller's, with the reply; else it is not.
func (g *GroupChannel) carry(ctx context.Context, st *start, c *member.Call, w what, late bool) error {
	if err := g.checkSize(w, len(c.Payload)); err != nil {
		st.Free(c)
		return err
	}
	if err := st.Begin(ctx, c, late); err != nil {
		return callError(w, nil, err)
	}
	return g.await(ctx, st, c, w, late)
}

// await waits for the end of a call that was begun, as carry does.
func (g *GroupChannel) await(ctx context.Context, st *start, c *member.Call, w what, late bool) error {
	ended, err := st.Finish(ctx, c, late)
	if !ended {
		return callError(w, nil, err)
	}
	if c.End.Why == group.Answered {
		return nil // also if ctx has ended meanwhile
	}
	err = callError(w, &c.End, err)
	st.Free(c)
	return err
}

// callError is the error of a call: of a wait that failed, or of an end that is not the one that was wanted.
func callError(w what, e *group.End, err error) error {
	switch {
	case err == run.ErrClosed:
		return fmt.Errorf("%w: %v", errStops, w)
	case err == run.ErrOccupied:
		return fmt.Errorf("%w: %v would wait, in an Inline handler", ErrBackPressure, w)
	case err != nil && (e == nil || e.Why == group.Cancelled):
		if e != nil && e.NoConsumer {
			return fmt.Errorf("%w: %v: nobody takes from it, or all have failed on it: %w", ErrNoConsumer, w, err)
		}
		return fmt.Errorf("blaze: waiting for %v: %w", w, err)
	}
	switch e.Why {
	case group.Refused:
		switch {
		case w.kind == member.CallReply:
			return fmt.Errorf("%w: %v: nobody waits for it", ErrNoReply, w)
		case e.Reason == wire.RefusedNoRoom:
			return fmt.Errorf("%w: %v: it has no room", ErrBackPressure, w)
		case e.Reason == wire.RefusedKind:
			return fmt.Errorf("%w: %v: that member does not take such messages", ErrUnsupported, w)
		}
		return fmt.Errorf("%w: %v: it has no handler", ErrNoConsumer, w)
	case group.Gone:
		if e.Unknown {
			return fmt.Errorf("%w: %v: it is gone, or had removed this member, and may have the message (%w)", ErrNoSuchMember, w, ErrUnknownOutcome)
		}
		return fmt.Errorf("%w: %v", ErrNoSuchMember, w)
	case group.TooLarge:
		return fmt.Errorf("%w: %v", ErrTooLarge, w)
	case group.NoReply:
		return fmt.Errorf("%w: %v: the handler returned without a reply", ErrNoReply, w)
	}
	return fmt.Errorf("%w: %v", errStops, w)
}

// Request sends m to the default in-box of one member, this one included, and returns its reply. It arrives where
// Send's messages do; Reply, or Call.Reply, answers it.
//
// The errors are those of SendInbox. While the other member lives and does not reply, Request waits for ctx. When
// the error matches ErrUnknownOutcome, or ctx has ended, the other member may have handled the request.
func (g *GroupChannel) Request(ctx context.Context, to MemberID, m *Message) (*Message, error) {
	return g.request(ctx, what{kind: member.CallRequest, to: to}, m)
}

func (g *GroupChannel) request(ctx context.Context, w what, m *Message) (*Message, error) {
	st, c, err := g.callWith(ctx, w, m)
	if err != nil {
		return nil, err
	}
	if err = g.carry(ctx, st, c, w, false); err != nil {
		return nil, err
	}
	reply, err := messageFrom(Kind(c.End.Kind), c.End.Payload)
	from := MemberID(c.End.From)
	st.Free(c)
	if err != nil {
		g.badMessages.Add(1)
		return nil, fmt.Errorf("%v: the reply: %w", w, err)
	}
	reply.setReceived("", from, 0, false)
	return reply, nil
}

// RequestPayload is Request without Messages, to any in-box: it sends payload, appends the reply's payload to
// reply, and returns the result, which is reply where that has room. It allocates nothing. With Config.Invoker the
// caller turns the engine while it waits. A Message that replies gives its encoding.
//
// The errors are those of SendInbox; then the result is reply as it was.
func (g *GroupChannel) RequestPayload(ctx context.Context, to MemberID, inbox string, payload, reply []byte) ([]byte, error) {
	if err := checkInbox(inbox); err != nil {
		return reply, err
	}
	w := what{kind: member.CallRequest, to: to, name: inbox}
	st, err := g.started(ctx, w)
	if err != nil {
		return reply, err
	}
	c, err := g.slot(ctx, st, w)
	if err != nil {
		return reply, err
	}
	c.SetRaw(payload)
	if err = g.carry(ctx, st, c, w, false); err == nil {
		reply = append(reply, c.End.Payload...)
		st.Free(c)
	}
	return reply, err
}

// requestPayload is RequestPayload in two steps: what one goroutine begins so arrives in that order. finish, which must be
// called once, waits for the reply.
func (g *GroupChannel) requestPayload(ctx context.Context, to MemberID, inbox string, payload []byte) (finish func(context.Context) ([]byte, error), err error) {
	w := what{kind: member.CallRequest, to: to, name: inbox}
	st, err := g.started(ctx, w)
	if err != nil {
		return nil, err
	}
	c, err := g.slot(ctx, st, w)
	if err != nil {
		return nil, err
	}
	c.SetRaw(payload)
	if err := g.checkSize(w, len(c.Payload)); err != nil {
		st.Free(c)
		return nil, err
	}
	if err := st.Begin(ctx, c, false); err != nil {
		return nil, callError(w, nil, err)
	}
	return func(ctx context.Context) ([]byte, error) {
		if err := g.await(ctx, st, c, w, false); err != nil {
			return nil, err
		}
		reply := append([]byte(nil), c.End.Payload...)
		st.Free(c)
		return reply, nil
	}, nil
}

// callThen is a call with a raw payload that no goroutine waits for: see reach.
func (g *GroupChannel) callThen(w what, payload []byte, then func([]byte, error)) error {
	st, err := g.started(context.Background(), w)
	if err != nil {
		return err
	}
	if err := g.checkSize(w, len(payload)); err != nil {
		return err
	}
	c := st.TrySlot()
	if c == nil {
		return fmt.Errorf("%w: %v: too many are under way", ErrBackPressure, w)
	}
	c.Kind, c.To, c.Name = w.kind, wire.MemberID(w.to), w.name
	c.SetRaw(payload)
	c.Then = func(e *group.End) {
		if e.Why == group.Answered {
			then(e.Payload, nil)
		} else {
			then(nil, callError(w, e, nil))
		}
	}
	if !st.Leave(c) {
		return fmt.Errorf("%w: %v: the command ring is full", ErrBackPressure, w)
	}
	return nil
}

// serve is HandleCalls with Inline for package jms: see reach.
func (g *GroupChannel) serve(inbox string, h func(*reach.Item)) (*Subscription, error) {
	s := &Subscription{c: g.Channel, pattern: inbox, done: make(chan struct{})}
	lent := new(reach.Item)
	return g.openInbox(s, true, nil, func(c *Call) {
		*lent = reach.Item{From: c.From, Payload: c.Payload, Raw: c.Kind == KindRaw, Wanted: c.Wanted}
		if c.Wanted {
			lent.Asked = reach.Asked{To: c.From, Call: c.number, Reply: replyLater, Start: g.turning()}
		}
		h(lent)
		*lent = reach.Item{}
	})
}

// replyLater replies to a request that a handler of serve was given. What nobody waits for any more is dropped.
func replyLater(a *reach.Asked, payload []byte) error {
	st := a.Start.(*start)
	if st == nil {
		return errStops
	}
	if st.InHandler() {
		if st.Member().Group().Reply(st.Now(), a.To, a.Call, wire.KindRaw, payload) != group.ErrWindow {
			return nil
		}
	}
	c := st.TrySlot()
	if c == nil {
		return ErrBackPressure
	}
	c.Kind, c.To, c.About = member.CallReply, a.To, a.Call
	c.SetRaw(payload)
	if !st.Leave(c) {
		return ErrBackPressure
	}
	return nil
}

// Reply answers a request that a handler of this channel was given: of HandleInbox or of Consume. It returns nil
// once the reply is on its way; it may be called after the handler has returned, and by any goroutine. In Stop,
// until Config.Linger is over, handlers may still reply.
//
// The errors: ErrNoReply, request is none, or nobody waits for its reply; ErrExists, it has its reply;
// ErrNoSuchMember, the member that asked is not here any more; ErrBackPressure, in an Inline handler, there is no room
// now; ErrArgument, a Message is nil; ErrTooLarge, ErrState and ErrClosed as for SendInbox. When ctx ends first, the
// error wraps ctx's.
func (g *GroupChannel) Reply(ctx context.Context, request, reply *Message) error {
	if request == nil || reply == nil {
		return fmt.Errorf("%w: Reply: a message is nil", ErrArgument)
	}
	a := request.asked
	if a == nil || a.g != g.Channel {
		return fmt.Errorf("%w: Reply: the message is no request to this channel", ErrNoReply)
	}
	w := what{kind: member.CallReply, to: MemberID(a.from)}
	st := g.turning()
	if st == nil {
		return fmt.Errorf("%w: %v in state %v", ErrState, w, g.State())
	}
	if st.serial != a.start {
		return fmt.Errorf("%w: %v: the request came before the channel's last Stop", ErrNoReply, w)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("blaze: %v: %w", w, err)
	}
	if !a.replied.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %v: the request has a reply", ErrExists, w)
	}
	if st.InHandler() {
		err := g.replyNow(st, w, a, reply)
		if err != nil {
			a.replied.Store(false)
		}
		return err
	}
	c, err := g.slot(ctx, st, w)
	if err != nil {
		a.replied.Store(false)
		return err
	}
	payload, err := reply.AppendBinary(c.Room())
	if err != nil {
		st.Free(c)
		a.replied.Store(false)
		return err
	}
	c.PayloadKind, c.Payload, c.About = wire.KindMessage, payload, a.call
	c.Keep()
	switch err = g.carry(ctx, st, c, w, true); {
	case err == nil:
		st.Free(c)
	case errors.Is(err, ErrTooLarge) || errors.Is(err, ErrBackPressure):
		a.replied.Store(false) // nothing was sent
	}
	return err
}

// replyNow is Reply by an Inline handler, which cannot wait.
func (g *GroupChannel) replyNow(st *start, w what, a *asked, reply *Message) error {
	payload, err := reply.AppendBinary(nil)
	if err == nil {
		err = g.checkSize(w, len(payload))
	}
	if err != nil {
		return err
	}
	closed := st.Do(func() {
		err = replyError(st.Member().Group().Reply(st.Now(), a.from, a.call, wire.KindMessage, payload))
	})
	if closed != nil {
		return errStops
	}
	return err
}

// replyError is an error of the core's Reply as this package's callers see it.
func replyError(err error) error {
	switch err {
	case nil:
		return nil
	case group.ErrWindow:
		return ErrBackPressure
	case group.ErrNoSuchMember:
		return errAskerGone
	case group.ErrTooLong:
		return errLargeReply
	}
	return errNotWaited
}

// Call is one message to an in-box as the handlers of HandleCalls see it. It is lent while the handler runs.
type Call struct {
	Payload  []byte   // copy to keep
	Kind     Kind     // what Payload is
	From     MemberID // the member that sent it
	Received int64    // when its last datagram was taken from the network: CLOCK_MONOTONIC, ns
	Wanted   bool     // a reply: it is a request

	c      *Channel
	st     *start          // with a queue
	core   *group.Protocol // Inline
	now    clock.Time
	number uint64
	state  callState
}

type callState uint8

const (
	callOver    callState = iota // the handler has returned
	callLent                     // the handler runs
	callReplied                  // and it has replied
)

// Errors of Call.Reply, which allocates nothing.
var (
	errNotAsked   = fmt.Errorf("%w: the call is no request", ErrNoReply)
	errNotWaited  = fmt.Errorf("%w: nobody waits for the reply", ErrNoReply)
	errReplied    = fmt.Errorf("%w: the request has its reply", ErrExists)
	errReturned   = fmt.Errorf("%w: the handler of the call has returned", ErrClosed)
	errAskerGone  = fmt.Errorf("%w: the member that asked is gone", ErrNoSuchMember)
	errLargeReply = fmt.Errorf("%w: a reply above Config.MaxMessageSize", ErrTooLarge)
)

// Reply answers the request, while the handler runs. It never blocks: ErrBackPressure means that there is no room
// for the reply now, and that it can be tried again. The payload is copied. The errors: ErrNoReply, the call is no
// request, or nobody waits for the reply; ErrExists, it has its reply; ErrNoSuchMember, the member that asked is
// gone; ErrTooLarge; ErrClosed, the handler has returned, or the channel has stopped.
func (c *Call) Reply(payload []byte) error {
	switch {
	case c.state == callOver:
		return errReturned
	case !c.Wanted:
		return errNotAsked
	case c.state == callReplied:
		return errReplied
	case len(payload) > c.c.cfg.Load().MaxMessageSize:
		return errLargeReply
	}
	if err := c.send(payload); err != nil {
		return err
	}
	c.state = callReplied
	return nil
}

func (c *Call) send(payload []byte) error {
	if c.core != nil {
		return replyError(c.core.Reply(c.now, wire.MemberID(c.From), c.number, wire.KindRaw, payload))
	}
	if c.st == nil || c.c.turning() != c.st {
		return errStops
	}
	s := c.st.TrySlot()
	if s == nil {
		return ErrBackPressure
	}
	s.Kind, s.To, s.About = member.CallReply, wire.MemberID(c.From), c.number
	s.PayloadKind, s.Payload = wire.KindRaw, append(s.Room(), payload...)
	s.Keep()
	if !c.st.Leave(s) {
		return ErrBackPressure
	}
	return nil
}

// HandleCalls is HandleInbox for those who count microseconds: h borrows each payload as it was sent, a Message's as
// its encoding, and answers with Call.Reply. With Inline h runs on the engine's own thread, and nothing is copied
// and nothing allocated on the way; it must not block. Of other options only Inline means something here.
func (g *GroupChannel) HandleCalls(inbox string, h func(*Call), opts ...SubscribeOption) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("%w: HandleCalls %q: the handler is nil", ErrArgument, inbox)
	}
	var o subscribeOptions
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: HandleCalls %q: an option is nil", ErrArgument, inbox)
		}
		opt(&o)
	}
	if err := checkOwnInbox(inbox); err != nil {
		return nil, err
	}
	s := &Subscription{c: g.Channel, pattern: inbox, done: make(chan struct{})}
	lent := new(Call)
	return g.openInbox(s, o.inline, func(m *intake.Message) {
		payload, call, wanted := m.Item()
		*lent = Call{
			Payload: payload, Kind: Kind(m.Kind), From: MemberID(m.From), Received: int64(m.Received), Wanted: wanted,
			c: g.Channel, st: g.turning(), number: call, state: callLent,
		}
		h(lent)
		*lent = Call{}
	}, h)
}
