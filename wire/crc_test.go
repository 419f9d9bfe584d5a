package wire

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// The CRC is that of the standard library, for every length, place in memory, and beginning.
func TestCRCIsTheStandardOne(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	mem := make([]byte, 70_000)
	for i := range mem {
		mem[i] = byte(rnd.Uint32())
	}
	check := func(crc uint32, b []byte) {
		t.Helper()
		if got, want := checksum(crc, b), crc32.Update(crc, castagnoli, b); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", len(b), got, want)
		}
	}
	for n := range 5000 {
		off := rnd.IntN(64)
		check(0, mem[off:off+n])
		check(rnd.Uint32(), mem[off:off+n])
	}
	for range 200 {
		a := rnd.IntN(len(mem))
		check(rnd.Uint32(), mem[a:a+rnd.IntN(len(mem)-a)])
	}
	check(0, mem[:MaxDatagram])
	check(7, nil)
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{100, 150, 400, 1411, 9000} {
		mem := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				checksum(0, mem)
			}
		})
		b.Run(fmt.Sprint(n, "/standard"), func(b *testing.B) {
			for b.Loop() {
				crc32.Update(0, castagnoli, mem)
			}
		})
	}
}
