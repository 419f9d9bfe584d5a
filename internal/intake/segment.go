package intake

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// segment is a piece of an inlet's queue: items in order, and the memory that their payloads lie in. The
// producer fills it once, from the front. The consumer is done with it when it has moved on to the next.
type segment struct {
	items []item
	bytes []byte
	first uint64                  // number of items[0]
	next  atomic.Pointer[segment] // set before the first item in it is published
	free  atomic.Bool             // an inlet's own: the consumer is done with it
	size  int64                   // in bytes, with all of the above; 0: an inlet's own, which is in no sum
	sum   atomic.Bool             // the Stock's sum has it

	// The producer's own.
	used   int // items
	filled int // bytes
}

// item is a message, or a loss, on its way to the goroutine: 64 bytes.
type item struct {
	from     wire.MemberID
	topic    string
	sequence uint64 // of a loss: the first
	received uint64 // a clock.Time; of a loss: the last
	stream   wire.StreamID
	at, n    uint32 // where the payload lies
	kind     wire.Kind
	reason   core.LossReason // 0: a message
}

func (it *item) loss() core.Loss {
	return core.Loss{From: it.from, Stream: it.stream, First: it.sequence, Last: it.received, Reason: it.reason}
}

// asLost is the message, or loss, as a loss to a slow consumer.
func (it *item) asLost() core.Loss {
	if it.reason != 0 {
		return it.loss()
	}
	return core.Loss{From: it.from, Stream: it.stream, First: it.sequence, Last: it.sequence, Reason: core.LossSlowConsumer}
}

func (s *segment) message(it *item, m *Message) {
	*m = Message{
		From: it.from, Stream: it.stream, Sequence: it.sequence, Kind: it.kind, Topic: it.topic,
		Payload: s.bytes[it.at : it.at+it.n : it.at+it.n], Received: clock.Time(it.received),
	}
}

// fits reports whether one more item with n bytes of payload has a place.
func (s *segment) fits(n int) bool { return s.used < len(s.items) && len(s.bytes)-s.filled >= n }

// reset makes the segment empty again. It is in nobody's queue.
func (s *segment) reset(first uint64) {
	clear(s.items[:s.used]) // topics would be kept alive
	s.first, s.used, s.filled = first, 0, 0
	s.next.Store(nil)
}

const (
	segmentItems, segmentBytes = 192, 64 << 10
	ownItems, ownBytes         = 64, 8 << 10

	// OwnBytes is what an inlet has for itself: two small segments, taken when the first message comes.
	OwnBytes = 2 * (ownItems*int64(unsafe.Sizeof(item{})) + ownBytes)
)

func newSegment(items, bytes int) *segment {
	return &segment{
		items: make([]item, items), bytes: make([]byte, bytes),
		size: int64(items)*int64(unsafe.Sizeof(item{})) + int64(bytes),
	}
}

// Stock is the memory in which messages wait that an inlet's own segments do not hold. All intakes of an
// owner share it. What nobody has used for a second goes back to the runtime.
//
// An intake is full when it has eight times what is still free (the dynamic thresholds of Choudhury and
// Hahne, 1998). So one slow consumer alone can have eight ninths of the limit, ten nearly a tenth each,
// and something is always left for one that becomes slow later.
type Stock struct {
	limit atomic.Int64
	held  atomic.Int64 // bytes of the segments that inlets have
	short atomic.Bool  // an engine waits for some of it

	mu       sync.Mutex
	free     []*segment // of segmentBytes
	unused   int        // the fewest that were free since the last trim
	trimming bool       // a trim is due
}

// SetLimit sets how many bytes there may be. Each inlet can besides have one segment, or one message that
// is larger, and its own OwnBytes.
func (s *Stock) SetLimit(bytes int64) { s.limit.Store(bytes) }

// room reports whether an inlet that has mine bytes may take a segment more.
func (s *Stock) room(mine int64) bool { return mine == 0 || mine < 8*(s.limit.Load()-s.held.Load()) }

// take is a segment that holds one payload of n bytes at least.
func (s *Stock) take(n int) *segment {
	if n > segmentBytes {
		return s.count(newSegment(8, n))
	}
	if g := s.pop(); g != nil {
		return s.count(g)
	}
	return s.count(newSegment(segmentItems, segmentBytes))
}

func (s *Stock) count(g *segment) *segment {
	g.sum.Store(true)
	s.held.Add(g.size)
	return g
}

// uncount takes a segment out of the sum, which may have been done before.
func (s *Stock) uncount(g *segment) {
	if g.sum.Swap(false) {
		s.held.Add(-g.size)
	}
}

// popTries is how often pop looks for the lock. A goroutine holds it for some instructions, unless it was
// taken from the CPU.
const popTries = 200

// pop is for an engine's thread: it does not sleep for the lock.
func (s *Stock) pop() (g *segment) {
	for tries := 0; !s.mu.TryLock(); tries++ {
		if tries == popTries {
			return nil
		}
	}
	if n := len(s.free); n > 0 {
		g, s.free = s.free[n-1], s.free[:n-1]
		s.unused = min(s.unused, n-1)
	}
	s.mu.Unlock()
	return g
}

// give takes back a segment that no inlet uses any more.
func (s *Stock) give(g *segment) {
	s.uncount(g)
	if len(g.bytes) != segmentBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.Load()+int64(len(s.free)+1)*g.size > s.limit.Load() {
		return
	}
	g.reset(0)
	s.free = append(s.free, g)
	if !s.trimming {
		s.trimming, s.unused = true, len(s.free)
		time.AfterFunc(time.Second, s.trim)
	}
}

// trim lets go of the segments that nobody has used since the last trim.
func (s *Stock) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := len(s.free) - s.unused
	clear(s.free[rest:])
	s.free = s.free[:rest]
	s.unused = rest
	if s.trimming = rest > 0; s.trimming {
		time.AfterFunc(time.Second, s.trim)
	}
}
