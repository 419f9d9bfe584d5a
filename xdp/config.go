package xdp

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"time"
)

// Errors. Open wraps them, and the kernel's own, with what was tried and what helps.
var (
	ErrConfig      = errors.New("xdp: configuration")         // an option, or an interface that cannot be used as it is
	ErrUnsupported = errors.New("xdp: not supported")         // host, kernel, driver or build lack something
	ErrPrivilege   = errors.New("xdp: not permitted")         // the process lacks a capability
	ErrInUse       = errors.New("xdp: interface is taken")    // by another member, or another XDP program
	ErrAgain       = errors.New("xdp: the TX ring is full")   // Send stopped short; try again after a turn
	ErrClosed      = errors.New("xdp: the driver was closed") // from Send after Close
	ErrLeak        = errors.New("xdp: buffers are still held")
)

// Config says what a driver is opened for. Group and Interface are needed; every other field
// may be zero.
type Config struct {
	// Group is the IPv4 multicast address and port of the group.
	Group netip.AddrPort

	// Interface names the network interface. VLAN interfaces are refused: name their parent.
	Interface string

	// Cluster is wire.ClusterHash of the cluster's name: the filter takes no other's datagrams.
	Cluster uint64

	// Queue is the interface's receive queue, 0..4095. What arrives on others goes to the
	// kernel and comes through the ordinary socket.
	Queue int

	// Queues is how many queues are received from, Queue being the first, which is also sent
	// through: 1..64. Zero means 1. Each has a fill ring of its own, so packet memory grows.
	// The order of what comes in different queues is not kept. It needs Linux 5.10, and own
	// sockets.
	Queues int

	// Split leaves each queue but the first to a Queue of its own (Driver.Queues), for another
	// thread to receive from, with packet memory of its own. Otherwise the Driver receives from
	// all of them.
	Split bool

	// QueueBuffers is how many buffers the cores behind each such Queue may hold: 0..4194304.
	// Zero means as many as Buffers.
	QueueBuffers int

	// Lanes are the lanes that are wanted from the group: ranges of a first and a last one. Nil
	// means all.
	Lanes [][2]uint32

	// Mode is "auto", "native" (in the card's driver) or "generic" (in the stack). Empty means
	// auto: native and then generic on cards, generic on virtual interfaces, where it is no
	// slower and disturbs the other side less.
	Mode string

	// ZeroCopy is "auto", "on" or "off". Empty means auto, which is off: too many drivers
	// corrupt or stop when they share memory. With "on" it is that or an error.
	ZeroCopy string

	// Socket is "own" or "asavie", the implementation of the AF_XDP socket. Empty means own.
	// A program that uses asavie imports package xdp/asavie.
	Socket string

	// TTL is the number of hops that multicast may travel, 1..255. Zero means 1: the local
	// network. Unicast has 64.
	TTL int

	// MTU is the largest IP packet in bytes, 576 up to the interface's MTU, at most 3498.
	// Zero means the interface's, but not more than 1500. Members of a group use the same.
	MTU int

	// DSCP marks what is sent (RFC 2474), 0..63.
	DSCP int

	// BusyPoll makes the kernel poll the card from Recv, for this long, 0..1s in whole
	// microseconds. It works only where the card's driver names its NAPI; elsewhere it is
	// left alone, which Reason says. Zero leaves it to interrupts.
	BusyPoll time.Duration

	// Buffers is how many buffers the cores may hold: 0..4194304. Zero means 4096.
	Buffers int

	// FillRing is how many buffers wait for packets: a power of two, 64..65536. It is what a
	// burst, or a pause of this thread, may bring before packets are lost. Zero means 4096,
	// 5 ms at 0.8 million packets a second.
	FillRing int

	// TxRing is how many packets may be on their way out: a power of two, 64..65536. Zero
	// means 2048.
	TxRing int

	// Breakdown makes the filter stamp each packet's time of arrival, see Driver.Arrival.
	Breakdown bool

	// OnKick, if set, is called on the engine's thread when packets are written and the kernel
	// is to send them. It is for measurements.
	OnKick func()

	// Loss makes the filter drop this part of the group's datagrams, 0..1, chosen by Seed. It
	// is for tests.
	Loss float64
	Seed uint64

	// Tap names a file that sent and received packets are written to, as pcapng. Empty means
	// none. It stops at TapBytes; zero means 64 MiB.
	Tap      string
	TapBytes int64

	// Logger takes the few lines that a driver logs. Nil means slog.Default().
	Logger *slog.Logger
}

// MaxMTU is the largest MTU, in bytes: what native mode takes on veth, a page less the kernel's own.
const MaxMTU = 3498

const (
	minMTU     = 576 // RFC 791: what every host must take
	defaultMTU = 1500

	defaultBuffers = 4096
	maxBuffers     = 1 << 22
	defaultFill    = 4096
	defaultTx      = 2048
	minRing        = 64
	maxRing        = 1 << 16
	maxQueue       = 4095
	maxQueues      = 64

	unicastTTL = 64
)

// State reports whether packets flow.
type State uint8

// The states.
const (
	Up     State = iota // packets flow
	Down                // the link is down: what is sent is dropped and counted
	Gone                // the interface was removed; the driver waits for it to return
	Closed              // Close was called
)

func (s State) String() string {
	return [...]string{"up", "down", "gone", "closed"}[s]
}

// fill fills in the zero fields, MTU apart.
func (c *Config) fill() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	text := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&c.TTL, 1)
	def(&c.Queues, 1)
	def(&c.Buffers, defaultBuffers)
	def(&c.QueueBuffers, c.Buffers)
	def(&c.FillRing, defaultFill)
	def(&c.TxRing, defaultTx)
	text(&c.Mode, "auto")
	text(&c.ZeroCopy, "auto")
	text(&c.Socket, "own")
	if c.TapBytes == 0 {
		c.TapBytes = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// withDefaults returns c with its zero fields filled in (MTU apart, which the interface
// decides), or an error that names the field, its value and what is allowed.
func (c Config) withDefaults() (Config, error) {
	bad := func(format string, a ...any) (Config, error) {
		return Config{}, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, a...)...)
	}
	c.fill()
	ring := func(n int) bool { return n >= minRing && n <= maxRing && bits.OnesCount(uint(n)) == 1 }
	switch a := c.Group.Addr(); {
	case !a.Is4() || !a.IsMulticast() || c.Group.Port() == 0:
		return bad("group %v is no IPv4 multicast address with a port (239.x.y.z is for private use)", c.Group)
	case c.Interface == "":
		return bad("no interface is named; AF_XDP needs one")
	case c.Queue < 0 || c.Queue > maxQueue:
		return bad("queue %d is outside 0 to %d", c.Queue, maxQueue)
	case c.Queues < 1 || c.Queues > maxQueues || c.Queue+c.Queues > maxQueue+1:
		return bad("%d queues from queue %d on: at most %d, and none above %d", c.Queues, c.Queue, maxQueues, maxQueue)
	case c.Queues > 1 && c.Socket == "asavie":
		return bad("%d queues need socket own: one of asavie/xdp cannot share its packet memory", c.Queues)
	case c.Mode != "auto" && c.Mode != "native" && c.Mode != "generic":
		return bad("mode %q is none of auto, native, generic", c.Mode)
	case c.ZeroCopy != "auto" && c.ZeroCopy != "on" && c.ZeroCopy != "off":
		return bad("zerocopy %q is none of auto, on, off", c.ZeroCopy)
	case c.Socket != "own" && c.Socket != "asavie":
		return bad("socket %q is none of own, asavie", c.Socket)
	case c.ZeroCopy == "on" && c.Mode == "generic":
		return bad("zerocopy on needs mode native: generic mode always copies")
	case c.TTL < 1 || c.TTL > 255:
		return bad("ttl %d is outside 1 to 255", c.TTL)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > MaxMTU):
		return bad("mtu %d is outside %d to %d", c.MTU, minMTU, MaxMTU)
	case c.DSCP < 0 || c.DSCP > 63:
		return bad("dscp %d is outside 0 to 63", c.DSCP)
	case c.BusyPoll < 0 || c.BusyPoll > time.Second || c.BusyPoll%time.Microsecond != 0:
		return bad("busypoll %v is not 0 to 1s in whole microseconds", c.BusyPoll)
	case c.Buffers < 0 || c.Buffers > maxBuffers:
		return bad("%d buffers are outside 0 to %d", c.Buffers, maxBuffers)
	case c.QueueBuffers < 0 || c.QueueBuffers > maxBuffers:
		return bad("%d buffers for a queue are outside 0 to %d", c.QueueBuffers, maxBuffers)
	case !ring(c.FillRing):
		return bad("fill ring of %d is no power of two, %d to %d", c.FillRing, minRing, maxRing)
	case !ring(c.TxRing):
		return bad("TX ring of %d is no power of two, %d to %d", c.TxRing, minRing, maxRing)
	case !(c.Loss >= 0 && c.Loss <= 1):
		return bad("loss %v is outside 0 to 1", c.Loss)
	case c.TapBytes < 0:
		return bad("a tap of %d bytes", c.TapBytes)
	}
	return c, nil
}
