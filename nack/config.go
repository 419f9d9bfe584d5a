package nack

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Errors of the senders' side.
var (
	// ErrWindow is back-pressure: there is no room in the window now. Nothing has changed.
	// From Step it means a datagram beyond the reorder window.
	ErrWindow = errors.New("nack: window is full")
	// ErrTooLarge refuses a message above Config.MaxMessageSize, or a claim above one datagram.
	ErrTooLarge = errors.New("nack: message is too large")
	// ErrClaimed refuses an Offer or Claim while a claim is open.
	ErrClaimed = errors.New("nack: a claim is open")
	// ErrClosed refuses an Offer or Claim after Close.
	ErrClosed = errors.New("nack: closed")
)

// Reasons for which Step refuses a frame. They are bare sentinels, and each is counted in
// Stats.Drops: a flood of bad frames allocates nothing.
var (
	ErrStale       = errors.New("nack: received before, or given up")
	ErrProtocol    = errors.New("nack: a protocol that is not run here")
	ErrIncarnation = errors.New("nack: of an earlier incarnation")
	ErrImplausible = errors.New("nack: contradicts what is known of the stream")
	ErrNotSent     = errors.New("nack: speaks of datagrams that were never sent")
	ErrStreams     = errors.New("nack: no room for another stream")
	ErrReceivers   = errors.New("nack: no room for another receiver")
	ErrNoBuffer    = errors.New("nack: no buffer to keep a datagram in")
	ErrLane        = errors.New("nack: a stream in a lane that is not wanted")
	ErrBarred      = errors.New("nack: of a member that was removed")
)

// Headroom is how much larger than Config.Datagram the buffers of Config.Pool must be, in
// bytes: a datagram that is packed in place does not begin at a fixed offset.
const Headroom = 16

// FewReceivers is the largest number of receivers with which NAKs go by unicast, at once.
const FewReceivers = 3

// MaxStreams and MaxReceivers are the defaults of these fields of Config.
const (
	MaxStreams   = 4096
	MaxReceivers = 1024
)

// MaxNaks bounds the NAK datagrams that one Protocol sends, per second.
const MaxNaks = 20000

const (
	defaultStreams   = MaxStreams
	defaultReceivers = MaxReceivers

	minWindow    = 16        // datagrams
	maxWindow    = 1 << 20   // datagrams
	maxPacked    = 1024      // messages in a datagram, at most (docs/wire.md)
	controlSpare = 64        // buffers left for control datagrams when others hold the rest
	defaultRoom  = 208 << 10 // bytes of socket buffer that a host is assumed to have: Linux's default
)

// Sink is where messages go. Both methods are called on the engine's thread.
type Sink interface {
	// Deliver takes one message; what m points to is lent for the call. False means that it
	// cannot be taken now: the same message is offered again in a later Protocol.Deliver, and
	// nothing after it is offered on that stream before.
	Deliver(m *core.Delivery) bool
	// Lost reports, in its place in the stream, that messages will never come.
	Lost(l *core.Loss)
}

// Config is what a Protocol is made of.
type Config struct {
	Self        wire.MemberID
	Incarnation uint32
	Cluster     uint64 // wire.ClusterHash

	Datagram       int // largest UDP payload, bytes
	Window         int // bytes of retransmit window for each stream sent, and of reorder window for each received
	MaxMessageSize int // bytes of one message; zero means 1 MiB
	Assembly       int // bytes of all messages that are being put together; zero means AssemblyBytes

	// Fastest never slows a sender down for a receiver. A receiver that falls behind loses messages,
	// and its Sink gets the loss.
	Fastest bool
	// FEC sets the repair symbols of streams under FEC and Hybrid.
	FEC FEC
	// Eviction is how long a receiver may be silent that lacks something. One that lacks nothing, since the stream is
	// idle, may be silent for three and a half of the pauses that it gives, if that is longer. Zero means 1s.
	Eviction time.Duration
	// SlowestFor is how long a stream may wait for a receiver that takes less than a window meanwhile. Then it is
	// evicted. Zero means for as long as it lives.
	SlowestFor time.Duration
	// FreePace switches congestion control off: the pace does not follow what arrives at receivers.
	FreePace bool
	// RepairTimeout is how long a receiver asks for a datagram, from its first NAK, while its sender is there. Then it
	// is given up, and reported as LossTimeout. Zero means 5s.
	RepairTimeout time.Duration
	// Pacer bounds the rate of all that the member sends; its other protocols spend from the same
	// one. Nil means no bound.
	Pacer *core.Pacer
	// Room is the receive buffer that the host really gave, bytes; senders stay below it.
	// Zero means that it is not known.
	Room int
	// Lanes is how many streams topics are hashed over; it is told to receivers.
	Lanes int
	// Wanted reports whether a lane of the group is wanted here, where others are kept away, and
	// since when. A datagram of another that comes nevertheless makes no new stream known: this
	// member would count as its receiver and not receive it. What is wanted once is wanted for
	// good. Nil: all are, from the beginning.
	Wanted func(lane uint16) (since clock.Time, ok bool)
	// OtherLanes is called for every Start whose sender hashes over another number of lanes, before
	// Wanted is asked about its stream. It may be nil.
	OtherLanes func(from wire.MemberID, lanes int)
	// SelfDelivery hands own messages to Sink too, while WantSelf is on (it begins as on).
	SelfDelivery bool

	Pool     *buf.Pool // buffers of Datagram + Headroom bytes or more
	Reserved int       // of Pool, left to its other users: not for keeping what is received
	Rand     *rand.Rand
	Sink     Sink

	MaxStreams   int // streams that are received; zero means 4096
	MaxReceivers int // receivers known for each stream that is sent; zero means 1024

	// Events is called for what happens rarely. It may be nil.
	Events func(Event)
	// RepairNS is called with how long each repaired gap was open, in ns from its detection. It may
	// be nil.
	RepairNS func(ns int64)
}

// WindowDatagrams is the size of a stream's windows in datagrams: how many buffers a sender may
// hold for repair, and a receiver for reordering.
func WindowDatagrams(window, datagram int) int {
	return min(max(window/max(datagram, 1), minWindow), maxWindow)
}

// Buffers is how many buffers a Protocol with senders streams of its own asks of its pool,
// with room for the reorder windows of receivers streams.
func Buffers(window, datagram, senders, receivers int) int {
	return (senders+receivers)*(WindowDatagrams(window, datagram)+1) + controlSpare
}

// Tables is how many bytes a sending stream takes besides its buffers: for each datagram of its
// window a slot and a place in the queue of repairs, its receivers, those that were too slow, and the copy of one message that
// is too large for a part of the window.
func Tables(window, datagram, maxMessageSize int) int {
	n := WindowDatagrams(window, datagram)
	bytes := slotCount(n) * int(unsafe.Sizeof(slot{})+unsafe.Sizeof(uint64(0)))
	bytes += defaultReceivers * (int(unsafe.Sizeof(receiver{})) + 2*int(unsafe.Sizeof(wire.MemberID{})+unsafe.Sizeof(0)))
	bytes += int(unsafe.Sizeof(newcomers{}))
	bytes += maxOutcasts * (int(unsafe.Sizeof(outcast{})) + 2*int(unsafe.Sizeof(wire.MemberID{})+unsafe.Sizeof(uintptr(0))))
	if maxMessageSize > n/4*datagram*9/10 { // it may be cut into more than a quarter of the window
		bytes += maxMessageSize
	}
	return bytes
}

// streamBytes is what each received stream takes: itself, its place in tables, the first slots and
// gaps.
const streamBytes = int(unsafe.Sizeof(stream{})) + 96 + minSlots*8 + keptGaps*int(unsafe.Sizeof(gap{}))

// StreamTables is how many bytes streams received streams take, besides buffers and Config.Assembly;
// zero means the default of Config.MaxStreams.
func StreamTables(window, datagram, streams int) int {
	if streams <= 0 {
		streams = defaultStreams
	}
	n := slotCount(WindowDatagrams(window, datagram))
	return streams*streamBytes + refusalBytes + mendedBytes + fullWindows*n*int(unsafe.Sizeof(uintptr(0))) + sharedGaps*int(unsafe.Sizeof(gap{}))
}

// slotCount is the number of slots of a window: a power of two above it, since the datagram that
// is being packed has a slot as well.
func slotCount(window int) int { return 1 << bits.Len(uint(window)) }

// EventKind is what happened.
type EventKind uint8

// The events. Those of one receiver, and of one stream that is received, come in order, and no two
// alike come in a row: Started first, then Silent and Resumed in turn, then Left. ReceiverSlow ends a receiver as
// ReceiverEvicted does.
const (
	ReceiverJoined  EventKind = iota + 1 // a receiver of our stream reported for the first time, or again
	ReceiverLeft                         // its farewell came, or it was forgotten
	ReceiverEvicted                      // it was silent for longer than Config.Eviction
	ReceiverRefused                      // there is no room for it (Config.MaxReceivers): our stream does not wait for it
	StreamStarted                        // a stream that we receive began
	StreamSilent                         // nothing comes from its sender, which does not answer either
	StreamResumed                        // something came after that
	StreamLeft                           // its sender left or began anew, or a silent stream was forgotten
	StreamRefused                        // there is no room for it (Config.MaxStreams): it is not received
	StreamReset                          // we fell behind, further than the sender holds
	StreamTimedOut                       // something was asked for in vain for Config.RepairTimeout, and is given up
	ReceiverStuck                        // it asks for a datagram again and again that was sent to it: our stream waits for it no longer
	ReceiverMute                         // its requests come, and its reports do not: our stream does not wait for it
	StreamOneWay                         // its sender answers requests that go to the group, and no others
	StreamNoGroup                        // only unicast comes from its sender: what that sends to the group does not
	ReceiverNoGroup                      // what our stream sends to the group does not get through to it, and unicast does
	PaceBound                            // so little arrives at a receiver that our stream's pace follows what arrives there
	PaceFree                             // and no longer
	ReceiverFreed                        // it goes on, and our stream waits for it again
	ReceiverSlow                         // our stream waited for it for Config.SlowestFor: it is evicted
	StreamEvicted                        // its sender has evicted us, since its stream waited for us for its Config.SlowestFor
)

func (k EventKind) String() string {
	switch k {
	case ReceiverJoined:
		return "receiver joined"
	case ReceiverLeft:
		return "receiver left"
	case ReceiverEvicted:
		return "receiver evicted"
	case ReceiverRefused:
		return "receiver refused"
	case StreamStarted:
		return "stream started"
	case StreamSilent:
		return "stream silent"
	case StreamResumed:
		return "stream resumed"
	case StreamLeft:
		return "stream left"
	case StreamRefused:
		return "stream refused"
	case StreamReset:
		return "stream reset"
	case StreamTimedOut:
		return "stream timed out"
	case ReceiverStuck:
		return "receiver stuck"
	case ReceiverMute:
		return "receiver mute"
	case StreamOneWay:
		return "stream one way"
	case StreamNoGroup:
		return "stream without multicast"
	case ReceiverNoGroup:
		return "receiver without multicast"
	case PaceBound:
		return "pace bound"
	case PaceFree:
		return "pace free"
	case ReceiverFreed:
		return "receiver freed"
	case ReceiverSlow:
		return "receiver too slow"
	case StreamEvicted:
		return "evicted from stream"
	}
	return "unknown event"
}

// Event is something that happens rarely.
type Event struct {
	Kind     EventKind
	Member   wire.MemberID // the receiver, or the stream's sender
	Endpoint buf.Endpoint  // its own address
	Stream   wire.StreamID

	// Of StreamTimedOut and ReceiverStuck: the lowest datagram that is missing; its length in bytes, 0 where that is not
	// known; and that of the longest one that came although it left later (StreamTimedOut), or that the receiver has
	// reported (ReceiverStuck), 0: none did.
	Number          uint64
	Length, Longest int
}
