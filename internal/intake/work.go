package intake

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// Works carries the items of one queue from the first engine's thread to the goroutines of its consumers, the
// Workers: whichever is free takes the next. It is a group.Recaller, for one start of a channel: items that no
// handler has begun can be taken back.
//
// The items lie in a ring of cells with one producer and many consumers (after D. Vyukov's bounded queue). A
// consumer claims a cell by compare-and-swap of head, and then decides with the engine, which may want the item
// back, by compare-and-swap of the cell's state.
type Works struct {
	now   func() clock.Time
	done  func(*member.Done)
	first atomic.Pointer[works] // where consumers take
	last  *works                // where the engine puts: the engine's own
	held  atomic.Bool           // nothing is taken: the gate is closed

	_        [64]byte
	sleeping atomic.Int32
	wake     chan struct{} // one token: there may be something to take
}

// works is a ring of cells. When it is too small, a larger one takes its place: next.
type works struct {
	cells    []cell
	mask     uint64
	next     atomic.Pointer[works]
	_        [64]byte
	tail     atomic.Uint64 // written by the engine
	_        [64]byte
	head     atomic.Uint64
	recalled atomic.Int64 // cells between head and tail whose item was taken back
}

type cell struct {
	turn  atomic.Uint64 // number: free for that item; number + 1: it is there
	state atomic.Uint32
	Work
}

// States of a cell.
const (
	cellWaits uint32 = iota + 1
	cellBegun
	cellRecalled
)

// Work is one item of a queue as a Worker's handler gets it.
type Work struct {
	From        wire.MemberID
	Call        uint64
	Attempt     uint32
	Sequence    uint64
	Kind        wire.Kind
	Wanted      bool // a reply
	Redelivered bool
	Payload     []byte // lent
}

// NewWorks makes a Works for so many items that no handler has begun. now reads the clock; done takes in what became of an item that
// a handler has begun; it is called on the goroutines of Workers.
func NewWorks(items int, now func() clock.Time, done func(*member.Done)) *Works {
	q := &Works{now: now, done: done, wake: make(chan struct{}, 1)}
	q.last = newRing(items)
	q.first.Store(q.last)
	return q
}

func newRing(items int) *works {
	n := 16
	for n < 2*items { // half of it for items that were taken back
		n *= 2
	}
	r := &works{cells: make([]cell, n), mask: uint64(n - 1)}
	for i := range r.cells {
		r.cells[i].turn.Store(uint64(i))
	}
	return r
}

// Grow makes room for so many items that no handler has begun. It belongs to the first engine's thread.
func (q *Works) Grow(items int) {
	if 2*items > len(q.last.cells) {
		q.renew(items)
	}
}

// renew has what comes from now on lie in a new ring.
func (q *Works) renew(items int) {
	r := newRing(items)
	q.last.next.Store(r)
	q.last = r
}

// Hold has nothing be taken, until it is called with false. Any goroutine may call it.
func (q *Works) Hold(hold bool) {
	q.held.Store(hold)
	if !hold {
		q.rouse()
	}
}

// Begin implements group.WorkHandler.
func (q *Works) Begin(_ clock.Time, w *group.Work) {
	r := q.last
	n := r.tail.Load()
	if c := &r.cells[n&r.mask]; c.turn.Load() != n {
		for r.pass() {
		}
		if c.turn.Load() != n { // a consumer that was taken from the CPU has it
			q.renew(len(r.cells) / 2)
			r, n = q.last, 0
		}
	}
	c := &r.cells[n&r.mask]
	c.From, c.Call, c.Attempt, c.Sequence, c.Kind, c.Wanted, c.Redelivered = w.From, w.Call, w.Attempt, w.Sequence, w.Kind, w.Wanted, w.Redelivered
	c.Payload = append(c.Payload[:0], w.Payload...)
	c.state.Store(cellWaits)
	c.turn.Store(n + 1)
	r.tail.Store(n + 1)
	q.rouse()
}

// pass takes the first item away if it was taken back. It reports whether it was.
func (r *works) pass() bool {
	n := r.head.Load()
	c := &r.cells[n&r.mask]
	if n == r.tail.Load() || c.state.Load() != cellRecalled || !r.head.CompareAndSwap(n, n+1) {
		return false
	}
	r.recalled.Add(-1)
	c.turn.Store(n + r.mask + 1)
	return true
}

// Recall implements group.Recaller.
func (q *Works) Recall(from wire.MemberID, call uint64, attempt uint32) bool {
	for r := q.first.Load(); r != nil; r = r.next.Load() {
		if r.recalled.Load() >= int64(len(r.cells)/2) {
			continue // it could not be given more
		}
		for n := r.head.Load(); n != r.tail.Load(); n++ {
			c := &r.cells[n&r.mask]
			// Only this thread writes what is compared here. A cell that was taken and given back has another state.
			if c.Call == call && c.Attempt == attempt && c.From == from && c.turn.Load() == n+1 && c.state.CompareAndSwap(cellWaits, cellRecalled) {
				r.recalled.Add(1)
				return true
			}
		}
	}
	return false
}

// Len is how many items no handler has begun, those that were taken back included.
func (q *Works) Len() (n int) {
	for r := q.first.Load(); r != nil; r = r.next.Load() {
		n += int(r.tail.Load() - r.head.Load())
	}
	return n
}

func (q *Works) rouse() {
	if q.sleeping.Load() > 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// take claims the next item, gives it to f, and gives the cell back. It is false when there is none.
func (q *Works) take(f func(w *Work)) bool {
	for {
		r := q.first.Load()
		next := r.next.Load() // before the look at tail: then nothing more comes
		n := r.head.Load()
		if n == r.tail.Load() {
			if next == nil {
				return false
			}
			q.first.CompareAndSwap(r, next)
			continue
		}
		if q.held.Load() {
			return false
		}
		if !r.head.CompareAndSwap(n, n+1) {
			continue
		}
		c := &r.cells[n&r.mask]
		begun := c.state.CompareAndSwap(cellWaits, cellBegun)
		if begun {
			f(&c.Work)
			if cap(c.Payload) > keptPayload {
				c.Payload = nil
			}
		} else {
			r.recalled.Add(-1)
		}
		c.turn.Store(n + r.mask + 1)
		if begun {
			return true
		}
	}
}

// keptPayload bounds the memory that a cell keeps for payloads, bytes.
const keptPayload = 512

// empty reports whether there is nothing to take.
func (q *Works) empty() bool { return q.held.Load() || q.Len() == 0 }

// Worker is the goroutine of one consumer. It outlives starts: each has it serve a Works of its own.
type Worker struct {
	queue  string
	labels Labels
	take   func(*Work)        // reads an item where it lies
	handle func() wire.Result // handles what take read last

	item   Work          // that is being handled, without its payload
	turn   chan struct{} // a token while a goroutine serves
	server atomic.Uint64 // the goroutine that serves; 0: none
	times  Times         // of the handler

	mu   sync.Mutex
	quit chan struct{} // closed: the goroutine ends after the handler that runs; nil while there is none
}

// Times is how long the handler took for each item so far. Any goroutine may call it.
func (w *Worker) Times() core.Times { return w.times.Copy() }

// NewWorker makes a Worker, which serves nothing yet. For each item take is called, which is lent it, and then
// handle.
func NewWorker(queue string, labels Labels, take func(*Work), handle func() wire.Result) *Worker {
	return &Worker{queue: queue, labels: labels, take: take, handle: handle, turn: make(chan struct{}, 1)}
}

// Serve begins to take from q, on a goroutine.
func (w *Worker) Serve(q *Works) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit == nil {
		w.quit = make(chan struct{})
		go w.serve(q, w.quit)
	}
}

// Stop has the goroutine end after the handler that runs.
func (w *Worker) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit != nil {
		close(w.quit)
		w.quit = nil
	}
}

// Join waits until no goroutine but perhaps the caller serves after Stop, and reports whether that came to be.
// It gives up when the channel is closed, nil for never.
func (w *Worker) Join(giveUp <-chan struct{}) bool {
	if w.Called() {
		return true
	}
	select {
	case w.turn <- struct{}{}:
	default:
		select {
		case w.turn <- struct{}{}:
		case <-giveUp:
			return false
		}
	}
	<-w.turn
	return true
}

// Called reports whether the caller is the worker's handler.
func (w *Worker) Called() bool { return w.server.Load() == gid.Current() }

func (w *Worker) serve(q *Works, quit <-chan struct{}) {
	select {
	case w.turn <- struct{}{}:
	case <-quit:
		return
	}
	w.server.Store(gid.Current())
	w.labels.set()
	defer func() {
		w.server.Store(0)
		<-w.turn
		q.rouse() // another may have waited for this one
	}()
	for {
		select {
		case <-quit:
			return
		default:
		}
		if !q.take(w.read) {
			if !q.sleep(quit) {
				return
			}
			continue
		}
		if !q.empty() {
			q.rouse()
		}
		w.work(q)
	}
}

func (w *Worker) read(i *Work) {
	w.item = *i
	w.item.Payload = nil
	w.take(i)
}

// work has the handler work on the item, and reports what became of it.
func (w *Worker) work(q *Works) {
	i := &w.item
	began := q.now()
	result := w.handle()
	took := q.now().Sub(began)
	w.times.Add(took)
	q.done(&member.Done{Queue: w.queue, From: i.From, Call: i.Call, Attempt: i.Attempt, Result: result, Took: took})
}

// sleep waits until there is something to take. False means that the goroutine ends.
func (q *Works) sleep(quit <-chan struct{}) bool {
	q.sleeping.Add(1)
	defer q.sleeping.Add(-1)
	if !q.empty() {
		return true
	}
	select {
	case <-q.wake:
		return true
	case <-quit:
		return false
	}
}

var _ group.Recaller = (*Works)(nil)
