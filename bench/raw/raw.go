// Package raw is the yardstick: what bare sockets do on this host, without a protocol.
//
// Two ends, each its own process, send to a multicast group and receive as members do: each has
// a socket that receives from the group, and a socket of its own that it sends from. They spin with the cheapest calls:
// recvfrom and sendto for one datagram while nothing queues, recvmmsg and sendmmsg for a batch when something does.
// The kernel hands each end its own packets too, unless Config.NoLoop forbids that. Nothing is
// numbered, repaired or held back, so nothing that is built on sockets of this kind does
// better, unless it asks the kernel for less: Config.GSO shows what segmentation is worth.
//
// With Config.XDP the same is done over AF_XDP: rings and packet memory of package xdp, a program
// of a dozen instructions that redirects the group, headers that are written once. No driver,
// filter or protocol is in between. NotDone states what else is missing, against something that carries messages.
//
// The end that measures (Latency, Sender) and the one that answers (Responder, Receiver) find
// each other through the group, may start in any order, and end together. Each run needs a
// group and port of its own.
package raw

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrUnsupported means that this system is not Linux, or its kernel lacks segmentation.
var ErrUnsupported = errors.New("raw: not supported")

// ErrNoPeer means that the other end did not answer.
var ErrNoPeer = errors.New("raw: the other end does not answer")

// Config is what is measured. Both ends need the same.
type Config struct {
	Group     netip.AddrPort // IPv4 multicast address and port
	Interface string         // empty: loopback
	Size      int            // payload of a datagram in bytes, MinSize..MaxSize
	GSO       bool           // segmentation and coalescing, as far as a packet holds
	NoLoop    bool           // an end does not get its own packets (IP_MULTICAST_LOOP); on loopback it gets them in any case
	Duration  time.Duration  // of the measurement; a tenth of it is added in front to warm up
	XDP       *XDP           // over AF_XDP; nil: over the kernel's sockets

	pingPong bool // never more than a few datagrams are on their way
}

// XDP is how AF_XDP is used. The zero value is what the library's own driver would take.
type XDP struct {
	Socket   string // "own" or "asavie"; empty: own
	Mode     string // "auto", "native" or "generic"; empty: auto
	ZeroCopy string // "auto", "on" or "off"; empty: auto
	Queue    int
}

// NotDone is what an end over AF_XDP leaves out, and something that carries messages cannot.
const NotDone = "touching the payload beyond 16 bytes, checksums, order, repair"

// Bounds of Config.Size.
const (
	MinSize = 16
	MaxSize = 1472 // a payload that fits Ethernet's 1500 bytes
)

// Patience is how long an end waits for the other one to appear, or to say something once it
// has appeared.
const Patience = 10 * time.Second

// Pings is what Latency counted.
type Pings struct {
	Count uint64 // round trips that were recorded
	Lost  uint64 // datagrams without an answer within 100 ms
	Mode  string // over AF_XDP: what was taken, such as "generic copy"; empty over sockets
}

// Sent is what Sender counted.
type Sent struct {
	Datagrams uint64 // taken by the kernel, warm-up included
	Seconds   float64
}

// Received is what Receiver counted, warm-up excluded.
type Received struct {
	Datagrams uint64 // that arrived
	Lost      uint64 // that were sent between the first and the last that arrived, and did not
	Seconds   float64
}

// PerSecond is the rate at which datagrams arrived.
func (r Received) PerSecond() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Datagrams) / r.Seconds
}

func (c Config) validate() error {
	switch {
	case !c.Group.Addr().Is4() || !c.Group.Addr().IsMulticast() || c.Group.Port() == 0:
		return fmt.Errorf("raw: group %v is no IPv4 multicast address with a port", c.Group)
	case c.Size < MinSize || c.Size > MaxSize:
		return fmt.Errorf("raw: size %d is outside %d to %d", c.Size, MinSize, MaxSize)
	case c.XDP != nil && c.Interface == "":
		return fmt.Errorf("raw: AF_XDP needs an interface")
	case c.XDP != nil && c.NoLoop:
		return fmt.Errorf("raw: AF_XDP never hands an end its own packets")
	case c.XDP != nil && c.GSO:
		return fmt.Errorf("raw: AF_XDP has no segmentation offload")
	case c.Duration <= 0:
		return fmt.Errorf("raw: duration %v is not positive", c.Duration)
	}
	return nil
}

// A datagram begins with its kind and, after padding, a number; the rest is zero.
const (
	kindHello  = 1 // the measuring end looks for the other; number: 0
	kindReady  = 2 // the answer
	kindPing   = 3
	kindPong   = 4 // carries the ping's number
	kindData   = 5 // numbered from 0
	kindFinish = 6 // the sender or pinger is done
	kindBye    = 7 // the answer
)
