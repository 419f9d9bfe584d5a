package blaze

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/internal/uri"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
)

// Config holds a channel's settings. The zero Config works: every zero field takes the
// default that it documents. NewChannel copies it; nothing that is changed later has an effect.
type Config struct {
	// Name is the member's name, for people and logs; it need not be unique, but for a ClusterChannel with
	// ExpectedMembers, or without DataDir: there a process that restarts takes the seat of the one that had its name. Give
	// each such process a name that stays over restarts. At most 255 bytes of UTF-8. Empty means host name and process
	// id: "host-4711".
	Name string

	// Cluster separates applications on one network: members of one Cluster receive each other's
	// messages and nobody else's. Its hash is in every datagram. At most 255 bytes of UTF-8. Empty means "default".
	Cluster string

	// BroadcastURI picks the driver, the address and the driver's options: see URI.
	// Empty means "udp://239.255.66.76:6676", on loopback.
	BroadcastURI string

	// Protocol is what topics are sent under that no entry of Topics matches. A receiver
	// follows the sender's choice. The default is NACK. Messages under Totem reach only
	// members that send topics under Totem themselves: they form the ring.
	Protocol Protocol

	// Topics are exceptions from Protocol and Safe: the first entry that matches a topic wins.
	// At most 1,024.
	Topics []TopicConfig

	// Safe delivers under Totem only what every member has. It needs Protocol Totem.
	Safe bool

	// FEC sets the block code of FEC and Hybrid.
	FEC FECConfig

	// Totem sets the ring of Totem.
	Totem TotemConfig

	// Lanes is the number of streams that topics are hashed over, 1..64: hosts filter lanes
	// that they do not want (URI.Lanes), and a loss holds back its own lane only. Each lane has a
	// window of its own. Totem has one ring, whatever the number of lanes. Zero means 1.
	Lanes int

	// Window is how many bytes of a stream are kept by its sender, to be asked for again, and
	// by a receiver, to be put in order: 64 KiB..1 GiB, and at least twice MaxMessageSize.
	// It should exceed what the stream carries in several round trips. Zero means 8 MiB, or
	// twice MaxMessageSize where that is more.
	Window int

	// MaxMessageSize is the largest payload in bytes, 1 B..512 MiB: above one datagram it is
	// sent in fragments. Zero means 1 MiB, or half of Window where that is less.
	MaxMessageSize int

	// SubscriptionQueue is how many messages wait for a handler that runs on a goroutine of
	// its own, 1..1,048,576, from each engine. Zero means 4,096. All queues of a channel share memory
	// for messages that wait, a line of MemoryBudget; large messages may fill it before this number.
	// In-boxes of a GroupChannel have such queues too; so many messages wait besides for the handlers
	// of each queue that is consumed, and more go to other consumers or wait at their senders.
	SubscriptionQueue int

	// SlowConsumer decides what happens when such a queue is full. The default is Pause. For an in-box
	// see HandleInbox.
	SlowConsumer SlowConsumer

	// FlowControl decides whose pace a NACK sender follows. The default is Slowest.
	FlowControl FlowControl

	// SlowestFor bounds how long a stream under NACK or Hybrid waits for a receiver, 100ms..24h. One that takes less
	// than a Window while the stream waits for it for so long is evicted: the others go on, and it may lose messages,
	// which OnLoss reports there as LossReset. Both members log it. It counts again when it has room, but not before
	// the same time has passed, and twice as long each time that it was too slow again. Zero: the stream waits for as
	// long as the receiver lives. With FlowControl Fastest it has no meaning.
	SlowestFor time.Duration

	// CongestionControl decides whether the pace of NACK, Hybrid and Totem follows what arrives, and whether
	// NACK and Hybrid let no more be in flight than the rate needs: what stands in receivers' sockets is delay. A burst
	// after idleness leaves at once, as large as the receivers' room. The default is CongestionAuto.
	CongestionControl CongestionControl

	// RepairTimeout bounds how long a receiver under NACK or Hybrid asks for what is missing, from its first request for
	// it, while its sender is there, 100ms..10m. Then it is lost: OnLoss reports LossTimeout in its place, and the stream
	// goes on. Zero means 5s.
	RepairTimeout time.Duration

	// MaxStreams is how many streams this member receives at a time, 1..65,536: each lane of each
	// protocol of each sender is one. Over xdp:// with queues=N it is for each of the N engines.
	// Streams that have ended give way. One that finds no room is not received: a line in the log,
	// StreamRefused (OnStream) and LossRefused (OnLoss) report it. Each takes about 1 KiB. Zero means 4,096.
	MaxStreams int

	// MaxRate bounds what this member sends, in bits per second on the wire: under all its
	// protocols together, with repairs, parity, control datagrams and the headers of Ethernet, IP and
	// UDP. At least 64,000; zero means no bound. Control datagrams (tokens, requests for repair,
	// reports, heartbeats) are charged and do not wait; data gives way to them. A ring's tokens need
	// some 0.4 Mbit/s.
	MaxRate int64

	// NoSelfDelivery: a channel does not receive its own broadcasts.
	NoSelfDelivery bool

	// HeartbeatInterval is the time between two heartbeats of a member of a group, 1ms..1m (NACK's own
	// heartbeats adapt). It grows with the number of members, so that HeartbeatRate holds. Zero means 20ms, or a
	// fifth of FailureTimeout where that is less.
	HeartbeatInterval time.Duration

	// HeartbeatRate bounds what the heartbeats of all members of a group take together, in bits per second on
	// the wire, 64,000..100,000,000,000: with 800,000 the interval is 20ms for up to 16 members and 121ms for 100.
	// FailureTimeout grows with the interval. All members should have the same. Zero means 800,000.
	HeartbeatRate int64

	// FailureTimeout decides when a member of a group fails: it is suspected after a silence of 0.45 of it, and
	// removed after nine tenths, unless another member receives of it. A member whose process stands still for
	// three quarters of it or more asks the others whether it was removed, before it goes on. At least two
	// HeartbeatIntervals and at most 10m. NACK evicts a silent receiver after the larger of it and one second, and
	// later one that lacks nothing, since the stream is idle: it reports ever more rarely.
	// Zero means 100ms, or five HeartbeatIntervals where that is more.
	FailureTimeout time.Duration

	// Linger is how long Stop waits for what was accepted to be sent and, under reliable
	// protocols, received: up to 10m. Zero means 1s.
	Linger time.Duration

	// LockLease is how long a lock of a ClusterChannel is held unless it is extended, 1ms..24h. Zero means 10s.
	LockLease time.Duration

	// ExpectedMembers is the size of the cluster that a quorum is counted from, 0..16: more than half of it has to be
	// there, also at the very first start. All members should have the same. Zero means dynamic: more than half of the
	// last primary component. Then members that start without receiving each other found clusters of their own.
	ExpectedMembers int

	// MasterWeight decides which member of a cluster is master: the highest weight, then the longest-serving.
	// Any number; the default is 0. SetMasterWeight changes it.
	MasterWeight int

	// StateLimit bounds the replicated state of a cluster, in bytes of keys and values with 64 for each entry: 1 MiB..1
	// TiB. What would exceed it is ErrTooLarge. The smallest one of all members is in force. Zero means 4 GiB.
	StateLimit int64

	// Observer: this member of a cluster sees the state, and may write and lock. It is never counted in a quorum, nor
	// master: for tools.
	Observer bool

	// DataDir is the directory where a cluster's state outlives all its members at once. It is made where it is not there,
	// and belongs to one channel of one process, and to one Cluster: Init returns ErrConfig for one that is in use, of
	// another Cluster, damaged, full or not writable, with the remedy. All voting members need one: of members with and
	// without, those without follow and never vote. Empty means memory only.
	DataDir string

	// Sync decides, with DataDir, when a write counts as written. The default is SyncQuorum.
	Sync Sync

	// Idle is what the engine's thread does without work. The default is Backoff.
	Idle Idle

	// Invoker leaves out the engine's thread. The application calls Turn, Offer, Claim and Subscribe
	// from one goroutine at a time, which may change. Stop, Shutdown and Stats may come from any. Turn
	// serves all queues of queues=N.
	Invoker bool

	// EngineCPUs pins the engines' threads, one CPU number for each queue, no number twice: over
	// xdp:// with queues=N there are N engines, elsewhere one, which the first number is for. If
	// there are fewer numbers than engines, the remaining engines are not pinned; extra numbers are
	// ignored. Empty means not pinned. It must be empty with Invoker.
	EngineCPUs []int

	// Inspect "local" shows what Inspect finds to other programs of the same user on this host, from Init to Shutdown:
	// `blaze inspect`, `blaze top` and `blaze serve` look there. BLAZE_INSPECT=local in the environment does the same for
	// any program. What is shown lies in $XDG_RUNTIME_DIR/blaze, or blaze-UID in the directory of temporary files, where
	// nobody else has access. Empty means that nothing is shown.
	Inspect string

	// NoInspect keeps a GroupChannel from showing what Inspect finds to the other members (InspectAll).
	NoInspect bool

	// Logger gets the few lines that a channel writes to the log. Nil means slog.Default().
	Logger *slog.Logger

	group     bool         // of a GroupChannel: SetConfig sets it
	clustered bool         // of a ClusterChannel: SetConfig sets it
	hooks     hook.Options // for this repository's measurements and tests; hook.Set puts them here
}

// TopicConfig is one exception for the topics that match Pattern.
type TopicConfig struct {
	Pattern  string   // a topic, with wildcards as in Subscribe
	Protocol Protocol // the default is NACK, whatever Config.Protocol is
	Safe     bool     // Totem only, as Config.Safe
}

// FECConfig sets the Reed–Solomon code of FEC and Hybrid for what this member sends. Receivers
// follow what the repair symbols say.
type FECConfig struct {
	SourceSymbols int  // datagrams of a block, 1..64; zero means 20
	RepairSymbols int  // repair datagrams of a block with NoAdapt, MinRepair..MaxRepair; zero means the smaller of 2 and MaxRepair
	MinRepair     int  // fewest when adapting, 1..64; −1: none on a clean network; zero means 1
	MaxRepair     int  // most when adapting, MinRepair..64; zero means 6, or MinRepair or RepairSymbols where those are more
	Interleave    int  // blocks that are sent interleaved, against bursts, 1..16; zero means 1
	NoAdapt       bool // always RepairSymbols, whatever the network loses
}

// TotemConfig sets Totem's ring.
type TotemConfig struct {
	Profile   TotemProfile  // the timers; the default is LAN
	TokenLoss time.Duration // silence after which the token counts as lost, 1ms..1m; zero: the profile's
	Hold      time.Duration // how long an idle ring's representative holds the token, at most 4ms (with Block 9.2ms; Isolated 800µs, Shared 80ms), in proportion to TokenLoss; zero: the longest, Shared 40ms; with BusySpin not at all
	Plain     bool          // the ring as first published: data before the token is passed on, not accelerated
}

const (
	maxName   = 255
	maxTopics = 1024
	maxLanes  = 64

	minWindow, maxWindow, defaultWindow = 64 << 10, 1 << 30, 8 << 20
	defaultMaxMessageSize               = 1 << 20
	maxQueueLen, defaultQueueLen        = 1 << 20, 4096
	maxStreams, defaultStreams          = 1 << 16, 4096
	minRate                             = 64_000

	minHeartbeat                     = time.Millisecond
	maxHeartbeatRate                 = 100_000_000_000
	defaultHeartbeatRate             = 800_000
	defaultHeartbeat, defaultFailure = 20 * time.Millisecond, 100 * time.Millisecond

	maxExpectedMembers                              = totem.MaxMembers
	minStateLimit, maxStateLimit, defaultStateLimit = 1 << 20, 1 << 40, 4 << 30
	maxCPU                                          = 1 << 16

	maxSourceSymbols, maxRepairSymbols, maxInterleave = 64, 64, 16
)

// Validate judges c with its defaults filled in, and changes nothing. Its error matches
// ErrConfig (and ErrTopic for a pattern of Topics) and names the first field that cannot be
// used, its value and what is allowed. It does not look at this host: whether the interface is
// there is for Init to find out.
func (c Config) Validate() error {
	d := c.withDefaults()
	for _, check := range []func(Config) error{
		Config.checkNames, Config.checkProtocols, Config.checkFEC, Config.checkTotem,
		Config.checkSizes, Config.checkTimes, Config.checkEngine,
	} {
		if err := check(d); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkNames() error {
	if c.Inspect != "" && c.Inspect != "local" {
		return bad("Inspect", strconv.Quote(words.Abridged(c.Inspect)), `must be "local", or empty`)
	}
	for _, f := range []struct{ field, value string }{{"Name", c.Name}, {"Cluster", c.Cluster}} {
		if len(f.value) > maxName || !utf8.ValidString(f.value) {
			return bad(f.field, strconv.Quote(words.Abridged(f.value)), "must be valid UTF-8 of at most %d bytes", maxName)
		}
	}
	u, err := ParseURI(c.BroadcastURI)
	if err == nil && u.Scheme == "xdp" && u.Interface == "" {
		return bad("BroadcastURI: interface", `""`, "must be the name of a network interface: xdp needs one; add ?interface=NAME")
	}
	return err
}

func (c Config) checkProtocols() error {
	if err := known("Protocol", protocolNames, c.Protocol); err != nil {
		return err
	}
	if c.Safe && c.Protocol != Totem {
		return bad("Safe", "true", "needs Protocol totem; it is %v", c.Protocol)
	}
	if n := len(c.Topics); n > maxTopics {
		return bad("Topics", fmt.Sprint(n, " entries"), "must be at most %d", maxTopics)
	}
	for i, t := range c.Topics {
		field := fmt.Sprintf("Topics[%d].", i)
		if err := topic.ValidatePattern(t.Pattern); err != nil {
			return &configError{field: field + "Pattern", want: err.Error(), cause: ErrTopic}
		}
		if err := known(field+"Protocol", protocolNames, t.Protocol); err != nil {
			return err
		}
		if t.Safe && t.Protocol != Totem {
			return bad(field+"Safe", "true", "needs Protocol totem in the same entry; it is %v", t.Protocol)
		}
	}
	return nil
}

func (c Config) checkFEC() error {
	f := c.FEC
	low := max(f.MinRepair, 0)
	switch {
	case f.RepairSymbols > maxRepairSymbols: // MaxRepair's default follows it
		return bad("FEC.RepairSymbols", fmt.Sprint(f.RepairSymbols), "must be MinRepair to MaxRepair, at most %d", maxRepairSymbols)
	case f.MinRepair != -1 && (f.MinRepair < 1 || f.MinRepair > maxRepairSymbols):
		return bad("FEC.MinRepair", fmt.Sprint(f.MinRepair), "must be 1 to %d, or -1: none on a clean network", maxRepairSymbols)
	case f.MaxRepair < max(low, 1) || f.MaxRepair > maxRepairSymbols:
		return bad("FEC.MaxRepair", fmt.Sprint(f.MaxRepair), "must be %d (MinRepair) to %d", max(low, 1), maxRepairSymbols)
	case f.RepairSymbols < low || f.RepairSymbols > f.MaxRepair:
		return bad("FEC.RepairSymbols", fmt.Sprint(f.RepairSymbols), "must be %d (MinRepair) to %d (MaxRepair)", low, f.MaxRepair)
	}
	return firstError(
		inRange("FEC.SourceSymbols", f.SourceSymbols, 1, maxSourceSymbols),
		inRange("FEC.Interleave", f.Interleave, 1, maxInterleave),
	)
}

func (c Config) checkTotem() error {
	t := c.Totem
	if err := known("Totem.Profile", totemProfileNames, t.Profile); err != nil {
		return err
	}
	if t.TokenLoss != 0 && (t.TokenLoss < time.Millisecond || t.TokenLoss > time.Minute) {
		return bad("Totem.TokenLoss", t.TokenLoss.String(), "must be 1ms to 1m, or 0: the profile's")
	}
	if limit := longestHold(TotemConfig{Profile: t.Profile, TokenLoss: t.TokenLoss}.profile(c.Idle)); t.Hold < 0 || t.Hold > limit {
		return bad("Totem.Hold", t.Hold.String(), "must be at most %v, four fifths of the time after which a token is sent again, or 0: none, and what suits the profile with Block", limit)
	}
	return nil
}

func (c Config) checkSizes() error {
	if err := firstError(
		inRange("Lanes", c.Lanes, 1, maxLanes),
		inRange("Window", c.Window, minWindow, maxWindow),
		inRange("SubscriptionQueue", c.SubscriptionQueue, 1, maxQueueLen),
		inRange("MaxStreams", c.MaxStreams, 1, maxStreams),
	); err != nil {
		return err
	}
	if c.MaxMessageSize < 1 || c.MaxMessageSize > c.Window/2 {
		return bad("MaxMessageSize", fmt.Sprint(c.MaxMessageSize), "must be 1 to %d bytes, half of Window (%d), which may be raised", c.Window/2, c.Window)
	}
	if c.MaxRate != 0 && c.MaxRate < minRate {
		return bad("MaxRate", fmt.Sprint(c.MaxRate), "must be at least %d bits per second, or 0: no bound", minRate)
	}
	return firstError(
		known("SlowConsumer", slowConsumerNames, c.SlowConsumer),
		known("FlowControl", flowControlNames, c.FlowControl),
		known("CongestionControl", congestionControlNames, c.CongestionControl),
	)
}

func (c Config) checkTimes() error {
	return firstError(
		inRange("HeartbeatInterval", c.HeartbeatInterval, minHeartbeat, time.Minute),
		inRange("HeartbeatRate", c.HeartbeatRate, minRate, maxHeartbeatRate),
		inRange("FailureTimeout", c.FailureTimeout, 2*c.HeartbeatInterval, 10*time.Minute),
		c.checkSlowestFor(),
		inRange("RepairTimeout", c.RepairTimeout, 100*time.Millisecond, 10*time.Minute),
		inRange("Linger", c.Linger, 1, 10*time.Minute),
		inRange("LockLease", c.LockLease, time.Millisecond, 24*time.Hour),
	)
}

func (c Config) checkEngine() error {
	if err := firstError(
		inRange("ExpectedMembers", c.ExpectedMembers, 0, maxExpectedMembers),
		inRange("StateLimit", c.StateLimit, minStateLimit, maxStateLimit),
		known("Sync", syncNames, c.Sync),
		known("Idle", idleNames, c.Idle),
	); err != nil {
		return err
	}
	if c.Invoker && len(c.EngineCPUs) > 0 {
		return bad("EngineCPUs", fmt.Sprint(c.EngineCPUs), "must be empty with Invoker, which has no engine thread to pin")
	}
	for i, cpu := range c.EngineCPUs {
		field := fmt.Sprintf("EngineCPUs[%d]", i)
		if err := inRange(field, cpu, 0, maxCPU); err != nil {
			return err
		}
		if slices.Contains(c.EngineCPUs[:i], cpu) {
			return bad(field, strconv.Itoa(cpu), "stands there twice")
		}
	}
	return nil
}

// pinError is what Start returns when err is an engine's that cannot be pinned to its CPU; err otherwise.
func (c *Config) pinError(err error) error {
	var pin *engine.PinError
	if !errors.As(err, &pin) {
		return err
	}
	field := fmt.Sprintf("EngineCPUs[%d]", slices.Index(c.EngineCPUs, pin.CPU))
	return &configError{field: field, value: strconv.Itoa(pin.CPU), want: "must be a CPU that is online, in this process's cpuset: " + pin.Err.Error(), cause: err}
}

// clone returns a copy of c that shares no slices with it.
func (c Config) clone() Config {
	c.Topics, c.EngineCPUs = slices.Clone(c.Topics), slices.Clone(c.EngineCPUs)
	return c
}

// withDefaults returns a copy of c, slices included, with every zero field filled in.
func (c Config) withDefaults() Config {
	c = c.clone()
	setDefault(&c.Cluster, "default")
	setDefault(&c.BroadcastURI, uri.Default)
	if c.Name == "" {
		c.Name = defaultName()
	}
	setDefault(&c.Lanes, 1)
	if c.Window == 0 {
		c.Window = max(defaultWindow, 2*min(c.MaxMessageSize, maxWindow/2))
	}
	setDefault(&c.MaxMessageSize, min(defaultMaxMessageSize, c.Window/2))
	setDefault(&c.SubscriptionQueue, defaultQueueLen)
	setDefault(&c.MaxStreams, defaultStreams)
	if c.HeartbeatInterval == 0 {
		c.HeartbeatInterval = defaultHeartbeat
		if c.FailureTimeout > 0 { // what is set to something impossible is the field that Validate names
			c.HeartbeatInterval = max(minHeartbeat, min(defaultHeartbeat, c.FailureTimeout/5))
		}
	}
	setDefault(&c.HeartbeatRate, defaultHeartbeatRate)
	setDefault(&c.FailureTimeout, max(defaultFailure, 5*min(c.HeartbeatInterval, time.Minute)))
	setDefault(&c.RepairTimeout, 5*time.Second)
	setDefault(&c.Linger, time.Second)
	setDefault(&c.LockLease, 10*time.Second)
	setDefault(&c.StateLimit, defaultStateLimit)

	f := &c.FEC
	setDefault(&f.SourceSymbols, 20)
	setDefault(&f.MinRepair, 1)
	setDefault(&f.MaxRepair, max(6, f.MinRepair, f.RepairSymbols))
	setDefault(&f.RepairSymbols, max(min(2, f.MaxRepair), f.MinRepair))
	setDefault(&f.Interleave, 1)

	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// defaultName is host name and process id, the program's name where the host has none.
func defaultName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = filepath.Base(os.Args[0])
	}
	pid := "-" + strconv.Itoa(os.Getpid())
	return host[:min(len(host), maxName-len(pid))] + pid
}

// nack is f, with its defaults filled in, as the protocol's core has it.
func (f FECConfig) nack() nack.FEC {
	n := nack.FEC{Source: f.SourceSymbols, Interleave: f.Interleave, Min: f.MinRepair, Max: f.MaxRepair}
	if f.NoAdapt {
		n.Fixed = f.RepairSymbols
	}
	return n
}

// bad, inRange and known make the errors of Validate.

func bad(field, value, format string, a ...any) error {
	return &configError{field: field, value: value, want: fmt.Sprintf(format, a...)}
}

func (c Config) checkSlowestFor() error {
	const low, high = 100 * time.Millisecond, 24 * time.Hour
	if d := c.SlowestFor; d != 0 && (d < low || d > high) {
		return bad("SlowestFor", fmt.Sprint(d), "must be %v to %v, or 0", low, high)
	}
	return nil
}

func inRange[T int | int64 | time.Duration](field string, value, low, high T) error {
	if value >= low && value <= high {
		return nil
	}
	return bad(field, fmt.Sprint(value), "must be %v to %v", low, high)
}

func known[E ~uint8](field string, names []string, e E) error {
	if int(e) < len(names) {
		return nil
	}
	return bad(field, strconv.Itoa(int(e)), "must be %s", words.Alternatives(names))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
