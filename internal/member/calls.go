package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// CallKind is what a Call asks for.
type CallKind uint8

// The kinds.
const (
	CallSend CallKind = iota + 1
	CallRequest
	CallEnqueue
	CallRequestQueue
	CallReply
)

// Kinds of commands that a Calls carries out, see Group.Command.
const (
	commandBegin        = FirstOwn + iota // Command.Call is begun
	commandCancel                         // Command.Call is cancelled
	commandDone                           // a handler is done with an item of a queue
	commandClusterBegin                   // Command.Call is begun, see ClusterCalls
	commandClusterCancel
	FirstFree // the owner's own begin here
)

// Call is one call that waits for another member: a slot of Calls.
type Call struct {
	Slot

	Kind        CallKind
	To          wire.MemberID
	Name        string    // of the in-box or queue
	PayloadKind wire.Kind // of Payload
	Payload     []byte    // it does not change until the call has ended
	About       uint64    // CallReply: the request

	// End is how it ended. Its Payload, the reply, is the Call's until Free.
	End group.End

	// Then is called with the end of a call that nobody waits for, on the first engine's thread. The payload is lent. It must
	// not wait, and calls nothing of the engine.
	Then func(*group.End)

	out, in room // of payloads
}

func (c *Call) slot() *Slot { return &c.Slot }

// Calls are the calls of a member's application that wait, at most group.MaxCalls. Any goroutine may call
// its methods, except where they say otherwise.
type Calls struct{ slots slots[Call, *Call] }

// Get takes a free slot; nil: there is none.
func (t *Calls) Get() *Call {
	c := t.slots.get()
	if c != nil {
		c.End, c.About = group.End{}, 0
	}
	return c
}

// Free gives a slot back that nobody waits for any more.
func (t *Calls) Free(c *Call) {
	c.Name, c.Payload, c.End, c.Then = "", nil, group.End{}, nil
	c.out.trim()
	c.in.trim()
	t.slots.put(c)
}

// Room is memory for a payload, empty: append to it, and set Payload to the result.
func (c *Call) Room() []byte { return c.out[:0] }

// Keep has the slot keep the memory of Payload.
func (c *Call) Keep() { c.out = c.Payload }

// SetRaw makes a copy of raw bytes the payload. The slot keeps its memory.
func (c *Call) SetRaw(payload []byte) {
	c.PayloadKind, c.Payload = wire.KindRaw, append(c.Room(), payload...)
	c.Keep()
}

// BeginCall leaves a call for the first engine, which is to be woken then; false: the command ring is full,
// or closed.
func (m *Member) BeginCall(c *Call) bool { return m.begin(&c.Slot, commandBegin, callWaiting) }

// BeginCallUnwatched is BeginCall of a call that nobody waits for.
func (m *Member) BeginCallUnwatched(c *Call) bool { return m.begin(&c.Slot, commandBegin, callLeft) }

func (m *Member) begin(s *Slot, kind CommandKind, state uint32) bool {
	s.state.Store(state)
	if m.Command(kind, s.number, wire.MemberID{}, "", nil) {
		return true
	}
	s.state.Store(callFree)
	return false
}

// CancelCall has a call that was begun end soon.
func (m *Member) CancelCall(number uint64) bool {
	return m.Command(commandCancel, number, wire.MemberID{}, "", nil)
}

// Command implements Group.Command, for the kinds below FirstFree.
func (t *Calls) Command(now clock.Time, p *group.Protocol, cmd *Command) {
	switch cmd.Kind {
	case commandBegin:
		c := t.slots.at(cmd.Call)
		in := group.Call{Number: cmd.Call, To: c.To, Inbox: c.Name, Kind: c.PayloadKind, Payload: c.Payload}
		switch c.Kind {
		case CallSend:
			p.Send(now, &in)
		case CallRequest:
			p.Request(now, &in)
		case CallEnqueue:
			p.Enqueue(now, &in)
		case CallRequestQueue:
			p.RequestQueue(now, &in)
		case CallReply:
			p.ReplyCall(now, &in, c.About)
		}
	case commandCancel:
		p.Cancel(now, cmd.Call)
	case commandDone:
		takeDone(now, p, cmd)
	}
}

// Ended implements group.CallSink. It belongs to the first engine's thread.
func (t *Calls) Ended(_ clock.Time, e *group.End) {
	c := t.slots.at(e.Call)
	if c.Then != nil {
		c.Then(e)
	}
	if c.watched() { // else nobody wants it
		c.End = *e
		c.in = append(c.in[:0], e.Payload...)
		c.End.Payload = c.in
	}
	if !c.end() {
		t.Free(c)
	}
}
