package blaze

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseURI(t *testing.T) {
	group := netip.MustParseAddrPort("239.255.66.76:6676")
	peers := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6676"), netip.MustParseAddrPort("10.0.0.2:6677")}
	rows := []struct {
		in   string
		want URI
		text string // where it differs from in
	}{
		{"udp://239.255.66.76:6676", URI{Scheme: "udp", Group: group, TTL: 1, GSO: "auto", Loop: "auto"}, ""},
		{"udp://239.255.66.76:6676?interface=eth0&ttl=1&mtu=1500&dscp=46&busypoll=50us&gso=auto",
			URI{Scheme: "udp", Group: group, Interface: "eth0", TTL: 1, MTU: 1500, DSCP: 46, BusyPoll: 50 * time.Microsecond, GSO: "auto", Loop: "auto"},
			"udp://239.255.66.76:6676?interface=eth0&mtu=1500&dscp=46&busypoll=50us"},
		{"UDP://239.255.66.76:6676?", URI{Scheme: "udp", Group: group, TTL: 1, GSO: "auto", Loop: "auto"}, "udp://239.255.66.76:6676"},
		{"udp://239.255.66.76:6676?gso=off&ttl=255", URI{Scheme: "udp", Group: group, TTL: 255, GSO: "off", Loop: "auto"}, "udp://239.255.66.76:6676?ttl=255&gso=off"},
		{"udp://239.255.66.76:6676?interface=Ethernet+2%26", URI{Scheme: "udp", Group: group, Interface: "Ethernet 2&", TTL: 1, GSO: "auto", Loop: "auto"}, ""},
		{"udp://239.255.66.76:6676?interface=", URI{Scheme: "udp", Group: group, TTL: 1, GSO: "auto", Loop: "auto"}, "udp://239.255.66.76:6676"},
		{"udp://239.255.66.76:6676?interface=eth0&loop=off", URI{Scheme: "udp", Group: group, Interface: "eth0", TTL: 1, GSO: "auto", Loop: "off"}, ""},
		{"auto://239.255.66.76:6676?interface=eth0&loop=on",
			URI{Scheme: "auto", Group: group, Interface: "eth0", TTL: 1, GSO: "auto", Loop: "on", Mode: "auto", ZeroCopy: "auto", Socket: "own", Lanes: "all"}, ""},
		{"xdp://239.255.66.76:6676?interface=eth0&queue=3&mode=native&zerocopy=on&socket=asavie",
			URI{Scheme: "xdp", Group: group, Interface: "eth0", TTL: 1, Queue: 3, Mode: "native", ZeroCopy: "on", Socket: "asavie", Lanes: "all"}, ""},
		{"xdp://239.255.66.76:6676?interface=eth0&queue=3&queues=4&mode=native&zerocopy=on",
			URI{Scheme: "xdp", Group: group, Interface: "eth0", TTL: 1, Queue: 3, Queues: 4, Mode: "native", ZeroCopy: "on", Socket: "own", Lanes: "all"}, ""},
		{"xdp://239.255.66.76:6676?lanes=subscribed&interface=eth0&socket=own",
			URI{Scheme: "xdp", Group: group, Interface: "eth0", TTL: 1, Mode: "auto", ZeroCopy: "auto", Socket: "own", Lanes: "subscribed"},
			"xdp://239.255.66.76:6676?interface=eth0&lanes=subscribed"},
		{"auto://239.255.66.76:6676?interface=eth0&lanes=all",
			URI{Scheme: "auto", Group: group, Interface: "eth0", TTL: 1, GSO: "auto", Loop: "auto", Mode: "auto", ZeroCopy: "auto", Socket: "own", Lanes: "all"},
			"auto://239.255.66.76:6676?interface=eth0"},
		{"auto://239.255.66.76:6676?interface=eth0",
			URI{Scheme: "auto", Group: group, Interface: "eth0", TTL: 1, GSO: "auto", Loop: "auto", Mode: "auto", ZeroCopy: "auto", Socket: "own", Lanes: "all"}, ""},
		{"pointcast://10.0.0.1:6676,10.0.0.2:6677?bind=", URI{Scheme: "pointcast", Peers: peers, GSO: "auto"}, "pointcast://10.0.0.1:6676,10.0.0.2:6677"},
		{"pointcast://10.0.0.1:6676,10.0.0.2:6677?bind=10.0.0.2%3A6677", URI{Scheme: "pointcast", Peers: peers, Bind: peers[1], GSO: "auto"}, ""},
	}
	for _, row := range rows {
		got, err := ParseURI(row.in)
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("ParseURI(%q) = %+v, %v; want %+v", row.in, got, err, row.want)
			continue
		}
		if row.text == "" {
			row.text = row.in
		}
		if s := got.String(); s != row.text {
			t.Errorf("%q is written as %q, want %q", row.in, s, row.text)
		}
	}
}

func TestParseURIErrors(t *testing.T) {
	const u = "udp://239.255.66.76:6676"
	rows := []struct {
		in    string
		names []string // what the error must name
	}{
		{"", []string{"scheme", "udp://"}},
		{"239.255.66.76:6676", []string{"scheme", "239.255.66.76:6676"}},
		{"tcp://239.255.66.76:6676", []string{"scheme", `"tcp"`, "udp, xdp, auto or pointcast"}},
		{"udp://", []string{"address", "IPv4 address and a port"}},
		{"udp://239.255.66.76", []string{"no port", "239.255.66.76:6676"}},
		{"udp://239.255.66.76:", []string{"port from 1 to 65535"}},
		{"udp://239.255.66.76:0", []string{"port from 1 to 65535"}},
		{"udp://239.255.66.76:65536", []string{"port from 1 to 65535"}},
		{"udp://239.255.66.76:http", []string{"port from 1 to 65535"}},
		{"udp://239.255.66.300:6676", []string{`"239.255.66.300"`, "IPv4 address"}},
		{"udp://group.example:6676", []string{`"group.example"`, "not looked up"}},
		{u + "/path", []string{"6676/path", "port from 1 to 65535"}},
		{"udp://10.0.0.1:6676", []string{`"10.0.0.1:6676"`, "multicast", "pointcast"}},
		{u + "?ttl=0", []string{"ttl", `"0"`, "1 to 255"}},
		{u + "?ttl=256", []string{"ttl", `"256"`, "1 to 255"}},
		{u + "?ttl=many", []string{"ttl", `"many"`, "1 to 255"}},
		{u + "?ttl=", []string{"ttl", `""`, "1 to 255"}},
		{u + "?mtu=575", []string{"mtu", `"575"`, "576 to 9000"}},
		{u + "?mtu=9001", []string{"mtu", `"9001"`, "576 to 9000"}},
		{u + "?mtu=99999999999999999999", []string{"mtu", "576 to 9000"}},
		{u + "?dscp=64", []string{"dscp", `"64"`, "0 to 63"}},
		{u + "?dscp=-1", []string{"dscp", `"-1"`, "0 to 63"}},
		{u + "?busypoll=50", []string{"busypoll", `"50"`, "50us"}},
		{u + "?busypoll=1h", []string{"busypoll", `"1h"`, "1s"}},
		{u + "?busypoll=50ns", []string{"busypoll", "microseconds"}},
		{u + "?busypoll=-1us", []string{"busypoll", "0s"}},
		{u + "?gso=maybe", []string{"gso", `"maybe"`, "auto, on or off"}},
		{u + "?gso=on&gso=on", []string{"gso", "twice"}},
		{u + "?speed=11", []string{`"speed"`, "interface, ttl, mtu, dscp, busypoll, gso, loop"}},
		{u + "?loop=maybe", []string{"loop", `"maybe"`, "auto, on or off"}},
		{"xdp://239.255.66.76:6676?loop=on", []string{`"loop"`, "xdp:// has"}},
		{"pointcast://10.0.0.1:6676?loop=on", []string{`"loop"`, "pointcast:// has"}},
		{u + "?queue=1", []string{`"queue"`, "udp:// has"}}, // an option of another scheme
		{u + "?ttl", []string{`"ttl"`, "name=value"}},
		{u + "?ttl=1&&dscp=1", []string{`""`, "name=value"}},
		{u + "?interface=%zz", []string{"interface", `"%zz"`, "escape"}},
		{u + "?interface=" + strings.Repeat("e", 256), []string{"interface", "255"}},
		{"xdp://239.255.66.76:6676?mtu=3499", []string{"mtu", `"3499"`, "576 to 3498"}},
		{"xdp://239.255.66.76:6676?queue=4095&queues=2", []string{"queues", `"2"`, "4095"}},
		{"auto://239.255.66.76:6676?queue=4095&queues=2", []string{"queues", `"2"`, "4095"}},
		{"xdp://239.255.66.76:6676?queues=2&socket=asavie", []string{"queues", `"2"`, "socket=own"}},
		{"auto://239.255.66.76:6676?zerocopy=on&mode=generic", []string{"zerocopy", `"on"`, "mode=native"}},
		{"xdp://239.255.66.76:6676?queue=4096", []string{"queue", "0 to 4095"}},
		{"xdp://239.255.66.76:6676?queues=0", []string{"queues", "1 to 64"}},
		{"xdp://239.255.66.76:6676?mode=slow", []string{"mode", "auto, native or generic"}},
		{"xdp://239.255.66.76:6676?zerocopy=1", []string{"zerocopy", "auto, on or off"}},
		{"xdp://239.255.66.76:6676?socket=mine", []string{"socket", "own or asavie"}},
		{"xdp://239.255.66.76:6676?lanes=mine", []string{"lanes", "all or subscribed"}},
		{u + "?lanes=subscribed", []string{`"lanes"`, "udp:// has"}},
		{"xdp://239.255.66.76:6676?gso=on", []string{`"gso"`, "xdp:// has"}},
		{"xdp://239.255.66.76:6676?tap=", []string{"tap", "name of a file"}},
		{u + "?tap=/tmp/x", []string{`"tap"`, "udp:// has"}},
		{"pointcast://239.255.66.76:6676", []string{"own IPv4 address", "udp://"}},
		{"pointcast://0.0.0.0:6676", []string{"own IPv4 address"}},
		{"pointcast://255.255.255.255:6676", []string{"own IPv4 address"}},
		{"pointcast://10.0.0.1:6676,10.0.0.1:6676", []string{`"10.0.0.1:6676"`, "twice"}},
		{"pointcast://10.0.0.1:6676,", []string{`""`, "IPv4 address and a port"}},
		{"pointcast://10.0.0.1:6676?bind=10.0.0.2:6676", []string{"bind", `"10.0.0.2:6676"`, "listed"}},
		{"pointcast://10.0.0.1:6676?bind=10.0.0.1", []string{"bind", "no port"}},
		{"pointcast://10.0.0.1:6676?ttl=1", []string{`"ttl"`, "pointcast:// has"}},
		{"pointcast://" + strings.Repeat("10.0.0.1:1,", 256) + "10.0.0.1:1", []string{`"257"`, "256"}},
		{"udp://" + strings.Repeat("x", 1<<16), []string{"…", "no port"}},
	}
	for _, row := range rows {
		got, err := ParseURI(row.in)
		if !errors.Is(err, ErrConfig) || errors.Is(err, ErrUnsupported) {
			t.Errorf("ParseURI(%.80q) = %v, %v; want ErrConfig", row.in, got, err)
			continue
		}
		for _, name := range append(row.names, "BroadcastURI") {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("ParseURI(%.80q): %v; must name %q", row.in, err, name)
			}
		}
		if len(err.Error()) > 400 {
			t.Errorf("ParseURI(%.80q): an error of %d bytes", row.in, len(err.Error()))
		}
	}
}

func TestParseURISaysThatIPv6IsForLater(t *testing.T) {
	for _, in := range []string{"udp://[ff02::1]:6676", "udp://[ff02::1%eth0]:6676", "udp://ff02::1", "udp://[ff02::1]", "udp://[::ffff:239.1.1.1]:6676",
		"pointcast://[fe80::1]:6676", "pointcast://10.0.0.1:1?bind=[fe80::1]:1"} {
		_, err := ParseURI(in)
		if !errors.Is(err, ErrUnsupported) || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "later version") {
			t.Errorf("ParseURI(%q): %v; want ErrUnsupported that says it is for later", in, err)
		}
	}
}

func FuzzURI(f *testing.F) {
	f.Add("udp://239.255.66.76:6676?interface=eth0&ttl=1&mtu=1500&dscp=46&busypoll=50us&gso=auto")
	f.Add("xdp://239.255.66.76:6676?interface=a%20b&queue=0&mode=native&zerocopy=auto&socket=own")
	f.Add("pointcast://10.0.0.1:6676,10.0.0.2:6676?bind=10.0.0.1:6676")
	f.Add("auto://[ff02::1]:6676?a=b&&%")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("%q: %v is no ErrConfig", s, err)
			}
			return
		}
		text := u.String()
		back, err := ParseURI(text)
		if err != nil || !reflect.DeepEqual(back, u) {
			t.Fatalf("%q is written as %q, which is read as %+v, %v; want %+v", s, text, back, err, u)
		}
		if again := back.String(); again != text {
			t.Fatalf("%q is written as %q, then as %q", s, text, again)
		}
	})
}
