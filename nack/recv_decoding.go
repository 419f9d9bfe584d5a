package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// mend is what a received stream has besides under FEC and Hybrid: the blocks of its datagrams,
// which give back what was lost, and the decision how long a gap is left to them.
type mend struct {
	dec        *fec.Decoder
	alone      bool   // FEC: nothing is asked for
	rebuilding bool   // what step takes in did not come over the network
	poor       bool   // it is lent, and no buffer can be spared to keep it in
	tail       uint64 // FEC: of the last heartbeat, one above the last datagram
	message    uint64 // and the message after it
	needs      []wire.Need
	trust      float64 // share of the gaps that were left to their blocks and came back, smoothed

	// A repair symbol may overtake the datagrams of its block. What came late by itself was not
	// lost, and must not raise the number of repair symbols.
	back      [256]uint64 // numbers of datagrams that were rebuilt, by their low bits
	overtaken uint64
	missed    uint64 // as last reported
}

// startMend makes the decoder of a stream whose first datagram is n, if there may be another one.
func (s *stream) startMend(n uint64) {
	p := s.p
	if p.mends >= maxMends {
		return
	}
	p.mends++
	if p.workspace == nil {
		p.workspace = fec.NewWorkspace(p.cfg.Datagram)
	}
	h := wire.Header{Cluster: p.cfg.Cluster, Transmitter: s.from, Incarnation: s.incarnation, Stream: s.id}
	s.mend = &mend{
		alone: s.id.Protocol() == wire.FEC,
		dec: fec.NewDecoder(fec.DecoderConfig{
			Datagram: p.cfg.Datagram, Pool: p.cfg.Pool, History: mendHistory, MaxOpen: maxOpen, Workspace: p.workspace,
		}, h, n),
		needs: make([]wire.Need, 0, mostNeeds), trust: 1,
	}
	s.nack = true
}

// endMend gives back what the decoder holds; the stream takes in nothing any more.
func (s *stream) endMend() {
	if s.mend != nil {
		s.mend.dec.Release()
		s.p.stats.countDecoder(s.mend.dec.Stats())
		s.mend = nil
		s.nack = s.nack && s.id.Protocol() != wire.FEC
		s.p.mends--
	}
}

// stepCoded is step for a stream with repair symbols.
func (s *stream) stepCoded(now clock.Time, m *wire.Data, b *buf.Buf) error {
	if m.Number < s.next || m.Number < s.gone || s.slot(m.Number) != nil {
		s.mend.late(s, m.Number)
		return s.p.drop(DropStale) // before it is copied
	}
	if m.Number == s.due && !s.paused && !s.follows(m) {
		return s.p.drop(DropImplausible) // or the decoder would believe it
	}
	// What is lent is copied once, for the decoder and for the reorder window.
	kept := (*buf.Buf)(nil)
	if s.p.left() > 0 {
		kept = s.p.cfg.Pool.Keep(b)
	}
	if kept != nil {
		b = kept
	}
	x := s.mend
	x.poor = kept == nil
	err := s.step(now, m, b)
	x.poor = false
	if kept != nil {
		kept.Release()
	}
	s.mended(now)
	return err
}

// source tells the decoder of datagram n, which is in b.
func (x *mend) source(now clock.Time, n uint64, b *buf.Buf) {
	if x.poor {
		b = nil // or the decoder would keep a copy
	}
	x.dec.Source(now, n, b)
}

// stepRepair takes in one repair symbol.
func (p *Protocol) stepRepair(now clock.Time, d *wire.Datagram, r *wire.Repair, b *buf.Buf) error {
	s, err := p.stream(now, d)
	if s == nil || err != nil {
		return err // what is not received yet begins with data, a Start or a heartbeat
	}
	x := s.mend
	if x == nil {
		if coded(s.id.Protocol()) {
			return nil // there were too many streams to decode
		}
		return p.drop(DropProtocol)
	}
	if p.left() <= 0 {
		return p.drop(DropNoBuffer)
	}
	span := uint64(r.Sources) * uint64(r.Stride)
	if r.Block > s.seen+span && r.Block > s.highest+span {
		return p.drop(DropWindow) // a second sign must tell of what lies so far ahead
	}
	if x.dec.Repair(now, r, b) != nil {
		return nil // counted there; late and superfluous ones are normal
	}
	s.hear(now)
	s.mended(now)
	s.reconsider(now, r.Block, r.Block+span)
	return nil
}

// mended takes in what was rebuilt, as if it had come, and then what blocks tell of datagrams that
// were sent. In the other order what a repair symbol both tells of and gives back would be asked for.
func (s *stream) mended(now clock.Time) {
	x := s.mend
	if x == nil {
		return
	}
	x.rebuilding = true
	for {
		n, b, ok := x.dec.PollRebuilt()
		if !ok {
			break
		}
		if n >= s.next && n >= s.gone && s.slot(n) == nil {
			if m, ok := s.p.find(b, n); ok {
				if n >= s.highest { // it was lost, and nobody had noticed
					s.p.stats.Missed++
					s.status.missed++
				}
				if s.step(now, &m, b) == nil {
					x.back[n%uint64(len(x.back))] = n
				}
			}
		}
		b.Release()
	}
	x.rebuilding = false
	if high := min(x.dec.High(), s.due+uint64(s.p.window)); high > s.highest {
		s.highest = high
		s.notice(now)
	}
	x.dec.Forget(s.due)
	if x.alone {
		s.passed(now)
	}
}

// late notes that datagram n came although it was rebuilt before.
func (x *mend) late(s *stream, n uint64) {
	if at := &x.back[n%uint64(len(x.back))]; *at == n {
		*at = 0
		x.overtook(s)
	}
}

func (x *mend) overtook(s *stream) {
	x.overtaken++
	s.p.stats.Overtaken++
}

// lost is the number of datagrams that were lost, as it is reported; it only grows.
func (x *mend) lost(missed uint64) uint64 {
	x.missed = max(x.missed, missed-min(missed, x.overtaken))
	return x.missed
}

// noticeCoded is notice for a stream with repair symbols. Each datagram is a gap of its own: those
// of a run may be of different blocks.
func (s *stream) noticeCoded(now clock.Time) {
	n := max(s.tracked, s.next)
	run := false
	for ; n < s.highest && !s.gaps.full(); n++ {
		if s.slot(n) != nil || n < s.due {
			run = false
			continue
		}
		if !run {
			s.p.stats.Gaps++
		}
		run = true
		s.p.stats.Missed++
		s.status.missed++
		g := gap{first: n, end: n + 1, noticed: now}
		s.leaveTo(now, &g)
		s.gaps.add(g)
		s.askAt(g.at)
	}
	s.tracked = n
}

// leaveTo decides when gap g, which has not been asked for, is due: when its block can have given
// it back, or, under Hybrid, at once where a NAK is quicker.
func (s *stream) leaveTo(now clock.Time, g *gap) {
	x := s.mend
	if x.alone {
		// Not when the block should have ended: when something shows that it has, or at the latest
		// when its sender must have closed it.
		g.at = g.noticed.Add(maxOpen + s.roundTrip())
		if g.left = g.at > now && !x.dec.Past(g.first); !g.left {
			g.at = now.Add(max(mendSlack, s.roundTrip())) // it may have been overtaken
		}
		return
	}
	latest, was := g.noticed.Add(2*maxOpen+s.roundTrip()), g.left
	at, ok := x.dec.Mended(now, g.first)
	if g.left = ok && at > now && at.Sub(now) < x.worth(s.repair.value(s.roundTrip())) && now < latest; g.left {
		g.at = at
		return
	}
	if was {
		x.trust -= x.trust * trustGain
	}
	g.at = now.Add(backoff(s.p.cfg.Rand, s.roundTrip(), int(min(s.group, 1<<16))))
}

// worth is how long it is worth to wait for a block, where a NAK takes nak. The wait is for nothing
// where the block fails, as it often does when losses come in bursts: a NAK at once takes nak, the
// block takes the wait and, with the chance that it fails, nak on top.
func (x *mend) worth(nak time.Duration) time.Duration {
	return time.Duration(max(x.trust, leastTrust) * float64(nak))
}

// kept notes that a block gave a datagram back while it was left to it.
func (x *mend) kept() { x.trust += (1 - x.trust) * trustGain }

// reconsider looks again at the gaps of first..end that are left to their block: its last repair
// symbol may have come, and not have been enough.
func (s *stream) reconsider(now clock.Time, first, end uint64) {
	for i := s.gaps.find(first); i < len(s.gaps.list) && s.gaps.list[i].first < end; i++ {
		if g := &s.gaps.list[i]; g.left {
			s.leaveTo(now, g)
			s.askAt(g.at)
		}
	}
}

// passed is reconsider for FEC, after each datagram: of the gaps in order, those whose blocks are
// past begin their last wait. Behind the first one that is not there is nothing to find.
func (s *stream) passed(now clock.Time) {
	for i := range s.gaps.list {
		g := &s.gaps.list[i]
		if !g.left {
			continue
		}
		if s.leaveTo(now, g); g.left {
			return
		}
		s.askAt(g.at)
	}
}

// tickLeft looks again at the gaps whose blocks should have given them back by now. Under FEC
// those that have been waited for long enough are given up, in order.
func (s *stream) tickLeft(now clock.Time) {
	for i := range s.gaps.list {
		if g := &s.gaps.list[i]; g.left && g.at <= now {
			s.leaveTo(now, g)
		}
	}
	if !s.mend.alone {
		return
	}
	for len(s.gaps.list) > 0 {
		g := s.gaps.list[0]
		if g.left || g.at > now {
			break
		}
		message := uint64(0)
		if g.end == s.mend.tail {
			message = s.mend.message
		}
		s.giveUp(g.end, message, core.LossUnrepaired)
		s.drain(now)
	}
	s.mend.dec.Forget(s.due)
	if s.tracked < s.highest {
		s.noticeCoded(now)
	}
}

// tellTail takes in what a heartbeat says of the end of an FEC stream: what was given up there is
// told in messages as soon as their numbers are known.
func (s *stream) tellTail(now clock.Time, h *wire.Heartbeat) {
	s.mend.tail, s.mend.message = h.Last+1, h.NextMessage
	if s.gone == h.Last+1 && s.due == s.gone && s.missing > 0 && s.goneMessage == 0 {
		s.goneMessage = h.NextMessage
		s.drain(now)
	}
}

// need notes what the block of gap g lacks, for a SymbolNak. It is false when the datagram itself
// has to be asked for.
func (x *mend) need(g *gap) bool {
	if g.attempts >= symbolTries {
		return false
	}
	block, count, ok := x.dec.Lacking(g.first)
	if !ok {
		return false
	}
	for i := range x.needs {
		if x.needs[i].Block == block {
			return true
		}
	}
	if len(x.needs) == cap(x.needs) {
		return false
	}
	x.needs = append(x.needs, wire.Need{Block: block, Count: uint32(count)})
	return true
}

// overhearSymbols lets another receiver's SymbolNak stand for our own, if it asks for as much.
func (s *stream) overhearSymbols(now clock.Time, n *wire.SymbolNak) {
	if s.mend == nil || len(s.gaps.list) == 0 || s.group <= FewReceivers {
		return
	}
	it := n.Needs()
	for {
		need, ok := it.Next()
		if !ok {
			return
		}
		for i := s.gaps.find(need.Block); i < len(s.gaps.list); i++ {
			g := &s.gaps.list[i]
			if g.first >= need.Block+fec.MaxSource*fec.MaxInterleave {
				break
			}
			if g.attempts > 0 {
				continue
			}
			if block, count, ok := s.mend.dec.Lacking(g.first); ok && block == need.Block && count <= int(need.Count) {
				g.left = false
				g.at = now.Add(s.hold())
				s.p.stats.NaksSuppressed++
			}
		}
	}
}

// hold is how long a receiver waits for what another one has asked for.
func (s *stream) hold() time.Duration {
	return holdOff(s.roundTrip()) + backoff(s.p.cfg.Rand, s.roundTrip(), int(min(s.group, 1<<16)))
}
