package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/wire"
)

// encoding is what a Sender has besides under FEC and Hybrid: the repair symbols of its blocks, and
// the rule by which a block gets its number of them.
type encoding struct {
	control *fec.Controller
	enc     *fec.Encoder
	source  int
	stride  int
}

// losses is what encoding keeps of a receiver.
type losses struct {
	slot     int    // at the Controller
	unmended uint64 // what was asked for after repair symbols had failed
	block    uint64 // that symbols were asked for last,
	at       clock.Time
}

func (s *Sender) startEncoding() {
	f := &s.p.cfg.FEC
	control := fec.NewController(f.controller())
	s.encoding = &encoding{
		control: control, source: f.Source, stride: max(f.Interleave, 1),
		enc: fec.NewEncoder(fec.EncoderConfig{
			Header: s.header, Datagram: s.p.cfg.Datagram, Source: f.Source, Interleave: f.Interleave, MaxOpen: maxOpen,
			Control: control, Pool: s.p.cfg.Pool, Held: retained{s}, Room: s.parityRoom(),
		}),
	}
	if s.encoding.source == 0 {
		s.encoding.source = fec.DefaultSource
	}
	s.datagram = fec.SourceMax(s.p.way.Pack)
}

// parityRoom is the bound of the repair symbols that leave unasked. What is configured to be fixed is not bounded, nor are
// they where nothing is ever sent again.
func (s *Sender) parityRoom() func() int {
	if !s.nack || s.p.cfg.FEC.Fixed > 0 {
		return nil
	}
	return s.repairs.budget.room
}

// retained is the retransmit window as an Encoder sees it.
type retained struct{ s *Sender }

// Datagram implements fec.Held.
func (r retained) Datagram(n uint64) []byte {
	if n < r.s.first || n >= r.s.sent {
		return nil
	}
	return r.s.slots[n&r.s.mask].buf.Bytes()
}

// waiting reports whether repair symbols wait to leave. The nil encoding has none.
func (x *encoding) waiting() bool { return x != nil && x.enc.Waiting() > 0 }

// sent notes that datagram n has left for the first time.
func (x *encoding) sent(s *Sender, now clock.Time, n uint64, b *buf.Buf) {
	x.enc.Sent(now, n, b.Bytes())
	if at, ok := x.enc.Deadline(); ok {
		s.arm(blockEnd, at)
	}
}

// tick closes blocks at which the stream has paused.
func (x *encoding) tick(s *Sender, now clock.Time) {
	x.enc.Tick(now)
	if at, ok := x.enc.Deadline(); ok {
		s.arm(blockEnd, at)
	}
}

// forget drops what receivers reported of their losses: a full queue caused them.
func (x *encoding) forget() {
	if x != nil {
		x.control.Reset()
	}
}

// report gives the Controller what a receiver reports of its losses.
func (x *encoding) report(s *Sender, r *receiver, st *wire.Status) {
	if s.pace.rate != 0 {
		return // a full queue loses: more repair symbols would fill it more
	}
	unmended := r.losses.unmended
	if !s.nack {
		unmended = st.Gone
	}
	x.control.Report(r.losses.slot, max(min(st.Highest, s.sent), 1)-1, st.Missed, unmended)
}

// countAsked counts datagram n, which a receiver asks for the first time, if its block could have given
// it back by now. What is asked for because the stream is slow must not count: it would raise the
// number of symbols where no symbol can help.
func (x *encoding) countAsked(s *Sender, now clock.Time, r *receiver, n uint64) {
	if at, ok := x.enc.Closed(n); ok && now.Sub(at) > s.flow.roundTrip() {
		r.losses.unmended++
	}
}

// stepSymbolNak makes more repair symbols of the blocks that a receiver names.
func (s *Sender) stepSymbolNak(now clock.Time, d *wire.Datagram, n *wire.SymbolNak, from buf.Received) error {
	if !s.nack || s.encoding == nil {
		return s.p.drop(DropProtocol)
	}
	x, hold := s.encoding, s.flow.roundTrip()
	r := s.findReceiver(d.Transmitter)
	sent, left := false, s.window // the work for one datagram is bounded
	it := n.Needs()
	for {
		need, ok := it.Next()
		if !ok {
			break
		}
		if need.Block >= s.sent {
			continue
		}
		sent = true
		if r != nil && (r.losses.block != need.Block || now.Sub(r.losses.at) >= hold) {
			r.losses.block, r.losses.at = need.Block, now
			r.losses.unmended += uint64(min(int(need.Count), x.source))
		}
		if s.repairs.budget.allows(now) && x.enc.More(now, need.Block, int(need.Count), hold) {
			continue
		}
		// What there is of the block is sent again as it is.
		for c := range uint64(x.source) {
			if m := need.Block + c*uint64(x.stride); m >= s.first && m < s.sent && left > 0 {
				s.ask(now, m, false, from.From, s.index[d.Transmitter])
				left--
			}
		}
	}
	if !sent {
		return s.p.drop(DropNotSent)
	}
	s.p.stats.SymbolNaksReceived++
	s.asks(now, d, from)
	return nil
}

// countEncoder adds an encoder's counters.
func (c *Stats) countEncoder(e fec.EncoderStats) {
	c.ParityDatagrams += e.Repairs
	c.ParityAsked += e.Asked
	c.ParityBytes += e.RepairBytes
	c.ParityDropped += e.Dropped + e.NoBuffer
	c.Blocks += e.Blocks
	c.Unprotected += e.Unprotected
}

// countDecoder adds a decoder's counters.
func (c *Stats) countDecoder(d fec.DecoderStats) {
	c.ParityReceived += d.Repairs
	c.ParityUnneeded += d.Unneeded
	c.ParityRefused += d.Scheme + d.Shape + d.Window + d.Stale + d.Duplicate + d.NoBuffer
	c.Rebuilt += d.Rebuilt
	c.RebuiltOnDemand += d.OnDemand
	c.BlocksUnfinished += d.Unfinished
	c.BlocksCorrupt += d.Corrupt
}
