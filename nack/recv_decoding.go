package nack

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/wire"
)

// decoding is what a received stream has besides under FEC and Hybrid: the decoder of its blocks,
// and the decision how long a gap waits for its block. Its methods that other parts of a stream
// call may be called on nil, for a stream without blocks.
type decoding struct {
	dec   *fec.Decoder
	alone bool    // FEC: nothing is asked for
	held  int     // buffers of dec, as the Protocol counts them
	trust float64 // share of the gaps that were left to their blocks and came back, smoothed

	tail        uint64 // FEC: of the last heartbeat, one above the last datagram
	tailMessage uint64 // and the message after it

	// A repair symbol may overtake the datagrams of its block. What came late by itself was not
	// lost, and must not raise the number of repair symbols.
	back      [256]uint64 // numbers of datagrams that were rebuilt, by their low bits
	overtaken uint64
	missed    uint64 // as last reported
}

// startDecoding makes the decoder of a stream with repair symbols whose next datagram is n, if there
// may be another decoder.
func (s *stream) startDecoding(n uint64) {
	p := s.p
	if !coded(s.id.Protocol()) || s.decoding != nil || p.decoders >= maxDecoders {
		return
	}
	p.decoders++
	if p.workspace == nil {
		p.workspace = fec.NewWorkspace(p.cfg.Datagram, sharedBlocks, fullDecoders*decoderHistory)
	}
	h := wire.Header{Cluster: p.cfg.Cluster, Transmitter: s.from, Incarnation: s.incarnation, Stream: s.id}
	s.decoding = &decoding{
		alone: s.id.Protocol() == wire.FEC,
		dec: fec.NewDecoder(fec.DecoderConfig{
			Datagram: p.cfg.Datagram, Pool: p.cfg.Pool, History: decoderHistory, MaxOpen: maxOpen, Workspace: p.workspace,
		}, h, n),
		trust: 1,
	}
	s.nack, s.timers[tailEnd] = true, never
}

// stopDecoding gives back what the decoder holds. Under FEC the stream then waits for nothing.
func (s *stream) stopDecoding() {
	x := s.decoding
	if x == nil {
		return
	}
	x.dec.Release()
	s.p.decoded -= x.held
	s.p.stats.countDecoder(x.dec.Stats())
	s.p.decoders--
	s.nack = !x.alone
	s.decoding = nil
}

// show gives datagram n, which lies in b, to the decoder. What is lent is copied once, for the
// decoder and for the reorder window: kept is that copy, with one reference that passes to the
// caller. It is nil where no buffer can be spared; then the decoder does not keep the datagram.
func (x *decoding) show(now clock.Time, s *stream, n uint64, b *buf.Buf) (kept *buf.Buf) {
	if s.p.left() > 0 {
		kept = s.p.cfg.Pool.Keep(b)
	}
	x.dec.Source(now, n, kept)
	return kept
}

// stepRepair takes in one repair symbol.
func (p *Protocol) stepRepair(now clock.Time, d *wire.Datagram, r *wire.Repair, b *buf.Buf) error {
	s, err := p.lookUp(now, d)
	if s == nil || err != nil {
		return err // what is not received yet begins with data, a Start or a heartbeat
	}
	x := s.decoding
	if x == nil {
		if coded(s.id.Protocol()) {
			return nil // there were too many streams to decode, or it is dormant
		}
		return p.drop(DropProtocol)
	}
	if p.left() <= 0 {
		return p.drop(DropNoBuffer)
	}
	span := uint64(r.Sources) * uint64(r.Stride)
	if r.Block > s.seen+span && r.Block > s.highest+span {
		return p.drop(DropWindow) // a second sign must confirm what lies so far ahead
	}
	if x.dec.Repair(now, r, b) != nil {
		return nil // counted there; late and superfluous ones are normal
	}
	s.hear(now)
	s.status.arrived += uint64(b.Len())
	s.collect(now)
	x.reconsider(now, s, r.Block, r.Block+span)
	return nil
}

// settle ends the work on what came: what the stream does not wait for any more is forgotten, and
// gaps whose blocks are past are looked at again.
func (x *decoding) settle(now clock.Time, s *stream) {
	x.dec.Forget(s.due)
	if x.alone {
		x.passed(now, s)
	}
	x.count(s.p)
}

// count brings the Protocol's count of the buffers that decoders hold up to date.
func (x *decoding) count(p *Protocol) {
	held := x.dec.Held()
	p.decoded += held - x.held
	x.held = held
}

// noteRebuilt notes that datagram n was rebuilt.
func (x *decoding) noteRebuilt(n uint64) { x.back[n%uint64(len(x.back))] = n }

// late notes that datagram n came although it is here: if it was rebuilt, it was not lost.
func (x *decoding) late(p *Protocol, n uint64) {
	if at := &x.back[n%uint64(len(x.back))]; *at == n {
		*at = 0
		x.overtook(p)
	}
}

func (x *decoding) overtook(p *Protocol) {
	x.overtaken++
	p.stats.Overtaken++
}

// lost is the number of datagrams that were lost, of those that were missed, as it is reported. It
// only grows.
func (x *decoding) lost(missed uint64) uint64 {
	if x == nil {
		return missed
	}
	x.missed = max(x.missed, missed-min(missed, x.overtaken))
	return x.missed
}
