package figures

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
)

// The program that bare AF_XDP is held to, from the module's root, and what it is linked with.
const libxdpSource = "bench/testdata/xdpping.c"

var libxdpLibraries = []string{"-lxdp", "-lbpf"}

// Names of its two measurements.
const (
	libxdpRTT  = "libxdp rtt"
	libxdpRate = "libxdp rate"
)

// libxdpYardsticks are an independent program over Debian's libxdp, where there is a compiler, that
// library (packages libxdp-dev and libbpf-dev), and the command runs from the module's root.
func libxdpYardsticks(duration time.Duration) []Yardstick {
	if _, err := os.Stat(libxdpSource); err != nil {
		return nil
	}
	try := exec.Command("cc", "-E", "-x", "c", "-o", os.DevNull, "-")
	try.Stdin = strings.NewReader("#include <xdp/libxdp.h>\n#include <bpf/libbpf.h>\n")
	if try.Run() != nil {
		return nil
	}
	command := func(there, here string, size int) string {
		return fmt.Sprintf("cc -O2 -o xdpping %s %s; in two hosts of a veth rig: ./xdpping %s %s %d %v; ./xdpping %s %s %d %v",
			libxdpSource, strings.Join(libxdpLibraries, " "),
			there, rig.Interface, size, duration.Seconds(), here, rig.Interface, size, duration.Seconds())
	}
	return []Yardstick{
		{
			Name: libxdpRTT, Command: command("pong", "ping", 64), After: "raw xdp rtt",
			run: func(ctx context.Context) (*measure.Result, error) {
				r, err := runLibxdp(ctx, "pong", "ping", 64, duration)
				if err != nil {
					return nil, err
				}
				return &measure.Result{RTT: &measure.Percentiles{P50: r.P50, P99: r.P99}, Delivered: r.Count, Unanswered: r.Lost}, nil
			},
		},
		{
			Name: libxdpRate, Command: command("sink", "send", 1344), After: "raw xdp rate",
			run: func(ctx context.Context) (*measure.Result, error) {
				r, err := runLibxdp(ctx, "sink", "send", 1344, duration)
				if err != nil {
					return nil, err
				}
				return &measure.Result{MsgsPerSecond: r.Rate, DatagramsPerSecond: r.Rate, Delivered: r.Count, Lost: r.Lost}, nil
			},
		},
	}
}

// libxdpResult is what the program prints.
type libxdpResult struct {
	Ready bool
	P50   int64 // ns
	P99   int64
	Rate  float64
	Count uint64
	Lost  uint64
}

// runLibxdp compiles the program and runs it at both ends of a wire. What it prints first at the far
// end, or else at this one, is the result.
func runLibxdp(ctx context.Context, there, here string, size int, duration time.Duration) (r libxdpResult, err error) {
	bin, remove, err := compile(ctx, libxdpSource, libxdpLibraries...)
	if err != nil {
		return r, err
	}
	defer remove()
	net, err := rig.New(rig.Veth, 2, rig.Options{})
	if err != nil {
		return r, err
	}
	defer net.Close()
	var ends [2]*proc.Child
	for i, role := range []string{there, here} {
		c, err := proc.StartIn(net.Host(1-i), []string{bin, role, rig.Interface, fmt.Sprint(size), fmt.Sprint(duration.Seconds())}, os.Stderr)
		if err != nil {
			return r, err
		}
		defer c.Close(0)
		if err := c.Receive(ctx, &r); err != nil || !r.Ready {
			return r, fmt.Errorf("xdpping %s does not start: %w", role, err)
		}
		ends[i] = c
	}
	from := ends[1]
	if there == "sink" {
		from = ends[0]
	}
	return r, from.Receive(ctx, &r)
}
