package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

const testDatagram = 1472

var testStream = wire.Header{Cluster: 1, Transmitter: wire.MemberID{1, 2, 3}, Incarnation: 4, Stream: wire.NewStreamID(wire.Hybrid, 5)}

// writer makes source datagrams and remembers them: a retransmit window without end.
type writer struct {
	rng   *rand.Rand
	sent  [][]byte // sent[n-1] is datagram n
	bytes int
}

// next makes the next datagram with a payload of n bytes; with start, a Start frame follows.
func (w *writer) next(n int, start bool) (number uint64, datagram []byte) {
	number = uint64(len(w.sent) + 1)
	payload := make([]byte, n)
	for i := 0; i < n; i += 8 {
		payload[i] = byte(w.rng.Uint32())
	}
	mem := make([]byte, testDatagram+wire.DataOverhead)
	var p wire.DataWriter
	p.Begin(mem, SourceMax(testDatagram), testStream, number, number)
	if start {
		p.AppendStart(wire.Start{First: 1, FirstMessage: 1, Age: number, Lanes: 1})
	}
	if !p.Add("t", wire.KindRaw, payload) {
		panic("a payload that does not fit")
	}
	off, size := p.Finish()
	w.sent = append(w.sent, mem[off:off+size])
	w.bytes += size
	return number, mem[off : off+size]
}

func (w *writer) Datagram(n uint64) []byte {
	if n < 1 || n > uint64(len(w.sent)) {
		return nil
	}
	return w.sent[n-1]
}

// receiver is a Decoder, and what a protocol above it would see.
type receiver struct {
	t       *testing.T
	d       *Decoder
	w       *writer
	got     map[uint64]int // how often each datagram was handed up
	rebuilt int
	scratch wire.Datagram
	lent    buf.Buf
}

func newReceiver(t *testing.T, w *writer, pool *buf.Pool, history int) *receiver {
	return &receiver{t: t, w: w, got: map[uint64]int{},
		d: NewDecoder(DecoderConfig{Datagram: testDatagram, Pool: pool, History: history}, testStream, 1)}
}

// take lets one datagram arrive. Drivers lend: what is kept must have been copied, so the memory
// is spoilt afterwards.
func (r *receiver) take(now clock.Time, datagram []byte) (err error) {
	mem := bytes.Clone(datagram)
	r.lent.Lend(mem)
	if e := wire.Decode(mem, &r.scratch); e != nil {
		return e
	}
	frames := r.scratch.Frames()
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case wire.FrameData:
			m := f.Data()
			r.got[m.Number]++
			r.d.Source(now, m.Number, &r.lent)
		case wire.FrameRepair:
			s := f.Repair()
			err = r.d.Repair(now, &s, &r.lent)
		}
	}
	for i := range mem {
		mem[i] = 0xEE
	}
	r.poll()
	return err
}

// poll takes what was rebuilt. It has to be the datagram that was sent, but for a Start behind it.
func (r *receiver) poll() {
	r.t.Helper()
	for {
		n, b, ok := r.d.PollRebuilt()
		if !ok {
			return
		}
		want := r.w.Datagram(n)
		if want == nil {
			r.t.Fatalf("datagram %d was rebuilt, which was never sent", n)
		}
		if _, _, alone := wire.SourceOf(want); alone && !bytes.Equal(b.Bytes(), want) {
			r.t.Fatalf("datagram %d was rebuilt as\n%x, not\n%x", n, b.Bytes(), want)
		}
		if err := wire.Decode(b.Bytes(), &r.scratch); err != nil {
			r.t.Fatalf("datagram %d: %v", n, err)
		}
		var sent wire.Datagram
		if err := wire.Decode(want, &sent); err != nil {
			r.t.Fatal(err)
		}
		a, c := r.scratch.Frames()[0].Data(), sent.Frames()[0].Data()
		x, y := a.Messages(), c.Messages()
		x.Step()
		y.Step()
		if a.Number != n || c.Number != n || !bytes.Equal(x.Payload, y.Payload) {
			r.t.Fatalf("datagram %d is not what was sent", n)
		}
		r.got[n]++
		r.rebuilt++
		b.Release()
	}
}

// sending is an Encoder with its writer.
type sending struct {
	*writer
	e    *Encoder
	pool *buf.Pool
}

func newSending(rng *rand.Rand, k, m, interleave int) *sending {
	s := &sending{writer: &writer{rng: rng}, pool: buf.NewPool(4096, 2048)}
	s.e = NewEncoder(EncoderConfig{
		Header: testStream, Datagram: testDatagram, Source: k, Interleave: interleave, Pool: s.pool, Held: s.writer,
		Control: NewController(ControllerConfig{Source: k, Fixed: m}),
	})
	return s
}

// send makes one datagram, protects it and returns it with the repair datagrams that follow.
func (s *sending) send(now clock.Time, size int, start bool) (source []byte, repairs [][]byte) {
	n, b := s.next(size, start)
	before := bytes.Clone(b)
	s.e.Sent(now, n, b)
	if !bytes.Equal(before, b) {
		panic("the source datagram was changed")
	}
	return b, s.poll()
}

func (s *sending) poll() (repairs [][]byte) {
	for {
		x, ok := s.e.PollSend()
		if !ok {
			return repairs
		}
		repairs = append(repairs, bytes.Clone(x.Buf.Bytes()))
		x.Buf.Release()
	}
}

func full(t *testing.T, pools ...*buf.Pool) {
	t.Helper()
	for _, p := range pools {
		if p.Free() != p.Count() {
			t.Errorf("%d of %d buffers are free at the end", p.Free(), p.Count())
		}
	}
}

// FE-1, FE-2, FE-7: every subset of the datagrams of a block, in a random order: k or more give
// all of it back, fewer give nothing that did not arrive; nothing comes twice from the Decoder.
func TestEverySubset(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct{ k, m int }{{1, 1}, {1, 3}, {2, 2}, {3, 2}, {4, 3}, {6, 2}} {
		pool := buf.NewPool(512, 2048)
		for subset := range 1 << (c.k + c.m) {
			s := newSending(rng, c.k, c.m, 1)
			var all [][]byte
			for range c.k {
				source, repairs := s.send(1, rng.IntN(1300), rng.IntN(4) == 0)
				all = append(all, source)
				all = append(all, repairs...)
			}
			r := newReceiver(t, s.writer, pool, 0)
			count, here := 0, map[uint64]bool{}
			for _, i := range rng.Perm(len(all)) {
				if subset>>i&1 == 0 {
					continue
				}
				if err := r.take(1, all[i]); err != nil && err != ErrDuplicate {
					t.Fatal(err)
				}
				if count++; i < c.k {
					here[uint64(i+1)] = true
				}
			}
			for n := uint64(1); n <= uint64(c.k); n++ {
				if want := count >= c.k || here[n]; want != (r.got[n] > 0) {
					t.Fatalf("(%d, %d), subset %b: datagram %d handed up %d times", c.k, c.m, subset, n, r.got[n])
				}
			}
			r.d.Release()
			s.e.Release()
			full(t, s.pool)
		}
		full(t, pool)
	}
}

// FE-6: short blocks of every length, closed by a pause, protect what they have.
func TestShortBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	pool := buf.NewPool(512, 2048)
	for count := 1; count < 20; count++ {
		for lost := 1; lost <= count; lost++ {
			s := newSending(rng, 20, 2, 1)
			r := newReceiver(t, s.writer, pool, 0)
			now := clock.Time(1)
			for i := 1; i <= count; i++ {
				now += 1000
				source, repairs := s.send(now, 10+rng.IntN(1300), false)
				if len(repairs) > 0 {
					t.Fatal("repair symbols before the block is closed")
				}
				if i != lost {
					r.take(now, source)
				}
			}
			at, ok := s.e.Deadline()
			if !ok || at <= now || at.Sub(now) > DefaultMaxOpen {
				t.Fatalf("deadline %v after the last datagram, %v", at.Sub(now), ok)
			}
			s.e.Tick(at - 1)
			if len(s.poll()) > 0 {
				t.Fatal("closed before the deadline")
			}
			s.e.Tick(at)
			repairs := s.poll()
			if len(repairs) != 2 {
				t.Fatalf("%d repair symbols", len(repairs))
			}
			r.take(at, repairs[rng.IntN(2)])
			if r.got[uint64(lost)] != 1 {
				t.Fatalf("%d of %d is not mended", lost, count)
			}
			r.d.Release()
			s.e.Release()
		}
	}
	full(t, pool)
}

// A stream that beats regularly is not cut up, nor is one that comes in short bursts, once its
// rhythm is known. The end of a burst of several blocks is protected at once, which makes one
// short block of every burst.
func TestPauses(t *testing.T) {
	for _, c := range []struct {
		name  string
		burst int
		every time.Duration
		short [2]float64 // share of the blocks, from and to
	}{
		{"regular, 100,000 a second", 1, 10 * time.Microsecond, [2]float64{0, 0.05}},
		{"regular, 10,000 a second", 1, 100 * time.Microsecond, [2]float64{0, 0.05}},
		{"bursts of 5 every millisecond", 5, time.Millisecond, [2]float64{0, 0.05}},
		{"bursts of 64 every 500 µs", 64, 500 * time.Microsecond, [2]float64{0.2, 0.26}},
		{"1,000 a second, where a block would take too long", 1, time.Millisecond, [2]float64{0.5, 1}},
	} {
		s := newSending(rand.New(rand.NewPCG(3, 1)), 20, 1, 1)
		now := clock.Time(1)
		for i := range 4000 {
			if i%c.burst == 0 {
				now = now.Add(c.every)
			}
			if at, ok := s.e.Deadline(); ok && at <= now {
				s.e.Tick(at)
			}
			s.send(now, 100, false)
		}
		short := float64(s.e.Stats().Short) / float64(s.e.Stats().Blocks)
		if short < c.short[0] || short > c.short[1] {
			t.Errorf("%s: %.0f %% of the blocks are short", c.name, 100*short)
		}
		at, ok := s.e.Deadline()
		if ok && at.Sub(now) > DefaultMaxOpen {
			t.Errorf("%s: closed %v after the last datagram", c.name, at.Sub(now))
		}
	}
}

// A burst of as many losses as blocks are interleaved, times m, is mended wherever it falls.
func TestInterleave(t *testing.T) {
	const k, m, depth = 10, 2, 4
	rng := rand.New(rand.NewPCG(4, 1))
	pool := buf.NewPool(1024, 2048)
	for at := range k*depth - m*depth {
		s := newSending(rng, k, m, depth)
		r := newReceiver(t, s.writer, pool, 0)
		for i := range 2 * k * depth {
			source, repairs := s.send(clock.Time(1+i), 50+rng.IntN(100), false)
			if i < at || i >= at+m*depth {
				r.take(clock.Time(1+i), source)
			}
			for _, b := range repairs {
				r.take(clock.Time(1+i), b)
			}
		}
		for n := uint64(1); n <= 2*k*depth; n++ {
			if r.got[n] != 1 {
				t.Fatalf("burst at %d: datagram %d handed up %d times", at, n, r.got[n])
			}
		}
		r.d.Release()
	}
	full(t, pool)
}

// Interleaved blocks that span more datagrams than a Decoder keeps at first: the first symbols tell it,
// and from the second group on every burst is mended.
func TestDeepInterleave(t *testing.T) {
	for _, c := range []struct{ k, m, depth int }{{20, 2, 4}, {20, 2, 8}, {20, 3, 16}, {64, 2, 16}} {
		rng := rand.New(rand.NewPCG(4, 2))
		pool := buf.NewPool(8192, 2048)
		group, burst := c.k*c.depth, c.m*c.depth
		for range 3 {
			at := group + rng.IntN(group-burst+1)
			s := newSending(rng, c.k, c.m, c.depth)
			r := newReceiver(t, s.writer, pool, 2*group)
			for i := range 2 * group {
				source, repairs := s.send(clock.Time(1+i), 50+rng.IntN(20), false)
				if i < at || i >= at+burst {
					r.take(clock.Time(1+i), source)
				}
				for _, b := range repairs {
					r.take(clock.Time(1+i), b)
				}
			}
			for n := uint64(1); n <= uint64(2*group); n++ {
				if r.got[n] != 1 {
					t.Fatalf("(%d, %d) at a depth of %d, burst at %d: datagram %d handed up %d times; %+v", c.k, c.m, c.depth, at, n, r.got[n], r.d.Stats())
				}
			}
			r.d.Release()
			s.e.Release()
		}
		full(t, pool)
	}
}

// FE-5, FE-6: the repair datagrams of a block are no longer than its longest source datagram and
// RepairOverhead, and the longest protected source gives one that fits.
func TestRepairLength(t *testing.T) {
	s := newSending(rand.New(rand.NewPCG(5, 1)), 4, 2, 1)
	longest := 0
	for _, size := range []int{10, 700, wire.MessageRoom(SourceMax(testDatagram), "t"), 3} {
		b, repairs := s.send(1, size, false)
		longest = max(longest, len(b))
		for _, r := range repairs {
			if len(r) > testDatagram || len(r) > longest+wire.RepairOverhead || len(r) < longest {
				t.Errorf("a repair datagram of %d bytes; the longest source has %d", len(r), longest)
			}
		}
	}
	if longest < SourceMax(testDatagram)-2 || s.e.Stats().Unprotected != 0 {
		t.Errorf("the longest source datagram has %d bytes, %d are unprotected", longest, s.e.Stats().Unprotected)
	}
}

// More makes symbols with new indexes: they mend what the first ones could not, at receivers that
// lost different datagrams. Within the hold-off, what was made counts.
func TestMore(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	pool := buf.NewPool(512, 2048)
	s := newSending(rng, 8, 1, 1)
	a, b := newReceiver(t, s.writer, pool, 0), newReceiver(t, s.writer, pool, 0)
	for i := 1; i <= 8; i++ {
		source, repairs := s.send(clock.Time(i), 10+rng.IntN(1000), i == 1)
		if i != 2 && i != 3 {
			a.take(1, source)
		}
		if i != 1 && i != 6 && i != 8 {
			b.take(1, source)
		}
		for _, x := range repairs {
			a.take(1, x)
			b.take(1, x)
		}
	}
	lacks := func(r *receiver, n uint64, want int) {
		t.Helper()
		if block, count, ok := r.d.Lacking(n); block != 1 || count != want || !ok {
			t.Fatalf("Lacking(%d) = %d, %d, %v, want %d", n, block, count, ok, want)
		}
	}
	lacks(a, 2, 1)
	lacks(b, 6, 2)
	if _, _, ok := a.d.Lacking(100); ok {
		t.Error("Lacking knows a block that does not exist")
	}
	if !s.e.More(100, 1, 1, 50) || !s.e.More(120, 1, 2, 50) || !s.e.More(130, 1, 2, 50) {
		t.Fatal("More")
	}
	more := s.poll()
	if len(more) != 2 {
		t.Fatalf("%d symbols for 1, 2 and 2 within the hold-off", len(more))
	}
	for _, x := range more {
		a.take(2, x)
		b.take(2, x)
	}
	for n := uint64(1); n <= 8; n++ {
		if a.got[n] != 1 || b.got[n] != 1 {
			t.Errorf("datagram %d: handed up %d and %d times", n, a.got[n], b.got[n])
		}
	}
	if !s.e.More(1000, 1, 1, 50) || len(s.poll()) != 1 {
		t.Error("after the hold-off one more is made")
	}
	if s.e.More(2000, 2, 1, 50) || s.e.More(2000, 9, 1, 50) || s.e.More(2000, 1, 0, 50) {
		t.Error("More makes symbols of blocks that do not exist")
	}
	made := 0
	for i := range 200 {
		if !s.e.More(clock.Time(10000+1000*i), 1, 3, 50) {
			break
		}
		made += len(s.poll())
	}
	if made < 100 || made > MaxSymbol-8 {
		t.Errorf("%d symbols until the indexes were used up", made)
	}
	a.d.Release()
	b.d.Release()
	full(t, pool, s.pool)
}

// The steady state allocates nothing: encoding, and decoding with losses.
func TestStreamAllocs(t *testing.T) {
	s := newSending(rand.New(rand.NewPCG(7, 1)), 20, 2, 1)
	var sources [40][]byte
	for i := range sources {
		_, sources[i] = s.next(1300, false)
	}
	pool := buf.NewPool(512, 2048)
	d := NewDecoder(DecoderConfig{Datagram: testDatagram, Pool: pool}, testStream, 1)
	var dg wire.Datagram
	var lent buf.Buf
	number := uint64(0)
	now := clock.Time(1)
	block := func() {
		for range 20 {
			number++
			now += 10000
			b := sources[number%40]
			// Renumber it in place, as another datagram.
			putNumber(b, number)
			s.e.Sent(now, number, b)
			if number%20 > 1 {
				lent.Lend(b)
				d.Source(now, number, &lent)
			}
		}
		for {
			x, ok := s.e.PollSend()
			if !ok {
				break
			}
			lent.Lend(x.Buf.Bytes())
			if wire.Decode(lent.Bytes(), &dg) != nil {
				t.Fatal("a repair datagram that cannot be decoded")
			}
			r := dg.Frames()[0].Repair()
			d.Repair(now, &r, &lent)
			x.Buf.Release()
		}
		for {
			_, b, ok := d.PollRebuilt()
			if !ok {
				break
			}
			b.Release()
		}
		d.Mended(now, number+1)
		d.Lacking(number)
	}
	block()
	if n := testing.AllocsPerRun(100, block); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
	if st := d.Stats(); st.Rebuilt < 200 || st.Corrupt != 0 {
		t.Errorf("%+v", st)
	}
}

// putNumber gives a canonical datagram with one Data another number, and seals it.
func putNumber(b []byte, n uint64) {
	_, body, ok := wire.SourceOf(b)
	if !ok {
		panic("not a source datagram")
	}
	for i := range 8 {
		body[1+i] = byte(n >> (8 * i))
		body[10+i] = byte(n >> (8 * i))
	}
	wire.Seal(b)
}
