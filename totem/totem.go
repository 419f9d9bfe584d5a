package totem

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Errors of the sending side.
var (
	// ErrWindow is back-pressure: the send queue has no room now. Nothing has changed.
	ErrWindow = errors.New("totem: send queue is full")
	// ErrTooLarge refuses a message above Config.MaxMessageSize.
	ErrTooLarge = errors.New("totem: message is too large")
	// ErrClosed refuses an Offer after Close.
	ErrClosed = errors.New("totem: closed")
)

// Reasons for which Step refuses a datagram. They are bare sentinels, and each is counted in
// Stats.Drops: a flood of bad datagrams allocates nothing.
var (
	ErrFrames    = errors.New("totem: frames that do not belong together")
	ErrStale     = errors.New("totem: received before, or of a ring that is gone")
	ErrForeign   = errors.New("totem: from a member that is not in the ring")
	ErrToken     = errors.New("totem: not the token that is waited for")
	ErrState     = errors.New("totem: has no place in this state")
	ErrRange     = errors.New("totem: number outside the window")
	ErrMembers   = errors.New("totem: more members than a ring has")
	ErrHeld      = errors.New("totem: held down, or come out of a pause")
	ErrNoBuffer  = errors.New("totem: no buffer to keep a datagram in")
	ErrFinished  = errors.New("totem: this member has closed, or its application reads nothing")
	ErrMalformed = errors.New("totem: contradicts what is known of the ring")
	ErrLong      = errors.New("totem: longer than this member takes")
)

// MaxMembers is how many members a ring has at most.
const MaxMembers = wire.MaxRing

// Headroom is how much larger than Config.Datagram the buffers of Config.Pool must be, in
// bytes: a datagram that is packed in place does not begin at a fixed offset.
const Headroom = 16

// Stream is the stream that all datagrams of the ring of topics are of.
const Stream = wire.StreamID(wire.Totem) << 24

// Sink is where messages go. Both methods are called on the engine's thread.
type Sink interface {
	// Deliver takes one message; what m points to is lent for the call. False means that it
	// cannot be taken now: the same message is offered again in a later Protocol.Deliver, and
	// nothing after it is offered before.
	Deliver(m *core.Delivery) bool
	// Lost reports messages of a member that this one cannot deliver: they were ordered in a part of the
	// network that this member was cut off from, or there was no memory to put one together.
	Lost(l *core.Loss)
}

// Config is what a Protocol is made of.
type Config struct {
	Self        wire.MemberID
	Incarnation uint32 // counts up when this member learns that the others excluded it
	Cluster     uint64 // wire.ClusterHash

	// Node is wire.ClusterHash of the member's configured name; 0: it has none. Started is
	// which of two members with one name is the newer: of any clock, larger is newer. A newer one
	// proves that the older one is dead.
	Node    uint64
	Started uint64

	// Stream is the stream of the ring's datagrams: each ring of a member has its own. Zero means Stream.
	Stream wire.StreamID

	Datagram       int // largest UDP payload, bytes
	Window         int // bytes of a ring's messages that are held for repair
	Room           int // bytes of arriving datagrams that the host buffers: all that is sent in a rotation must fit; 0: not known
	MaxMessageSize int // bytes of one message; zero means 1 MiB

	// Pacer bounds the rate of all that the member sends; its other protocols spend from the same
	// one. Nil means no bound.
	Pacer *core.Pacer

	Pool *buf.Pool // buffers of Datagram + Headroom bytes or more, Buffers of them
	Rand *rand.Rand
	Sink Sink

	// Views is called with each configuration, in its place in the stream of messages. It may be nil.
	Views func(View)
	// Visit, where it is set, is called with each token that is accepted in Operational, before what it lets be delivered.
	// Every member of the ring was in it, in Operational, at confirmed or later: this member forwarded the token then,
	// and it has passed all of them since. high is the highest number that
	// was given to a datagram. A ring of one has no token; there Visit is called in each Flush with confirmed = now.
	Visit func(now, confirmed clock.Time, high uint64)
	// Events is called with what happens rarely. It may be nil.
	Events func(Event)
	// Probe is called with every step that a checker needs. It is nil outside of tests.
	Probe func(Probe)

	Profile Profile
	// FreePace switches congestion control off.
	FreePace bool
	// Plain switches the accelerated ring off: the token leaves behind all data of its visit.
	Plain bool
	// Safe makes every message safe, whatever Offer says.
	Safe bool
	// SelfDelivery hands own messages to Sink too, in their place in the total order.
	SelfDelivery bool

	// RingSeq is the largest sequence of a ring that this name has taken part in, where it is
	// stored; and Persist is called with it before the member answers for a new ring. Neither is
	// needed, because a ring's identifier holds the id of a start.
	RingSeq uint64
	Persist func(ringSeq uint64)

	defect defect // a planted one, in tests
}

// ViewKind tells the configurations of extended virtual synchrony apart.
type ViewKind uint8

// The kinds.
const (
	Transitional ViewKind = iota + 1 // the members that go together from Old to Ring; safe among them
	Regular                          // the members of Ring
)

func (k ViewKind) String() string {
	switch k {
	case Transitional:
		return "transitional"
	case Regular:
		return "regular"
	}
	return "unknown view"
}

// View is one configuration. A message that is delivered after it and before the next was agreed
// among its members.
type View struct {
	Kind        ViewKind
	Ring, Old   wire.RingID
	Members     []wire.MemberID // ascending; the callee may keep it
	Incarnation uint32          // this member's, from here on
}

// Bounds of the number of datagrams that a ring holds for repair.
const (
	minStore = 256
	maxStore = 8192
)

// StoreSize is how many datagrams of one ring a Protocol holds for repair: a power of two.
func StoreSize(window, datagram int) int {
	n := minStore
	for n < maxStore && n*max(datagram, 1) < window {
		n *= 2
	}
	return n
}

// queueSize is how many datagrams wait for the token at most: a few visits' worth. A longer queue
// carries no more, and what waits in it is no longer in the processor's cache when it leaves.
func queueSize(store int) int { return min(store/2, 256) }

// Buffers is how many buffers a Protocol asks of its pool: for the messages of the ring and of
// the ring before it, for those that wait for the token, and for what is on its way out.
func Buffers(window, datagram int) int {
	n := StoreSize(window, datagram)
	return 2*n + queueSize(n) + 256
}

// EventKind is what happened.
type EventKind uint8

// The events.
const (
	StateEntered   EventKind = iota + 1 // Event.State was entered, for Event.Reason
	TooManyMembers                      // Event.Member would make a ring larger than MaxMembers: this one, or, where it is this member, another one
	SameName                            // Event.Member is alive and has this member's name
	RemovedStuck                        // Event.Member does not receive and was put out of the ring
	HeldDown                            // Event.Member is ignored for a while
	PauseNoticed                        // the loop stood still for longer than half the token-loss time
	LacksData                           // this member does not receive what the token asks for again and again: the others will put it out
	WasExcluded                         // the others went on without this member
)

func (k EventKind) String() string {
	names := [...]string{"?", "state entered", "too many members", "same name", "removed stuck member", "held down", "pause noticed", "lacks data", "was excluded"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown event"
}

// Event is something that happens rarely.
type Event struct {
	Kind   EventKind
	State  State
	Reason Reason
	Member wire.MemberID
	Ring   wire.RingID
	Hold   time.Duration // of HeldDown: how long at most
	Sure   bool          // and not shorter: nothing that the member does ends it

	// Of RemovedStuck and LacksData: the lowest datagram that is missing; its length in bytes, 0 where that is not known;
	// and that of the longest one above it that came, 0: none did.
	Number          uint64
	Length, Longest int
}

// State is where a Protocol stands.
type State uint8

// The states, as in the papers.
const (
	Gather State = iota
	Commit
	Recovery
	Operational
)

func (s State) String() string {
	names := [...]string{"Gather", "Commit", "Recovery", "Operational"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown state"
}

// Reason is why a state was entered.
type Reason uint8

// The reasons.
const (
	Started Reason = iota
	TokenLost
	JoinHeard
	ForeignHeard
	LeaveHeard
	ReceiverStuck
	Paused
	ConsensusReached
	ConsensusFailed
	CommitHeard
	CommitLost
	SetsChanged
	Recovered
	Reasons // their number
)

func (r Reason) String() string {
	names := [...]string{"started", "token lost", "join heard", "foreign ring heard", "leave heard", "receiver stuck", "paused",
		"consensus", "no consensus", "commit token", "commit token lost", "sets changed", "recovered"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown reason"
}

// Probe is one step of a Protocol, for checkers.
type Probe struct {
	Kind     ProbeKind
	Ring     wire.RingID
	Seq      uint64 // a number in Ring, or a token_seq
	Messages uint64 // of Sequenced: the first message
	Count    int    // of Sequenced: messages; 0: a part of one
	Part     int    // of Sequenced: which part, from 1; 0: whole messages
	Safe     bool   // of Sequenced
	Position uint64 // of Sequenced: the highest number of Ring that was delivered here
}

// ProbeKind is which step it was.
type ProbeKind uint8

// The steps.
const (
	TokenAccepted  ProbeKind = iota + 1 // Seq is the token_seq
	TokenForwarded                      // Seq is the token_seq that was accepted
	Sequenced                           // an own datagram got number Seq
	Handing                             // what is delivered next is of datagram Seq
	Discarded                           // datagrams up to Seq are held no longer
	LeftRing                            // Operational was left
)
