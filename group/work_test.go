package group

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// ahead is a Recaller: of what it was given it gives back all that is not in begun.
type ahead struct {
	given []Work
	begun int
}

func (h *ahead) Begin(_ clock.Time, w *Work) { h.given = append(h.given, *w) }

func (h *ahead) Recall(from wire.MemberID, call uint64, attempt uint32) bool {
	for i := h.begun; i < len(h.given); i++ {
		if w := &h.given[i]; w.From == from && w.Call == call && w.Attempt == attempt {
			h.given = append(h.given[:i], h.given[i+1:]...)
			return true
		}
	}
	return false
}

// A Recaller is given more than its handlers have begun, which comes back when the sender cancels it or the queue
// closes; the queue opens again while a handler is at work, and items that wait for a consumer end by CloseWaiting.
func TestQueueGivenAhead(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	h := &ahead{}
	if err := b.p.HandleQueue(r.now, "q", h, 1, 100, 1<<20); err != nil {
		t.Fatal(err)
	}
	b.p.Handlers(r.now, "q", 1, 2)
	b.p.Consume(r.now, "q", 4, 0) // so that it is handed 8 at a time
	r.announce()
	var calls []*Call
	ended := map[uint64]Why{}
	a.ended = func(e *End) { ended[e.Call] = e.Why }
	for range 6 {
		c := r.call(0, 0, "q", []byte("work"))
		calls = append(calls, c)
		a.p.Enqueue(r.now, c)
	}
	r.pass(5*time.Millisecond, 100*time.Microsecond)
	if len(h.given) != 3 {
		t.Fatalf("%d items were given, want one handler's and 2 ahead", len(h.given))
	}
	h.begun = 1
	a.p.Cancel(r.now, calls[1].Number) // it was given, and not begun
	r.pass(5*time.Millisecond, 100*time.Microsecond)
	if len(h.given) != 3 || h.given[1].Call != calls[2].Number || h.given[2].Call != calls[3].Number {
		t.Fatalf("given after a cancel: %+v", h.given)
	}
	if err := b.p.HandleQueue(r.now, "q", h, 1, 100, 1<<20); err != ErrExists {
		t.Errorf("a second handler: %v", err)
	}
	b.p.CloseQueue(r.now, "q")
	b.p.Consume(r.now, "q", 0, 0)
	if len(h.given) != 1 {
		t.Errorf("%d items are left at a queue that closed", len(h.given))
	}
	if err := b.p.HandleQueue(r.now, "q", h, 1, 100, 1<<20); err != nil {
		t.Errorf("it opens again: %v", err)
	}
	b.p.Consume(r.now, "q", 1, 0)
	r.announce()
	r.pass(20*time.Millisecond, 100*time.Microsecond)
	if len(h.given) != 1 {
		t.Errorf("its handler is at work, and was given %d items more", len(h.given)-1)
	}
	b.p.DoneIn(r.now, "q", h.given[0].From, h.given[0].Call, h.given[0].Attempt, wire.ResultHandled, time.Microsecond)
	r.pass(20*time.Millisecond, 100*time.Microsecond)
	if len(h.given) != 2 || !h.given[1].Redelivered || ended[calls[0].Number] != Answered {
		t.Errorf("given: %+v, ended: %v", h.given, ended)
	}
	nobody := r.call(0, 0, "nobody", nil)
	a.p.Enqueue(r.now, nobody)
	a.p.CloseWaiting(r.now)
	if ended[nobody.Number] != Closed || ended[calls[1].Number] != Cancelled {
		t.Errorf("ended: %v", ended)
	}
	if _, ok := ended[h.given[1].Call]; ok {
		t.Error("an item that a consumer has ended with those that wait")
	}
	a.p.pairs.release()
	b.p.pairs.release()
}

// The items that wait for handlers share one bound of bytes, whatever queue they are in.
func TestQueuesShareBytes(t *testing.T) {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	begun := 0
	b.begin = func(*Work) { begun++ }
	for _, q := range []string{"p", "q"} {
		b.p.HandleQueue(r.now, q, b, 1, 100, 1000)
		b.p.Consume(r.now, q, 4, 0)
	}
	r.announce()
	for range 6 {
		for _, q := range []string{"p", "q"} {
			a.p.Enqueue(r.now, r.call(0, 0, q, make([]byte, 200)))
		}
	}
	r.pass(20*time.Millisecond, 100*time.Microsecond)
	if held := b.p.pairs.heldWork; begun != 2 || held != 1000 {
		t.Errorf("%d were begun, %d bytes wait", begun, held)
	}
	for _, q := range []string{"p", "q"} {
		b.p.CloseQueue(r.now, q)
	}
	if held := b.p.pairs.heldWork; held != 0 {
		t.Errorf("%d bytes wait in no queue", held)
	}
	a.p.pairs.release()
	b.p.pairs.release()
}
