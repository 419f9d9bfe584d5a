package link

import (
	"bytes"
	"testing"

	"github.com/activeblaze/blaze/jms/held"
)

// sendOf is a request of a Link: an operation with so many bytes of data.
func sendOf(to held.Member, counter uint64, size int, alone bool) Send {
	op := held.Op{Kind: held.KindPart, Counter: counter, Data: bytes.Repeat([]byte{7}, size)}
	return Send{To: to, Request: counter, Data: op.Append(nil), Alone: alone}
}

// counters are the operations of what leaves.
func counters(t *testing.T, b *Batch[int]) (all []uint64) {
	t.Helper()
	var op held.Op
	if !op.Parse(b.Data) {
		t.Fatalf("%x is no operation", b.Data)
	}
	if op.Kind != held.KindBatch {
		return []uint64{op.Counter}
	}
	for _, item := range op.Batch {
		var one held.Op
		if !one.Parse(item) {
			t.Fatalf("%x is no operation", item)
		}
		all = append(all, one.Counter)
	}
	return all
}

// What goes to one holder leaves together and in order, but for what is sent alone; at most maxUnder batches are under way.
func TestOutbound(t *testing.T) {
	one, other := held.Member{1}, held.Member{2}
	var o Outbound[int]
	if _, ok := o.Poll(); ok || o.Ready() {
		t.Fatal("nothing leaves")
	}
	waiting := map[held.Member]int{}
	add := func(to held.Member, counter uint64, size int, alone bool) {
		t.Helper()
		if others := o.Add(int(counter)*10, sendOf(to, counter, size, alone)); others != (waiting[to] > 0) {
			t.Errorf("others wait: %v, and %d do", others, waiting[to])
		}
		waiting[to]++
	}
	poll := func(to held.Member, want ...uint64) *Batch[int] {
		t.Helper()
		b, ok := o.Poll()
		waiting[to] -= len(want)
		if !ok || b.To != to || len(b.Items) != len(want) {
			t.Fatalf("%+v leaves, want %v to %v", b, want, to)
		}
		for i, c := range counters(t, b) {
			if c != want[i] || b.Items[i].Send.Request != want[i] || b.Items[i].Owner != int(want[i])*10 {
				t.Fatalf("item %d is %d of %+v, want %d", i, c, b.Items[i], want[i])
			}
		}
		return b
	}
	none := func() {
		t.Helper()
		if b, ok := o.Poll(); ok || o.Ready() {
			t.Fatalf("%+v leaves", b)
		}
	}
	add(one, 1, 10, false)
	add(other, 2, 10, false)
	add(one, 3, 10, false)
	add(one, 4, 10, true)
	add(one, 5, 10, false)
	first := poll(one, 1, 3)
	poll(one, 4)
	poll(one, 5)
	poll(other, 2)
	none()
	add(one, 6, 10, false)
	add(one, 7, 10, true)
	none() // two are under way, and 7 does not overtake 6
	o.Done(first)
	poll(one, 6)
	poll(one, 7)
	none()

	o = Outbound[int]{Limit: 1000}
	for i := range uint64(3) {
		add(one, 1+i, 400, false)
	}
	add(one, 4, 2000, false)
	small := poll(one, 1, 2)
	o.Done(small)
	o.Done(poll(one, 3))
	large := poll(one, 4) // larger than the limit, and alone
	o.Done(large)
	if o.Halve(large) || !o.Halve(small) {
		t.Error("one operation cannot be made smaller, two can")
	}
	waiting[one] += 2
	add(one, 5, 10, false)
	poll(one, 1)
	o.Done(poll(one, 2))
	poll(one, 5)
	none()

	o = Outbound[int]{}
	for i := range uint64(held.MaxBatch + 1) {
		add(one, i, 1, false)
	}
	b, _ := o.Poll()
	if n := len(counters(t, b)); n != held.MaxBatch {
		t.Errorf("%d leave together", n)
	}
	waiting[one] = 1
	poll(one, held.MaxBatch)
}

// A batch is answered as a whole, or not at all.
func TestBatchAnswers(t *testing.T) {
	var o Outbound[int]
	for i := range uint64(2) {
		o.Add(int(i), sendOf(held.Member{1}, i, 1, false))
	}
	b, _ := o.Poll()
	answer := func(codes ...held.Code) []byte {
		var a held.Answer
		for _, c := range codes {
			one := held.Answer{Code: c}
			a.Answers = append(a.Answers, one.Append(nil))
		}
		return a.Append(nil)
	}
	var got []held.Code
	each := func(i *Item[int], raw []byte) {
		var a held.Answer
		if !a.Parse(raw) || i.Owner != len(got) {
			t.Errorf("item %d: %x", i.Owner, raw)
		}
		got = append(got, a.Code)
	}
	refused := held.Answer{Code: held.CodeMalformed}
	for _, raw := range [][]byte{nil, {0xFF}, answer(0), answer(0, 0, 0), refused.Append(nil)} {
		if b.Answers(raw, each) || len(got) > 0 {
			t.Errorf("%x answers two operations", raw)
		}
	}
	if !b.Answers(answer(held.CodeGap, held.CodeOK), each) || len(got) != 2 || got[0] != held.CodeGap || got[1] != held.CodeOK {
		t.Errorf("%v", got)
	}
}
