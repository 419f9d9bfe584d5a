package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A thread polls when it ran for ownShare of what its process ran and for busyShare of the time, in each
// of busyLooks looks in a row. On a busy host a thread that never waits has less than a CPU.
const (
	look      = 10 * time.Millisecond
	ownShare  = 0.8
	busyShare = 0.2
	busyLooks = 3
)

// Pinner keeps the polling threads of other processes each on a CPU of its own. It works from outside,
// so any program can be pinned, also one that has no option for it.
type Pinner struct {
	root, skip int
	cpus       []int

	stop chan struct{}
	done sync.WaitGroup
	ran  map[int]time.Duration // at the last look, by thread id
	busy map[int]streak        // by process id
	pins map[int]int           // CPU by process id
}

// streak is a thread that ran most in a number of looks in a row.
type streak struct{ tid, looks int }

// Pin watches process root and its children until Stop. The first skip of them, in the order in which
// they were started, are left alone. The i-th of the others has its polling thread moved to cpus[i] as
// soon as it polls.
func Pin(root, skip int, cpus []int) *Pinner {
	p := &Pinner{root: root, skip: skip, cpus: cpus, stop: make(chan struct{}),
		ran: map[int]time.Duration{}, busy: map[int]streak{}, pins: map[int]int{}}
	p.done.Go(func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		last := time.Now()
		for len(p.pins) < len(p.cpus) {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			now := time.Now()
			p.look(now.Sub(last))
			last = now
		}
	})
	return p
}

// Stop ends the watch and returns the CPUs that threads were moved to, in order.
func (p *Pinner) Stop() []int {
	close(p.stop)
	p.done.Wait()
	var cpus []int
	for _, cpu := range p.pins {
		cpus = append(cpus, cpu)
	}
	slices.Sort(cpus)
	return cpus
}

// look takes the time of every thread, and pins those that poll. Processes and threads come and go
// meanwhile: what cannot be read is gone.
func (p *Pinner) look(passed time.Duration) {
	all := append([]int{p.root}, children(p.root)...)
	for i, pid := range all[min(p.skip, len(all)):] {
		if _, ok := p.pins[pid]; ok || i >= len(p.cpus) {
			continue
		}
		p.lookAt(pid, p.cpus[i], passed)
	}
}

// lookAt pins the thread of a process that polls, if one does.
func (p *Pinner) lookAt(pid, cpu int, passed time.Duration) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	var most, sum time.Duration
	busiest := 0
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		ran, ok := runTime(pid, tid)
		if !ok {
			continue
		}
		before, known := p.ran[tid]
		if p.ran[tid] = ran; !known {
			continue
		}
		if sum += ran - before; ran-before > most {
			most, busiest = ran-before, tid
		}
	}
	polls := float64(most) >= ownShare*float64(sum) && float64(most) >= busyShare*float64(passed)
	switch was := p.busy[pid]; {
	case !polls:
		delete(p.busy, pid)
		return
	case was.tid != busiest:
		p.busy[pid] = streak{busiest, 1}
		return
	case was.looks+1 < busyLooks:
		p.busy[pid] = streak{busiest, was.looks + 1}
		return
	}
	var set unix.CPUSet
	set.Set(cpu)
	if unix.SchedSetaffinity(busiest, &set) == nil {
		p.pins[pid] = cpu
	}
}

// runTime is how long a thread has run so far.
func runTime(pid, tid int) (time.Duration, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(b), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(ns), err == nil
}

// children are the processes that pid has started, in order.
func children(pid int) []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, s := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(s); err == nil {
				pids = append(pids, child)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// CPUs are those that this process may run on.
func CPUs() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}
