package blaze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/wire"
)

// Protocol is a reliability protocol: how a stream's datagrams reach all receivers.
type Protocol uint8

// The protocols. NACK is the default.
const (
	NACK       Protocol = iota // receivers ask for what they miss
	BestEffort                 // nothing is repaired; losses are reported
	FEC                        // Reed–Solomon repair symbols, nothing is asked for
	Hybrid                     // FEC, with NACK behind it
	Totem                      // total order over a ring of members
)

var protocolNames = []string{"nack", "besteffort", "fec", "hybrid", "totem"}

// String is the lower-case name: "nack".
func (p Protocol) String() string { return nameOf("Protocol", protocolNames, p) }

// MarshalText is String; a Protocol that does not exist is an error.
func (p Protocol) MarshalText() ([]byte, error) { return marshalName("protocol", protocolNames, p) }

// UnmarshalText is ParseProtocol.
func (p *Protocol) UnmarshalText(text []byte) error {
	return unmarshalName("protocol", protocolNames, p, text)
}

// ParseProtocol reads what String writes, in any case.
func ParseProtocol(s string) (Protocol, error) {
	return parseName[Protocol]("protocol", protocolNames, s)
}

// wire is p as datagrams name it. Both sides are spelled out: the two orders differ.
func (p Protocol) wire() wire.Protocol {
	switch p {
	case BestEffort:
		return wire.BestEffort
	case FEC:
		return wire.FEC
	case Hybrid:
		return wire.Hybrid
	case Totem:
		return wire.Totem
	default:
		return wire.NACK
	}
}

// SlowConsumer decides what happens when a subscription's queue is full.
type SlowConsumer uint8

// What happens to a slow consumer. Pause is the default.
const (
	Pause      SlowConsumer = iota // the streams wait for it; one that is full for more than half of a second is named in the log and counted
	Drop                           // it misses messages; its OnLoss gets which
	Disconnect                     // its subscription ends with an error; its OnLoss gets what was queued
)

func (s SlowConsumer) intake() intake.Policy {
	return [...]intake.Policy{Pause: intake.Pause, Drop: intake.Drop, Disconnect: intake.Disconnect}[s]
}

var slowConsumerNames = []string{"pause", "drop", "disconnect"}

// String is the lower-case name: "pause".
func (s SlowConsumer) String() string { return nameOf("SlowConsumer", slowConsumerNames, s) }

// MarshalText is String; a SlowConsumer that does not exist is an error.
func (s SlowConsumer) MarshalText() ([]byte, error) {
	return marshalName("slow consumer", slowConsumerNames, s)
}

// UnmarshalText reads what MarshalText writes, in any case.
func (s *SlowConsumer) UnmarshalText(text []byte) error {
	return unmarshalName("slow consumer", slowConsumerNames, s, text)
}

// FlowControl decides whose pace a sender follows.
type FlowControl uint8

// The paces. Slowest is the default.
const (
	Slowest FlowControl = iota // that of the slowest live receiver
	Fastest                    // its own: a receiver that falls behind has losses
)

var flowControlNames = []string{"slowest", "fastest"}

// String is the lower-case name: "slowest".
func (f FlowControl) String() string { return nameOf("FlowControl", flowControlNames, f) }

// MarshalText is String; a FlowControl that does not exist is an error.
func (f FlowControl) MarshalText() ([]byte, error) {
	return marshalName("flow control", flowControlNames, f)
}

// UnmarshalText reads what MarshalText writes, in any case.
func (f *FlowControl) UnmarshalText(text []byte) error {
	return unmarshalName("flow control", flowControlNames, f, text)
}

// LimitedBy is what keeps the rate of a stream from being higher.
type LimitedBy uint8

// What limits a stream.
const (
	LimitedByApplication LimitedBy = iota // nothing else does: the application offers no more, or this host's processor is busy
	LimitedByWindow                       // Config.Window is full of what a receiver has not reported; of a ring: its flow control
	LimitedByReceiver                     // a receiver has no room, or a member of the ring is behind
	LimitedByPace                         // congestion control: the pace follows what arrives at a receiver
	LimitedByMaxRate                      // Config.MaxRate
)

var limitedByNames = []string{"application", "window", "receiver", "pace", "MaxRate"}

// String names it: "receiver".
func (l LimitedBy) String() string { return nameOf("LimitedBy", limitedByNames, l) }

// Sync decides when a write of a cluster with Config.DataDir counts as written.
type Sync uint8

// When a write counts. SyncQuorum is the default.
const (
	SyncQuorum   Sync = iota // when a quorum's disks have it: it survives the end of all members at once
	SyncInterval             // as without a disk, and the disk has it 100 ms later: the end of all members at once loses up to that
)

var syncNames = []string{"quorum", "interval"}

// String is the lower-case name: "quorum".
func (s Sync) String() string { return nameOf("Sync", syncNames, s) }

// MarshalText is String; a Sync that does not exist is an error.
func (s Sync) MarshalText() ([]byte, error) { return marshalName("sync", syncNames, s) }

// UnmarshalText reads what MarshalText writes, in any case.
func (s *Sync) UnmarshalText(text []byte) error { return unmarshalName("sync", syncNames, s, text) }

// CongestionControl decides whether a sender's pace follows what arrives at its receivers, and whether it lets no more be
// in flight to them than that rate needs.
type CongestionControl uint8

// The rules. CongestionAuto is the default.
const (
	CongestionAuto CongestionControl = iota // where little arrives at a receiver that is waited for, the pace is what arrives there
	CongestionOff                           // MaxRate and the receivers' room alone bound it
)

var congestionControlNames = []string{"auto", "off"}

// String is the lower-case name: "auto".
func (c CongestionControl) String() string {
	return nameOf("CongestionControl", congestionControlNames, c)
}

// MarshalText is String; a CongestionControl that does not exist is an error.
func (c CongestionControl) MarshalText() ([]byte, error) {
	return marshalName("congestion control", congestionControlNames, c)
}

// UnmarshalText reads what MarshalText writes, in any case.
func (c *CongestionControl) UnmarshalText(text []byte) error {
	return unmarshalName("congestion control", congestionControlNames, c, text)
}

// Idle is what the engine's thread does when a turn found no work.
type Idle uint8

// The idle strategies. Backoff is the default.
const (
	Backoff  Idle = iota // spins, then yields, then sleeps until a datagram, a command or a deadline comes
	BusySpin             // never gives up its CPU: the lowest latency, and a CPU of its own is needed
	Block                // sleeps in the kernel until a packet or a command comes
)

var idleNames = []string{"backoff", "busyspin", "block"}

// String is the lower-case name: "backoff".
func (i Idle) String() string { return nameOf("Idle", idleNames, i) }

// MarshalText is String; an Idle that does not exist is an error.
func (i Idle) MarshalText() ([]byte, error) { return marshalName("idle strategy", idleNames, i) }

// UnmarshalText is ParseIdle.
func (i *Idle) UnmarshalText(text []byte) error {
	return unmarshalName("idle strategy", idleNames, i, text)
}

// ParseIdle reads what String writes, in any case.
func ParseIdle(s string) (Idle, error) { return parseName[Idle]("idle strategy", idleNames, s) }

// engine is i as the engine names it.
func (i Idle) engine() engine.Idle {
	switch i {
	case BusySpin:
		return engine.BusySpin
	case Block:
		return engine.Block
	default:
		return engine.Backoff
	}
}

// State is where a channel is in its life cycle.
type State uint8

// The states. Shutdown leads back to Constructed.
const (
	Constructed State = iota // holds no resources
	Initialized              // sockets and memory are there, no message is sent
	Started                  // a member
	Stopped                  // silent, yet able to Start again
)

var stateNames = []string{"constructed", "initialized", "started", "stopped"}

// String is the lower-case word: "started".
func (s State) String() string { return nameOf("State", stateNames, s) }

// TotemProfile is a set of timers for Totem's ring, after the host that it runs on.
type TotemProfile uint8

// The profiles. LAN is the default; times are token-loss, which decides how soon a silent
// member is noticed.
const (
	LAN      TotemProfile = iota // 50 ms: pinned threads on a local network, nothing isolated
	Isolated                     // 5 ms: isolated cores that poll, one switch
	Shared                       // 1 s: virtual machines, CI, clouds
)

var totemProfileNames = []string{"lan", "isolated", "shared"}

// String is the lower-case name: "lan".
func (p TotemProfile) String() string { return nameOf("TotemProfile", totemProfileNames, p) }

// MarshalText is String; a TotemProfile that does not exist is an error.
func (p TotemProfile) MarshalText() ([]byte, error) {
	return marshalName("Totem profile", totemProfileNames, p)
}

// UnmarshalText reads what MarshalText writes, in any case.
func (p *TotemProfile) UnmarshalText(text []byte) error {
	return unmarshalName("Totem profile", totemProfileNames, p, text)
}

// The four helpers below give every enumeration the same texts. Names are indexed by value.

func nameOf[E ~uint8](typ string, names []string, e E) string {
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("%s(%d)", typ, e)
}

func parseName[E ~uint8](what string, names []string, s string) (E, error) {
	if i := slices.Index(names, strings.ToLower(s)); i >= 0 {
		return E(i), nil
	}
	return 0, &configError{field: what, value: fmt.Sprintf("%q", s), want: "must be " + words.Alternatives(names)}
}

func marshalName[E ~uint8](what string, names []string, e E) ([]byte, error) {
	if int(e) >= len(names) {
		return nil, &configError{field: what, value: fmt.Sprint(uint8(e)), want: "must be " + words.Alternatives(names)}
	}
	return []byte(names[e]), nil
}

func unmarshalName[E ~uint8](what string, names []string, e *E, text []byte) error {
	parsed, err := parseName[E](what, names, string(text))
	if err == nil {
		*e = parsed
	}
	return err
}
