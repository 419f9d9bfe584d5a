package sim

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// Cases that need the ring itself: fragments, tokens, receive buffers (docs/invariants.md, cases of clusters).

// writes makes a put of one key of the first map, with the given value, and returns it.
func (m *StateMember) writes(key string, value []byte) *stateCall {
	a := &stateCall{call: cluster.Call{Kind: cluster.CallOp,
		Op: wire.ClusterOp{Kind: wire.OpPut, Map: []byte(stateMaps[0]), Key: []byte(key), Value: value}}}
	m.begin(a)
	return a
}

// linear makes a linear read of one key of the first map.
func (m *StateMember) linear(key string) *stateCall {
	a := &stateCall{call: cluster.Call{Kind: cluster.CallLinear, Op: wire.ClusterOp{Map: []byte(stateMaps[0]), Key: []byte(key)}}}
	m.begin(a)
	return a
}

// returnedCall reports whether a call has ended.
func (m *StateMember) returnedCall(a *stateCall) bool { return m.open[a.call.Number] == nil }

// answered waits until a call has returned.
func (c *StateCluster) answered(m *StateMember, a *stateCall) {
	c.t.Helper()
	if !c.Net.RunUntil(c.Net.Now().Add(5*time.Second), func() bool { return m.returnedCall(a) }) {
		c.t.Fatalf("seed %d: call %d has not returned%s", c.Seed, a.call.Number, c.Describe())
	}
}

// whole waits until all members are complete and ready.
func (c *StateCluster) whole() {
	c.t.Helper()
	if !c.Net.RunUntil(c.Net.Now().Add(5*time.Second), c.Whole) {
		c.t.Fatalf("seed %d: not whole%s", c.Seed, c.Describe())
	}
}

// quiet is a cluster of three without a load of its own, which is whole.
func (c *StateCluster) quiet() {
	c.t.Helper()
	c.Drift, c.Expected, c.Disks = 0.005, [...]int{0, 3}[c.Seed%2], c.Seed/2%2 == 1
	c.Load = StateLoad{Every: -1}
	c.Start(3, Faults{Delay: 50 * time.Microsecond})
	c.whole()
}

// Case 4: a put of 1 MiB is half sent when its ring ends, in any way; the rest is ordered in the next ring, before its
// primary is established. It counts there once, or it never counts, and its caller is told which.
func TestStateLargePut(t *testing.T) {
	var runs, carried, counted, refused atomic.Int64
	t.Cleanup(func() { // the runs are parallel, and end after this function
		t.Logf("%d counted, %d were dropped and proposed again, %d refused", counted.Load(), carried.Load(), refused.Load())
		if runs.Load() >= 8 && (carried.Load() == 0 || counted.Load() == 0 || refused.Load() == 0) {
			t.Error("not as it was meant: each of them has to happen")
		}
	})
	RunStates(t, 80, func(t *testing.T, s *StateCluster) {
		runs.Add(1)
		s.quiet()
		m, others := s.Members[0], s.Members[1:]
		value := make([]byte, 1<<20-cluster.ValueReserve-len("large"))
		check.Payload(value, s.Seed, 1)
		sent, half := 0, len(value)*(1+int(s.Seed%7))/8
		s.Net.SetTap(func(f *Flight) bool {
			if f.From == m.Node && f.To == others[0].Node && f.Group {
				sent += len(f.Bytes)
			}
			return true
		})
		applied := 0
		s.Probed = func(n *StateMember, p *cluster.Probe) {
			if n == m && p.Kind == cluster.ProbeApplied && p.Op != nil && p.Op.Kind == wire.OpPut {
				applied++
			}
		}
		a := m.writes("large", value)
		if !s.Net.RunUntil(s.Net.Now().Add(time.Second), func() bool { return sent >= half }) || m.returnedCall(a) {
			t.Fatalf("seed %d: %d bytes of %d are sent, the call has returned: %t", s.Seed, sent, len(value), m.returnedCall(a))
		}
		before := m.core().Stats().Proposed
		back := time.Duration(0)
		switch s.Seed % 4 {
		case 0: // another member goes: the sender's part has the quorum
			s.Split(2)
			back = 500 * time.Millisecond
		case 1: // for a moment, so that the rest comes in the middle of the next exchange
			s.Split(2)
			back = 60 * time.Millisecond
		case 2: // the sender is alone
			s.Split(0)
			back = 500 * time.Millisecond
		case 3: // a receiver is killed
			s.Crash(2)
		}
		s.For(back)
		s.Net.MendAll()
		s.again(2)
		s.answered(m, a)
		s.whole()
		if m.core().Stats().Proposed > before {
			carried.Add(1) // it was dropped, and proposed again
		}
		e := m.get(stateMaps[0], "large")
		switch a.call.Code {
		case cluster.CodeOK:
			counted.Add(1)
			if e == nil || !bytes.Equal(e.Value(), value) || e.Version() != a.call.Version {
				t.Errorf("seed %d: a put that counts is not there: %v", s.Seed, e)
			}
		case cluster.CodeNoQuorum:
			refused.Add(1)
			if e != nil {
				t.Errorf("seed %d: a put that never counts is there", s.Seed)
			}
		case cluster.CodeUnknown:
		default:
			t.Errorf("seed %d: code %d", s.Seed, a.call.Code)
		}
		if applied > 1 {
			t.Errorf("seed %d: the put counts %d times", s.Seed, applied)
		}
		s.Settle(2 * time.Second)
	})
}

// Cases 13 and 14: a member stands still with a token in its receive buffer, right after its application has called
// GetLinear, or with the call made just when it goes on. The others write meanwhile. The read never gets the old value, and
// the member does not take its lock for held, though it reads its tokens before anything else.
func TestStateStoppedReader(t *testing.T) {
	var runs, tokens atomic.Int64
	t.Cleanup(func() {
		t.Logf("in %d of %d runs a token was in the buffer", tokens.Load(), runs.Load())
		if runs.Load() >= 8 && tokens.Load() == 0 {
			t.Error("no token was in the buffer of the member that stood still")
		}
	})
	RunStates(t, 80, func(t *testing.T, s *StateCluster) {
		runs.Add(1)
		s.quiet()
		m, o := s.Members[0], s.Members[1]
		old, fresh := make([]byte, 100), make([]byte, 100)
		check.Payload(old, s.Seed, 1)
		check.Payload(fresh, s.Seed, 2)
		s.answered(o, o.writes("k", old))
		lock := &stateCall{call: cluster.Call{Kind: cluster.CallLock,
			Op: wire.ClusterOp{Map: []byte(stateMaps[1]), Key: []byte("l"), Lease: int64(time.Hour)}}}
		m.begin(lock)
		s.answered(m, lock)
		s.For(between(s.rng, time.Millisecond))
		early := s.Seed%2 == 0
		var read *stateCall
		if early {
			read = m.linear("k")
		}
		s.Pause(m.Node)
		arrived := 0
		s.Net.SetTap(func(f *Flight) bool {
			if f.To == m.Node && !f.Group {
				arrived++
			}
			return f.To != m.Node || !f.Group // nothing of the others' next ring says that the token is old
		})
		// Its guard time passes, and the others are a primary without it.
		s.For(400 * time.Millisecond)
		w := o.writes("k", fresh)
		s.answered(o, w)
		if w.call.Code != cluster.CodeOK {
			t.Fatalf("seed %d: the others' put: code %d", s.Seed, w.call.Code)
		}
		if arrived > 0 {
			tokens.Add(1)
		}
		s.Net.SetTap(nil)
		s.Resume(m.Node)
		if !early {
			read = m.linear("k")
		}
		local := func() clock.Time { return m.local(s.Net.Now()) }
		for range 2000 { // each step of its first moments
			s.For(time.Microsecond)
			if m.primary && local() < m.until && m.core().Status(local()).Last.Epoch < o.core().Status(o.local(s.Net.Now())).Last.Epoch {
				t.Fatalf("seed %d: it takes itself for a member of the primary until %v, at %v", s.Seed, m.until, local())
			}
			for _, l := range m.locks {
				if local() < min(l.deadline, m.until) {
					t.Fatalf("seed %d: it believes in its lock", s.Seed)
				}
			}
		}
		s.answered(m, read)
		switch e := read.call.Entry; {
		case read.call.Code == cluster.CodeNoQuorum:
		case read.call.Code != cluster.CodeOK || e == nil:
			t.Errorf("seed %d: the read: code %d, %v", s.Seed, read.call.Code, e)
		case !bytes.Equal(e.Value(), fresh):
			t.Errorf("seed %d: the read gets the old value", s.Seed)
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// A service that answers otherwise at one node is named by all, and its member is given the state again and again; the checkers
// notice too.
func TestStateServiceNotDeterministic(t *testing.T) {
	for seed := range uint64(2) {
		s := NewStateCluster(nil, seed)
		s.Service, s.Disks, s.Expected = true, seed == 1, 3
		s.Odd = func(node int) bool { return node == 1 }
		named := map[int]bool{}
		s.Warned = func(m *StateMember, w *cluster.Warning) {
			if strings.Contains(w.Text, serviceName) && strings.Contains(w.Text, "deterministic") {
				named[m.Node] = true
				if w.Member != s.Members[1].ID() {
					t.Errorf("seed %d: node %d names %x: %s", seed, m.Node, w.Member[:2], w.Text)
				}
			}
		}
		s.Start(3, Faults{Delay: 50 * time.Microsecond})
		s.Until(4 * time.Second)
		s.Heal()
		found := check.IDs(s.SettleFor(2 * time.Second))
		if !slices.Contains(found, "MP-16") {
			t.Errorf("seed %d: the checkers found %v", seed, found)
		}
		if len(named) != 3 || s.Tally.ServiceRestores == 0 {
			t.Errorf("seed %d: named by %v, %d states given", seed, named, s.Tally.ServiceRestores)
		}
	}
}
