package figures

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// Cluster is clusters over loopback: writes, reads, a lock, a master that ends, a member that joins, disks.
func Cluster(duration time.Duration) Suite {
	s := Suite{Heading: "Clusters", Title: "Loopback, MTU 1500, three members that share two CPUs", Bars: clusterBars(), Runs: writeClusterRuns}
	add := func(name, line string, d time.Duration, absolute bool) {
		s.Cases = append(s.Cases, Case{Name: name, Line: strings.TrimSpace("cluster --size 100 " + line), Duration: d, Absolute: absolute})
	}
	add("puts", "--keys 1000 --reads 1 --locks", duration, false)
	add("dir", "--dir", duration, false)
	add("many", "--keys 1000000 --reads 1", duration, true)
	add("writers", "--writers 1024", duration, true)
	add("kill", "--kill --kills 20", time.Second, true)
	add("join", "--join 1000000 --rate 20000", 15*time.Second, true)
	return s
}

func clusterOf(r *measure.Result) *measure.ClusterResult {
	if r == nil {
		return nil
	}
	return r.Cluster
}

// clusterBars are those of the issue on clusters, in its order.
func clusterBars() []Bar {
	bar := func(what, name string, limit float64, atLeast, absolute bool, value func(*measure.ClusterResult) float64, detail func(*measure.ClusterResult) string) Bar {
		return Bar{
			What: what, Limit: limit, AtLeast: atLeast, Absolute: absolute,
			Value: func(r Round) float64 {
				if c := clusterOf(r[name]); c != nil {
					return value(c)
				}
				return nan
			},
			Detail: func(r Round) string {
				if c := clusterOf(r[name]); c != nil {
					return detail(c)
				}
				return "the run failed"
			},
		}
	}
	ready := func(c *measure.ClusterResult) string {
		return fmt.Sprintf("%d entries, ready after %.0f ms, %.0f puts/s meanwhile", c.Joined, c.Ready, c.PutsPerSecond)
	}
	kills := func(c *measure.ClusterResult) string {
		return fmt.Sprintf("%d killed, each replaced", c.Kills)
	}
	return []Bar{
		bar("puts/s of 100 bytes, 64 writers", "puts", 50_000, true, true,
			func(c *measure.ClusterResult) float64 { return orNothing(c.PutsPerSecond) },
			func(c *measure.ClusterResult) string { return fmt.Sprintf("%.0f/s", c.PutsPerSecond) }),
		bar("a put's median / a rotation of the token", "puts", 3, false, false,
			func(c *measure.ClusterResult) float64 { return of(c.Put, median) / orNothing(c.RotationNS) },
			func(c *measure.ClusterResult) string { return micros(of(c.Put, median), c.RotationNS) }),
		bar("reads/s of the own replica, one goroutine, 1,000 entries", "puts", 5e6, true, true,
			func(c *measure.ClusterResult) float64 { return orNothing(c.GetsPerSecond) },
			func(c *measure.ClusterResult) string { return fmt.Sprintf("%.0f/s", c.GetsPerSecond) }),
		bar("master killed by SIGKILL: another one, and its entries gone, ms, median", "kill", 300, false, true,
			func(c *measure.ClusterResult) float64 { return orNaN(c.Failover) }, kills),
		bar("and its lock granted to the next in line, ms, median", "kill", 300, false, true,
			func(c *measure.ClusterResult) float64 { return orNaN(c.LockFailover) }, kills),
		bar("a joiner with a million entries, 20,000 puts/s meanwhile: ready, ms", "join", 5000, false, true,
			func(c *measure.ClusterResult) float64 { return orNothing(c.Ready) }, ready),
		bar("the longest wait of a writer meanwhile, the change of rings apart, ms", "join", 50, false, true,
			func(c *measure.ClusterResult) float64 { return atReady(c, c.WriterStall) }, ready),
		bar("the longest wait of a writer while the ring changes, ms", "join", 150, false, true,
			func(c *measure.ClusterResult) float64 { return atReady(c, c.RingStall) }, ready),
		{
			// The members share this host's disk, and each sync takes longer beside the others'.
			What: "DataDir, SyncQuorum: puts/s / the smaller of 64 a fourfold append and sync, and a third of those in memory", Limit: 1, AtLeast: true, Absolute: true,
			Value: func(r Round) float64 {
				d, m := clusterOf(r["dir"]), clusterOf(r["puts"])
				if d == nil || m == nil || d.Filesync == 0 || d.PutsPerSecond == 0 || m.PutsPerSecond == 0 {
					return nan
				}
				return d.PutsPerSecond / min(64/(4*float64(d.Filesync)/1e9), m.PutsPerSecond/3)
			},
			Detail: func(r Round) string {
				if d := clusterOf(r["dir"]); d != nil {
					return fmt.Sprintf("%.0f/s, append and sync %.0f µs", d.PutsPerSecond, float64(d.Filesync)/1e3)
				}
				return "the run failed"
			},
		},
		{
			What: "replicas that differ", Limit: 0, Strict: true,
			Value: func(r Round) (n float64) {
				for _, name := range []string{"puts", "dir"} {
					c := clusterOf(r[name])
					if c == nil || c.Put == nil {
						return nan
					}
					n += float64(c.Mismatches)
				}
				return n
			},
			Detail: func(r Round) string { return "compared by the hash of their history" },
		},
	}
}

// orNothing is v, where there is one.
func orNothing(v float64) float64 {
	if v == 0 {
		return nan
	}
	return v
}

// atReady is v of a run whose joiner came to be ready.
func atReady(c *measure.ClusterResult, v float64) float64 {
	if c.Ready == 0 {
		return nan
	}
	return v
}

// writeClusterRuns writes the medians of all runs.
func writeClusterRuns(b *bytes.Buffer, s Suite, rounds []Round) {
	fmt.Fprintf(b, "| command | puts/s | put p50, p99 | rotation | reads/s, linear | lock hand-offs/s | fail-over ms: master, lock | joiner ready ms, writers waited | CPU s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range s.Cases {
		med := func(f func(*measure.ClusterResult) float64) float64 {
			return medianRun(rounds, c.Name, func(r *measure.Result) float64 {
				if r.Cluster == nil {
					return nan
				}
				return f(r.Cluster)
			})
		}
		two := func(x, y func(*measure.ClusterResult) float64, show func(float64) string) string {
			if v := med(x); v == v && v != 0 {
				return show(v) + ", " + show(med(y))
			}
			return ""
		}
		one := func(x func(*measure.ClusterResult) float64, show func(float64) string) string {
			if v := med(x); v == v && v != 0 {
				return show(v)
			}
			return ""
		}
		ms := func(v float64) string { return fmt.Sprintf("%.0f", v) }
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", c.Command(),
			large(med(func(c *measure.ClusterResult) float64 { return c.PutsPerSecond })),
			pair(med(func(c *measure.ClusterResult) float64 { return of(c.Put, median) }), med(func(c *measure.ClusterResult) float64 { return of(c.Put, tail) })),
			one(func(c *measure.ClusterResult) float64 { return c.RotationNS }, func(v float64) string { return fmt.Sprintf("%.1f µs", v/1e3) }),
			two(func(c *measure.ClusterResult) float64 { return c.GetsPerSecond }, func(c *measure.ClusterResult) float64 { return c.LinearPerSecond }, large),
			one(func(c *measure.ClusterResult) float64 { return c.LockHandOffs }, large),
			two(func(c *measure.ClusterResult) float64 { return orNaN(c.Failover) }, func(c *measure.ClusterResult) float64 { return orNaN(c.LockFailover) }, ms),
			two(func(c *measure.ClusterResult) float64 { return c.Ready }, func(c *measure.ClusterResult) float64 { return c.WriterStall }, ms),
			value(med(func(c *measure.ClusterResult) float64 { return c.CPUSeconds })))
	}
}
