package figures

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// clusteredRound is a round in which every bar of clusters is reached.
func clusteredRound() Round {
	r := Round{}
	for _, c := range Cluster(time.Second).Cases {
		failover, lock := 180., 210.
		m := &measure.ClusterResult{
			PutsPerSecond: 90_000, Put: &measure.Percentiles{P50: 200_000}, RotationNS: 100_000, GetsPerSecond: 2e7, LinearPerSecond: 3e5, LockHandOffs: 5000,
			Failover: &failover, LockFailover: &lock, Joined: 1_000_000, Ready: 4000, WriterStall: 40, RingStall: 100, Filesync: 100_000, Kills: 20,
		}
		m.Result.Cluster = m
		r[c.Name] = &m.Result
	}
	return r
}

func TestEveryBarOfClustersCanFail(t *testing.T) {
	slow := 301.
	bars := Cluster(time.Second).Bars
	eachCanFail(t, bars, clusteredRound, []spoilt{
		{"puts/s of 100 bytes", func(r Round) { r["puts"].Cluster.PutsPerSecond = 49_000; r["dir"].Cluster.PutsPerSecond = 40_000 }},
		{"a put's median", func(r Round) { r["puts"].Cluster.RotationNS = 60_000 }},
		{"reads/s", func(r Round) { r["puts"].Cluster.GetsPerSecond = 4e6 }},
		{"master killed", func(r Round) { r["kill"].Cluster.Failover = &slow }},
		{"and its lock", func(r Round) { r["kill"].Cluster.LockFailover = nil }},
		{"a joiner with", func(r Round) { r["join"].Cluster.Ready = 5001 }},
		{"the longest wait of a writer meanwhile", func(r Round) { r["join"].Cluster.WriterStall = 51 }},
		{"the longest wait of a writer while the ring", func(r Round) { r["join"].Cluster.RingStall = 151 }},
		{"DataDir", func(r Round) { r["dir"].Cluster.PutsPerSecond = 29_000 }},
		{"replicas that differ", func(r Round) { r["dir"].Cluster.Mismatches = 1 }},
	})
	for _, v := range Judge(bars, []Round{{}}, 1) {
		if v.Reached {
			t.Errorf("nothing was run, and this is reached: %s", v.What)
		}
	}
}

func TestClusterRuns(t *testing.T) {
	s := Cluster(time.Second)
	var b bytes.Buffer
	s.Runs(&b, s, []Round{clusteredRound()})
	for _, want := range []string{"`blazebench cluster --size 100 --dir --duration 1s`", "| 180, 210 |", "| 4000, 40 |", "| 100.0 µs |", "| 20.00 M, 300 k |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
