package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// ClusterRing is what a second ring of a member is made of. Its members are those that have one too. It is not the ring
// of topics under Totem, which a subscription may hold up: each of the two receives only its own stream.
type ClusterRing struct {
	Profile totem.Profile
	Plain   bool
	Sink    totem.Sink // never refuses
	Views   func(totem.View)
	Events  func(totem.Event)
	Visit   func(now, confirmed clock.Time, high uint64)

	// Core is what the core of a cluster is made of that runs on the ring. Self, Datagram, Ring and Pairs are filled in.
	// Then Sink, Views and Visit are its own. Nil: it has none.
	Core *cluster.Config
}

// ClusterStream is the stream of that ring.
const ClusterStream = wire.StreamID(wire.ClusterRing) << 24

// ClusterMessageSize is the largest message of that ring, in bytes, at every member: one that is larger than a
// member takes is dropped there, and replicas would differ.
const ClusterMessageSize = 16<<20 + 64<<10

// clusterStore is how many datagrams the ring holds for repair.
const clusterStore = 2048

// ClusterBuffers is how many buffers of the pool the ring takes.
func ClusterBuffers(datagram int) int { return totem.Buffers(clusterStore*datagram, datagram) }

// ClusterBytes is how many bytes its large messages take, on their way out and in.
const ClusterBytes = ClusterMessageSize + 4*ClusterMessageSize

// ringRoom is the part of the socket's room that each of a member's rings reckons with.
func (c *Config) ringRoom() int {
	if c.ClusterRing != nil && c.uses(wire.Totem) {
		return c.Driver.Room() / 2
	}
	return c.Driver.Room()
}

// startCluster makes the core of the ring.
func (m *Member) startCluster() {
	r, cfg := m.cfg.ClusterRing, &m.cfg
	if r == nil {
		return
	}
	datagram := cfg.Driver.Datagram()
	c := totem.Config{
		Self: cfg.ID, Incarnation: cfg.Incarnation, Cluster: cfg.Cluster, Stream: ClusterStream,
		Datagram: datagram, Window: clusterStore * datagram, MaxMessageSize: ClusterMessageSize,
		Room: cfg.ringRoom(), Pacer: m.pacer, Pool: cfg.Pool, Rand: cfg.Rand, Sink: r.Sink,
		Views: r.Views, Events: r.Events, Visit: r.Visit, Profile: r.Profile, Plain: r.Plain, FreePace: cfg.FreePace, Safe: true, SelfDelivery: true,
	}
	if r.Core != nil {
		m.replica = newReplica(m, &c, r)
		return
	}
	m.cluster = totem.New(c)
}

// inCluster reports whether the member's table follows the ring of a cluster.
func (c *Config) inCluster() bool { return c.ClusterRing != nil && c.ClusterRing.Core != nil }

// Cluster returns the core that runs the cluster's ring, nil where there is none. It belongs to the first engine's
// thread.
func (m *Member) Cluster() *totem.Protocol { return m.cluster }
