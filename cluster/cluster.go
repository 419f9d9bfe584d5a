package cluster

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The defaults of Config's times (docs/cluster.md, settings).
const (
	DefaultGuard     = 200 * time.Millisecond // 4 × the profile's TokenLoss
	DefaultDiscovery = 500 * time.Millisecond // 5 × the profile's Merge
	DefaultRejoin    = time.Second
)

// MaxUnderway is how many calls a member has under way at most; further ones wait for room.
const MaxUnderway = 65536

// Config is what a Core is made of.
type Config struct {
	Self    wire.MemberID
	Name    string // Config.Name of the root package; its hash is on the wire
	Started int64  // microseconds since 1970, when this start began
	Wall    int64  // microseconds since 1970 at clock.Time 0: the wall clock at now is Wall + now/1000

	Expected   int   // ExpectedMembers; 0: dynamic
	Weight     int64 // MasterWeight
	Observer   bool  // sees the state, never has a seat, is never leader or master
	MaxValue   int   // Config.MaxMessageSize, bytes; the smallest one of the members is in force
	StateLimit int64 // bytes; the smallest one of the members is in force

	Guard     time.Duration // G; zero: DefaultGuard
	Discovery time.Duration // a dynamic founding comes no earlier after the start; zero: DefaultDiscovery
	Rejoin    time.Duration // how long missing seats are waited for; zero: DefaultRejoin

	// Services are this member's state machines beside the maps, in ascending order of name, each one once.
	Services []Service
	// Background runs work on another goroutine, and when it has returned then on the engine's thread, outside of the
	// Core's inputs. over reports whether cancel was called. Nil where there are no Services.
	Background func(work func(over func() bool), then func(now clock.Time)) (cancel func())

	Datagram int // bytes that a message of several operations has at most: what fits one datagram of the ring

	// Store is the disk, and Recovered what it held; both nil: memory only, and the seat is the MemberID.
	Store     Store
	Recovered *Recovered
	// Interval acknowledges before the disk has it (SyncInterval). Claims, Ready and Exit wait for the disk all the same.
	Interval bool

	learnBytes int // tests: of operations that a learner keeps

	Ring  Ring
	Pairs Pairs
	Sink  Sink

	// Probe, where set, is told every step of the replica: for simulation and tests.
	Probe func(now clock.Time, p *Probe)

	defect defect // a planted one, in tests
}

// Ring is what the Core asks of its ring (totem.Protocol has all three; Offer needs its topic and kind filled in).
type Ring interface {
	// Offer multicasts one message; the payload is copied. Safe: it is delivered when every member has it. On an error
	// nothing was sent, and the Core offers it again in a later turn.
	Offer(now clock.Time, payload []byte, safe bool) error
	// Hurry lets a token that rests go on: somebody waits for the next Visit.
	Hurry()
	// Delivered is how far everything of the present ring has been handed over.
	Delivered() uint64
}

// Pairs carries a wire message Transfer to one member: an item of kind 10 on channel 0 of the pair.
type Pairs interface {
	// Send is reliable and in order while both live; the payload is copied. False: there is no room now, or no such
	// member; the Core asks again later.
	Send(now clock.Time, to wire.MemberID, payload []byte) bool
}

// Sink takes what a Core puts out. The Core calls it from its inputs, mostly from Flush.
type Sink interface {
	// Publish shows readers what a turn has changed. It comes before Done of the turn's calls, so that a member's own write
	// is in its next Get. p and its slices are lent.
	Publish(now clock.Time, p *Publication)
	// Done ends a call: its result is filled in, and the Core keeps nothing of it.
	Done(now clock.Time, c *Call)
	// Lost says that this member does not hold a lock any more which it has not given up itself. lock is the Number of
	// the Lock call that got it. It comes once for a lock, and never before Done of its call.
	Lost(now clock.Time, lock uint64)
	// Warn is a line for the log.
	Warn(now clock.Time, w *Warning)
}

// Publication is what readers see from here on.
type Publication struct {
	State  *State  // the replica; its roots stay as they are while somebody reads them. Nil: it did not change
	Events []Event // what changed in maps since the last one, in order
	Reset  bool    // the replica was replaced, not continued: a watcher begins anew, before Events

	// Primary: this member is in an established primary with a complete replica. It holds until Until by this member's
	// clock; the same bound holds for locks and for IsMaster. An open end is the largest Time.
	Primary bool
	Until   clock.Time
	Ready   bool // WaitReady returns: the member's Ready was applied, a master is there

	// Master is the holder, zero: none, or outside the primary. MasterIndex is the index of its grant: OnMaster is called
	// for each new one.
	Master      wire.MemberID
	MasterIndex uint64
}

// CallKind is what a Call wants.
type CallKind uint8

// The kinds.
const (
	CallOp     CallKind = iota + 1 // Op as it stands: Put, Delete, Weight, Service
	CallLinear                     // GetLinear of Op.Map, Op.Key
	CallLock                       // Op is a Lock; Done comes when it holds the lock, or never will
	CallUnlock                     // of Call.Lock
	CallExtend                     // of Call.Lock, by Op.Lease
	CallReady                      // WaitReady
	CallForce                      // the connected members become the primary
)

// Call is one call of the application. The caller fills the first part and leaves all alone, with what it points to,
// until Done was called with it or Cancel has returned.
type Call struct {
	Number uint64 // the caller's name of it, not zero; no two calls of a start have the same
	Kind   CallKind
	Op     wire.ClusterOp // its Request and Member are the Core's
	Lock   uint64         // of Unlock, Extend, and a write that holds: the Number of the call that got the lock; 0: Op.Token is used as it is

	Code     Code       // the result
	Version  uint64     // of a write that succeeded: the entry's version
	Token    uint64     // of a lock
	Deadline clock.Time // of a lock and of Extend: it is held no longer; min with Publication.Until
	Found    bool       // of a linear read
	Entry    *Entry     // of a linear read: shared with the replica, not to be changed

	// Unsynced has an operation of a service end when it has counted, before it is committed. The caller fills it in.
	Unsynced bool
	// Answer is what the service has answered: a copy. It is nil where that is empty.
	Answer []byte

	// Proposed is set with CodeClosed, and by Cancel, where the operation may have happened: the error is also an
	// unknown outcome.
	Proposed bool
}

// Code is how a call ended.
type Code uint8

// The codes. Those up to CodeMalformed are decided by the replicated state; the others by this member alone.
const (
	CodeOK          Code = iota
	CodeLocked           // ErrLocked
	CodeNotOwner         // ErrNotOwner
	CodeVersion          // ErrVersion
	CodeTooLarge         // ErrTooLarge: a limit of the state
	CodeMalformed        // refused as it breaks a rule of the encoding
	CodeNoQuorum         // ErrNoQuorum: it did not happen and never will
	CodeUnknown          // ErrUnknownOutcome
	CodeClosed           // ErrClosed
	CodeUnsupported      // ErrUnsupported: Status says why
	CodeDisk             // the disk failed; Status has its error
	CodePanicked         // the service's Apply has panicked, at this member at least
)

// Warning is something that the log should name.
type Warning struct {
	Kind   WarningKind
	Member wire.MemberID // whom it is about; zero: this member
	Text   string        // plain English, without the member
}

// WarningKind says how bad it is.
type WarningKind uint8

// The kinds.
const (
	Info WarningKind = iota + 1
	Warn
	Error
)
