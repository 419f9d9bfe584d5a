package trie

import (
	"encoding/binary"
	"math/bits"
)

// Seed keys the hash of a trie, so that nobody who does not have it can choose keys that collide.
type Seed struct{ K0, K1 uint64 }

// hashBits is how much of a hash there is: 6 bits for the root and 4 for each level below it.
const hashBits = 62

// Hash is SipHash-1-3 of key, of which hashBits are kept. It is the same in every build and on every machine.
func (s Seed) Hash(key []byte) uint64 { return s.sip(key) >> (64 - hashBits) }

// second is another hash, for keys whose first one is equal.
func (s Seed) second(key []byte) uint64 {
	return Seed{^s.K1, ^s.K0}.Hash(key)
}

func (s Seed) sip(b []byte) uint64 {
	v0, v1 := s.K0^0x736f6d6570736575, s.K1^0x646f72616e646f6d
	v2, v3 := s.K0^0x6c7967656e657261, s.K1^0x7465646279746573
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}

const (
	prime1 = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	prime3 = 0x165667B19E3779F9
)

// Mix is a hash of two numbers. It is not meant to withstand somebody who chooses them.
func Mix(a, b uint64) uint64 { return mix(a, b) }

// Digest goes on with the hash h over b. It finds what is damaged, not what was forged.
func Digest(h uint64, b []byte) uint64 { return digest(h, b) }

func mix(a, b uint64) uint64 { return fold(a^prime1, b^prime2) }

// fold is both halves of a product.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func digest(h uint64, b []byte) uint64 {
	h ^= uint64(len(b)) * prime3
	for ; len(b) >= 16; b = b[16:] {
		h = fold(binary.LittleEndian.Uint64(b)^h, binary.LittleEndian.Uint64(b[8:])^prime1)
	}
	if len(b) > 0 {
		var last [16]byte
		copy(last[:], b)
		h = fold(binary.LittleEndian.Uint64(last[:])^h, binary.LittleEndian.Uint64(last[8:])^prime2)
	}
	return fold(h^prime3, prime1)
}
