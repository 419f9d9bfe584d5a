package held

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// A batch comes to what its operations come to one by one: answers, notices and state.
func TestBatch(t *testing.T) {
	n := uint64(40)
	if testing.Short() {
		n = 8
	}
	batches := 0
	for seed := range n {
		rng := rand.New(rand.NewPCG(seed, 9))
		m, twin := New(holder), New(holder)
		m.maxSteps, twin.maxSteps = 1<<40, 1<<40 // operations of a batch share their steps
		var numbers [3]uint64
		var from Member
		var batch [][]byte
		var answers [][]byte
		index, last := uint64(0), uint64(0) // last: of the last operation of the batch
		notices := func(m *Machine) (all []byte) {
			m.Certain(index)
			for {
				n, ok := m.Notice()
				if !ok {
					return all
				}
				if n.Kind != NoticeMessage {
					all = n.Append(all)
				}
				for i := range n.Messages { // several may come in one notice
					all = n.Messages[i].Append(all)
				}
			}
		}
		var seen []byte // notices of m that twin does not have yet
		flush := func() {
			if len(batch) == 0 {
				return
			}
			op := Op{Kind: KindBatch, Batch: batch}
			var a Answer
			if !a.Parse(twin.Apply(Sign(op.Append(nil), from), holder, last)) || a.Code != CodeOK || len(a.Answers) != len(batch) {
				t.Fatalf("seed %d: a batch of %d is answered by %+v", seed, len(batch), a)
			}
			for i := range batch {
				if !bytes.Equal(a.Answers[i], answers[i]) {
					t.Fatalf("seed %d: in a batch %x is answered by %x, alone by %x", seed, batch[i], a.Answers[i], answers[i])
				}
			}
			if got := notices(twin); !bytes.Equal(got, seen) {
				t.Fatalf("seed %d: notices of a batch %x, of its operations %x", seed, got, seen)
			}
			batch, answers, seen = nil, nil, nil
			if rng.IntN(10) == 0 && !bytes.Equal(snapshotOf(t, m), snapshotOf(t, twin)) {
				t.Fatalf("seed %d, %d: the states differ", seed, index)
			}
			batches++
		}
		now := int64(0)
		for range 1000 {
			index++
			if rng.IntN(15) == 0 {
				flush()
				now += rng.Int64N(200)
				m.Tick(time.UnixMilli(now))
				twin.Tick(time.UnixMilli(now))
				if a, b := notices(m), notices(twin); !bytes.Equal(a, b) {
					t.Fatalf("seed %d: notices of a tick differ", seed)
				}
				continue
			}
			b := anything(rng, m.state, &numbers)
			var op Op
			together := op.Parse(b) && op.Batches() && op.Origin != (Member{})
			if !together || op.Origin != from || len(batch) == 9 {
				flush()
			}
			answer := m.Apply(b, holder, index)
			if together {
				from, last = op.Origin, index
				op.Origin = Member{0: 0xEE} // does not count
				batch, answers = append(batch, op.Append(nil)), append(answers, answer)
				seen = append(seen, notices(m)...)
				continue
			}
			if !bytes.Equal(answer, twin.Apply(b, holder, index)) || !bytes.Equal(notices(m), notices(twin)) {
				t.Fatalf("seed %d: the twin answers otherwise", seed)
			}
		}
		flush()
		if !bytes.Equal(snapshotOf(t, m), snapshotOf(t, twin)) {
			t.Fatalf("seed %d: the states differ", seed)
		}
	}
	if batches < int(n)*50 {
		t.Errorf("only %d batches", batches)
	}
}

func snapshotOf(t *testing.T, m *Machine) []byte {
	t.Helper()
	r := rig{t: t, m: m}
	return r.snapshot()
}

// What must not be in a batch is refused there, and the rest is done. A batch that nobody has signed is refused whole.
func TestBatchRefuses(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	r.consume(1, 7, "Q", "", 0)
	put := Op{Kind: KindPut, Conn: 1, Counter: 2, Queue: []byte("Q"), HasMessage: true, Message: r.message("a")}
	batch := Op{Kind: KindBatch}
	var want []Code
	add := func(op Op, code Code) {
		batch.Batch = append(batch.Batch, op.Append(nil))
		want = append(want, code)
	}
	add(Op{Kind: KindBatch, Batch: [][]byte{put.Append(nil)}}, CodeMalformed)
	for k := KindAttach; k <= KindList; k++ {
		add(Op{Kind: k, Conn: 1, Counter: 1 << 63}, CodeMalformed)
	}
	add(Op{Kind: KindTake, Conn: 1, Counter: 2, Consumer: 7, Limit: 1}, CodeMalformed)
	add(Op{Kind: KindGone, To: member(2)}, CodeForged)
	add(Op{Kind: KindMerge, HasMessage: true, Message: r.message("b")}, CodeForged)
	add(Op{Kind: KindPublish, Topic: []byte("t"), HasMessage: true, Message: r.message("c")}, CodeForged)
	add(Op{Kind: KindSettle, Conn: 2, Counter: 1, Origin: member(2)}, CodeNoConnection) // not that of the other client
	add(put, CodeOK)
	add(put, CodeOK) // from memory
	add(Op{Kind: KindSettle, Conn: 1, Counter: 9}, CodeGap)
	add(Op{Kind: KindTake, Conn: 1, Counter: 3, Consumer: 7, Limit: 1, Flags: FlagWait}, CodeOK)
	batch.Batch = append(batch.Batch, []byte{0xFF})
	want = append(want, CodeMalformed)

	if a := r.raw(&batch, Member{}); a.Code != CodeForged || len(a.Answers) != 0 || r.m.state.depth != 0 {
		t.Errorf("a batch of nobody: %+v", a)
	}
	a := r.raw(&batch, member(1))
	if a.Code != CodeOK || len(a.Answers) != len(want) {
		t.Fatalf("%+v", a)
	}
	for i, b := range a.Answers {
		var one Answer
		if !one.Parse(b) || one.Code != want[i] || len(one.Messages) > 0 {
			t.Errorf("operation %d: %+v, want code %d", i, one, want[i])
		}
	}
	r.want(r.notices(), "1.7: a")
	if n := r.m.state.refused; n < 4 {
		t.Errorf("%d refused", n)
	}
}

// All operations of a batch share the steps of one: what is too much goes on at Ticks.
func TestBatchSteps(t *testing.T) {
	r := newRig(t)
	r.m.maxSteps = 100
	r.begin(1)
	r.consume(1, 7, "Q", "", 0)
	batch := Op{Kind: KindBatch}
	for i := range uint64(MaxBatch - 1) {
		op := Op{Kind: KindPut, Conn: 1, Counter: 2 + i, Queue: []byte("Q"), HasMessage: true, Message: r.message("x")}
		batch.Batch = append(batch.Batch, op.Append(nil))
	}
	take := Op{Kind: KindTake, Conn: 1, Counter: 1 + MaxBatch, Consumer: 7, Limit: MaxBatch, Flags: FlagWait}
	batch.Batch = append(batch.Batch, take.Append(nil))
	a := r.raw(&batch, member(1))
	if a.Code != CodeOK || len(a.Answers) != MaxBatch || r.notices() != "" {
		t.Fatalf("%+v", a)
	}
	got := 0
	for range MaxBatch {
		if at, ok := r.m.Next(); !ok || at.UnixMilli() > 1 {
			break
		}
		r.tick(1)
		for n, ok := r.m.Notice(); ok; n, ok = r.m.Notice() {
			got += len(n.Messages)
		}
	}
	if got != MaxBatch-1 {
		t.Errorf("%d messages came", got)
	}
}
