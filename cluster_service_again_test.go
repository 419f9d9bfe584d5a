package blaze

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/testnet"
)

// list is a Service that holds operations, and yields those of a state that goes.
type list struct {
	mu  sync.Mutex
	ops []string
}

func (s *list) Apply(op Operation) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, string(op.Data))
	return nil
}

func (s *list) Gone(MemberID)                      {}
func (s *list) Tick(time.Time)                     {}
func (s *list) Next() (at time.Time, ok bool)      { return at, false }
func (s *list) Certain(uint64)                     {}
func (s *list) Snapshot() (ServiceSnapshot, error) { return nil, nil }

func (s *list) Restore(r io.Reader, chain bool) (iter.Seq[[]byte], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.ops
	s.ops = nil
	return func(yield func([]byte) bool) {
		for _, op := range old {
			if !yield([]byte("again " + op)) {
				return
			}
		}
	}, nil
}

// What a state that goes has left is proposed by this member, in order, once it can; of the own chain nothing is.
func TestServiceAgain(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	c, err := NewClusterChannel("a", Config{BroadcastURI: uri, Cluster: cluster, ExpectedMembers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Shutdown() })
	s := &list{}
	if err := c.Service("list", s); err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	defer end()
	m := &machine{c: c.Channel, of: (*c.cluster.services.Load())[0], life: life}
	var want []string
	for i := range 20 {
		s.ops = append(s.ops, fmt.Sprint(i))
		want = append(want, fmt.Sprint("again ", i))
	}
	if err := m.Restore(strings.NewReader(""), true, func() bool { return false }); err != nil { // before Start: they wait
		t.Fatal(err)
	}
	if err := c.Start(); err != nil { // it begins empty
		t.Fatal(err)
	}
	has := func() []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Clone(s.ops)
	}
	for end := time.Now().Add(20 * time.Second); len(has()) < len(want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			break
		}
	}
	if got := has(); !slices.Equal(got, want) {
		t.Errorf("proposed: %q", got)
	}
	if err := m.Restore(strings.NewReader(""), false, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(strings.NewReader(""), true, func() bool { return true }); err == nil {
		t.Error("a Restore that nobody wants was carried out")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := c.Propose(ctx, "list", []byte("last")); err != nil {
		t.Fatal(err)
	}
	if got := has(); !slices.Equal(got, []string{"last"}) {
		t.Errorf("proposed: %q", got)
	}
}
