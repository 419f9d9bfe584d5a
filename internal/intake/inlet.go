package intake

import (
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// inlet is one engine's end of an Intake: a queue of segments. The engine's thread is the only producer,
// and the goroutine whose turn it is the only consumer. Items have numbers, from 0.
type inlet struct {
	q *Intake

	// The producer's own.
	_         [64]byte
	fill      *segment // where the next item goes; nil before the first
	own       [2]*segment
	next      uint64      // number of the next item
	takenSeen uint64      // taken as last looked at: never above taken
	refused   bool        // Ready found no room, and Deliver drops
	full      bool        // as the last call of Ready found it
	paused    clock.Time  // since when it has been full; 0: it is not
	long      bool        // that pause is counted as a long one
	losses    []core.Loss // reported before the next message, when there was no room for them
	ages      ages

	_         [64]byte
	given     atomic.Uint64 // items below it are published; written by the producer
	fullSince atomic.Int64  // as paused, for the Watch; 0: it is not full
	fullFor   atomic.Int64  // the time for which it has been full before that
	stale     atomic.Uint64 // items below it are an earlier start's

	_       [64]byte
	taken   atomic.Uint64 // items below it are handled or dropped; written by the consumer
	waiting atomic.Uint32 // what the engine waits for: waitsForItem, waitsForMemory; 0: it does not
	held    atomic.Int64  // bytes of the Stock's segments that it has
	lost    atomic.Uint64 // of the items taken, those that were losses
	begun   atomic.Uint64 // with Config.Count: items below it are begun

	// The consumer's own.
	drain     *segment // where the oldest item lies; nil before the first
	givenSeen uint64   // given as last looked at: never above given
	served    uint     // messages
	_         [64]byte

	head atomic.Pointer[segment] // the first segment of all: where the consumer begins
}

const (
	waitsForItem = iota + 1
	waitsForMemory
)

// maxQueuedLosses bounds the losses that wait for room: one for each stream and reason.
const maxQueuedLosses = 64

// Ready implements member.Consumer.
func (in *inlet) Ready(now clock.Time) bool {
	if in.q.ended.Load() {
		return true // and Deliver forgets it
	}
	if in.room() == 0 && (len(in.losses) == 0 || in.report()) {
		if in.full {
			in.goOn(now)
		}
		return true
	}
	return in.noRoom(now)
}

// room returns what an item more would have to wait for, 0 when there is room.
func (in *inlet) room() (why uint32) {
	if in.next-in.takenSeen >= uint64(in.q.cfg.Size) {
		if in.takenSeen = in.taken.Load(); in.next-in.takenSeen >= uint64(in.q.cfg.Size) {
			return waitsForItem
		}
	}
	if !in.q.cfg.Stock.room(in.held.Load()) {
		if in.takenSeen = in.taken.Load(); in.next != in.takenSeen { // an empty one always takes a message
			return waitsForMemory
		}
	}
	return 0
}

// noRoom does what the policy asks for.
func (in *inlet) noRoom(now clock.Time) (ready bool) {
	q := in.q
	if !in.full {
		in.full = true
		in.fullSince.Store(int64(now))
		q.cfg.Watch.add(q)
	}
	switch q.cfg.Policy {
	case Drop:
		in.refused = true
		return true // and Deliver counts it as lost
	case Disconnect:
		in.put(in.losses)
		in.losses = nil
		q.cfg.Full(int(in.next - in.taken.Load()))
		return true
	}
	// The goroutine may have made room before it could see that we wait.
	why := max(in.room(), waitsForItem)
	if in.waiting.Store(why); why == waitsForMemory {
		q.cfg.Stock.short.Store(true)
	}
	if in.room() == 0 && (len(in.losses) == 0 || in.report()) {
		in.waiting.Store(0)
		in.goOn(now)
		return true
	}
	if in.paused == 0 {
		in.paused = now
		q.cfg.Counters.Pauses.Add(1)
	} else if !in.long && now.Sub(in.paused) >= LongPause {
		in.long = true
		q.cfg.Counters.LongPauses.Add(1)
	}
	return false
}

// goOn notes that the inlet, which was full, has room again.
func (in *inlet) goOn(now clock.Time) {
	in.paused, in.long, in.full, in.refused = 0, false, false, false
	in.notFull(now)
}

// notFull ends the time for which the Watch takes the inlet for full.
func (in *inlet) notFull(now clock.Time) {
	if since := in.fullSince.Swap(0); since != 0 {
		in.fullFor.Add(int64(now) - since)
	}
}

// Deliver implements member.Consumer.
func (in *inlet) Deliver(now clock.Time, topic string, d *core.Delivery) {
	if in.q.ended.Load() {
		return
	}
	if in.refused {
		in.refused = false
		in.q.drops()
		in.miss(core.Loss{From: d.From, Stream: d.Stream, First: d.Sequence, Last: d.Sequence, Reason: core.LossSlowConsumer})
		return
	}
	in.add(now, topic, d, nil)
}

// add queues a message, and with it what else is to be known of it. There is room.
func (in *inlet) add(now clock.Time, topic string, d *core.Delivery, extra []byte) {
	n := len(d.Payload) + len(extra)
	g := in.fill
	if g == nil || !g.fits(n) {
		g = in.extend(n)
	}
	at := g.filled
	copy(g.bytes[at+copy(g.bytes[at:], d.Payload):], extra)
	g.filled += n
	it := &g.items[g.used]
	g.used++
	it.from, it.stream, it.sequence, it.kind, it.topic = d.From, d.Stream, d.Sequence, d.Kind, topic
	it.received, it.at, it.n, it.reason = uint64(now), uint32(at), uint32(n), 0
	in.ages.note(now, in.next, in)
	in.publish()
}

// Lost implements member.Consumer.
func (in *inlet) Lost(l *core.Loss) {
	if in.q.cfg.Lost == nil || in.q.ended.Load() {
		return
	}
	in.miss(*l)
	in.report()
}

// miss notes a loss. Since the last message that this intake was given nothing but losses came, so those
// of one stream make one range, whatever lay between them.
func (in *inlet) miss(l core.Loss) {
	if in.q.cfg.Lost == nil {
		return
	}
	if !join(&in.losses, l) {
		in.q.cfg.Counters.LossesUntold.Add(1)
	}
}

// join adds a loss to losses, which are of different streams or reasons. It fails when they are too many.
func join(losses *[]core.Loss, l core.Loss) bool {
	for i := range *losses {
		if w := &(*losses)[i]; w.From == l.From && w.Stream == l.Stream && w.Reason == l.Reason {
			w.Last = l.Last
			return true
		}
	}
	if len(*losses) == maxQueuedLosses {
		return false
	}
	*losses = append(*losses, l)
	return true
}

// report queues the losses that wait, as many as there is room for. It reports whether there is room for
// a message after them.
func (in *inlet) report() bool {
	n := 0
	for n < len(in.losses) && in.room() == 0 {
		in.put(in.losses[n : n+1])
		n++
	}
	in.losses = append(in.losses[:0], in.losses[n:]...)
	return in.room() == 0
}

// put queues losses.
func (in *inlet) put(losses []core.Loss) {
	for i := range losses {
		l := &losses[i]
		g := in.fill
		if g == nil || !g.fits(0) {
			g = in.extend(0)
		}
		g.items[g.used] = item{from: l.From, stream: l.Stream, sequence: l.First, received: l.Last, reason: l.Reason}
		g.used++
		in.publish()
	}
}

func (in *inlet) publish() {
	in.next++
	in.given.Store(in.next)
	if q := in.q; q.parked.Notify() {
		q.rouse()
	}
}

// extend adds a segment to the queue that holds a payload of n bytes: an own one if one is free, so that
// a consumer that keeps up finds its messages in the CPU's cache.
func (in *inlet) extend(n int) (g *segment) {
	if n <= ownBytes {
		g = in.spare()
	}
	if g == nil {
		g = in.q.cfg.Stock.take(n)
		in.held.Add(g.size)
	}
	g.reset(in.next)
	if in.fill == nil {
		in.head.Store(g)
	} else {
		in.fill.next.Store(g)
	}
	in.fill = g
	if in.q.ended.Load() { // it may have come too late for release
		in.q.cfg.Stock.uncount(g)
	}
	return g
}

// spare is one of the own segments, unless both are in use.
func (in *inlet) spare() *segment {
	for i, g := range in.own {
		if g == nil {
			g = newSegment(ownItems, ownBytes)
			g.size = 0
			in.own[i] = g
			return g
		}
		if g.free.Load() {
			g.free.Store(false)
			return g
		}
	}
	return nil
}

// release takes all that the inlet has out of the Stock's sum. It is for the consumer, after End.
func (in *inlet) release() {
	g := in.drain
	if g == nil {
		g = in.head.Load()
	}
	for ; g != nil; g = g.next.Load() {
		in.q.cfg.Stock.uncount(g)
	}
}

// peek is the oldest item and the segment that it lies in; nil when there is none. It is for the consumer,
// and so is advance.
func (in *inlet) peek() (*segment, *item) {
	n := in.taken.Load()
	if n == in.givenSeen {
		if in.givenSeen = in.given.Load(); n == in.givenSeen {
			return nil, nil
		}
	}
	g := in.drain
	if g == nil {
		g = in.head.Load()
		in.drain = g
		in.head.Store(nil)
	}
	if next := g.next.Load(); next != nil && next.first == n {
		in.drain = next
		in.leave(g)
		g = next
	}
	return g, &g.items[n-g.first]
}

// leave gives a segment back that has been read to its end.
func (in *inlet) leave(g *segment) {
	if g.size == 0 {
		g.free.Store(true)
		return
	}
	stock := in.q.cfg.Stock
	in.held.Add(-g.size)
	stock.give(g)
	if in.waiting.Load() == waitsForMemory || stock.short.Load() {
		stock.short.Store(false)
		in.waiting.Store(0)
		in.q.cfg.Resume()
	}
}

// advance is done with the oldest item.
func (in *inlet) advance() {
	n := in.taken.Load() + 1
	in.taken.Store(n)
	if why := in.waiting.Load(); why == waitsForItem || why == waitsForMemory && n == in.given.Load() {
		in.waiting.Store(0)
		in.q.cfg.Resume()
	}
}

func (in *inlet) idle() bool { return in.taken.Load() == in.given.Load() }

func (in *inlet) len() int {
	taken := in.taken.Load() // first, so that it is not above given
	return int(in.given.Load() - taken)
}

// drop forgets what has expired.
func (in *inlet) drop() {
	for in.taken.Load() < in.stale.Load() {
		if g, _ := in.peek(); g == nil {
			return
		}
		in.advance()
	}
}

// serve handles one item, if there is one and the goroutine may go on.
func (in *inlet) serve(quit <-chan struct{}) bool {
	q := in.q
	select {
	case <-quit:
		return false
	default:
	}
	if q.ended.Load() {
		return false
	}
	g, it := in.peek()
	if g == nil {
		return false
	}
	if q.cfg.Count {
		in.begun.Store(in.taken.Load() + 1)
	}
	if it.reason != 0 {
		q.cfg.Lost(it.loss())
		in.lost.Add(1)
	} else {
		g.message(it, &q.lent)
		if in.served++; in.served%TimedEvery == 1 {
			q.handleTimed()
		} else {
			q.cfg.Handle(&q.lent)
		}
	}
	in.advance()
	return true
}
