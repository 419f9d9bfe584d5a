package bpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// What the tests' filter is for.
var (
	testGroup   = netip.MustParseAddrPort("239.7.7.7:45000")
	testUnicast = netip.MustParseAddrPort("10.9.0.1:45001")
)

const (
	testCluster = 0xf9e6e6ef197c2b25 // "test"
	testStream  = 2<<24 | 2          // NACK, lane 2
)

// packet describes one Ethernet packet with a datagram in it.
type packet struct {
	tags    []uint32 // VLAN tags, outermost first: ethertype << 16 | TCI
	to      netip.AddrPort
	payload []byte
}

// toGroup is a datagram of the given cluster and stream to the group.
func toGroup(cluster uint64, stream uint32) packet {
	return packet{to: testGroup, payload: datagram(cluster, stream)}
}

// datagram is a canonical header with a frame behind it, as docs/wire.md lays it out. The CRC
// is not right; the filter does not look.
func datagram(cluster uint64, stream uint32) []byte {
	d := []byte{0x0d, 1, 0, 0, 0, 0x11}
	d = binary.LittleEndian.AppendUint64(d, cluster)
	d = append(d, 0x1d, 0xd4, 0xc3, 0xf1, 0x9e, 0x22, 0x10)
	for i := range 16 {
		d = append(d, 0xa0+byte(i))
	}
	d = append(d, 0x2d, 3, 0, 0, 0, 0x35)
	d = binary.LittleEndian.AppendUint32(d, stream)
	return append(d, 0x62, 0x04, 0xde, 0xad, 0xbe, 0xef)
}

// bytes is the packet from its Ethernet header on.
func (p packet) bytes() []byte {
	b := []byte{0x01, 0, 0x5e, 7, 7, 7, 2, 0, 0, 0, 0, 1}
	for _, t := range p.tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	b = append(b, 0x08, 0x00)
	source := netip.MustParseAddr("10.9.0.2").As4()
	destination := p.to.Addr().As4()
	udp := 8 + len(p.payload)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+udp))
	b = append(b, 0, 1, 0x40, 0, 1, 17, 0, 0)
	b = append(b, source[:]...)
	b = append(b, destination[:]...)
	ip := b[len(b)-20:]
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	b = binary.BigEndian.AppendUint16(b, 45001)
	b = binary.BigEndian.AppendUint16(b, p.to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(udp))
	b = append(b, 0, 0)
	return append(b, p.payload...)
}

func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Where things lie in an untagged packet.
const (
	atIP      = 14
	atUDP     = atIP + 20
	atPayload = atUDP + 8
)

// with is a copy of b with bytes written at offset at.
func with(b []byte, at int, bytes ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], bytes)
	return b
}

// model is the filter once more, in Go and in the words of its documentation: which counter a
// packet must get. The fuzz test compares the two.
func model(cfg Config, b []byte) string {
	at := 14
	ethertype := binary.BigEndian.Uint16(b[12:])
	vlan := []uint16{}
	for range 2 {
		if ethertype == 0x8100 || ethertype == 0x88a8 {
			if len(b) < at+4 {
				return "Malformed"
			}
			if id := binary.BigEndian.Uint16(b[at:]) & 0xfff; id != 0 {
				vlan = append(vlan, id)
			}
			ethertype = binary.BigEndian.Uint16(b[at+2:])
			at += 4
		}
	}
	switch ethertype {
	case 0x86dd:
		return "IPv6"
	case 0x0800:
	default:
		return "EtherType"
	}
	ip := b[at:]
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[0]&15 < 5 {
		return "Malformed"
	}
	if ip[0] != 0x45 {
		return "Options"
	}
	if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
		return "Fragment"
	}
	if ip[9] != 17 {
		return "NotUDP"
	}
	if len(ip) < 28 {
		return "Malformed"
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), binary.BigEndian.Uint16(ip[22:]))
	if to != cfg.Group && to != cfg.Unicast {
		return "Other"
	}
	if cfg.VLAN != nil && !slices.Equal(vlan, cfg.VLAN) {
		return "VLAN"
	}
	total, length := int(binary.BigEndian.Uint16(ip[2:])), int(binary.BigEndian.Uint16(ip[24:]))
	if length < 8 || total != length+20 || total > len(ip) {
		return "Length"
	}
	if len(b) > cfg.FrameBytes {
		return "Oversize"
	}
	d := ip[28:total]
	if len(d) < 47 || d[0] != 0x0d || d[5] != 0x11 || d[14] != 0x1d || d[42] != 0x35 {
		return "Layout"
	}
	if binary.LittleEndian.Uint32(d[1:]) != 1 {
		return "Version"
	}
	if binary.LittleEndian.Uint64(d[6:]) != cfg.Cluster {
		return "Cluster"
	}
	if to == cfg.Unicast {
		return "Unicast"
	}
	if lane := uint32(binary.LittleEndian.Uint16(d[43:])); cfg.Lanes != nil && !slices.ContainsFunc(cfg.Lanes, func(r [2]uint32) bool { return r[0] <= lane && lane <= r[1] }) {
		return "Lane"
	}
	return "Group"
}

// The tests' datagram is the one that docs/wire.md shows.
func TestDatagramIsCanonical(t *testing.T) {
	want := []byte{
		0x0d, 1, 0, 0, 0,
		0x11, 0x25, 0x2b, 0x7c, 0x19, 0xef, 0xe6, 0xe6, 0xf9,
		0x1d, 0xd4, 0xc3, 0xf1, 0x9e,
		0x22, 0x10, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
		0x2d, 3, 0, 0, 0,
		0x35, 2, 0, 0, 2,
	}
	if got := datagram(testCluster, testStream)[:47]; !slices.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}
