package figures

import (
	"fmt"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// FEC is Hybrid and NACK side by side under loss, over loopback; with fast also over AF_XDP, which
// needs root.
func FEC(duration time.Duration, fast bool) Suite {
	s := Suite{Heading: "Forward error correction", Title: "Loopback multicast, MTU 1500"}
	four := Case{Name: "hybrid four", Line: "loss --size 64 --receivers 4 --loss 0.05 --protocol hybrid", Duration: long}
	s.Cases = []Case{
		{Name: "nack 1%", Line: "throughput --size 64 --loss 0.01 --idle busyspin", Duration: duration},
		{Name: "hybrid 1%", Line: "throughput --size 64 --loss 0.01 --protocol hybrid --idle busyspin", Duration: duration},
		{Name: "nack 5%", Line: "throughput --size 64 --loss 0.05 --idle busyspin", Duration: duration},
		{Name: "hybrid 5%", Line: "throughput --size 64 --loss 0.05 --protocol hybrid --idle busyspin", Duration: duration},
		four,
	}
	s.Bars = fecBars()
	if fast {
		s.Title += "; AF_XDP over a bridge between namespaces"
		four.Name, four.Line = "hybrid four xdp", four.Line+" --uri "+overXDP+" --rig bridge"
		s.Cases = append(s.Cases, four)
		s.Bars = append(s.Bars, exact("Hybrid over AF_XDP", four.Name))
	}
	return s
}

// fecBars are those of the FEC issue on real sockets, and how Hybrid compares with NACK.
func fecBars() []Bar {
	return []Bar{
		exact("Hybrid", "hybrid four"),
		alone("Hybrid, 64-byte messages/s at 1 % loss, in millions", 1.1, "hybrid 1%"),
		alone("Hybrid, 64-byte messages/s at 5 % loss, in millions", 0.9, "hybrid 5%"),
		quotient("64-byte messages/s at 1 % loss, Hybrid / NACK", 0.7, true, rate, perSecond, "hybrid 1%", "nack 1%"),
		quotient("64-byte messages/s at 5 % loss, Hybrid / NACK", 0.7, true, rate, perSecond, "hybrid 5%", "nack 5%"),
	}
}

// exact is the bar that four receivers at 5 % loss miss nothing.
func exact(what, name string) Bar {
	return Bar{
		What: what + ", 4 receivers, 5 % loss: lost + duplicated + reordered + corrupt", Limit: 0, Strict: true,
		Value:  func(r Round) float64 { return defects(r[name]) },
		Detail: func(r Round) string { return counts(r[name]) + repairedBy(r[name]) },
	}
}

// alone is a bar on the rate of one run.
func alone(what string, limit float64, name string) Bar {
	return Bar{
		What: what, Limit: limit, AtLeast: true, Absolute: true,
		Value:  func(r Round) float64 { return rate(r[name]) / 1e6 },
		Detail: func(r Round) string { return overhead(r[name]) },
	}
}

// repairedBy is how lost datagrams came back.
func repairedBy(r *measure.Result) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("; %d datagrams by FEC, %d by NAKs", r.RepairedByFEC, r.RepairedByNACK)
}

func overhead(r *measure.Result) string {
	if r == nil {
		return "the run failed"
	}
	return fmt.Sprintf("parity %.1f %%, sent again %.1f %%", 100*r.ParityOverhead, 100*r.RepairOverhead)
}
