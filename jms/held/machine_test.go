package held

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// rig is one Machine, whose clients speak in short sentences.
type rig struct {
	t     *testing.T
	m     *Machine
	index uint64
	next  map[uint64]uint64 // counters
	id    uint64
}

var holder = Member{15: 1}

func newRig(t *testing.T) *rig {
	return &rig{t: t, m: New(holder), next: map[uint64]uint64{}}
}

// client is the member that connection conn belongs to.
func member(conn uint64) Member { return Member{0: 1, 15: byte(conn)} }

func (r *rig) raw(op *Op, from Member) Answer {
	r.t.Helper()
	r.index++
	b := op.Append(nil)
	if from != (Member{}) {
		b = Sign(b, from)
	}
	var a Answer
	if !a.Parse(r.m.Apply(b, holder, r.index)) {
		r.t.Fatal("an answer does not parse")
	}
	r.m.Certain(r.index)
	r.check()
	return a
}

// do does an operation of connection conn, with the next counter.
func (r *rig) do(conn uint64, op Op) Answer {
	r.t.Helper()
	op.Conn = conn
	if op.Kind != KindBegin && !op.Kind.reads() {
		r.next[conn]++
		op.Counter = r.next[conn]
	}
	return r.raw(&op, member(conn))
}

func (r *rig) must(conn uint64, op Op) Answer {
	r.t.Helper()
	a := r.do(conn, op)
	if a.Code != CodeOK && a.Code != CodeLater {
		r.t.Fatalf("kind %d of connection %d: code %d %s", op.Kind, conn, a.Code, a.Detail)
	}
	return a
}

func (r *rig) begin(conns ...uint64) {
	r.t.Helper()
	for _, c := range conns {
		r.must(c, Op{Kind: KindBegin, Name: []byte(fmt.Sprint("client", c))})
	}
}

func (r *rig) message(text string) Message {
	r.id++
	m := Message{ID: make([]byte, idLen), Data: []byte(text), Priority: 4, Persistent: true}
	m.ID[0], m.ID[22], m.ID[23] = 7, byte(r.id>>8), byte(r.id)
	return m
}

func (r *rig) put(conn uint64, queue, text string, change ...func(*Message)) Answer {
	r.t.Helper()
	m := r.message(text)
	for _, f := range change {
		f(&m)
	}
	return r.do(conn, Op{Kind: KindPut, Queue: []byte(queue), HasMessage: true, Message: m})
}

func texts(all []Message) string {
	var b []string
	for _, m := range all {
		s := string(m.Data)
		if m.Count > 1 {
			s += fmt.Sprint("*", m.Count)
		}
		b = append(b, s)
	}
	return strings.Join(b, " ")
}

func numbers(all []Message) (n []uint64) {
	for _, m := range all {
		n = append(n, m.Number)
	}
	return n
}

// notices returns what is certain, as text.
func (r *rig) notices() string {
	var b []string
	for {
		n, ok := r.m.Notice()
		if !ok {
			return strings.Join(b, "; ")
		}
		switch n.Kind {
		case NoticeMessage:
			b = append(b, fmt.Sprintf("%d.%d: %s", n.Conn, n.Consumer, texts(n.Messages)))
		case NoticeNone:
			b = append(b, fmt.Sprintf("%d.%d: none", n.Conn, n.Consumer))
		case NoticeRoom:
			b = append(b, fmt.Sprintf("%d: room in %s", n.Conn, n.Queue))
		case NoticeEnded:
			b = append(b, fmt.Sprintf("%d: ended", n.Conn))
		}
	}
}

func (r *rig) consume(conn, consumer uint64, queue, sel string, flags uint64) {
	r.t.Helper()
	r.must(conn, Op{Kind: KindConsume, Consumer: consumer, Queue: []byte(queue), Selector: []byte(sel), Flags: flags})
}

func (r *rig) take(conn, consumer, limit uint64, flags uint64) Answer {
	r.t.Helper()
	return r.do(conn, Op{Kind: KindTake, Consumer: consumer, Limit: limit, Flags: flags})
}

func (r *rig) want(got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func (r *rig) tick(ms int64) {
	r.index++
	r.m.Tick(time.UnixMilli(ms))
	r.m.Certain(r.index)
	r.check()
}

func (r *rig) snapshot() []byte {
	r.t.Helper()
	s, err := r.m.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		r.t.Fatal(err)
	}
	return b.Bytes()
}

// check compares what the state counts with what it has.
func (r *rig) check() {
	r.t.Helper()
	if err := r.m.state.audit(); err != nil {
		r.t.Fatal(err)
	}
}

// audit recomputes what is derived.
func (s *state) audit() error {
	count := map[uint32]*[5]uint64{}
	var depth, size uint64
	at := func(m *message, i int) {
		if count[m.queue] == nil {
			count[m.queue] = &[5]uint64{}
		}
		count[m.queue][i]++
		count[m.queue][4] += uint64(m.size())
		depth++
		size += uint64(m.size())
	}
	for i, v := range []*tree[*message]{&s.ready, &s.delayed, &s.flight, &s.staged} {
		v.from(key{}, func(k key, m *message) bool {
			at(m, i)
			return true
		})
	}
	for no, q := range s.queueByNo {
		var c [5]uint64
		if count[no] != nil {
			c = *count[no]
		}
		if c != [5]uint64{q.ready, q.delayed, q.flight, q.staged, q.bytes} {
			return fmt.Errorf("queue %q counts %d %d %d %d %d, and has %v", q.name, q.ready, q.delayed, q.flight, q.staged, q.bytes, c)
		}
		line := 0
		for k := q.first; k != nil; k = k.succ {
			line++
			if k.line == 0 || k.credit == 0 || k.queue != q || s.consumers[k.no] != k {
				return fmt.Errorf("queue %q: consumer %d should not be in line", q.name, k.no)
			}
			if k.pos < endPlace && !k.working && s.eligible(k) {
				return fmt.Errorf("queue %q: consumer %d waits before the end, and nobody lets it go on", q.name, k.no)
			}
		}
		if line != q.waiting {
			return fmt.Errorf("queue %q: %d wait, %d counted", q.name, line, q.waiting)
		}
		for _, k := range q.consumers {
			if k.line == 0 && k.pos > q.top {
				return fmt.Errorf("queue %q: consumer %d stands behind the top", q.name, k.no)
			}
		}
	}
	for no := range count {
		if no != 0 && s.queueByNo[no] == nil {
			return fmt.Errorf("messages of queue %d, which is not there", no)
		}
	}
	for _, c := range s.connByNo {
		size += c.partBytes
	}
	if depth != s.depth || size != s.bytes {
		return fmt.Errorf("%d messages of %d bytes, counted %d of %d", depth, size, s.depth, s.bytes)
	}
	return nil
}

// A queue keeps what is sent, hands it out in order, and forgets it when it is settled.
func TestPutTakeSettle(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	for _, text := range []string{"a", "b", "c"} {
		r.put(1, "Q", text)
	}
	r.put(1, "Q", "urgent", func(m *Message) { m.Priority = 9 })
	r.consume(2, 1, "Q", "", 0)
	a := r.take(2, 1, 3, 0)
	r.want(texts(a.Messages), "urgent a b")
	r.must(2, Op{Kind: KindRelease, Numbers: numbers(a.Messages[1:2])})
	r.must(2, Op{Kind: KindSettle, Numbers: numbers(a.Messages[:1])})
	r.want(texts(r.take(2, 1, 3, 0).Messages), "a*2 c")
	r.put(1, "Q", "d")
	r.want(texts(r.take(2, 1, 1, 0).Messages), "d")
	if a := r.take(2, 1, 1, 0); a.Code != CodeOK || len(a.Messages) != 0 {
		t.Errorf("an empty queue answers %+v", a)
	}
	if a := r.take(2, 1, 2, FlagWait); a.Code != CodeLater {
		t.Errorf("who waits gets %+v", a)
	}
	r.want(r.notices(), "")
	r.put(1, "Q", "e")
	r.want(r.notices(), "2.1: e")
	r.must(2, Op{Kind: KindStop, Consumer: 1})
	r.put(1, "Q", "f")
	if a := r.take(2, 1, 2, FlagWait); a.Code != CodeLater || len(a.Messages) != 0 { // answers have no order among each other
		t.Errorf("who waits gets %+v", a)
	}
	r.put(1, "Q", "g")
	r.want(r.notices(), "2.1: f; 2.1: g")
	r.must(1, Op{Kind: KindEnd})
	r.must(2, Op{Kind: KindEnd})
	if n := len(r.m.state.connByNo); n != 0 || len(r.m.state.consumers) != 0 {
		t.Errorf("%d connections, %d consumers are left", n, len(r.m.state.consumers))
	}
}

// An operation is applied once, in its turn, and the answer is remembered.
func TestCounters(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	put := Op{Kind: KindPut, Conn: 1, Counter: 1, Queue: []byte("Q"), HasMessage: true, Message: r.message("a")}
	for range 3 {
		if a := r.raw(&put, member(1)); a.Code != CodeOK || a.Counter != 1 {
			t.Fatalf("put: %+v", a)
		}
	}
	if d := r.m.state.depth; d != 1 {
		t.Errorf("%d messages", d)
	}
	for _, counter := range []uint64{3, 1<<64 - 1} {
		gap := Op{Kind: KindPut, Conn: 1, Counter: counter, Queue: []byte("Q"), HasMessage: true, Message: r.message("b")}
		if a := r.raw(&gap, member(1)); a.Code != CodeGap || a.Next != 2 {
			t.Errorf("counter %d: %+v", counter, a)
		}
	}
	r.next[1] = 1
	r.consume(1, 5, "Q", "", 0)
	first := r.take(1, 5, 1, 0)
	again := Op{Kind: KindTake, Conn: 1, Counter: 3, Consumer: 5, Limit: 1}
	a := r.raw(&again, member(1))
	if texts(first.Messages) != "a" || texts(a.Messages) != "a" || a.Messages[0].Number != first.Messages[0].Number {
		t.Errorf("a take that is repeated gives %+v, then %+v", first, a)
	}
	r.must(1, Op{Kind: KindSettle, Numbers: numbers(first.Messages), Low: 4})
	if a := r.raw(&again, member(1)); a.Code != CodeForgotten {
		t.Errorf("below Low: %+v", a)
	}
	r.must(1, Op{Kind: KindEnd})
	if a := r.raw(&again, member(1)); a.Code != CodeNoConnection {
		t.Errorf("after the end: %+v", a)
	}
	if a := r.do(1, Op{Kind: KindBegin}); a.Code != CodeNoConnection {
		t.Errorf("a connection that has ended comes back: %+v", a)
	}
}
