package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// feed is one stream at a steady rate to receivers that lose datagrams, each on its own: what the
// figures of FEC and Hybrid are taken from. Members are whole ones but for queues: engine, cores,
// driver. Two feeds of one seed that differ in the protocol lose the same first transmissions, so
// that they can be compared message by message.
type feed struct {
	protocol  wire.Protocol
	seed      uint64
	fec       nack.FEC
	every     time.Duration // from one message to the next; each is a datagram of its own
	roundTrip time.Duration
	receivers int
	count     int // messages
	size      int // payload bytes; zero means 64
	window    int // bytes; zero means 4 MiB

	loss  func(n uint64) float64 // of what is sent after datagram n has been; of everything, both ways
	burst float64                // mean length of a run of losses; up to 1: they are independent

	each func(f *feeding, n int) // called before message n is sent, 0..count-1; may be nil
}

// feeding is a run of a feed and its result.
type feeding struct {
	feed
	c *Cluster

	late     []time.Duration // of every message at every receiver, sorted at the end
	lost     int             // first transmissions that a receiver did not get
	asked    int             // of these, those that it sent a NAK for
	gone     uint64          // messages that were reported as lost, all receivers
	told     map[uint64]bool // and which
	bytes    int             // UDP payload of first transmissions,
	parity   int             // of repair symbols that nobody asked for,
	repairs  int             // of what was sent because it was asked for, symbols or datagrams
	naks     int             // datagrams
	blocked  int             // times that back-pressure held the stream up
	sender   nack.Stats
	receiver []nack.Stats

	sentAt  []clock.Time
	data    []*rand.Rand // of first transmissions, by receiver
	rest    []*rand.Rand // of everything else
	bad     []bool       // by receiver: in a burst
	missing []map[uint64]bool
	emitted uint64 // highest datagram number sent
	symbols map[uint64]uint8
	send    uint64 // Flight.ID of the send that was looked at last,
	first   bool   // it is a first transmission,
	coded   bool   // of data or a repair symbol,
	frame   wire.Datagram
}

func constant(p float64) func(uint64) float64 { return func(uint64) float64 { return p } }

// perSecond is the time from one message to the next.
func perSecond(rate int) time.Duration { return time.Second / time.Duration(rate) }

// run runs a feed to its end. The cluster's checkers judge it: nothing is wrong, doubled or out of
// order, and under NACK and Hybrid nothing is missing.
func (f feed) run(t *testing.T) *feeding {
	t.Helper()
	if f.size == 0 {
		f.size = 64
	}
	if f.window == 0 {
		f.window = 4 << 20
	}
	r := &feeding{feed: f, symbols: map[uint64]uint8{}, told: map[uint64]bool{}}
	c := NewCluster(t, f.seed)
	r.c = c
	c.Load = Load{Every: 1000 * time.Hour, Topics: 1, Protocol: f.protocol} // it is run sends
	c.Member = MemberConfig{Protocol: f.protocol, FEC: f.fec, Window: f.window}
	c.Sabotage = func(_ *Cluster, node int, s nack.Sink) nack.Sink { return &stopwatch{s.(readySink), r, node} }
	c.Start(1+f.receivers, Faults{Delay: f.roundTrip / 2})
	for i := range f.receivers {
		r.data = append(r.data, rand.New(rand.NewPCG(f.seed, uint64(2*i))))
		r.rest = append(r.rest, rand.New(rand.NewPCG(f.seed, uint64(2*i+1))))
		r.missing = append(r.missing, map[uint64]bool{})
	}
	r.bad = make([]bool, f.receivers)
	c.For(200 * time.Millisecond) // round trips are known
	c.Net.SetTap(r.carry)
	begin, n := c.Net.Now(), 0
	var next func()
	next = func() {
		if f.each != nil {
			f.each(r, n)
		}
		if m := c.Members[0]; m.waiting == nil {
			r.sentAt = append(r.sentAt, begin.Add(time.Duration(n)*f.every)) // when it should have been
			m.Send(f.protocol, 0, f.size)
			n++
		} else {
			r.blocked++
			c.Net.After(20*time.Microsecond, next)
			return
		}
		if n < f.count {
			c.Net.At(begin.Add(time.Duration(n)*f.every), next)
		}
	}
	c.Net.At(begin, next)
	c.Net.RunUntil(begin.Add(1000*time.Second), func() bool { return n == f.count })
	c.Load.Messages = -1
	c.Net.RunUntil(c.after(10*time.Second), c.Settled)
	r.sender = c.Members[0].Core.(*CoreNode).Protocol.Stats()
	for _, m := range c.Members[1:] {
		r.receiver = append(r.receiver, m.Core.(*CoreNode).Protocol.Stats())
		r.gone += m.Gone
	}
	c.Net.SetTap(nil)
	if f.protocol == wire.FEC {
		c.Finish()
	} else {
		c.Settle(time.Second)
		if r.gone > 0 {
			t.Errorf("seed %d: %d messages were lost", f.seed, r.gone)
		}
	}
	slices.Sort(r.late)
	return r
}

// readySink is what a member hands to Sabotage.
type readySink interface {
	nack.Sink
	Ready() bool
}

// stopwatch times deliveries.
type stopwatch struct {
	readySink
	r    *feeding
	node int
}

func (s *stopwatch) Deliver(m *core.Delivery) bool {
	ok := s.readySink.Deliver(m)
	if n := m.Sequence; ok && s.node > 0 && n <= uint64(len(s.r.sentAt)) {
		s.r.late = append(s.r.late, s.r.c.Net.Now().Sub(s.r.sentAt[n-1]))
	}
	return ok
}

func (s *stopwatch) Lost(l *core.Loss) {
	s.readySink.Lost(l)
	for n := l.First; n <= l.Last; n++ {
		s.r.told[n] = true
	}
}

// carry decides about one copy, and counts what is sent.
func (r *feeding) carry(fl *Flight) bool {
	if fl.ID != r.send {
		r.send, r.first, r.coded = fl.ID, false, false
		if wire.Decode(fl.Bytes, &r.frame) != nil {
			return true
		}
		r.look(fl)
	}
	if fl.From != 0 && fl.To != 0 {
		return true // between receivers
	}
	i := max(fl.From, fl.To) - 1 // the receiver
	p, lose := r.loss(r.emitted), false
	switch {
	case r.burst > 1 && r.coded:
		if r.bad[i] {
			r.bad[i] = r.rest[i].Float64() >= 1/r.burst
		} else {
			r.bad[i] = r.rest[i].Float64() < p/(1-p)/r.burst
		}
		lose = r.bad[i]
	case r.first:
		lose = r.data[i].Float64() < p
	default:
		lose = r.rest[i].Float64() < p
	}
	if lose && r.first {
		r.lost++
		r.missing[i][r.emitted] = true
	}
	return !lose
}

// look counts what one send is.
func (r *feeding) look(fl *Flight) {
	frames := r.frame.Frames()
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case wire.FrameData:
			m := f.Data()
			if r.first = m.Number > r.emitted; r.first {
				r.emitted = m.Number
				r.bytes += len(fl.Bytes)
			} else {
				r.repairs += len(fl.Bytes)
			}
			r.coded = true
		case wire.FrameRepair:
			s := f.Repair()
			r.symbols[s.Block] = s.Sources
			if s.Index < s.Repairs {
				r.parity += len(fl.Bytes)
			} else {
				r.repairs += len(fl.Bytes)
			}
			r.coded = true
		case wire.FrameNak:
			r.naks++
			nak := f.Nak()
			for list := range 2 {
				it := nak.Gaps()
				if list == 1 {
					it = nak.Again()
				}
				for g, ok := it.Next(); ok; g, ok = it.Next() {
					r.ask(fl.From-1, g.First, uint64(g.Count))
				}
			}
		case wire.FrameSymbolNak:
			if len(frames) == 1 {
				r.naks++
			}
			n := f.SymbolNak()
			it := n.Needs()
			for need, ok := it.Next(); ok; need, ok = it.Next() {
				for c := range uint64(r.symbols[need.Block]) {
					r.ask(fl.From-1, need.Block+c*uint64(max(r.fec.Interleave, 1)), 1)
				}
			}
		}
	}
}

// ask notes that receiver i asks for some datagrams. One whose repair symbols came too late, or that
// was asked for as a part of its block, counts.
func (r *feeding) ask(i int, first, count uint64) {
	for n := first; n < first+count && n <= r.emitted; n++ {
		if r.missing[i][n] {
			delete(r.missing[i], n)
			r.asked++
		}
	}
}

// percentile is the delivery latency that p of 1 messages have at most.
func (r *feeding) percentile(p float64) time.Duration {
	return r.late[min(int(p*float64(len(r.late))), len(r.late)-1)]
}

func (r *feeding) mean() time.Duration {
	sum := time.Duration(0)
	for _, d := range r.late {
		sum += d
	}
	return sum / time.Duration(len(r.late))
}

// overhead is parity in bytes, as a share of the data.
func (r *feeding) overhead() float64 { return float64(r.parity) / float64(r.bytes) }

// extra is all that is sent besides the data, parity and repairs, as a share of it.
func (r *feeding) extra() float64 { return float64(r.parity+r.repairs) / float64(r.bytes) }

// unasked is the share of the losses that came back without a NAK.
func (r *feeding) unasked() float64 {
	if r.lost == 0 {
		return 1
	}
	return 1 - float64(r.asked)/float64(r.lost)
}
