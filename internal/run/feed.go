package run

import (
	"sync"
	"sync/atomic"
)

// feed is one list of events that several goroutines read, each at its own pace: an event exists once. What all have
// read is garbage. Its writer never waits for a reader: it cuts off one that is too far behind.
type feed[T any] struct {
	mu   sync.Mutex // held while the state that events belong to changes, or is looked at together with the list's end
	tail *page[T]

	count, bytes uint64 // of all events up to the tail; guarded by mu
	readers      []*reader[T]
	checked      uint64 // count and bytes when readers were last looked at
	weighed      uint64
}

// page holds the events of one turn.
type page[T any] struct {
	events []T
	reset  bool // what was there before is not continued by events

	count, bytes uint64 // of all events up to its end

	ready chan struct{} // closed when there is a next page, or the page is cut
	next  atomic.Pointer[page[T]]
	cut   atomic.Bool // a reader that is here is too far behind
}

// Bounds of what a reader may be behind.
const (
	feedEvents = 1_000_000
	feedBytes  = 64 << 20
	feedEvery  = 1024    // events between two looks at the readers
	feedWeigh  = 1 << 20 // bytes between two looks
)

// reader is one reader's place in a feed.
type reader[T any] struct {
	at   atomic.Pointer[page[T]]
	lost *page[T] // where the list was cut, if the reader is still there; guarded by the feed's mu
}

func newPage[T any](count, bytes uint64) *page[T] {
	return &page[T]{count: count, bytes: bytes, ready: make(chan struct{})}
}

// begin puts a reader at the end of the list. It is called with mu, or before any writer.
func (f *feed[T]) begin(r *reader[T]) {
	if f.tail == nil {
		f.tail = newPage[T](f.count, f.bytes)
	}
	r.at.Store(f.tail)
	r.lost = nil
	f.readers = append(f.readers, r)
}

// end takes a reader out. It is called with mu.
func (f *feed[T]) end(r *reader[T]) {
	for i, o := range f.readers {
		if o == r {
			last := len(f.readers) - 1
			f.readers[i] = f.readers[last]
			f.readers[last] = nil
			f.readers = f.readers[:last]
			break
		}
	}
	if len(f.readers) == 0 {
		f.tail, f.readers = nil, nil
	}
	r.at.Store(nil)
}

// leave takes a reader out.
func (f *feed[T]) leave(r *reader[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(r)
}

// put appends events, which are the feed's from now on, if somebody reads it. It is called with mu, and reports how many
// readers were cut off.
func (f *feed[T]) put(events []T, bytes uint64, reset bool) (overrun int) {
	if len(f.readers) == 0 {
		return 0
	}
	f.count += uint64(len(events))
	f.bytes += bytes
	p := newPage[T](f.count, f.bytes)
	p.events, p.reset = events, reset
	old := f.tail
	f.tail = p
	old.next.Store(p)
	close(old.ready)
	if f.count-f.checked >= feedEvery || f.bytes-f.weighed >= feedWeigh {
		f.checked, f.weighed = f.count, f.bytes
		overrun = f.cut()
	}
	return overrun
}

// cut severs the list behind readers that are too far behind: what they have not read is garbage.
func (f *feed[T]) cut() (overrun int) {
	for _, r := range f.readers {
		p := r.at.Load()
		if r.lost == p || p == f.tail || f.count-p.count <= feedEvents && f.bytes-p.bytes <= feedBytes {
			continue
		}
		p.cut.Store(true)
		p.next.Store(nil)
		r.lost = p // it may have gone on just now, and then it is looked at again
		overrun++
	}
	return overrun
}

// next returns the page after the reader's, and moves it there; nil: there is none yet. overrun: the list was cut, and
// the reader is to begin anew.
func (r *reader[T]) next() (p *page[T], overrun bool) {
	here := r.at.Load()
	if p = here.next.Load(); p == nil {
		return nil, here.cut.Load()
	}
	r.at.Store(p)
	return p, here.cut.Load()
}

// more is closed when next has something.
func (r *reader[T]) more() <-chan struct{} { return r.at.Load().ready }
