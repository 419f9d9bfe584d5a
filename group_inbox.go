package blaze

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/wire"
)

// Send sends m to the default in-box of one member: SendInbox with "".
func (g *GroupChannel) Send(ctx context.Context, to MemberID, m *Message) error {
	return g.SendInbox(ctx, to, "", m)
}

// SendInbox sends m to an in-box of one member, this one included, and returns nil once that member has it: it
// lies in the in-box's queue, or the Inline handler has run. What one member sends to another arrives in the
// order of the calls, and once. Calls of several goroutines share datagrams.
//
// The errors: ErrNoConsumer, no handler has that in-box; ErrNoSuchMember, that member is not here (any more),
// and also ErrUnknownOutcome if it may have the message; ErrBackPressure, the in-box is full and its channel has
// SlowConsumer Drop, or the caller is an Inline handler, which cannot wait; ErrTooLarge, m is larger than
// Config.MaxMessageSize; ErrClosed, the channel stops; ErrState, it is not started; ErrTopic, the name is
// longer than 255 bytes or not UTF-8; ErrArgument, m is nil. When ctx ends first, the error wraps ctx's, and it is
// open whether that member has the message.
//
// Under SlowConsumer Pause a full in-box holds up all in-box messages of the same sender, and no other's. The
// caller may change m as soon as SendInbox has returned.
func (g *GroupChannel) SendInbox(ctx context.Context, to MemberID, inbox string, m *Message) error {
	if err := checkInbox(inbox); err != nil {
		return err
	}
	w := what{kind: member.CallSend, to: to, name: inbox}
	st, c, err := g.callWith(ctx, w, m)
	if err != nil {
		return err
	}
	return g.finish(ctx, st, c, w)
}

// SendGroup sends m to the default in-box of every member of a group, this one included where it is one, and
// returns nil once all have it. Members that leave or fail meanwhile are no error. The error joins those of the
// members that do not have m, in the shape that Send gives them. A group without members is no error.
func (g *GroupChannel) SendGroup(ctx context.Context, group string, m *Message) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	st, err := g.mayCall(ctx, what{kind: member.CallSend, group: group}, m)
	if err != nil {
		return err
	}
	payload, err := m.AppendBinary(nil) // shared by all calls
	if err != nil {
		return err
	}
	type sent struct {
		c *member.Call
		w what
	}
	var all []sent
	var errs []error
	for _, to := range st.Group().Mirror().Of(group, nil) {
		w := what{kind: member.CallSend, to: MemberID(to.ID)}
		c, err := g.slot(ctx, st, w)
		if err == nil {
			c.PayloadKind, c.Payload = wire.KindMessage, payload
			if err = g.checkSize(w, len(payload)); err != nil {
				st.Free(c)
			} else if err = st.Begin(ctx, c, false); err != nil {
				err = callError(w, nil, err)
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, sent{c, w})
	}
	for _, s := range all {
		switch err := g.await(ctx, st, s.c, s.w, false); {
		case err == nil:
			st.Free(s.c)
		case !errors.Is(err, ErrNoSuchMember):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// HandleInbox has h called with every message that is sent to an in-box of this member, one at a time and in
// order for each sender, on a goroutine of its own; "" is the default in-box. Message.From is the sender. Requests
// arrive here too: Reply answers them. h owns the message that it gets, and may call anything.
//
// An in-box has one handler: a second one is ErrExists. A nil handler is ErrArgument, and so is a name that begins
// with "blaze."; one that is longer than 255 bytes or not UTF-8 is ErrTopic. The queue in front of h holds
// Config.SubscriptionQueue messages; Config.SlowConsumer says what happens when it is full: the sender waits
// (Pause), it gets ErrBackPressure (Drop), or the handler is closed (Disconnect). A handler that has not
// returned for 100 ms while messages wait behind it is named in the log.
//
// HandleInbox works in every state; the handler outlives Stop and Shutdown.
func (g *GroupChannel) HandleInbox(inbox string, h func(*Message)) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("%w: HandleInbox %q: the handler is nil", ErrArgument, words.Abridged(inbox))
	}
	if err := checkOwnInbox(inbox); err != nil {
		return nil, err
	}
	return g.handleInbox(inbox, h)
}

// handleInbox is HandleInbox without its checks.
func (g *GroupChannel) handleInbox(inbox string, h func(*Message)) (*Subscription, error) {
	s := &Subscription{c: g.Channel, pattern: inbox, done: make(chan struct{})}
	return g.openInbox(s, false, func(m *intake.Message) {
		payload, call, wanted := m.Item()
		msg, err := messageFrom(Kind(m.Kind), payload)
		if err != nil {
			g.badMessages.Add(1)
			return
		}
		msg.setReceived(inbox, MemberID(m.From), m.Sequence, false)
		if wanted {
			msg.asked = &asked{g: g.Channel, start: g.serial(), from: m.From, call: call}
		}
		h(msg)
	}, nil)
}

// messageFrom makes the Message that a payload carries.
func messageFrom(kind Kind, payload []byte) (*Message, error) {
	return messageOf(&Delivery{Kind: kind, Payload: payload})
}

// openInbox takes in a new handler of an in-box: with a queue, whose items handle is given, or Inline.
func (g *GroupChannel) openInbox(s *Subscription, runInline bool, handle func(*intake.Message), h func(*Call)) (*Subscription, error) {
	name := s.pattern
	if runInline {
		s.inbox = &inlineInbox{s: s, h: h}
	} else {
		s.queue = s.newIntake(g.cfg.Load(), handle)
		s.inbox = intake.NewInbox(name, s.queue, s.hangs)
	}
	hs := g.group.handlers
	if !hs.HandleInbox(name, s.inbox) {
		return nil, fmt.Errorf("%w: in-box %q has a handler", ErrExists, name)
	}
	g.enlist(s)
	hs.Inbox(name)
	return s, nil
}

// hangs logs that the handler of an in-box has not returned for long.
func (s *Subscription) hangs(waiting int) {
	s.c.logger().Warn("blaze: a handler of an in-box does not return, and messages wait behind it", "inbox", s.pattern, "waiting", waiting)
}

// inlineInbox calls the handler of an in-box on the first engine's thread.
type inlineInbox struct {
	s    *Subscription
	h    func(*Call)
	core *group.Protocol // of the present start
	call Call            // lent to h
}

// Bind implements run.Bound.
func (b *inlineInbox) Bind(core *group.Protocol) { b.core = core }

// Take implements group.InboxHandler.
func (b *inlineInbox) Take(now clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	if b.s.closed.Load() {
		return group.Refuse, wire.RefusedNoHandler
	}
	c := &b.call
	*c = Call{
		Payload: i.Payload, Kind: Kind(i.Kind), From: MemberID(i.From), Received: int64(now), Wanted: i.Wanted,
		c: b.s.c, core: b.core, now: now, number: i.Call, state: callLent,
	}
	b.h(c)
	*c = Call{}
	return group.Take, 0
}

const reserved = "blaze."

// checkInbox judges the name of an in-box.
func checkInbox(name string) error {
	if len(name) > wire.MaxName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: in-box %s: must be valid UTF-8 of at most %d bytes", ErrTopic, strconv.Quote(words.Abridged(name)), wire.MaxName)
	}
	return nil
}

// checkOwnInbox judges the name of an in-box that is to have a handler.
func checkOwnInbox(name string) error {
	if err := checkInbox(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w: in-box %q: names that begin with %q are reserved", ErrArgument, name, reserved)
	}
	return nil
}

// what is the subscription for errors.
func (s *Subscription) what() string {
	switch {
	case s.inbox != nil:
		return fmt.Sprintf("the handler of in-box %q", s.pattern)
	case s.consumer != nil:
		return fmt.Sprintf("the consumer of queue %q", s.pattern)
	}
	return fmt.Sprintf("subscription to %q", s.pattern)
}

// label is what the log calls the subscription.
func (s *Subscription) label() string {
	if s.inbox != nil {
		return fmt.Sprintf("in-box %q", s.pattern)
	}
	return s.pattern
}
