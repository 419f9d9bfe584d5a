package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"run"}
	}
	var err error
	switch args[0] {
	case "run":
		err = matrix(args[1:])
	case "member":
		err = member(args[1:], os.Stdout)
	case "beside":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = beside(ctx, args[1:], os.Stdout)
		stop()
	case "listen":
		err = listenCommand(args[1:], os.Stdin, os.Stdout)
	case "relay":
		err = relayCommand(args[1:])
	default:
		err = errors.New("usage: interop run|member|beside [flags]")
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

// options are the flags of run.
type options struct {
	root, languages, only, network, json, junit, draw string
	part, parallel                                    int
	strict                                            bool
	seed                                              uint64
}

func matrix(args []string) error {
	var o options
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	set.StringVar(&o.root, "root", "", "the repository; default: where git says")
	set.StringVar(&o.languages, "languages", "go,python,node,c", "publishers and subscribers")
	set.StringVar(&o.only, "only", "", "cells whose name contains one of these texts, separated by commas")
	set.StringVar(&o.network, "network", "loopback", "loopback, namespaces, or both")
	set.IntVar(&o.part, "part", 1, "run one of so many parts of the cells")
	set.StringVar(&o.draw, "draw", "", "what the part is drawn by; default: the commit")
	set.IntVar(&o.parallel, "parallel", 6, "cells at a time")
	set.Uint64Var(&o.seed, "seed", 1, "of losses")
	set.BoolVar(&o.strict, "strict", false, "a language that cannot be run here is a failure")
	set.StringVar(&o.json, "json", "", "write all results to this file")
	set.StringVar(&o.junit, "junit", "", "write a JUnit report to this file")
	if err := set.Parse(args); err != nil {
		return err
	}
	if o.root == "" {
		out, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
		if err != nil {
			return fmt.Errorf("no -root, and git has none: %w", err)
		}
		o.root = strings.TrimSpace(string(out))
	}
	if o.draw == "" {
		out, _ := exec.Command("git", "-C", o.root, "rev-parse", "HEAD").Output()
		o.draw = strings.TrimSpace(string(out))
	}
	names := strings.Split(o.languages, ",")
	commands, missing, err := find(o.root, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if why := missing[name]; why != nil {
			fmt.Printf("%s cannot be run here: %v\n", name, why)
			if o.strict {
				return fmt.Errorf("%s cannot be run here: %w", name, why)
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	networks := []string{o.network}
	if o.network == "both" {
		networks = []string{"loopback", "namespaces"}
	}
	var all []result
	var bad error
	for _, network := range networks {
		cells := slices.DeleteFunc(sample(cellsOf(names), o.part, o.draw), func(c cell) bool {
			return commands[c.Pub] == nil || commands[c.Sub] == nil || !wanted(&c, o.only)
		})
		began := time.Now()
		results, err := runAll(ctx, &runner{root: o.root, commands: commands, seed: o.seed}, cells, network, o.parallel)
		if err != nil {
			return err
		}
		fmt.Printf("\n%s, %d cells, %d at a time\n", network, len(results), o.parallel)
		if err = show(names, results, time.Since(began)); err != nil {
			bad = err
		}
		all = append(all, results...)
	}
	if len(all) == 0 {
		bad = errors.New("there was no cell to run")
	}
	if o.json != "" {
		bad = errors.Join(bad, writeJSON(o.json, all))
	}
	if o.junit != "" {
		bad = errors.Join(bad, writeJUnit(o.junit, all))
	}
	return bad
}

func wanted(c *cell, only string) bool {
	if only == "" {
		return true
	}
	for part := range strings.SplitSeq(only, ",") {
		if strings.Contains(c.String(), part) {
			return true
		}
	}
	return false
}

// show prints the table and what failed.
func show(names []string, results []result, took time.Duration) error {
	table(os.Stdout, names, results)
	count := map[string]int{}
	for _, r := range results {
		count[r.Verdict]++
		if r.Verdict == failed || r.Verdict == unsupported {
			fmt.Printf("%s: %s: %s\n", r.Verdict, r.Cell, r.Text)
		}
	}
	fmt.Printf("%d ok, %d failed, %d unsupported, in %.0f s\n", count[passed], count[failed], count[unsupported], took.Seconds())
	if count[failed] > 0 {
		return fmt.Errorf("%d of %d cells failed", count[failed], len(results))
	}
	return nil
}

// runAll runs cells, so many at a time.
func runAll(ctx context.Context, r *runner, cells []cell, network string, parallel int) ([]result, error) {
	// Ports below those that the kernel gives out by itself, where two runs at a time hardly meet.
	base := 10000 + rand.IntN(200)*100
	results := make([]result, len(cells))
	next := make(chan int)
	var all sync.WaitGroup
	for w := range min(parallel, 40) {
		at := place{number: w, port: base + 2*w, network: loopback{}}
		if network == "namespaces" {
			n, err := makeNamespaces(w)
			if err != nil {
				close(next)
				all.Wait()
				return nil, fmt.Errorf("namespaces: %w", err)
			}
			at.network = n
		}
		all.Go(func() {
			defer at.network.close()
			for i := range next {
				results[i] = r.run(ctx, &cells[i], i, at)
			}
		})
	}
	for i := range cells {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	all.Wait()
	return results, ctx.Err()
}

// relayCommand is: relay GROUP GROUP INTERFACE INTERFACE LOSS DOUBLE DELAY SEED.
func relayCommand(args []string) error {
	if len(args) != 8 {
		return errors.New("relay: wrong arguments")
	}
	var f faults
	var errs [6]error
	var a, b side
	a.group, errs[0] = netip.ParseAddrPort(args[0])
	b.group, errs[1] = netip.ParseAddrPort(args[1])
	a.iface, b.iface = args[2], args[3]
	f.loss, errs[2] = strconv.ParseFloat(args[4], 64)
	f.double, errs[3] = strconv.ParseFloat(args[5], 64)
	f.delay, errs[4] = strconv.ParseFloat(args[6], 64)
	seed, err := strconv.ParseUint(args[7], 10, 64)
	errs[5] = err
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return relayReady(context.Background(), a, b, f, seed, func() { fmt.Println("ready") })
}
