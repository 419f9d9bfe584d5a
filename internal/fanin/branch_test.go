package fanin

import (
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

const testDatagram = 1472

var (
	testCluster = wire.ClusterHash("branches")
	testSelf    = wire.MemberID{15: 1}
	testStream  = wire.NewStreamID(wire.NACK, 0)
)

// port is one queue of a member's card, moved by hand. What is sent is dropped.
type port struct {
	in []buf.Received

	asleep, wake chan struct{} // nil: it does not sleep
}

// put has a datagram arrive, to the group.
func (p *port) put(b []byte) {
	lent := new(buf.Buf)
	lent.Lend(b)
	p.in = append(p.in, buf.Received{Buf: lent, From: 77, Group: true})
}

func (p *port) Recv(batch []buf.Received) (n int) {
	n = copy(batch, p.in)
	p.in = p.in[n:]
	return n
}

func (p *port) Send(batch []buf.Send) (int, error) { return len(batch), nil }

func (p *port) Wait(time.Duration) {
	if p.wake != nil {
		p.asleep <- struct{}{}
		<-p.wake
	}
}

func (p *port) Wake() {
	if p.wake != nil {
		p.wake <- struct{}{}
	}
}

func (p *port) Local() buf.Endpoint { return 1 }
func (p *port) Datagram() int       { return testDatagram }
func (p *port) Room() int           { return 1 << 20 }
func (p *port) Close() error        { return nil }

// sink is where a core's messages end. It keeps the losses.
type sink struct{ lost []core.Loss }

func (*sink) Deliver(*core.Delivery) bool { return true }
func (s *sink) Lost(l *core.Loss)         { s.lost = append(s.lost, *l) }

// source is a Branch as its engine's Source.
type source struct{ *Branch }

func (s source) Drain(now clock.Time) int { return s.Take(now) }

// rig is the engines of one member that only receives.
type rig struct {
	t        *testing.T
	now      clock.Time
	rand     *rand.Rand
	ports    []*port
	pools    []*buf.Pool
	sinks    []*sink
	branches []*Branch
	engines  []*engine.Engine
}

func newRig(t *testing.T, engines int) *rig {
	r := &rig{t: t, now: 1, rand: rand.New(rand.NewPCG(1, 1))}
	var cores []*nack.Protocol
	for i := range engines {
		pool := buf.NewPool(nack.Buffers(1<<18, testDatagram, 1, 4), testDatagram+nack.Headroom)
		r.ports, r.pools = append(r.ports, &port{}), append(r.pools, pool)
		r.sinks = append(r.sinks, &sink{})
		cores = append(cores, nack.New(nack.Config{
			Self: testSelf, Incarnation: 1, Cluster: testCluster, Datagram: testDatagram, Window: 1 << 18, MaxMessageSize: 1 << 16,
			Eviction: time.Second, MaxStreams: testStreams, Room: 1 << 20, Lanes: 1, Pool: pool, Rand: rand.New(rand.NewPCG(uint64(i), 2)), Sink: r.sinks[i],
		}))
	}
	r.branches = New(testSelf, cores, testStreams)
	for i, b := range r.branches {
		e := engine.New(engine.Config{
			Driver: r.ports[i], Source: source{b}, Self: testSelf, Cluster: testCluster,
			Protocols: map[wire.Protocol]engine.Protocol{wire.NACK: b}, Idle: engine.Block, CPU: -1,
		})
		b.Connect(e.Notify, nil, nil, nil)
		r.engines = append(r.engines, e)
	}
	return r
}

// turn has every engine take a turn, in any order.
func (r *rig) turn() {
	r.now = r.now.Add(20 * time.Microsecond)
	for _, i := range r.rand.Perm(len(r.engines)) {
		if r.rand.IntN(3) > 0 { // some are late
			r.engines[i].Turn(r.now)
		}
	}
}

func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	for end := r.now.Add(30 * time.Second); !cond(); r.turn() {
		r.now = r.now.Add(time.Millisecond)
		if r.now > end {
			r.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// done checks that no buffer is lost.
func (r *rig) done() {
	r.t.Helper()
	for i, b := range r.branches {
		r.engines[i].Release()
		b.Protocol.Release()
		if p := r.pools[i]; p.Free() != p.Count() {
			r.t.Errorf("engine %d: %d of %d buffers are free", i, p.Free(), p.Count())
		}
	}
}

// datagram is a datagram of one frame.
func datagram(from wire.MemberID, frame func([]byte) []byte) []byte {
	b := frame(wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: from, Incarnation: 1, Stream: testStream}))
	wire.Seal(b)
	return b
}

func heartbeat(b []byte) []byte {
	return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
}

// A sender leaves: its entry goes once its stream is forgotten. So the table does not fill with
// members that have left.
func TestOwnersOfTheGoneAreForgotten(t *testing.T) {
	r := newRig(t, 2)
	from := wire.MemberID{0: 9}
	r.ports[1].put(datagram(from, heartbeat))
	owned := func() bool { _, ok := r.branches[0].owners.of(from); return ok }
	r.until("the sender's entry", owned)
	b := r.branches[1]
	if !b.Hears(from) || b.last != from {
		t.Fatal("the engine that received the first datagram does not own the sender")
	}
	r.ports[1].put(datagram(from, func(b []byte) []byte {
		return wire.AppendLeave(b, wire.Leave{HasLast: true, Last: 1, NextMessage: 2})
	}))
	r.until("the end of its stream", func() bool { return !owned() })
	if b.Hears(from) || len(b.owned) != 0 || b.last == from {
		t.Error("something is left of it")
	}
	next := wire.MemberID{0: 10}
	r.ports[0].put(datagram(next, heartbeat))
	r.until("the next one's stream", func() bool { return r.branches[0].Hears(next) })
	r.done()
}

// Transmitters that somebody made up fill the table up to its bound and no further, and go.
func TestOwnersAreBounded(t *testing.T) {
	r := newRig(t, 2)
	bound := r.branches[0].owners.bound
	for n := range bound + testStreams {
		r.ports[n%2].put(datagram(wire.MemberID{0: 1, 1: byte(n), 2: byte(n >> 8)}, heartbeat))
	}
	for range 200 {
		r.turn()
	}
	if n := len(r.branches[0].owners.all()); n != bound {
		t.Errorf("%d transmitters are known, the bound is %d", n, bound)
	}
	if a, b := r.branches[0].Stats(), r.branches[1].Stats(); a.Stray+b.Stray != testStreams {
		t.Errorf("%+v %+v", a, b)
	}
	refused := 0
	for i, b := range r.branches {
		for _, l := range r.sinks[i].lost {
			if l.Reason != core.LossRefused {
				t.Errorf("engine %d reports %+v", i, l)
			}
		}
		refused += int(b.Protocol.Stats().StreamsRefused)
		if n := len(r.sinks[i].lost); n != int(b.Protocol.Stats().StreamsRefused) {
			t.Errorf("engine %d refused %d streams and reports %d as lost", i, b.Protocol.Stats().StreamsRefused, n)
		}
	}
	if want := bound + testStreams - 2*testStreams; refused != want {
		t.Errorf("%d streams are reported as refused, want %d: all that no core has", refused, want)
	}
	// They are silent, so a sender finds room. The table forgets those that are in no core, and a full
	// core drops those that have been silent longest.
	honest := wire.MemberID{0: 2}
	r.until("an honest sender's stream after the flood", func() bool {
		r.ports[1].put(datagram(honest, heartbeat))
		return r.branches[1].Hears(honest)
	})
	r.done()
}

// Few streams are allowed, and their transmitters happen to be in one part of the table: there is room
// for them nevertheless.
func TestOwnersOfOnePart(t *testing.T) {
	o := newOwners(2, 4)
	for n := range 4 {
		m := wire.MemberID{0: 1, 1: byte(n), 8: 0, 9: byte(n)} // both halves cancel out
		if _, ok := o.claim(m, n%2); !ok {
			t.Errorf("no room for transmitter %d of 4", n+1)
		}
		if o.part(&m) != o.part(&wire.MemberID{0: 1}) {
			t.Fatal("it is in another part")
		}
	}
}

// Which engines a frame is for, at each engine. The transmitter is known to engine 1, another one
// to engine 2.
func TestWhomAFrameIsFor(t *testing.T) {
	r := newRig(t, 3)
	known, other, stranger := wire.MemberID{0: 1}, wire.MemberID{0: 2}, wire.MemberID{0: 3}
	r.branches[1].owner(1, known, true)
	r.branches[2].owner(1, other, true)
	nak := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte { return wire.AppendNak(b, origin, 1, []wire.Gap{{First: 1, Count: 1}}, nil) }
	}
	symbols := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendSymbolNak(b, origin, 1, []wire.Need{{Block: 1, Count: 1}})
		}
	}
	status := func(origin wire.MemberID) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: origin, OriginIncarnation: 1, Next: 1, Highest: 1, Limit: 1})
		}
	}
	leave := func(last bool) func([]byte) []byte {
		return func(b []byte) []byte {
			return wire.AppendLeave(b, wire.Leave{HasLast: last, Last: 1, NextMessage: 2})
		}
	}
	const e0, e1, e2 = 1, 2, 4
	for _, c := range []struct {
		why   string
		from  wire.MemberID
		group bool
		frame func([]byte) []byte
		want  uint64
	}{
		{"the transmitter's own stream", known, true, heartbeat, e1},
		{"as a repair for us alone", known, false, heartbeat, e1},
		{"of another owner", other, true, heartbeat, e2},
		{"of a stranger, for us alone: it may come in any queue", stranger, false, heartbeat, 0},
		{"a start", known, true, func(b []byte) []byte {
			return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Age: 1, Lanes: 1})
		}, e1},
		{"a request to us", known, false, nak(testSelf), e0},
		{"a request to somebody else, which stands for our own", known, true, nak(other), e2},
		{"a request to nobody that we hear", known, true, nak(stranger), 0},
		{"a request for symbols, to us", known, false, symbols(testSelf), e0},
		{"a request for symbols, to somebody else", known, true, symbols(other), e2},
		{"a report to us", known, false, status(testSelf), e0},
		{"a report to somebody else", known, true, status(other), 0},
		{"a receiver leaves", known, true, leave(false), e0},
		{"a sender leaves", known, true, leave(true), e0 | e1},
		{"a stranger leaves", stranger, true, leave(true), e0},
	} {
		b := datagram(c.from, c.frame)
		var d wire.Datagram
		if err := wire.Decode(b, &d); err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		for i, s := range r.branches {
			if got := s.engines(1, &d, &d.Frames()[0], buf.Received{Group: c.group}); got != c.want {
				t.Errorf("%s: engine %d says %03b, want %03b", c.why, i, got, c.want)
			}
		}
	}
	// A transmitter without an owner gets the engine that receives from it first.
	for i, s := range r.branches {
		m := wire.MemberID{0: 9, 1: byte(i)}
		for j := range r.branches {
			if got, ok := r.branches[(i+j)%3].owner(1, m, true); !ok || got != s.number {
				t.Errorf("engine %d received first, and %d is the owner", i, got)
			}
		}
	}
}

// A full transfer ring drops, counts, and recovers.
func TestFullTransferDrops(t *testing.T) {
	r := newRig(t, 2)
	long := make([]byte, 1400)
	b := buf.Buf{}
	b.Lend(long)
	n := uint64(0)
	for ; r.branches[1].stats.InboxFull == 0; n++ {
		r.branches[1].forward(0, buf.Received{Buf: &b, From: 1})
	}
	if n < 600 {
		t.Errorf("a transfer ring holds %d datagrams", n)
	}
	r.branches[0].forward(1, buf.Received{Buf: &b, From: 1})
	if !r.branches[0].Waiting() || !r.branches[1].Waiting() { // what an engine asks that is about to sleep
		t.Error("an engine would sleep while datagrams wait")
	}
	for range 20 {
		r.turn()
	}
	if got := r.branches[0].Stats().Taken; got != n-1 {
		t.Errorf("%d of %d were taken", got, n-1)
	}
	r.branches[1].forward(0, buf.Received{Buf: &b, From: 1})
	if r.branches[1].stats.InboxFull != 1 || r.branches[0].transfer.Empty() {
		t.Error("there is no room again")
	}
	r.done()
}

// A forwarded datagram wakes the engine that it is for, which then steps it.
func TestForwardingWakes(t *testing.T) {
	r := newRig(t, 2)
	b := datagram(wire.MemberID{0: 1}, heartbeat)
	var lent buf.Buf
	lent.Lend(b)
	for i := range r.ports {
		p, e := r.ports[i], r.engines[i]
		p.asleep, p.wake = make(chan struct{}), make(chan struct{}, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = e.Run() }()
		<-p.asleep
		r.branches[1-i].forward(i, buf.Received{Buf: &lent, From: 1, Group: true})
		select {
		case <-p.asleep: // again, when it has taken a turn or more
		case <-time.After(10 * time.Second):
			t.Fatalf("engine %d sleeps on", i)
		}
		e.Stop()
		<-ended
		if got := r.branches[i].Stats().Taken; got != 1 {
			t.Errorf("engine %d took %d", i, got)
		}
		p.wake = nil
	}
	r.done()
}

// Engines that receive from a new transmitter at the same time agree on its owner.
func TestOwnersAgree(t *testing.T) {
	const engines, members = 4, 200
	o := newOwners(engines, testStreams)
	var said [engines][members]int
	var wg sync.WaitGroup
	for e := range engines {
		wg.Go(func() {
			for i := range members {
				var ok bool
				if said[e][i], ok = o.claim(wire.MemberID{0: byte(i), 1: byte(i >> 8)}, e); !ok {
					t.Error("no room")
				}
			}
		})
	}
	wg.Wait()
	for i := range members {
		for e := range engines {
			if said[e][i] != said[0][i] {
				t.Fatalf("transmitter %d: engine %d says %d, engine 0 says %d", i, e, said[e][i], said[0][i])
			}
		}
	}
	var mine []wire.MemberID
	for m, e := range o.all() {
		if e == 1 {
			mine = append(mine, m)
		}
	}
	o.release(mine)
	for _, m := range mine {
		if _, ok := o.of(m); ok {
			t.Error("still known")
		}
	}
}

// In the steady state neither the owner nor the engine that forwards allocates.
func TestBranchAllocatesNothing(t *testing.T) {
	r := newRig(t, 2)
	b := datagram(wire.MemberID{0: 1}, heartbeat)
	var d wire.Datagram
	var lent buf.Buf
	lent.Lend(b)
	for owner := range 2 { // the first round makes engine 0 the owner
		if n := testing.AllocsPerRun(1000, func() {
			if err := wire.Decode(b, &d); err != nil {
				t.Fatal(err)
			}
			_ = r.branches[owner].Step(2, &d, buf.Received{Buf: &lent, From: 7, Group: true})
			r.branches[0].Take(2)
		}); n != 0 {
			t.Errorf("engine %d: %v allocations", owner, n)
		}
	}
	if r.branches[1].Stats().Forwarded == 0 || r.branches[0].Stats().Taken != r.branches[1].Stats().Forwarded {
		t.Errorf("%+v", r.branches[1].Stats())
	}
}

// testStreams is how many streams each core receives.
const testStreams = 256

// all returns every entry.
func (o *owners) all() map[wire.MemberID]int {
	all := map[wire.MemberID]int{}
	for i := range o.known {
		maps.Copy(all, *o.known[i].Load())
	}
	return all
}
