package engine

import (
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// greedy has data to send whenever it is asked, and control when the test gave it some.
type greedy struct {
	fakeProtocol
	pool *buf.Pool
	mark byte
	idle bool
	sent int
}

func (g *greedy) send(kind byte) buf.Send {
	b := g.pool.Get()
	b.Mem()[0], b.Mem()[1] = g.mark, kind
	b.Set(0, 2)
	return buf.Send{Buf: b}
}

func (g *greedy) PollSend(now clock.Time) (buf.Send, bool) {
	if s, ok := g.PollControl(now); ok {
		return s, true
	}
	if g.idle {
		return buf.Send{}, false
	}
	g.sent++
	return g.send('d'), true
}

func newGreedy(n int) (*Engine, *fakeDriver, []*greedy) {
	pool, d, all := buf.NewPool(1000, 16), newFakeDriver(), []*greedy(nil)
	protocols := map[wire.Protocol]Protocol{}
	for i := range n {
		g := &greedy{pool: pool, mark: byte(i)}
		all = append(all, g)
		protocols[wire.Protocol(i+1)] = g
	}
	return New(Config{Driver: d, Self: self, Cluster: 5, CPU: -1, Protocols: protocols}), d, all
}

// A protocol that always has data leaves each other one its share.
func TestBusyProtocolsShare(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		e, d, all := newGreedy(n)
		for now := clock.Time(1); now <= 1000; now++ {
			e.Turn(now)
		}
		for i, g := range all {
			if share := len(d.sent) / n; g.sent < share*9/10 || g.sent > share*11/10 {
				t.Errorf("%d protocols: number %d sent %d of %d datagrams", n, i, g.sent, len(d.sent))
			}
		}
	}
}

// Where the driver takes one datagram a turn they take turns too.
func TestBusyProtocolsShareASlowDriver(t *testing.T) {
	e, d, all := newGreedy(2)
	for now := clock.Time(1); now <= 3000; now++ {
		d.room = 1
		e.Turn(now)
	}
	if a, b := all[0].sent, all[1].sent; a < b*9/10 || a > b*11/10 {
		t.Errorf("sent %d and %d", a, b)
	}
}

// The control of all protocols leaves before the data of any.
func TestControlLeavesFirst(t *testing.T) {
	e, d, all := newGreedy(2)
	for now := clock.Time(1); now <= 4; now++ {
		for _, g := range all {
			g.control = append(g.control, g.send('c'), g.send('c'))
		}
		d.sent = nil
		e.Turn(now)
		for i, b := range d.sent {
			if (b[1] == 'c') != (i < 4) {
				t.Fatalf("turn %d: datagram %d is of kind %c", now, i, b[1])
			}
		}
	}
}

// One protocol's flood of control starves neither another's control nor its own data.
func TestControlFloodLeavesRoom(t *testing.T) {
	e, d, all := newGreedy(2)
	for range 200 {
		all[0].control = append(all[0].control, all[0].send('c'))
	}
	all[1].control = append(all[1].control, all[1].send('c'))
	e.Turn(1)
	control, data := 0, 0
	for _, b := range d.sent {
		if b[0] == 1 && b[1] == 'c' {
			control++
		} else if b[0] == 1 {
			data++
		}
	}
	if control != 1 || data == 0 {
		t.Errorf("the other protocol sent %d control datagrams and %d of data", control, data)
	}
}

// A protocol that is alone has the whole batch.
func TestOneProtocolFillsTheBatch(t *testing.T) {
	e, d, _ := newGreedy(1)
	if e.Turn(1); len(d.sent) != Batch {
		t.Errorf("%d datagrams in a turn, %d would fit", len(d.sent), Batch)
	}
}

// Of several protocols one that is alone at work has the whole batch too, until another one wakes. That
// one has its share at once.
func TestLoneProtocolFillsTheBatch(t *testing.T) {
	e, d, all := newGreedy(2)
	all[1].idle = true
	now := clock.Time(1)
	turn := func() (data int) {
		d.sent = nil
		e.Turn(now)
		for _, b := range d.sent {
			if b[0] == 0 && b[1] == 'd' {
				data++
			}
		}
		return data
	}
	if n := turn(); n != Batch {
		t.Errorf("%d datagrams in a turn alone", n)
	}
	all[1].control = append(all[1].control, all[1].send('c')) // a token
	if n := turn(); n != dataShare || d.sent[0][0] != 1 {
		t.Errorf("%d datagrams beside the other one's token, which is first: %v", n, d.sent[0][0] == 1)
	}
	now = now.Add(activeFor / 2)
	if n := turn(); n != dataShare {
		t.Errorf("%d datagrams while the token is on its way", n)
	}
	now = now.Add(activeFor)
	if n := turn(); n != Batch {
		t.Errorf("%d datagrams when the other one sends no more", n)
	}
}
