package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// Errors of Send.
var (
	ErrAgain  = errors.New("sim: send queue is full")
	ErrClosed = errors.New("sim: driver is closed")
)

// Turner is what a driver drives: an engine, or whatever behaves like one.
type Turner interface {
	Turn(now clock.Time) (work int)
	Deadline() (at clock.Time, ok bool)
}

// Driver is one member's way to the network: it has the duties of a pair of sockets. It
// satisfies the engine's Driver.
type Driver struct {
	net    *Network
	node   int
	local  buf.Endpoint
	turner Turner

	group, direct backlog        // two sockets, each with Room
	listed, peers []buf.Endpoint // Pointcast: what it was opened with, and all that the group stands for
	pointcast     bool
	ways          []way // state of the links to the others, by endpoint - 1

	slots []slot // what Recv has lent
	lent  int

	turnAt  clock.Time // when the scheduled turn is; 0 when there is none
	busy    clock.Time // the member's thread is busy until then
	free    clock.Time // the NIC has sent everything by then
	pending []*packet  // Guard: buffers that the NIC still reads from
	paused  bool
	closed  bool
	idle    int // turns in a row that had a deadline in the past and did nothing
	turns   uint64
}

// slot is one lent datagram.
type slot struct {
	buf    buf.Buf
	packet *packet
	copy   []byte // Guard: what is lent instead of the packet
}

// backlog is one socket's receive buffer.
type backlog struct {
	packets []*packet
	head    int
	bytes   int
}

func (q *backlog) len() int { return len(q.packets) - q.head }

func (q *backlog) push(p *packet) {
	if q.head > 32 && q.head*2 > len(q.packets) {
		n := copy(q.packets, q.packets[q.head:])
		clear(q.packets[n:])
		q.packets, q.head = q.packets[:n], 0
	}
	q.packets = append(q.packets, p)
	q.bytes += skbSize(len(p.bytes))
}

func (q *backlog) pop() *packet {
	p := q.packets[q.head]
	q.packets[q.head] = nil
	q.head++
	q.bytes -= skbSize(len(p.bytes))
	return p
}

// Attach opens a driver on node (0, 1, …). Each call gets an endpoint of its own, also for a
// node that had one before: a process that restarts has a new port.
func (n *Network) Attach(node int) *Driver {
	d := &Driver{net: n, node: node, local: buf.Endpoint(len(n.drivers) + 1)}
	n.drivers = append(n.drivers, d)
	n.open = append(n.open, d)
	n.trace.mix(uint64(n.now), 'a', uint64(node), uint64(d.local))
	return d
}

// Reattach opens a driver on the node and the endpoint of one that is closed.
func (n *Network) Reattach(old *Driver) *Driver {
	if !old.closed {
		panic("sim: Reattach of a driver that is open")
	}
	d := &Driver{net: n, node: old.node, local: old.local}
	n.drivers[d.local-1] = d
	n.open = append(n.open, d)
	n.trace.mix(uint64(n.now), 'a', uint64(d.node), uint64(d.local))
	return d
}

// Pointcast makes the driver one without multicast: what it sends to the group goes to each of the listed
// endpoints instead, its own one aside, and to those that SetPeers adds. It arrives as unicast.
func (d *Driver) Pointcast(listed ...buf.Endpoint) {
	d.pointcast, d.listed = true, listed
	d.SetPeers(nil)
}

// SetPeers implements engine.PeerSetter. With multicast it does nothing.
func (d *Driver) SetPeers(members []buf.Endpoint) {
	all := slices.Concat(d.listed, members)
	slices.Sort(all)
	d.peers = slices.DeleteFunc(slices.Compact(all), func(e buf.Endpoint) bool { return e == d.local })
}

// Drive makes the network call t's turns, the first one now.
func (d *Driver) Drive(t Turner) {
	d.turner = t
	d.Wake()
}

// Recv lends what has arrived, the group's first, until the next call.
func (d *Driver) Recv(batch []buf.Received) int {
	d.endLoan()
	for len(d.slots) < len(batch) {
		d.slots = append(d.slots, slot{})
	}
	i := 0
	for ; i < len(batch); i++ {
		q := &d.group
		if q.len() == 0 {
			if q = &d.direct; q.len() == 0 {
				break
			}
		}
		p := q.pop()
		s := &d.slots[i]
		s.packet = p
		mem := p.bytes
		if d.net.cfg.Guard {
			s.copy = append(s.copy[:0], p.bytes...)
			mem = s.copy
		}
		s.buf.Lend(mem)
		batch[i] = buf.Received{Buf: &s.buf, From: p.from, Group: p.group}
	}
	d.lent = i
	d.net.stats.Received += uint64(i)
	return i
}

// endLoan takes back what Recv lent.
func (d *Driver) endLoan() {
	for i := range d.slots[:d.lent] {
		s := &d.slots[i]
		if d.net.cfg.Guard {
			if sum(s.copy) != s.packet.sum {
				panic(fmt.Sprintf("sim: node %d changed a received datagram that was only lent to it", d.node))
			}
			for j := range s.copy {
				s.copy[j] = 0xdb // a later reader will notice
			}
		}
		d.net.drop(s.packet)
		s.packet = nil
	}
	d.lent = 0
}

// Send takes batch[:n]. It stops short with ErrAgain when Bandwidth is used up.
func (d *Driver) Send(batch []buf.Send) (n int, err error) {
	for i := range batch {
		if d.closed {
			return i, ErrClosed
		}
		s := &batch[i]
		b := s.Buf.Bytes()
		if len(b) > d.Datagram() {
			d.net.stats.Sends++
			d.net.stats.Oversize++
			continue
		}
		depart := d.net.now
		if rate := d.net.cfg.Bandwidth; rate > 0 {
			depart = max(depart, d.free)
			if depart.Sub(d.net.now) > d.net.cfg.SendQueue {
				d.wakeAt(d.free)
				return i, ErrAgain
			}
			depart = depart.Add(time.Duration(int64(len(b)+headers+14) * 8 * int64(time.Second) / rate))
			d.free = depart
		}
		d.net.transmit(d, b, s.To, depart)
		if d.net.cfg.Guard {
			d.watch(s.Buf, depart)
		}
	}
	return len(batch), nil
}

// watch holds b as a NIC would, to see that it is not written to meanwhile.
func (d *Driver) watch(b *buf.Buf, depart clock.Time) {
	b.Retain()
	p := d.net.packet()
	p.sent, p.sum = b, sum(b.Bytes())
	d.pending = append(d.pending, p)
	d.net.agenda.push(event{at: depart.Add(time.Microsecond), kind: eventSent, driver: d, packet: p})
}

// sent is the NIC's completion.
func (d *Driver) sent(p *packet) {
	if p.sent == nil { // the driver was closed meanwhile
		d.net.drop(p)
		return
	}
	if sum(p.sent.Bytes()) != p.sum {
		panic(fmt.Sprintf("sim: node %d changed a datagram while it was being sent", d.node))
	}
	p.sent.Release()
	p.sent = nil
	for i, q := range d.pending {
		if q == p {
			last := len(d.pending) - 1
			d.pending[i] = d.pending[last]
			d.pending = d.pending[:last]
			break
		}
	}
	d.net.drop(p)
}

// Wait returns at once: in a simulation no thread sleeps.
func (d *Driver) Wait(time.Duration) {}

// Wake asks for a turn as soon as the member's thread is free.
func (d *Driver) Wake() { d.wakeAt(d.net.now) }

// Local is the driver's own address.
func (d *Driver) Local() buf.Endpoint { return d.local }

// Datagram is the largest UDP payload, bytes.
func (d *Driver) Datagram() int { return d.net.cfg.MTU - headers }

// Room is the receive buffer of each of the two sockets, bytes.
func (d *Driver) Room() int { return d.net.cfg.Room }

// Node is the node that the driver is attached to.
func (d *Driver) Node() int { return d.node }

// Turns counts the member's turns.
func (d *Driver) Turns() uint64 { return d.turns }

// Close ends the driver, as when a process ends: what waits in its buffers is gone.
func (d *Driver) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.net.trace.mix(uint64(d.net.now), 'x', uint64(d.local))
	d.endLoan()
	for _, q := range [...]*backlog{&d.group, &d.direct} {
		for q.len() > 0 {
			d.net.stats.Closed++
			d.net.drop(q.pop())
		}
	}
	for _, p := range d.pending {
		p.sent.Release()
		p.sent = nil // its event finds nothing to do
	}
	d.pending = nil
	for i, o := range d.net.open {
		if o == d {
			d.net.open = append(d.net.open[:i:i], d.net.open[i+1:]...)
			break
		}
	}
	return nil
}

// Pause stops the member's turns, as a stopped process or a long garbage collection does.
// Datagrams keep arriving until the buffer is full.
func (d *Driver) Pause() { d.paused = true }

// Resume lets the member run again.
func (d *Driver) Resume() {
	if d.paused {
		d.paused = false
		d.Wake()
	}
}

// way is the state of the link from d to o.
func (d *Driver) way(o *Driver) *way {
	for len(d.ways) < int(o.local) {
		d.ways = append(d.ways, way{})
	}
	return &d.ways[o.local-1]
}

// arrive puts a datagram into a receive buffer.
func (d *Driver) arrive(p *packet) {
	q := &d.direct
	if p.group {
		q = &d.group
	}
	switch {
	case d.closed:
		d.net.stats.Closed++
		d.net.drop(p)
	case q.bytes+skbSize(len(p.bytes)) > d.net.cfg.Room:
		d.net.stats.Overrun++
		d.net.trace.mix(uint64(d.net.now), 'o', uint64(d.local))
		d.net.drop(p)
	default:
		q.push(p)
		d.Wake()
	}
}

// wakeAt schedules a turn at t, unless there is an earlier one.
func (d *Driver) wakeAt(t clock.Time) {
	if d.closed || d.paused || d.turner == nil {
		return
	}
	t = max(t, d.busy, d.net.now)
	if d.turnAt != 0 && d.turnAt <= t {
		return
	}
	d.turnAt = t
	d.net.agenda.push(event{at: t, kind: eventTurn, driver: d})
}

// maxIdle bounds the turns in a row that a deadline demands and that do nothing. A member
// that needs more of them would keep a processor busy for nothing.
const maxIdle = 10_000

// turn lets the member run, and schedules its next turn.
func (d *Driver) turn(at clock.Time) {
	if d.closed || d.paused {
		d.turnAt = 0
		return
	}
	if at != d.turnAt {
		return // overtaken by an earlier one
	}
	d.turnAt = 0
	d.turns++
	work := d.turner.Turn(at)
	if d.closed {
		return
	}
	d.net.trace.mix(uint64(at), 't', uint64(d.local), uint64(work))
	d.busy = at.Add(d.net.cfg.TurnCost + time.Duration(work)*d.net.cfg.WorkCost)
	if work > 0 || d.group.len()+d.direct.len() > 0 {
		d.idle = 0
		d.wakeAt(d.busy)
		return
	}
	next, ok := d.turner.Deadline()
	if !ok {
		return
	}
	if next > at {
		d.idle = 0
	} else if d.idle++; d.idle > maxIdle {
		panic(fmt.Sprintf("sim: node %d: %d turns at a deadline that has passed (%d, now %d), and nothing is done", d.node, d.idle, next, at))
	}
	d.wakeAt(next)
}

// Inject puts any bytes on the wire, from this driver's address: what a broken or hostile
// program on the network may do.
func (d *Driver) Inject(to buf.Endpoint, datagram []byte) {
	if len(datagram) > d.Datagram() {
		d.net.stats.Sends++
		d.net.stats.Oversize++
		return
	}
	d.net.transmit(d, datagram, to, d.net.now)
}
