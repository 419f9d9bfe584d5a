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
)

// pingpongSource is the independent C program, from the module's root.
const pingpongSource = "bench/testdata/pingpong.c"

// Yardsticks runs the independent programs that this host has: sockperf, and the C ping-pong
// where there is a compiler and the command runs from the module's root. One that is missing or
// fails is left out.
func Yardsticks(ctx context.Context) []Yardstick {
	var out []Yardstick
	if y, ok := pingpong(ctx); ok {
		out = append(out, y)
	}
	if y, ok := sockperf(ctx); ok {
		out = append(out, y)
	}
	return out
}

// pingpong compiles and runs the C program, three times, and takes the median.
func pingpong(ctx context.Context) (Yardstick, bool) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return Yardstick{}, false
	}
	dir, err := os.MkdirTemp("", "blazebench")
	if err != nil {
		return Yardstick{}, false
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "pingpong")
	if exec.CommandContext(ctx, cc, "-O2", "-o", bin, pingpongSource).Run() != nil {
		return Yardstick{}, false
	}
	var vs []float64
	for range 3 {
		out, err := command(ctx, bin)
		if err != nil {
			continue
		}
		if v, ok := number(`p50[^0-9]*([0-9.]+)`, out); ok {
			vs = append(vs, v)
		}
	}
	return Yardstick{Name: "pingpong", Command: "cc -O2 " + pingpongSource, P50: middle(vs)}, len(vs) > 0
}

// sockperf plays ping-pong over the same path: multicast on loopback, spinning at both ends. It
// reports half the round trip, in µs.
func sockperf(ctx context.Context) (Yardstick, bool) {
	if _, err := exec.LookPath("sockperf"); err != nil {
		return Yardstick{}, false
	}
	const args = "-i 239.255.66.76 -p 26677 --mc-rx-if 127.0.0.1 --mc-tx-if 127.0.0.1 --nonblocked --timeout 0"
	server := exec.CommandContext(ctx, "sockperf", append([]string{"server"}, strings.Fields(args)...)...)
	if server.Start() != nil {
		return Yardstick{}, false
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	time.Sleep(300 * time.Millisecond) // it does not say when it listens
	out, err := command(ctx, "sockperf", append([]string{"ping-pong"}, append(strings.Fields(args), "-m", "64", "-t", "3", "--full-rtt")...)...)
	if err != nil {
		return Yardstick{}, false
	}
	v, ok := number(`percentile 50\.0+ =\s*([0-9.]+)`, out)
	return Yardstick{Name: "sockperf", Command: "sockperf ping-pong " + args + " -m 64 --full-rtt", P50: v * 1000}, ok
}

func command(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return string(out), err
}

// number finds the first number that pattern captures.
func number(pattern, text string) (float64, bool) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	return v, err == nil && v > 0
}
