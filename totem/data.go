package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// stepData takes in a datagram of a ring (5.4).
func (p *Protocol) stepData(now clock.Time, d *wire.Datagram, m *wire.Data, g *wire.Ring, r buf.Received) error {
	switch {
	case g.Key == p.cur.key && (p.state == Operational || p.state == Recovery):
		return p.stepOwn(d, m, g, r)
	case p.state == Gather && g.Key == p.old.key && p.firstTry:
		// While the numbers of the old ring have not been published, it may still grow.
		return p.keep(p.old, d, m, g, r)
	case p.state == Operational && p.memb.has(d.Transmitter):
		return p.foreign(now, d.Transmitter, g.Key.Seq)
	case p.state == Operational || p.state == Gather:
		return p.drop(DropForeign) // a word about its ring comes soon, if what is as long as data gets through
	}
	return p.drop(DropState)
}

// stepOwn takes in a datagram of the ring that this member is in.
func (p *Protocol) stepOwn(d *wire.Datagram, m *wire.Data, g *wire.Ring, r buf.Received) error {
	seq := m.Number
	if g.Recovered {
		seq = g.Number
	}
	if seq > p.cur.aru+2*uint64(len(p.cur.slots)) {
		return p.drop(DropRange)
	}
	p.tok.arrived(p, g.Round, seq)
	p.tok.accel = p.tok.accel || g.After
	if err := p.keep(p.cur, d, m, g, r); err != nil {
		return err
	}
	if g.Recovered && p.state == Recovery {
		p.recovered(m, g, p.cur.at(seq))
	}
	if p.state == Operational {
		p.deliver()
		p.discardStable()
	}
	return nil
}

// keep holds a datagram of ring t, if it is new and has its place there.
func (p *Protocol) keep(t *ring, d *wire.Datagram, m *wire.Data, g *wire.Ring, r buf.Received) error {
	s := slot{seq: m.Number, origin: g.Origin, safe: g.Safe, recovered: g.Recovered, received: p.last}
	if g.Recovered {
		s.seq = g.Number
	}
	from, ok := t.place(d.Transmitter, g.Origin)
	switch {
	case !ok || !g.Recovered && int(g.Origin) >= t.members.n:
		return p.drop(DropForeign)
	case t.at(s.seq) != nil:
		if t == p.cur {
			p.pace.leaves(t.at(s.seq), from, true) // for a third one
			if s.seq > t.bound() {
				p.tok.sentAgain(t.at(s.seq))
			}
		}
		return p.drop(DropStale)
	case s.seq <= t.bound():
		return p.drop(DropStale)
	case !t.accepts(s.seq):
		return p.drop(DropRange)
	case r.Buf.Len() > p.cfg.Datagram:
		return p.drop(DropLong) // which this member could not send again
	}
	if d.Canonical {
		s.buf = p.cfg.Pool.Keep(r.Buf)
	} else {
		s.buf = p.canonical(d, m, g)
	}
	if s.buf == nil {
		return p.drop(DropNoBuffer)
	}
	if s.buf.Len() > p.cfg.Datagram {
		s.buf.Release() // in the canonical layout it is longer than it was
		return p.drop(DropLong)
	}
	p.stats.DataReceived++
	if t == p.cur {
		p.pace.leaves(&s, from, false)
	}
	t.put(s)
	return nil
}

// canonical writes a datagram that is laid out in another way as this package expects it.
func (p *Protocol) canonical(d *wire.Datagram, m *wire.Data, g *wire.Ring) *buf.Buf {
	b := p.cfg.Pool.Get()
	if b == nil {
		return nil
	}
	var w wire.DataWriter
	w.Begin(b.Mem(), len(b.Mem())-wire.DataOverhead-wire.RingMax, d.Header, m.Number, m.FirstMessage)
	it := m.Messages()
	for it.Step() {
		ok := false
		if m.Fragment {
			ok = w.AddFragment(string(it.Topic), it.Kind, m.Offset, m.Size, it.Payload)
		} else {
			ok = w.Add(string(it.Topic), it.Kind, it.Payload)
		}
		if !ok {
			b.Release()
			return nil
		}
	}
	off, n := w.Close()
	mem := wire.AppendRing(b.Mem()[:off+n], *g)
	wire.Seal(mem[off:])
	b.Set(off, len(mem)-off)
	return b
}

// discardStable gives up what every member has and this one has delivered. In recovery there is
// nothing to deliver, and what came of old rings is in the old store: only so can the exchange be
// longer than the store.
func (p *Protocol) discardStable() {
	r := p.cur
	switch p.state {
	case Operational:
	case Recovery:
		for s := r.at(r.delivered + 1); s != nil && s.recovered; s = r.at(r.delivered + 1) {
			r.delivered++
		}
	default:
		return
	}
	if min(r.stable, r.delivered) > r.discarded {
		r.discard(min(r.stable, r.delivered))
		p.probe(Discarded, r.id, r.discarded)
	}
}
