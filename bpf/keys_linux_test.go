package bpf

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
)

// What the filter compares with is changed while it is loaded, each thing for itself.
func TestChangeKeys(t *testing.T) {
	f, _ := loadTest(t, nil)
	register(t, f)
	to := func(a string, cluster uint64, stream uint32) []byte {
		return packet{to: netip.MustParseAddrPort(a), payload: datagram(cluster, stream)}.bytes()
	}
	group := to("239.7.7.7:45000", testCluster, testStream)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	judged(t, f, group, "Group")

	must(f.SetGroup(netip.MustParseAddrPort("239.7.7.8:45002")))
	judged(t, f, group, "Other")
	judged(t, f, to("239.7.7.8:45002", testCluster, testStream), "Group")
	must(f.SetGroup(netip.AddrPort{}))
	judged(t, f, to("239.7.7.8:45002", testCluster, testStream), "Other")
	must(f.SetGroup(testGroup))
	judged(t, f, group, "Group")

	must(f.SetUnicast(netip.MustParseAddrPort("10.9.0.9:9")))
	judged(t, f, to("10.9.0.1:45001", testCluster, testStream), "Other")
	judged(t, f, to("10.9.0.9:9", testCluster, testStream), "Unicast")
	must(f.SetUnicast(netip.AddrPort{}))
	judged(t, f, to("10.9.0.9:9", testCluster, testStream), "Other")

	must(f.SetCluster(1))
	judged(t, f, group, "Cluster")
	judged(t, f, to("239.7.7.7:45000", 1, testStream), "Group")
	must(f.SetCluster(testCluster))

	must(f.SetLanes([][2]uint32{{1, 1}, {3, 3}}))
	judged(t, f, group, "Lane")
	must(f.SetLanes([][2]uint32{{2, 2}}))
	judged(t, f, group, "Group")
	must(f.SetLanes([][2]uint32{{0, 1}, {3, 65535}}))
	judged(t, f, group, "Lane")
	must(f.SetLanes([][2]uint32{{1, 130}}))
	judged(t, f, group, "Group")
	must(f.SetLanes([][2]uint32{}))
	judged(t, f, group, "Lane")
	must(f.SetLanes(nil))
	judged(t, f, group, "Group")

	tagged := func(tags ...uint32) []byte {
		p := toGroup(testCluster, testStream)
		p.tags = tags
		return p.bytes()
	}
	const q, ad = 0x8100 << 16, 0x88a8 << 16
	for _, row := range []struct {
		vlan []uint16
		hear []bool // untagged, priority tag, 5, 6, 5 in 6, 6 in 5
	}{
		{nil, []bool{true, true, true, true, true, true}},
		{[]uint16{}, []bool{true, true, false, false, false, false}},
		{[]uint16{5}, []bool{false, false, true, false, false, false}},
		{[]uint16{6, 5}, []bool{false, false, false, false, true, false}},
	} {
		must(f.SetVLAN(row.vlan))
		for i, b := range [][]byte{group, tagged(q | 0xe000), tagged(q | 5), tagged(q | 0xa006), tagged(ad|6, q|5), tagged(ad|5, q|6)} {
			want := "VLAN"
			if row.hear[i] {
				want = "Group"
			}
			judged(t, f, b, want)
		}
	}
	must(f.SetVLAN([]uint16{5}))
	judged(t, f, tagged(ad, q|5), "Group") // a priority tag around a VLAN
}

func TestChangeKeysRefused(t *testing.T) {
	f, _ := loadTest(t, nil)
	register(t, f)
	for _, err := range []error{
		f.SetGroup(testUnicast), f.SetUnicast(testGroup), f.SetLanes([][2]uint32{{65536, 65536}}), f.SetVLAN([]uint16{0}),
	} {
		if !errors.Is(err, ErrConfig) {
			t.Errorf("accepted, or %v", err)
		}
	}
	judged(t, f, toGroup(testCluster, testStream).bytes(), "Group") // and nothing has changed
}

// A lane that stays wanted is never missed, and an address that changes is never half changed,
// while both are changed as fast as can be.
func TestChangeKeysUnderTraffic(t *testing.T) {
	f, _ := loadTest(t, func(c *Config) { c.Lanes = [][2]uint32{{2, 2}} })
	register(t, f)
	groups := [2]netip.AddrPort{netip.MustParseAddrPort("239.1.1.1:1111"), netip.MustParseAddrPort("239.2.2.2:2222")}
	lanes := [][][2]uint32{{{2, 2}}, nil, {{2, 3}, {700, 700}}, {{1, 2}, {64, 65535}}}

	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			f.SetLanes(lanes[i%len(lanes)])
			f.SetUnicast(netip.AddrPort{})
			f.SetGroup(groups[i%2])
			f.SetGroup(testGroup)
		}
	}()
	own := toGroup(testCluster, testStream).bytes()
	mixed := packet{to: netip.AddrPortFrom(groups[0].Addr(), groups[1].Port()), payload: datagram(testCluster, testStream)}.bytes()
	rounds := 40000
	if testing.Short() {
		rounds = 8000
	}
	for range rounds {
		run(t, f, own)
		if run(t, f, mixed) != xdpPass {
			t.Fatal("one group's address with the other one's port was taken")
		}
	}
	stop.Store(true)
	<-done
	c := f.Counters()
	if c.Lane != 0 {
		t.Errorf("%d datagrams of a lane that was always wanted were passed", c.Lane)
	}
	if c.Group == 0 || c.Group == uint64(rounds) {
		t.Logf("%d of %d met the group's address: nothing was changed meanwhile", c.Group, rounds)
	}
	if want := (Counters{Group: c.Group, Other: uint64(2*rounds) - c.Group}); c != want {
		t.Errorf("counted %+v, want %+v", c, want)
	}
}
