package group

import (
	"errors"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// MaxCalls is how many calls may wait at a time: a call's number is its slot below MaxCalls, and from bit 16
// on a generation, which the caller counts up with each use of the slot.
const MaxCalls = 1 << 16

// ErrWindow means that a reply has no room now. Nothing has changed.
var ErrWindow = errors.New("group: no room in the window")

// ErrNoSuchMember means that a member is not here.
var ErrNoSuchMember = errors.New("group: no such member")

// ErrTooLong means that a payload is longer than MaxMessageSize.
var ErrTooLong = errors.New("group: payload too large")

// ErrNoReply means that nobody waits for a reply.
var ErrNoReply = errors.New("group: nobody waits for a reply")

// Why is how a call ended.
type Why uint8

// The reasons.
const (
	Answered  Why = iota + 1 // Send: the item was taken; Request: End has the reply; Reply: it was accepted for sending
	Refused                  // End.Reason is why
	Gone                     // the member is not here, or has removed this one
	Cancelled                // by Cancel
	Closed                   // by Release
	TooLarge                 // longer than MaxMessageSize
	NoReply                  // RequestQueue: it was handled, and nobody replied
)

// End is the end of a call.
type End struct {
	Call       uint64
	Why        Why
	Unknown    bool // though it did not succeed, the other member may have the message
	NoConsumer bool // of a queue: nobody took from it at that moment, or everybody had failed
	Reason     wire.RefusalReason
	From       wire.MemberID // of a reply
	Kind       wire.Kind
	Payload    []byte // the reply; lent until Ended returns
}

// CallSink takes the ends of calls. Each call ends once. Ended must not call the Protocol.
type CallSink interface {
	Ended(now clock.Time, e *End)
}

// Call is what a call begins with. Inbox and Payload stay the caller's, unchanged, until the call has ended.
type Call struct {
	Number  uint64 // slot and generation, see MaxCalls; a number is used once
	To      wire.MemberID
	Inbox   string // 0..wire.MaxName bytes of UTF-8
	Kind    wire.Kind
	Payload []byte
}

// call is one call that waits.
type call struct {
	list       *callList
	prev, next *call
	number     uint64
	pair       *pair // nil: to oneself
	about      uint64
	item       uint64 // its last item in the channel
	name       string
	payload    []byte
	packed     int // bytes of the payload in datagrams
	whole      bool
	busy       bool
	kind       wire.ItemKind
	payloadOf  wire.Kind
	queued     *queued // of an item of a queue

	// Of results and cancels, which nobody waits for.
	outcome          wire.Result
	attempt          uint32
	backlog, service uint32
}

// callList is calls in order. A call is in one list at most.
type callList struct{ first, last *call }

// link puts c at the end of a list.
func (c *call) link(l *callList) {
	c.list, c.prev = l, l.last
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
}

// linkFirst puts c at the beginning of a list.
func (c *call) linkFirst(l *callList) {
	c.list, c.next = l, l.first
	if l.first != nil {
		l.first.prev = c
	} else {
		l.last = c
	}
	l.first = c
}

func (c *call) unlink() {
	l := c.list
	if l == nil {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.list, c.prev, c.next = nil, nil, nil
}

// calls are the calls that wait, by slot.
type calls struct {
	blocks [MaxCalls / callBlock]*[callBlock]call
}

const callBlock = 1024

// find returns the call with a number, or nil.
func (t *calls) find(number uint64) *call {
	slot := number & (MaxCalls - 1)
	b := t.blocks[slot/callBlock]
	if b == nil {
		return nil
	}
	if c := &b[slot%callBlock]; c.busy && c.number == number {
		return c
	}
	return nil
}

// begin takes the slot of a call.
func (t *calls) begin(x *pairs, in *Call, kind wire.ItemKind) *call {
	slot := in.Number & (MaxCalls - 1)
	b := t.blocks[slot/callBlock]
	if b == nil {
		b = new([callBlock]call)
		t.blocks[slot/callBlock] = b
	}
	c := &b[slot%callBlock]
	if c.busy {
		panic("group: a call's slot is used twice")
	}
	*c = call{number: in.Number, name: in.Inbox, payload: in.Payload, payloadOf: in.Kind, kind: kind, busy: true}
	x.stats.CallsOpen++
	return c
}

// end ends a call and frees its slot.
func (t *calls) end(x *pairs, c *call, e End) {
	c.unlink()
	if !c.busy {
		x.freeNote(c)
		return
	}
	e.Call = c.number
	*c = call{}
	x.stats.CallsOpen--
	x.ended = e
	x.p.cfg.Calls.Ended(x.p.last, &x.ended)
	x.ended = End{}
}

// note makes an item that nobody waits for: a result or a cancel.
func (x *pairs) note(kind wire.ItemKind, about uint64, attempt uint32) *call {
	c := (*call)(nil)
	if last := len(x.notes) - 1; last >= 0 {
		c = x.notes[last]
		x.notes = x.notes[:last]
	} else {
		c = new(call)
	}
	*c = call{kind: kind, about: about, attempt: attempt}
	return c
}

const maxNotes = 1024

// freeNote keeps what note made for the next one.
func (x *pairs) freeNote(c *call) {
	if *c = (call{}); len(x.notes) < maxNotes {
		x.notes = append(x.notes, c)
	}
}

// Send begins a call that ends when the other member has taken the message into its in-box. It may end
// before Send returns.
func (p *Protocol) Send(now clock.Time, c *Call) { p.pairs.call(now, c, wire.ItemSend) }

// Request begins a call that ends with the other member's reply. It may end before Request returns.
func (p *Protocol) Request(now clock.Time, c *Call) { p.pairs.call(now, c, wire.ItemRequest) }

func (x *pairs) call(now clock.Time, in *Call, kind wire.ItemKind) {
	x.p.observe(now)
	c := x.calls.begin(x, in, kind)
	if kind == wire.ItemSend {
		x.stats.Sends++
	} else {
		x.stats.Requests++
	}
	if len(in.Payload) > x.p.cfg.MaxMessageSize {
		x.calls.end(x, c, End{Why: TooLarge})
		return
	}
	if in.To == x.p.cfg.Self && !x.closed {
		c.link(&x.loop)
		return
	}
	x.queue(now, c, in.To, wire.ChannelInboxes)
}

// queue puts a call in line in its channel.
func (x *pairs) queue(now clock.Time, c *call, to wire.MemberID, channel wire.Channel) {
	e := x.p.find(to)
	if e == nil || x.closed {
		why := Gone
		if x.closed {
			why = Closed
		}
		x.calls.end(x, c, End{Why: why})
		return
	}
	c.pair = x.at(e)
	out := c.pair.channel(channel)
	first := !out.waits()
	c.link(&out.waiting)
	if first {
		out.pump(now)
	}
}

// Cancel ends a call that has not ended. What the other member does afterwards is open.
func (p *Protocol) Cancel(now clock.Time, number uint64) {
	p.observe(now)
	x := p.pairs
	c := x.calls.find(number)
	if c == nil {
		return
	}
	e := End{Why: Cancelled, Unknown: c.packed > 0 || c.whole}
	if k := c.queued; k != nil {
		e.Unknown = k.marked || k.handed && (e.Unknown || c.pair == nil)
		e.NoConsumer = !k.handed && k.nobodyTakes()
		x.settle(now, c, false)
	}
	x.calls.end(x, c, e)
}

// fail ends a call whose other member is gone, or whose session is dead; an item of a queue waits for
// another consumer.
func (x *pairs) fail(now clock.Time, c *call, e End) {
	if c.queued != nil {
		if e.Why != Closed {
			x.lostItem(now, c)
			return
		}
		c.queued = nil
	}
	x.calls.end(x, c, e)
}

// Reply sends the reply to a request, if there is room for it now: ErrWindow says that there is not. about
// is the Item's Call, to its From.
func (p *Protocol) Reply(now clock.Time, to wire.MemberID, about uint64, kind wire.Kind, payload []byte) error {
	p.observe(now)
	x := p.pairs
	if len(payload) > p.cfg.MaxMessageSize {
		return ErrTooLong
	}
	if to == p.cfg.Self {
		if p.gated() {
			return ErrWindow // no call may end well now
		}
		c := x.calls.find(about)
		if c != nil && c.queued != nil && c.queued.requested() {
			x.stats.Replies++
			x.answerQueued(now, c, to, kind, payload)
			return nil
		}
		if c == nil || c.pair != nil || c.kind != wire.ItemRequest || !c.whole {
			x.stats.RepliesUnasked++
			return ErrNoReply
		}
		x.stats.Replies++
		x.calls.end(x, c, End{Why: Answered, From: to, Kind: kind, Payload: payload})
		return nil
	}
	e := p.find(to)
	if e == nil || x.closed {
		return ErrNoSuchMember
	}
	out := x.at(e).channel(wire.ChannelAnswers)
	if out.waits() || !out.fits(now, len(payload)) {
		return ErrWindow
	}
	c := call{about: about, kind: wire.ItemReply, payloadOf: kind, payload: payload}
	if !out.packAll(now, &c) {
		return ErrWindow
	}
	x.stats.Replies++
	return nil
}

// ReplyCall begins a call that ends when a reply was accepted for sending, however long that has to wait.
func (p *Protocol) ReplyCall(now clock.Time, c *Call, about uint64) {
	p.observe(now)
	x := p.pairs
	one := x.calls.begin(x, c, wire.ItemReply)
	one.about, one.name = about, ""
	if len(c.Payload) > p.cfg.MaxMessageSize {
		x.calls.end(x, one, End{Why: TooLarge})
		return
	}
	if c.To == p.cfg.Self && !x.closed {
		one.link(&x.loopReplies)
		if !p.gated() {
			x.deliverReplies(now)
		}
		return
	}
	x.queue(now, one, c.To, wire.ChannelAnswers)
}

// answerQueued ends a request in a queue with its reply.
func (x *pairs) answerQueued(now clock.Time, c *call, from wire.MemberID, kind wire.Kind, payload []byte) {
	current := c.queued.handed && c.queued.member == from
	x.handled(current)
	x.settle(now, c, current)
	x.calls.end(x, c, End{Why: Answered, From: from, Kind: kind, Payload: payload})
}

// answered takes in a reply.
func (x *pairs) answered(now clock.Time, pr *pair, number uint64, kind wire.Kind, payload []byte) {
	c := x.calls.find(number)
	if c != nil && c.queued != nil && c.queued.requested() && slices.Contains(c.queued.had, pr.e.id) {
		x.answerQueued(now, c, pr.e.id, kind, payload)
		return
	}
	if c == nil || c.pair != pr || c.kind != wire.ItemRequest {
		x.stats.RepliesUnasked++
		return
	}
	x.calls.end(x, c, End{Why: Answered, From: pr.e.id, Kind: kind, Payload: payload})
}

// deliverReplies hands over replies to oneself, and returns how many.
func (x *pairs) deliverReplies(now clock.Time) (n int) {
	for c := x.loopReplies.first; c != nil; c = x.loopReplies.first {
		why := Answered
		if x.p.Reply(now, x.p.cfg.Self, c.about, c.payloadOf, c.payload) != nil {
			why = Refused
		}
		x.calls.end(x, c, End{Why: why})
		n++
	}
	return n
}

// deliverLoop hands on calls to oneself, and returns how many.
func (x *pairs) deliverLoop(now clock.Time) (n int) {
	for c := x.loop.first; c != nil; c = x.loop.first {
		x.item = Item{From: x.p.cfg.Self, Call: c.number, Kind: c.payloadOf, Wanted: c.kind == wire.ItemRequest, Payload: c.payload, Inbox: nameBytes(c.name)}
		i := &x.item
		wanted := i.Wanted
		h := x.inboxes[c.name]
		if h == nil {
			x.stats.Refused++
			x.calls.end(x, c, End{Why: Refused, Reason: wire.RefusedNoHandler})
			continue
		}
		number := c.number
		if wanted { // the handler may reply at once
			c.unlink()
			c.link(&x.loopAsked)
			c.whole = true
		}
		v, reason := h.Take(now, i)
		if x.calls.find(number) == nil {
			n++ // it has its reply
			continue
		}
		switch v {
		case Wait:
			if wanted {
				c.unlink()
				c.linkFirst(&x.loop)
				c.whole = false
			}
			return n
		case Refuse:
			x.stats.Refused++
			x.calls.end(x, c, End{Why: Refused, Reason: reason})
		default:
			n++
			if !wanted {
				x.calls.end(x, c, End{Why: Answered})
			}
		}
	}
	return n
}
