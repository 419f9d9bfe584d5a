package scale

import (
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

const (
	datagram = 1472    // bytes of UDP payload at MTU 1500
	room     = 8 << 20 // bytes of arriving datagrams that a host buffers
)

// wire carries datagrams between members when it is told to. Its time is virtual.
type wire struct {
	now   clock.Time
	ports []*port // by endpoint - 1
	loss  float64 // share of the datagrams to a lossy port that is dropped
	rand  *rand.Rand
}

func newWire(loss float64) *wire {
	return &wire{now: clock.Time(time.Second), loss: loss, rand: rand.New(rand.NewPCG(1, 2))}
}

// port is one member's driver. What the member sends waits for carry, which stands for the network: copying is not the
// member's.
type port struct {
	wire  *wire
	self  buf.Endpoint
	hears []*port // that receive what this one sends to the group
	lossy bool

	out        []buf.Send // each with a reference
	in         []arrival
	first, end int // of in: those that have arrived and were not lent yet
	lent       int
}

type arrival struct {
	mem   [datagram]byte
	buf   buf.Buf
	n     int
	from  buf.Endpoint
	group bool
}

func (w *wire) port() *port {
	p := &port{wire: w, self: buf.Endpoint(len(w.ports) + 1)}
	w.ports = append(w.ports, p)
	return p
}

// carry moves what all members have sent to those that receive it.
func (w *wire) carry() {
	for _, p := range w.ports {
		p.carry()
	}
}

func (p *port) carry() {
	for _, s := range p.out {
		if s.To == buf.Group {
			for _, to := range p.hears {
				to.arrive(s.Buf.Bytes(), p.self, true)
			}
		} else {
			p.wire.ports[s.To-1].arrive(s.Buf.Bytes(), p.self, false)
		}
		s.Buf.Release()
	}
	p.out = p.out[:0]
}

func (p *port) arrive(b []byte, from buf.Endpoint, group bool) {
	if p.lossy && p.wire.rand.Float64() < p.wire.loss {
		return
	}
	if p.end == len(p.in) {
		// Lent memory must not move: buffers refer to it.
		p.in = append(p.in, arrival{})
		if p.lent > 0 {
			panic("scale: datagrams arrive while others are lent")
		}
	}
	a := &p.in[p.end]
	p.end++
	a.n, a.from, a.group = copy(a.mem[:], b), from, group
}

// waiting reports whether something has arrived.
func (p *port) waiting() bool { return p.first < p.end }

// Recv implements engine.Driver.
func (p *port) Recv(batch []buf.Received) int {
	if p.first == p.end {
		p.first, p.end, p.lent = 0, 0, 0
		return 0
	}
	n := min(len(batch), p.end-p.first)
	for i := range n {
		a := &p.in[p.first+i]
		a.buf.Lend(a.mem[:a.n])
		batch[i] = buf.Received{Buf: &a.buf, From: a.from, Group: a.group}
	}
	p.first += n
	p.lent = n
	return n
}

// Send implements engine.Driver.
func (p *port) Send(batch []buf.Send) (int, error) {
	for _, s := range batch {
		s.Buf.Retain()
		p.out = append(p.out, s)
	}
	return len(batch), nil
}

// Local implements engine.Driver.
func (p *port) Local() buf.Endpoint { return p.self }

// Datagram implements engine.Driver.
func (p *port) Datagram() int { return datagram }

// Room implements engine.Driver.
func (p *port) Room() int { return room }

// Wait, Wake and Close implement engine.Driver; nothing sleeps here.
func (p *port) Wait(time.Duration) {}
func (p *port) Wake()              {}
func (p *port) Close() error       { return nil }
