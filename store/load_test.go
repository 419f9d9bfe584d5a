package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
)

// A load stands for a core: a replica of 64 keys, and a history of puts whose hash covers every byte. What it does is a
// function of its seed and of what it began with, so a second one, without a disk, knows what the first one has done.
type load struct {
	rng    *rand.Rand
	store  cluster.Store
	state  state
	ticket uint64
	states []state // by ticket; 0: what it began with
	snaps  int     // snapshots that were begun, Replace among them
	grows  bool    // no snapshots
}

// state is what a disk should hold.
type state struct {
	kv     [64][]byte
	at     point
	olds   []*state // the replicas that may be on the disk while snapshots with Replace are not complete
	quorum []byte
	tail   [][]byte
}

func (s *state) apply(key byte, value []byte) {
	h := fnv.New64a()
	var b [17]byte
	binary.LittleEndian.PutUint64(b[:], s.at.index)
	binary.LittleEndian.PutUint64(b[8:], s.at.hash)
	b[16] = key
	h.Write(b[:])
	h.Write(value)
	s.kv[key%64] = value
	s.at = point{s.at.index + 1 + uint64(key%3), h.Sum64()}
}

func newLoad(seed uint64, s state, st cluster.Store) *load {
	return &load{rng: rand.New(rand.NewPCG(seed, 1)), store: st, state: s, states: []state{s}}
}

// size draws a length: mostly short, sometimes above a page, rarely above a piece.
func (l *load) size() int {
	switch l.rng.IntN(200) {
	case 0:
		return 300_000
	case 1, 2, 3, 4, 5:
		return 5000 + l.rng.IntN(20_000)
	}
	return l.rng.IntN(300)
}

func (l *load) bytes() []byte {
	b := make([]byte, l.size())
	for i := 0; i < len(b); i += 8 {
		b[i] = byte(l.rng.Uint32())
	}
	return b
}

// step does one whole.
func (l *load) step() {
	rng := l.rng
	if !l.grows && rng.IntN(300) == 0 { // another history: all keys anew
		s := state{quorum: l.state.quorum, tail: l.state.tail, olds: l.state.disk()}
		s.at = point{l.state.at.index + 1 + uint64(rng.IntN(100)), rng.Uint64()}
		if rng.IntN(2) == 0 && l.state.at.index > 100 {
			s.at.index -= 100
		}
		for k := range s.kv {
			s.kv[k] = l.bytes()
		}
		l.state = s
		l.snapshot(true)
	}
	wrote := false
	for range rng.IntN(6) {
		wrote = true
		k, v := byte(rng.Uint32()), l.bytes()
		l.state.apply(k, v)
		l.store.Append(l.state.at.index, l.state.at.hash, append([]byte{k}, v...))
	}
	if rng.IntN(4) == 0 {
		l.state.quorum = l.bytes()
		l.store.Quorum(l.state.quorum)
	}
	if rng.IntN(6) == 0 {
		l.state.tail = nil
		for range rng.IntN(5) {
			l.state.tail = append(l.state.tail, l.bytes())
		}
		l.store.Tail(l.state.tail)
	} else {
		l.store.Committed(l.state.at.index)
	}
	if !l.grows && wrote && rng.IntN(10) == 0 { // a snapshot alone is a whole or not, depending on the one before
		l.snapshot(false)
	}
	if t := l.store.Flush(rng.IntN(2) == 0); t != l.ticket {
		if t != l.ticket+1 {
			panic(fmt.Sprintf("ticket %d after %d", t, l.ticket))
		}
		l.ticket = t
		l.states = append(l.states, l.state)
	}
}

// nowhere is a store without a disk.
type nowhere struct {
	ticket uint64
	some   bool
}

func (n *nowhere) Append(uint64, uint64, []byte)  { n.some = true }
func (n *nowhere) Quorum([]byte)                  { n.some = true }
func (n *nowhere) Tail([][]byte)                  { n.some = true }
func (n *nowhere) Committed(uint64)               {}
func (n *nowhere) Snapshot(cluster.Snapshot) bool { n.some = true; return true }
func (n *nowhere) Flush(bool) uint64 {
	if n.some {
		n.ticket++
	}
	n.some = false
	return n.ticket
}

// disk gives the replicas that may be on the disk when another history begins.
func (s *state) disk() []*state {
	now := *s
	now.olds = nil
	return append(slices.Clone(s.olds), &now)
}

func (l *load) snapshot(replace bool) {
	kv, i := l.state.kv, 0
	done := false
	if l.store.Snapshot(cluster.Snapshot{Index: l.state.at.index, Hash: l.state.at.hash, Replace: replace,
		Next: func() []byte {
			if done {
				panic("Next after Done")
			}
			if i == len(kv) {
				return nil
			}
			i++
			return append([]byte{byte(i - 1)}, kv[i-1]...)
		},
		Done: func() { done = true },
	}) {
		l.snaps++
	}
}

// recoverState reads what st holds, and checks every hash on the way.
func recoverState(st *Store) (state, error) {
	var s state
	r, err := st.Load()
	if err != nil {
		return s, err
	}
	s.quorum, s.tail = r.Quorum, r.Tail
	s.at = point{r.Base, r.BaseHash}
	n := 0
	if err := r.Parts(func(part []byte) error {
		if int(part[0]) != n {
			return fmt.Errorf("part %d is %d", n, part[0])
		}
		n++
		s.kv[part[0]] = bytes.Clone(part[1:])
		return nil
	}); err != nil {
		return s, err
	}
	if n != 0 && n != len(s.kv) {
		return s, fmt.Errorf("%d parts", n)
	}
	if err := r.Log(func(index, hash uint64, record []byte) error {
		s.apply(record[0], bytes.Clone(record[1:]))
		if s.at != (point{index, hash}) {
			return fmt.Errorf("the log has %d %x, replayed %v", index, hash, s.at)
		}
		return nil
	}); err != nil {
		return s, err
	}
	if s.at != (point{r.End, r.EndHash}) {
		return s, fmt.Errorf("ends at %v, not %d %x", s.at, r.End, r.EndHash)
	}
	return s, nil
}

func sameKV(a, b *state) bool {
	for i := range a.kv {
		if !bytes.Equal(a.kv[i], b.kv[i]) {
			return false
		}
	}
	return a.at == b.at
}

// same reports whether a disk may hold got where want was handed over.
func same(got, want *state) bool {
	if !bytes.Equal(got.quorum, want.quorum) || !slices.EqualFunc(got.tail, want.tail, bytes.Equal) {
		return false
	}
	return sameKV(got, want) || slices.ContainsFunc(want.olds, func(old *state) bool { return sameKV(got, old) })
}

// find returns the ticket, of those from told on, whose state got is; -1 if there is none.
func (l *load) find(got *state, told uint64) int {
	for t := int(told); t < len(l.states); t++ {
		if same(got, &l.states[t]) {
			return t
		}
	}
	return -1
}

// waiter collects a store's events.
type waiter struct {
	events chan Event
	last   Event
}

func newWaiter() *waiter { return &waiter{events: make(chan Event, 1<<16)} }

func (w *waiter) notify(e Event) { w.events <- e }

// until waits for an event that ok accepts.
func (w *waiter) until(t *testing.T, what string, ok func(Event) bool) Event {
	t.Helper()
	patience := time.After(30 * time.Second)
	for {
		select {
		case e := <-w.events:
			w.last = e
			if ok(e) {
				return e
			}
			if e.Err != nil {
				t.Fatalf("%s: %v", what, e.Err)
			}
		case <-patience:
			t.Fatalf("%s: no such event; the last one was %+v", what, w.last)
		}
	}
}
