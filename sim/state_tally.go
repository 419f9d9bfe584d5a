package sim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/totem"
)

// StateTally counts what happened in one run, or in many.
type StateTally struct {
	Runs, Disks, Dynamic int
	Members              [totem.MaxMembers + 1]int // runs, by their number of members
	Virtual              time.Duration
	Processes            int

	FaultTally
	Established, Restored             int
	Open, Failed                      int // claims
	Calls, OK, Refused, NoQuorum      int
	Unknown, Closed, Cancelled, Reads int
	Locks, Lost, Lingered             int
	Stuck, Excused, Held              int // runs
	DiskLost, DiskSnapshots           int
	Ticks, Certain, ServiceRestores   int
	OtherChains                       int
	Histories, Operations, Longest    int // judged by porcupine
	Views, Fills, Transfers, Chunks   uint64
	Overruns, Expired, Released       uint64
	Orphaned, Linear, Mismatches      uint64
	Applied                           uint64

	Settled []time.Duration // from the last fault to the time when all were whole, of each run
}

func (t *StateTally) numbers() []*int {
	return []*int{&t.Runs, &t.Disks, &t.Dynamic, &t.Processes,
		&t.Established, &t.Restored, &t.Open, &t.Failed, &t.Calls, &t.OK, &t.Refused, &t.NoQuorum, &t.Unknown, &t.Closed, &t.Cancelled, &t.Reads,
		&t.Locks, &t.Lost, &t.Lingered, &t.Stuck, &t.Excused, &t.Held, &t.DiskLost, &t.DiskSnapshots, &t.Ticks, &t.Certain, &t.ServiceRestores, &t.OtherChains, &t.Histories, &t.Operations}
}

func (t *StateTally) counters() []*uint64 {
	return []*uint64{&t.Views, &t.Fills, &t.Transfers, &t.Chunks, &t.Overruns, &t.Expired, &t.Released, &t.Orphaned, &t.Linear, &t.Mismatches, &t.Applied}
}

// process adds what one process counted.
func (t *StateTally) process(s cluster.Stats, r totem.Stats) {
	t.Views += r.Views
	t.Fills += s.Fills
	t.Transfers += s.Transfers
	t.Chunks += s.ChunksServed
	t.Overruns += s.Overruns
	t.Expired += s.Expired
	t.Released += s.Released
	t.Orphaned += s.Orphaned
	t.Linear += s.LinearReads
	t.Mismatches += s.HashMismatches
	t.Applied += s.Applied
}

// call adds the end of one call.
func (t *StateTally) call(_ *check.ClusterOp, code check.ClusterCode) {
	t.Calls++
	switch code {
	case check.ClusterOK:
		t.OK++
	case check.ClusterNoQuorum:
		t.NoQuorum++
	case check.ClusterUnknown:
		t.Unknown++
	case check.ClusterClosed:
		t.Closed++
	default:
		t.Refused++
	}
}

// run completes the tally of a cluster that has been settled.
func (t *StateTally) run(c *StateCluster) {
	t.Runs, t.Virtual = 1, c.Net.Now().Sub(0)
	if c.Disks {
		t.Disks = 1
	}
	if c.Expected == 0 {
		t.Dynamic = 1
	}
	t.Members[min(len(c.Members), totem.MaxMembers)]++
	t.Processes = len(c.Log.Procs)
	for _, m := range c.Members {
		if m.disk != nil {
			t.DiskLost += m.disk.Stats.Lost
			t.DiskSnapshots += m.disk.Stats.Snapshots
		}
	}
}

// add adds what another tally counted.
func (t *StateTally) add(o *StateTally) {
	for i, n := range o.numbers() {
		*t.numbers()[i] += *n
	}
	for i, n := range o.counters() {
		*t.counters()[i] += *n
	}
	for i := range t.Members {
		t.Members[i] += o.Members[i]
	}
	t.FaultTally.add(&o.FaultTally)
	t.Longest = max(t.Longest, o.Longest)
	t.Virtual += o.Virtual
	t.Settled = append(t.Settled, o.Settled...)
}

func (t *StateTally) String() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%d runs, %v of virtual time, with disks %d, dynamic %d; by members:", t.Runs, t.Virtual.Round(time.Millisecond), t.Disks, t.Dynamic)
	for n, runs := range t.Members {
		if runs > 0 {
			p(" %d: %d", n, runs)
		}
	}
	p("\n%s", t.cuts())
	p("\npauses %d, crashes %d, leaves %d (not in time %d), restarts %d, slow members %d, deaf to the group %d, narrow paths %d; wholes lost with a crash %d, snapshots on disk %d",
		t.Pauses, t.Crashes, t.Leaves, t.Lingered, t.Restarts, t.Slow, t.Deaf, t.Narrow, t.DiskLost, t.DiskSnapshots)
	p("\nprocesses %d, views %d; primaries established, by members, %d, claims open %d, failed %d, fills %d, replicas replaced %d, transfers %d, chunks %d, overruns %d, wrong hashes %d",
		t.Processes, t.Views, t.Established, t.Open, t.Failed, t.Fills, t.Restored, t.Transfers, t.Chunks, t.Overruns, t.Mismatches)
	p("\ncalls %d: ok %d, refused %d, no quorum %d, unknown %d, closed %d, given up %d; local reads %d, linear reads %d; operations applied %d",
		t.Calls, t.OK, t.Refused, t.NoQuorum, t.Unknown, t.Closed, t.Cancelled, t.Reads, t.Linear, t.Applied)
	p("\nlocks handed out %d, lost %d, expired %d, orphaned %d, released %d", t.Locks, t.Lost, t.Expired, t.Orphaned, t.Released)
	if t.Certain > 0 {
		p("\noperations of a service that were certain %d, ticks that it asked for %d, states of it given to members %d, of other chains dropped %d",
			t.Certain, t.Ticks, t.ServiceRestores, t.OtherChains)
	}
	p("\nruns that nobody could continue without Force %d, that met E3 %d, with a hold-down at the end %d", t.Stuck, t.Excused, t.Held)
	if t.Histories > 0 {
		p("\nhistories decided by porcupine %d, of %d operations, the longest of %d", t.Histories, t.Operations, t.Longest)
	}
	if d := t.Settled; len(d) > 0 {
		p("\nfrom the last fault to one primary, all complete, no call waiting: %s\n", spread(d, time.Microsecond))
	}
	return b.String()
}

// stateTallies adds the runs of one test, and reports at its end what they went through.
type stateTallies struct {
	mu  sync.Mutex
	all StateTally
}

func (a *stateTallies) add(t *StateTally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.add(t)
}

func (a *stateTallies) tell(t *testing.T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.all.Runs == 0:
	case a.all.Runs < 2:
		t.Logf("%v", &a.all)
	default:
		report(t, "%v", &a.all)
	}
}
