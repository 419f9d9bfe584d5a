package blaze

import (
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/udp"
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

	Engine engine.Stats // turns, datagrams in and out, drops by reason
	Nack   nack.Stats   // streams of BestEffort, NACK, FEC and Hybrid: repair, flow control, drops by reason
	Totem  totem.Stats  // the ring, where topics are sent under Totem
	UDP    udp.Stats    // over sockets: system calls, packets, kernel drops
	XDP    xdp.Stats    // over AF_XDP: rings, filter, copies

	Room    int // bytes of arriving datagrams that the host buffers for this member
	Payload int // bytes of the largest UDP payload
	Buffers BufferStats

	InjectedLoss uint64 // datagrams dropped on purpose, by a measurement

	Pauses       uint64 // times that a full subscription held up its streams (SlowConsumer Pause)
	LongPauses   uint64 // of those, the ones of 100 ms and more, which the log names
	SlowDropped  uint64 // messages dropped for a full subscription (SlowConsumer Drop)
	Disconnected uint64 // subscriptions ended for being full (SlowConsumer Disconnect)
	LossesUntold uint64 // losses that OnLoss could not be told, since more than 64 streams' waited
	BadMessages  uint64 // payloads of kind Message that could not be decoded
	BackPressure uint64 // times that Broadcast had to wait
}

// BufferStats tells of the packet memory.
type BufferStats struct {
	Count, Free, Size int // buffers, those not in use, bytes in each
}

// Stats copies the counters. It asks the engine's thread for them, so it costs some
// microseconds and is not for the hot path.
func (c *Channel) Stats() Stats {
	run := c.run.Load()
	if run == nil {
		if last := c.last.Load(); last != nil {
			s := *last
			s.State = c.State()
			return s
		}
		return Stats{State: c.State()}
	}
	var s Stats
	if !run.ask(func() { s = c.collect(run) }) {
		if last := c.last.Load(); last != nil {
			s = *last
		}
	}
	return s
}

// collect reads the counters, on the engine's thread.
func (c *Channel) collect(run *running) Stats {
	res := run.res
	s := Stats{
		State:   c.State(),
		Engine:  run.engine.Stats(),
		Nack:    run.member.Nack().Stats(),
		Buffers: BufferStats{Count: res.pool.Count(), Free: res.pool.Free(), Size: res.pool.Size()},

		Pauses: c.pauses.Load(), LongPauses: c.longPauses.Load(), SlowDropped: c.dropped.Load(),
		Disconnected: c.disconnected.Load(), LossesUntold: c.lossesUntold.Load(),
		BadMessages: c.badMessages.Load(), BackPressure: c.backPressure.Load(),
	}
	if t := run.member.Totem(); t != nil {
		s.Totem = t.Stats()
	}
	res.transport.stats(&s)
	if res.lossy != nil {
		s.InjectedLoss = res.lossy.Dropped()
	}
	return s
}
