package sim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// HeldTally counts what happened in one run of held queues, or in many.
type HeldTally struct {
	Judged, Excused                  int // runs
	Programs, Crashes, Leaves, Ended int // processes; crashes and orderly ends of clients; connections that holders ended
	Requests, Failed                 int
	Accepted, Repeated               int
	Received, Again, Settled, Took   int
	Committed, OfTwo                 int
	RolledBack, InDoubt, Doomed      int
	Compared                         int // states of holders

	Emptied []time.Duration // from the last fault until nothing was left, of each run
}

func (t *HeldTally) numbers() []*int {
	return []*int{&t.Judged, &t.Excused, &t.Programs, &t.Crashes, &t.Leaves, &t.Ended, &t.Requests, &t.Failed, &t.Accepted, &t.Repeated,
		&t.Received, &t.Again, &t.Settled, &t.Took, &t.Committed, &t.OfTwo, &t.RolledBack, &t.InDoubt, &t.Doomed, &t.Compared}
}

// run completes the tally of a run.
func (t *HeldTally) run(h *HeldCluster) { t.Compared = h.compared }

func (t *HeldTally) add(o *HeldTally) {
	for i, n := range o.numbers() {
		*t.numbers()[i] += *n
	}
	t.Emptied = append(t.Emptied, o.Emptied...)
}

func (t *HeldTally) String() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%d runs judged, %d met E2 or E3; %d processes of clients, of which %d crashed and %d left, %d connections ended by holders; requests %d, of which failed %d",
		t.Judged, t.Excused, t.Programs, t.Crashes, t.Leaves, t.Ended, t.Requests, t.Failed)
	p("\nmessages accepted %d, repeated %d, received %d, of these marked %d, acknowledged %d; takings of all that a queue had %d",
		t.Accepted, t.Repeated, t.Received, t.Again, t.Settled, t.Took)
	p("\ntransactions committed %d, with acknowledgements from two queues %d, rolled back %d, of these after a commit that was refused %d, in doubt %d; states of holders compared %d",
		t.Committed, t.OfTwo, t.RolledBack, t.Doomed, t.InDoubt, t.Compared)
	if d := t.Emptied; len(d) > 0 {
		p("\nfrom the last fault until all was taken: %s", spread(d, time.Millisecond))
	}
	return b.String()
}

// heldTallies adds the runs of one test.
type heldTallies struct {
	mu     sync.Mutex
	queues HeldTally
	states stateTallies
}

// RunHeld is Run for held queues. At the end it reports what all of the runs went through.
func RunHeld(t *testing.T, seeds int, scenario func(t *testing.T, h *HeldCluster)) {
	t.Helper()
	var all heldTallies
	t.Cleanup(func() {
		all.states.tell(t)
		all.mu.Lock()
		defer all.mu.Unlock()
		report(t, "%v", &all.queues)
	})
	runSeeds(t, seeds, NewHeldCluster, scenario, func(h *HeldCluster) {
		all.states.add(&h.StateCluster.Tally)
		all.mu.Lock()
		defer all.mu.Unlock()
		all.queues.add(&h.Counts)
	})
}
