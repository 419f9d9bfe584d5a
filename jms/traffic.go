package jms

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/jms/held"
	core "github.com/activeblaze/blaze/jms/link"
)

// traffic is what the connections of a channel send to holders, and what comes from there. What they have to send at a time
// leaves as one batch of operations. One goroutine takes in what has come, which wakes callers, lets them run, and sends
// what they have to say next: so operations that were answered together are followed by others that leave together.
type traffic struct {
	ch *channel

	mu    sync.Mutex // a link's may be held around it; never the engine's thread
	out   core.Outbound[*link]
	crowd int // so often the goroutine lets others run before it sends: several had something to say at a time lately

	in      atomic.Pointer[arrival] // what has come, the last one first
	bytes   atomic.Int64            // of notices in in
	running atomic.Bool
}

// crowdFor is how long traffic remembers that several had something to say. One caller alone is not held up by other work
// of the process.
const crowdFor = 64

// arrival is something that has come: what became of a batch, or else notices.
type arrival struct {
	before *arrival

	batch  *core.Batch[*link] // nil: notices
	raw    []byte             // its answer; or notices, encoded
	stored bool               // by a holder with a DataDir
	err    error              // there is no answer

	from   held.Member  // of notices: the holder
	notice *held.Notice // of the holder in this process
}

// maxNotices bounds what waits to be taken in. What is dropped is asked for: link.look.
const maxNotices = 64 << 20

// send takes what a link hands out. mu of the link is held.
func (x *traffic) send(l *link, s core.Send) {
	x.mu.Lock()
	if x.out.Add(l, s) {
		x.crowd = crowdFor
	}
	x.mu.Unlock()
	x.start()
}

// start has the goroutine run. One that ends looks once more for something to do after it has set running to false.
func (x *traffic) start() {
	if x.running.CompareAndSwap(false, true) {
		go x.run()
	}
}

// arrive takes what has come, also from an engine's thread. That must not wait for a lock: whoever has it may not run just
// then.
func (x *traffic) arrive(a *arrival) {
	for {
		a.before = x.in.Load()
		if x.in.CompareAndSwap(a.before, a) {
			break
		}
	}
	x.start()
}

// notice takes one of the holder in this process. It does not wait.
func (x *traffic) notice(n *held.Notice) { x.arrive(&arrival{notice: n}) }

// notices takes those of other holders, on the engine's thread.
func (x *traffic) notices(i *reach.Item) {
	n := int64(len(i.Payload))
	if !i.Raw || x.bytes.Load()+n > maxNotices {
		x.ch.bad.Add(1)
		return
	}
	x.bytes.Add(n)
	x.arrive(&arrival{raw: slices.Clone(i.Payload), from: i.From})
}

// arrived is what has come since the last call, in order.
func (x *traffic) arrived() (first *arrival) {
	for a := x.in.Swap(nil); a != nil; {
		next := a.before
		a.before, first = first, a
		a = next
	}
	return first
}

// run takes in what has come, and sends what is to be sent, until there is neither.
func (x *traffic) run() {
	for {
		first := x.arrived() // from here on, before leads to what came next
		x.mu.Lock()
		for a := first; a != nil; a = a.before {
			if a.batch != nil {
				x.out.Done(a.batch)
			}
		}
		idle := first == nil && !x.out.Ready()
		crowd := !idle && x.crowd > 0
		if crowd {
			x.crowd--
		}
		x.mu.Unlock()
		if idle {
			x.running.Store(false)
			if x.idle() || !x.running.CompareAndSwap(false, true) {
				return // or another one runs
			}
			continue
		}
		for a := first; a != nil; a = a.before {
			x.take(a)
		}
		if crowd { // those that have an answer now, or a message, have something to say soon
			runtime.Gosched()
		}
		for {
			x.mu.Lock()
			b, ok := x.out.Poll()
			x.mu.Unlock()
			if !ok {
				break
			}
			x.leave(b)
		}
	}
}

// idle reports whether there is nothing to do.
func (x *traffic) idle() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.in.Load() == nil && !x.out.Ready()
}

// leave begins a request.
func (x *traffic) leave(b *core.Batch[*link]) {
	var err error
	if own := x.ch.ownHolder(b.To); own != nil {
		err = own.begin(x.ch.g.ID(), b.Data, func(answer []byte, err error) {
			x.arrive(&arrival{batch: b, raw: answer, stored: own.stored, err: err})
		})
	} else {
		err = reach.Blaze.RequestThen(x.ch.g, b.To, holderInbox, b.Data, func(reply []byte, err error) {
			a := &arrival{batch: b, err: err}
			if err == nil {
				a.raw, a.stored, a.err = openReply(slices.Clone(reply))
			}
			x.arrive(a)
		})
	}
	if err != nil {
		x.arrive(&arrival{batch: b, err: err})
	}
}

// take takes in what has come.
func (x *traffic) take(a *arrival) {
	switch {
	case a.notice != nil:
		x.ch.notice(a.notice)
	case a.batch == nil:
		x.bytes.Add(-int64(len(a.raw)))
		if !x.ch.holds(blaze.MemberID(a.from)) || !held.ParseNotices(a.raw, x.ch.notice) {
			x.ch.bad.Add(1)
		}
	case errors.Is(a.err, blaze.ErrTooLarge) && x.halve(a.batch):
	case a.err != nil:
		x.failed(a.batch, a.err)
	default:
		x.answered(a)
	}
}

func (x *traffic) halve(b *core.Batch[*link]) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.Halve(b)
}

// answered gives the links of a batch their answers.
func (x *traffic) answered(a *arrival) {
	var of *link
	ok := a.batch.Answers(a.raw, func(i *core.Item[*link], answer []byte) {
		if of != i.Owner {
			if of != nil {
				of.turn()
				of.mu.Unlock()
			}
			of = i.Owner
			of.mu.Lock()
		}
		of.take(i.Send, answer, a.stored)
	})
	if of != nil {
		of.turn()
		of.mu.Unlock()
	}
	if !ok {
		x.failed(a.batch, blaze.ErrMalformed)
	}
}

// failed tells the links of a batch that it was not answered.
func (x *traffic) failed(b *core.Batch[*link], err error) {
	of := map[*link][]core.Send{}
	for _, i := range b.Items {
		of[i.Owner] = append(of[i.Owner], i.Send)
	}
	for l, sends := range of {
		go l.fail(sends, err)
	}
}
