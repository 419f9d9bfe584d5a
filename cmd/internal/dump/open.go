// Package dump reads packet captures and prints in words what datagrams are in them.
//
// It reads pcap and pcapng: what taps of this library write, and what tcpdump and Wireshark do. It trusts a file in
// nothing.
package dump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket/pcapgo"
)

// Source is where packets come from, one after the other. The errors of Next are those of Reader.
type Source interface{ Next() (Packet, error) }

// Open finds out what kind of capture r is.
func Open(r *bufio.Reader) (Source, error) {
	head, err := r.Peek(4)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it has %d bytes", ErrFormat, len(head))
	case binary.LittleEndian.Uint32(head) == blockSection:
		return NewReader(r), nil
	case !isPcap(head):
		return nil, fmt.Errorf("%w: it begins as neither pcap nor pcapng", ErrFormat)
	}
	in, err := pcapgo.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, unexpected(err))
	}
	if n := in.Snaplen(); n == 0 || n > maxBlock {
		in.SetSnaplen(maxBlock) // a packet's length is believed up to here
	}
	return &pcap{in, Link(in.LinkType())}, nil
}

// isPcap reports whether a file begins as a pcap, in either byte order, with times in µs or ns.
func isPcap(head []byte) bool {
	for _, magic := range []uint32{0xa1b2c3d4, 0xa1b23c4d} {
		if binary.LittleEndian.Uint32(head) == magic || binary.BigEndian.Uint32(head) == magic {
			return true
		}
	}
	return false
}

// pcap reads what tcpdump writes.
type pcap struct {
	in   *pcapgo.Reader
	link Link
}

func (p *pcap) Next() (Packet, error) {
	data, info, err := p.in.ZeroCopyReadPacketData()
	switch {
	case errors.Is(err, io.EOF) && info.CaptureLength == 0: // not even a header
		return Packet{}, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Packet{}, io.ErrUnexpectedEOF
	case err != nil:
		return Packet{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return Packet{Time: info.Timestamp, Length: info.Length, Data: data, Link: p.link}, nil
}
