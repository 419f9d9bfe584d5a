package group

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The consumer's half of queues: what was accepted and waits for a handler, and what handlers have begun.

// Work is one item of a queue as a handler is given it. Everything in it is lent until Begin returns.
type Work struct {
	From        wire.MemberID
	Queue       string
	Call        uint64 // of the sender; Reply and Done are given it
	Attempt     uint32
	Sequence    uint64 // of the item in the sender's channel; 0: of this member itself
	Kind        wire.Kind
	Wanted      bool // a reply
	Redelivered bool // it may have been begun before, here or elsewhere
	Payload     []byte

	known uint32 // the incarnation of this member that the sender had in mind
}

// WorkHandler begins items. For each it has Done called once, later or at once. It may call Reply and Done,
// and nothing else of the Protocol.
type WorkHandler interface {
	Begin(now clock.Time, w *Work)
}

// Recaller is a WorkHandler that items may be given ahead: more than there are handlers, so that a handler
// finds the next one when it is done. See Handlers.
type Recaller interface {
	WorkHandler
	// Recall takes back an item that Begin gave, if no handler has begun it. It reports whether it did: Done
	// is not called for the item then.
	Recall(from wire.MemberID, call uint64, attempt uint32) bool
}

// workQueue is one queue that this member consumes.
type workQueue struct {
	name     string
	h        WorkHandler
	recaller Recaller // h, if it is one; else nil
	handlers int      // at work at a time
	ahead    int      // items that Begin gives besides
	given    int      // bytes of the items in running

	most    int // items that may wait
	bytes   int // that those of all queues may have when another one comes
	items   []*workItem
	running []begunWork
	first   consumer      // the one of exclusive consumers that is to take; rank 0: none is exclusive
	service time.Duration // smoothed: how long a handler takes
	active  bool          // this member is to take from it; false: another consumer is
	claim   *claim        // of an exclusive consumer that begins nothing yet
	closing bool
}

// workItem is an item that no handler has begun.
type workItem struct{ Work }

// begunWork is an item that a handler has begun.
type begunWork struct {
	from    wire.MemberID
	call    uint64
	attempt uint32
	bytes   int
	at      clock.Time
}

// HandleQueue has h take what comes from a queue, with so many handlers at a time. At most so many items wait for a
// handler, and so many bytes of items in all queues together. It announces nothing: see Consume. A queue that closes is opened again:
// its handlers that are still at work count.
func (p *Protocol) HandleQueue(now clock.Time, queue string, h WorkHandler, handlers, most, bytes int) error {
	p.observe(now)
	x := p.pairs
	w := x.works[queue]
	switch {
	case w == nil:
		w = &workQueue{name: queue}
		x.works[queue] = w
		x.workList = append(x.workList, w)
	case !w.closing:
		return ErrExists
	}
	w.h, w.handlers, w.ahead, w.most, w.bytes = h, handlers, 0, most, bytes
	w.recaller, _ = h.(Recaller)
	w.active, w.closing = true, false
	x.stale = true
	return nil
}

// Handlers sets how many handlers a queue has from now on, and how many items a Recaller is given ahead.
func (p *Protocol) Handlers(now clock.Time, queue string, handlers, ahead int) {
	p.observe(now)
	w := p.pairs.works[queue]
	if w == nil {
		return
	}
	if w.handlers, w.ahead = handlers, ahead; w.recaller == nil {
		w.ahead = 0
	}
	p.pairs.next = true
}

// maxAhead bounds the bytes of the items that are given to a Recaller ahead.
const maxAhead = 256 << 10

// mayBegin reports whether an item of n bytes may be given to the handlers now.
func (w *workQueue) mayBegin(n int) bool {
	more := len(w.running) - w.handlers
	return more < 0 || more < w.ahead && w.given+n <= maxAhead
}

// CloseQueue ends what HandleQueue began: nothing more is taken, what no handler has begun goes back. What
// was begun ends with Done.
func (p *Protocol) CloseQueue(now clock.Time, queue string) {
	p.observe(now)
	x := p.pairs
	w := x.works[queue]
	if w == nil || w.closing {
		return
	}
	w.closing = true
	x.recall(now, w, func(wire.MemberID, uint64) bool { return true }, true)
	items := w.items
	w.items = nil
	for _, i := range items {
		x.heldWork -= len(i.Payload)
		x.sendResult(now, w, i.From, i.Call, i.Attempt, wire.ResultReturned)
		x.freeWork(i)
	}
	x.dropClosed(w)
}

// working reports whether handlers of a queue are at work.
func (x *pairs) working(queue string) bool {
	w := x.works[queue]
	return w != nil && len(w.running) > 0
}

func (x *pairs) dropClosed(w *workQueue) {
	if w.closing && len(w.running) == 0 {
		for _, q := range x.p.own.queues {
			if q.queue == w.name && q.ending {
				x.p.Consume(x.p.last, w.name, 0, 0)
				break
			}
		}
		delete(x.works, w.name)
		x.workList = slices.DeleteFunc(x.workList, func(o *workQueue) bool { return o == w })
	}
}

// accept takes an item of a queue, or refuses it.
func (x *pairs) accept(now clock.Time, from wire.MemberID, in *receiving, i *wire.Item, payload []byte, number uint64) (Verdict, wire.RefusalReason) {
	w := x.works[string(i.Name)]
	switch {
	case w == nil:
		return Refuse, wire.RefusedNoHandler
	case w.closing:
		return Refuse, wire.RefusedStopping
	case len(payload) > x.p.cfg.MaxMessageSize:
		return Refuse, wire.RefusedNoRoom
	}
	if x.stale {
		x.findConsumers()
	}
	if !w.active || w.claim != nil && !x.is(claimAtOnce) {
		return Refuse, wire.RefusedNotActive
	}
	work := Work{From: from, Queue: w.name, Call: i.Call, Attempt: i.Attempt, Sequence: number, Kind: i.PayloadKind,
		Wanted: i.Kind == wire.ItemQueueRequest, Redelivered: i.Redelivered}
	if in != nil {
		work.known = in.pair.fromIncarnation
	}
	if len(w.items) == 0 && w.mayBegin(len(payload)) {
		work.Payload = payload
		x.startWork(now, w, &work)
		return Take, 0
	}
	if len(w.items) >= w.most || x.heldWork+len(payload) > w.bytes {
		return Refuse, wire.RefusedNoRoom
	}
	kept := x.newWork()
	kept.Work, kept.Payload = work, append(kept.Payload[:0], payload...)
	w.items = append(w.items, kept)
	x.heldWork += len(payload)
	return Take, 0
}

// newWork returns an item whose memory was used before, if there is one.
func (x *pairs) newWork() *workItem {
	if last := len(x.spareWork) - 1; last >= 0 {
		i := x.spareWork[last]
		x.spareWork = x.spareWork[:last]
		return i
	}
	return new(workItem)
}

const maxSpareWork = 1024

func (x *pairs) freeWork(i *workItem) {
	if payload := i.Payload[:0]; len(x.spareWork) < maxSpareWork && cap(payload) <= 4<<10 {
		*i = workItem{}
		i.Payload = payload
		x.spareWork = append(x.spareWork, i)
	}
}

// startWork has a handler begin an item.
func (x *pairs) startWork(now clock.Time, w *workQueue, i *Work) {
	w.given += len(i.Payload)
	w.running = append(w.running, begunWork{i.From, i.Call, i.Attempt, len(i.Payload), now})
	x.work = *i
	w.h.Begin(now, &x.work)
}

// Done says what became of an item that a handler has begun, which was when Begin gave it.
func (p *Protocol) Done(now clock.Time, queue string, from wire.MemberID, call uint64, attempt uint32, result wire.Result) {
	p.DoneIn(now, queue, from, call, attempt, result, -1)
}

// DoneIn is Done of an item that a handler had for so long; negative: since Begin gave it.
func (p *Protocol) DoneIn(now clock.Time, queue string, from wire.MemberID, call uint64, attempt uint32, result wire.Result, took time.Duration) {
	p.observe(now)
	x := p.pairs
	w := x.works[queue]
	if w == nil {
		return
	}
	at := slices.IndexFunc(w.running, func(b begunWork) bool { return b.from == from && b.call == call && b.attempt == attempt })
	if at < 0 {
		return
	}
	if took < 0 {
		took = now.Sub(w.running[at].at)
	}
	if w.service == 0 {
		w.service = max(took, 1)
	}
	w.service += (took - w.service) / 8
	w.given -= w.running[at].bytes
	w.running = slices.Delete(w.running, at, at+1)
	x.sendResult(now, w, from, call, attempt, result)
	x.dropClosed(w)
	x.next = true // a handler is idle
}

// lateResults takes in what this member's own handlers have done while the gate was closed.
func (x *pairs) lateResults(now clock.Time) (n int) {
	for ; n < len(x.late); n++ { // which may grow
		i := x.late[n]
		x.result(now, x.p.cfg.Self, &i)
	}
	x.late = x.late[:0]
	return n
}

// startWaiting has idle handlers begin what waits.
func (x *pairs) startWaiting(now clock.Time) (n int) {
	if !x.next {
		return 0
	}
	x.next = false
	for at := 0; at < len(x.workList); at++ {
		w := x.workList[at]
		for len(w.items) > 0 && w.mayBegin(len(w.items[0].Payload)) {
			i := w.items[0]
			w.items = slices.Delete(w.items, 0, 1)
			x.heldWork -= len(i.Payload)
			x.startWork(now, w, &i.Work)
			x.freeWork(i)
			n++
		}
	}
	return n
}

// sendResult reports to the sender of an item what became of it.
func (x *pairs) sendResult(now clock.Time, w *workQueue, to wire.MemberID, number uint64, attempt uint32, r wire.Result) {
	backlog, service := uint32(len(w.items)+max(0, len(w.running)-w.handlers)), uint32(min(max(w.service/time.Microsecond, 1), 1<<31))
	if to == x.p.cfg.Self {
		i := wire.Item{Call: number, Attempt: attempt, Result: r, Backlog: backlog, Service: service}
		if x.p.gated() || len(x.late) > 0 { // no call may end well now; and a reply comes before its result
			x.late = append(x.late, i)
		} else {
			x.result(now, to, &i)
		}
		return
	}
	if x.p.find(to) == nil {
		return // it hands the item out anew, or is no more
	}
	note := x.note(wire.ItemResult, number, attempt)
	note.outcome, note.backlog, note.service = r, backlog, service
	x.queue(now, note, to, wire.ChannelAnswers)
}

// cancelWork drops an item that its sender does not want any more, unless a handler has begun it.
func (x *pairs) cancelWork(from wire.MemberID, number uint64) {
	x.dropWork(func(by wire.MemberID, call uint64) bool { return by == from && call == number })
}

// dropWorkOf drops what a member has sent and no handler has begun: it hands it out anew.
func (x *pairs) dropWorkOf(from wire.MemberID) {
	if !x.is(keepUnbegun) {
		x.dropWork(func(by wire.MemberID, _ uint64) bool { return by == from })
	}
}

func (x *pairs) dropWork(which func(from wire.MemberID, call uint64) bool) {
	for _, w := range x.workList {
		x.recall(0, w, which, false)
		w.items = slices.DeleteFunc(w.items, func(i *workItem) bool {
			if !which(i.From, i.Call) {
				return false
			}
			x.heldWork -= len(i.Payload)
			x.freeWork(i)
			return true
		})
	}
}

// recall takes back what a Recaller was given ahead. With giveBack it goes back to its senders.
func (x *pairs) recall(now clock.Time, w *workQueue, which func(from wire.MemberID, call uint64) bool, giveBack bool) {
	if w.recaller == nil {
		return
	}
	for i := 0; i < len(w.running); {
		b := w.running[i]
		if !which(b.from, b.call) || !w.recaller.Recall(b.from, b.call, b.attempt) {
			i++
			continue
		}
		w.given -= b.bytes
		w.running = slices.Delete(w.running, i, i+1)
		x.next = true
		if giveBack {
			x.sendResult(now, w, b.from, b.call, b.attempt, wire.ResultReturned)
		}
	}
}
