package blaze

import (
	"math/bits"
	"slices"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/fanin"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/xdp"
)

const (
	// reorderWindows is how many received streams can have a full reorder window at one time.
	// All received streams share that room: most are in order and need none. When it is used
	// up, what comes early is dropped and asked for again.
	reorderWindows = 4

	// minCommandRing is the smallest command ring of a lane, bytes.
	minCommandRing = 1 << 20

	// commandOverhead is what a message takes in a command ring besides its payload, at most:
	// the topic, the record's header, and padding.
	commandOverhead = topic.MaxLen + 32

	// receiveSlots is what the driver receives into: for each of its two sockets a batch of 32
	// slots, which hold 64 KiB each where the kernel coalesces datagrams.
	receiveSlots = 2 * 32 * (64 << 10)

	ipHeaders  = attach.IPHeaders
	defaultMTU = attach.DefaultMTU
)

// memory is what a channel allocates at Init and Start, a line for each holder. Init takes its
// sizes from here, so that this sum is what is really used.
type memory struct {
	buffers    int64 // packet memory: see poolBuffers
	tables     int64 // what is known of each datagram that is held for repair
	streams    int64 // what is known of each stream that is received
	coding     int64 // where repair symbols are made and solved
	receive    int64 // where the driver receives
	commands   int64 // messages on their way from the application to the engine, for each lane
	reassembly int64 // messages that are being put together
	topics     int64 // names of topics, with who publishes on them and who has subscribed to them
	inboxes    int64 // what several engines have for each other
	ring       int64 // large messages of a ring: those that wait for the token, and those that are being put together
	group      int64 // of a GroupChannel: what is known of members, calls and queued items that wait, large messages to one member, the way to the engine
	cluster    int64 // of a cluster: large messages of its ring
	intakes    int64 // messages that wait for the handlers of subscriptions, all together
}

// memory is c's over sockets.
func (c *Config) memory(datagram int) memory {
	perBuffer := int64(bufferSize(datagram)) + int64(unsafe.Sizeof(buf.Buf{})) + 4
	return memory{
		buffers:    int64(c.poolBuffers(datagram)) * perBuffer,
		tables:     int64(c.sendStreams()) * int64(nack.Tables(c.Window, datagram, c.MaxMessageSize)),
		streams:    int64(nack.StreamTables(c.Window, datagram, c.MaxStreams)),
		coding:     c.coding(datagram),
		receive:    receiveSlots,
		commands:   int64(c.sendQueues()) * int64(c.commandQueue()),
		reassembly: int64(nack.AssemblyBytes(c.MaxMessageSize)),
		topics:     c.cachedTopics() * member.MaxCachedTopics * member.TopicBytes,
		intakes:    c.queueBytes(),
		ring:       c.ringBytes(),
		group:      c.groupBytes(),
		cluster:    c.clusterBytes(),
	}
}

// cachedTopics is how many caches of topics there are: for Broadcast, for what an engine receives, and for what it takes
// from command rings.
func (c *Config) cachedTopics() int64 {
	if c.Invoker && !c.group {
		return 2
	}
	return 3
}

// ringBytes is what a ring's large messages take, on their way out and in.
func (c *Config) ringBytes() int64 {
	if !c.usesTotem() {
		return 0
	}
	return int64(totem.QueueBytes(c.MaxMessageSize) + totem.AssemblyBytes(c.MaxMessageSize))
}

// memoryXDP is c's over AF_XDP, where one packet memory is for the cores and for the driver's rings.
func (c *Config) memoryXDP(mtu, queues int) memory {
	datagram := mtu - ipHeaders
	m := c.memory(datagram)
	m.buffers, _ = xdp.Config{
		Buffers: c.poolBuffers(datagram), MTU: mtu, Queues: queues, Split: !c.Invoker, QueueBuffers: c.queueBuffers(datagram),
	}.Memory()
	m.receive = 0
	if further := int64(queues) - 1; further > 0 && !c.Invoker { // an engine for each
		m.inboxes = (1 + further) * fanin.TransferBytes
		m.streams *= 1 + further
		m.topics += further * member.MaxCachedTopics * member.TopicBytes
		m.reassembly *= 1 + further
		if c.group {
			m.group += further * int64(nack.BarredBytes)
		}
		m.coding += further * nack.FECTables(c.FEC.nack(), datagram, 0)
	}
	return m
}

func (m memory) total() int64 {
	return m.buffers + m.tables + m.streams + m.coding + m.receive + m.commands + m.reassembly + m.topics + m.inboxes + m.intakes + m.ring + m.group + m.cluster
}

// MemoryBudget is how many bytes Init and Start will take for c, with its defaults filled in:
// packet memory for the retransmit windows of all lanes and four full reorder windows, what the
// driver receives into, command rings, and large messages being put together. Memory that is
// never used is not touched, so on most systems the process's resident size stays far below.
//
// Over xdp:// with queues=N there is an engine for each queue, and each has packet memory and four
// reorder windows of its own. Packet memory, and the rings that lead to it, are the driver's, and the kernel locks
// them: they are resident from the start, and a process without CAP_IPC_LOCK may not have more of
// them than its limit (ulimit -l). auto:// counts as whichever driver takes more.
//
// A GroupChannel takes more: ask for the budget of its Config(). Most of the difference is what other members can
// announce of themselves, which few do: records of up to 256 KiB each, 32 MiB in all, twice.
//
// Messages that wait for handlers are in the sum. The queues of all subscriptions and in-boxes together hold at most
// three quarters of Window, or twice MaxMessageSize where that is more, each message counted with 64 bytes
// besides its payload. A subscription is full when it has SubscriptionQueue messages, or eight times as
// much memory as is still free: one that is slow alone can use eight ninths. What waits for the consumers of queues
// has as much of its own.
//
// Topics that are remembered are in the sum with names of 255 bytes; most are far shorter, and few members use as many.
//
// Not in the sum, for each subscription and engine: 24 KiB that it takes with its first message, and 76 KiB
// or one larger message that it can have when the memory for queues is used up. Nor are the socket
// buffers, which are the kernel's.
func (c Config) MemoryBudget() int64 {
	d := c.withDefaults()
	mtu := defaultMTU
	u, err := ParseURI(d.BroadcastURI)
	if err == nil && u.MTU != 0 {
		mtu = u.MTU
	}
	sockets := d.memory(mtu - ipHeaders).total()
	switch u.Scheme {
	case "xdp":
		return d.memoryXDP(mtu, u.Queues).total()
	case "auto":
		if mtu > xdp.MaxMTU {
			return sockets
		}
		return max(sockets, d.memoryXDP(mtu, u.Queues).total())
	}
	return sockets
}

// queueBytes bounds the memory in which messages wait for handlers, of all subscriptions together.
func (c *Config) queueBytes() int64 { return int64(max(c.Window/4*3, 2*c.MaxMessageSize)) }

// poolBuffers is the number of packet buffers for datagrams of the given size: the retransmit
// window of every stream that this member may send, the shared reorder windows, and some for
// control datagrams.
func (c *Config) poolBuffers(datagram int) int {
	n := nack.Buffers(c.Window, datagram, c.sendStreams(), reorderWindows)
	if c.usesTotem() {
		n += totem.Buffers(c.Window, datagram)
	}
	if c.group {
		n += group.DefaultBuffers
	}
	if c.clustered {
		n += member.ClusterBuffers(datagram)
	}
	if streams := c.codedStreams(); streams > 0 {
		n += nack.FECBuffers(c.FEC.nack(), streams)
	}
	return n
}

// queueBuffers is poolBuffers for an engine that only receives.
func (c *Config) queueBuffers(datagram int) int {
	n := nack.Buffers(c.Window, datagram, 0, reorderWindows)
	if c.codedStreams() > 0 {
		n += nack.FECBuffers(c.FEC.nack(), 0)
	}
	return n
}

// coding is what the block code takes besides packet memory. Other members' streams may have repair
// symbols whatever this member sends.
func (c *Config) coding(datagram int) int64 {
	return nack.FECTables(c.FEC.nack(), datagram, c.codedStreams())
}

// codedStreams is how many of sendStreams are under FEC or Hybrid.
func (c *Config) codedStreams() (n int) {
	for _, p := range []Protocol{FEC, Hybrid} {
		if c.Protocol == p || slices.ContainsFunc(c.Topics, func(t TopicConfig) bool { return t.Protocol == p }) {
			n += c.Lanes
		}
	}
	return n
}

// usesTotem reports whether topics can be sent under Totem.
func (c *Config) usesTotem() bool {
	return c.Protocol == Totem || slices.ContainsFunc(c.Topics, func(t TopicConfig) bool { return t.Protocol == Totem })
}

// bufferSize is the size in bytes of each of them.
func bufferSize(datagram int) int { return datagram + nack.Headroom }

// sendStreams is how many streams this member may come to send: each lane under each protocol
// that is configured.
func (c *Config) sendStreams() int {
	protocols := []Protocol{c.Protocol}
	for _, t := range c.Topics {
		if !slices.Contains(protocols, t.Protocol) {
			protocols = append(protocols, t.Protocol)
		}
	}
	n := 0
	for _, p := range protocols {
		if p != Totem { // which has buffers of its own
			n += c.Lanes
		}
	}
	return n
}

// sendQueues is how many command rings there can be: one for each stream, and one for Totem's ring.
func (c *Config) sendQueues() int {
	n := c.sendStreams()
	if c.usesTotem() {
		n++
	}
	return n
}

// commandQueue is the size in bytes of a lane's command ring, a power of two: the largest
// record that such a ring takes is half of it. With an Invoker there is none.
func (c *Config) commandQueue() int {
	if c.Invoker {
		return 0
	}
	need := max(minCommandRing, 2*(c.MaxMessageSize+commandOverhead))
	return 1 << bits.Len(uint(need-1))
}
