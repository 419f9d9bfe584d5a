package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// capture builds a pcapng in either byte order.
type capture struct {
	binary.AppendByteOrder
	b []byte
}

func (c *capture) block(kind uint32, parts ...[]byte) {
	body := bytes.Join(parts, nil)
	c.b = c.AppendUint32(c.b, kind)
	c.b = c.AppendUint32(c.b, uint32(len(body)+12))
	c.b = append(c.b, body...)
	c.b = c.AppendUint32(c.b, uint32(len(body)+12))
}

func (c *capture) words(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = c.AppendUint32(b, v)
	}
	return b
}

func (c *capture) option(code uint16, v []byte) []byte {
	b := c.AppendUint16(nil, code)
	b = c.AppendUint16(b, uint16(len(v)))
	return append(append(b, v...), make([]byte, -len(v)&3)...)
}

func (c *capture) section() {
	c.block(blockSection, c.words(byteOrder), c.AppendUint16(nil, 1), c.AppendUint16(nil, 0), c.words(0xffffffff, 0xffffffff))
}

// port adds an interface whose times are in units of 10^-resolution.
func (c *capture) port(link uint16, resolution byte) {
	c.block(blockInterface, c.AppendUint16(nil, link), c.AppendUint16(nil, 0), c.words(0),
		c.option(2, []byte("net0")), c.option(optionResolution, []byte{resolution}), c.words(0))
}

func (c *capture) packet(port uint32, time uint64, direction Direction, data []byte) {
	c.block(blockPacket, c.words(port, uint32(time>>32), uint32(time), uint32(len(data)), uint32(len(data))),
		data, make([]byte, -len(data)&3), c.option(optionFlags, c.words(uint32(direction))), c.words(0))
}

// frameOf puts a datagram into a packet from 10.0.0.1:4000 to 239.1.2.3:5000.
func frameOf(payload []byte, tags ...uint16) []byte {
	b := make([]byte, 12)
	for _, id := range tags {
		b = binary.BigEndian.AppendUint16(append(b, 0x81, 0), id)
	}
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+len(payload)))
	b = append(b, 0, 0, 0x40, 0, 1, protoUDP, 0, 0, 10, 0, 0, 1, 239, 1, 2, 3)
	b = binary.BigEndian.AppendUint16(b, 4000)
	b = binary.BigEndian.AppendUint16(b, 5000)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

var us, them = wire.MemberID{1, 2, 3, 4}, wire.MemberID{5, 6, 7, 8}

// datagramOf seals a datagram of ours around frames.
func datagramOf(p wire.Protocol, frames ...[]byte) []byte {
	b := wire.AppendHeader(nil, wire.Header{Cluster: 0xabc, Transmitter: us, Incarnation: 7, Stream: wire.NewStreamID(p, 3)})
	b = append(b, bytes.Join(frames, nil)...)
	wire.Seal(b)
	return b
}

// say reads a capture and returns the words.
func say(t *testing.T, b []byte) (string, *Writer) {
	t.Helper()
	var out strings.Builder
	r, w := NewReader(bytes.NewReader(b)), NewWriter(&out)
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), w
		}
		if err == nil {
			err = w.Write(&p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWords(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		c := capture{AppendByteOrder: order}
		c.section()
		c.port(uint16(linkEthernet), 9)
		c.port(147, 6)
		c.block(0xbad, make([]byte, 8)) // of an unknown kind
		start := uint64(1_700_000_000_000_000_001)
		c.packet(0, start, Out, frameOf(datagramOf(wire.NACK,
			wire.AppendHeartbeat(nil, wire.Heartbeat{First: 3, Last: 9, FirstMessage: 4, NextMessage: 20, SentAt: 77, RoundTrip: 5000, Receivers: 2, WantStatus: true}),
			wire.AppendLeave(nil, wire.Leave{HasLast: true, Last: 9, NextMessage: 20}))))
		c.packet(0, start+1500, In, frameOf(datagramOf(wire.NACK,
			wire.AppendNak(nil, them, 2, []wire.Gap{{First: 5, Count: 1}, {First: 9, Count: 3}}, []wire.Gap{{First: 2, Count: 1}})), 12))
		c.packet(0, start+2000, In, frameOf([]byte("GET / HTTP/1.0\r\n")))
		c.packet(0, start+3000, In, []byte("\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x08\x06..............."))
		c.packet(1, 1_700_000_000_000_001, Unknown, make([]byte, 60))

		got, w := say(t, c.b)
		want := `2023-11-14 22:13:20.000000001 UTC is +0
+0.000000000 out  10.0.0.1:4000 → 239.1.2.3:5000  127 bytes, cluster 0000000000000abc, nack of 01020304#7, lane 3
    heartbeat: last datagram 9, repairable from 3, message 20 is next, 2 receivers, sent at 77, round trip 5µs, wants a status
    leave: last datagram 9, message 20 would be next
+0.000001500  in  10.0.0.1:4000 → 239.1.2.3:5000  VLAN 12, 120 bytes, cluster 0000000000000abc, nack of 01020304#7, lane 3
    NAK to 05060708#2: lacks 5 9..11 still lacks 2
+0.000002000  in  10.0.0.1:4000 → 239.1.2.3:5000  16 bytes, no datagram of ours: wire: malformed datagram
+0.000003000  in  ARP, 29 bytes
+0.000000999   ?  a packet of link type 147, 60 bytes
`
		if got != want {
			t.Errorf("%v: got\n%swant\n%s", order, got, want)
		}
		if w.Packets != 5 || w.Datagrams != 2 || w.Damaged != 1 || w.Others != 2 {
			t.Errorf("counted %+v", w)
		}
	}
}

// Every kind of frame has words of its own.
func TestFrames(t *testing.T) {
	ringID := wire.RingID{Rep: us, Seq: 6}
	for want, b := range map[string][]byte{
		"status to 05060708#2: next 4 of 9, limit 100, room 4096 bytes, 1 missed, 0 gone, echo 77 held 3µs": wire.AppendStatus(nil,
			wire.Status{Origin: them, OriginIncarnation: 2, Next: 4, Highest: 9, Limit: 100, Room: 4096, Echo: 77, Held: 3000, Missed: 1}),
		"start: datagrams from 5, messages from 6, opened 1s ago, 4 lanes": wire.AppendStart(nil, wire.Start{First: 5, FirstMessage: 6, Age: 1e9, Lanes: 4}),
		"leave": wire.AppendLeave(nil, wire.Leave{}),
		"repair symbol 1 of block 40: 20 sources, stride 1, 2 repairs, scheme 1, 5 bytes": wire.AppendRepair(nil,
			&wire.Repair{Block: 40, Scheme: 1, Stride: 1, Sources: 20, Repairs: 2, Index: 1, Symbol: []byte("12345")}),
		"token 8 of ring 01020304/6: seq 5, ARU 4 by 05060708, fcc 3, backlog 2": wire.AppendToken(nil,
			&wire.Token{Ring: ringID, TokenSeq: 8, Seq: 5, Aru: 4, AruID: them, FCC: 3, Backlog: 2}),
		"notice: there is a ring 01020304/6":                 wire.AppendNotice(nil, wire.Notice{Ring: ringID, Kind: wire.MergeDetect}),
		"notice: do not hold the token of ring 01020304/6":   wire.AppendNotice(nil, wire.Notice{Ring: ringID, Kind: wire.HoldCancel}),
		"join 4: knows nobody; failed nobody; ring sequence": wire.AppendJoin(nil, &wire.Join{Counter: 4, RingSeq: 9}),
	} {
		var d wire.Datagram
		if err := wire.Decode(datagramOf(wire.Totem, b), &d); err != nil || len(d.Frames()) != 1 {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := frame(&d.Frames()[0]); !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestBadFiles(t *testing.T) {
	var c capture
	c.AppendByteOrder = binary.LittleEndian
	c.section()
	c.port(uint16(linkEthernet), 9)
	whole := bytes.Clone(c.b)
	c.packet(7, 1, In, nil)
	for name, b := range map[string][]byte{
		"another format":     []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00"),
		"no byte order":      append([]byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00"), "nope"...),
		"no such interface":  c.b,
		"a block too short":  append(bytes.Clone(whole), "\x06\x00\x00\x00\x08\x00\x00\x00"...),
		"a block too long":   append(bytes.Clone(whole), "\x06\x00\x00\x00\xf0\xff\xff\xff"...),
		"two lengths differ": append(bytes.Clone(whole), "\x06\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00"...),
	} {
		r := NewReader(bytes.NewReader(b))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is cut short is reported as such, wherever it is cut.
	for n := range len(whole) {
		if n == 28 { // between the section's header and the interface
			continue
		}
		if _, err := NewReader(bytes.NewReader(whole[:n])).Next(); n == 0 && err != io.EOF || n > 0 && err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// No file makes the reader or the words panic.
func FuzzDump(f *testing.F) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		c := capture{AppendByteOrder: order}
		c.section()
		c.port(uint16(linkEthernet), 0x80|30)
		c.packet(0, 5, In, frameOf(datagramOf(wire.NACK, wire.AppendLeave(nil, wire.Leave{})), 1, 2))
		f.Add(c.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, w := NewReader(bytes.NewReader(b)), NewWriter(io.Discard)
		for {
			p, err := r.Next()
			if err != nil {
				return
			}
			if err := w.Write(&p); err != nil {
				t.Fatal(err)
			}
		}
	})
}
