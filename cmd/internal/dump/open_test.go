package dump

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// pcapOf builds a pcap with one packet at 1.5 s.
func pcapOf(order binary.AppendByteOrder, nanos bool, link Link, snaplen, captured, length uint32, data []byte) []byte {
	magic, fraction := uint32(0xa1b2c3d4), uint32(500_000)
	if nanos {
		magic, fraction = 0xa1b23c4d, 500_000_000
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	for _, w := range []uint32{0, 0, snaplen, uint32(link), 1, fraction, captured, length} {
		b = order.AppendUint32(b, w)
	}
	return append(b, data...)
}

func read(b []byte) (packets []Packet, err error) {
	s, err := Open(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, err
	}
	for {
		p, err := s.Next()
		if err == io.EOF {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		p.Data = bytes.Clone(p.Data)
		packets = append(packets, p)
	}
}

// Whatever tcpdump writes is read: both byte orders, both units of time, on every kind of interface.
func TestPcap(t *testing.T) {
	frame := frameOf(datagramOf(wire.NACK, wire.AppendLeave(nil, wire.Leave{HasLast: true, Last: 9, NextMessage: 20})))
	ip := frame[14:]
	cooked := append([]byte{0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}, ip...)
	cooked2 := append([]byte{8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0}, ip...)
	for _, c := range []struct {
		name string
		link Link
		data []byte
		way  Direction
	}{
		{"Ethernet", linkEthernet, frame, Unknown}, {"raw", linkRaw, ip, Unknown}, {"raw IPv4", linkIPv4, ip, Unknown},
		{"null", linkNull, append([]byte{2, 0, 0, 0}, ip...), Unknown}, {"loop", linkLoop, append([]byte{0, 0, 0, 2}, ip...), Unknown},
		{"cooked, sent", linkCooked, cooked, Out}, {"cooked, received", linkCooked2, cooked2, In},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, nanos := range []bool{false, true} {
				n := uint32(len(c.data))
				packets, err := read(pcapOf(order, nanos, c.link, 65535, n, n, c.data))
				if err != nil || len(packets) != 1 {
					t.Fatalf("%s: %d packets, %v", c.name, len(packets), err)
				}
				p := &packets[0]
				if got := p.Time.UnixNano(); got != 1_500_000_000 {
					t.Errorf("%s, nanoseconds %v: at %d", c.name, nanos, got)
				}
				u, why := open(p)
				if why != "" || u.from.String() != "10.0.0.1:4000" || u.to.String() != "239.1.2.3:5000" || p.Direction != c.way {
					t.Errorf("%s: %v → %v, %v, %q", c.name, u.from, u.to, p.Direction, why)
				}
				var d wire.Datagram
				if err := wire.Decode(u.payload, &d); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				for i := 1; i < len(c.data); i++ { // a packet that was cut short anywhere
					if packets, err := read(pcapOf(order, nanos, c.link, 65535, uint32(i), n, c.data[:i])); err != nil || len(packets) != 1 {
						t.Fatalf("%s, cut at %d: %v", c.name, i, err)
					} else {
						open(&packets[0])
					}
				}
			}
		}
	}
}

// Files that lie are refused, whatever they claim, and what ends early says so.
func TestBadCaptures(t *testing.T) {
	le := binary.LittleEndian
	whole := pcapOf(le, false, linkEthernet, 65535, 4, 4, []byte("abcd"))
	for i := range whole {
		_, err := read(whole[:i])
		if short := i >= 24; err == nil && i != 24 || short && i != 24 && !errors.Is(err, io.ErrUnexpectedEOF) || !short && !errors.Is(err, ErrFormat) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("#!/bin/sh\n"), "gzip": {0x1f, 0x8b, 8, 0, 0, 0, 0, 0},
		"1 GB": pcapOf(le, false, linkEthernet, 0xffffffff, 1<<30, 1<<30, nil), "1 GB of no snap length": pcapOf(le, false, linkEthernet, 0, 1<<30, 1<<30, nil),
		"more than the snap length": pcapOf(le, false, linkEthernet, 10, 20, 20, make([]byte, 20)),
		"captured more than it had": pcapOf(le, false, linkEthernet, 100, 20, 10, make([]byte, 20)),
	} {
		if packets, err := read(b); !errors.Is(err, ErrFormat) || len(packets) > 0 {
			t.Errorf("%s: %d packets, %v", name, len(packets), err)
		}
	}
	if packets, err := read(pcapOf(le, false, linkEthernet, 100, 0, 0, nil)); err != nil || len(packets) != 1 {
		t.Errorf("a packet of 0 bytes: %d, %v", len(packets), err)
	} else if _, why := open(&packets[0]); !strings.Contains(why, "cut short") {
		t.Errorf("a packet of 0 bytes: %q", why)
	}
	if packets, err := read(pcapOf(le, false, 147, 100, 4, 4, []byte("abcd"))); err != nil || len(packets) != 1 {
		t.Errorf("another link: %v", err)
	} else if _, why := open(&packets[0]); why != "a packet of link type 147" {
		t.Errorf("another link: %q", why)
	}
}

// No file makes the reader panic, or use more memory than a packet may have.
func FuzzOpen(f *testing.F) {
	f.Add(pcapOf(binary.BigEndian, true, linkCooked, 65535, 4, 4, []byte("abcd")))
	c := capture{AppendByteOrder: binary.LittleEndian}
	c.section()
	c.port(uint16(linkEthernet), 9)
	c.packet(0, 1, In, frameOf([]byte("x"), 12))
	f.Add(c.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, _ := read(b)
		for i := range packets {
			open(&packets[i])
		}
	})
}
