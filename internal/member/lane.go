package member

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// Lane is one stream that this member sends, with the queue in which the application's
// goroutines leave messages for it. With an engine on its own thread messages take the queue;
// an application that turns the engine itself writes into the datagram (Offer, Claim).
type Lane struct {
	ID wire.StreamID

	sender sender      // engine's thread only
	queue  *ring.Bytes // nil with an Invoker
	topics interner    // engine's thread only
	full   bool        // engine's thread only: the sender refused the message that is first in the queue

	framed   bool   // engine's thread only: Frame has lent room in the datagram
	returned uint64 // engine's thread only: of queue, when those who wait for room were last woken
	unsent   uint64 // engine's thread only: messages that were accepted and never reached the sender

	calling calling

	receivers atomic.Int64
	ahead     atomic.Int64 // bytes that wait in the queue at most; 0: as many as it has room for

	ring *totem.Protocol // engine's thread only; nil: the lane is none of the ring's

	mu      sync.Mutex
	waiting atomic.Int32
	change  chan struct{} // closed at the next change; nil: no caller waits
}

// Receivers is the number of receivers that the stream's sender has.
func (l *Lane) Receivers() int { return int(l.receivers.Load()) }

// Limited is what keeps the lane's rate from being higher. It belongs to the first engine, as the next three do.
func (l *Lane) Limited(now clock.Time) core.Limited {
	if l.sender == nil {
		return core.Limited{} // not started yet
	}
	return l.sender.Limited(now)
}

// Messages is the number of messages that the lane's sender has accepted.
func (l *Lane) Messages() uint64 {
	if l.sender == nil {
		return 0
	}
	return l.sender.Messages()
}

// Limiting is the receiver that holds the lane back now; ok is false when none does.
func (l *Lane) Limiting() (limit nack.Limit, ok bool) {
	if l.sender == nil {
		return limit, false
	}
	return l.sender.Limiting()
}

// Slowest is the receiver that held the lane back longest since Reckon, or would be the first to do so.
func (l *Lane) Slowest(now clock.Time) (limit nack.Limit, ok bool) {
	if l.sender == nil {
		return limit, false
	}
	return l.sender.Slowest(now)
}

// Reckon begins to count anew for Slowest.
func (l *Lane) Reckon(now clock.Time) {
	if l.sender != nil {
		l.sender.Reckon(now)
	}
}

// Changed returns a channel that is closed when room was made in the queue or a receiver came
// or went; done must be called when the caller no longer waits for it. Look at the state after
// this call and before waiting, or the change may be missed.
func (l *Lane) Changed() (c <-chan struct{}, done func()) {
	l.waiting.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.change == nil {
		l.change = make(chan struct{})
	}
	return l.change, func() { l.waiting.Add(-1) }
}

func (l *Lane) changed() {
	if l.waiting.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.change != nil {
		close(l.change)
		l.change = nil
	}
}

// A queued record's word holds the kind, the length of the topic that precedes the payload, and
// whether delivery is to be safe.
func recordWord(kind wire.Kind, topicLen int, safe bool) uint64 {
	w := uint64(kind)<<8 | uint64(topicLen)
	if safe {
		w |= 1 << 16
	}
	return w
}

func recordOf(word uint64) (kind wire.Kind, topicLen int, safe bool) {
	return wire.Kind(word >> 8), int(word & 0xff), word&(1<<16) != 0
}

// Claim takes room for a message of n bytes in the queue, until Commit or Abort; ok is false when the
// queue is full, bounded or closed. Any number of claims may be open.
func (l *Lane) Claim(topic string, kind wire.Kind, n int, safe bool) (r ring.Record, payload []byte, ok bool) {
	if r, payload, ok = l.claim(topic, kind, n, safe); ok {
		r.Hold()
	}
	return r, payload, ok
}

// Commit queues what Claim took. It reports whether the message is accepted: it is not after Abandon.
func (l *Lane) Commit(r ring.Record) bool {
	defer l.call()
	return r.CommitHeld()
}

// Abort gives up what Claim took.
func (l *Lane) Abort(r ring.Record) {
	r.AbortHeld()
	l.call()
}

// claim takes room in the queue. The payload's bytes lie behind the topic's.
func (l *Lane) claim(topic string, kind wire.Kind, n int, safe bool) (r ring.Record, payload []byte, ok bool) {
	if most := l.ahead.Load(); most > 0 && int64(l.queue.Used()) >= most {
		return r, nil, false
	}
	r, ok = l.queue.Claim(len(topic) + n)
	if !ok {
		return r, nil, false
	}
	r.SetWord(recordWord(kind, len(topic), safe))
	b := r.Bytes()
	copy(b, topic)
	return r, b[len(topic):], true
}

// Put queues a message; false means that the queue is full, or closed.
func (l *Lane) Put(topic string, kind wire.Kind, payload []byte, safe bool) bool {
	r, b, ok := l.claim(topic, kind, len(payload), safe)
	if !ok {
		return false
	}
	copy(b, payload)
	r.Commit()
	l.call()
	return true
}

// drainMax bounds the messages that one turn takes from one lane.
const drainMax = 256

// drain moves messages from the queue to the sender until either has enough.
func (l *Lane) drain(now clock.Time) (n int) {
	for n < drainMax {
		word, b, ok := l.queue.Peek()
		if !ok {
			break
		}
		kind, t, safe := recordOf(word)
		err := l.sender.Offer(now, l.topics.intern(b[:t]), kind, b[t:], safe)
		if l.full = err == nack.ErrWindow; l.full {
			break // it stays first in the queue
		}
		if err != nil {
			l.unsent++
		}
		l.queue.Advance()
		n++
	}
	l.queue.Flush()
	if r := l.queue.Returned(); r != l.returned { // also of claims that were aborted
		l.returned = r
		l.changed()
	}
	if l.ring != nil {
		l.bound(int64(l.ring.Ahead()))
	}
	return n
}

// bound sets how many bytes wait in the queue at most.
func (l *Lane) bound(most int64) {
	before := l.ahead.Load()
	if most == before {
		return
	}
	l.ahead.Store(most)
	if most == 0 || most > before {
		l.changed()
	}
}

// abandon takes out of the closed queue what the sender has not taken, and takes back the claims that
// are open. It returns how many these are.
func (l *Lane) abandon() (claims int) {
	if l.queue == nil {
		if l.framed {
			claims = 1
			l.AbortFrame()
		}
		return claims
	}
	claims = l.queue.Refuse()
	for {
		if _, _, ok := l.queue.Peek(); !ok {
			return claims
		}
		l.queue.Advance()
		l.unsent++
	}
}

// interner gives equal topics one lasting string, without allocating for topics it has seen.
type interner struct {
	last string
	all  *topic.Cache[string] // of the whole member
}

func (i *interner) intern(b []byte) string {
	if i.last == string(b) { // compared without a copy
		return i.last
	}
	s := i.all.Get(b)
	if s == nil {
		t := string(b)
		s = i.all.Put(t, t)
	}
	i.last = *s
	return *s
}
