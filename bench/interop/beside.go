package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

// What a member of another language costs those beside it: Go receivers that lose datagrams note how long their repairs
// take, once with further Go members beside them and once with members of other languages, in turn.

// besideFlags are the command line of beside.
type besideFlags struct {
	root, languages string
	runs, receivers int
	seconds         float64
	rate, loss      float64
	seed            uint64
	apart           bool
}

// repairs is what one Go receiver has noted: all repair times, in ns.
type repairs struct {
	NS   []int64 `json:"ns"`
	Got  uint64  `json:"got"`
	Lost uint64  `json:"lost"`
}

func beside(ctx context.Context, args []string, out io.Writer) error {
	var f besideFlags
	set := flag.NewFlagSet("beside", flag.ContinueOnError)
	set.StringVar(&f.root, "root", ".", "the repository")
	set.StringVar(&f.languages, "languages", "python,node", "of the members beside the receivers")
	set.IntVar(&f.runs, "runs", 10, "runs of each kind, in turn")
	set.IntVar(&f.receivers, "receivers", 4, "Go receivers that lose datagrams")
	set.Float64Var(&f.seconds, "seconds", 5, "of a run")
	set.Float64Var(&f.rate, "rate", 1500, "messages a second")
	set.Float64Var(&f.loss, "loss", 0.01, "share of the datagrams that each receiver loses")
	set.Uint64Var(&f.seed, "seed", 1, "of what is lost")
	set.BoolVar(&f.apart, "apart", false, "the members beside are in a group of their own, with a publisher that sends as much: what they cost then is processor time")
	if err := set.Parse(args); err != nil {
		return err
	}
	others := strings.Split(f.languages, ",")
	own := slices.Repeat([]string{"go"}, len(others))
	var p50, p99 [2][]float64
	for i := range f.runs {
		for k, list := range [][]string{own, others} {
			ns, err := besideOnce(ctx, &f, list, f.seed+uint64(i))
			if err != nil {
				return fmt.Errorf("beside %v: %w", list, err)
			}
			a, b := quantile(ns, 0.5), quantile(ns, 0.99)
			p50[k], p99[k] = append(p50[k], a), append(p99[k], b)
			fmt.Fprintf(out, "run %d, beside %s: %d repairs, p50 %.0f µs, p99 %.0f µs\n", i+1, strings.Join(list, ", "), len(ns), a, b)
		}
	}
	for _, x := range []struct {
		name string
		of   [2][]float64
	}{{"p50", p50}, {"p99", p99}} {
		a, b := middle(x.of[0]), middle(x.of[1])
		fmt.Fprintf(out, "repair %s, median of %d runs: beside %s %.0f µs, beside %s %.0f µs, ratio %.2f\n",
			x.name, f.runs, strings.Join(own, ", "), a, strings.Join(others, ", "), b, b/a)
	}
	return nil
}

// besideOnce publishes to the receivers and the members beside them, and returns all repair times.
func besideOnce(ctx context.Context, f *besideFlags, others []string, seed uint64) ([]int64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("%d:%d?interface=lo", 1+rand.IntN(250), 10000+rand.IntN(20000))
	uri, beside := "udp://239.255.90."+at, "udp://239.255.90."+at
	if f.apart {
		beside = "udp://239.255.91." + at
	}
	var members []*listener
	defer func() {
		for _, m := range members {
			m.kill()
		}
	}()
	for i := range f.receivers {
		m, err := listen(ctx, f.root, nil, self, "listen", uri, strconv.FormatFloat(f.loss, 'g', -1, 64), strconv.FormatUint(seed*100+uint64(i), 10))
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	for _, name := range others {
		m, err := listenIn(ctx, f.root, name, beside)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	count := uint64(f.seconds * f.rate)
	receivers := map[string]int{}
	receivers[uri] += f.receivers
	receivers[beside] += len(others)
	spoken := make(chan error)
	for uri, n := range receivers {
		go func() { spoken <- speak(ctx, uri, n, count, f.rate) }()
	}
	for range receivers {
		err = errors.Join(err, <-spoken)
	}
	if err != nil {
		return nil, err
	}
	var ns []int64
	for i, m := range members {
		var r repairs
		if err = m.end(&r); err != nil {
			return nil, err
		}
		if r.Got != count || r.Lost != 0 {
			return nil, fmt.Errorf("member %d received %d of %d and lost %d", i+1, r.Got, count, r.Lost)
		}
		ns = append(ns, r.NS...)
	}
	slices.Sort(ns)
	if len(ns) == 0 {
		return nil, errors.New("nothing was repaired")
	}
	return ns, nil
}

// listener is a process that receives until its standard input ends, and writes then what it has received.
type listener struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

// listenIn starts a listener in a language, with further arguments.
func listenIn(ctx context.Context, root, name, uri string, args ...string) (*listener, error) {
	commands, missing, err := find(root, []string{name})
	if err != nil {
		return nil, err
	}
	if missing[name] != nil {
		return nil, missing[name]
	}
	command := commands[name][:1]
	switch name {
	case "go":
		command = append(command[:1:1], "listen", uri, "0", "1")
	case "python":
		command = append(command[:1:1], filepath.Join(root, "bench/interop/testdata/listen.py"), uri)
	case "node":
		command = append(command[:1:1], filepath.Join(root, "bench/interop/testdata/listen.mjs"), uri)
	default:
		return nil, fmt.Errorf("there is no listener in %s", name)
	}
	return listen(ctx, root, envOf(name), append(command, args...)...)
}

func listen(ctx context.Context, dir string, env []string, command ...string) (*listener, error) {
	l := &listener{cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	l.cmd.Dir, l.cmd.Env, l.cmd.Stderr = dir, append(os.Environ(), env...), os.Stderr
	in, err := l.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.in, l.out = in, bufio.NewReader(out)
	if err = l.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := l.out.ReadString('\n'); line != "ready\n" {
		l.kill()
		return nil, fmt.Errorf("%s is not ready: %q, %w", command[0], line, err)
	}
	return l, nil
}

// end asks a listener for what it has received.
func (l *listener) end(v any) error {
	_ = l.in.Close()
	err := json.NewDecoder(l.out).Decode(v)
	_, _ = io.Copy(io.Discard, l.out)
	return errors.Join(err, l.cmd.Wait())
}

func (l *listener) kill() {
	if l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	}
}

// listenCommand is the Go listener: URI LOSS SEED.
func listenCommand(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: interop listen URI LOSS SEED")
	}
	loss, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var r repairs
	cfg := blaze.Config{BroadcastURI: args[0], NoSelfDelivery: true, Idle: blaze.Backoff}
	hook.Set(&cfg, hook.Options{Drop: loss, Seed: seed, RepairNS: func(ns int64) {
		mu.Lock()
		r.NS = append(r.NS, ns)
		mu.Unlock()
	}})
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	if _, err = c.SubscribePayload(">", func(*blaze.Delivery) { r.Got++ }, blaze.OnLoss(func(l blaze.Loss) { r.Lost += l.Last - l.First + 1 }), blaze.Inline()); err != nil {
		return err
	}
	if err = c.Start(); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	_, _ = io.Copy(io.Discard, in)
	if err = c.Shutdown(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(&r)
}

// speak publishes count messages of 100 bytes at a rate to so many receivers.
func speak(ctx context.Context, uri string, receivers int, count uint64, rate float64) error {
	c, err := blaze.NewChannel(blaze.Config{BroadcastURI: uri, NoSelfDelivery: true, Idle: blaze.Backoff, Linger: 10 * time.Second})
	if err != nil {
		return err
	}
	if err = c.Start(); err != nil {
		return err
	}
	p, err := c.Publisher("beside")
	if err == nil {
		within, stop := context.WithTimeout(ctx, 20*time.Second)
		err = p.WaitReceivers(within, receivers)
		stop()
	}
	if err == nil {
		err = offerAll(ctx, p, count, rate)
	}
	return errors.Join(err, c.Shutdown())
}

func offerAll(ctx context.Context, p *blaze.Publisher, count uint64, rate float64) error {
	began := time.Now()
	for n := uint64(1); n <= count && ctx.Err() == nil; n++ {
		b := payloadOf(n, 100)
		err := p.Offer(b)
		for ; errors.Is(err, blaze.ErrBackPressure) && ctx.Err() == nil; err = p.Offer(b) {
			time.Sleep(100 * time.Microsecond)
		}
		if err != nil {
			return err
		}
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(n) / rate * 1e9))))
		}
	}
	return ctx.Err()
}

// quantile is one of sorted times, in µs.
func quantile(ns []int64, q float64) float64 {
	return float64(ns[min(int(q*float64(len(ns))), len(ns)-1)]) / 1e3
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
