package jms

import (
	"errors"
	"fmt"

	"github.com/activeblaze/blaze"
)

// Sentinels, for errors.Is, beside those of package blaze.
var (
	// ErrInvalidDestination means that there is no such destination, that its name cannot be one, or that it is
	// another connection's temporary one.
	ErrInvalidDestination = errors.New("jms: invalid destination")

	// ErrInvalidSelector means that a selector is none: the error names the place.
	ErrInvalidSelector = errors.New("jms: invalid selector")

	// ErrQueueFull means that a queue, or all queues of the holders together, have as many messages or bytes as they may
	// have, and that ctx ended before there was room.
	ErrQueueFull = errors.New("jms: queue full")

	// ErrNotHeld means that there is no member that holds queues, and that this one does not become one.
	ErrNotHeld = errors.New("jms: nobody holds the queues")

	// ErrRolledBack means that a transaction was rolled back instead of committed.
	ErrRolledBack = errors.New("jms: rolled back")

	// ErrInDoubt means that the outcome of a Commit is not known: it was applied wholly or not at all.
	ErrInDoubt = errors.New("jms: outcome of the commit unknown")

	// ErrMessageFormat means that a value cannot be converted to the type that was asked for, or cannot be a property,
	// or that a message breaks one of the bounds of its header.
	ErrMessageFormat = errors.New("jms: message format")

	// ErrNotReadable means that the body is of another kind than the one that was asked for.
	ErrNotReadable = errors.New("jms: body not readable")

	// ErrIllegalState means that the call is not allowed now: of a second goroutine, after Close, in this acknowledge
	// mode, beside a listener.
	ErrIllegalState = errors.New("jms: illegal state")

	// ErrNotAuthorized means that a user or password was given. Nobody could check them: who may be a member is a matter
	// of the network and of keys.
	ErrNotAuthorized = errors.New("jms: not authorized")
)

// closedError is the error of what was closed: it matches ErrIllegalState and blaze.ErrClosed.
type closedError string

func (e closedError) Error() string { return "jms: the " + string(e) + " is closed" }

func (e closedError) Is(target error) bool {
	return target == ErrIllegalState || target == blaze.ErrClosed
}

// LossError is given to OnException when messages of a topic are gone for good: they come neither now nor later.
type LossError struct {
	Topic string // as the consumer named it
	Loss  blaze.Loss
}

func (e *LossError) Error() string {
	return fmt.Sprintf("jms: messages %d to %d of member %v are lost, and may have been for topic %q: %v", e.Loss.First, e.Loss.Last, e.Loss.From, e.Topic, e.Loss.Reason)
}
