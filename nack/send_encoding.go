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
	room    parityRoom
}

// parityRoom bounds the repair symbols that leave unasked: parityShare of the bytes of data, and parityLeast in a second
// besides, so that short blocks of slow streams may have more. It saves up to repairBase.
type parityRoom struct {
	bytes float64
	last  clock.Time // of data
}

const (
	parityShare = 1
	parityLeast = 64 << 10 // bytes/s
)

// sent notes n bytes of new data.
func (r *parityRoom) sent(now clock.Time, n int) {
	r.bytes = min(r.bytes+parityShare*float64(n)+parityLeast*float64(now-r.last)/1e9, repairBase)
	r.last = now
}

// left is how many bytes may leave now.
func (r *parityRoom) left() int { return max(int(r.bytes), 0) }

// losses is what encoding keeps of a receiver.
type losses struct {
	slot     int    // at the Controller
	unmended uint64 // what was asked for after repair symbols had failed
	block    uint64 // that symbols were asked for last,
	at       clock.Time
}

func (s *Sender) startEncoding() {
	f := &s.p.cfg.FEC
	x := &encoding{control: fec.NewController(f.controller()), source: f.Source, stride: max(f.Interleave, 1)}
	cfg := fec.EncoderConfig{
		Header: s.header, Datagram: s.p.cfg.Datagram, Source: f.Source, Interleave: f.Interleave, MaxOpen: maxOpen,
		Control: x.control, Pool: s.p.cfg.Pool, Held: retained{s},
	}
	if s.nack && f.Fixed == 0 { // a number that is configured is not bounded, nor what nothing is sent again for
		cfg.Room = x.room.left
	}
	x.enc = fec.NewEncoder(cfg)
	if x.source == 0 {
		x.source = fec.DefaultSource
	}
	s.encoding = x
	s.datagram = fec.SourceMax(s.p.way.Pack)
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
	x.room.sent(now, b.Len())
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
			s.rouse()
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
