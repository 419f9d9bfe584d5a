package blaze

import (
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/udp"
	"github.com/activeblaze/blaze/wire"
	"github.com/activeblaze/blaze/xdp"
)

// Stats is a copy of a channel's counters. They count from Start (Driver's from Init) and stay
// to be read after Stop, until the next Start.
type Stats struct {
	State     State
	Transport string // what really runs: "udp", "xdp" or "pointcast"
	Reason    string // why that was chosen, and how it runs
	Mode      string // how packets travel: "sockets", or xdp's rung, such as "generic copy"
	Socket    string // "kernel", or the AF_XDP implementation: "own" or "asavie"

	// Of all engines together; Engines has each. Over xdp:// with queues=N there are N, else one.
	Engines []EngineStats
	Engine  engine.Stats // turns, datagrams in and out, drops by reason
	Nack    nack.Stats   // streams of BestEffort, NACK, FEC and Hybrid: repair, flow control, drops by reason
	Totem   totem.Stats  // the ring, where topics are sent under Totem
	Group   group.Stats  // of a GroupChannel: members, messages between two of them, queues, drops by reason
	Cluster ClusterStats // of a ClusterChannel: the replicated state, and the ring that orders it
	UDP     udp.Stats    // over sockets: system calls, packets, kernel drops
	XDP     xdp.Stats    // over AF_XDP: rings, filter, copies
	Shard   ShardStats   // with several engines: what passed between them

	Limits []StreamLimit // of each stream that this member sends: what keeps its rate from being higher

	Room    int    `unit:"bytes" kind:"gauge" help:"bytes of arriving datagrams that the host buffers for this member" when:"no counter. A small value: raise rmem_max"`
	Payload int    `unit:"bytes" kind:"gauge" help:"bytes of the largest UDP payload of new datagrams now, MTU − 28 where no URI says less" when:"no counter. It should be the same at all members"`
	NoWay   string // why nothing can leave at the moment, such as "the interface is gone"; empty: it can
	Buffers BufferStats

	InjectedLoss uint64 `unit:"datagrams" help:"datagrams dropped on purpose by blazebench" when:"0 in applications"`

	Pauses         uint64 `unit:"times" help:"times that a full subscription held up its streams (SlowConsumer Pause)" when:"the handler is too slow for a burst"`
	LongPauses     uint64 `unit:"times" help:"of Pauses: times of 100 ms and longer" when:"the handler stands still now and then"`
	SlowConsumers  uint64 `unit:"times" help:"times that a subscription became slow: its queue was full for more than half of a second; the log names it" when:"the handler is too slow: make it faster, or choose Drop"`
	SlowDropped    uint64 `unit:"messages" help:"messages dropped for a full subscription (SlowConsumer Drop)" when:"the handler is too slow"`
	Disconnected   uint64 `unit:"subscriptions" help:"subscriptions ended for being full (SlowConsumer Disconnect)" when:"the handler is too slow"`
	LossesUntold   uint64 `unit:"losses" help:"losses that never reached OnLoss, because more than 64 streams' losses waited" when:"a stuck handler"`
	BadMessages    uint64 `unit:"payloads" help:"payloads of kind Message that could not be decoded" when:"a faulty foreign sender"`
	BackPressure   uint64 `unit:"times" help:"times that Broadcast had to wait" when:"offered rate above what receivers or MaxRate allow"`
	SlowReceivers  uint64 `unit:"times" help:"times that a receiver became slow: one of this member's streams waited for it for more than half of a second; the log names it" when:"that receiver's handlers are too slow; its own log names the subscription"`
	Unsent         uint64 `unit:"messages" help:"messages that were accepted and not sent, since Stop had waited for Linger; the error of Stop has them too" when:"a receiver is slower than the sender, or Linger is too short"`
	InspectRefused uint64 `unit:"clients" help:"programs on this host that were refused by Config.Inspect, or cut off" when:"programs of another user, more than 16 at a time, or some that do not read what they asked for"`
}

// EngineStats are one engine's own counters. The first engine sends and has the member's ordinary
// sockets; the others receive from one queue each.
type EngineStats struct {
	Engine  engine.Stats
	Nack    nack.Stats
	XDP     xdp.Stats // of its queue; the first one's are of the filter and the ordinary sockets too
	Buffers BufferStats
	Shard   ShardStats // what it passed on to the other engines, and took from them

	InjectedLoss uint64
}

// ShardStats counts what passed between one engine and the others.
type ShardStats struct {
	Forwarded uint64 `unit:"datagrams" help:"datagrams that arrived at this engine and were copied to the one that they are for" when:"nearly none beside data: requests, reports and repairs. As many as a flow has: the card moved it to another queue; restart the member to spread anew"`
	InboxFull uint64 `unit:"datagrams" help:"datagrams that were not copied, since the other engine was behind; repair brings what is missing" when:"that engine's LongTurns and core"`
	Taken     uint64 `unit:"datagrams" help:"datagrams that other engines received for this one" when:"with their Forwarded"`
	Stray     uint64 `unit:"frames" help:"frames that are no engine's: of a transmitter that is not known yet, or that has just changed its engine" when:"steadily growing, with StreamsRefused: more transmitters than twice MaxStreams for each engine"`
}

// BufferStats describes the packet memory.
type BufferStats struct {
	Count int `unit:"buffers" kind:"gauge" help:"buffers of packet memory" when:"no counter"`
	Free  int `unit:"buffers" kind:"gauge" help:"buffers that are not in use" when:"no counter. Few for long: a receiver is far behind, or a large reorder window"`
	Size  int `unit:"bytes" kind:"gauge" help:"bytes in each buffer" when:"no counter"`
}

// Stats copies the counters. It asks the engines' threads for them, so it costs some
// microseconds and is not for the hot path. An Inline handler does not wait for other engines: it gets
// what those had counted when they were last asked from elsewhere.
func (c *Channel) Stats() Stats {
	run := c.turning()
	if run == nil {
		return c.lastStats()
	}
	var s Stats
	if run.Do(func() { s = c.collect(run) }) != nil {
		if !run.InHandler() {
			<-run.Gone() // it is about to leave its counters
		}
		return c.lastStats()
	}
	if run.Engines() == 1 {
		return s
	}
	here, handler := run.Handler()
	for i := 1; i < run.Engines(); i++ {
		if !handler || here == i {
			_ = run.DoAt(i, func() { run.read[i].Store(run.stats(i)) })
		}
		s.add(run.read[i].Load())
	}
	return s
}

// lastStats are the counters of the last start, as they were at its end.
func (c *Channel) lastStats() (s Stats) {
	if last := c.last.Load(); last != nil {
		s = *last
	}
	s.State = c.State()
	return s
}

// collect reads the counters that are the channel's, and those of the first engine, on its thread.
func (c *Channel) collect(run *start) Stats {
	s := Stats{
		State:  c.State(),
		Pauses: c.intakes.Pauses.Load(), LongPauses: c.intakes.LongPauses.Load(), SlowConsumers: c.intakes.Slow.Load(), SlowDropped: c.intakes.Dropped.Load(),
		Disconnected: c.disconnected.Load(), LossesUntold: c.intakes.LossesUntold.Load(),
		BadMessages: c.badMessages.Load(), BackPressure: c.backPressure.Load(), Unsent: c.unsent.Load(), InspectRefused: c.refusedLocally(), SlowReceivers: c.slowReceivers.Load(),
	}
	if t := run.Member().Totem(); t != nil {
		s.Totem = t.Stats()
	}
	s.Group = run.GroupStats()
	s.Cluster = c.clusterStats(run)
	s.attached(run.res)
	s.UDP = run.res.UDP()
	s.Limits = run.limits()
	s.add(run.stats(0))
	return s
}

// attached takes in what describes a. It belongs to the first engine's thread.
func (s *Stats) attached(a *attach.Attachment) {
	s.Transport, s.Reason, s.Mode, s.Socket = a.Name, a.Reason, a.Mode(), a.Socket
	s.Room, s.Payload, s.NoWay = a.Ports[0].Driver.Room(), engine.WayOf(a.Ports[0].Driver).Pack, a.NoWay()
}

// stats reads the counters of one engine, on its thread.
func (r *start) stats(i int) *EngineStats {
	e := &EngineStats{Engine: r.Engine(i).Stats(), Nack: r.Member().NackStats(i), Shard: ShardStats(r.Member().BranchStats(i))}
	port := r.res.Ports[i]
	e.XDP, e.InjectedLoss = port.XDP(), port.InjectedLoss()
	e.Buffers = BufferStats{Count: port.Pool.Count(), Free: port.Pool.Free(), Size: port.Pool.Size()}
	return e
}

// add takes in the counters of one more engine.
func (s *Stats) add(e *EngineStats) {
	if e == nil { // never asked
		e = new(EngineStats)
	}
	s.Engines = append(s.Engines, *e)
	sum(&s.Engine, &e.Engine)
	sum(&s.Nack, &e.Nack)
	sum(&s.XDP, &e.XDP)
	sum(&s.Shard, &e.Shard)
	s.Buffers.Count += e.Buffers.Count
	s.Buffers.Free += e.Buffers.Free
	s.Buffers.Size = max(s.Buffers.Size, e.Buffers.Size)
	s.InjectedLoss += e.InjectedLoss
}

// sum adds the counters of one struct to those of another. Of durations the longest counts.
func sum[T any](to, from *T) { sumValues(reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()) }

func sumValues(to, from reflect.Value) {
	switch to.Kind() {
	case reflect.Uint64:
		to.SetUint(to.Uint() + from.Uint())
	case reflect.Int64:
		to.SetInt(max(to.Int(), from.Int()))
	case reflect.Struct:
		for i := range to.NumField() {
			sumValues(to.Field(i), from.Field(i))
		}
	case reflect.Array:
		for i := range to.Len() {
			sumValues(to.Index(i), from.Index(i))
		}
	default:
		panic("blaze: a counter of kind " + to.Kind().String())
	}
}

// heldBy is a receiver that holds a stream back.
type heldBy struct {
	nack.Limit
	at *attach.Attachment
}

func (l heldBy) String() string {
	return fmt.Sprintf("receiver %v at %v, %d datagrams behind, with room for %d more,", MemberID(l.Member), l.at.Addr(l.Endpoint), l.Behind, l.Room)
}

// heldBack counts and logs what limits the streams of one start.
func (c *Channel) heldBack(at *attach.Attachment) func(run.Held) {
	return func(h run.Held) {
		log := c.logger().With("stream", fmt.Sprintf("%#x", uint32(h.Stream)))
		if h.Limit.Member != (wire.MemberID{}) {
			log = log.With("receiver", MemberID(h.Limit.Member), "address", at.Addr(h.Limit.Endpoint))
		}
		share := fmt.Sprintf("%.0f %%", 100*h.Share)
		switch {
		case h.Recovered && h.By == core.ByReceiver:
			log.Info("blaze: the receiver does not hold its stream back any more")
		case h.Recovered:
			log.Info("blaze: that does not limit the stream any more", "limited by", LimitedBy(h.By))
		case h.By == core.ByReceiver:
			if !h.Again {
				c.slowReceivers.Add(1)
			}
			log.Warn("blaze: a receiver holds a stream back, and with it all others", "share", share,
				"behind", h.Limit.Behind, "room", h.Limit.Room, "remedy", "look at that receiver's log for its slow subscription; or use SlowConsumer Drop there, or FlowControl Fastest here")
		case h.By == core.ByPace && h.Stream.Protocol() == wire.Totem:
			log.Warn("blaze: a ring lost much of what its members sent at full speed: what this one sends follows what arrives", "share", share,
				"pace", bitsOf(h.Pace), "remedy", "a slower link or a short queue on the way; CongestionOff ignores it")
		case h.By == core.ByPace:
			log.Warn("blaze: a stream's pace follows what arrives at a receiver", "share", share, "pace", bitsOf(h.Pace),
				"remedy", "a slower link or a short queue on the way; CongestionOff ignores it")
		case !h.Again: // as it is meant to be
			log.Info("blaze: the application offers more than a stream may carry", "limited by", LimitedBy(h.By), "share", share)
		}
	}
}

// bitsOf is a rate for the log.
func bitsOf(bytesPerSecond float64) string { return fmt.Sprintf("%.3g Mbit/s", bytesPerSecond*8/1e6) }

// StreamLimit is what keeps the rate of a stream that this member sends from being higher.
type StreamLimit struct {
	Stream   uint32 // protocol and lane, as datagrams name them
	Protocol Protocol
	By       LimitedBy                           // longest of late: in the last half of a second, or the last second
	Receiver MemberID                            // of LimitedByWindow, LimitedByReceiver and LimitedByPace; zero: it is not one member
	Addr     netip.AddrPort                      // of Receiver
	Pace     int64                               // bits/s that congestion control lets leave; 0: it sets no bound
	For      [LimitedByMaxRate + 1]time.Duration // since the stream began, by LimitedBy
}

// String is for logs: "stream 0x2000000 (nack): receiver 3f2a… at 10.0.0.1:45122".
func (l StreamLimit) String() string {
	s := fmt.Sprintf("stream %#x (%v): %v", l.Stream, l.Protocol, l.By)
	if !l.Receiver.IsZero() {
		s += fmt.Sprintf(" %v at %v", l.Receiver, l.Addr)
	}
	return s
}

// limits reads what limits each stream. It belongs to the first engine's thread.
func (r *start) limits() (all []StreamLimit) {
	now := r.Engine(0).Now()
	for _, lane := range r.Member().Lanes() {
		m := lane.Limited(now)
		l := StreamLimit{Stream: uint32(lane.ID), Protocol: protocolOf(lane.ID.Protocol()), By: LimitedBy(m.By), Pace: int64(min(8*m.Pace, 1<<62)), For: m.For}
		if m.Member != (wire.MemberID{}) && m.By != core.ByApplication && m.By != core.ByMaxRate {
			l.Receiver, l.Addr = MemberID(m.Member), r.res.Addr(m.Endpoint)
		}
		all = append(all, l)
	}
	return all
}
