package bpf

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, row := range []struct {
		name string
		cfg  Config
		text string // of the error; empty: none
	}{
		{"nothing", Config{}, ""},
		{"everything", Config{Group: at("239.1.2.3:1"), Unicast: at("10.0.0.1:65535"), Lanes: [][2]uint32{{65535, 65535}}, VLAN: []uint16{1, 4094}, Queues: 1024, FrameBytes: 65535, Loss: 1}, ""},
		{"a group that is none", Config{Group: at("10.0.0.1:1")}, "Group 10.0.0.1:1 is no IPv4 multicast address"},
		{"a group without port", Config{Group: at("239.1.2.3:0")}, "Group"},
		{"a group of IPv6", Config{Group: at("[ff02::1]:1")}, "Group"},
		{"a group of mapped IPv4", Config{Group: at("[::ffff:239.1.2.3]:1")}, "Group"},
		{"an own address that is a group", Config{Unicast: at("239.1.2.3:1")}, "Unicast 239.1.2.3:1 is no IPv4 unicast address"},
		{"any own address", Config{Unicast: at("0.0.0.0:1")}, "Unicast"},
		{"an own address without port", Config{Unicast: at("10.0.0.1:0")}, "Unicast"},
		{"a lane too high", Config{Lanes: [][2]uint32{{1, 1}, {65536, 65536}}}, "Lanes has 65536"},
		{"lanes backwards", Config{Lanes: [][2]uint32{{3, 2}}}, "Lanes has a range from 3 to 2"},
		{"three tags", Config{VLAN: []uint16{1, 2, 3}}, "VLAN has 3 tags"},
		{"tag 0", Config{VLAN: []uint16{0}}, "VLAN has 0"},
		{"tag 4095", Config{VLAN: []uint16{4095}}, "VLAN has 4095"},
		{"queues below none", Config{Queues: -1}, "Queues is -1"},
		{"too many queues", Config{Queues: 1025}, "Queues is 1025"},
		{"no frames", Config{FrameBytes: 63}, "FrameBytes is 63"},
		{"frames too long", Config{FrameBytes: 65536}, "FrameBytes is 65536"},
		{"gain", Config{Loss: -0.1}, "Loss is -0.1"},
		{"more than all", Config{Loss: 1.1}, "Loss is 1.1"},
		{"no number", Config{Loss: math.NaN()}, "Loss is NaN"},
	} {
		_, err := row.cfg.withDefaults()
		if row.text == "" && err != nil || row.text != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), row.text)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.text)
		}
	}
	if c, _ := (Config{}).withDefaults(); c.Queues != 1 || c.FrameBytes != 1792 {
		t.Errorf("defaults: %+v", c)
	}
}

// Every counter has a place of its own in the program's array, and belongs to one sum.
func TestCounterFields(t *testing.T) {
	var c Counters
	for i, f := range c.fields() {
		*f += 1 << i
	}
	if c.Group != 1 || c.Unicast != 2 || c.NoSocket != 8 || c.NoMetadata != 1<<18 {
		t.Errorf("order: %+v", c)
	}
	if got := c.Redirected() | c.Dropped | c.Passed() | c.NoMetadata; got != 1<<19-1 {
		t.Errorf("sums cover %b", got)
	}
	if c.Redirected()&c.Passed() != 0 || c.Redirected()+c.Dropped+c.Passed()+c.NoMetadata != 1<<19-1 {
		t.Error("sums overlap")
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("cause")
	for _, row := range []struct {
		err  error
		is   error
		text string
	}{
		{&FeatureError{Feature: "native XDP on interface lo", Err: cause}, ErrNotSupported, "bpf: native XDP on interface lo: not supported by the driver (cause)"},
		{&FeatureError{Feature: "attaching XDP by a link", Since: "5.9", Err: cause}, ErrNotSupported, "bpf: attaching XDP by a link needs Linux 5.9 (cause)"},
		{&PrivilegeError{What: "to load the XDP filter", Missing: []string{"CAP_BPF", "CAP_NET_ADMIN"}, Err: cause}, ErrPrivilege, "bpf: to load the XDP filter needs CAP_BPF and CAP_NET_ADMIN (cause)"},
		{&ForeignError{Interface: "eth7", Program: Attachment{Mode: Native, ID: 17, Name: "xdp_other"}, Err: cause}, ErrForeign, `bpf: interface eth7 already has an XDP program, id 17 "xdp_other" (native), which is left in place`},
		{&ForeignError{Interface: "eth7", Program: Attachment{ID: 17}, Err: cause}, ErrForeign, "bpf: interface eth7 already has an XDP program, id 17 (offloaded), which is left in place"},
	} {
		if !errors.Is(row.err, row.is) || !errors.Is(row.err, cause) || row.err.Error() != row.text {
			t.Errorf("got  %v\nwant %s", row.err, row.text)
		}
	}
}
