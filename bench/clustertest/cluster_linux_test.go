package clustertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
)

// role names what a process plays that the test program starts of itself.
const role = "CLUSTERTEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "member" {
		Main()
	}
	os.Exit(m.Run())
}

// world is a cluster of processes, each on a host of its own.
type world struct {
	t       *testing.T
	rig     *rig.Rig
	order   Order
	members []*process
	history *history
	started int
}

// process is one member.
type process struct {
	*proc.Child
	world  *world
	number int // no other process has it
	host   int

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan *Line
	gone    chan struct{}
}

func newWorld(t *testing.T, members int, loss float64, change func(*Order)) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long, and wants a quiet host: scripts/rig-test.sh cluster does it")
	}
	if err := rig.Possible(); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(rig.Bridge, members, rig.Options{})
	if errors.Is(err, rig.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	t.Setenv(role, "member")
	w := &world{t: t, rig: r, history: newHistory()}
	w.order = Order{
		URI: "udp://239.255.66.76:6676?interface=" + rig.Interface, Cluster: "clustertest", Expected: members, Loss: loss,
	}
	if change != nil {
		change(&w.order)
	}
	for i := range members {
		w.members = append(w.members, w.start(i))
	}
	w.ready(10 * time.Second)
	return w
}

// start starts a process on a host; its name is the host's.
func (w *world) start(host int) *process {
	w.t.Helper()
	c, err := proc.StartIn(w.rig.Host(host), []string{os.Args[0]}, os.Stderr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(2 * time.Second) })
	w.started++
	p := &process{Child: c, world: w, number: w.started, host: host, waiting: map[uint64]chan *Line{}, gone: make(chan struct{})}
	o := w.order
	o.Name, o.Seed = fmt.Sprint("host", host), uint64(w.started)
	if o.DataDir != "" {
		o.DataDir = fmt.Sprintf("%s/%d", o.DataDir, host)
	}
	if err := c.Send(o); err != nil {
		w.t.Fatal(err)
	}
	var l Line
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Receive(ctx, &l); err != nil || l.Error != "" {
		w.t.Fatalf("host %d: %v %s", host, err, l.Error)
	}
	go p.read()
	return p
}

func (p *process) read() {
	defer close(p.gone)
	for {
		l := new(Line)
		if p.Receive(context.Background(), l) != nil {
			return
		}
		if l.ID == 0 {
			p.world.history.take(p.number, l)
			continue
		}
		p.mu.Lock()
		c := p.waiting[l.ID]
		delete(p.waiting, l.ID)
		p.mu.Unlock()
		if c != nil {
			c <- l
		}
	}
}

// begin begins a command; the function waits for its answer.
func (p *process) begin(c Command) func() *Line {
	answer := make(chan *Line, 1)
	p.mu.Lock()
	p.next++
	c.ID = p.next
	p.waiting[c.ID] = answer
	err := p.Send(c)
	p.mu.Unlock()
	return func() *Line {
		if err != nil {
			return &Line{Error: err.Error()}
		}
		select {
		case l := <-answer:
			return l
		case <-p.gone:
			return &Line{Error: "the process is gone"}
		case <-time.After(time.Minute):
			return &Line{Error: "no answer to " + c.Do}
		}
	}
}

func (p *process) do(c Command) *Line { return p.begin(c)() }

// all runs a command at all members, at once.
func (w *world) all(c Command) []*Line {
	var waits []func() *Line
	for _, p := range w.members {
		waits = append(waits, p.begin(c))
	}
	var lines []*Line
	for _, wait := range waits {
		lines = append(lines, wait())
	}
	return lines
}

// ready waits until all members are ready and equal, and returns how long that took.
func (w *world) ready(limit time.Duration) time.Duration {
	w.t.Helper()
	begun := time.Now()
	for {
		bad := ""
		for i, l := range w.all(Command{Do: "ready", For: min(limit, 10*time.Second)}) {
			if l.Error != "" {
				bad += fmt.Sprintf("host %d: %s\n", i, l.Error)
			}
		}
		lines := w.all(Command{Do: "status"})
		for i, l := range lines {
			s := l.Status
			if s == nil {
				bad += fmt.Sprintf("host %d: %s\n", i, l.Error)
			} else if !s.Primary || len(s.Members) != len(w.members) || s.Epoch != lines[0].Status.Epoch || slices.ContainsFunc(s.Members, func(m blaze.ClusterMember) bool { return !m.Ready }) {
				bad += fmt.Sprintf("host %d: phase %s, primary %v, epoch %d, %d members, index %d, %s; missing %v\n", i, s.Phase, s.Primary, s.Epoch, len(s.Members), s.Index, s.Why, s.Voters)
			}
		}
		if bad == "" {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			w.t.Fatalf("not all ready within %v:\n%s", limit, bad)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// holdDown is how long members may be apart after the network is whole: the ring holds a member down, for up to a minute, that has
// fallen out of rings many times within a minute.
const holdDown = 90 * time.Second

func (w *world) load(p *process) {
	if l := p.do(Command{Do: "load", Clients: 4, Lockers: 1, Keys: 8, Pause: 3 * time.Millisecond}); l.Error != "" {
		w.t.Fatal(l.Error)
	}
}

func (w *world) signal(p *process, s syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(p.PID(), s); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) split(groups ...[]int) {
	w.t.Helper()
	if err := w.rig.Split(groups...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) whole() {
	all := make([]int, len(w.members))
	for i := range all {
		all[i] = i
	}
	w.split(all)
}

// restart replaces a process that was killed.
func (w *world) restart(i int) {
	w.members[i].Close(0)
	w.members[i] = w.start(i)
}

// judge stops the clients, and decides what they saw.
func (w *world) judge() {
	w.t.Helper()
	for _, l := range w.all(Command{Do: "unload"}) {
		if l.Error != "" {
			w.t.Error(l.Error)
		}
	}
	operations, wrong := w.history.check(10 * time.Second)
	mismatches, lost := uint64(0), uint64(0)
	for _, l := range w.all(Command{Do: "status"}) {
		if l.Stats != nil {
			mismatches += l.Stats.HashMismatches
			lost += l.Stats.LostLocks
		}
	}
	codes := map[string]int{}
	for _, c := range w.history.calls {
		code, _, _ := strings.Cut(c.Code, ":")
		if !c.ended {
			code = "no end"
		}
		codes[code]++
	}
	w.t.Logf("%d operations in the histories; calls: %v; %d locks held, %d lost; %d replicas differed", operations, codes, len(w.history.holds), lost, mismatches)
	for i, text := range wrong {
		if i < 3 {
			w.t.Error(text)
		}
	}
	if len(wrong) > 0 {
		w.t.Errorf("%d histories are wrong", len(wrong))
	}
	if mismatches > 0 {
		w.t.Errorf("%d replicas differed", mismatches)
	}
	if operations < 500 || len(w.history.holds) < 10 {
		w.t.Error("the clients did too little to show anything")
	}
}

// lasting is how long faults go on: in CI a third.
func lasting(d time.Duration) time.Duration {
	if os.Getenv("CI") != "" {
		return d / 3
	}
	return d
}

// Five members, 1 % loss, for a minute: they are killed, stopped and continued, and their network is split, one thing after the
// other. What clients saw is linearizable, no lock has two holders, no token goes back.
func TestFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, 5, 0.01, nil)
	for _, p := range w.members {
		w.load(p)
	}
	kills, stops, splits := 0, 0, 0
	var slowest time.Duration
	for end := time.Now().Add(lasting(time.Minute)); time.Now().Before(end); {
		time.Sleep(time.Duration(200+random.IntN(400)) * time.Millisecond)
		i := random.IntN(5)
		what := "a split"
		switch random.IntN(4) {
		case 0: // one or two are killed, and start again under their names
			k := (i + 1 + random.IntN(4)) % 5
			two := random.IntN(2) == 0
			what = fmt.Sprintf("host %d killed, host %d too: %v", i, k, two)
			kill := func(i int) {
				if err := w.members[i].Kill(); err != nil {
					t.Fatal(err)
				}
				kills++
			}
			kill(i)
			if two {
				kill(k)
			}
			time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
			w.restart(i)
			w.load(w.members[i])
			if two {
				w.restart(k)
				w.load(w.members[k])
			}
		case 1: // one is stopped
			w.signal(w.members[i], syscall.SIGSTOP)
			time.Sleep(time.Duration(50+random.IntN(1500)) * time.Millisecond)
			w.signal(w.members[i], syscall.SIGCONT)
			stops++
			what = fmt.Sprintf("host %d stopped", i)
		default: // the network is split, and split otherwise, and healed
			for range 1 + random.IntN(3) {
				order := random.Perm(5)
				if random.IntN(3) == 0 {
					w.split(order[:2], order[2:4], order[4:])
				} else {
					w.split(order[:2], order[2:])
				}
				splits++
				time.Sleep(time.Duration(50+random.IntN(1000)) * time.Millisecond)
			}
			w.whole()
		}
		took := w.ready(holdDown)
		if slowest = max(slowest, took); took > 2*time.Second {
			t.Logf("%s: all were ready again after %v", what, took.Round(time.Millisecond))
		}
	}
	t.Logf("%d kills, %d stops, %d splits; all were ready again after %v at most", kills, stops, splits, slowest.Round(time.Millisecond))
	w.judge()
}

// Five members with a DataDir, for half a minute: any number of them are killed at any time, also all at once, while the network is
// split. Nothing that was acknowledged is lost.
func TestFaultsWithDisks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	w := newWorld(t, 5, 0.01, func(o *Order) { o.DataDir = dir })
	for _, p := range w.members {
		w.load(p)
	}
	kills, all, splits := 0, 0, 0
	var slowest time.Duration
	for end := time.Now().Add(lasting(30 * time.Second)); time.Now().Before(end); {
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
		var dead []int
		for range 1 + random.IntN(4) {
			switch random.IntN(5) {
			case 0, 1:
				order := random.Perm(5)
				w.split(order[:1+random.IntN(3)], order[3:])
				splits++
			case 2, 3:
				if i := random.IntN(5); !slices.Contains(dead, i) {
					dead = append(dead, i)
				}
			case 4:
				dead = []int{0, 1, 2, 3, 4}
				all++
			}
			for _, i := range dead {
				if err := w.members[i].Kill(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		}
		for _, i := range dead {
			kills++
			w.restart(i)
			w.load(w.members[i])
		}
		w.whole()
		slowest = max(slowest, w.ready(holdDown))
	}
	t.Logf("%d kills, %d times all at once, %d splits; all were ready again after %v at most", kills, all, splits, slowest.Round(time.Millisecond))
	w.judge()
}

// Two halves of four, ExpectedMembers 4: neither writes; after healing all go on, and nothing is lost.
func TestTwoHalves(t *testing.T) {
	w := newWorld(t, 4, 0, nil)
	if l := w.members[0].do(Command{Do: "put", Key: "a", Value: "1"}); l.Error != "" {
		t.Fatal(l.Error)
	}
	var waits []func() *Line
	for _, p := range w.members {
		waits = append(waits, p.begin(Command{Do: "quorum"}))
	}
	w.split([]int{0, 1}, []int{2, 3})
	for i, wait := range waits {
		if l := wait(); l.Error != "" {
			t.Errorf("host %d: %s", i, l.Error)
		}
	}
	for i, l := range w.all(Command{Do: "put", Key: "a", Value: "2"}) {
		if !strings.Contains(l.Error, blaze.ErrNoQuorum.Error()) {
			t.Errorf("a put at host %d: %q", i, l.Error)
		}
	}
	w.whole()
	t.Logf("all ready %v after the healing", w.ready(10*time.Second).Round(time.Millisecond))
	for i, l := range w.all(Command{Do: "get", Key: "a"}) {
		if l.Value != "1" {
			t.Errorf("host %d holds %q", i, l.Value)
		}
	}
}

// Three of five go on, and two answer ErrNoQuorum, within 100 ms of their regular configuration. After healing all five hold
// the majority's state.
func TestThreeOfFive(t *testing.T) {
	w := newWorld(t, 5, 0, nil)
	if l := w.members[0].do(Command{Do: "put", Key: "a", Value: "1"}); l.Error != "" {
		t.Fatal(l.Error)
	}
	a, b := w.members[0].begin(Command{Do: "quorum"}), w.members[1].begin(Command{Do: "quorum"})
	w.split([]int{0, 1}, []int{2, 3, 4})
	for i, wait := range []func() *Line{a, b} {
		l := wait()
		if l.Error != "" {
			t.Errorf("host %d: %s", i, l.Error)
			continue
		}
		t.Logf("host %d: ErrNoQuorum %s after its regular configuration", i, l.Value)
		if d, err := time.ParseDuration(l.Value); err != nil || d > 2*100*time.Millisecond {
			t.Errorf("ErrNoQuorum after %v, want 100ms", d)
		}
	}
	for i := 2; i < 5; i++ {
		if l := w.members[i].do(Command{Do: "put", Key: "a", Value: fmt.Sprint(i)}); l.Error != "" {
			t.Errorf("host %d of the larger part: %s", i, l.Error)
		}
	}
	w.whole()
	t.Logf("all ready %v after the healing", w.ready(10*time.Second).Round(time.Millisecond))
	for i, l := range w.all(Command{Do: "get", Key: "a"}) {
		if l.Value != "4" {
			t.Errorf("host %d holds %q", i, l.Value)
		}
	}
}

// A member that is stopped for 5 s under load, and continued, is complete again within 1 s, by catching up.
func TestStopped(t *testing.T) {
	w := newWorld(t, 3, 0, nil)
	for _, p := range w.members {
		w.load(p)
	}
	time.Sleep(500 * time.Millisecond)
	before := w.members[2].do(Command{Do: "status"})
	w.signal(w.members[2], syscall.SIGSTOP)
	time.Sleep(5 * time.Second)
	w.signal(w.members[2], syscall.SIGCONT)
	begun := time.Now()
	for {
		l := w.members[2].do(Command{Do: "status"})
		if l.Status != nil && l.Status.Primary && len(l.Status.Members) == 3 && l.Status.Epoch > before.Status.Epoch+1 {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("it does not come back: %+v", l.Status)
		}
		time.Sleep(2 * time.Millisecond)
	}
	took := time.Since(begun)
	w.ready(5 * time.Second)
	after := w.members[2].do(Command{Do: "status"})
	t.Logf("complete %v after it was continued; %d fills, %d transfers", took.Round(time.Millisecond), after.Stats.Fills, after.Stats.Transfers)
	if took > 2*time.Second {
		t.Errorf("complete after %v, want 1s", took)
	}
	w.judge()
}
