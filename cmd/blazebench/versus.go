package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/xdp"
)

// versus compares this program with another blazebench: both run the same command lines in the same
// rounds, the other one twice, as a control that shows what the host does by itself.
type versus struct {
	name, path string // the other program
	only       string
	rounds     int
	duration   time.Duration
	pin        bool
	json       string
}

// Defaults of compare --with: all of it takes about a quarter of an hour.
const (
	versusRounds   = 9
	versusDuration = time.Second
)

// The programs of a round.
const (
	before = iota
	again
	now
	programs
)

// versusRun is one line of --json.
type versusRun struct {
	Program string               `json:"program"` // the other one's name, that with " again", or now
	Match   string               `json:"match"`
	Round   int                  `json:"round"`
	CPUs    []int                `json:"cpus"` // that polling threads were pinned to; empty: none was
	Run     *measure.OrderResult `json:"run"`  // with the members of a ring where the workload is order
}

// run runs all rounds and judges. It is an error when something has become worse.
func (v *versus) run(ctx context.Context, out *output) error {
	matches, err := figures.Chosen(v.only, v.duration)
	if err != nil {
		return usagef("--%w", err)
	}
	if _, err := exec.LookPath(v.path); err != nil {
		return usagef("--with %s=%s: %w", v.name, v.path, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	changes := make([]figures.Change, 0, len(matches))
	fast := errors.Join(rig.Possible(), xdp.Available())
	for _, m := range matches {
		if m.Root && fast != nil {
			fmt.Fprintf(out.stderr, "blazebench: left out: %s: %s\n", m.Name, oneLine(fast))
			continue
		}
		changes = append(changes, figures.Change{Match: m})
	}
	paths := [programs]string{v.path, v.path, self}
	names := [programs]string{v.name, v.name + " again", "now"}
	var lines []versusRun
	pinned := map[int]bool{}
	n, total := 0, v.rounds*len(changes)*programs
	for round := range v.rounds {
		for _, i := range rand.Perm(len(changes)) {
			c := &changes[i]
			var got [programs]*measure.OrderResult
			for _, p := range rand.Perm(programs) {
				n++
				out.prefix = fmt.Sprintf("[%d/%d] ", n, total)
				out.progress(c.Name + ", " + names[p])
				r, cpus, err := v.runOne(ctx, paths[p], c.Match)
				out.clear()
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil:
					fmt.Fprintf(out.stderr, "blazebench: %s, %s: %s\n", names[p], c.Name, oneLine(err))
				}
				for _, cpu := range cpus {
					pinned[cpu] = true
				}
				got[p] = r
				lines = append(lines, versusRun{Program: names[p], Match: c.Name, Round: round + 1, CPUs: append([]int{}, cpus...), Run: r})
			}
			c.Add(got[before], got[again], got[now])
		}
	}
	if v.json != "-" {
		how := "polling threads are not pinned"
		if len(pinned) > 0 {
			how = fmt.Sprintf("polling threads pinned to %s where each has one", plural(len(pinned), "CPU"))
		}
		fmt.Fprintf(out.stdout, "%s, shuffled, each run %v; %s.\nMedians, then how much worse: the median of the ratios within a round.\n\n",
			plural(v.rounds, "round"), v.duration, how)
		figures.WriteChanges(out.stdout, v.name, changes)
	}
	var failed error
	for i := range changes {
		if c := &changes[i]; !c.Judge() {
			failed = errors.Join(failed, fmt.Errorf("not as good as %s: %s: %+.1f %%, limit %+.1f %%, %s failed",
				v.name, c.Name, 100*c.NowWorse, 100*c.Limit, plural(c.Failed, "run")))
		}
	}
	return errors.Join(failed, writeTo(v.json, out.stdout, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, l := range lines {
			if err := e.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}))
}

// runOne runs one program once, as a process of its own.
func (v *versus) runOne(ctx context.Context, path string, m figures.Match) (*measure.OrderResult, []int, error) {
	var cpus []int
	if free := proc.CPUs(); v.pin && m.Polls > 0 && m.Polls <= len(free) {
		cpus = free[:m.Polls]
	}
	return runProgram(ctx, path, m.Args(), m.Skip, cpus)
}

// runProgram runs a blazebench as a process of its own. The polling threads of its processes, but for the first skip of
// them, are moved to cpus; it returns those that were.
func runProgram(ctx context.Context, path string, args []string, skip int, cpus []int) (*measure.OrderResult, []int, error) {
	cmd := exec.CommandContext(ctx, path, append(args, "--json", "-")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() []int { return nil }
	if len(cpus) > 0 {
		stop = proc.Pin(cmd.Process.Pid, skip, cpus).Stop
	}
	err := cmd.Wait()
	cpus = stop()
	if err != nil {
		return nil, cpus, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	r := &measure.OrderResult{}
	if err := json.Unmarshal(stdout.Bytes(), r); err != nil {
		return nil, cpus, err
	}
	return r, cpus, nil
}
