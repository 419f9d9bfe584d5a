package fec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// slowMul multiplies polynomials bit by bit: the field's definition, without tables.
func slowMul(a, b byte) byte {
	p := 0
	for i := range 8 {
		if b>>i&1 != 0 {
			p ^= int(a) << i
		}
	}
	for i := 15; i >= 8; i-- {
		if p>>i&1 != 0 {
			p ^= polynomial << (i - 8)
		}
	}
	return byte(p)
}

func TestField(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			if a == 0 || b == 0 {
				continue
			}
			if got, want := expTable[int(logTable[a])+int(logTable[b])], slowMul(byte(a), byte(b)); got != want {
				t.Fatalf("%d * %d = %d, want %d", a, b, got, want)
			}
		}
		if a > 0 && slowMul(byte(a), inverse(byte(a))) != 1 {
			t.Fatalf("1/%d = %d", a, inverse(byte(a)))
		}
	}
}

// The library's arithmetic is over the same field.
func TestLibraryField(t *testing.T) {
	in := make([]byte, 256)
	for i := range in {
		in[i] = byte(i)
	}
	for c := range 256 {
		out := make([]byte, 256)
		field.GalMulSliceXor(byte(c), in, out)
		for i := range out {
			if out[i] != slowMul(byte(c), byte(i)) {
				t.Fatalf("%d * %d = %d", c, i, out[i])
			}
		}
	}
}

// mulAdd2 against the definition: every pair of factors is met over the lengths, whatever the
// alignment, and nothing is written beyond the end.
func TestMulAdd2(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	var in, out0, out1 [300]byte
	for i := range in {
		in[i] = byte(rng.Uint32())
	}
	in[0], in[64], in[65] = 0, 0xFF, 0
	for n := range 256 {
		at, at0, at1 := n%3, n%5, n%7
		a, b := byte(n), byte(255-n)
		for i := range out0 {
			out0[i], out1[i] = byte(i), byte(3*i)
		}
		mulAdd2(a, b, in[at:at+n], out0[at0:at0+n], out1[at1:])
		for i := range out0 {
			want := byte(i)
			if i >= at0 && i < at0+n {
				want ^= slowMul(a, in[at+i-at0])
			}
			if out0[i] != want {
				t.Fatalf("%d times %d bytes: byte %d of the first output is %d, want %d", a, n, i, out0[i], want)
			}
			want = byte(3 * i)
			if i >= at1 && i < at1+n {
				want ^= slowMul(b, in[at+i-at1])
			}
			if out1[i] != want {
				t.Fatalf("%d times %d bytes: byte %d of the second output is %d, want %d", b, n, i, out1[i], want)
			}
		}
	}
	for _, short := range []int{0, 63, 99} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("an output of %d bytes for 100 is accepted", short)
				}
			}()
			mulAdd2(3, 5, in[:100], out0[:100], out1[:short:short])
		}()
	}
}

// The matrix is part of the wire format, so it is held by its definition and by a digest.
func TestMatrix(t *testing.T) {
	h := sha256.New()
	for r := range MaxSymbol - 1 {
		for c := range MaxSource {
			got := Coefficient(r, c)
			if slowMul(got, byte(64+r)^byte(c)) != 1 || got == 1 {
				t.Fatalf("Coefficient(%d, %d) = %d", r, c, got)
			}
			h.Write([]byte{got})
		}
	}
	const want = "1b73f65041fc3609dcb371c01768dcb34880ce8bb88abfbc68103ef5f8e8be43"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the matrix has the digest\n%s, not\n%s", got, want)
	}
}

// FE-10: the example of docs/wire.md, for implementers elsewhere.
func TestKnownAnswer(t *testing.T) {
	repair := [][]byte{make([]byte, 4), make([]byte, 4), make([]byte, 4)}
	for c, symbol := range []string{"\x01abc", "\x80", "\x00\xff\x10"} {
		Accumulate(repair, c, []byte(symbol))
	}
	if got, want := fmt.Sprintf("%x", repair), "[8a9cd8d5 5d121e90 3e87308f]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := [4]byte{Coefficient(0, 0), Coefficient(0, 1), Coefficient(1, 0), Coefficient(126, 63)}, [4]byte{54, 95, 95, 84}; got != want {
		t.Errorf("coefficients %v, want %v", got, want)
	}
}

// testBlock is k source symbols and their first m repair symbols, by the definition.
func testBlock(rng *rand.Rand, k, m, size int) (source, repair [][]byte) {
	for range k {
		s := make([]byte, size)
		for i := range s {
			s[i] = byte(rng.Uint32())
		}
		source = append(source, s)
	}
	for r := range m {
		p := make([]byte, size)
		for c := range source {
			for i := range p {
				p[i] ^= slowMul(Coefficient(r, c), source[c][i])
			}
		}
		repair = append(repair, p)
	}
	return source, repair
}

// FE-10: what Accumulate makes is what the definition gives, and what the library's own encoder
// gives for the same matrix.
func TestAccumulate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ k, m, size int }{{1, 1, 1}, {20, 2, 64}, {16, 4, 63}, {32, 8, 129}, {64, 64, 192}, {1, 127, 5}} {
		source, want := testBlock(rng, c.k, c.m, c.size)
		got := make([][]byte, c.m)
		for r := range got {
			got[r] = make([]byte, c.size)
		}
		for i, s := range source {
			Accumulate(got, i, s)
		}
		for r := range got {
			if !bytes.Equal(got[r], want[r]) {
				t.Fatalf("(%d, %d): repair symbol %d differs from the definition", c.k, c.m, r)
			}
			row := make([]byte, c.size)
			for i, s := range source {
				AccumulateRow(row, r, i, s)
			}
			if !bytes.Equal(row, want[r]) {
				t.Fatalf("(%d, %d): AccumulateRow %d", c.k, c.m, r)
			}
		}
		enc := libraryEncoder(t, c.k, c.m)
		shards := append(append([][]byte{}, source...), make([][]byte, c.m)...)
		for i := c.k; i < len(shards); i++ {
			shards[i] = make([]byte, c.size)
		}
		if err := enc.Encode(shards); err != nil {
			t.Fatal(err)
		}
		for r := range got {
			if !bytes.Equal(got[r], shards[c.k+r]) {
				t.Fatalf("(%d, %d): repair symbol %d differs from the library's", c.k, c.m, r)
			}
		}
	}
}

// libraryEncoder is the library's encoder for our matrix.
func libraryEncoder(tb testing.TB, k, m int) reedsolomon.Encoder {
	rows := make([][]byte, m)
	for r := range rows {
		rows[r] = matrix[r][:k]
	}
	enc, err := reedsolomon.New(k, m, reedsolomon.WithCustomMatrix(rows), reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	if err != nil {
		tb.Fatal(err)
	}
	return enc
}

// solve rebuilds the symbols of lost by the repair symbols of rows, and compares.
func solve(t *testing.T, s *Solver, source, repair [][]byte, lost, rows []uint8) {
	t.Helper()
	work := make([][]byte, len(rows))
	for i, r := range rows {
		work[i] = bytes.Clone(repair[r])
	}
	s.Begin(lost, rows)
	missing := map[int]bool{}
	for _, c := range lost {
		missing[int(c)] = true
	}
	for c := range source {
		if !missing[c] {
			s.Subtract(work, c, source[c])
		}
	}
	for j, c := range lost {
		out := make([]byte, len(source[c]))
		s.Combine(out, j, work)
		if !bytes.Equal(out, source[c]) {
			t.Fatalf("k = %d, lost %v, rows %v: symbol %d is wrong", len(source), lost, rows, c)
		}
	}
}

// FE-1: every pattern of up to m losses among k + m symbols, for all small (k, m). With fewer
// losses than repair symbols left, every choice of rows is a pattern of its own.
func TestEveryPattern(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	most := 16
	if testing.Short() {
		most = 11
	}
	var s Solver
	patterns := 0
	for k := 1; k < most; k++ {
		for m := 1; k+m <= most; m++ {
			source, repair := testBlock(rng, k, m, 3)
			for here := uint(0); here < 1<<(k+m); here++ {
				if bits.OnesCount(here) != k {
					continue // exactly k are used, so exactly k are given
				}
				var lost, rows []uint8
				for c := range k {
					if here>>c&1 == 0 {
						lost = append(lost, uint8(c))
					}
				}
				for r := range m {
					if here>>(k+r)&1 != 0 {
						rows = append(rows, uint8(r))
					}
				}
				solve(t, &s, source, repair, lost, rows)
				patterns++
			}
		}
	}
	t.Logf("%d patterns", patterns)
}

// FE-1: random patterns of large blocks, rows in any order.
func TestRandomPatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	runs := 300
	if testing.Short() {
		runs = 60
	}
	var s Solver
	for range runs {
		k := 1 + rng.IntN(MaxSource)
		m := 1 + rng.IntN(min(MaxSymbol-k, 70))
		source, repair := testBlock(rng, k, m, 8)
		for range 20 {
			e := 1 + rng.IntN(min(k, m))
			lost, rows := make([]uint8, e), make([]uint8, e)
			columns, indexes := rng.Perm(k), rng.Perm(m)
			for i := range e {
				lost[i], rows[i] = uint8(columns[i]), uint8(indexes[i])
			}
			solve(t, &s, source, repair, lost, rows)
		}
	}
}

func TestCodeAllocs(t *testing.T) {
	source, repair := testBlock(rand.New(rand.NewPCG(7, 8)), 20, 4, 1344)
	var s Solver
	out := make([]byte, 1344)
	if n := testing.AllocsPerRun(50, func() {
		for c := range source {
			Accumulate(repair[:2], c, source[c])
		}
		s.Begin([]uint8{3, 7}, []uint8{0, 2})
		s.Subtract(repair[:2], 0, source[0])
		s.Combine(out, 1, repair[:2])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkEncode measures a block of 1,344-byte symbols as the encoder makes it, symbol by
// symbol with clearing, against the library's Encode over the same matrix.
func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct{ k, m int }{{20, 2}, {16, 4}, {32, 8}} {
		shards := benchShards(c.k+c.m, 1344)
		enc := libraryEncoder(b, c.k, c.m)
		b.Run(fmt.Sprintf("ours/%d+%d", c.k, c.m), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(c.k) * 1344)
			for b.Loop() {
				encodeShards(shards, c.k)
			}
		})
		b.Run(fmt.Sprintf("library/%d+%d", c.k, c.m), func(b *testing.B) {
			b.SetBytes(int64(c.k) * 1344)
			for b.Loop() {
				if err := enc.Encode(shards); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func encodeShards(shards [][]byte, k int) {
	for _, r := range shards[k:] {
		clear(r)
	}
	for c := range k {
		Accumulate(shards[k:], c, shards[c])
	}
}

// benchShards are slices of one memory, each at a multiple of 64 bytes.
func benchShards(n, size int) [][]byte {
	mem := make([]byte, n*size)
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	shards := make([][]byte, n)
	for i := range shards {
		shards[i] = mem[i*size : (i+1)*size : (i+1)*size]
	}
	return shards
}
