package sim

import (
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Node is one member as a Cluster drives it: between turns, from one goroutine.
type Node interface {
	Turner
	// Stream is the stream that a topic is sent on reliably.
	Stream(topic string) wire.StreamID
	// Open begins a stream, so that receivers have a sign of it before its first message.
	Open(now clock.Time, id wire.StreamID)
	// Offer sends one message, or fails and changes nothing.
	Offer(now clock.Time, id wire.StreamID, topic string, payload []byte) error
	// Refused reports whether err from Offer is back-pressure: the same message may pass later.
	Refused(err error) bool
	// Leave begins an orderly end: what was accepted is sent, then a farewell.
	// Turns go on until Left.
	Leave(now clock.Time)
	// Left reports whether nothing is left to be sent.
	Left() bool
	// Release gives back every buffer, and returns how many there are and how many are free.
	Release() (count, free int)
	// Stats returns how many datagrams were received and how many of them were dropped, by reason.
	Stats() NodeStats
}

// NodeStats is what every member counts.
type NodeStats struct {
	Received uint64   // datagrams
	Taken    uint64   // of these, those that a protocol accepted
	Drops    []uint64 // the rest, by reason
}

// NodeConfig is what a member is made of.
type NodeConfig struct {
	Self        wire.MemberID
	Incarnation uint32
	Cluster     uint64
	Driver      *Driver
	Sink        nack.Sink
	Events      func(nack.Event)
	Rand        *rand.Rand
	Now         clock.Time
	Member      MemberConfig
}

// MemberConfig are the settings of the members of a cluster. Its zero value works.
type MemberConfig struct {
	Window         int           // bytes; zero means 1 MiB
	MaxMessageSize int           // bytes; zero means 64 KiB
	Fastest        bool          // FlowControl Fastest
	Eviction       time.Duration // zero means 1s
	SlowestFor     time.Duration // zero means for as long as a receiver lives
	MaxRate        int64         // bits/s; zero means no bound
	Lanes          int           // zero means 1
	SelfDelivery   bool
	MaxStreams     int           // zero means what nack chooses
	Protocol       wire.Protocol // of what is sent, as in Load; zero means NACK
	FEC            nack.FEC
	FreePace       bool // no congestion control
	MaxReceivers   int  // zero means what nack chooses
}

func (c MemberConfig) withDefaults() MemberConfig {
	if c.Window == 0 {
		c.Window = 1 << 20
	}
	if c.MaxMessageSize == 0 {
		c.MaxMessageSize = 64 << 10
	}
	if c.Eviction == 0 {
		c.Eviction = time.Second
	}
	if c.Protocol == 0 {
		c.Protocol = wire.NACK
	}
	if c.Lanes == 0 {
		c.Lanes = 1
	}
	return c
}

// buffers is how many packet buffers a member has.
func (c *MemberConfig) buffers(datagram int) int {
	n := nack.Buffers(c.Window, datagram, 2*c.Lanes, 4) + 2*engine.Batch
	if c.Protocol == wire.FEC || c.Protocol == wire.Hybrid {
		n += nack.FECBuffers(c.FEC, 2*c.Lanes)
	}
	return n
}
