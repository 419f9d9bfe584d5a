package wire

import "encoding/binary"

// Beat is a member's sign of life, to all.
type Beat struct {
	Version  uint32 // of its record
	Interval uint32 // µs: its next beat comes within it; MinInterval..MaxInterval
	Members  uint32 // members that it has in its table, itself included: 1 or more
	Digest   uint64 // of the table
	Stall    uint32 // µs: the longest that its loop stood still in the last 10 s
}

// MinInterval and MaxInterval bound the interval between two beats, in µs.
const (
	MinInterval = 1_000
	MaxInterval = 60_000_000
)

// BeatLen is the length of a beat frame in bytes.
const (
	BeatLen = 3 + beatBody

	beatBody = 3*5 + 9 + 5
)

var beatLayout = newLayout(beatInRange,
	fixed32, // version
	fixed32, // interval
	fixed32, // members
	fixed64, // digest
	fixed32, // stall
)

// AppendBeat appends b as one frame. It checks nothing: a receiver refuses values outside their
// bounds.
func AppendBeat(dst []byte, b Beat) []byte {
	dst = append(dst, 0xDA, 0x01, beatBody)
	dst = appendFixed32(dst, 1, b.Version)
	dst = appendFixed32(dst, 2, b.Interval)
	dst = appendFixed32(dst, 3, b.Members)
	dst = appendFixed64(dst, 4, b.Digest)
	return appendFixed32(dst, 5, b.Stall)
}

// Beat reads a frame of kind FrameBeat.
func (f *Frame) Beat() Beat { return loadBeat(&f.parts) }

func beatInRange(p *parts) bool {
	b := loadBeat(p)
	return intervalInRange(b.Interval) && b.Members >= 1
}

func intervalInRange(us uint32) bool { return us >= MinInterval && us <= MaxInterval }

func loadBeat(p *parts) Beat {
	b := p.head
	_ = b[beatBody-1]
	return Beat{
		Version:  binary.LittleEndian.Uint32(b[1:]),
		Interval: binary.LittleEndian.Uint32(b[6:]),
		Members:  binary.LittleEndian.Uint32(b[11:]),
		Digest:   binary.LittleEndian.Uint64(b[16:]),
		Stall:    binary.LittleEndian.Uint32(b[25:]),
	}
}
