package group

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// The sender's half of queues. Each member that enqueues holds its own messages and hands them out: one
// message to one consumer at a time.

const (
	maxRefusers   = 8
	maxHad        = 16
	againRefused  = time.Millisecond       // a consumer that refused an item is handed the next one
	mostRefused   = 16 * time.Millisecond  // doubling up to this
	firstAgain    = 10 * time.Millisecond  // an item that every consumer failed on
	lastAgain     = time.Second            // doubling up to this
	nothingEvery  = 250 * time.Millisecond // a session with outstanding items is tried so often
	leastOut      = 2                      // items that a consumer is given ahead
	mostOut       = 64
	handlersAhead = 2 // items for each handler

	// What a round trip is for other consumers: to a handler of this member that has nothing to do, and back.
	firstTurn = 50 * time.Microsecond // before it was measured
	mostTurn  = time.Millisecond
)

// queue is a queue of which this member has items, or had some a short while ago.
type queue struct {
	name      string
	waiting   line[*queued] // in the order of the calls
	items     int           // waiting and handed out
	consumers []consumer    // in the order of ids
	was       []consumer    // while consumers are found anew
	last      int           // place of the consumer that was chosen last
	place     int           // in pairs.queueList; -1: it has no items
}

// maxIdleQueues bounds the queues without items that are kept, so that their next item need not look for
// consumers again.
const maxIdleQueues = 1024

// consumer is one member that takes from a queue.
type consumer struct {
	id       wire.MemberID
	e        *entry // nil: this member
	handlers int
	rank     uint32
	out      int // items of this member that it was handed
	backlog  int // items that wait there for handlers, as it said last
	service  time.Duration
	turn     time.Duration // of this member: smoothed, without the handler's time; 0: not measured

	refused   time.Duration // how long it is left alone after it refused; 0: it took the last item
	notBefore clock.Time    // it is left alone until then
}

// queued is what a call has besides when it is an item of a queue.
type queued struct {
	c         *call
	q         *queue
	order     uint64
	attempt   uint32
	marked    bool // it may have been begun before
	handed    bool // to member
	member    wire.MemberID
	handedAt  clock.Time
	alone     bool            // its consumer had no other item of this member then
	had       []wire.MemberID // that were handed it; the last maxHad
	refusers  []wire.MemberID // that failed on it; at most maxRefusers
	notBefore clock.Time
	pause     time.Duration
}

func (k *queued) requested() bool { return k.c.kind == wire.ItemQueueRequest }

// Enqueue begins a call that ends when a handler of a consumer has handled the message. Call.Inbox is the
// queue, and To has no meaning.
func (p *Protocol) Enqueue(now clock.Time, c *Call) { p.pairs.enqueue(now, c, wire.ItemQueue) }

// RequestQueue begins a call that ends with a handler's reply.
func (p *Protocol) RequestQueue(now clock.Time, c *Call) {
	p.pairs.enqueue(now, c, wire.ItemQueueRequest)
}

func (x *pairs) enqueue(now clock.Time, in *Call, kind wire.ItemKind) {
	x.p.observe(now)
	c := x.calls.begin(x, in, kind)
	x.stats.Enqueued++
	if len(in.Payload) > x.p.cfg.MaxMessageSize {
		x.calls.end(x, c, End{Why: TooLarge})
		return
	}
	if x.closed {
		x.calls.end(x, c, End{Why: Closed})
		return
	}
	q := x.queues[c.name]
	if q == nil {
		q = &queue{name: strings.Clone(c.name), place: -1}
		x.queues[q.name] = q
		if !x.stale {
			x.p.eachConsumer(func(name []byte, c consumer) {
				if string(name) == q.name {
					q.consumers = append(q.consumers, c)
				}
			})
			q.sort()
		}
	}
	if q.place < 0 {
		q.place = len(x.queueList)
		x.queueList = append(x.queueList, q)
	}
	x.enqueued++
	k := x.newQueued()
	k.c, k.q, k.order = c, q, x.enqueued
	c.queued = k
	q.items++
	q.waiting.push(k)
	x.assign(now, q)
}

// newQueued returns an item whose memory was used before, if there is one.
func (x *pairs) newQueued() *queued {
	if last := len(x.spareQueued) - 1; last >= 0 {
		k := x.spareQueued[last]
		x.spareQueued = x.spareQueued[:last]
		return k
	}
	return new(queued)
}

const maxSpareQueued = 1024

func (x *pairs) freeQueued(k *queued) {
	if len(x.spareQueued) < maxSpareQueued {
		*k = queued{refusers: k.refusers[:0], had: k.had[:0]}
		x.spareQueued = append(x.spareQueued, k)
	}
}

// recordsChanged notes that who consumes what may be another.
func (x *pairs) recordsChanged() { x.stale = true }

// refreshConsumers looks who consumes what, after records changed, and hands out what waits.
func (x *pairs) refreshConsumers(now clock.Time) {
	if x.stale {
		x.findConsumers()
	}
	if !x.changed {
		return
	}
	x.changed = false
	for i := 0; i < len(x.queueList); i++ { // a queue may end meanwhile: another is passed over, and woken
		x.assign(now, x.queueList[i])
	}
}

// findConsumers takes the consumers of all queues from the table.
func (x *pairs) findConsumers() {
	x.p.reclaim(x.p.last)
	x.stale, x.changed = false, true
	if len(x.queues) > len(x.queueList) { // those without items are not kept
		clear(x.queues)
		for _, q := range x.queueList {
			x.queues[q.name] = q
		}
	}
	for _, q := range x.queueList {
		q.consumers, q.was = q.was[:0], q.consumers
	}
	for _, w := range x.workList {
		w.first = consumer{}
	}
	x.p.eachConsumer(func(name []byte, c consumer) {
		if q := x.queues[string(name)]; q != nil {
			for i := range q.was {
				if o := &q.was[i]; o.id == c.id && o.e == c.e {
					handlers, rank := c.handlers, c.rank
					c = *o
					c.handlers, c.rank = handlers, rank
				}
			}
			q.consumers = append(q.consumers, c)
		}
		if w := x.works[string(name)]; w != nil && c.rank != 0 && (w.first.rank == 0 || c.before(&w.first)) {
			w.first = c
		}
	})
	for _, q := range x.queueList {
		clear(q.was)
		q.sort()
	}
	for i := range x.p.own.queues {
		if q := &x.p.own.queues[i]; x.works[q.queue] != nil {
			x.works[q.queue].claim = q.claim
		}
	}
	for _, w := range x.workList {
		w.active = w.first.rank == 0 || w.first.e == nil || x.is(acceptInactive)
	}
}

// EachQueue calls f with the name of each queue that members consume from, once for each of them.
func (p *Protocol) EachQueue(f func(name []byte)) {
	p.eachConsumer(func(name []byte, _ consumer) { f(name) })
}

// sort puts consumers in the order of their ids.
func (q *queue) sort() {
	slices.SortFunc(q.consumers, func(a, b consumer) int { return bytes.Compare(a.id[:], b.id[:]) })
}

// assign hands out what waits, as far as consumers have room.
func (x *pairs) assign(now clock.Time, q *queue) {
	switch {
	case x.stale:
		x.refreshConsumers(now) // which hands out
		return
	case x.p.gated():
		x.wakeQueues(now.Add(againRefused))
		return
	}
	for i := 0; i < q.waiting.len(); {
		k := q.waiting.at(i)
		if k.notBefore > now {
			x.wakeQueues(k.notBefore)
			i++
			continue
		}
		c := q.choose(now, k)
		if c == nil {
			for at := range q.consumers {
				if again := q.consumers[at].notBefore; again > now {
					x.wakeQueues(again)
				}
			}
			if len(k.refusers) == 0 {
				return // nor for those behind it
			}
			if len(q.consumers) > 0 && k.everybodyFailed() { // those that had not are gone
				k.refusers = k.refusers[:0]
				k.notBefore = now.Add(firstAgain)
				x.wakeQueues(k.notBefore)
			}
			i++
			continue
		}
		q.waiting.remove(i)
		x.handOut(now, k, c)
	}
}

// choose returns the consumer for an item: the one with the least to do, each in turn among equals.
func (q *queue) choose(now clock.Time, k *queued) *consumer {
	active := exclusiveOf(q.consumers)
	best, bestAt := (*consumer)(nil), 0
	for i := range q.consumers {
		at := (q.last + 1 + i) % len(q.consumers)
		c := &q.consumers[at]
		if active != nil && c != active || c.notBefore > now || c.out >= c.window() || slices.Contains(k.refusers, c.id) {
			continue
		}
		if best == nil || c.load()*best.handlers < best.load()*c.handlers {
			best, bestAt = c, at
		}
	}
	if best != nil {
		q.last = bestAt
	}
	return best
}

// load is how much a consumer has to do.
func (c *consumer) load() int { return c.out + max(0, c.backlog-c.out) }

// window is how many items a consumer is handed at most.
func (c *consumer) window() int {
	if c.refused > 0 {
		return 1
	}
	n := handlersAhead * c.handlers
	if c.service > 0 {
		turn := cmp.Or(c.turn, firstTurn)
		if c.e != nil {
			turn = c.e.roundTrip
		}
		n += int(turn / max(c.service, time.Microsecond))
	}
	return min(max(n, leastOut), mostOut)
}

// handOut gives an item to a consumer.
func (x *pairs) handOut(now clock.Time, k *queued, to *consumer) {
	c := k.c
	k.attempt++
	k.handed, k.member, k.handedAt, k.alone = true, to.id, now, to.out == 0
	if !slices.Contains(k.had, to.id) {
		if len(k.had) == maxHad {
			k.had = slices.Delete(k.had, 0, 1)
		}
		k.had = append(k.had, to.id)
	}
	to.out++
	x.stats.Assigned++
	if k.marked {
		x.stats.Redelivered++
	}
	c.packed, c.whole = 0, false
	if to.e != nil {
		c.pair = x.at(to.e)
		out := c.pair.channel(wire.ChannelQueues)
		out.beatSoon(now)
		first := !out.waits()
		c.link(&out.waiting)
		if first {
			out.pump(now)
		}
		return
	}
	c.pair = nil
	q := k.q // which the item may leave at once
	c.link(&x.loopAsked)
	w := wire.Item{Kind: c.kind, PayloadKind: c.payloadOf, Redelivered: k.marked, Call: c.number, Attempt: k.attempt, Name: nameBytes(c.name), Payload: c.payload}
	if v, _ := x.accept(now, x.p.cfg.Self, nil, &w, c.payload, 0); v != Take {
		x.refusedItem(now, c)
	} else if to = q.self(); to != nil {
		to.refused = 0
	}
}

// self returns this member as a consumer of a queue, or nil.
func (q *queue) self() *consumer {
	for i := range q.consumers {
		if c := &q.consumers[i]; c.e == nil {
			return c
		}
	}
	return nil
}

// consumer returns the consumer that has an item.
func (k *queued) consumer() *consumer {
	for i := range k.q.consumers {
		if c := &k.q.consumers[i]; k.handed && c.id == k.member {
			return c
		}
	}
	return nil
}

// takeBack takes an item from its consumer.
func (k *queued) takeBack() {
	if c := k.consumer(); c != nil && c.out > 0 {
		c.out--
	}
	k.handed = false
}

// wait puts an item back in line, in the order of the calls.
func (x *pairs) wait(now clock.Time, c *call, marked bool, pause time.Duration) {
	k := c.queued
	c.unlink()
	k.takeBack()
	k.marked = k.marked || marked && !x.is(noMark)
	k.notBefore = 0
	if pause > 0 {
		k.notBefore = now.Add(pause)
		x.wakeQueues(k.notBefore)
	}
	k.q.waiting.insert(k.place(), k)
	x.wakeQueues(now.Add(pause))
}

// place is where an item stands in the line of its queue, or would stand.
func (k *queued) place() int {
	at, _ := slices.BinarySearchFunc(k.q.waiting.all(), k.order, func(o *queued, order uint64) int { return cmp.Compare(o.order, order) })
	return at
}

// refusedItem takes back an item that a consumer did not take: it was not begun.
// The consumer is left alone for a while, and then tried with one item.
func (x *pairs) refusedItem(now clock.Time, c *call) {
	x.stats.ItemsRefused++
	if to := c.queued.consumer(); to != nil && to.notBefore <= now {
		to.refused = min(max(2*to.refused, againRefused), mostRefused)
		to.notBefore = now.Add(to.refused)
	}
	x.wait(now, c, false, 0)
}

// tookItem notes that a consumer took an item. One that had refused is handed more.
func (x *pairs) tookItem(now clock.Time, k *queued) {
	if to := k.consumer(); to != nil && to.refused > 0 {
		to.refused = 0
		x.wakeQueues(now)
	}
}

// lostItem takes back an item whose consumer is gone, or whose session is dead.
func (x *pairs) lostItem(now clock.Time, c *call) {
	x.stats.ItemsLost++
	x.wait(now, c, c.packed > 0 || c.whole, 0)
}

// result takes in what became of an item; from is nil for this member.
func (x *pairs) result(now clock.Time, from wire.MemberID, i *wire.Item) {
	c := x.calls.find(i.Call)
	if c == nil || c.queued == nil || !slices.Contains(c.queued.had, from) {
		x.stats.RepliesUnasked++ // the call has ended, or is not that member's to answer
		return
	}
	k := c.queued
	current := k.handed && k.member == from && i.Attempt == k.attempt
	for at := range k.q.consumers {
		if o := &k.q.consumers[at]; o.id == from {
			o.backlog, o.service = int(i.Backlog), time.Duration(i.Service)*time.Microsecond
			if o.e == nil && current && k.alone {
				sample := min(max(now.Sub(k.handedAt)-o.service, time.Microsecond), mostTurn)
				o.turn = cmp.Or(o.turn, sample)
				o.turn += (sample - o.turn) / 4
			}
		}
	}
	switch i.Result {
	case wire.ResultHandled, wire.ResultNoReply:
		if i.Attempt == 0 || i.Attempt > k.attempt {
			return
		}
		why := Answered
		if k.requested() {
			why = NoReply
		}
		x.handled(current)
		x.settle(now, c, current)
		x.calls.end(x, c, End{Why: why})
	case wire.ResultReturned:
		if current {
			x.stats.ItemsReturned++
			x.wait(now, c, true, 0)
		}
	default: // an error; of an earlier attempt it says nothing
		if !current {
			return
		}
		x.stats.ItemsFailed++
		if len(k.refusers) == maxRefusers {
			k.refusers = slices.Delete(k.refusers, 0, 1)
		}
		k.refusers = append(k.refusers, from)
		pause := time.Duration(0)
		if k.everybodyFailed() {
			k.refusers = k.refusers[:0]
			k.pause = min(max(2*k.pause, firstAgain), lastAgain)
			pause = k.pause
		}
		x.wait(now, c, !x.is(noMarkError), pause)
	}
}

// handled counts an item that was handled.
func (x *pairs) handled(current bool) {
	if x.stats.Handled++; !current {
		x.stats.HandledLate++
	}
}

// everybodyFailed reports whether no consumer is left that may be given the item and has not failed on it.
func (k *queued) everybodyFailed() bool {
	if active := exclusiveOf(k.q.consumers); active != nil {
		return slices.Contains(k.refusers, active.id)
	}
	for i := range k.q.consumers {
		if !slices.Contains(k.refusers, k.q.consumers[i].id) {
			return false
		}
	}
	return true
}

// nobodyTakes reports whether no consumer is left that may be given the item, has not failed on it, and did not
// refuse the last one.
func (k *queued) nobodyTakes() bool {
	active := exclusiveOf(k.q.consumers)
	for i := range k.q.consumers {
		c := &k.q.consumers[i]
		if (active == nil || c == active) && c.refused == 0 && !slices.Contains(k.refusers, c.id) {
			return false
		}
	}
	return true
}

// settle ends an item: it leaves its queue. current: the answer came from where it is. Otherwise the consumer
// that has it is asked to drop it.
func (x *pairs) settle(now clock.Time, c *call, current bool) {
	k := c.queued
	q := k.q
	if k.handed {
		if !current {
			x.stats.ItemsWithdrawn++
			x.sendCancel(now, c)
		}
		k.takeBack()
	} else if at := k.place(); at < q.waiting.len() && q.waiting.at(at) == k {
		q.waiting.remove(at)
	}
	c.queued = nil
	x.freeQueued(k)
	if q.items--; q.items > 0 {
		x.wakeQueues(now)
		return
	}
	last := len(x.queueList) - 1
	x.queueList[q.place] = x.queueList[last]
	x.queueList[q.place].place = q.place
	x.queueList[last] = nil
	x.queueList = x.queueList[:last]
	if q.place = -1; x.stale || len(x.queues)-len(x.queueList) > maxIdleQueues {
		delete(x.queues, q.name)
	}
}

// CloseWaiting ends the calls of items that wait for a consumer. Those that a consumer has go on.
func (p *Protocol) CloseWaiting(now clock.Time) {
	p.observe(now)
	x := p.pairs
	var list []*call
	for _, q := range x.queueList {
		for i := range q.waiting.len() {
			list = append(list, q.waiting.at(i).c)
		}
	}
	for _, c := range list {
		unknown := c.queued.marked
		x.settle(now, c, false)
		x.calls.end(x, c, End{Why: Closed, Unknown: unknown})
	}
}

// sendCancel asks the consumer that has an item to drop it.
func (x *pairs) sendCancel(now clock.Time, c *call) {
	k := c.queued
	switch {
	case c.pair == nil:
		x.cancelWork(x.p.cfg.Self, c.number)
	case c.packed > 0 || c.whole:
		note := x.note(wire.ItemCancel, c.number, k.attempt)
		x.queue(now, note, k.member, wire.ChannelQueues)
	}
}

// wakeQueues has tick hand out items at a time.
func (x *pairs) wakeQueues(at clock.Time) {
	if x.queuesAt == 0 || at < x.queuesAt {
		x.queuesAt = at
	}
}

// tickQueues hands out what is due.
func (x *pairs) tickQueues(now clock.Time) {
	x.refreshConsumers(now)
	if x.is(assignedAgain) {
		x.handOutAgain(now)
	}
	if x.queuesAt == 0 || now < x.queuesAt {
		return
	}
	x.queuesAt = 0
	for i := 0; i < len(x.queueList); i++ { // a queue may end meanwhile: another is passed over, and woken
		x.assign(now, x.queueList[i])
	}
}

// handOutAgain is a planted defect: it takes silence for an end.
func (x *pairs) handOutAgain(now clock.Time) {
	for _, pr := range x.all {
		for c := pr.asked.first; c != nil; c = c.next {
			if c.queued != nil && now.Sub(c.queued.handedAt) > 2*time.Millisecond {
				x.wait(now, c, true, 0)
				break
			}
		}
	}
}

// beatSoon has a session with outstanding items tried now and then.
func (s *sending) beatSoon(now clock.Time) {
	if s.beatAt == 0 && !s.pair.x.is(noNothing) {
		s.beatAt = now.Add(nothingEvery)
		s.arm()
	}
}

// beat sends an item that is nothing while items are outstanding and all is acknowledged: it is
// acknowledged, or the session turns out to be dead.
func (s *sending) beat(now clock.Time) {
	s.beatAt = 0
	if s.pair.asked.first == nil && s.unknown.first == nil && !s.waits() {
		return
	}
	s.beatAt = now.Add(nothingEvery)
	if s.oldest == s.next && s.canPack(now) {
		s.add(now, &wire.Item{Kind: wire.ItemNothing})
	}
}
