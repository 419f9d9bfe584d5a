package group

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// recordSent is the last record that was sent to a member as an item, because it does not fit a datagram.
type recordSent struct {
	version uint32
	at      clock.Time // 0: never
}

// sendRecord sends this member's whole record to another one. What was sent a second ago is on its way.
func (x *pairs) sendRecord(now clock.Time, e *entry) {
	if x.closed {
		return
	}
	pr, version := x.at(e), x.p.own.version
	if r := &pr.record; r.at != 0 && r.version == version && now.Sub(r.at) < time.Second {
		return
	}
	pr.record = recordSent{version, now}
	c := &call{kind: wire.ItemRecord, payload: slices.Clone(x.p.own.record)}
	x.queue(now, c, e.id, wire.ChannelAnswers)
}

// takeRecord takes in the whole record of a member.
func (p *Protocol) takeRecord(now clock.Time, e *entry, payload []byte) {
	r, err := wire.ParseRecord(payload)
	if err != nil || r.ID != e.id || r.Partial {
		p.stats.Drops[DropForeign]++
		return
	}
	p.update(now, e, &r, true)
}
