package measure

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Layout, little-endian. The hash covers number and stamp; the body has to be that number's, byte
// for byte, which costs a sender no more than copying it and a receiver no more than comparing.
//
//	 0  hash     8 bytes
//	 8  number   8 bytes; the top bit means that the message is measured, not warm-up
//	16  stamp    8 bytes, where the size allows: CLOCK_MONOTONIC, ns, when the message was due
//	24  body     a piece of a random template, another piece for each number
const (
	MinSize   = 16 // room for hash and number
	StampSize = 24 // room for the stamp as well

	measuredBit = 1 << 63
)

// A Message is what a payload carries.
type Message struct {
	Number   uint64 // from 1
	Measured bool   // not part of the warm-up
	Stamp    int64  // ns; 0 when the message is too small to carry it
}

// CheckSize checks that messages of size bytes can be made.
func CheckSize(size int) error {
	if size < MinSize {
		return fmt.Errorf("size %d: a message needs %d bytes or more, for its number and its hash", size, MinSize)
	}
	return nil
}

// Reader judges messages of one size. Any number of goroutines may use it.
type Reader struct {
	size     int
	template []byte
	seed     uint64
}

// Maker writes messages of one size, and can read them. It belongs to one goroutine.
type Maker struct {
	Reader
	buf []byte
}

// spread is how many different bodies there are: a power of two.
const spread = 1024

// NewReader judges messages of size bytes (at least MinSize) that were made under seed.
func NewReader(size int, seed uint64) Reader {
	r := Reader{size: size, seed: seed}
	if n := size - StampSize; n > 0 {
		r.template = make([]byte, (n+7+spread)&^7)
		rnd := rand.New(rand.NewPCG(seed, 1))
		for i := 0; i < len(r.template); i += 8 {
			binary.LittleEndian.PutUint64(r.template[i:], rnd.Uint64())
		}
	}
	return r
}

// NewMaker makes messages of size bytes (at least MinSize) under seed, which the Reader must have too.
func NewMaker(size int, seed uint64) *Maker {
	return &Maker{NewReader(size, seed), make([]byte, size)}
}

// Make returns the payload of msg; it is valid until the next call.
func (m *Maker) Make(msg Message) []byte {
	m.Fill(m.buf, msg)
	return m.buf
}

// Fill writes the payload of msg into b, which has the size of messages.
func (m *Maker) Fill(b []byte, msg Message) {
	n := msg.Number
	if msg.Measured {
		n |= measuredBit
	}
	binary.LittleEndian.PutUint64(b[8:], n)
	if len(b) >= StampSize {
		binary.LittleEndian.PutUint64(b[16:], uint64(msg.Stamp))
		copy(b[StampSize:], m.body(msg.Number))
	} else {
		clear(b[16:])
	}
	binary.LittleEndian.PutUint64(b, Hash(m.seed, b[8:min(len(b), StampSize)]))
}

// body is the body of the message with a number.
func (r *Reader) body(number uint64) []byte {
	if r.template == nil {
		return nil
	}
	at := int(number * 0x9E3779B97F4A7C15 >> 54) // 0..spread-1
	return r.template[at : at+r.size-StampSize]
}

// Read checks a payload, and returns what it carries. ok is false when its size, its hash or a byte of its
// body is wrong: it is not what was sent.
func (r *Reader) Read(b []byte) (msg Message, ok bool) {
	if len(b) != r.size || r.size < MinSize || binary.LittleEndian.Uint64(b) != Hash(r.seed, b[8:min(len(b), StampSize)]) {
		return Message{}, false
	}
	n := binary.LittleEndian.Uint64(b[8:])
	msg.Number, msg.Measured = n&^measuredBit, n&measuredBit != 0
	if len(b) >= StampSize {
		msg.Stamp = int64(binary.LittleEndian.Uint64(b[16:]))
		if !bytes.Equal(b[StampSize:], r.body(msg.Number)) {
			return Message{}, false
		}
	}
	return msg, msg.Number != 0
}
