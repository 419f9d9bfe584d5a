package figures

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// A Yardstick is an independent program that measures what a bare run does, to hold raw to.
type Yardstick struct {
	Name    string
	Command string
	After   string // the case that it runs behind, to be compared with; empty: the first
	run     func(ctx context.Context) (*measure.Result, error)
}

// pingpongSource is the independent C program, from the module's root.
const pingpongSource = "bench/testdata/pingpong.c"

// sockperfArgs make sockperf play on the same path: multicast on loopback, spinning at both ends.
const sockperfArgs = "-i 239.255.66.76 -p 26677 --mc-rx-if 127.0.0.1 --mc-tx-if 127.0.0.1 --nonblocked --timeout 0"

// Yardsticks are those that this host has: the C ping-pong where there is a compiler and the
// command runs from the module's root, and sockperf.
func Yardsticks() (ys []Yardstick) {
	_, noCC := exec.LookPath("cc")
	_, noSource := os.Stat(pingpongSource)
	if noCC == nil && noSource == nil {
		ys = append(ys, Yardstick{Name: "C ping-pong", Command: "cc -O2 -o pingpong " + pingpongSource + " && ./pingpong 64", run: pingpong})
	}
	if _, err := exec.LookPath("sockperf"); err == nil {
		ys = append(ys, Yardstick{Name: "sockperf", Command: "sockperf ping-pong " + sockperfArgs + " -m 64 -t 2 --full-rtt", run: sockperf})
	}
	return ys
}

// Run runs the program once.
func (y Yardstick) Run(ctx context.Context) (*measure.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := y.run(ctx)
	if err != nil {
		return nil, err
	}
	r.Workload = y.Name
	return r, nil
}

// roundTrip is the result of a program that has printed its median, in nanoseconds.
func roundTrip(p50 float64, err error) (*measure.Result, error) {
	if err != nil {
		return nil, err
	}
	return &measure.Result{RTT: &measure.Percentiles{P50: int64(p50)}}, nil
}

func pingpong(ctx context.Context) (*measure.Result, error) {
	bin, remove, err := compile(ctx, pingpongSource)
	if err != nil {
		return nil, err
	}
	defer remove()
	out, err := output(ctx, bin, "64")
	if err != nil {
		return nil, err
	}
	return roundTrip(number(`p50 ([0-9.]+) ns`, out))
}

// compile makes a program of a C source, in a directory that remove removes.
func compile(ctx context.Context, source string, libraries ...string) (bin string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "blazebench")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	bin = filepath.Join(dir, "yardstick")
	if _, err := output(ctx, "cc", append([]string{"-O2", "-o", bin, source}, libraries...)...); err != nil {
		remove()
		return "", nil, err
	}
	return bin, remove, nil
}

func sockperf(ctx context.Context) (*measure.Result, error) {
	server := exec.CommandContext(ctx, "sockperf", append([]string{"server"}, strings.Fields(sockperfArgs)...)...)
	if err := server.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	time.Sleep(300 * time.Millisecond) // it does not say when it listens
	args := append([]string{"ping-pong"}, strings.Fields(sockperfArgs)...)
	out, err := output(ctx, "sockperf", append(args, "-m", "64", "-t", "2", "--full-rtt")...)
	if err != nil {
		return nil, err
	}
	us, err := number(`percentile 50\.0+ =\s*([0-9.]+)`, out)
	return roundTrip(us*1000, err)
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(out), nil
}

// number finds the first number that pattern captures.
func number(pattern, text string) (float64, error) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no %s in %q", pattern, text)
	}
	return strconv.ParseFloat(m[1], 64)
}
