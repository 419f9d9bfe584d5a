// Package payload makes the messages that benchmarks send and judges those that arrive: each
// carries a number and a hash of all its bytes, so a receiving application can tell by itself
// what was lost, doubled, misordered or damaged, whatever the library under test reports.
package payload

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Layout, little-endian. What follows the hash is what it covers.
//
//	 0  hash     8 bytes
//	 8  number   8 bytes; the top bit says that the message is measured, not warm-up
//	16  stamp    8 bytes, where the size allows: CLOCK_MONOTONIC, ns, when the message was due
//	24  body     a piece of a random template, another piece for each number
const (
	MinSize   = 16 // room for hash and number
	StampSize = 24 // room for the stamp as well

	measuredBit = 1 << 63
)

// A Message is what a payload says.
type Message struct {
	Number   uint64 // from 1
	Measured bool   // not part of the warm-up
	Stamp    int64  // ns; 0 when the message is too small to carry it
}

// CheckSize says whether messages of size bytes can be made.
func CheckSize(size int) error {
	if size < MinSize {
		return fmt.Errorf("size %d: a message needs %d bytes or more, for its number and its hash", size, MinSize)
	}
	return nil
}

// Maker writes messages of one size. It belongs to one goroutine.
type Maker struct {
	buf      []byte
	template []byte
	seed     uint64
}

// spread is how many different bodies there are: a power of two.
const spread = 1024

// NewMaker makes messages of size bytes (at least MinSize) under seed, which the Reader must know.
func NewMaker(size int, seed uint64) *Maker {
	m := &Maker{buf: make([]byte, size), seed: seed}
	if n := size - StampSize; n > 0 {
		m.template = make([]byte, (n+7+spread)&^7)
		rnd := rand.New(rand.NewPCG(seed, 1))
		for i := 0; i < len(m.template); i += 8 {
			binary.LittleEndian.PutUint64(m.template[i:], rnd.Uint64())
		}
	}
	return m
}

// Make returns the payload of msg; it is valid until the next call.
func (m *Maker) Make(msg Message) []byte {
	b := m.buf
	n := msg.Number
	if msg.Measured {
		n |= measuredBit
	}
	binary.LittleEndian.PutUint64(b[8:], n)
	if len(b) >= StampSize {
		binary.LittleEndian.PutUint64(b[16:], uint64(msg.Stamp))
		at := int(msg.Number * 0x9E3779B97F4A7C15 >> 54) // 0..spread-1
		copy(b[StampSize:], m.template[min(at, len(m.template)):])
	} else {
		clear(b[16:])
	}
	binary.LittleEndian.PutUint64(b, Hash(m.seed, b[8:]))
	return b
}

// Read checks the payload b of size bytes made under seed, and tells what it says. ok is false
// when its size or hash is wrong: it is not what was sent.
func Read(b []byte, size int, seed uint64) (msg Message, ok bool) {
	if len(b) != size || size < MinSize || binary.LittleEndian.Uint64(b) != Hash(seed, b[8:]) {
		return Message{}, false
	}
	n := binary.LittleEndian.Uint64(b[8:])
	msg.Number, msg.Measured = n&^measuredBit, n&measuredBit != 0
	if len(b) >= StampSize {
		msg.Stamp = int64(binary.LittleEndian.Uint64(b[16:]))
	}
	return msg, msg.Number != 0
}
