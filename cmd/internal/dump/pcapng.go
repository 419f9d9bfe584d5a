package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// ErrFormat means that a file is no capture, or a damaged one.
var ErrFormat = errors.New("no capture")

// Direction is which way a packet went.
type Direction uint8

// The directions, as the option epb_flags has them.
const (
	Unknown Direction = 0
	In      Direction = 1
	Out     Direction = 2
)

func (d Direction) String() string { return [...]string{"  ?", " in", "out", "  ?"}[d&3] }

// Packet is one captured packet. Data is lent until the next one is read.
type Packet struct {
	Time      time.Time // zero: not known
	Direction Direction
	Length    int // bytes on the wire; Data may be cut short
	Data      []byte
	Link      Link // what Data begins with
}

// Blocks of pcapng that matter here.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6 // "enhanced"

	byteOrder = 0x1a2b3c4d
	maxBlock  = 16 << 20 // bytes: more is no packet

	optionEnd        = 0
	optionFlags      = 2 // of a packet
	optionResolution = 9 // of an interface
)

// Reader reads packets from a pcapng (draft-ietf-opsawg-pcapng), one after the other.
type Reader struct {
	r     io.Reader
	order binary.ByteOrder // nil before the first section
	ports []port
	block []byte
}

// port is an interface of the capture.
type port struct {
	link  Link
	scale float64 // nanoseconds in a unit of time
	exact uint64  // the same, where it is a whole number
}

// NewReader reads from r, which should be buffered.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next is the next packet. The error is io.EOF at the end; io.ErrUnexpectedEOF where the file ends
// within a block, as one does that is still being written; or an ErrFormat.
func (r *Reader) Next() (Packet, error) {
	for {
		kind, body, err := r.next()
		if err != nil {
			return Packet{}, err
		}
		switch kind {
		case blockInterface:
			if err := r.addPort(body); err != nil {
				return Packet{}, err
			}
		case blockPacket:
			return r.packet(body)
		}
	}
}

// next reads one block. A section's own begins a new section.
func (r *Reader) next() (kind uint32, body []byte, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r.r, head[:8]); err != nil {
		return 0, nil, err
	}
	got := 8
	if binary.LittleEndian.Uint32(head[:]) == blockSection { // the same in both orders
		if _, err := io.ReadFull(r.r, head[8:]); err != nil {
			return 0, nil, unexpected(err)
		}
		got = 12
		switch uint32(byteOrder) {
		case binary.LittleEndian.Uint32(head[8:]):
			r.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:]):
			r.order = binary.BigEndian
		default:
			return 0, nil, fmt.Errorf("%w: its byte order is none", ErrFormat)
		}
		r.ports = nil
	}
	if r.order == nil {
		return 0, nil, fmt.Errorf("%w: it does not begin with a section header", ErrFormat)
	}
	kind, length := r.order.Uint32(head[:]), r.order.Uint32(head[4:])
	if length%4 != 0 || length < uint32(got)+4 || length > maxBlock {
		return 0, nil, fmt.Errorf("%w: a block of %d bytes", ErrFormat, length)
	}
	n := int(length) - got
	if cap(r.block) < n {
		r.block = make([]byte, n)
	}
	body = r.block[:n]
	if _, err := io.ReadFull(r.r, body); err != nil {
		return 0, nil, unexpected(err)
	}
	if again := r.order.Uint32(body[n-4:]); again != length {
		return 0, nil, fmt.Errorf("%w: a block of %d bytes ends as one of %d", ErrFormat, length, again)
	}
	return kind, body[:n-4], nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) addPort(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: an interface of %d bytes", ErrFormat, len(b))
	}
	p := port{link: Link(r.order.Uint16(b)), scale: 1000, exact: 1000} // microseconds
	r.options(b[8:], func(code uint16, v []byte) {
		if code != optionResolution || len(v) < 1 {
			return
		}
		if v[0]&0x80 != 0 {
			p.scale = 1e9 / math.Pow(2, float64(v[0]&0x7f))
		} else {
			p.scale = 1e9 / math.Pow(10, float64(v[0]))
		}
		p.exact = 0
		if whole := uint64(p.scale); whole >= 1 && float64(whole) == p.scale {
			p.exact = whole
		}
	})
	r.ports = append(r.ports, p)
	return nil
}

func (r *Reader) packet(b []byte) (Packet, error) {
	if len(b) < 20 {
		return Packet{}, fmt.Errorf("%w: a packet's block of %d bytes", ErrFormat, len(b))
	}
	at := r.order.Uint32(b)
	captured, length := r.order.Uint32(b[12:]), r.order.Uint32(b[16:])
	padded := (uint64(captured) + 3) &^ 3
	if uint64(at) >= uint64(len(r.ports)) || padded > uint64(len(b)-20) {
		return Packet{}, fmt.Errorf("%w: a packet of %d bytes on interface %d", ErrFormat, captured, at)
	}
	port := &r.ports[at]
	p := Packet{Length: int(length), Data: b[20 : 20+captured], Link: port.link}
	if t := uint64(r.order.Uint32(b[4:]))<<32 | uint64(r.order.Uint32(b[8:])); t != 0 {
		ns := float64(t) * port.scale
		if ns < math.MaxInt64 {
			p.Time = time.Unix(0, int64(ns))
			if port.exact != 0 {
				p.Time = time.Unix(0, int64(t*port.exact))
			}
		}
	}
	r.options(b[20+padded:], func(code uint16, v []byte) {
		if code == optionFlags && len(v) == 4 {
			p.Direction = Direction(r.order.Uint32(v) & 3)
		}
	})
	return p, nil
}

// options calls f with each option in b.
func (r *Reader) options(b []byte, f func(code uint16, v []byte)) {
	for len(b) >= 4 {
		code, n := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if code == optionEnd || n > len(b)-4 {
			return
		}
		f(code, b[4:4+n])
		b = b[min(4+(n+3)&^3, len(b)):]
	}
}
