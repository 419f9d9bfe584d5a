package intake

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// Each item is handled once, or taken back; never both, and none is left. Workers come and go meanwhile, and
// there is more room from time to time.
func TestWorksHandOutOnce(t *testing.T) {
	const items = 20_000
	const most = 40 // that are out
	var handled, done [items]atomic.Int32
	finished := make(chan struct{}, items)
	q := NewWorks(8, func() clock.Time { return 1 }, func(d *member.Done) {
		if d.Queue != "q" || d.From != (wire.MemberID{7}) || d.Attempt != 3 {
			t.Errorf("done: %+v", d)
		}
		done[d.Call].Add(1)
		finished <- struct{}{}
	})
	q.Grow(most)
	var workers []*Worker
	for range 4 {
		var n uint64
		workers = append(workers, NewWorker("q", Labels{}, func(w *Work) {
			if n = w.Call; binary.LittleEndian.Uint64(w.Payload) != n {
				t.Errorf("item %d has the payload of another one", n)
			}
		}, func() wire.Result {
			handled[n].Add(1)
			return wire.ResultHandled
		}))
	}
	for _, w := range workers {
		w.Serve(q)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	recalled := make([]bool, items)
	out, back := 0, 0
	var payload [8]byte
	for n := range uint64(items) {
		for out == most {
			<-finished
			out--
		}
		binary.LittleEndian.PutUint64(payload[:], n)
		q.Begin(1, &group.Work{From: wire.MemberID{7}, Call: n, Attempt: 3, Payload: payload[:]})
		out++
		for range rng.IntN(3) { // one that may have been handled long ago
			at := n - min(n, rng.Uint64N(8))
			if !recalled[at] && q.Recall(wire.MemberID{7}, at, 3) {
				recalled[at] = true
				back++
				out--
			}
		}
		switch {
		case n%1000 == 500:
			w := workers[rng.IntN(len(workers))]
			w.Stop()
			w.Join(nil)
			w.Serve(q)
		case n%5000 == 4999:
			q.Grow(most + int(n/100))
		case n%777 == 0:
			q.Hold(true)
			q.Hold(false)
		}
	}
	for ; out > 0; out-- {
		<-finished
	}
	for _, w := range workers {
		w.Stop()
		w.Join(nil)
	}
	if back == 0 || back == items {
		t.Fatalf("%d of %d items were taken back: the test tests nothing", back, items)
	}
	for n := range handled {
		want := int32(1)
		if recalled[n] {
			want = 0
		}
		if got := handled[n].Load(); got != want || done[n].Load() != want {
			t.Fatalf("item %d was handled %d times, with %d results; taken back: %v", n, got, done[n].Load(), recalled[n])
		}
	}
}

// Without anybody who takes, items that were taken back do not use up the room.
func TestWorksRecallWithoutWorkers(t *testing.T) {
	q := NewWorks(4, func() clock.Time { return 1 }, func(*member.Done) {})
	live := 0
	for n := range uint64(10_000) {
		q.Begin(1, &group.Work{Call: n})
		if live++; live == 4 {
			for at := n - 2; at <= n; at++ { // the first one stays
				if q.Recall(wire.MemberID{}, at, 0) {
					live--
				}
			}
		}
		if live == 4 {
			return // what cannot be taken back any more is kept
		}
	}
	t.Error("items behind one that stays are taken back without end")
}

// A held Works gives out nothing.
func TestWorksHold(t *testing.T) {
	handled := make(chan uint64, 10)
	q := NewWorks(4, func() clock.Time { return 1 }, func(d *member.Done) { handled <- d.Call })
	q.Hold(true)
	w := NewWorker("q", Labels{}, func(*Work) {}, func() wire.Result { return wire.ResultHandled })
	w.Serve(q)
	q.Begin(1, &group.Work{Call: 1})
	if !q.empty() {
		t.Error("it seems to have something")
	}
	q.Hold(false)
	if n := <-handled; n != 1 {
		t.Errorf("item %d", n)
	}
	w.Stop()
	w.Join(nil)
}
