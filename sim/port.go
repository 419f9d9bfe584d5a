package sim

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Port is what a node's connection to the network carries in one direction: a switch's port, or a policed line. Its
// zero value carries everything at once.
type Port struct {
	Rate  int64 // bits/s, with the headers of Ethernet, IP and UDP; zero means no limit
	Queue int   // bytes that wait for Rate; what finds no room is lost. Zero means 64 KiB
	MTU   int   // bytes of an IP packet: a longer one is lost without a word. Zero means no limit
}

// port is the state of a Port.
type port struct {
	Port
	free    clock.Time // when all that waits has left
	tried   uint64     // bytes that came,
	carried uint64     // and that passed
}

// frameBytes is what a datagram of n bytes takes on a link.
func frameBytes(n int) int { return n + headers + 14 }

// pass decides when a datagram of n bytes that comes at at has left; false: it is lost.
func (p *port) pass(at clock.Time, n int) (clock.Time, bool) {
	size := frameBytes(n)
	p.tried += uint64(size)
	if p.MTU > 0 && n+headers > p.MTU {
		return 0, false
	}
	if p.Rate > 0 {
		queue := p.Queue
		if queue == 0 {
			queue = 64 << 10
		}
		begin := max(at, p.free)
		if int64(begin.Sub(at))*p.Rate/int64(8*time.Second)+int64(size) > int64(queue) {
			return 0, false
		}
		at = begin.Add(time.Duration(int64(size) * 8 * int64(time.Second) / p.Rate))
		p.free = at
	}
	p.carried += uint64(size)
	return at, true
}

// SetDown gives the way from the network to a node a port.
func (n *Network) SetDown(node int, p Port) { n.down[node] = &port{Port: p} }

// SetUp gives the way from a node to the network a port.
func (n *Network) SetUp(node int, p Port) { n.up[node] = &port{Port: p} }

// Carried is how many bytes the port to a node has passed on, with headers.
func (n *Network) Carried(node int) uint64 {
	if p := n.down[node]; p != nil {
		return p.carried
	}
	return 0
}

// TriedUp is how many bytes came to the port from a node, with headers, whether it passed them on or not.
func (n *Network) TriedUp(node int) uint64 {
	if p := n.up[node]; p != nil {
		return p.tried
	}
	return 0
}
