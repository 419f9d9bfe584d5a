package xdp

import (
	"encoding/binary"

	"github.com/activeblaze/blaze/buf"
)

// A packet, untagged: Ethernet, IPv4 without options, UDP, and the datagram.
const (
	etherSize = 14
	ipSize    = 20
	udpSize   = 8
	packet    = etherSize + ipSize + udpSize

	// The kernel receives behind the first XDP_PACKET_HEADROOM bytes of a buffer. Whether a
	// packet was received or is to be sent, it begins there, and its datagram behind that.
	frameStart = 256
	headroom   = frameStart + packet

	// The kernel takes buffers of these two sizes.
	smallChunk = 2048 // holds a packet of 1,792 bytes
	largeChunk = 4096

	etherIPv4 = 0x0800
	etherVLAN = 0x8100 // IEEE 802.1Q
	etherQinQ = 0x88a8 // IEEE 802.1ad

	dontFragment = 0x4000
	fragmented   = 0x3fff // more to come, or an offset
	protoUDP     = 17
)

// mac is an Ethernet address.
type mac [6]byte

// groupMAC is where packets to an IPv4 group go: 01:00:5e and its low 23 bits (RFC 1112, 6.4).
func groupMAC(ip [4]byte) mac { return mac{0x01, 0x00, 0x5e, ip[1] & 0x7f, ip[2], ip[3]} }

// template is everything in front of a datagram to one destination. Only lengths and the
// checksum of the IP header differ from packet to packet, and they follow from the datagram's
// length: equal lengths make equal headers, so a packet can be sent again as it lies there.
type template struct {
	bytes [packet]byte
	sum   uint32 // of the IP header's words, with length and checksum 0
}

// set fills the template in. The identification field is 0: it has no meaning in packets that
// cannot be fragmented (RFC 6864, 4.1).
func (t *template) set(from, to mac, source, dest buf.Endpoint, ttl, dscp int) {
	b := t.bytes[:]
	copy(b[0:6], to[:])
	copy(b[6:12], from[:])
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	ip := b[etherSize : etherSize+ipSize]
	clear(ip)
	ip[0], ip[1] = 0x45, byte(dscp<<2)
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	ip[8], ip[9] = byte(ttl), protoUDP
	binary.BigEndian.PutUint32(ip[12:], uint32(source>>16))
	binary.BigEndian.PutUint32(ip[16:], uint32(dest>>16))
	udp := b[etherSize+ipSize:]
	binary.BigEndian.PutUint16(udp, uint16(source))
	binary.BigEndian.PutUint16(udp[2:], uint16(dest))
	// RFC 768: a checksum of 0 means that there is none. The datagram has its own CRC.
	binary.BigEndian.PutUint16(udp[6:], 0)
	t.sum = 0
	for i := 0; i < ipSize; i += 2 {
		t.sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
}

// put writes the headers of a datagram of n bytes to b.
func (t *template) put(b *[packet]byte, n int) {
	*b = t.bytes
	length := uint32(ipSize + udpSize + n)
	binary.BigEndian.PutUint16(b[etherSize+2:], uint16(length))
	binary.BigEndian.PutUint16(b[etherSize+ipSize+4:], uint16(udpSize+n))
	sum := t.sum + length
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(b[etherSize+10:], ^uint16(sum))
}

// received is what parse finds in a packet.
type received struct {
	from, to buf.Endpoint
	source   mac
	off, n   int // the datagram
	tagged   bool
}

// parse reads a packet that the filter has let through, and trusts it in nothing: it may have
// been changed while it ran. False means that this is no IPv4 UDP packet with a whole datagram
// in it, or one of a VLAN; its sender's port is not 0.
func parse(b []byte, r *received) bool {
	if len(b) < packet {
		return false
	}
	off := etherSize
	proto := binary.BigEndian.Uint16(b[12:])
	r.tagged = false
	for range 2 {
		if proto != etherVLAN && proto != etherQinQ {
			break
		}
		if len(b) < off+4+ipSize+udpSize {
			return false
		}
		// VLAN 0 is no VLAN: the tag has a priority only.
		r.tagged = r.tagged || binary.BigEndian.Uint16(b[off:])&0xfff != 0
		proto = binary.BigEndian.Uint16(b[off+2:])
		off += 4
	}
	if proto != etherIPv4 || len(b) < off+ipSize+udpSize {
		return false
	}
	ip := b[off : off+ipSize+udpSize]
	total := int(binary.BigEndian.Uint16(ip[2:]))
	length := int(binary.BigEndian.Uint16(ip[ipSize+4:]))
	if ip[0] != 0x45 || ip[9] != protoUDP || binary.BigEndian.Uint16(ip[6:])&fragmented != 0 ||
		total > len(b)-off || length < udpSize || length != total-ipSize {
		return false
	}
	r.source = mac(b[6:12])
	r.from = buf.Endpoint(binary.BigEndian.Uint32(ip[12:]))<<16 | buf.Endpoint(binary.BigEndian.Uint16(ip[ipSize:]))
	r.to = buf.Endpoint(binary.BigEndian.Uint32(ip[16:]))<<16 | buf.Endpoint(binary.BigEndian.Uint16(ip[ipSize+2:]))
	r.off, r.n = off+ipSize+udpSize, length-udpSize
	return uint16(r.from) != 0 // RFC 768: the sender wants no answer; endpoint 0 is the group
}

// lastHeader is the headers of the untagged packet that was accepted last, and its length. The next one from the
// same sender to the same address is often as long, and then has the same headers: the identification
// is 0 in ours, and the checksum of UDP is not looked at.
type lastHeader struct {
	size  int // of the packet; 0: nothing is known
	bytes [packet - 2]byte
}

// learn remembers a packet that parse has read.
func (u *lastHeader) learn(b []byte, r *received) {
	if r.off == packet {
		u.size = len(b)
		copy(u.bytes[:], b)
	}
}

// matches reports whether parse would read in b what it read in the packet that was learned.
func (u *lastHeader) matches(b []byte) bool {
	return len(b) == u.size && u.size > 0 && string(b[:len(u.bytes)]) == string(u.bytes[:])
}
