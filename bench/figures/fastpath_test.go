package figures

import (
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
)

// fast is a round in which every bar of AF_XDP is reached.
func fast() Round {
	rtt := func(p50, p999 int64) *measure.Result {
		return &measure.Result{Sent: 10, Delivered: 10, RTT: &measure.Percentiles{P50: p50, P99: 2 * p50, P999: p999}}
	}
	rate := func(v float64) *measure.Result {
		return &measure.Result{Sent: 1000, Delivered: 1000, MsgsPerSecond: v, CPUSeconds: 1, XDPDatagrams: 2000}
	}
	return Round{
		"raw udp rtt": rtt(10_000, 90_000), "udp rtt": rtt(11_000, 90_000), "raw xdp rtt": rtt(4000, 9000),
		"xdp rtt": rtt(5000, 9000), "raw asavie rtt": rtt(4100, 10_000), "asavie rtt": rtt(5100, 10_000),
		"raw udp rate": rate(240e3), "udp rate": rate(250e3), "raw xdp rate": rate(750e3), "xdp rate": rate(700e3),
		"raw asavie rate": rate(700e3), "asavie rate": rate(650e3), "raw gso rate": rate(2.2e6), "gso rate": rate(2e6),
		"udp rate 64": rate(3e6), "xdp rate 64": rate(8e6),
		libxdpRTT: rtt(4000, 9000), libxdpRate: rate(750e3),
	}
}

func TestEveryBarOfTheFastPathCanFail(t *testing.T) {
	bars := fastPathBars()
	eachCanFail(t, bars, fast, []spoilt{
		{"AF_XDP round trip, 64 bytes: p50 / bare", func(r Round) { r["xdp rtt"].RTT.P50 = 5500 }},
		{"AF_XDP round trip, 64 bytes: p50 / UDP", func(r Round) { r["udp rtt"].RTT.P50 = 8000 }},
		{"AF_XDP 1,344-byte messages/s / bare", func(r Round) { r["xdp rate"].MsgsPerSecond = 600e3 }},
		{"AF_XDP 1,344-byte messages/s / UDP", func(r Round) { r["udp rate"].MsgsPerSecond = 400e3 }},
		{"AF_XDP throughput and round trips", func(r Round) { r["xdp rate 64"].Lost = 1 }},
		{"bare AF_XDP p50 over", func(r Round) { r[libxdpRTT].RTT.P50 = 3500 }},
		{"bare AF_XDP 1,344-byte datagrams/s short", func(r Round) { r[libxdpRate].MsgsPerSecond = 900e3 }},
		{"bare round trip: p50 of own", func(r Round) { r["raw asavie rtt"].RTT.P50 = 3900 }},
		{"bare: own rings", func(r Round) { r["raw asavie rtt"].RTT.P999 = 8000; r["raw xdp rate"].CPUSeconds = 2 }},
		{"AF_XDP: allocations", func(r Round) { r["xdp rate 64"].AllocsPerMsg = 0.01 }},
		{"AF_XDP: copied", func(r Round) { r["xdp rate"].XDPCopied = 100 }},
	})
}

func TestEveryBarOfTheFastPathHasItsRuns(t *testing.T) {
	s, r := FastPath(time.Second, rig.Veth), Round{}
	for _, c := range s.Cases {
		if r[c.Name] != nil || fast()[c.Name] == nil {
			t.Errorf("case %q is there twice, or not known here", c.Name)
		}
		r[c.Name] = fast()[c.Name]
		if cmd := c.Command(); !strings.Contains(cmd, "--rig veth") || !strings.Contains(cmd, "--uri '") {
			t.Errorf("case %q cannot be run alone by %s", c.Name, cmd)
		}
	}
	for _, v := range Judge(append(s.Bars, Comparisons()...), []Round{r}, 1) {
		if v.Median != v.Median {
			t.Errorf("%s: cannot be told from the runs that there are", v.What)
		}
	}
}
