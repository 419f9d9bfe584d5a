package udp

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
)

// Members that were not listed get what goes to the group once SetPeers names them, each once, and until it
// names them no longer. Those that were listed always get it.
func TestSetPeers(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := peerConfig(t, 4)
		at := func(list ...int) Config {
			c := Config{Logger: quiet, Bind: cfg.Peers[list[0]]}
			for _, i := range list {
				c.Peers = append(c.Peers, cfg.Peers[i])
			}
			return c
		}
		a, b, c, e := open(at(0, 1)), open(at(1)), open(at(2)), open(at(3))
		seed := byte(0)
		reaches := func(from driver, to ...driver) {
			t.Helper()
			sizes := []int{1000, 1000, 700}
			seed++
			sendAll(t, from, outgoing(buf.Group, seed, sizes...))
			for _, d := range to {
				check(t, receive(t, d, len(sizes)), from.Local(), false, seed, sizes...)
			}
			for _, d := range []driver{a, b, c, e} {
				nothing(t, d)
			}
		}
		reaches(a, b)
		reaches(c)
		members := []buf.Endpoint{e.Local(), c.Local(), b.Local(), a.Local(), c.Local(), buf.Group, 1 << 20}
		a.SetPeers(members)
		clear(members) // which are the caller's
		reaches(a, b, c, e)
		a.SetPeers([]buf.Endpoint{c.Local()})
		reaches(a, b, c)
		a.SetPeers(nil)
		reaches(a, b)
		b.SetPeers([]buf.Endpoint{a.Local()})
		reaches(b, a)
		b.SetPeers(nil)
		reaches(b)
	})
}

// With multicast, SetPeers changes nothing.
func TestSetPeersOfAGroup(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(Config) driver) {
		cfg := groupConfig(t)
		a, b := open(cfg), open(cfg)
		a.SetPeers([]buf.Endpoint{b.Local()})
		sendAll(t, a, outgoing(buf.Group, 1, 10, 20))
		check(t, receive(t, b, 2), a.Local(), true, 1, 10, 20)
		nothing(t, b)
	})
}

// The list is bounded: what is listed is in it, and MaxMembers besides.
func TestPeersAreBounded(t *testing.T) {
	listed := netip.MustParseAddrPort("10.0.0.1:1")
	p := newPeers(Config{Peers: []netip.AddrPort{listed}}, 77)
	var members []buf.Endpoint
	for i := range 3 * MaxMembers {
		members = append(members, ip4.Endpoint([4]byte{10, 1, byte(i >> 8), byte(i)}, 9))
	}
	if all := p.with(members); len(all) != 1+MaxMembers || all[0] != EndpointOf(listed) {
		t.Errorf("%d endpoints, of them the first %v", len(all), all[0])
	}
	slices.Reverse(members)
	if all := p.with(members[:3]); !slices.IsSorted(all[1:]) || len(all) != 4 {
		t.Errorf("%v", all)
	}
}
