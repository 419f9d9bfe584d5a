package sim

import (
	"errors"
	"slices"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// CoreNode is a member without an application's queues: the engine that real members run, and
// the NACK core under it. It is light enough for a thousand in one run.
type CoreNode struct {
	Engine   *engine.Engine
	Protocol *nack.Protocol
	pool     *buf.Pool
	senders  map[wire.StreamID]*nack.Sender
	driver   *Driver
	lanes    int
	protocol wire.Protocol
	leaving  bool
}

// NewCoreNode makes one.
func NewCoreNode(c NodeConfig) Node {
	m := c.Member
	// Few streams are received at a time; those of members that have ended hold nothing.
	pool := buf.NewPool(m.buffers(c.Driver.Datagram()), c.Driver.Datagram()+nack.Headroom)
	p := nack.New(nack.Config{
		Self: c.Self, Incarnation: c.Incarnation, Cluster: c.Cluster,
		Datagram: c.Driver.Datagram(), Window: m.Window, MaxMessageSize: m.MaxMessageSize,
		Fastest: m.Fastest, Eviction: m.Eviction, SlowestFor: m.SlowestFor, FreePace: m.FreePace, Pacer: core.NewPacer(m.MaxRate, c.Driver.Datagram()), Room: c.Driver.Room(), Lanes: m.Lanes,
		SelfDelivery: m.SelfDelivery, Pool: pool, Rand: c.Rand, Sink: c.Sink,
		FEC: m.FEC, MaxStreams: m.MaxStreams, MaxReceivers: m.MaxReceivers, Events: c.Events,
	})
	e := engine.New(engine.Config{Driver: c.Driver, Self: c.Self, Cluster: c.Cluster, CPU: -1,
		Protocols: map[wire.Protocol]engine.Protocol{wire.NACK: p, wire.BestEffort: p, wire.FEC: p, wire.Hybrid: p}})
	return &CoreNode{Engine: e, Protocol: p, pool: pool, senders: map[wire.StreamID]*nack.Sender{}, driver: c.Driver, lanes: m.Lanes, protocol: m.Protocol}
}

// Turn is one turn of the engine.
func (n *CoreNode) Turn(now clock.Time) int { return n.Engine.Turn(now) }

// Deadline is the engine's.
func (n *CoreNode) Deadline() (clock.Time, bool) { return n.Engine.Deadline() }

// Open begins a stream.
func (n *CoreNode) Open(now clock.Time, id wire.StreamID) {
	n.senders[id] = n.Protocol.Open(now, id)
	n.driver.Wake()
}

// Sender is the sending half of a stream that was opened.
func (n *CoreNode) Sender(id wire.StreamID) *nack.Sender { return n.senders[id] }

// Offer sends one message.
func (n *CoreNode) Offer(now clock.Time, id wire.StreamID, topic string, payload []byte) error {
	s := n.senders[id]
	if s == nil {
		n.Open(now, id)
		s = n.senders[id]
	}
	err := s.Offer(now, topic, wire.KindRaw, payload)
	n.driver.Wake()
	return err
}

// Refused recognises back-pressure.
func (n *CoreNode) Refused(err error) bool { return errors.Is(err, nack.ErrWindow) }

// Leave sends a farewell to the others.
func (n *CoreNode) Leave(now clock.Time) {
	n.leaving = true
	n.Protocol.Close(now)
	n.driver.Wake()
}

// Left reports whether a turn after Leave found nothing to send.
func (n *CoreNode) Left() bool { return n.leaving && n.Engine.Flushed() && n.Protocol.Quiet() }

// Release gives every buffer back.
func (n *CoreNode) Release() (count, free int) {
	n.Engine.Release()
	n.Protocol.Release()
	return n.pool.Count(), n.pool.Free()
}

// Stats are the engine's.
func (n *CoreNode) Stats() NodeStats { return engineStats(n.Engine.Stats()) }

// Stream is the stream of a topic: the load spreads topics over lanes itself.
func (n *CoreNode) Stream(topic string) wire.StreamID {
	return wire.NewStreamID(n.protocol, uint16(slices.Index(topics, topic)%n.lanes))
}
