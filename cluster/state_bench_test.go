package cluster

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// filled is a replica with n entries of 16 and 100 bytes.
func filled(n int) *State {
	s := NewState()
	s.Establish(1, opening(1, 0, "ab", "ab"))
	o := wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Value: make([]byte, 100)}
	key := make([]byte, 16)
	for i := range n {
		binary.BigEndian.PutUint64(key[8:], uint64(i))
		o.Key = key
		s.Apply(1, member('a'), 0, &o)
		s.ClearEvents()
	}
	s.Changed()
	return s
}

const turnPuts = 64

// turns are batches of puts, as they come off the ring, to keys below n.
func turns(count, n int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for range count {
		var ops wire.ClusterOps
		var last []byte
		for range turnPuts {
			o := wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Key: make([]byte, 16), Value: make([]byte, 100)}
			binary.BigEndian.PutUint64(o.Key[8:], uint64(rng.IntN(n)))
			ops = ops.Append(&o, last)
			last = o.Map
		}
		_, body, err := wire.ParseCluster(wire.AppendBatch(nil, 1, ops))
		if err != nil {
			panic(err)
		}
		all = append(all, body)
	}
	return all
}

// turn applies one batch and publishes what it has changed.
func turn(s *State, now clock.Time, batch []byte) {
	b, err := wire.ParseBatch(batch)
	if err != nil {
		panic(err)
	}
	it := b.Ops() // in the head of the loop it would be made anew for each operation
	for it.Step() {
		if r := s.Apply(now, member('b'), b.Stamp, &it.ClusterOp); r.Code != CodeOK {
			panic(r.Code)
		}
	}
	s.Changed()
	s.ClearEvents()
}

// A put at a member that did not propose it costs the entry, and what its place in the tree costs: with 1,000 entries and 64
// puts a turn two allocations together. In a map of a million entries the keys of a turn share little of their paths but the
// root and some of the nodes below it: of four nodes on the way nearly all are copied for one put alone.
func TestApplyAllocations(t *testing.T) {
	for _, c := range []struct {
		entries int
		most    float64
	}{{1, 2}, {1000, 2}, {1_000_000, 5}} {
		if c.entries > 1000 && testing.Short() {
			continue
		}
		s, all, i := filled(c.entries), turns(256, c.entries), 0
		perTurn := testing.AllocsPerRun(len(all), func() {
			turn(s, 1, all[i%len(all)])
			i++
		})
		perPut := perTurn / turnPuts
		t.Logf("%d entries: %.2f allocations a put", c.entries, perPut)
		if perPut > c.most {
			t.Errorf("%d entries: %.2f allocations a put, at most %v are allowed", c.entries, perPut, c.most)
		}
	}
}

// What has no effect costs nothing: a refused write, a lock that is tried.
func TestRefusedAllocations(t *testing.T) {
	s := filled(1000)
	l := lockOp("k", 1)
	s.Apply(1, member('a'), 0, &l)
	s.ClearEvents()
	locked, version, try := put("k", "v"), compared(put("k2", "v"), 7), lockOp("k", 2)
	try.Try = true
	for _, o := range []*wire.ClusterOp{&locked, &version, &try} {
		if n := testing.AllocsPerRun(100, func() { s.Apply(1, member('b'), 0, o) }); n != 0 {
			t.Errorf("kind %d refused: %v allocations", o.Kind, n)
		}
	}
}

// Get allocates nothing, whether the key is there or not.
func TestGetAllocations(t *testing.T) {
	s := filled(1000)
	root := s.Maps()[0].Root
	key := string(binary.BigEndian.AppendUint64(make([]byte, 8), 500))
	found := 0
	n := testing.AllocsPerRun(1000, func() {
		if e := root.Get(key); e != nil && len(e.Value()) == 100 && e.Version() > 0 {
			found++
		}
		root.Get("not there")
	})
	if n != 0 || found < 1000 {
		t.Errorf("%v allocations, found %d times", n, found)
	}
}

// An entry of 16 and 100 bytes takes at most 300 bytes of memory, with its place in the tree.
func TestEntryMemory(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := filled(n)
	per := float64(heap()-before) / float64(n)
	t.Logf("%d entries of 16+100 bytes: %.0f bytes each", n, per)
	if per > 300 {
		t.Errorf("an entry takes %.0f bytes", per)
	}
	if s.Size().Entries != n {
		t.Errorf("%d entries", s.Size().Entries)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := filled(n).Maps()[0].Root
			rng := rand.New(rand.NewPCG(1, 2))
			keys := make([]string, min(n, 1<<16))
			for i := range keys {
				keys[i] = string(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(rng.IntN(n))))
			}
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			sum := 0
			for i := range b.N {
				sum += len(root.Get(keys[i%len(keys)]).Value())
			}
			if sum != 100*b.N {
				b.Fatal("not found")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "million/s")
		})
	}
}

// One put of a turn of 64, decoded, applied and published.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, all := filled(n), turns(1024, n)
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += turnPuts {
				turn(s, 1, all[i/turnPuts%len(all)])
			}
		})
	}
}

// One entry of a snapshot, read from a cut and added to a Builder.
func BenchmarkTransfer(b *testing.B) {
	c := filled(100_000).Cut(1)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		to := NewBuilder()
		var buf []byte
		for part := range uint32(c.Parts()) {
			for from, end := uint64(0), false; !end; {
				buf, _, from, end = c.Part(buf[:0], 1, part, from, 64<<10)
				if err := to.Add(1, part, buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		done += int(c.Entries)
	}
}

// The same in a whole member, from the ring's message to what readers see.
func TestDeliverAllocations(t *testing.T) {
	r := newRig(t, 2, nil)
	r.split([]int{0, 1})
	r.ready(0, 1)
	n, from := r.nodes[1], r.nodes[0].id
	var messages [][]byte
	for _, body := range turns(64, 1000) {
		head := binary.AppendUvarint([]byte{byte(wire.KindBatch)<<3 | 2}, uint64(len(body)))
		messages = append(messages, append(head, body...))
	}
	i := 0
	turn := func() {
		n.core.Deliver(r.now, &core.Delivery{From: from, Payload: messages[i%len(messages)], Received: r.now})
		n.core.Flush(r.now)
		n.events = n.events[:0]
		n.core.State().Changed() // as readers are shown it
		i++
	}
	for range messages {
		turn()
	}
	if got := n.core.State().Size().Entries; got < 900 {
		t.Fatalf("%d entries", got)
	}
	perPut := testing.AllocsPerRun(len(messages), turn) / turnPuts
	t.Logf("%.2f allocations a put at a member that did not propose it", perPut)
	if perPut > 2 {
		t.Errorf("%.2f allocations a put", perPut)
	}
}
