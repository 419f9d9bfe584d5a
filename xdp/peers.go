package xdp

import "github.com/activeblaze/blaze/buf"

// peer is a member that datagrams are sent to, or came from.
type peer struct {
	at    buf.Endpoint // 0: the slot is empty
	mac   mac
	known source
	asked bool // the kernel was asked about it
	far   bool // behind a gateway, whose address mac is
	head  template
}

// source is where a peer's hardware address comes from.
type source uint8

const (
	nobody source = iota
	frames        // its own packets
	kernel        // the kernel's table of neighbours
)

const (
	peerSlots = 4096 // a power of two
	maxPeers  = peerSlots / 2
)

// peers is a hash table of fixed size: no lookup allocates, and a flood of made-up senders
// cannot make it grow. When it is full it is emptied; members are then learned again from the
// next packet of each.
type peers struct {
	slots  [peerSlots]peer
	count  int
	purged uint64
}

// find is the peer at e, or the empty slot that it would have.
func (p *peers) find(e buf.Endpoint) *peer {
	i := uint64(e) * 0x9e3779b97f4a7c15 >> (64 - 12)
	for p.slots[i].at != e && p.slots[i].at != 0 {
		i = (i + 1) % peerSlots
	}
	return &p.slots[i]
}

// add is the peer at e, which is new if it was not there.
func (p *peers) add(e buf.Endpoint) *peer {
	s := p.find(e)
	if s.at == e {
		return s
	}
	if p.count == maxPeers {
		clear(p.slots[:])
		p.count = 0
		p.purged++
		s = p.find(e)
	}
	p.count++
	s.at = e
	return s
}
