package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

const (
	// reorderSlack is the least time that FEC waits for what may only be reordered.
	reorderSlack = 500 * time.Microsecond
	// trustGain is how fast a receiver learns whether blocks keep what they promise, for each gap that
	// is left to one. The trust never falls below leastTrust, so that the receiver goes on learning.
	trustGain  = 1.0 / 32
	leastTrust = 0.25
	// symbolTries is how often a gap is asked for as symbols of its block. Then the datagram itself
	// is asked for: the sender may have forgotten the block.
	symbolTries = 2
	// mostNeeds bounds the blocks in one NAK datagram: a decoder has no more open.
	mostNeeds = 16
)

// due decides when gap g, which has not been asked for, is due. Without blocks that is after the
// back-off. With blocks it is when its block can have given it back, or, under Hybrid, at once where
// a NAK is quicker.
func (x *decoding) due(now clock.Time, s *stream, g *gap) {
	if x == nil {
		g.at = now.Add(s.backoff() + s.asking.reorder.wait())
		return
	}
	roundTrip := s.group.roundTrip()
	if x.alone {
		// Not when the block should have ended: when something shows that it has, or at the latest
		// when its sender must have closed it.
		g.at = g.noticed.Add(maxOpen + roundTrip)
		if g.awaitsBlock = g.at > now && !x.dec.Past(g.first); !g.awaitsBlock {
			g.at = now.Add(max(reorderSlack, roundTrip)) // it may have been overtaken
		}
		return
	}
	latest, waited := g.noticed.Add(2*maxOpen+roundTrip), g.awaitsBlock
	at, ok := x.dec.Mended(now, g.first)
	if g.awaitsBlock = ok && at > now && at.Sub(now) < x.worth(s.asking.rtt.Value(roundTrip)) && now < latest; g.awaitsBlock {
		g.at = at
		return
	}
	if waited {
		x.trust -= x.trust * trustGain
	}
	g.at = max(now.Add(s.backoff()), g.noticed.Add(s.asking.reorder.wait()))
}

// worth is how long it is worth to wait for a block, where a NAK takes nak. The wait is for nothing
// where the block fails, as it often does when losses come in bursts: a NAK at once takes nak, the
// block takes the wait and, with the chance that it fails, nak on top.
func (x *decoding) worth(nak time.Duration) time.Duration {
	return time.Duration(max(x.trust, leastTrust) * float64(nak))
}

// closed notes that a gap is closed, by its block or by a datagram that arrived.
func (x *decoding) closed(p *Protocol, was *gap, from origin) {
	switch {
	case !was.awaitsBlock:
	case from == rebuilt:
		x.trust += (1 - x.trust) * trustGain
	default: // it was not asked for, so it was not lost
		x.overtook(p)
	}
}

// reconsider looks again at the gaps of first..end that are left to their block: its last repair
// symbol may have come, and not have been enough.
func (x *decoding) reconsider(now clock.Time, s *stream, first, end uint64) {
	gaps := &s.asking.gaps
	for i := gaps.find(first); i < len(gaps.list) && gaps.list[i].first < end; i++ {
		if g := &gaps.list[i]; g.awaitsBlock {
			x.due(now, s, g)
			s.askAt(g.at)
		}
	}
}

// passed is reconsider for FEC, after each datagram: of the gaps in order, those whose blocks are
// past begin their last wait. Behind the first one that still waits there is nothing to find.
func (x *decoding) passed(now clock.Time, s *stream) {
	for i := range s.asking.gaps.list {
		g := &s.asking.gaps.list[i]
		if !g.awaitsBlock {
			continue
		}
		if x.due(now, s, g); g.awaitsBlock {
			return
		}
		s.askAt(g.at)
	}
}

// asks reports whether gaps are asked for. Before, it looks again at the gaps whose blocks should
// have given them back by now. Under FEC nothing is asked for: gaps that have been waited for long
// enough are given up, in order.
func (x *decoding) asks(now clock.Time, s *stream) bool {
	if x == nil {
		return true
	}
	gaps := &s.asking.gaps
	for i := range gaps.list {
		if g := &gaps.list[i]; g.awaitsBlock && g.at <= now {
			x.due(now, s, g)
		}
	}
	if !x.alone {
		return true
	}
	for len(gaps.list) > 0 {
		g := gaps.list[0]
		if g.awaitsBlock || g.at > now {
			break
		}
		message := uint64(0)
		if g.end == x.tail {
			message = x.tailMessage
		}
		s.abandon(g.end, message, core.LossUnrepaired)
		s.drain(now)
	}
	x.dec.Forget(s.due)
	x.count(s.p)
	if s.asking.tracked < s.highest {
		s.notice(now)
	}
	return false
}

// noteTail takes in what a heartbeat has of the end of an FEC stream: what was given up there is
// reported in messages as soon as their numbers are known.
func (x *decoding) noteTail(now clock.Time, s *stream, h *wire.Heartbeat) {
	if x == nil || !x.alone {
		return
	}
	x.tail, x.tailMessage = h.Last+1, h.NextMessage
	s.tellTail(now, h)
}

// needRoom is what the blocks take in a NAK datagram.
func (x *decoding) needRoom() int {
	if x == nil {
		return 0
	}
	return wire.SymbolNakSize(mostNeeds)
}

// need puts what the block of gap g lacks into a request. It reports whether that is enough; if not,
// the datagram itself has to be asked for.
func (x *decoding) need(g *gap, ask *request) bool {
	if x == nil || g.attempts >= symbolTries {
		return false
	}
	block, count, ok := x.dec.Lacking(g.first)
	if !ok {
		return false
	}
	for i := range ask.needs {
		if ask.needs[i].Block == block {
			return true
		}
	}
	if len(ask.needs) == mostNeeds {
		return false
	}
	ask.needs = append(ask.needs, wire.Need{Block: block, Count: uint32(count)})
	return true
}

// overhearSymbols lets another receiver's SymbolNak stand for this one's, if it asks for as much.
func (s *stream) overhearSymbols(now clock.Time, n *wire.SymbolNak) {
	gaps := &s.asking.gaps
	if s.decoding == nil || len(gaps.list) == 0 || s.group.few() {
		return
	}
	it := n.Needs()
	for {
		need, ok := it.Next()
		if !ok {
			return
		}
		for i := gaps.find(need.Block); i < len(gaps.list); i++ {
			g := &gaps.list[i]
			if g.first >= need.Block+fec.MaxSource*fec.MaxInterleave {
				break
			}
			if g.attempts > 0 {
				continue
			}
			if block, count, ok := s.decoding.dec.Lacking(g.first); ok && block == need.Block && count <= int(need.Count) {
				g.awaitsBlock = false
				g.at = now.Add(s.holdOff())
				s.p.stats.NaksSuppressed++
			}
		}
	}
}
