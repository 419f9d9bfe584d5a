package workload

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

func TestErrorsNameOptionValueAndRange(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		change func(*Options)
		want   string
	}{
		{"lateny", func(o *Options) {}, `workload "lateny": want latency, throughput, loss, order, group, cluster, jms or raw`},
		{Latency, func(o *Options) { o.Size = 15 }, "size 15: a message needs 16 bytes or more, for its number and its hash"},
		{Latency, func(o *Options) { o.Size = 1<<20 + 1 }, "size 1048577: want at most 1048576 bytes"},
		{Raw, func(o *Options) { o.Size = 1473 }, "size 1473: raw sends one datagram for each, of at most 1472 bytes"},
		{Raw, func(o *Options) { o.Receivers = 2 }, "receivers 2: raw has one"},
		{Latency, func(o *Options) { o.Protocol = blaze.Totem }, `protocol "totem": want nack, besteffort, fec or hybrid`},
		{Latency, func(o *Options) { o.Rate = -1 }, "rate -1: want 0"},
		{Latency, func(o *Options) { o.Rate = math.NaN() }, "rate NaN: want 0"},
		{Latency, func(o *Options) { o.Duration = -time.Second }, "duration -1s: want 10ms to 1h0m0s"},
		{Latency, func(o *Options) { o.Receivers = -1 }, "receivers -1: want 1 to 64"},
		{Latency, func(o *Options) { o.Receivers = 65 }, "receivers 65: want 1 to 64"},
		{Loss, func(o *Options) { o.Loss = 1 }, "loss 1: want a share of datagrams, 0 or more and less than 1"},
		{Loss, func(o *Options) { o.Loss = math.NaN() }, "loss NaN: want a share"},
		{Loss, func(o *Options) { o.Protocol = blaze.FEC; o.FEC.SourceSymbols = 65 }, "k 65: want 1 to 64"},
		{Loss, func(o *Options) { o.Protocol = blaze.FEC; o.FEC.RepairSymbols = -1 }, "m -1: want 1 to 64"},
		{Loss, func(o *Options) { o.Protocol = blaze.Hybrid; o.FEC.Interleave = 17 }, "interleave 17: want 1 to 16"},
		{Loss, func(o *Options) { o.FEC.SourceSymbols = 8 }, "k 8 is for protocol fec and hybrid"},
		{Loss, func(o *Options) { o.Protocol = blaze.FEC; o.FEC.MaxRepair = 100 }, "blaze: bad configuration: FEC.MaxRepair = 100"},
		{Loss, func(o *Options) { o.Delay = time.Second }, "delay 1s: want 0 to 100ms"},
		{Raw, func(o *Options) { o.Delay = time.Millisecond }, "delay 1ms: raw has none"},
		{Latency, func(o *Options) { o.Idle = "lazy" }, `idle "lazy": want busyspin, backoff or block`},
	} {
		var o Options
		c.change(&o)
		_, err := o.fill(c.kind)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	o, err := Options{}.fill(Latency)
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != 64 || o.Receivers != 1 || o.Duration != 5*time.Second || !strings.HasPrefix(o.URI, "udp://239.255.66.76:") {
		t.Errorf("%+v", o)
	}
	// More members than any host of ours has CPUs: they must not all spin.
	if o, err = (Options{Receivers: 64}).fill(Loss); err != nil || o.Idle == "busyspin" {
		t.Errorf("64 receivers idle by %q, %v", o.Idle, err)
	}
}

func TestFreePortOnlyWhereNoneIsNamed(t *testing.T) {
	for _, c := range []struct{ uri, prefix, suffix string }{
		{"udp://239.1.1.1", "udp://239.1.1.1:", ""},
		{"udp://239.1.1.1?interface=eth0", "udp://239.1.1.1:", "?interface=eth0"},
		{"udp://239.1.1.1:77?ttl=1", "udp://239.1.1.1:77?ttl=1", ""},
		{"nonsense", "nonsense", ""},
		{"pointcast://10.0.0.1:1,10.0.0.2:1", "pointcast://10.0.0.1:1,10.0.0.2:1", ""},
	} {
		got, err := withPort(c.uri)
		if err != nil || !strings.HasPrefix(got, c.prefix) || !strings.HasSuffix(got, c.suffix) {
			t.Errorf("%s becomes %s, %v", c.uri, got, err)
		}
	}
}

func TestInterfaceOfARig(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"udp://239.1.1.1", "udp://239.1.1.1?interface=net0"},
		{"xdp://239.1.1.1:77?", "xdp://239.1.1.1:77?interface=net0"},
		{"xdp://239.1.1.1?socket=asavie", "xdp://239.1.1.1?socket=asavie&interface=net0"},
		{"udp://239.1.1.1?interface=eth0", ""},
		{"udp://239.1.1.1?ttl=1&interface=eth0", ""},
		{"pointcast://10.0.0.1:1,10.0.0.2:1", ""},
	} {
		got, err := withInterface(c.uri, "net0")
		if c.want == "" != (err != nil) || err == nil && got != c.want {
			t.Errorf("%s becomes %s, %v; want %s", c.uri, got, err, c.want)
		}
	}
}

func TestEveryMemberHasItsTap(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"xdp://239.1.1.1:77?interface=eth0&tap=a.pcapng", "xdp://239.1.1.1:77?interface=eth0&tap=a.pcapng.2"},
		{"xdp://239.1.1.1:77?interface=eth0", "xdp://239.1.1.1:77?interface=eth0"},
		{"nonsense", "nonsense"},
	} {
		if got := ownTap(c.uri, 2); got != c.want {
			t.Errorf("%s becomes %s, want %s", c.uri, got, c.want)
		}
	}
}
