package jms

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/jms/held"
	core "github.com/activeblaze/blaze/jms/link"
)

// traffic is what the connections of a channel send to holders, and what comes from there. What they have to send at a time
// leaves as one batch of operations. One goroutine takes in what has come, which wakes callers, lets them run, and sends
// what they have to say next: so operations that were answered together are followed by others that leave together. While
// it waits for an answer it polls, as engines do: a processor that has gone to sleep wakes later than most answers come.
type traffic struct {
	ch   *channel
	news atomic.Uint64 // counts what is sent, and what comes

	mu      sync.Mutex // a link's may be held around it
	out     core.Outbound[*link]
	in      []arrival
	bytes   int // of notices in in
	crowd   int // so often the goroutine lets others run before it sends: several had something to say at a time lately
	running bool

	waiter engine.Waiter // the goroutine's
}

// crowdFor is how long traffic remembers that several had something to say. One caller alone is not held up by other work
// of the process.
const crowdFor = 64

// arrival is something that has come: what became of a batch, or else notices.
type arrival struct {
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
	x.start()
	x.mu.Unlock()
}

// start has the goroutine run. mu is held.
func (x *traffic) start() {
	x.news.Add(1)
	if !x.running {
		x.running = true
		go x.run()
	}
}

func (x *traffic) arrive(a arrival) {
	x.mu.Lock()
	x.in = append(x.in, a)
	x.start()
	x.mu.Unlock()
}

// notice takes one of the holder in this process. It does not wait.
func (x *traffic) notice(n *held.Notice) { x.arrive(arrival{notice: n}) }

// notices takes those of other holders, on the engine's thread.
func (x *traffic) notices(i *reach.Item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !i.Raw || x.bytes+len(i.Payload) > maxNotices {
		x.ch.bad.Add(1)
		return
	}
	x.bytes += len(i.Payload)
	x.in = append(x.in, arrival{raw: slices.Clone(i.Payload), from: i.From})
	x.start()
}

// run takes in what has come, and sends what is to be sent, until there is neither.
func (x *traffic) run() {
	var in []arrival
	polled := false
	for {
		x.mu.Lock()
		clear(in)
		in, x.in = x.in, in[:0]
		if len(in) == 0 && !x.out.Ready() {
			if polled || !x.out.Waiting() {
				x.running = false
				x.mu.Unlock()
				return
			}
			polled = true
			seen := x.news.Load()
			x.mu.Unlock()
			x.poll(seen)
			continue
		}
		polled = false
		for i := range in {
			if in[i].batch == nil {
				x.bytes -= len(in[i].raw)
			} else {
				x.out.Done(in[i].batch)
			}
		}
		crowd := x.crowd > 0
		if crowd {
			x.crowd--
		}
		x.mu.Unlock()
		for i := range in {
			x.take(&in[i])
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

// poll waits until something has come since news was seen, at most as long as an engine of the channel's Config.Idle stays
// awake.
func (x *traffic) poll(seen uint64) {
	if x.ch.f.cfg.Idle == blaze.Block {
		return
	}
	x.waiter.Worked()
	for x.news.Load() == seen && !x.waiter.Wait(engine.Now()) {
		runtime.Gosched()
	}
}

// leave begins a request.
func (x *traffic) leave(b *core.Batch[*link]) {
	var err error
	if own := x.ch.ownHolder(b.To); own != nil {
		err = own.begin(x.ch.g.ID(), b.Data, func(answer []byte, err error) {
			x.arrive(arrival{batch: b, raw: answer, stored: own.stored, err: err})
		})
	} else {
		err = reach.Blaze.RequestThen(x.ch.g, b.To, holderInbox, b.Data, func(reply []byte, err error) {
			a := arrival{batch: b, err: err}
			if err == nil {
				a.raw, a.stored, a.err = openReply(slices.Clone(reply))
			}
			x.arrive(a)
		})
	}
	if err != nil {
		x.arrive(arrival{batch: b, err: err})
	}
}

// take takes in what has come.
func (x *traffic) take(a *arrival) {
	switch {
	case a.notice != nil:
		x.ch.notice(a.notice)
	case a.batch == nil:
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
