package fec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// repairFrame is the repair symbol in a datagram, and changed the same datagram with other values.
func repairFrame(t testing.TB, datagram []byte) wire.Repair {
	var d wire.Datagram
	if err := wire.Decode(datagram, &d); err != nil {
		t.Fatal(err)
	}
	return d.Frames()[0].Repair()
}

func changed(t testing.TB, datagram []byte, change func(*wire.Repair)) []byte {
	r := repairFrame(t, datagram)
	r.Symbol = bytes.Clone(r.Symbol)
	change(&r)
	b := wire.AppendRepair(wire.AppendHeader(nil, testStream), &r)
	wire.Seal(b)
	return b
}

// Hostile numbers are refused, each under its reason, and change nothing else; the good symbol
// mends the block afterwards.
func TestRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	pool := buf.NewPool(512, 2048)
	s := newSending(rng, 20, 3, 1)
	r := newReceiver(t, s.writer, pool, 0)
	var repairs [][]byte
	for i := range 200 {
		source, more := s.send(1, 100, false)
		if i < 195 || i == 199 { // four of the last block are missing
			r.take(1, source)
		}
		if i == 199 {
			repairs = more
		}
	}
	if err := r.take(1, repairs[0]); err != nil {
		t.Fatal(err)
	}
	before, free := r.d.Stats(), pool.Free()
	for _, c := range []struct {
		name   string
		change func(*wire.Repair)
		want   error
		count  func(*DecoderStats) uint64
	}{
		{"another scheme", func(r *wire.Repair) { r.Scheme = 2 }, ErrScheme, func(s *DecoderStats) uint64 { return s.Scheme }},
		{"65 source symbols", func(r *wire.Repair) { r.Sources = 65 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"k + m is 129", func(r *wire.Repair) { r.Repairs = 109 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"an index without a row", func(r *wire.Repair) { r.Index = 108 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"stride 17", func(r *wire.Repair) { r.Stride = 17 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"a block that spans more than half of History", func(r *wire.Repair) { r.Stride = 7 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"a symbol too short for anything", func(r *wire.Repair) { r.Symbol = r.Symbol[:6] }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"a symbol longer than a datagram", func(r *wire.Repair) { r.Symbol = make([]byte, 1473) }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"another length than the others", func(r *wire.Repair) { r.Index, r.Symbol = 1, r.Symbol[1:] }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"another k than the others", func(r *wire.Repair) { r.Index, r.Sources = 1, 19 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"another m than the others", func(r *wire.Repair) { r.Index, r.Repairs = 1, 2 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"another stride than the others", func(r *wire.Repair) { r.Index, r.Stride = 1, 2 }, ErrShape, func(s *DecoderStats) uint64 { return s.Shape }},
		{"the same symbol again", func(r *wire.Repair) {}, ErrDuplicate, func(s *DecoderStats) uint64 { return s.Duplicate }},
		{"another symbol with its index", func(r *wire.Repair) { r.Symbol[9]++ }, ErrDuplicate, func(s *DecoderStats) uint64 { return s.Duplicate }},
		{"a block long past", func(r *wire.Repair) { r.Block = 1 }, ErrStale, func(s *DecoderStats) uint64 { return s.Stale }},
		{"a block far ahead", func(r *wire.Repair) { r.Block = 1000 }, ErrWindow, func(s *DecoderStats) uint64 { return s.Window }},
		{"a block at the end of all numbers", func(r *wire.Repair) { r.Block = 1<<64 - 100 }, ErrWindow, func(s *DecoderStats) uint64 { return s.Window }},
		{"a block that misses nothing", func(r *wire.Repair) { r.Block = 161 }, nil, func(s *DecoderStats) uint64 { return s.Unneeded }},
	} {
		was := r.d.Stats()
		if err := r.take(1, changed(t, repairs[0], c.change)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		now := r.d.Stats()
		if c.count(&now) != c.count(&was)+1 {
			t.Errorf("%s: not counted under its reason", c.name)
		}
		if now.Rebuilt != before.Rebuilt || now.Corrupt != 0 || pool.Free() != free || len(r.d.open) != 1 || r.d.High() != 201 {
			t.Errorf("%s: something has changed", c.name)
		}
	}
	r.take(1, repairs[1])
	r.take(1, repairs[2])
	if block, count, ok := r.d.Lacking(197); block != 181 || count != 1 || !ok {
		t.Errorf("Lacking: %d %d %v", block, count, ok)
	}
	r.take(1, s.sent[196])
	for n := uint64(181); n <= 200; n++ {
		if r.got[n] != 1 {
			t.Errorf("datagram %d handed up %d times", n, r.got[n])
		}
	}
	r.d.Release()
	full(t, pool)
}

// FE-3, FE-4: a repair symbol with any bit of it changed, and with any number of it changed, under
// a right CRC of its own, never leads to a payload that was not sent; good symbols mend the block
// afterwards. Blocks begin at multiples of 4 and their datagrams are
// equally long, so that the XOR of a whole block has the number 0 and says nothing of what is
// mixed; and in one run the payloads are equal, too.
func TestCorrupted(t *testing.T) {
	for i, m := range []int{1, 3, 1} {
		same := i == 2
		rng := rand.New(rand.NewPCG(2, 9))
		pool := buf.NewPool(512, 2048)
		s := newSending(rng, 20, m, 1)
		var sources, repairs [][]byte
		for range 103 {
			n, b := s.next(30, false)
			if same {
				copyPayload(b, s.sent[0])
			}
			if n > 3 { // so that blocks begin at 4, 24, 44 …
				s.e.Sent(1, n, b)
			}
			sources = append(sources, b)
			repairs = append(repairs, s.poll()...)
		}
		attack := func(name string, bad []byte, mended bool) {
			t.Helper()
			r := newReceiver(t, s.writer, pool, 0)
			for i, b := range sources {
				if i < 63 || i >= 63+m && i < 83 {
					r.take(1, b)
				}
			}
			r.take(1, bad)
			for i := 1; i < m; i++ {
				r.take(1, repairs[3*m+i])
			}
			rebuilt, corrupt := r.rebuilt, r.d.Stats().Corrupt
			for i := range m {
				r.take(1, repairs[3*m+i])
			}
			for i := range m {
				if got := r.got[uint64(64+i)]; got > 1 || mended && got != 1 {
					t.Fatalf("%s: datagram %d handed up %d times; %d rebuilt by the bad symbol, %d corrupt, %+v", name, 64+i, r.got[uint64(64+i)], rebuilt, corrupt, r.d.Stats())
				}
			}
			r.d.Release()
		}
		attack("a good one", repairs[3*m], true)
		for block := range 5 {
			if block != 3 {
				attack("of another block", changed(t, repairs[block*m], func(r *wire.Repair) { r.Block = 64 }), true)
			}
		}
		attack("another index", changed(t, repairs[3*m], func(r *wire.Repair) { r.Index = 7 }), true)
		// Nobody can tell which of two shapes is right: the first one stands, and the block is lost.
		attack("another k", changed(t, repairs[3*m], func(r *wire.Repair) { r.Sources-- }), false)
		attack("another m", changed(t, repairs[3*m], func(r *wire.Repair) { r.Repairs++ }), m == 1)
		for bit := range 8 * len(repairFrame(t, repairs[3*m]).Symbol) {
			attack("a changed bit", changed(t, repairs[3*m], func(r *wire.Repair) { r.Symbol[bit/8] ^= 1 << (bit % 8) }), true)
		}
		full(t, pool)
	}
}

// copyPayload gives datagram b all the messages of another one of the same length.
func copyPayload(b, from []byte) {
	_, x, _ := wire.SourceOf(b)
	_, y, _ := wire.SourceOf(from)
	copy(x[18:], y[18:])
	wire.Seal(b)
}

// Without buffers, nothing breaks: what cannot be kept is lost, and all comes back at the end.
func TestNoBuffer(t *testing.T) {
	for count := range 30 {
		pool := buf.NewPool(count, 2048)
		s := newSending(rand.New(rand.NewPCG(3, 9)), 10, 2, 1)
		s.e.cfg.Pool = buf.NewPool(1, 2048)
		r := newReceiver(t, s.writer, pool, 0)
		for i := range 100 {
			source, repairs := s.send(1, 100, false)
			if i%10 != 3 {
				r.take(1, source)
			}
			for _, b := range repairs {
				r.take(1, b)
			}
		}
		if s.e.Stats().NoBuffer == 0 {
			t.Error("two repair datagrams in one buffer")
		}
		r.d.Release()
		full(t, pool, s.e.cfg.Pool)
	}
}

// A datagram that came and could not be kept counts as lost for its block, which computes it with the
// others and does not hand it out a second time.
func TestSourceWithoutBuffer(t *testing.T) {
	pool := buf.NewPool(256, 2048)
	s := newSending(rand.New(rand.NewPCG(7, 9)), 10, 2, 1)
	r := newReceiver(t, s.writer, pool, 0)
	for i := range 10 {
		source, repairs := s.send(1, 100, false)
		switch i {
		case 4: // lost
		case 6:
			r.d.Source(1, 7, nil)
			r.got[7]++
		default:
			r.take(1, source)
		}
		for _, b := range repairs {
			r.take(1, b)
		}
	}
	for n := uint64(1); n <= 10; n++ {
		if r.got[n] != 1 {
			t.Errorf("datagram %d was handed up %d times", n, r.got[n])
		}
	}
	if st := r.d.Stats(); st.Rebuilt != 1 || st.NoBuffer != 1 {
		t.Errorf("%+v", st)
	}
	r.d.Release()
	full(t, pool, s.pool)
}

// FE-8: a flood of blocks that cannot be mended holds a bounded number of buffers.
func TestFlood(t *testing.T) {
	pool := buf.NewPool(8192, 2048)
	s := newSending(rand.New(rand.NewPCG(4, 9)), 20, 2, 1)
	r := newReceiver(t, s.writer, pool, 0)
	most := 0
	for i := range 20000 {
		source, repairs := s.send(1, 20, false)
		if i%20 > 4 {
			r.take(1, source)
		}
		for _, b := range repairs {
			r.take(1, b)
		}
		most = max(most, pool.Count()-pool.Free())
	}
	if limit := DecoderBuffers(0, 20); most > limit {
		t.Errorf("%d buffers are held, DecoderBuffers says %d", most, limit)
	}
	if st := r.d.Stats(); st.Unfinished < 900 || st.Rebuilt > 0 {
		t.Errorf("%+v", st)
	}
	r.d.Forget(1 << 40)
	if len(r.d.open) != 0 {
		t.Error("Forget leaves blocks")
	}
	r.d.Release()
	full(t, pool)
}

// FuzzDecoder lets a fuzzer lose, reorder, repeat and change what arrives. Whatever it does,
// nothing is handed out that was not sent, the Decoder does not panic, and every buffer comes
// back. Changed datagrams have a right CRC.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(4), uint8(2), uint8(1))
	f.Add([]byte{1, 0, 1, 0, 2, 0, 3, 9, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12}, uint8(3), uint8(3), uint8(2))
	f.Add(bytes.Repeat([]byte{0, 6, 200, 7}, 30), uint8(20), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, k, m, stride uint8) {
		fuzzDecoder(t, script, k, m, stride)
	})
}

func fuzzDecoder(t *testing.T, script []byte, k, m, stride uint8) {
	pool := buf.NewPool(600, 2048)
	s := newSending(rand.New(rand.NewPCG(5, 9)), 1+int(k)%MaxSource, 1+int(m)%8, 1+int(stride)%4)
	r := newReceiver(t, s.writer, pool, 0)
	var late [][]byte
	arg := func() byte {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return b
	}
	for steps := 0; len(script) > 0 && steps < 2000; steps++ {
		op := arg()
		source, repairs := s.send(1, 10+int(op), op == 99)
		all := append([][]byte{source}, repairs...)
		for _, b := range all {
			switch arg() % 8 {
			case 0, 1, 2:
				r.take(1, b)
			case 3: // lost; or it came, and there was no buffer to keep it in
				if op&1 != 0 && &b[0] == &source[0] {
					r.d.Source(1, uint64(len(s.sent)), nil)
					r.poll()
				}
			case 4:
				late = append(late, b)
			case 5:
				r.take(1, b)
				r.take(1, b)
			case 6:
				if b[wire.HeaderLen] != 0xC2 {
					continue
				}
				what, value := arg(), arg()
				r.take(1, changed(t, b, func(x *wire.Repair) {
					switch what % 8 {
					case 0:
						x.Block += uint64(value) - 128
					case 1:
						x.Stride = value & 127
					case 2:
						x.Sources = value & 127
					case 3:
						x.Repairs = value & 127
					case 4:
						x.Index = value & 127
					case 5:
						x.Symbol = x.Symbol[:1+int(value)%len(x.Symbol)]
					case 6:
						x.Symbol = append(x.Symbol, make([]byte, value)...)
					default:
						x.Symbol[int(value)%len(x.Symbol)] ^= what
					}
				}))
			case 7:
				for _, b := range late {
					r.take(1, b)
				}
				late = late[:0]
				r.d.Forget(uint64(arg()))
				r.d.Lacking(uint64(arg()))
				r.d.Mended(1, uint64(arg()))
				s.e.Flush(1)
				s.poll()
			}
		}
	}
	r.d.Release()
	s.e.Release()
	full(t, pool, s.pool)
}

// FuzzDecoder with bytes from a generator, so that it also runs as an ordinary test.
func TestSequences(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 9))
	runs := 300
	if testing.Short() {
		runs = 60
	}
	for range runs {
		script := make([]byte, rng.IntN(1500))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		fuzzDecoder(t, script, uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()))
	}
}
