package group

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// This file is what differs without multicast: who gets what goes to the group, how a newcomer learns of all,
// and how the lost are looked for.

// alone reports whether there is no multicast.
func (p *Protocol) alone() bool { return p.cfg.Peers != nil }

// listPeers gives a driver without multicast the list of all. A member is in it with an endpoint from which it
// answered a probe, or with the one that another member's table has: what goes to the group does not go where
// somebody else only claims to be.
func (p *Protocol) listPeers() {
	if !p.alone() {
		return
	}
	list := p.peers[:0:0]
	for _, e := range p.table.order {
		if e.proven != 0 {
			list = append(list, e.proven)
		}
	}
	if !slices.Equal(list, p.peers) {
		p.peers = list
		p.cfg.Peers(list)
	}
}

// prove notes that a member is where its datagrams come from. What goes to the group goes there too, from now on.
func (p *Protocol) prove(e *entry) {
	if e.proven != e.endpoint {
		e.proven = e.endpoint
		p.listPeers()
	}
}

// greet makes this member known to one that others hold, or that returns: nothing that this member sent to the
// group has gone there. The probe that follows is answered only to one that is known.
func (p *Protocol) greet(e *entry) {
	switch {
	case !p.alone() || !e.expected:
	case e.trusted:
		p.sendHello(e.endpoint, p.hello(false, 0, p.nonce))
	default:
		p.sendHello(e.endpoint, p.partialHello(p.nonce))
	}
}

// tableFor sends the table to a newcomer that asked, once it is known to be where it seems to be. Its Hello has
// reached only those that it lists.
func (p *Protocol) tableFor(now clock.Time, e *entry) {
	if !e.joining || e.proven == 0 || e.tableSent != 0 && now.Sub(e.tableSent) < tableEvery {
		return
	}
	e.joining, e.tableSent = false, now
	p.sendTable(e.endpoint, binary.LittleEndian.AppendUint64(nil, e.joinNonce), func(x *entry) bool { return x != e && x.proven != 0 }, false)
	p.stats.TablesSent++
}

// seekAgain is after which times a lost member is looked for again.
var seekAgain = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second}

// tickSeek sends a beat to the lost, from time to time.
func (p *Protocol) tickSeek(now clock.Time) {
	for _, tomb := range p.table.graves {
		if tomb.left || tomb.proven == 0 {
			continue
		}
		if tomb.seek <= now {
			p.sendBeat(now, tomb.proven)
			tomb.seeks++
			tomb.seek = now.Add(seekAgain[min(tomb.seeks, len(seekAgain))-1])
		}
		p.arm(tomb.seek)
	}
}

// notify sends a notice to the removed member itself, which gets nothing that goes to the group. With it goes this
// member's record: that one may have removed this member too, and not be in its list either.
func (p *Protocol) notify(t *tombstone) {
	to := cmp.Or(t.proven, t.from, t.endpoint)
	p.probe(to, wire.Probe{To: t.id, Kind: wire.ProbeRemoved, Incarnation: t.incarnation})
	if to == t.proven {
		p.sendHello(to, p.partialHello(p.nonce))
	}
}

// reprove probes a member whose datagrams come from elsewhere than what goes to the group goes to.
func (p *Protocol) reprove(now clock.Time, e *entry) {
	if p.alone() && e.endpoint != e.proven && e.probeAt == 0 && now.Sub(e.asked) >= p.h() {
		p.question(now, e)
	}
}
