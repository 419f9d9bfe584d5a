package group

import (
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// SendTransfer sends an item of a cluster's transfer (wire.Transfer, at most wire.MaxTransfer bytes) to a member, if
// there is room for it now. It is false where there is none, or no such member; then nothing has changed. The payload is
// copied. Whether the other member refuses the item is not reported.
func (p *Protocol) SendTransfer(now clock.Time, to wire.MemberID, payload []byte) bool {
	p.observe(now)
	x := p.pairs
	e := p.find(to)
	if e == nil || to == p.cfg.Self || x.closed || len(payload) > wire.MaxTransfer {
		return false
	}
	out := x.at(e).channel(wire.ChannelAnswers)
	if out.waits() {
		return false
	}
	c := call{kind: wire.ItemTransfer, payload: payload}
	if out.fits(now, len(payload)) && out.packAll(now, &c) {
		return true
	}
	if c.packed == 0 && out.oldest < out.next && len(payload) < out.alone(0)*maxWindow/2 {
		return false // there will be room for all of it when what is out has arrived
	}
	n := x.note(wire.ItemTransfer, 0, 0)
	n.payload, n.packed = slices.Clone(payload), c.packed
	x.queue(now, n, to, wire.ChannelAnswers)
	return true
}
