package check

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Payload fills dst with the payload of message n of the stream that key names: bytes that
// no other message has, so that any error or mix-up shows in the hash.
func Payload(dst []byte, key, n uint64) {
	var rng rand.PCG
	rng.Seed(key, n)
	var word [8]byte
	for len(dst) > 0 {
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		dst = dst[copy(dst, word[:]):]
	}
}

// Hash identifies a payload: the first 64 bits of its SHA-256.
func Hash(payload []byte) uint64 {
	h := sha256.Sum256(payload)
	return binary.LittleEndian.Uint64(h[:])
}
