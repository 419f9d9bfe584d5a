package wire

import (
	"encoding/binary"
	"math"
)

// Start is where the header's stream begins. It travels alone and with the stream's first
// datagrams.
type Start struct {
	First        uint64 // number of the stream's first datagram, 1..2^64-2
	FirstMessage uint64 // number of its first message, from 1
	Age          uint64 // ns since the stream was opened
	Lanes        uint32 // streams that the sender hashes topics over, 1..MaxLanes
}

// MaxLanes is the number of lanes that a StreamID can name.
const MaxLanes = 1 << 16

// StartLen is the length of a start frame in bytes.
const (
	StartLen = 3 + startBody

	startBody = 3*9 + 5
)

var startLayout = newLayout(startInRange,
	fixed64, // first
	fixed64, // first_message
	fixed64, // age
	fixed32, // lanes
)

// AppendStart appends s as one frame. It checks nothing: a receiver refuses values outside
// their bounds.
func AppendStart(dst []byte, s Start) []byte {
	dst = append(dst, 0x82, 0x01, startBody)
	dst = appendFixed64(dst, 1, s.First)
	dst = appendFixed64(dst, 2, s.FirstMessage)
	dst = appendFixed64(dst, 3, s.Age)
	return appendFixed32(dst, 4, s.Lanes)
}

// Start reads a frame of kind FrameStart.
func (f *Frame) Start() Start { return loadStart(&f.parts) }

func startInRange(p *parts) bool {
	s := loadStart(p)
	return s.First >= 1 && s.First < math.MaxUint64 && s.FirstMessage >= 1 && s.Lanes >= 1 && s.Lanes <= MaxLanes
}

func loadStart(p *parts) Start {
	b := p.head
	_ = b[startBody-1]
	return Start{
		First:        binary.LittleEndian.Uint64(b[1:]),
		FirstMessage: binary.LittleEndian.Uint64(b[10:]),
		Age:          binary.LittleEndian.Uint64(b[19:]),
		Lanes:        binary.LittleEndian.Uint32(b[28:]),
	}
}
