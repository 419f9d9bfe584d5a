package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/wire"
)

// parity is what a Sender has besides under FEC and Hybrid: the repair symbols of its blocks, and
// the rule that says how many a block gets.
type parity struct {
	control *fec.Controller
	enc     *fec.Encoder
	source  int
	stride  int
}

// loser is what parity keeps of a receiver.
type loser struct {
	slot   int    // at the Controller
	stayed uint64 // what was asked for after repair symbols had failed
	block  uint64 // that symbols were asked for last,
	at     clock.Time
}

func (s *Sender) initParity() {
	f := &s.p.cfg.FEC
	control := fec.NewController(f.controller())
	s.parity = &parity{
		control: control, source: f.Source, stride: max(f.Interleave, 1),
		enc: fec.NewEncoder(fec.EncoderConfig{
			Header: s.header, Datagram: s.p.cfg.Datagram, Source: f.Source, Interleave: f.Interleave, MaxOpen: maxOpen,
			Control: control, Pool: s.p.cfg.Pool, Held: retained{s},
		}),
	}
	if s.parity.source == 0 {
		s.parity.source = fec.DefaultSource
	}
	s.datagram = fec.SourceMax(s.p.cfg.Datagram)
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

// waiting tells whether repair symbols wait to leave. The zero parity has none.
func (x *parity) waiting() bool { return x != nil && x.enc.Waiting() > 0 }

// sent notes that datagram n has left for the first time.
func (x *parity) sent(s *Sender, now clock.Time, n uint64, b *buf.Buf) {
	x.enc.Sent(now, n, b.Bytes())
	if at, ok := x.enc.Deadline(); ok {
		s.arm(at)
	}
}

// tick closes blocks at which the stream has paused.
func (x *parity) tick(s *Sender, now clock.Time) {
	x.enc.Tick(now)
	if at, ok := x.enc.Deadline(); ok {
		s.arm(at)
	}
}

// report gives the Controller what a receiver says of its losses.
func (x *parity) report(s *Sender, r *receiver, st *wire.Status) {
	stayed := r.loser.stayed
	if !s.nack {
		stayed = st.Gone
	}
	x.control.Report(r.loser.slot, max(min(st.Highest, s.sent), 1)-1, st.Missed, stayed)
}

// asked counts datagram n, which a receiver asks for the first time, if its block could have given
// it back by now. What is asked for because the stream is slow must not count: it would raise the
// number of symbols where no symbol can help.
func (x *parity) asked(s *Sender, now clock.Time, r *receiver, n uint64) {
	if at, ok := x.enc.Closed(n); ok && now.Sub(at) > s.flow.roundTrip() {
		r.loser.stayed++
	}
}

// stepSymbolNak makes more repair symbols of the blocks that a receiver names.
func (s *Sender) stepSymbolNak(now clock.Time, d *wire.Datagram, n *wire.SymbolNak, from buf.Received) error {
	if !s.nack || s.parity == nil {
		return s.p.drop(DropProtocol)
	}
	x, hold := s.parity, s.flow.roundTrip()
	r := s.known(d.Transmitter)
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
		if r != nil && (r.loser.block != need.Block || now.Sub(r.loser.at) >= hold) {
			r.loser.block, r.loser.at = need.Block, now
			r.loser.stayed += uint64(min(int(need.Count), x.source))
		}
		if x.enc.More(now, need.Block, int(need.Count), hold) {
			continue
		}
		// What there is of the block is sent again as it is.
		for c := range uint64(x.source) {
			if m := need.Block + c*uint64(x.stride); m >= s.first && m < s.sent && left > 0 {
				s.ask(now, m, false, from.From)
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
