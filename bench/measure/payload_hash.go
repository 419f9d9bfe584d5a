package measure

import (
	"encoding/binary"
	"math/bits"
)

// Odd constants with about as many ones as zeros (digits of the golden ratio and of square roots).
const (
	k0 = 0x9E3779B97F4A7C15
	k1 = 0xBB67AE8584CAA73B
	k2 = 0x3C6EF372FE94F82B
	k3 = 0xA54FF53A5F1D36F1
)

// Hash is a 64-bit multiply-and-fold hash of b: 16 bytes at a time are multiplied to 128 bits and
// the halves xored, as wyhash and its relatives do. It is no cryptography: it catches the errors
// and mix-ups of a program, missing one in 2^64, for about 5 ns per 64 bytes.
func Hash(seed uint64, b []byte) uint64 {
	n := uint64(len(b))
	h := seed ^ k0
	// Two independent chains: the multiplier's latency, not its throughput, is what costs.
	if len(b) >= 32 {
		g := seed ^ k3
		for len(b) >= 32 {
			h = fold(word(b)^k1, word(b[8:])^h)
			g = fold(word(b[16:])^k2, word(b[24:])^g)
			b = b[32:]
		}
		h ^= bits.RotateLeft64(g, 29)
	}
	if len(b) >= 16 {
		h = fold(word(b)^k1, word(b[8:])^h)
		b = b[16:]
	}
	if len(b) >= 8 {
		h = fold(word(b)^k2, h^k3)
		b = b[8:]
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return fold(h^k0, fold(tail^k1, h^n^k2)^k3)
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// fold multiplies to 128 bits and xors the halves.
func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}
