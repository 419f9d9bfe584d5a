package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func wantError(t *testing.T, name string, open func(Config) (driver, error), cfg Config, is error, text string) {
	t.Helper()
	cfg.Logger = quiet
	d, err := open(cfg)
	if err == nil {
		d.Close()
		t.Errorf("%s: no error, want %q", name, text)
		return
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%s: %v is not %v", name, err, is)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %q does not say %q", name, err, text)
	}
}

// The MTU of the interface bounds Config.MTU.
func TestMTU(t *testing.T) {
	eth := &net.Interface{Name: "eth7", MTU: 1400, Flags: net.FlagUp}
	addr := netip.MustParseAddr("10.1.2.3")
	for _, row := range []struct {
		own, asked, want int
		text             string
	}{
		{1400, 0, 1400, ""},  // the interface's
		{9000, 0, 1500, ""},  // but not more than 1500
		{65536, 0, 1500, ""}, // loopback too
		{9000, 9000, 9000, ""},
		{65536, 65535, 65535, ""}, // Linux's loopback carries more than IPv4 can say
		{-1, 1500, 1500, ""},      // Windows' loopback
		{1400, 1401, 0, "mtu 1401 is more than interface eth7 carries; at most 1400"},
		{500, 0, 0, "interface eth7 has an MTU of 500 bytes, at least 576 are needed"},
	} {
		eth.MTU = row.own
		l, err := checkLink(eth, addr, row.asked)
		if row.text == "" && (err != nil || l.mtu != row.want) || row.text != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), row.text)) {
			t.Errorf("interface %d, asked %d: %d, %v", row.own, row.asked, l.mtu, err)
		}
	}
	eth.Flags = 0
	if _, err := checkLink(eth, addr, 0); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "interface eth7 is down; bring it up with: ") {
		t.Error(err)
	}
	eth.Flags, eth.Index = net.FlagUp, 1<<30 // no such interface, so it has no address
	if _, err := checkLink(eth, netip.Addr{}, 0); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "interface eth7 has no IPv4 address; give it one with: ") {
		t.Error(err)
	}
}

// What helps differs between systems.
func TestRemedies(t *testing.T) {
	for goos, want := range map[string][2]string{
		"linux":   {"ip link set dev e0 up", "ip address add ADDRESS/BITS dev e0"},
		"darwin":  {"ifconfig e0 up", "ifconfig e0 inet ADDRESS/BITS"},
		"windows": {`netsh interface set interface name="e0" admin=enabled`, `netsh interface ipv4 add address "e0" ADDRESS MASK`},
	} {
		if got := [2]string{bringUp(goos, "e0"), addAddress(goos, "e0")}; got != want {
			t.Errorf("%s: %q", goos, got)
		}
	}
}

// A port that a program holds without sharing it.
func TestPortInUse(t *testing.T) {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	cfg := groupConfig(t)
	cfg.Group = netip.AddrPortFrom(cfg.Group.Addr(), port)
	for _, k := range kinds {
		wantError(t, k.name, k.open, cfg, nil, fmt.Sprintf("port %d of %v is taken by a program that does not share it", port, cfg.Group.Addr()))
	}
	cfg = peerConfig(t, 1)
	cfg.Peers[0] = netip.AddrPortFrom(cfg.Peers[0].Addr(), port)
	for _, k := range kinds {
		wantError(t, k.name, k.open, cfg, ErrConfig, fmt.Sprintf("no listed address can be bound: 127.0.0.1:%d is in use", port))
	}
}
