package xdp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
)

func ep(s string) buf.Endpoint { return EndpointOf(netip.MustParseAddrPort(s)) }

// RFC 1112, 6.4: the low 23 bits of the group go into 01-00-5e-00-00-00.
func TestGroupMAC(t *testing.T) {
	for _, c := range []struct {
		ip   [4]byte
		want mac
	}{
		{[4]byte{224, 0, 0, 1}, mac{1, 0, 0x5e, 0, 0, 1}},
		{[4]byte{239, 255, 66, 76}, mac{1, 0, 0x5e, 0x7f, 66, 76}},
		{[4]byte{239, 127, 66, 76}, mac{1, 0, 0x5e, 0x7f, 66, 76}}, // 32 groups share an address
	} {
		if got := groupMAC(c.ip); got != c.want {
			t.Errorf("%v: %x, want %x", c.ip, got, c.want)
		}
	}
}

// checksum is RFC 1071's, the slow and obvious way: a whole header sums to 0.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func build(t *template, data []byte) []byte {
	b := make([]byte, packet+len(data))
	t.put((*[packet]byte)(b), len(data))
	copy(b[packet:], data)
	return b
}

func TestTemplateAndParse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := 0; n <= 1472; n++ {
		from, to := buf.Endpoint(rnd.Uint64()>>16|1), buf.Endpoint(rnd.Uint64()>>16|1)
		var head template
		src := mac{2, byte(n), 3}
		head.set(src, mac{4, 5}, from, to, 1+n%255, n%64)
		b := build(&head, bytes.Repeat([]byte{byte(n)}, n))
		if sum := checksum(b[14:34]); sum != 0 {
			t.Fatalf("%d bytes: the IP header sums to %#x", n, sum)
		}
		if b[14+1] != byte(n%64)<<2 || b[14+8] != byte(1+n%255) || binary.BigEndian.Uint16(b[14+6:]) != 0x4000 || binary.BigEndian.Uint16(b[40:]) != 0 {
			t.Fatalf("%d bytes: TOS, TTL, DF or UDP checksum: %x", n, b[:packet])
		}
		var r received
		if !parse(b, &r) || r.from != from || r.to != to || r.source != src || r.off != packet || r.n != n || r.tagged {
			t.Fatalf("%d bytes: %+v", n, r)
		}
		// Short frames are padded to 60 bytes; what follows the datagram is not its.
		if !parse(append(b, make([]byte, 18)...), &r) || r.n != n {
			t.Fatalf("%d bytes, padded: %+v", n, r)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	var head template
	head.set(mac{1}, mac{2}, ep("10.0.0.1:1000"), ep("10.0.0.2:2000"), 1, 0)
	good := build(&head, []byte("datagram"))
	var r received
	for n := range good {
		if parse(good[:n], &r) {
			t.Errorf("the first %d bytes of a packet are a packet", n)
		}
	}
	for _, c := range []struct {
		name string
		at   int
		b    []byte
	}{
		{"IPv6", 12, []byte{0x86, 0xdd}},
		{"ARP", 12, []byte{0x08, 0x06}},
		{"IP version 6 inside", 14, []byte{0x65}},
		{"IP options", 14, []byte{0x46}},
		{"more fragments", 14 + 6, []byte{0x20, 0}},
		{"a later fragment", 14 + 6, []byte{0, 1}},
		{"TCP", 14 + 9, []byte{6}},
		{"IP length beyond the packet", 14 + 2, []byte{0, 37}},
		{"IP length shorter than its header", 14 + 2, []byte{0, 5}},
		{"UDP length longer than IP's", 34 + 4, []byte{0, 17}},
		{"UDP length shorter than IP's", 34 + 4, []byte{0, 15}},
		{"UDP length shorter than its header", 34 + 4, []byte{0, 7}},
		{"sender's port 0", 34, []byte{0, 0}},
	} {
		b := bytes.Clone(good)
		copy(b[c.at:], c.b)
		if parse(b, &r) {
			t.Errorf("%s: accepted as %+v", c.name, r)
		}
	}
}

func TestParseVLAN(t *testing.T) {
	var head template
	head.set(mac{1}, mac{2}, ep("10.0.0.1:1000"), ep("10.0.0.2:2000"), 1, 0)
	plain := build(&head, []byte("datagram"))
	tag := func(tags ...byte) []byte { return append(append(bytes.Clone(plain[:12]), tags...), plain[12:]...) }
	for _, c := range []struct {
		name   string
		b      []byte
		ok     bool
		tagged bool
		off    int
	}{
		{"priority only", tag(0x81, 0, 0xe0, 0), true, false, 46},
		{"VLAN 5", tag(0x81, 0, 0, 5), true, true, 46},
		{"QinQ", tag(0x88, 0xa8, 0, 0, 0x81, 0, 0, 5), true, true, 50},
		{"three", tag(0x81, 0, 0, 0, 0x81, 0, 0, 0, 0x81, 0, 0, 0), false, false, 0},
		{"ends in the tag", tag(0x81, 0, 0, 5)[:16], false, false, 0},
	} {
		var r received
		ok := parse(c.b, &r)
		if ok != c.ok || ok && (r.tagged != c.tagged || r.off != c.off || r.n != 8) {
			t.Errorf("%s: %v, %+v", c.name, ok, r)
		}
	}
}

// parse trusts nothing: whatever comes, the datagram it finds lies inside the packet.
func FuzzParse(f *testing.F) {
	var head template
	head.set(mac{1}, mac{2}, ep("10.0.0.1:1000"), ep("10.0.0.2:2000"), 1, 0)
	f.Add(build(&head, []byte("datagram")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r received
		if parse(b, &r) && (r.off < packet || r.n < 0 || r.off+r.n > len(b) || uint16(r.from) == 0) {
			t.Errorf("%x: %+v", b, r)
		}
	})
}

func TestPeersHaveABound(t *testing.T) {
	p := new(peers)
	for i := range buf.Endpoint(3 * maxPeers) {
		e := 10<<40 + i<<16 + 7
		p.add(e).known = frames
		if s := p.find(e); s.at != e || s.known != frames {
			t.Fatalf("peer %d is not found", i)
		}
	}
	if p.purged != 2 || p.count != maxPeers {
		t.Errorf("emptied %d times, %d in it", p.purged, p.count)
	}
}

func BenchmarkTemplate(b *testing.B) {
	var head template
	var out [packet]byte
	head.set(mac{1}, mac{2}, ep("10.0.0.1:1000"), ep("10.0.0.2:2000"), 1, 0)
	for b.Loop() {
		head.put(&out, 100)
	}
}

func BenchmarkParse(b *testing.B) {
	var head template
	var r received
	head.set(mac{1}, mac{2}, ep("10.0.0.1:1000"), ep("10.0.0.2:2000"), 1, 0)
	p := build(&head, make([]byte, 100))
	for b.Loop() {
		parse(p, &r)
	}
}

// What matches the last headers is read as parse would read it.
func TestUsualHeaders(t *testing.T) {
	var tpl template
	tpl.set(mac{2, 1}, mac{2, 2}, ip4.Endpoint([4]byte{10, 0, 0, 1}, 7), ip4.Endpoint([4]byte{10, 0, 0, 2}, 8), 1, 46)
	first := make([]byte, packet+100)
	tpl.put((*[packet]byte)(first), 100)
	var u lastHeader
	if u.matches(first) || u.matches(nil) {
		t.Fatal("nothing was learned, and it matches")
	}
	var want received
	if !parse(first, &want) {
		t.Fatal("not parsed")
	}
	u.learn(first, &want)
	if b := append(bytes.Clone(first), 0); u.matches(b) || u.matches(first[:len(first)-1]) {
		t.Error("another length matches")
	}
	for i := range 8 * len(first) {
		b := bytes.Clone(first)
		b[i/8] ^= 1 << (i % 8)
		var got received
		if u.matches(b) && (!parse(b, &got) || got != want) {
			t.Errorf("bit %d of byte %d makes a difference, and it matches", i%8, i/8)
		}
		if !u.matches(b) && i/8 >= packet-2 {
			t.Errorf("byte %d makes none, and it does not match", i/8)
		}
	}
	tagged := append(bytes.Clone(first[:12]), 0x81, 0, 0, 0)
	tagged = append(tagged, first[12:]...)
	var v lastHeader
	if !parse(tagged, &want) {
		t.Fatal("not parsed")
	}
	if v.learn(tagged, &want); v.matches(tagged) {
		t.Error("headers with a tag were learned")
	}
}
