package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Int64("seed", -1, "simulate this seed only")
	traceFlag = flag.String("trace.sim", "", "with -seed: write each datagram of the run to this `file`")
)

// Run runs scenario once for each of seeds seeds, 0 and up, each as a subtest with a cluster
// of its own, and ends the cluster where the scenario has not. A seed that fails prints the
// command that replays it.
//
// Only a tenth of the seeds run by default, and a 400th with -short. SIM_SEEDS=full in the environment runs all of
// them, SIM_SEEDS=n runs n and SIM_SEEDS=1/n that part of them; -seed=n runs that one, and with -trace.sim=FILE
// writes down every datagram of it.
func Run(t *testing.T, seeds int, scenario func(t *testing.T, s *Cluster)) {
	t.Helper()
	for _, seed := range which(t, seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewCluster(t, seed)
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, r, stack())
				}
				if t.Failed() {
					t.Logf("replay: go test %s -run '^%s$' -seed=%d", packageOf(scenario), root(t), seed)
				}
			}()
			if *seedFlag >= 0 && *traceFlag != "" {
				f, err := os.Create(*traceFlag)
				if err != nil {
					t.Fatal(err)
				}
				w := bufio.NewWriter(f)
				s.Print(w)
				defer f.Close()
				defer w.Flush()
			}
			scenario(t, s)
			if s.Net != nil {
				s.Finish()
			}
		})
	}
}

// runSeeds runs a scenario once for each seed, with a cluster of its own, and gives ended the cluster afterwards.
func runSeeds[C any](t *testing.T, seeds int, start func(testing.TB, uint64) C, scenario func(*testing.T, C), ended func(C)) {
	t.Helper()
	for _, seed := range which(t, seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := start(t, seed)
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, r, stack())
				}
				if t.Failed() {
					t.Logf("replay: go test %s -run '^%s$' -seed=%d", packageOf(scenario), root(t), seed)
				}
				ended(s)
			}()
			scenario(t, s)
		})
	}
}

// which lists the seeds to run.
func which(t *testing.T, seeds int) (list []uint64) {
	if *seedFlag >= 0 {
		return []uint64{uint64(*seedFlag)}
	}
	n := seeds / 10
	if testing.Short() {
		n = seeds / 400
	}
	n = max(n, 1)
	env := os.Getenv("SIM_SEEDS")
	text, part := strings.CutPrefix(env, "1/")
	switch v, err := strconv.Atoi(text); {
	case env == "":
	case env == "full":
		n = seeds
	case err != nil || v < 1:
		t.Fatalf("SIM_SEEDS=%q: want a number from 1, a part as 1/25, or full", env)
	case part:
		n = max(seeds/v, 1)
	default:
		n = v
	}
	for seed := range uint64(n) {
		list = append(list, seed)
	}
	return list
}

// Full reports whether all seeds are asked for, so that other tests can do more as well.
func Full() bool { return os.Getenv("SIM_SEEDS") == "full" }

// packageOf is the import path of the package that f was written in.
func packageOf(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	slash := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[slash:], '.'); dot >= 0 {
		name = name[:slash+dot]
	}
	return strings.TrimSuffix(name, "_test")
}

// root is the name of the test without the seed.
func root(t *testing.T) string {
	name, _, _ := strings.Cut(t.Name(), "/seed=")
	return strings.ReplaceAll(name, "/", "$/^")
}

func stack() string {
	b := make([]byte, 16<<10)
	return string(b[:runtime.Stack(b, false)])
}
