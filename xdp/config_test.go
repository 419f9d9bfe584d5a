package xdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	good := Config{Group: netip.MustParseAddrPort("239.1.2.3:4567"), Interface: "eth9"}
	c, err := good.withDefaults()
	if err != nil || c.TTL != 1 || c.Mode != "auto" || c.ZeroCopy != "auto" || c.Socket != "own" || c.FillRing != 4096 || c.TxRing != 2048 ||
		c.Buffers != 4096 || c.TapBytes != 64<<20 || c.Logger == nil {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	for _, c := range []struct {
		change func(*Config)
		names  string
	}{
		{func(c *Config) { c.Group = netip.AddrPort{} }, "group"},
		{func(c *Config) { c.Group = netip.MustParseAddrPort("10.0.0.1:4567") }, "10.0.0.1"},
		{func(c *Config) { c.Group = netip.MustParseAddrPort("239.1.2.3:0") }, "port"},
		{func(c *Config) { c.Group = netip.MustParseAddrPort("[ff02::1]:1") }, "ff02"},
		{func(c *Config) { c.Interface = "" }, "interface"},
		{func(c *Config) { c.Queue = -1 }, "queue -1"},
		{func(c *Config) { c.Queue = 4096 }, "queue 4096"},
		{func(c *Config) { c.Mode = "fast" }, "fast"},
		{func(c *Config) { c.ZeroCopy = "yes" }, "yes"},
		{func(c *Config) { c.ZeroCopy, c.Mode = "on", "generic" }, "native"},
		{func(c *Config) { c.Socket = "other" }, "other"},
		{func(c *Config) { c.TTL = 256 }, "ttl 256"},
		{func(c *Config) { c.TTL = -1 }, "ttl -1"},
		{func(c *Config) { c.MTU = 575 }, "mtu 575"},
		{func(c *Config) { c.MTU = MaxMTU + 1 }, "mtu"},
		{func(c *Config) { c.DSCP = 64 }, "dscp 64"},
		{func(c *Config) { c.BusyPoll = 1500 * time.Nanosecond }, "busypoll"},
		{func(c *Config) { c.BusyPoll = 2 * time.Second }, "busypoll"},
		{func(c *Config) { c.Buffers = -1 }, "buffers"},
		{func(c *Config) { c.FillRing = 511 }, "511"}, // a NIC's ring size, which is no power of two
		{func(c *Config) { c.FillRing = 32 }, "32"},
		{func(c *Config) { c.TxRing = 1 << 17 }, "131072"},
		{func(c *Config) { c.Loss = 1.5 }, "loss"},
		{func(c *Config) { c.TapBytes = -1 }, "tap"},
	} {
		bad := good
		c.change(&bad)
		if _, err := bad.withDefaults(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("want an error about %s, got %v", c.names, err)
		}
		if d, err := Open(bad); err == nil {
			d.Close()
			t.Errorf("%s: Open took it", c.names)
		}
	}
}
