package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/activeblaze/blaze/buf"
)

// tap writes packets to a file, since tcpdump does not see them. The format is pcapng
// (draft-ietf-opsawg-pcapng): a section header, one interface, and an enhanced packet block
// for each packet, with its direction.
//
// Every Queue of a driver writes to it, and the driver.
type tap struct {
	mu    sync.Mutex
	file  *os.File
	out   []byte // blocks that are not written yet
	room  int64  // bytes that may still be written
	err   error
	ended bool
}

// Directions, as the option epb_flags has them.
const (
	tapIn  = 1
	tapOut = 2
)

const (
	tapBuffer = 256 << 10
	tapFrame  = 4096 // bytes of a packet that are written at most
)

// openTap makes the file, which holds at most limit bytes.
func openTap(name string, limit int64, ifname string) (*tap, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: tap: %w", ErrConfig, err)
	}
	t := &tap{file: f, out: make([]byte, 0, tapBuffer), room: limit}
	t.out = appendBlock(t.out, 0x0a0d0d0a, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0x1a2b3c4d) // says the byte order
		b = binary.LittleEndian.AppendUint16(b, 1)          // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		return binary.LittleEndian.AppendUint64(b, ^uint64(0)) // length unknown
	})
	t.out = appendBlock(t.out, 1, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, 1) // Ethernet
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0)    // whole packets
		b = appendOption(b, 2, []byte(ifname))        // if_name
		b = appendOption(b, 9, []byte{9})             // if_tsresol: nanoseconds
		return binary.LittleEndian.AppendUint32(b, 0) // end of options
	})
	t.room -= int64(len(t.out))
	return t, nil
}

func appendOption(b []byte, code uint16, v []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	return pad(b, len(v))
}

// pad appends what n bytes lack to a multiple of 4.
func pad(b []byte, n int) []byte { return append(b, make([]byte, -n&3)...) }

// appendBlock appends a block, with its length before and after.
func appendBlock(b []byte, kind uint32, body func([]byte) []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = body(binary.LittleEndian.AppendUint32(b, 0))
	n := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

// packet writes one packet, and nothing any more once the file is as large as it may be.
func (t *tap) packet(direction byte, frame []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	frame = frame[:min(len(frame), tapFrame)]
	size := int64(28 + (len(frame)+3)&^3 + 12 + 4)
	if t.ended || t.room < size {
		t.ended = true
		return
	}
	t.room -= size
	if len(t.out)+int(size) > cap(t.out) {
		t.flush()
	}
	now := uint64(time.Now().UnixNano())
	t.out = appendBlock(t.out, 6, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0) // interface 0
		b = binary.LittleEndian.AppendUint32(b, uint32(now>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(now))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
		b = pad(append(b, frame...), len(frame))
		b = appendOption(b, 2, []byte{direction, 0, 0, 0}) // epb_flags
		return binary.LittleEndian.AppendUint32(b, 0)
	})
}

// datagram writes a datagram that went through the kernel's socket, in a packet like the one
// that it was in. The hardware addresses are not known and are 0.
func (t *tap) datagram(direction byte, from, to buf.Endpoint, data []byte) {
	var head template
	var frame [tapFrame]byte
	head.set(mac{}, mac{}, from, to, unicastTTL, 0)
	n := copy(frame[packet:], data)
	head.put((*[packet]byte)(frame[:]), n)
	t.packet(direction, frame[:packet+n])
}

func (t *tap) flush() {
	if _, err := t.file.Write(t.out); err != nil && t.err == nil {
		t.err, t.ended = fmt.Errorf("xdp: tap: %w", err), true
	}
	t.out = t.out[:0]
}

func (t *tap) close() error {
	t.flush()
	return errors.Join(t.err, t.file.Close())
}
