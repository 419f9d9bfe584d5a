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
	if s.onApply != nil {
		s.onApply(op)
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
