package group

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// beater sends the member's own signs of life.
type beater struct {
	due      clock.Time
	last     clock.Time // when the last one left
	interval time.Duration
	stall    time.Duration // the longest that the loop stood still since stallAt
	stallAt  clock.Time
}

// stallKept is how long a beat reports that the loop stood still.
const stallKept = 10 * time.Second

// every is the interval for so many members, this one included: all their beats together keep to the rate.
func (p *Protocol) every(members int) time.Duration {
	d := time.Duration(float64(members) * beatBits / float64(p.cfg.HeartbeatRate) * float64(time.Second))
	return min(max(d, p.h()), wire.MaxInterval*time.Microsecond)
}

func (p *Protocol) tickBeat(now clock.Time) {
	b := &p.beat
	if now >= b.due {
		p.sendBeat(now, buf.Group)
		b.due = now.Add(b.interval - p.within(b.interval/10))
	}
	p.arm(b.due)
}

func (p *Protocol) sendBeat(now clock.Time, to buf.Endpoint) {
	b := &p.beat
	b.interval = p.every(len(p.table.order) + 1)
	if b.stall > 0 && now.Sub(b.stallAt) >= stallKept {
		b.stall = 0
	}
	p.put(wire.AppendBeat(p.begin(), wire.Beat{Version: p.own.version, Interval: micros(b.interval),
		Members: uint32(len(p.table.order) + 1), Digest: p.Digest(), Stall: micros(b.stall)}), to)
	p.stats.BeatsSent++
	if to == buf.Group {
		b.last = now
	}
}

// beatNow sends a beat out of its turn, but not more than one in a quarter of an interval.
func (p *Protocol) beatNow(now clock.Time) {
	if now.Sub(p.beat.last) >= p.h()/4 {
		p.beat.due = now
		p.arm(now)
	}
}

// togetherMost bounds the members whose beats go together: a burst has to fit the smallest socket buffer.
const togetherMost = 64

// beatTogether has the member's own beat leave with one that it received, if it could leave about now anyway. So the
// beats of all come together, and an idle member wakes up once for many of them.
func (p *Protocol) beatTogether(now clock.Time) {
	b := &p.beat
	if b.due.Sub(now) <= b.interval/10 && len(p.table.order) < togetherMost && b.due > now {
		b.due = now
		p.arm(now)
	}
}

func (p *Protocol) stepBeat(now clock.Time, e *entry, b *wire.Beat) {
	p.stats.BeatsHeard++
	p.beatTogether(now)
	if i := time.Duration(b.Interval) * time.Microsecond; i != e.interval {
		e.timings(p, b.Interval)
	}
	if b.Version != e.version || e.partial || e.contested {
		p.askRecord(now, e)
	}
	if b.Digest == p.Digest() {
		e.different, e.agreed = 0, now
		return
	}
	e.different++
	interval := p.every(len(p.table.order) + 1)
	if e.different >= 3 && now.Sub(p.table.changed) >= 3*interval && before(p.cfg.Self, e.id) &&
		(e.compared == 0 || now.Sub(e.compared) >= 5*interval) {
		e.different, e.compared = 0, now
		p.sendCompare(e)
	}
}

// askRecord asks a member for its record, once an interval.
func (p *Protocol) askRecord(now clock.Time, e *entry) {
	if e.recordAsked != 0 && now.Sub(e.recordAsked) < p.h() {
		return
	}
	e.recordAsked = now
	p.probe(e.endpoint, wire.Probe{To: e.id, Kind: wire.ProbeRecord, Incarnation: p.incarnation, Nonce: p.nonce ^ 1})
}

// tickTombs sends the notices that are due, looks for the lost where there is no multicast, and forgets
// whom nobody needs to remember.
func (p *Protocol) tickTombs(now clock.Time) {
	t := &p.table
	for len(t.graves) > 0 && now.Sub(t.graves[0].at) >= keepTombstone {
		p.bury(t.graves[0])
	}
	keep := p.doubt.owed[:0]
	for _, tomb := range p.doubt.owed {
		switch {
		case tomb.due == 0 || t.tombs[tomb.id] != tomb: // somebody else sent it, or it came back
		case tomb.due <= now:
			tomb.due, tomb.last = 0, now
			if p.alone() {
				p.notify(tomb)
				continue
			}
			p.say(wire.About{ID: tomb.id, Incarnation: tomb.incarnation, Kind: wire.AboutVerdict})
		default:
			p.arm(tomb.due)
			keep = append(keep, tomb)
		}
	}
	clear(p.doubt.owed[len(keep):])
	p.doubt.owed = keep
	if p.alone() {
		p.tickSeek(now)
	}
}

// owe has a removed member be notified, because it was received of.
func (p *Protocol) owe(now clock.Time, t *tombstone) {
	if t.due != 0 || t.left {
		return
	}
	t.due = max(now.Add(p.within(p.h()/2)), t.last.Add(p.h()))
	p.doubt.owed = append(p.doubt.owed, t)
	p.arm(t.due)
}

func micros(d time.Duration) uint32 { return uint32(min(d/time.Microsecond, 1<<32-1)) }
