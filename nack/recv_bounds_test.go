package nack

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// lone is one Protocol that receives forged datagrams; what it sends is thrown away.
type lone struct {
	t    testing.TB
	p    *Protocol
	pool *buf.Pool
	now  clock.Time
	lost []core.Loss
	got  int
}

func (l *lone) Deliver(*core.Delivery) bool { l.got++; return true }
func (l *lone) Lost(x *core.Loss)           { l.lost = append(l.lost, *x) }

func newLone(t testing.TB, buffers int, change ...func(*Config)) *lone {
	l := &lone{t: t, pool: buf.NewPool(buffers, 1472+Headroom), now: 1}
	cfg := Config{
		Cluster: testCluster, Datagram: 1472, Window: 1 << 20, Pool: l.pool,
		Rand: rand.New(rand.NewPCG(1, 2)), Sink: l,
	}
	for _, f := range change {
		f(&cfg)
	}
	l.p = New(cfg)
	return l
}

// header is that of a stream of transmitter i.
func (l *lone) header(i int, p wire.Protocol) wire.Header {
	h := wire.Header{Cluster: testCluster, Incarnation: 1, Stream: wire.NewStreamID(p, 0)}
	binary.LittleEndian.PutUint64(h.Transmitter[:], uint64(1000+i))
	return h
}

func (l *lone) step(b []byte) error {
	var d wire.Datagram
	if err := wire.Decode(b, &d); err != nil {
		l.t.Fatal(err)
	}
	var lent buf.Buf
	lent.Lend(b)
	err := l.p.Step(l.now, &d, buf.Received{Buf: &lent, From: 1, Group: true})
	l.turn()
	return err
}

func (l *lone) turn() {
	for s, ok := l.p.PollSend(l.now); ok; s, ok = l.p.PollSend(l.now) {
		s.Buf.Release()
	}
	l.p.Deliver(l.now)
}

// pass lets time pass.
func (l *lone) pass(d time.Duration) {
	for end := l.now.Add(d); ; {
		at, ok := l.p.Deadline()
		if !ok || at > end {
			l.now = end
			return
		}
		l.now = max(l.now, at)
		l.p.Tick(l.now)
		l.turn()
	}
}

// done gives everything back, and checks that nothing is missing.
func (l *lone) done() {
	l.t.Helper()
	l.p.Release()
	if l.pool.Free() != l.pool.Count() {
		l.t.Errorf("%d buffers are missing", l.pool.Count()-l.pool.Free())
	}
	if l.p.held != 0 || l.p.decoded != 0 || l.p.decoders != 0 || l.p.gapsLeft != sharedGaps || l.p.assemblies.charged != 0 || l.p.assemblies.oldest != nil {
		l.t.Errorf("%d buffers counted as held, %d as decoders', %d decoders, %d bytes of messages", l.p.held, l.p.decoded, l.p.decoders, l.p.assemblies.charged)
	}
}

// fragment is one part of a message, as forged.
func fragment(h wire.Header, number, message uint64, at, size uint32, part []byte) []byte {
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, h, number, message)
	if !w.AddFragment("prices.eu", 0, at, size, part) {
		panic("no room")
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

// unfinished begins a message of size bytes in the stream of transmitter i, and ends it but for its
// last part. It returns the number of the next datagram.
func (l *lone) unfinished(i int, size uint32) (number uint64) {
	h, part := l.header(i, wire.NACK), make([]byte, 1300)
	for number = 1; uint32(number)*1300 < size; number++ {
		_ = l.step(fragment(h, number, 1, uint32(number-1)*1300, size, part))
	}
	return number
}

func heapAlloc() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// FEC senders that were killed do not keep decoders and buffers from those that come later.
func TestDormantStreamsGiveDecodersBack(t *testing.T) {
	l := newLone(t, Buffers(1<<20, 1472, 1, 4)+FECBuffers(FEC{}, 1))
	feed := func(i int) {
		for n := range uint64(80) {
			if err := l.step(forgeData(l.header(i, wire.FEC), 1+n, 1+n, 100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range maxDecoders {
		feed(i)
	}
	if l.p.decoders != maxDecoders {
		t.Fatalf("%d decoders", l.p.decoders)
	}
	l.pass(10 * time.Second)
	if l.p.decoders != 0 || l.pool.Free() != l.pool.Count() {
		t.Errorf("after their end %d decoders and %d buffers are held", l.p.decoders, l.pool.Count()-l.pool.Free())
	}
	feed(maxDecoders)
	stream := func(i int) *stream {
		h := l.header(i, wire.FEC)
		return l.p.known[streamKey{h.Transmitter, h.Stream}]
	}
	if stream(maxDecoders).decoding == nil {
		t.Error("a later sender's stream is not decoded")
	}
	// One of them was only suspended: it goes on, and is decoded again.
	first := l.header(0, wire.FEC)
	if err := l.step(forgeData(first, 81, 81, 100)); err != nil {
		t.Fatal(err)
	}
	if s := stream(0); s.state != live || s.decoding == nil {
		t.Error("a stream that woke is not decoded")
	}
	l.done()
}

// A stream that came when all decoders were taken gets one when another stream has given its own
// back.
func TestDecodersAreGivenToStreamsThatWait(t *testing.T) {
	l := newLone(t, Buffers(1<<20, 1472, 1, 4)+FECBuffers(FEC{}, 1))
	for i := range maxDecoders + 1 {
		if err := l.step(forgeData(l.header(i, wire.FEC), 1, 1, 100)); err != nil {
			t.Fatal(err)
		}
	}
	h := l.header(maxDecoders, wire.FEC)
	s := l.p.known[streamKey{h.Transmitter, h.Stream}]
	if s.decoding != nil {
		t.Fatal("there was a decoder too many")
	}
	l.p.Forget(l.now, l.header(0, wire.FEC).Transmitter, false)
	err := l.step(forge(h, func(b []byte) []byte {
		return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1, FirstMessage: 1, NextMessage: 2, SentAt: 1})
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s.decoding == nil || !s.nack {
		t.Error("it is still not decoded")
	}
	l.done()
}

// Streams that wait for memory are not tried at each turn: nothing can have changed for them.
func TestWaitingForMemoryCostsNothing(t *testing.T) {
	const size = 1 << 20
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window, c.Assembly = 8<<20, size })
	l.unfinished(0, size)
	for i := range 10 {
		_ = l.step(fragment(l.header(1+i, wire.NACK), 1, 1, 0, 3*1300, make([]byte, 1300)))
	}
	before := l.p.Stats().Pauses
	for range 100 {
		l.turn()
	}
	if n := l.p.Stats().Pauses - before; n > 0 {
		t.Errorf("%d tries", n)
	}
	l.pass(3 * time.Second) // the first message is given up
	if l.p.Stats().AssembliesDropped == 0 || len(l.p.paused) != 0 {
		t.Errorf("%d streams still wait", len(l.p.paused))
	}
	l.done()
}

// Decoders leave the other users of the pool their part.
func TestDecodersLeaveReservedBuffers(t *testing.T) {
	const reserved = 1000
	l := newLone(t, Buffers(1<<20, 1472, 0, 1)+reserved, func(c *Config) { c.Reserved = reserved })
	for i := range maxDecoders {
		for n := range uint64(80) {
			_ = l.step(forgeData(l.header(i, wire.FEC), 1+n, 1+n, 100))
		}
	}
	if l.pool.Free() < reserved {
		t.Errorf("%d buffers are left for others, %d are reserved", l.pool.Free(), reserved)
	}
	l.done()
}

// What 64 decoders take is what FECTables says.
func TestFECTablesCountsAllDecoders(t *testing.T) {
	l := newLone(t, Buffers(8<<20, 1472, 1, 4)+FECBuffers(FEC{}, 1))
	before := heapAlloc()
	for i := range maxDecoders {
		if err := l.step(forgeData(l.header(i, wire.FEC), 1, 1, 100)); err != nil {
			t.Fatal(err)
		}
	}
	took, budget := heapAlloc()-before, FECTables(FEC{}, 1472, 0)
	t.Logf("%d KiB for %d decoders, %d KiB counted", took>>10, l.p.decoders, budget>>10)
	if took > budget*11/10 {
		t.Errorf("%d decoders take %d KiB, %d KiB are counted", l.p.decoders, took>>10, budget>>10)
	}
	l.done()
}

// Messages that are never ended take no more than Config.Assembly, however many there are. When
// another message needs the memory, the one that waits longest is given up, and reported.
func TestUnfinishedMessagesAreBounded(t *testing.T) {
	const size, senders = 1 << 20, 64
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window = 8 << 20 })
	before := heapAlloc()
	for i := range senders {
		l.unfinished(i, size)
		l.pass(100 * time.Millisecond)
	}
	if took, limit := heapAlloc()-before, int64(AssemblyBytes(size)); took > limit+limit/10+senders*(80<<10) {
		t.Errorf("%d unfinished messages take %d KiB, %d KiB are the bound", senders, took>>10, limit>>10)
	}
	l.pass(2 * time.Second)
	for _, x := range l.lost {
		if x.First != 1 || x.Last != 1 || x.Reason != core.LossMalformed {
			t.Fatalf("lost %+v", x)
		}
	}
	if n := l.p.Stats().AssembliesDropped; len(l.lost) == 0 || n != uint64(len(l.lost)) {
		t.Errorf("%d losses reported, %d counted", len(l.lost), n)
	}
	l.pass(10 * time.Second) // they fall silent
	l.done()
}

// A message whose turn comes late is late, and not lost: while memory is short its stream waits.
func TestMessagesWaitForMemory(t *testing.T) {
	const size = 1 << 20
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window, c.Assembly = 8<<20, size })
	next := l.unfinished(0, size)
	h := l.header(1, wire.NACK)
	part := make([]byte, 1300)
	for n := uint64(1); n <= 3; n++ {
		if err := l.step(fragment(h, n, 1, uint32(n-1)*1300, 3*1300, part)); err != nil {
			t.Fatal(err)
		}
	}
	if l.got != 0 || l.p.Stats().Pauses == 0 {
		t.Fatalf("%d messages without memory for them", l.got)
	}
	if err := l.step(fragment(l.header(0, wire.NACK), next, 1, uint32(next-1)*1300, size, part[:size-(next-1)*1300])); err != nil {
		t.Fatal(err)
	}
	if l.got != 2 || len(l.lost) != 0 {
		t.Errorf("%d messages were delivered, lost %v", l.got, l.lost)
	}
	l.done()
}

// A member that forgets a stream reports the message that it had begun.
func TestForgottenStreamReportsItsMessage(t *testing.T) {
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window, c.MaxStreams = 8<<20, 1 })
	l.unfinished(0, 10000)
	l.pass(10 * time.Second)
	if len(l.p.streams) != 1 || l.p.streams[0].state != dormant || len(l.lost) != 0 {
		t.Fatalf("lost %v", l.lost)
	}
	if err := l.step(forgeData(l.header(1, wire.NACK), 1, 1, 100)); err != nil {
		t.Fatal(err)
	}
	if len(l.lost) != 1 || l.lost[0].Reason != core.LossSenderGone || l.lost[0].First != 1 || l.lost[0].Last != 1 {
		t.Errorf("lost %+v", l.lost)
	}
	l.done()
}

// A datagram that cannot be used when its turn comes is asked for again, also where a gap still has
// its number.
func TestUnusableDatagramIsAskedForAgain(t *testing.T) {
	l := newLone(t, Buffers(1<<20, 1472, 1, 4))
	h := l.header(0, wire.NACK)
	for _, n := range []uint64{1, 3} {
		if err := l.step(forgeData(h, n, n, 100)); err != nil {
			t.Fatal(err)
		}
	}
	s := l.p.streams[0]
	s.noticeAgain(l.now) // datagram 2 is missing, and in a gap
	if g := s.asking.gaps.list; len(g) != 1 || g[0].first != 2 || g[0].end != 3 {
		t.Errorf("gaps %+v", g)
	}
	if s.timers[nakDue] > l.now {
		t.Errorf("it is asked for at %v", s.timers[nakDue])
	}
	l.done()
}

// What streams take for windows is bounded: one datagram far ahead in each of many streams does not
// make each of them as large as its window. An empty window gives its memory to others.
func TestWindowsAreBounded(t *testing.T) {
	const streams = 200
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window = 8 << 20 })
	ahead := uint64(WindowDatagrams(8<<20, 1472) - 1)
	before := heapAlloc()
	kept := 0
	for i := range streams {
		_ = l.step(forgeData(l.header(i, wire.NACK), 1, 1, 100))
		if l.step(forgeData(l.header(i, wire.NACK), ahead, 2, 100)) == nil {
			kept++
		}
	}
	if took := heapAlloc() - before; kept != fullWindows || took > int64(fullWindows*slotCount(l.p.window)*8+streams*4096) {
		t.Errorf("%d of %d windows took %d KiB", kept, streams, took>>10)
	}
	l.pass(10 * time.Second) // they fall silent, and what they hold is delivered
	if l.p.slots.taken != 0 || l.p.slots.idle != 0 {
		t.Errorf("%d slots are counted as taken, %d windows as idle", l.p.slots.taken, l.p.slots.idle)
	}
	for i := range 2 * fullWindows { // each is full once, then empty
		h := l.header(streams+i, wire.NACK)
		for _, n := range []uint64{1, 200, 2} {
			if err := l.step(forgeData(h, n, n, 100)); err != nil {
				t.Fatal(err)
			}
		}
		l.p.Forget(l.now, h.Transmitter, false)
		if err := l.step(forgeData(h, 201, 201, 100)); err != nil {
			t.Fatal(err)
		}
	}
	l.done()
}

// What a stream takes is what StreamTables says.
func TestStreamTablesCountsStreams(t *testing.T) {
	const streams = 4096
	l := newLone(t, Buffers(8<<20, 1472, 1, 4), func(c *Config) { c.Window, c.MaxStreams = 8<<20, streams })
	data := make([][]byte, streams)
	for i := range data {
		data[i] = forgeData(l.header(i, wire.NACK), 1, 1, 100)
	}
	before := heapAlloc()
	for _, b := range data {
		if err := l.step(b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range data { // each has a gap and holds a datagram
		if err := l.step(forgeData(l.header(i, wire.NACK), 3, 3, 100)); err != nil {
			t.Fatal(err)
		}
	}
	took, budget := heapAlloc()-before, int64(StreamTables(8<<20, 1472, streams))
	t.Logf("%d bytes for each stream, %d counted", took/streams, streamBytes)
	if took > budget*11/10 {
		t.Errorf("%d streams take %d KiB, %d KiB are counted", len(l.p.streams), took>>10, budget>>10)
	}
	runtime.KeepAlive(data)
	l.done()
}

// All that hostile senders can make a member hold, at one time: unfinished messages, FEC streams with
// losses, windows with one datagram far ahead, forged receivers. It is what the budget has.
func TestHostileSendersStayInTheBudget(t *testing.T) {
	const window, datagram, streams = 8 << 20, 1472, 256
	buffers := Buffers(window, datagram, 1, 4) + FECBuffers(FEC{}, 1)
	before := heapAlloc()
	l := newLone(t, buffers, func(c *Config) { c.Window, c.Self = window, wire.MemberID{1} })
	id := wire.NewStreamID(wire.NACK, 0)
	l.p.Open(l.now, id)
	budget := int64(buffers)*(datagram+Headroom+96) + int64(AssemblyBytes(1<<20)+Tables(window, datagram, 1<<20)+
		StreamTables(window, datagram, streams)) + FECTables(FEC{}, datagram, 1)
	for i := range 64 {
		h := l.header(i, wire.FEC)
		for n := range uint64(80) {
			_ = l.step(forgeData(h, 1+2*n, 1+n, 1000))
			_ = l.step(forge(h, func(b []byte) []byte {
				return wire.AppendRepair(b, &wire.Repair{Block: 1 + n/10*20, Scheme: 1, Stride: 1, Sources: 20, Repairs: 2, Symbol: make([]byte, 1100)})
			}))
		}
	}
	for i := range 1000 {
		h := l.header(i, wire.NACK)
		_ = l.step(forge(h, func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: wire.MemberID{1}, Next: 1, Highest: 1, Limit: 1})
		}))
	}
	for i := range streams - 64 {
		switch number := l.unfinished(i, 1<<20); i % 4 {
		case 0:
			_ = l.step(forgeData(l.header(i, wire.NACK), number+4000, 2, 1000))
		case 1:
			for k := range uint64(100) {
				_ = l.step(forgeData(l.header(i, wire.NACK), number+2+2*k, 2, 1000))
			}
		}
	}
	took := heapAlloc() - before
	t.Logf("%d KiB, %d KiB in the budget; %d streams, %d decoders", took>>10, budget>>10, len(l.p.streams), l.p.decoders)
	if took > budget*11/10 {
		t.Errorf("%d KiB, %d KiB are in the budget", took>>10, budget>>10)
	}
	l.done()
}
