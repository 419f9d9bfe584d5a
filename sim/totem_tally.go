package sim

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/totem"
)

// RingTally counts what happened in one run, or in many: a thousand seeds without a violation
// mean little without what they went through.
type RingTally struct {
	Runs      int
	Members   [totem.MaxMembers + 1]int // runs, by their number of members
	Virtual   time.Duration
	Processes int

	FaultTally
	Copies, Lost, Cut, Tapped        uint64
	Duplicated, Reordered, Overruns  uint64
	Sent, Safe, Delivered, Rings     int
	Installed, Tokens, Gathers       uint64
	TokensLost, Recoveries, HeldDown uint64
	Stuck, Excluded, LoopGaps        uint64
	Reported, Skipped, Impossible    uint64

	Held    int             // runs in which a hold-down ran after the last fault
	Settled []time.Duration // from the last fault to one ring of all, of each run
}

// process adds what one process counted.
func (t *RingTally) process(s totem.Stats) {
	t.Installed += s.Views
	t.Tokens += s.Tokens
	t.Gathers += s.Entered[totem.Gather]
	t.TokensLost += s.Reasons[totem.TokenLost]
	t.Recoveries += s.Entered[totem.Recovery]
	t.HeldDown += s.HeldDown
	t.Stuck += s.Reasons[totem.ReceiverStuck]
	t.Excluded += s.Exclusions
	t.LoopGaps += s.LoopGaps
	t.Reported += s.Lost
	t.Skipped += s.Skipped
	t.Impossible += s.Impossible
}

// run completes the tally of a cluster that has been settled.
func (t *RingTally) run(c *RingCluster) {
	t.Runs, t.Virtual = 1, c.Net.Now().Sub(0)
	t.Members[min(len(c.Members), totem.MaxMembers)]++
	t.Processes = len(c.Log.Procs)
	s := c.Net.Stats()
	t.Copies, t.Lost, t.Cut, t.Tapped = s.Copies, s.Lost, s.Cut, s.Tapped
	t.Duplicated, t.Reordered, t.Overruns = s.Duplicated, s.Reordered, s.Overrun
	t.Rings = c.Log.Rings()
	for i := range c.Log.Records {
		switch r := &c.Log.Records[i]; r.Kind {
		case check.RingSent:
			t.Sent++
			if r.Safe {
				t.Safe++
			}
		case check.RingDelivered:
			t.Delivered++
		}
	}
}

// add adds what another tally counted.
func (t *RingTally) add(o *RingTally) {
	for _, n := range []struct{ a, b *int }{
		{&t.Runs, &o.Runs}, {&t.Processes, &o.Processes},
		{&t.Sent, &o.Sent}, {&t.Safe, &o.Safe}, {&t.Delivered, &o.Delivered}, {&t.Rings, &o.Rings}, {&t.Held, &o.Held},
	} {
		*n.a += *n.b
	}
	for _, n := range []struct{ a, b *uint64 }{
		{&t.Copies, &o.Copies}, {&t.Lost, &o.Lost}, {&t.Cut, &o.Cut}, {&t.Tapped, &o.Tapped},
		{&t.Duplicated, &o.Duplicated}, {&t.Reordered, &o.Reordered}, {&t.Overruns, &o.Overruns},
		{&t.Installed, &o.Installed}, {&t.Tokens, &o.Tokens}, {&t.Gathers, &o.Gathers},
		{&t.TokensLost, &o.TokensLost}, {&t.Recoveries, &o.Recoveries}, {&t.HeldDown, &o.HeldDown}, {&t.Stuck, &o.Stuck},
		{&t.Excluded, &o.Excluded}, {&t.LoopGaps, &o.LoopGaps}, {&t.Reported, &o.Reported}, {&t.Skipped, &o.Skipped}, {&t.Impossible, &o.Impossible},
	} {
		*n.a += *n.b
	}
	for i := range t.Members {
		t.Members[i] += o.Members[i]
	}
	t.FaultTally.add(&o.FaultTally)
	t.Virtual += o.Virtual
	t.Settled = append(t.Settled, o.Settled...)
}

func (t *RingTally) String() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%d runs, %v of virtual time; runs by members:", t.Runs, t.Virtual.Round(time.Millisecond))
	for n, runs := range t.Members {
		if runs > 0 {
			p(" %d: %d", n, runs)
		}
	}
	p("\n%s", t.cuts())
	p("\npauses %d, crashes %d, leaves %d, restarts %d, slow members %d, deaf to the group %d, narrow paths %d, shapes by size %d, bottlenecks %d, one sort blocked %d",
		t.Pauses, t.Crashes, t.Leaves, t.Restarts, t.Slow, t.Deaf, t.Narrow, t.BySize, t.Squeezed, t.OneSort)
	p("\ncopies of datagrams %d: lost %d, cut %d, kept from the deaf and narrow %d, duplicated %d, reordered %d, receive buffer full %d",
		t.Copies, t.Lost, t.Cut, t.Tapped, t.Duplicated, t.Reordered, t.Overruns)
	p("\nprocesses %d; rings installed %d, by members %d; token visits %d; gathers %d, of them token lost %d, receiver stuck %d; recoveries %d",
		t.Processes, t.Rings, t.Installed, t.Tokens, t.Gathers, t.TokensLost, t.Stuck, t.Recoveries)
	p("\nheld down %d, excluded %d, standstills noticed %d; skipped after a hole %d, reported lost %d, impossible %d",
		t.HeldDown, t.Excluded, t.LoopGaps, t.Skipped, t.Reported, t.Impossible)
	p("\nmessages %d, of them safe %d; deliveries %d", t.Sent, t.Safe, t.Delivered)
	if d := t.Settled; len(d) > 0 {
		p("\nfrom the last fault to one ring of all: %s; a hold-down ran in %d\n", spread(d, time.Microsecond), t.Held)
	}
	return b.String()
}

// tallies adds the runs of one test, and reports at its end what they went through: to the log, and
// to the file that SIM_TALLY names.
type tallies struct {
	mu  sync.Mutex
	all RingTally
}

func (a *tallies) add(t *RingTally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.add(t)
}

func (a *tallies) tell(t *testing.T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all.Runs == 0 {
		return
	}
	if a.all.Runs < 2 || a.all.Pauses+a.all.Crashes == 0 {
		t.Logf("%v", &a.all)
		return
	}
	report(t, "%v", &a.all)
}

// spread is the middle of d and its end, in steps of unit. It sorts d, of which there is some.
func spread(d []time.Duration, unit time.Duration) string {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(unit) }
	return fmt.Sprintf("median %v, p99 %v, longest %v", at(0.5), at(0.99), at(1))
}

// report writes a figure of a test to the log, and to the file that SIM_TALLY names.
func report(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf(format, args...)
	name := os.Getenv("SIM_TALLY")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s: %s\n", t.Name(), fmt.Sprintf(format, args...))
}
