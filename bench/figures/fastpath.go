package figures

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
)

// The ways that are compared with each other. Where an interface leaves segmentation to a card
// that there is not, 64 KiB cross a veth as one packet, so sockets have both.
const (
	overUDP    = "udp://239.255.66.76?gso=off"
	overGSO    = "udp://239.255.66.76?gso=on"
	overXDP    = "xdp://239.255.66.76"
	overAsavie = "xdp://239.255.66.76?socket=asavie"
)

// FastPath is what needs root and AF_XDP: sockets and AF_XDP, each bare and with the protocol, on one
// kind of rig.
func FastPath(duration time.Duration, kind rig.Kind) Suite {
	s := Suite{Heading: "AF_XDP", Title: "A veth pair between two namespaces, MTU 1500", Bars: fastPathBars()}
	if kind == rig.Veth {
		s.Yard = libxdpYardsticks(duration) // they run on that network only
	}
	add := func(name, what, uri, more string) {
		line := fmt.Sprintf("%s --uri %s --rig %s%s", what, uri, kind, more)
		if !strings.HasPrefix(what, "raw") {
			line += " --idle busyspin"
		}
		s.Cases = append(s.Cases, Case{Name: name, Line: line, Duration: duration})
	}
	ways := []struct{ name, uri string }{{"udp", overUDP}, {"xdp", overXDP}, {"asavie", overAsavie}}
	for _, w := range ways {
		add("raw "+w.name+" rtt", "raw --size 64", w.uri, "")
		add(w.name+" rtt", "latency --size 64", w.uri, "")
	}
	for _, w := range ways {
		add("raw "+w.name+" rate", "raw --size 1344", w.uri, "")
		add(w.name+" rate", "throughput --size 1344", w.uri, "")
	}
	add("raw gso rate", "raw --size 1344", overGSO, " --offload --gso")
	add("gso rate", "throughput --size 1344", overGSO, " --offload")
	add("udp rate 64", "throughput --size 64", overUDP, "")
	add("xdp rate 64", "throughput --size 64", overXDP, "")
	return s
}

// fastPathBars are those of the AF_XDP issue, in its order.
func fastPathBars() []Bar {
	return []Bar{
		quotient("AF_XDP round trip, 64 bytes: p50 / bare AF_XDP p50", 1.35, false, p50, micros, "xdp rtt", "raw xdp rtt"),
		quotient("AF_XDP round trip, 64 bytes: p50 / UDP p50", 0.6, false, p50, micros, "xdp rtt", "udp rtt"),
		quotient("AF_XDP 1,344-byte messages/s / bare AF_XDP datagrams/s", 0.85, true, rate, perSecond, "xdp rate", "raw xdp rate"),
		quotient("AF_XDP 1,344-byte messages/s / UDP without segmentation offload", 2, true, rate, perSecond, "xdp rate", "udp rate"),
		{
			What: "AF_XDP throughput and round trips: lost + duplicated + reordered + corrupt", Limit: 0, Strict: true,
			Value: func(r Round) float64 {
				return defects(r["xdp rate"]) + defects(r["xdp rate 64"]) + defects(r["xdp rtt"])
			},
			Detail: func(r Round) string { return counts(r["xdp rate"]) },
		},
		{
			What: "bare AF_XDP p50 over that of a C program on libxdp, relative", Limit: 0.1, Optional: true,
			Value:  func(r Round) float64 { return p50(r["raw xdp rtt"])/p50(r[libxdpRTT]) - 1 },
			Detail: func(r Round) string { return micros(p50(r["raw xdp rtt"]), p50(r[libxdpRTT])) },
		},
		{
			What: "bare AF_XDP 1,344-byte datagrams/s short of those of a C program on libxdp, relative", Limit: 0.1, Optional: true,
			Value:  func(r Round) float64 { return 1 - rate(r["raw xdp rate"])/rate(r[libxdpRate]) },
			Detail: func(r Round) string { return perSecond(rate(r["raw xdp rate"]), rate(r[libxdpRate])) },
		},
		quotient("bare round trip: p50 of own rings / asavie/xdp", 1, false, p50, micros, "raw xdp rtt", "raw asavie rtt"),
		{
			What: "bare: own rings / asavie/xdp, the better one of p99.9 and CPU time per datagram", Limit: 1,
			Value: func(r Round) float64 {
				return smaller(p999(r["raw xdp rtt"])/p999(r["raw asavie rtt"]), perDatagram(r["raw xdp rate"])/perDatagram(r["raw asavie rate"]))
			},
			Detail: func(r Round) string {
				return fmt.Sprintf("p99.9 %s; CPU %.2f / %.2f µs", micros(p999(r["raw xdp rtt"]), p999(r["raw asavie rtt"])),
					perDatagram(r["raw xdp rate"])*1e6, perDatagram(r["raw asavie rate"])*1e6)
			},
		},
		{
			What: "AF_XDP: allocations for each message, sender and receiver", Limit: 0.001,
			Value:  func(r Round) float64 { return allocs(r["xdp rate 64"]) },
			Detail: func(r Round) string { return counts(r["xdp rate 64"]) },
		},
		{
			What: "AF_XDP: copied on the way out or received through the kernel, for each datagram", Limit: 0.001,
			Value:  func(r Round) float64 { return copied(r["xdp rate"]) },
			Detail: func(r Round) string { return copies(r["xdp rate"]) },
		},
	}
}

// quotient is a bar on a figure of one run divided by that of another.
func quotient(what string, limit float64, atLeast bool, f func(*measure.Result) float64, show func(a, b float64) string, over, under string) Bar {
	return Bar{
		What: what, Limit: limit, AtLeast: atLeast,
		Value:  func(r Round) float64 { return f(r[over]) / f(r[under]) },
		Detail: func(r Round) string { return show(f(r[over]), f(r[under])) },
	}
}

// Comparisons are the ratios that blazebench compare prints beside the bars: nothing has to hold
// of them.
func Comparisons() []Bar {
	return []Bar{
		quotient("UDP round trip p50 / bare UDP", 0, false, p50, micros, "udp rtt", "raw udp rtt"),
		quotient("bare AF_XDP round trip p50 / bare UDP", 0, false, p50, micros, "raw xdp rtt", "raw udp rtt"),
		quotient("AF_XDP round trip p99 / UDP", 0, false, p99, micros, "xdp rtt", "udp rtt"),
		quotient("AF_XDP round trip p50, own rings / asavie/xdp", 0, false, p50, micros, "xdp rtt", "asavie rtt"),
		quotient("1,344-byte messages/s, AF_XDP / UDP with segmentation offload", 0, true, rate, perSecond, "xdp rate", "gso rate"),
		quotient("1,344-byte messages/s, AF_XDP, own rings / asavie/xdp", 0, true, rate, perSecond, "xdp rate", "asavie rate"),
		quotient("64-byte messages/s, AF_XDP / UDP without segmentation offload", 0, true, rate, perSecond, "xdp rate 64", "udp rate 64"),
	}
}

// smaller is the lesser of two numbers of which one may be unknown.
func smaller(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}
