package engine

import (
	"bytes"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// fakeDriver is a driver whose network is a slice.
type fakeDriver struct {
	arrived [][]byte
	lent    [Batch]buf.Buf
	sent    [][]byte
	room    int // datagrams that Send still takes
	err     error

	wake  chan struct{}
	waits atomic.Int64
	lastD time.Duration
}

func newFakeDriver() *fakeDriver {
	return &fakeDriver{room: 1 << 30, wake: make(chan struct{}, 1)}
}

func (d *fakeDriver) Recv(batch []buf.Received) int {
	n := min(len(batch), len(d.arrived))
	for i := range n {
		d.lent[i].Lend(d.arrived[i])
		batch[i] = buf.Received{Buf: &d.lent[i], From: 7, Group: true}
	}
	d.arrived = d.arrived[n:]
	return n
}

func (d *fakeDriver) Send(batch []buf.Send) (int, error) {
	n := min(len(batch), d.room)
	for _, s := range batch[:n] {
		d.sent = append(d.sent, append([]byte(nil), s.Buf.Bytes()...))
	}
	d.room -= n
	return n, d.err
}

func (d *fakeDriver) Wait(limit time.Duration) {
	d.lastD = limit
	d.waits.Add(1)
	if limit < 0 {
		limit = time.Hour
	}
	select {
	case <-d.wake:
	case <-time.After(limit):
	}
}

func (d *fakeDriver) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *fakeDriver) Local() buf.Endpoint { return 1 }
func (d *fakeDriver) Datagram() int       { return 1472 }
func (d *fakeDriver) Room() int           { return 1 << 20 }
func (d *fakeDriver) Close() error        { return nil }

// fakeProtocol records what it is called with.
type fakeProtocol struct {
	calls    []string
	stepped  []wire.StreamID
	refuse   error
	deadline clock.Time
	out      []buf.Send
	control  []buf.Send
	deliver  int
}

func (p *fakeProtocol) Step(_ clock.Time, d *wire.Datagram, _ buf.Received) error {
	p.calls = append(p.calls, "step")
	p.stepped = append(p.stepped, d.Stream)
	return p.refuse
}

func (p *fakeProtocol) Deadline() (clock.Time, bool) { return p.deadline, p.deadline != 0 }
func (p *fakeProtocol) Tick(clock.Time)              { p.calls = append(p.calls, "tick"); p.deadline = 0 }
func (p *fakeProtocol) Flush(clock.Time)             { p.calls = append(p.calls, "flush") }

func (p *fakeProtocol) PollSend(clock.Time) (buf.Send, bool) {
	if len(p.out) == 0 {
		return buf.Send{}, false
	}
	s := p.out[0]
	p.out = p.out[1:]
	return s, true
}

func (p *fakeProtocol) PollControl(clock.Time) (buf.Send, bool) {
	if len(p.control) == 0 {
		return buf.Send{}, false
	}
	s := p.control[0]
	p.control = p.control[1:]
	return s, true
}

func (p *fakeProtocol) Deliver(clock.Time) int {
	p.calls = append(p.calls, "deliver")
	n := p.deliver
	p.deliver = 0
	return n
}

type fakeSource struct {
	waiting atomic.Int64
	p       *fakeProtocol
}

func (s *fakeSource) Drain(clock.Time) int {
	if s.p != nil {
		s.p.calls = append(s.p.calls, "drain")
	}
	return int(s.waiting.Swap(0))
}
func (s *fakeSource) Waiting() bool { return s.waiting.Load() > 0 }

var (
	self  = wire.MemberID{1}
	other = wire.MemberID{2}
)

func datagram(cluster uint64, from wire.MemberID, stream wire.StreamID) []byte {
	b := wire.AppendHeader(nil, wire.Header{Cluster: cluster, Transmitter: from, Stream: stream})
	b = wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, FirstMessage: 1, NextMessage: 1})
	wire.Seal(b)
	return b
}

func newTestEngine(d *fakeDriver, p Protocol, s Source) *Engine {
	return New(Config{
		Driver: d, Source: s, Self: self, Cluster: 5, CPU: -1, Idle: Block,
		Protocols: map[wire.Protocol]Protocol{wire.NACK: p, wire.BestEffort: p},
	})
}

func TestTurnDoesThingsInOrder(t *testing.T) {
	d, p := newFakeDriver(), &fakeProtocol{deadline: 10}
	e := newTestEngine(d, p, &fakeSource{p: p})
	d.arrived = [][]byte{datagram(5, other, wire.NewStreamID(wire.NACK, 3))}
	if n := e.Turn(10); n != 1 {
		t.Errorf("work %d, want 1 for the datagram", n)
	}
	want := []string{"step", "drain", "tick", "flush", "deliver"}
	if len(p.calls) != len(want) {
		t.Fatalf("calls %v, want %v", p.calls, want)
	}
	for i := range want {
		if p.calls[i] != want[i] {
			t.Fatalf("calls %v, want %v", p.calls, want)
		}
	}
	if p.stepped[0].Lane() != 3 {
		t.Errorf("stepped with stream %x", p.stepped[0])
	}
}

func TestTurnTicksOnlyWhatIsDue(t *testing.T) {
	p := &fakeProtocol{deadline: 11}
	e := newTestEngine(newFakeDriver(), p, nil)
	e.Turn(10)
	if at, ok := e.Deadline(); !ok || at != 11 {
		t.Errorf("deadline %d %v, want 11", at, ok)
	}
	for _, c := range p.calls {
		if c == "tick" {
			t.Fatal("ticked before the deadline")
		}
	}
	e.Turn(11)
	if _, ok := e.Deadline(); ok {
		t.Error("the deadline was not fired")
	}
}

func TestTurnDropsUnderOneReason(t *testing.T) {
	good := datagram(5, other, wire.NewStreamID(wire.NACK, 0))
	flip := append([]byte(nil), good...)
	flip[len(flip)-1] ^= 1
	version := append([]byte(nil), good...)
	version[1] = 9
	for name, c := range map[string]struct {
		b    []byte
		want Drop
	}{
		"empty":            {nil, DropMalformed},
		"noise":            {[]byte("GET / HTTP/1.0\r\n\r\n"), DropMalformed},
		"own":              {datagram(5, self, wire.NewStreamID(wire.NACK, 0)), DropOwn},
		"another cluster":  {datagram(6, other, wire.NewStreamID(wire.NACK, 0)), DropCluster},
		"a flipped bit":    {flip, DropChecksum},
		"a newer version":  {version, DropVersion},
		"a protocol of 77": {datagram(5, other, wire.NewStreamID(77, 0)), DropProtocol},
		"one cut short":    {good[:len(good)-3], DropChecksum},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := newFakeDriver(), &fakeProtocol{}
			e := newTestEngine(d, p, nil)
			d.arrived = [][]byte{c.b}
			e.Turn(1)
			if len(p.stepped) != 0 {
				t.Fatal("a protocol saw it")
			}
			var sum uint64
			for r, n := range e.Stats().Drops {
				sum += n
				if n > 0 && Drop(r) != c.want {
					t.Errorf("dropped as %v, want %v", Drop(r), c.want)
				}
			}
			if sum != 1 {
				t.Errorf("counted %d times", sum)
			}
		})
	}
}

// Several datagrams in one packet are taken one by one; each is counted, and what only looks like
// a train is not.
func TestTurnCutsTrains(t *testing.T) {
	one := datagram(5, other, wire.NewStreamID(wire.NACK, 0))
	short := wire.AppendHeader(nil, wire.Header{Cluster: 5, Transmitter: other, Stream: wire.NewStreamID(wire.NACK, 0)})
	short = wire.AppendLeave(short, wire.Leave{})
	wire.Seal(short)
	damaged := bytes.Clone(one)
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		packet  []byte
		stepped int
		drops   uint64
		trains  uint64
	}{
		"two":                    {bytes.Join([][]byte{one, one}, nil), 2, 0, 1},
		"five, the last shorter": {bytes.Join([][]byte{one, one, one, one, short}, nil), 5, 0, 1},
		"one damaged in it":      {bytes.Join([][]byte{one, damaged, one}, nil), 2, 1, 1},
		"the first damaged":      {bytes.Join([][]byte{damaged, one, one}, nil), 0, 1, 0},
		"only one, damaged":      {damaged, 0, 1, 0},
		"cut short":              {bytes.Join([][]byte{one, one[:20]}, nil), 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := newFakeDriver(), &fakeProtocol{}
			e := newTestEngine(d, p, nil)
			d.arrived = [][]byte{c.packet}
			e.Turn(1)
			s := e.Stats()
			drops := uint64(0)
			for _, n := range s.Drops {
				drops += n
			}
			if len(p.stepped) != c.stepped || drops != c.drops || s.Trains != c.trains {
				t.Errorf("%d stepped, %d dropped, %d trains; want %d, %d, %d", len(p.stepped), drops, s.Trains, c.stepped, c.drops, c.trains)
			}
			if s.Received != uint64(c.stepped)+c.drops || s.ReceivedBytes != uint64(len(c.packet)) {
				t.Errorf("%d datagrams, %d bytes received", s.Received, s.ReceivedBytes)
			}
		})
	}
}

func TestTurnCountsRefusals(t *testing.T) {
	d, p := newFakeDriver(), &fakeProtocol{refuse: errors.New("no")}
	e := newTestEngine(d, p, nil)
	d.arrived = [][]byte{datagram(5, other, wire.NewStreamID(wire.NACK, 0))}
	e.Turn(1)
	if e.Stats().Drops[DropRefused] != 1 {
		t.Errorf("drops %v", e.Stats().Drops)
	}
}

// What the driver does not take is offered again, in order, and each reference is given back
// exactly once.
func TestTurnKeepsWhatTheDriverRefuses(t *testing.T) {
	pool := buf.NewPool(8, 16)
	d, p := newFakeDriver(), &fakeProtocol{}
	e := newTestEngine(d, p, nil)
	for i := range 5 {
		b := pool.Get()
		b.Mem()[0] = byte(i)
		b.Set(0, 1)
		p.out = append(p.out, buf.Send{Buf: b})
	}
	d.room = 2
	if n := e.Turn(1); n != 2 {
		t.Errorf("work %d, want the 2 that were taken", n)
	}
	if pool.Free() != 5 {
		t.Errorf("%d buffers free, want 5: two sent, three pending", pool.Free())
	}
	if _, ok := e.Deadline(); !ok {
		t.Error("no deadline, so an engine that blocks would not try again")
	}
	d.room = 10
	e.Turn(2)
	for i, b := range d.sent {
		if b[0] != byte(i) {
			t.Fatalf("sent %v, out of order", d.sent)
		}
	}
	if len(d.sent) != 5 || pool.Free() != pool.Count() {
		t.Errorf("%d sent, %d of %d buffers free", len(d.sent), pool.Free(), pool.Count())
	}
}

func TestReleaseGivesBackWhatIsPending(t *testing.T) {
	pool := buf.NewPool(2, 16)
	d, p := newFakeDriver(), &fakeProtocol{}
	e := newTestEngine(d, p, nil)
	p.out = []buf.Send{{Buf: pool.Get()}, {Buf: pool.Get()}}
	d.room = 0
	e.Turn(1)
	e.Release()
	if pool.Free() != 2 {
		t.Errorf("%d buffers free, want 2", pool.Free())
	}
}

// The loop with Block sleeps without a time limit when nothing is due, and each kind of event
// wakes it.
func TestRunBlocksUntilNotified(t *testing.T) {
	d, p, s := newFakeDriver(), &fakeProtocol{}, &fakeSource{}
	e := newTestEngine(d, p, s)
	ended := make(chan error)
	go func() { ended <- e.Run() }()
	for i := range 200 {
		for n := d.waits.Load(); d.waits.Load() == n && n == 0; {
			runtime.Gosched()
		}
		s.waiting.Add(1)
		e.Notify()
		for start := time.Now(); s.Waiting(); {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("command %d was never drained: a wake-up was lost", i)
			}
		}
		ran := make(chan struct{})
		e.Post(func() { close(ran) })
		select {
		case <-ran:
		case <-time.After(5 * time.Second):
			t.Fatalf("post %d never ran: a wake-up was lost", i)
		}
	}
	e.Stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if d.lastD >= 0 {
		t.Errorf("slept with a limit of %v though nothing was due", d.lastD)
	}
}

func TestTurnAllocatesNothing(t *testing.T) {
	d, p := newFakeDriver(), &fakeProtocol{}
	e := newTestEngine(d, p, nil)
	b := [][]byte{datagram(5, other, wire.NewStreamID(wire.NACK, 0))}
	p.calls, p.stepped = make([]string, 0, 1<<16), make([]wire.StreamID, 0, 1<<16)
	now := clock.Time(1)
	if n := testing.AllocsPerRun(1000, func() {
		d.arrived = b
		now++
		e.Turn(now)
	}); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

func TestNowIsMonotonic(t *testing.T) {
	last := Now()
	for range 10000 {
		now := Now()
		if now < last || now <= 0 {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}

// lookingDriver is a Looker.
type lookingDriver struct {
	*fakeDriver
	looks int
}

func (d *lookingDriver) LookAtAll() { d.looks++ }

// A driver that looks at some places now and then looks at all of them in a turn that comes slowTurn after the one before.
func TestSlowTurnLooksAtAll(t *testing.T) {
	d := &lookingDriver{fakeDriver: newFakeDriver()}
	e, now := New(Config{Driver: d}), clock.Time(1e9)
	e.Turn(now)
	for _, row := range []struct {
		after time.Duration
		looks int
	}{{slowTurn - 1, 0}, {slowTurn - 1, 0}, {slowTurn, 1}, {0, 0}, {time.Second, 1}} {
		before := d.looks
		now = now.Add(row.after)
		e.Turn(now)
		if n := d.looks - before; n != row.looks {
			t.Errorf("%v after the turn before: %d looks, want %d", row.after, n, row.looks)
		}
	}
}
