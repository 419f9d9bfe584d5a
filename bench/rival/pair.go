package rival

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
)

// Pair is a program of another system that plays ping-pong between two processes, which spin.
type Pair struct {
	Name       string
	ping, pong []string // command lines; $SIZE and the like stand for what expand puts in
	read       func(output string) (RoundTrip, error)
}

// RoundTrip is what a pair measured, in nanoseconds.
type RoundTrip struct {
	P50, P99 float64
	CPUs     []int // that polling threads were moved to; empty: none was
}

// Ends are the two places in which a pair runs, and what it is to do.
type Ends struct {
	Places    [2]proc.Place // of ping and pong; nil: here
	Addrs     [2]netip.Addr // of their interfaces
	Interface string
	Group     netip.AddrPort // multicast
	Size      int            // bytes of payload
	Duration  time.Duration  // measured
	CPUs      []int          // for the polling threads of ping and pong; empty: they are not pinned
}

// Sockperf is the program of that name.
func Sockperf() Pair {
	const way = "-i $GROUP -p $PORT --mc-rx-if $ADDRESS --mc-tx-if $ADDRESS --nonblocked --timeout 0"
	return Pair{
		Name: "sockperf",
		ping: strings.Fields("sockperf ping-pong " + way + " -m $SIZE -t $SECONDS --full-rtt"),
		pong: strings.Fields("sockperf server " + way),
		read: readSockperf,
	}
}

// ParsePair makes a pair of "ping COMMAND…|pong COMMAND…". Both are command lines without a shell: words between
// spaces, in which $SIZE, $SECONDS, $GROUP, $PORT, $INTERFACE, $ADDRESS (its own) and $PEER (the other one's) are
// replaced. Ping ends by itself and prints p50=… and p99=…, durations such as 9.1us or numbers of nanoseconds.
func ParsePair(name, text string) (Pair, error) {
	want := errors.New(`want NAME=ping COMMAND…|pong COMMAND…`)
	ping, pong, ok := strings.Cut(text, "|")
	p := Pair{Name: name, ping: strings.Fields(ping), pong: strings.Fields(pong), read: readPair}
	if !ok || name == "" || len(p.ping) < 2 || p.ping[0] != "ping" || len(p.pong) < 2 || p.pong[0] != "pong" {
		return p, want
	}
	p.ping, p.pong = p.ping[1:], p.pong[1:]
	return p, nil
}

// Missing is an error where one of the programs is not there.
func (p *Pair) Missing() error {
	for _, c := range [][]string{p.ping, p.pong} {
		if _, err := exec.LookPath(c[0]); err != nil {
			return fmt.Errorf("%s: %w", c[0], ErrNotInstalled)
		}
	}
	return nil
}

const (
	pongStart = 500 * time.Millisecond // until pong listens: it does not say when
	pairLimit = 30 * time.Second       // besides the duration
)

// Run runs both ends once.
func (p *Pair) Run(ctx context.Context, e *Ends) (r RoundTrip, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.Duration+pairLimit)
	defer cancel()
	pong, heard, err := e.start(ctx, 1, p.pong)
	if err != nil {
		return r, err
	}
	stopPong := e.pin(1, pong)
	time.Sleep(pongStart)
	ping, said, err := e.start(ctx, 0, p.ping)
	if err == nil {
		stopPing := e.pin(0, ping)
		err = ping.Wait()
		r.CPUs = append(r.CPUs, stopPing()...)
	}
	r.CPUs = append(r.CPUs, stopPong()...)
	cancel()
	_ = pong.Wait() // it was stopped
	if err == nil {
		var read RoundTrip
		if read, err = p.read(said.String()); err == nil {
			r.P50, r.P99 = read.P50, read.P99
			return r, nil
		}
	}
	return r, fmt.Errorf("%s: %w: ping: %s; pong: %s", p.Name, err, end(said), end(heard))
}

// start starts a command in one of the places.
func (e *Ends) start(ctx context.Context, i int, line []string) (*exec.Cmd, *bytes.Buffer, error) {
	words := e.expand(i, line)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it may have something to take away
	cmd.WaitDelay = time.Second
	start := cmd.Start
	if e.Places[i] != nil {
		start = func() error { return e.Places[i].Run(cmd.Start) }
	}
	return cmd, &out, start()
}

// expand puts in what $SIZE and the like stand for.
func (e *Ends) expand(i int, line []string) (words []string) {
	seconds := strconv.Itoa(int((e.Duration + time.Second - 1) / time.Second))
	for _, w := range line {
		words = append(words, os.Expand(w, func(name string) string {
			switch name {
			case "SIZE":
				return strconv.Itoa(e.Size)
			case "SECONDS":
				return seconds
			case "GROUP":
				return e.Group.Addr().String()
			case "PORT":
				return strconv.Itoa(int(e.Group.Port()))
			case "INTERFACE":
				return e.Interface
			case "ADDRESS":
				return e.Addrs[i].String()
			case "PEER":
				return e.Addrs[1-i].String()
			}
			return os.Getenv(name)
		}))
	}
	return words
}

// pin keeps the polling thread of an end on its CPU.
func (e *Ends) pin(i int, cmd *exec.Cmd) (stop func() []int) {
	if i >= len(e.CPUs) {
		return func() []int { return nil }
	}
	return proc.Pin(cmd.Process.Pid, 0, e.CPUs[i:i+1]).Stop
}

// end is the end of what a program printed, in one line.
func end(b *bytes.Buffer) string {
	s := strings.Join(strings.Fields(b.String()), " ")
	return fmt.Sprintf("%q", s[max(0, len(s)-200):])
}

func readSockperf(out string) (RoundTrip, error) {
	return readBoth(out, `percentile 50\.0+ =\s*([0-9.]+)`, `percentile 99\.0+ =\s*([0-9.]+)`, "us")
}

func readPair(out string) (RoundTrip, error) {
	return readBoth(out, `p50=([0-9.]+[a-zµ]*)`, `p99=([0-9.]+[a-zµ]*)`, "ns")
}

// readBoth finds two times; unit is that of numbers without one.
func readBoth(out, p50, p99, unit string) (r RoundTrip, err error) {
	for _, f := range []struct {
		pattern string
		to      *float64
	}{{p50, &r.P50}, {p99, &r.P99}} {
		m := regexp.MustCompile(f.pattern).FindStringSubmatch(out)
		if m == nil {
			return r, fmt.Errorf("it printed no %s", f.pattern)
		}
		text := m[1]
		if strings.Trim(text, "0123456789.") == "" {
			text += unit
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return r, err
		}
		*f.to = float64(d)
	}
	return r, nil
}
