package member

import (
	"sync"
	"sync/atomic"

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
	commandBegin  = FirstOwn + iota // Command.Call is begun
	commandCancel                   // Command.Call is cancelled
	commandDone                     // a handler is done with an item of a queue
	FirstFree                       // the owner's own begin here
)

// Call is one call that waits for another member: a slot of Calls. It belongs to the goroutine that got it
// until Begin, then to the engine until it has ended or the goroutine has left it.
type Call struct {
	index  uint32
	next   atomic.Uint32 // in the list of free ones: index + 1; 0: none
	number uint64        // index and generation
	state  atomic.Uint32
	ended  chan struct{} // one token, when it has ended

	Kind        CallKind
	To          wire.MemberID
	Name        string    // of the in-box or queue
	PayloadKind wire.Kind // of Payload
	Payload     []byte    // it does not change until the call has ended
	About       uint64    // CallReply: the request

	// End is how it ended. Its Payload, the reply, is the Call's until Free.
	End group.End

	out, in []byte // memory of payloads, which stays with the slot
}

// States of a Call.
const (
	callFree    uint32 = iota
	callWaiting        // the goroutine that began it waits
	callEnded          // End is there
	callLeft           // nobody waits any more
)

// Calls are the calls of a member's application that wait, at most group.MaxCalls. Any goroutine may call
// its methods, except where they say otherwise.
type Calls struct {
	blocks [group.MaxCalls / callBlock]atomic.Pointer[[callBlock]Call]
	free   atomic.Uint64 // the first free one: index + 1 in the lower 32 bits, and above a count against ABA

	mu   sync.Mutex
	made uint32 // blocks; guarded by mu
}

const callBlock = 1024

// keptBytes bounds the memory that a slot keeps, each way. What is larger is made anew.
const keptBytes = 4 << 10

// Get takes a free slot; nil: there is none.
func (t *Calls) Get() *Call {
	for {
		head := t.free.Load()
		first := uint32(head)
		if first == 0 {
			if !t.grow() {
				return nil
			}
			continue
		}
		c := t.at(first - 1)
		if t.free.CompareAndSwap(head, (head>>32+1)<<32|uint64(c.next.Load())) {
			c.number += group.MaxCalls
			c.End, c.About = group.End{}, 0
			return c
		}
	}
}

// Free gives a slot back that nobody waits for any more.
func (t *Calls) Free(c *Call) {
	c.Name, c.Payload, c.End = "", nil, group.End{}
	if cap(c.out) > keptBytes {
		c.out = nil
	}
	if cap(c.in) > keptBytes {
		c.in = nil
	}
	c.state.Store(callFree)
	for {
		head := t.free.Load()
		c.next.Store(uint32(head))
		if t.free.CompareAndSwap(head, (head>>32+1)<<32|uint64(c.index+1)) {
			return
		}
	}
}

func (t *Calls) at(index uint32) *Call {
	return &t.blocks[index/callBlock].Load()[index%callBlock]
}

// grow makes a block more, unless there is one free by now.
func (t *Calls) grow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if uint32(t.free.Load()) != 0 {
		return true
	}
	if t.made == group.MaxCalls/callBlock {
		return false
	}
	b := new([callBlock]Call)
	t.blocks[t.made].Store(b)
	for i := range b {
		c := &b[i]
		c.index = t.made*callBlock + uint32(i)
		c.number = uint64(c.index)
		c.ended = make(chan struct{}, 1)
	}
	t.made++
	for i := range b {
		t.Free(&b[len(b)-1-i])
	}
	return true
}

// Room is memory for a payload, empty: append to it, and set Payload to the result.
func (c *Call) Room() []byte { return c.out[:0] }

// Keep has the slot keep the memory of Payload.
func (c *Call) Keep() { c.out = c.Payload }

// Ended is given a token when the call has ended. One who has not taken it does so before Free.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// HasEnded reports whether the call has ended. The token of Ended is there then, or a moment later.
func (c *Call) HasEnded() bool { return c.state.Load() == callEnded }

// Leave ends the waiting: the slot is given back when the call ends. It is false when the call has ended:
// the slot is the caller's then.
func (c *Call) Leave() bool { return c.state.CompareAndSwap(callWaiting, callLeft) }

// BeginCall leaves a call for the first engine, which is to be woken then; false: the command ring is full,
// or closed.
func (m *Member) BeginCall(c *Call) bool { return m.beginCall(c, callWaiting) }

// BeginCallUnwatched is BeginCall of a call that nobody waits for.
func (m *Member) BeginCallUnwatched(c *Call) bool { return m.beginCall(c, callLeft) }

func (m *Member) beginCall(c *Call, state uint32) bool {
	c.state.Store(state)
	if m.Command(commandBegin, c.number, wire.MemberID{}, "", nil) {
		return true
	}
	c.state.Store(callFree)
	return false
}

// CancelCall has a call that was begun end soon.
func (m *Member) CancelCall(number uint64) bool {
	return m.Command(commandCancel, number, wire.MemberID{}, "", nil)
}

// Number is the call's number while it is begun.
func (c *Call) Number() uint64 { return c.number }

// Command implements Group.Command, for the kinds below FirstFree.
func (t *Calls) Command(now clock.Time, p *group.Protocol, cmd *Command) {
	switch cmd.Kind {
	case commandBegin:
		c := t.at(uint32(cmd.Call % group.MaxCalls))
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
	c := t.at(uint32(e.Call % group.MaxCalls))
	if c.state.Load() == callWaiting { // else nobody wants it
		c.End = *e
		c.in = append(c.in[:0], e.Payload...)
		c.End.Payload = c.in
	}
	if !c.state.CompareAndSwap(callWaiting, callEnded) {
		t.Free(c)
		return
	}
	c.ended <- struct{}{}
}
