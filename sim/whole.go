package sim

import (
	"errors"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// linger is how long a whole member that leaves waits for its receivers' reports.
const linger = 2 * time.Second

// queueBytes is the command queue of each lane of a queued member.
const queueBytes = 256 << 10

var errQueue = errors.New("sim: command queue is full")

// WholeNode is a member as the root package starts it: internal/member, with a table of
// subscriptions, and with command queues or without.
type WholeNode struct {
	Member  *member.Member
	queued  bool
	config  NodeConfig
	pool    *buf.Pool
	leaving bool
	left    bool // the farewell is sent
	until   clock.Time
}

// NewQueuedNode makes a member that takes messages from queues, as one whose engine has a
// thread of its own.
func NewQueuedNode(c NodeConfig) Node { return newWholeNode(c, queueBytes) }

// NewInvokedNode makes a member whose application turns it, as with Config.Invoker: messages
// are packed straight into the datagram.
func NewInvokedNode(c NodeConfig) Node { return newWholeNode(c, 0) }

func newWholeNode(c NodeConfig, queue int) Node {
	m := c.Member
	n := &WholeNode{queued: queue > 0, config: c}
	n.pool = buf.NewPool(m.buffers(c.Driver.Datagram()), c.Driver.Datagram()+nack.Headroom)
	table := member.NewTable()
	table.Add(">", consumer{n})
	n.Member = member.New(member.Config{
		ID: c.Self, Incarnation: c.Incarnation, Cluster: c.Cluster, Driver: c.Driver, Pool: n.pool, Table: table, Rand: c.Rand,
		Protocol: m.Protocol, FEC: m.FEC, Lanes: m.Lanes, Window: m.Window, MaxMessageSize: m.MaxMessageSize,
		Fastest: m.Fastest, SelfDelivery: m.SelfDelivery, Eviction: m.Eviction, MaxRate: m.MaxRate, Queue: queue, CPU: -1,
		MaxStreams: m.MaxStreams, Events: c.Events,
	})
	return n
}

// consumer is the subscription to everything.
type consumer struct{ n *WholeNode }

func (c consumer) Ready(clock.Time) bool {
	r, ok := c.n.config.Sink.(interface{ Ready() bool })
	return !ok || r.Ready()
}

func (c consumer) Deliver(_ clock.Time, _ string, d *core.Delivery) { c.n.config.Sink.Deliver(d) }

func (c consumer) Lost(l *core.Loss) { c.n.config.Sink.Lost(l) }

// Turn is one turn of the engine; a member that leaves sends its farewell once it has settled.
func (n *WholeNode) Turn(now clock.Time) int {
	work := n.Member.Turn(now)
	if n.leaving && !n.left && (n.Member.Settled() || now >= n.until) {
		n.left = true
		n.Member.Nack().Close(now)
		work++
	}
	return work
}

// Deadline is the engine's, or when a member that leaves has waited long enough.
func (n *WholeNode) Deadline() (clock.Time, bool) {
	at, ok := n.Member.Engine().Deadline()
	if n.leaving && !n.left {
		at, ok = clock.Earlier(at, ok, n.until, true)
	}
	return at, ok
}

// Stream is the stream of a topic: whole members hash topics over lanes themselves.
func (n *WholeNode) Stream(topic string) wire.StreamID {
	id, _ := n.Member.Stream(topic)
	return id
}

// Open begins the stream of a topic.
func (n *WholeNode) Open(now clock.Time, id wire.StreamID) {
	if name := n.topicOf(id); name != "" {
		n.Member.Lane(now, name)
		n.config.Driver.Wake()
	}
}

// topicOf finds one of the load's topics that goes to the stream.
func (n *WholeNode) topicOf(id wire.StreamID) string {
	for _, t := range topics {
		if s, _ := n.Member.Stream(t); s == id {
			return t
		}
	}
	return ""
}

// Offer sends one message.
func (n *WholeNode) Offer(now clock.Time, _ wire.StreamID, topic string, payload []byte) error {
	l, safe := n.Member.Lane(now, topic)
	if n.queued {
		if !l.Put(topic, wire.KindRaw, payload, safe) {
			return errQueue
		}
		n.config.Driver.Wake()
		return nil
	}
	err := l.Offer(now, topic, wire.KindRaw, payload, safe)
	n.config.Driver.Wake()
	return err
}

// Refused recognises back-pressure.
func (n *WholeNode) Refused(err error) bool {
	return errors.Is(err, nack.ErrWindow) || errors.Is(err, errQueue)
}

// Leave waits for the receivers' reports, and then sends the farewell.
func (n *WholeNode) Leave(now clock.Time) {
	n.leaving, n.until = true, now.Add(linger)
	n.config.Driver.Wake()
}

// Left reports whether everything is sent.
func (n *WholeNode) Left() bool { return n.left && n.Member.Silent() }

// Release gives every buffer back.
func (n *WholeNode) Release() (count, free int) {
	n.Member.Release()
	return n.pool.Count(), n.pool.Free()
}

// Stats are the engine's.
func (n *WholeNode) Stats() NodeStats { return engineStats(n.Member.Engine().Stats()) }

func engineStats(s engine.Stats) NodeStats {
	out := NodeStats{Received: s.Received, Taken: s.Received, Drops: s.Drops[:]}
	for _, d := range out.Drops {
		out.Taken -= d
	}
	return out
}
