package abi

import (
	"sync"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze"
)

// Event is a message or a loss that a poll hands out.
type Event struct {
	Loss *blaze.Loss // nil: it is a message

	Payload     unsafe.Pointer
	Length      int
	Topic       unsafe.Pointer // ends with a NUL
	TopicLength int
	From        blaze.MemberID
	Sequence    uint64
	Received    int64
	Kind        blaze.Kind
}

// A poller carries what a subscription's handler is given to the thread that polls. The handler fills one batch while the
// other is with the caller. It waits while its batch is full, and then the subscription's queue fills, as with a slow handler.
type poller struct {
	ready, room chan struct{} // one token each
	done        chan struct{} // closed by end

	mu      sync.Mutex
	filling *batch
	lent    *batch
	ended   bool
	freed   bool
}

const (
	batchEvents = 256
	batchBytes  = 256 << 10 // a larger message has a batch of its own
)

// batch is what was copied for one poll.
type batch struct {
	events  []stored
	memory  unsafe.Pointer // of size bytes; nil: none yet
	size    int
	used    int
	out     int // events that were handed out
	topic   string
	topicAt int
}

// stored is an event whose bytes lie at places in the batch's memory.
type stored struct {
	Event
	payload, topic int
}

func newPoller() *poller {
	return &poller{
		ready: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
		filling: new(batch), lent: new(batch),
	}
}

func (p *poller) message(d *blaze.Delivery) {
	p.put(len(d.Payload)+len(d.Topic)+1, func(b *batch) {
		e := stored{Event: Event{
			Length: len(d.Payload), TopicLength: len(d.Topic), From: d.From, Sequence: d.Sequence, Received: d.Received, Kind: d.Kind,
		}}
		if d.Topic != b.topic || b.used == 0 {
			b.topic, b.topicAt = d.Topic, b.copy(d.Topic, 0)
			b.copy("\x00", 0)
		}
		e.topic = b.topicAt
		e.payload = b.copy(unsafe.String(unsafe.SliceData(d.Payload), len(d.Payload)), 8)
		b.events = append(b.events, e)
	})
}

func (p *poller) loss(l blaze.Loss) {
	p.put(0, func(b *batch) { b.events = append(b.events, stored{Event: Event{Loss: &l}}) })
}

// put waits for room and fills it. After end it drops.
func (p *poller) put(n int, fill func(*batch)) {
	for {
		p.mu.Lock()
		if p.ended {
			p.mu.Unlock()
			return
		}
		b := p.filling
		if len(b.events) == 0 || len(b.events) < batchEvents && b.used+n <= batchBytes {
			fill(b)
			p.mu.Unlock()
			signal(p.ready)
			return
		}
		p.mu.Unlock()
		select {
		case <-p.room:
		case <-p.done:
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// copy puts s into the batch's memory, at a multiple of align where that is not 0, and returns where it lies.
func (b *batch) copy(s string, align int) int {
	if align > 0 {
		b.used = (b.used + align - 1) / align * align
	}
	at := b.used
	if need := at + len(s); need > b.size || b.memory == nil {
		size := max(4096, 2*b.size, need)
		grown := Heap.Alloc(size)
		if b.memory != nil {
			copy(unsafe.Slice((*byte)(grown), b.used), unsafe.Slice((*byte)(b.memory), b.used))
			Heap.Free(b.memory)
		}
		b.memory, b.size = grown, size
	}
	copy(unsafe.Slice((*byte)(b.memory), b.size)[at:], s)
	b.used = at + len(s)
	return at
}

// clear makes the batch empty. Memory that one large message took is given back.
func (b *batch) clear() {
	clear(b.events)
	b.events, b.used, b.out, b.topic = b.events[:0], 0, 0, ""
	if b.size > 2*batchBytes {
		b.free()
	}
}

func (b *batch) free() {
	if b.memory != nil {
		Heap.Free(b.memory)
		b.memory, b.size = nil, 0
	}
}

// take hands out what is there, up to most events, and waits for the first.
func (p *poller) take(most int, timeout int64, gone <-chan struct{}, out func(int, *Event)) (int, error) {
	var expired <-chan time.Time
	for {
		p.mu.Lock()
		if p.ended {
			p.mu.Unlock()
			return 0, errEnded
		}
		if b := p.lent; b.out == len(b.events) && len(p.filling.events) > 0 {
			b.clear()
			p.filling, p.lent = b, p.filling
			signal(p.room)
		}
		n := 0
		for b := p.lent; b.out < len(b.events) && n < most; n++ {
			e := &b.events[b.out]
			b.out++
			if e.Loss == nil {
				e.Payload, e.Topic = unsafe.Add(b.memory, e.payload), unsafe.Add(b.memory, e.topic)
			}
			out(n, &e.Event)
		}
		p.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if timeout == 0 {
			return 0, ErrTimeout
		}
		if expired == nil && timeout > 0 && timeout <= maxTimeout {
			t := time.NewTimer(time.Duration(timeout) * time.Millisecond)
			defer t.Stop()
			expired = t.C
		}
		select {
		case <-p.ready:
		case <-p.done:
			return 0, errEnded
		case <-gone: // what its handler still gets, the losses of a disconnect, comes first
			select {
			case <-p.ready:
				continue
			case <-time.After(goneGrace):
				return 0, errEnded
			}
		case <-expired:
			return 0, ErrTimeout
		}
	}
}

// goneGrace is how long a poll of a subscription that has ended waits for the losses which are still to be reported.
const goneGrace = 20 * time.Millisecond

// end wakes whoever waits; nothing is handed out any more.
func (p *poller) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.done)
	}
}

// free gives the memory back. The handler does not run any more.
func (p *poller) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.freed {
		return
	}
	p.freed = true
	p.filling.free()
	p.lent.free()
}
