package blaze_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// counter is a Service for tests: operations add to a sum, and the answers are what it is then.
type counter struct {
	mu      sync.Mutex // tests read it
	sum     uint64
	applied []string
	gone    []blaze.MemberID
	ticks   []time.Time
	certain uint64
	wake    time.Time // a Tick is wanted
	resets  int       // Restore(nil)
	chains  int       // Restore with chain

	onApply func(op blaze.Operation) // before it is applied
	failing error                    // of Snapshot's WriteTo, in the middle
}

func (s *counter) Apply(op blaze.Operation) []byte {
	s.mu.Lock()
	first := s.onApply
	s.mu.Unlock()
	if first != nil {
		first(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum += uint64(len(op.Data))
	s.applied = append(s.applied, string(op.Data))
	if after, ok := strings.CutPrefix(string(op.Data), "wake "); ok {
		at, _ := time.Parse(time.RFC3339Nano, after)
		s.wake = at
	}
	return binary.BigEndian.AppendUint64(nil, s.sum)
}

// does has f come before each operation from now on.
func (s *counter) does(f func(op blaze.Operation)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onApply = f
}

func (s *counter) Gone(m blaze.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, m)
}

func (s *counter) Tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticks = append(s.ticks, now)
	if !now.Before(s.wake) {
		s.wake = time.Time{}
	}
}

func (s *counter) Next() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake, !s.wake.IsZero()
}

func (s *counter) Certain(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certain = index
}

type counterSnapshot struct {
	text    string
	failing error
}

func (s *counterSnapshot) Close() error { return nil }
func (s *counterSnapshot) WriteTo(w io.Writer) (int64, error) {
	if s.failing != nil {
		n, _ := io.WriteString(w, s.text[:len(s.text)/2])
		return int64(n), s.failing
	}
	n, err := io.WriteString(w, s.text)
	return int64(n), err
}

func (s *counter) Snapshot() (blaze.ServiceSnapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &counterSnapshot{strings.Join(s.applied, "\n"), s.failing}, nil
}

func (s *counter) Restore(r io.Reader, chain bool) (iter.Seq[[]byte], error) {
	var text []byte
	var err error
	if r != nil {
		if text, err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.applied
	s.applied, s.sum, s.wake = nil, 0, time.Time{}
	if r == nil {
		s.resets++
	}
	if len(text) > 0 {
		s.applied = strings.Split(string(text), "\n")
	}
	for _, a := range s.applied {
		s.sum += uint64(len(a))
	}
	if !chain {
		return nil, nil
	}
	s.chains++
	return func(yield func([]byte) bool) {
		for _, a := range old {
			if !strings.HasPrefix(a, "again ") && !yield([]byte("again "+a)) {
				return
			}
		}
	}, nil
}

func (s *counter) has() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.applied)
}

// serving makes a cluster of n with a counter each, that are all there from its founding on.
func serving(t *testing.T, n int) (all []*blaze.ClusterChannel, counters []*counter) {
	t.Helper()
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = n
	for i := range n {
		c, s := newCluster(t, string(rune('a'+i)), cfg), &counter{}
		if err := c.Service("counter", s); err != nil {
			t.Fatal(err)
		}
		startCluster(t, c)
		all, counters = append(all, c), append(counters, s)
	}
	ready(t, all...)
	return all, counters
}

func mustPropose(t *testing.T, c *blaze.ClusterChannel, op string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := c.Propose(ctx, "counter", []byte(op))
	if err != nil {
		t.Fatalf("Propose %q: %v", op, err)
	}
	return answer
}

// What any member proposes all apply, in one order; every proposer gets its own answer.
func TestPropose(t *testing.T) {
	const each = 200
	all, counters := serving(t, 3)
	var sums sync.Map
	var proposers sync.WaitGroup
	for i, c := range all {
		for w := range 4 {
			proposers.Go(func() {
				for n := range each / 4 {
					op := fmt.Sprintf("%d/%d/%d", i, w, n)
					answer := mustPropose(t, c, op)
					if _, twice := sums.LoadOrStore(binary.BigEndian.Uint64(answer), op); twice {
						t.Errorf("two operations have the answer %d", binary.BigEndian.Uint64(answer))
					}
				}
			})
		}
	}
	proposers.Wait()
	for i, s := range counters {
		eventually(t, "all applied", func() bool { return len(s.has()) == len(all)*each })
		if !slices.Equal(s.has(), counters[0].has()) {
			t.Errorf("members 0 and %d have not applied the same", i)
		}
	}
	sum := uint64(0)
	for _, op := range counters[0].has() {
		sum += uint64(len(op))
		if of, ok := sums.Load(sum); !ok || of != op {
			t.Errorf("%q was answered by the sum of %v", op, of)
		}
	}
}

func TestServiceArguments(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 1
	cfg.MaxMessageSize = 4096
	c := newCluster(t, "a", cfg)
	for _, row := range []struct {
		name string
		s    blaze.Service
		want error
	}{
		{"", &counter{}, blaze.ErrArgument},
		{strings.Repeat("x", 256), &counter{}, blaze.ErrArgument},
		{"\xff", &counter{}, blaze.ErrArgument},
		{"counter", nil, blaze.ErrArgument},
		{"counter", &counter{}, nil},
		{"counter", &counter{}, blaze.ErrExists},
	} {
		if err := c.Service(row.name, row.s); !errors.Is(err, row.want) {
			t.Errorf("Service(%.10q, %v) = %v, want %v", row.name, row.s, err, row.want)
		}
	}
	for i := range 15 {
		if err := c.Service(fmt.Sprint("more ", i), &counter{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Service("one more", &counter{}); !errors.Is(err, blaze.ErrTooLarge) {
		t.Errorf("17 services: %v", err)
	}
	ctx := soon(t)
	if _, err := c.Propose(ctx, "counter", nil); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Propose before Start: %v", err)
	}
	startCluster(t, c)
	ready(t, c)
	if err := c.Service("late", &counter{}); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Service after Start: %v", err)
	}
	const most = 4096 - 512 - len("counter")
	for _, row := range []struct {
		name string
		size int
		opts []blaze.ProposeOption
		want error
	}{
		{"nobody's", 1, nil, blaze.ErrArgument},
		{"counter", most + 1, nil, blaze.ErrTooLarge},
		{"counter", most, nil, nil},
		{"counter", 0, nil, nil},
		{"counter", 1, []blaze.ProposeOption{blaze.Unsynced()}, nil},
		{"counter", 1, []blaze.ProposeOption{nil}, blaze.ErrArgument},
	} {
		if _, err := c.Propose(ctx, row.name, make([]byte, row.size), row.opts...); !errors.Is(err, row.want) {
			t.Errorf("Propose(%q, %d bytes) = %v, want %v", row.name, row.size, err, row.want)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Propose(over, "counter", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Propose with a ctx that is over: %v", err)
	}
}

// Propose in Apply would wait for itself.
func TestProposeInApply(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 1
	c, s := newCluster(t, "a", cfg), &counter{}
	var inside error
	s.onApply = func(op blaze.Operation) {
		if string(op.Data) == "outer" {
			_, inside = c.Propose(context.Background(), "counter", []byte("inner"))
		}
	}
	if err := c.Service("counter", s); err != nil {
		t.Fatal(err)
	}
	startCluster(t, c)
	ready(t, c)
	mustPropose(t, c, "outer")
	if !errors.Is(inside, blaze.ErrBackPressure) {
		t.Errorf("Propose in Apply: %v", inside)
	}
	mustPropose(t, c, "next")
	if got := s.has(); !slices.Equal(got, []string{"outer", "next"}) {
		t.Errorf("applied %q", got)
	}
}

// withCounter makes a member with a counter that is started.
func withCounter(t *testing.T, name string, cfg blaze.Config) (*blaze.ClusterChannel, *counter) {
	t.Helper()
	c, s := newCluster(t, name, cfg), &counter{}
	if err := c.Service("counter", s); err != nil {
		t.Fatal(err)
	}
	startCluster(t, c)
	return c, s
}

// A member that joins gets the state while others propose, also one that was started before: each start begins empty.
func TestServiceJoins(t *testing.T) {
	cfg := clusterConfig(t)
	a, as := withCounter(t, "a", cfg)
	b, bs := withCounter(t, "b", cfg)
	ready(t, a, b)
	mustPropose(t, a, strings.Repeat("x", 200_000))
	mustPropose(t, b, strings.Repeat("y", 200_000))
	stop := make(chan struct{})
	var proposer sync.WaitGroup
	proposer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				mustPropose(t, b, fmt.Sprint("meanwhile ", n))
			}
		}
	})
	c, cs := withCounter(t, "c", cfg)
	ready(t, c)
	mustPropose(t, c, "of the third")
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	startCluster(t, c)
	ready(t, c)
	close(stop)
	proposer.Wait()
	last := mustPropose(t, c, "the last")
	for i, s := range []*counter{as, bs, cs} {
		eventually(t, "all applied", func() bool { return len(s.has()) == len(cs.has()) })
		if !slices.Equal(s.has(), as.has()) {
			t.Errorf("member %d holds something else", i)
		}
	}
	if want := uint64(len(strings.Join(as.has(), ""))); binary.BigEndian.Uint64(last) != want {
		t.Errorf("the last answer is %d, want %d", binary.BigEndian.Uint64(last), want)
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if len(as.gone) == 0 || as.certain == 0 {
		t.Errorf("gone %v, certain %d", as.gone, as.certain)
	}
}

// A member that lacks the service says so, and what needs no service works beside it.
func TestServiceLacking(t *testing.T) {
	cfg := clusterConfig(t)
	a, _ := withCounter(t, "a", cfg)
	ready(t, a)
	mustPropose(t, a, "x")
	mustPut(t, a.Map("m"), "k", "v")
	lacking := inCluster(t, "lacking", cfg)
	if err := lacking.WaitReady(soon(t)); !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(err.Error(), `"counter"`) {
		t.Errorf("WaitReady: %v", err)
	}
	if _, err := lacking.Map("m").Put(soon(t), "k", nil); !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(err.Error(), `"counter"`) {
		t.Errorf("Put: %v", err)
	}
	cfg.Observer = true
	tool := inCluster(t, "tool", cfg)
	ready(t, tool)
	if e, ok := tool.Map("m").Get("k"); !ok || string(e.Value) != "v" {
		t.Errorf("the observer's Get = %+v, %v", e, ok)
	}
	if err := lacking.Stop(); err != nil {
		t.Error(err)
	}
	ready(t, a, tool)
	mustPropose(t, a, "y")
	if s := tool.Status(); !slices.Equal(s.Services, []string{"counter"}) || !s.Primary {
		t.Errorf("%+v", s)
	}
}

// A service that is not in force yet: some member lacks it.
func TestServiceNotInForce(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 2
	plain := inCluster(t, "plain", cfg)
	b, _ := withCounter(t, "b", cfg)
	ready(t, plain, b)
	if _, err := b.Propose(soon(t), "counter", nil); !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(err.Error(), "not in force") {
		t.Errorf("Propose: %v", err)
	}
	mustPut(t, b.Map("m"), "k", "v")
}

// Apply panics at all members, and at one; and it takes long.
func TestServiceMisbehaves(t *testing.T) {
	all, counters := serving(t, 3)
	for i, s := range counters {
		s.does(func(op blaze.Operation) {
			switch {
			case string(op.Data) == "panic", string(op.Data) == "panic at c" && i == 2:
				panic("on purpose")
			case string(op.Data) == "slow":
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	mustPropose(t, all[1], "before")
	if _, err := all[0].Propose(soon(t), "counter", []byte("panic")); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("Propose: %v", err)
	}
	mustPropose(t, all[1], "slow")
	mustPropose(t, all[0], "panic at c")
	eventually(t, "c is given the state", func() bool { return all[2].Stats().Cluster.HashMismatches > 0 })
	ready(t, all...)
	mustPropose(t, all[2], "after")
	for i, s := range counters {
		eventually(t, "all applied", func() bool { return len(s.has()) >= 4 })
		if got := s.has(); !slices.Equal(got, []string{"before", "slow", "panic at c", "after"}) {
			t.Errorf("member %d has applied %q", i, got)
		}
	}
	if n := all[2].Stats().Cluster.Panics; n != 2 {
		t.Errorf("%d panics", n)
	}
}

// A Tick comes when Next asks for it, at all members alike.
func TestServiceTick(t *testing.T) {
	all, counters := serving(t, 2)
	at := time.Now().Add(200 * time.Millisecond)
	mustPropose(t, all[1], "wake "+at.Format(time.RFC3339Nano))
	for i, s := range counters {
		eventually(t, "a tick", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.ticks) > 0 })
		s.mu.Lock()
		if got := s.ticks[0]; got.Before(at) || got.Sub(at) > 5*time.Second || !got.Equal(counters[0].ticks[0]) {
			t.Errorf("member %d: a tick at %v, asked for at %v", i, got, at)
		}
		s.mu.Unlock()
	}
}

// With DataDir what was acknowledged outlives all members, and the service is restored at Start.
func TestServiceOnDisk(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 1
	cfg.DataDir = t.TempDir()
	c, s := withCounter(t, "a", cfg)
	ready(t, c)
	mustPropose(t, c, "one")
	if _, err := c.Propose(soon(t), "counter", []byte("two"), blaze.Unsynced()); err != nil {
		t.Fatal(err)
	}
	mustPropose(t, c, "three")
	s.mu.Lock()
	if s.certain == 0 {
		t.Error("nothing is certain")
	}
	s.mu.Unlock()
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		startCluster(t, c)
		ready(t, c)
	}
	if answer := mustPropose(t, c, "four"); binary.BigEndian.Uint64(answer) != uint64(len("onetwothreefour")) {
		t.Errorf("the answer is %d", binary.BigEndian.Uint64(answer))
	}
	if got := s.has(); !slices.Equal(got, []string{"one", "two", "three", "four"}) {
		t.Errorf("%q", got)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	lacking := newCluster(t, "a", cfg)
	var err error
	inNetwork(t, cfg, func() { err = lacking.Start() })
	if !errors.Is(err, blaze.ErrConfig) || !strings.Contains(err.Error(), `"counter"`) {
		t.Errorf("Start without the service: %v", err)
	}
}
