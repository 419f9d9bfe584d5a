package held

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"
)

// load is a Machine that is driven fast: one connection, no checks.
type load struct {
	m       *Machine
	index   uint64
	counter uint64
	buf     []byte
	id      [idLen]byte
	n       uint64
	answer  Answer
}

func newLoad(tb testing.TB) *load {
	l := &load{m: New(holder)}
	l.apply(&Op{Kind: KindBegin, Conn: 1})
	l.do(&Op{Kind: KindConfigure, Queue: []byte("Q"), Settings: &Settings{Depth: 1 << 30, Bytes: 1 << 40, MaxRedeliveries: -1}})
	return l
}

func (l *load) apply(op *Op) []byte {
	l.index++
	op.Conn = 1
	l.buf = Sign(op.Append(l.buf[:0]), member(1))
	return l.m.Apply(l.buf, holder, l.index)
}

func (l *load) do(op *Op) *Answer {
	l.counter++
	op.Counter, op.Low = l.counter, l.counter
	l.answer.Parse(l.apply(op))
	return &l.answer
}

func (l *load) put(data []byte) {
	l.n++
	binary.BigEndian.PutUint64(l.id[16:], l.n)
	l.id[0] = 1
	l.do(&Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: Message{ID: l.id[:], Data: data, Priority: 4, Persistent: true}})
}

// dataOf is the encoding of a message of n bytes, with a colour.
func dataOf(n int, colour string) []byte {
	b := encodeMessage("", colour, 1_700_000_000_000)
	return encodeMessage(string(bytes.Repeat([]byte{'x'}, max(0, n-len(b)))), colour, 1_700_000_000_000)
}

func median(n int, f func()) time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		f()
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[n/2]
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// One million messages of 100 bytes wait in one queue: what they cost, and what operations cost then. On a quiet machine
// an operation takes at most twice as long as with an empty queue, and a take with a selector that matches one in a
// thousand 5 ms. Here they have twice that.
func TestMillion(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	}
	ops := func(l *load) (put, take, browse time.Duration) {
		plain := dataOf(100, "blue")
		put = median(2000, func() { l.put(plain) })
		l.do(&Op{Kind: KindConsume, Consumer: 1, Queue: []byte("Q")})
		take = median(1500, func() {
			a := l.do(&Op{Kind: KindTake, Consumer: 1, Limit: 1})
			if len(a.Messages) != 1 {
				t.Fatalf("%+v", a)
			}
			l.do(&Op{Kind: KindSettle, Numbers: []uint64{a.Messages[0].Number}})
		})
		browse = median(500, func() {
			l.answer.Parse(l.apply(&Op{Kind: KindBrowse, Queue: []byte("Q"), Limit: 50}))
			if len(l.answer.Messages) != 50 {
				t.Fatalf("%d messages", len(l.answer.Messages))
			}
		})
		return put, take, browse
	}
	empty := newLoad(t)
	put0, take0, browse0 := ops(empty)

	l := newLoad(t)
	before := heap()
	plain, red := dataOf(100, "blue"), dataOf(100, "red")
	if len(plain) != 100 {
		t.Fatalf("%d bytes", len(plain))
	}
	for i := range n {
		if i%1000 == 999 {
			l.put(red)
		} else {
			l.put(plain)
		}
	}
	each := float64(heap()-before) / float64(n)
	put1, take1, browse1 := ops(l)
	l.do(&Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: []byte("colour = 'red'")})
	ticks := 0
	selective := median(min(300, n/2000), func() {
		found := l.do(&Op{Kind: KindTake, Consumer: 2, Limit: 1}).Messages
		for len(found) == 0 { // the rest of its walk
			if at, ok := l.m.Next(); !ok || at.UnixMilli() > 1 {
				t.Fatal("the selector found nothing")
			}
			l.m.Tick(time.UnixMilli(1))
			l.m.Certain(1 << 60)
			ticks++
			if n, ok := l.m.Notice(); ok {
				found = n.Messages
			}
		}
		l.do(&Op{Kind: KindSettle, Numbers: []uint64{found[0].Number}})
	})
	start := time.Now()
	s, err := l.m.Snapshot()
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	size, err := s.WriteTo(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d messages: %.0f bytes each; put %v, empty %v; take and settle %v, empty %v; browse 50 %v, empty %v; "+
		"take with a selector 1 in 1000 %v, with %d Ticks for %d; snapshot in %v, %d bytes",
		n, each, put1, put0, take1, take0, browse1, browse0, selective, ticks, min(300, n/2000), took, size)
	t.Log(text)
	if each > 3*100+200 {
		t.Errorf("a message of 100 bytes costs %.0f bytes", each)
	}
	for _, c := range []struct {
		name      string
		is, limit time.Duration
	}{
		{"put", put1, 4*put0 + 2*time.Microsecond}, {"take", take1, 4*take0 + 2*time.Microsecond}, {"browse", browse1, 4 * browse0},
		{"take with a selector", selective, 10 * time.Millisecond}, {"snapshot", took, 20 * time.Millisecond},
	} {
		if c.is > c.limit {
			t.Errorf("%s takes %v, the limit is %v", c.name, c.is, c.limit)
		}
	}
	runtime.KeepAlive(l)
}

// The longest single operations.
func TestLongestOperation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	l := newLoad(t)
	plain := dataOf(100, "blue")
	for range 1_000_000 {
		l.put(plain)
	}
	l.do(&Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: []byte("colour = 'red' AND JMSPriority > 2")})
	l.do(&Op{Kind: KindTake, Consumer: 2, Limit: 1, Flags: FlagWait})
	var all []time.Duration
	for range 400 {
		start := time.Now()
		l.m.Tick(time.UnixMilli(1))
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	t.Logf("a Tick beside a walk along a million: median %v, longest %v", all[len(all)/2], all[len(all)-1])
	for i := range 10_000 {
		l.do(&Op{Kind: KindConsume, Consumer: uint64(10 + i), Queue: []byte("R"), Selector: []byte("colour = 'red'")})
		l.do(&Op{Kind: KindTake, Consumer: uint64(10 + i), Limit: 1, Flags: FlagWait})
	}
	all = all[:0]
	for range 50 {
		l.n++
		binary.BigEndian.PutUint64(l.id[16:], l.n)
		start := time.Now()
		l.do(&Op{Kind: KindPut, Queue: []byte("R"), HasMessage: true, Message: Message{ID: l.id[:], Data: plain}})
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	t.Logf("a put before 10000 consumers that do not want it: median %v, longest %v", all[len(all)/2], all[len(all)-1])
	start := time.Now()
	if _, err := l.m.Snapshot(); err != nil {
		t.Fatal(err)
	}
	t.Logf("a snapshot with 10000 consumers: %v", time.Since(start))
	for range MaxStaged {
		l.n++
		binary.BigEndian.PutUint64(l.id[16:], l.n)
		l.do(&Op{Kind: KindStage, Session: 1, Queue: []byte("S"), HasMessage: true, Message: Message{ID: l.id[:], Data: plain}})
	}
	start = time.Now()
	if a := l.do(&Op{Kind: KindCommit, Session: 1}); a.Code != CodeOK {
		t.Fatalf("%+v", a)
	}
	t.Logf("a commit of %d puts: %v", MaxStaged, time.Since(start))
	if q := l.m.state.queues["S"]; q.ready != MaxStaged {
		t.Errorf("%d messages came of it", q.ready)
	}
}

func BenchmarkPutTakeSettle(b *testing.B) {
	l := newLoad(b)
	l.do(&Op{Kind: KindConsume, Consumer: 1, Queue: []byte("Q")})
	data := dataOf(100, "")
	b.ReportAllocs()
	for b.Loop() {
		l.put(data)
		a := l.do(&Op{Kind: KindTake, Consumer: 1, Limit: 1})
		l.do(&Op{Kind: KindSettle, Numbers: []uint64{a.Messages[0].Number}})
	}
}
