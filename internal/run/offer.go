package run

import (
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Topic is where a message goes: a topic in its lane.
type Topic struct {
	Name string
	Lane *member.Lane
	Safe bool // Totem: delivery when every member has it
}

// Topic opens the lane of a topic, or finds it open.
func (r *Run) Topic(name string) (t Topic, err error) {
	r.watch.start()
	t.Name = name
	if r.invoker {
		err = r.Do(func() { t.Lane, t.Safe = r.member.Lane(r.Now(), name) })
	} else {
		t.Lane, t.Safe = r.member.Lane(0, name) // in the engine's next turn
	}
	return t, err
}

// Offer accepts a message, or returns nack.ErrWindow (the window is full), ErrClosed, or the sender's
// error. It never waits.
func (r *Run) Offer(t *Topic, kind wire.Kind, payload []byte) error {
	if !r.invoker {
		if !t.Lane.Put(t.Name, kind, payload, t.Safe) {
			return r.full()
		}
		r.engine.Notify()
		return nil
	}
	inside, err := r.enter()
	if err != nil {
		return err
	}
	if err = ErrClosed; !r.refuses {
		err = t.Lane.Offer(r.Now(), t.Name, kind, payload, t.Safe)
	}
	r.leave(inside)
	return err
}

// full is the error of a command ring that takes nothing.
func (r *Run) full() error {
	if r.refusing() {
		return ErrClosed
	}
	return nack.ErrWindow
}

// Claim is room for one message, until Commit or Abort. Its zero value is no claim.
type Claim struct {
	Payload []byte // to be filled

	run    *Run
	topic  *Topic
	kind   wire.Kind
	record ring.Record
	lies   place
}

// place is where a claim's payload lies.
type place uint8

const (
	nowhere place = iota
	inRing        // in the command ring
	inFrame       // in the datagram itself
	inCopy        // in memory of its own: with an Invoker, what does not fit one datagram
)

// Claim takes room for a payload of n bytes and makes it c, which is no claim yet. It fails like Offer,
// and c stays no claim. (A result would be copied twice on its way to the application.)
func (r *Run) Claim(c *Claim, t *Topic, kind wire.Kind, n int) error {
	if !r.invoker {
		record, payload, ok := t.Lane.Claim(t.Name, kind, n, t.Safe)
		if !ok {
			return r.full()
		}
		c.Payload, c.run, c.topic, c.kind, c.record, c.lies = payload, r, t, kind, record, inRing
		return nil
	}
	inside, err := r.enter()
	if err != nil {
		return err
	}
	var payload []byte
	if err = ErrClosed; !r.refuses {
		payload, err = t.Lane.Frame(r.Now(), t.Name, kind, n)
	}
	r.leave(inside)
	switch err {
	case nil:
		c.lies = inFrame
	case nack.ErrTooLarge: // for one datagram: it will be sent in fragments, from a copy
		payload, c.lies = make([]byte, n), inCopy
	default:
		return err
	}
	c.Payload, c.run, c.topic, c.kind = payload, r, t, kind
	return nil
}

// Open reports whether c was neither committed nor aborted.
func (c *Claim) Open() bool { return c.lies != nowhere }

// Commit accepts the message. On nil and ErrClosed the claim is gone, on other errors it is still
// open.
func (c *Claim) Commit() (err error) {
	switch r := c.run; c.lies {
	case inRing:
		if !c.topic.Lane.Commit(c.record) {
			err = ErrClosed
		}
		r.engine.Notify()
	case inFrame:
		err = r.frame(c.topic.Lane.CommitFrame)
	case inCopy:
		err = r.Offer(c.topic, c.kind, c.Payload)
	}
	if err == nil || err == ErrClosed {
		*c = Claim{}
	}
	return err
}

// Abort gives the room back. Of a claim that is not open it does nothing.
func (c *Claim) Abort() {
	switch r := c.run; c.lies {
	case inRing:
		c.topic.Lane.Abort(c.record)
		r.engine.Notify()
	case inFrame:
		_ = r.frame(c.topic.Lane.AbortFrame)
	}
	*c = Claim{}
}

// frame does something to a lane's open claim, which Settle may have taken back.
func (r *Run) frame(do func()) error {
	inside, err := r.enter()
	if err != nil {
		return err
	}
	if r.abandoned {
		err = ErrClosed
	} else {
		do()
	}
	r.leave(inside)
	return err
}
