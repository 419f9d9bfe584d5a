package figures

import (
	"fmt"
	"math"
	"slices"

	"github.com/activeblaze/blaze/bench/measure"
)

var nan = math.NaN()

// Each of these is NaN where its run failed or did not measure it.

func of(p *measure.Percentiles, f func(*measure.Percentiles) int64) float64 {
	if p == nil {
		return nan
	}
	return float64(f(p))
}

func median(p *measure.Percentiles) int64 { return p.P50 }
func tail(p *measure.Percentiles) int64   { return p.P99 }

func p50(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return of(r.RTT, median)
}

func p99(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return of(r.RTT, tail)
}

func p999(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return of(r.RTT, func(p *measure.Percentiles) int64 { return p.P999 })
}

// perDatagram is the processor time of all processes for each datagram that arrived, in seconds.
func perDatagram(r *measure.Result) float64 {
	if r == nil || r.Delivered == 0 {
		return nan
	}
	return r.CPUSeconds / float64(r.Delivered)
}

// copied is the part of the datagrams that did not go straight between packet memory and wire.
func copied(r *measure.Result) float64 {
	if r == nil || r.XDPDatagrams == 0 {
		return nan
	}
	return float64(r.XDPCopied) / float64(r.XDPDatagrams)
}

func copies(r *measure.Result) string {
	if r == nil {
		return "the run failed"
	}
	return fmt.Sprintf("%d of %d", r.XDPCopied, r.XDPDatagrams)
}

func oneWay99(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return of(r.Latency, tail)
}

func repair50(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return of(r.Repair, median)
}

func rate(r *measure.Result) float64 {
	if r == nil || r.MsgsPerSecond == 0 {
		return nan
	}
	return r.MsgsPerSecond
}

func datagrams(r *measure.Result) float64 {
	if r == nil || r.DatagramsPerSecond == 0 {
		return nan
	}
	return r.DatagramsPerSecond
}

func allocs(r *measure.Result) float64 {
	if r == nil {
		return nan
	}
	return r.AllocsPerMsg
}

// defects counts what must not be. A run that delivered nothing proves nothing.
func defects(r *measure.Result) float64 {
	if r == nil || r.Delivered == 0 {
		return nan
	}
	return float64(r.Lost + r.Duplicates + r.Reordered + r.Corrupt)
}

func counts(r *measure.Result) string {
	if r == nil {
		return "the run failed"
	}
	return fmt.Sprintf("%d sent, %d delivered at %d", r.Sent, r.Delivered, r.Receivers)
}

func micros(a, b float64) string { return fmt.Sprintf("%.1f / %.1f µs", a/1e3, b/1e3) }

func perSecond(a, b float64) string { return fmt.Sprintf("%.3f / %.3f million/s", a/1e6, b/1e6) }

func rates(a, b *measure.Result) string { return perSecond(rate(a), rate(b)) }

// middle is the median; NaN of nothing, or where most are NaN.
func middle(vs []float64) float64 {
	if len(vs) == 0 {
		return nan
	}
	vs = slices.Clone(vs)
	slices.Sort(vs) // NaN first
	return vs[len(vs)/2]
}
