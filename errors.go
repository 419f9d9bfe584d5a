package blaze

import (
	"errors"
)

// Sentinels, for errors.Is. The error of a call wraps one of them and names the thing, state or value
// that was refused. When a context ends, the error wraps ctx.Err() instead and names what the call
// waited for.
var (
	// ErrState means that the channel's state forbids the call: SetConfig after Init, say.
	ErrState = errors.New("blaze: not in this state")

	// ErrClosed means that a Subscription or Publisher was closed, or that Stop or Shutdown
	// came while the call was waiting.
	ErrClosed = errors.New("blaze: closed")

	// ErrBackPressure means that the window is full, because a receiver or the network is
	// slower than the sender. Under Totem it also means that as much waits for the token as leaves in a few
	// rotations. Nothing was sent; the same Offer succeeds later.
	ErrBackPressure = errors.New("blaze: back-pressure")

	// ErrTooLarge means that a message exceeds Config.MaxMessageSize, or that something exceeds a limit of a group or
	// cluster.
	ErrTooLarge = errors.New("blaze: message too large")

	// ErrNoSuchMember means that no member with this MemberID is there (any more).
	ErrNoSuchMember = errors.New("blaze: no such member")

	// ErrNoConsumer means that nobody handles this in-box, or that nobody consumed from this
	// queue before the context ended.
	ErrNoConsumer = errors.New("blaze: no consumer")

	// ErrNoReply means that a queue's handler returned without replying to a request.
	ErrNoReply = errors.New("blaze: no reply")

	// ErrExists means that there can be one only, and there is: an in-box's handler.
	ErrExists = errors.New("blaze: exists already")

	// ErrTopic means that a topic or pattern is not a dotted path of non-empty elements, has a
	// control character, or has a wildcard where none may stand.
	ErrTopic = errors.New("blaze: bad topic")

	// ErrKind means that a Value holds another kind, or that no kind of Value fits.
	ErrKind = errors.New("blaze: wrong kind")

	// ErrNoQuorum means that this member is not in the primary component of its cluster: the operation did not happen,
	// and will not.
	ErrNoQuorum = errors.New("blaze: no quorum")

	// ErrUnknownOutcome means that the quorum, or the member that was asked, went while the operation was under way, or
	// that ctx ended: it may have happened.
	ErrUnknownOutcome = errors.New("blaze: outcome unknown")

	// ErrLocked means that somebody else holds the key's lock.
	ErrLocked = errors.New("blaze: locked")

	// ErrNotOwner means that the lock is not held (any more), or is not this key's.
	ErrNotOwner = errors.New("blaze: not the lock's owner")

	// ErrVersion means that the entry's version is not the expected one.
	ErrVersion = errors.New("blaze: version has changed")

	// ErrArgument means that an argument is missing that must be there (a Message, a handler), or is out of its range: a
	// TTL, a lease, a key.
	ErrArgument = errors.New("blaze: bad argument")

	// ErrConfig means that a Config or URI is not valid: the error names field, value and what
	// is allowed.
	ErrConfig = errors.New("blaze: bad configuration")

	// ErrUnsupported means that this host or build cannot do it: the error names what is missing.
	ErrUnsupported = errors.New("blaze: not supported")

	// ErrMalformed means that bytes are not the encoding of a Message, or that a Message has no
	// encoding because it breaks one of the limits that are documented there.
	ErrMalformed = errors.New("blaze: malformed message")
)

// A configError is one setting that cannot be used. It matches ErrConfig, and also the sentinel
// in cause when there is one.
type configError struct {
	field string // "Window", "BroadcastURI: ttl"
	value string // as given; empty when want has it
	want  string // what is allowed, or the remedy
	cause error  // may be nil
}

func (e *configError) Error() string {
	s := ErrConfig.Error() + ": " + e.field
	if e.value != "" {
		s += " = " + e.value
	}
	return s + ": " + e.want
}

func (e *configError) Is(target error) bool { return target == ErrConfig }

func (e *configError) Unwrap() error { return e.cause }
