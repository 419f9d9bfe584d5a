package intake

import (
	"math"
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// View is an Intake as it is now.
type View struct {
	Waiting int           // messages and losses that the handler has not returned from
	Taken   uint64        // messages that it has returned from
	Dropped uint64        // messages that were dropped because it was full
	Full    float64       // share of the last second, as the Watch last looked
	Oldest  time.Duration // since the oldest of Waiting came, too long by 1/16 at most, or by 1 ms
	Handler core.Times    // how long the handler took for one message in TimedEvery
}

// TimedEvery is of how many messages the handler's time is taken for one.
const TimedEvery = 64

// Look copies the state of the Intake. Any goroutine may call it.
func (q *Intake) Look() View {
	v := View{Taken: q.taken(), Dropped: q.dropped.Load(), Full: math.Float64frombits(q.full.Load()), Handler: q.times.Copy()}
	now := q.cfg.Watch.now()
	for _, in := range *q.inlets.Load() {
		v.Waiting += in.len()
		v.Oldest = max(v.Oldest, in.ages.oldest(now, in.taken.Load(), in.given.Load()))
	}
	return v
}

// handleTimed calls the handler, and takes its time.
func (q *Intake) handleTimed() {
	began := q.cfg.Watch.now()
	q.cfg.Handle(&q.lent)
	q.times.Add(q.cfg.Watch.now().Sub(began))
}

// drops counts a message that was dropped.
func (q *Intake) drops() {
	q.dropped.Add(1)
	q.cfg.Counters.Dropped.Add(1)
}

// ages remembers when some of the items of an inlet were put into it: one a millisecond, or fewer where there would be
// too many. To note the time of each would cost each message more than it is worth.
type ages struct {
	due  clock.Time // the next note
	mu   sync.Mutex // the producer does not wait for it
	list []age      // at most mostAges, in order
}

type age struct {
	number uint64 // of an item
	at     clock.Time
}

const (
	mostAges = 64
	ageEvery = time.Millisecond // between two notes
)

// note is called by the producer with the number of the item that it puts in at now. It mostly does nothing.
func (a *ages) note(now clock.Time, number uint64, in *inlet) {
	if now >= a.due {
		a.keep(now, number, in.taken.Load())
	}
}

// keep notes an item, and forgets those that have been taken.
func (a *ages) keep(now clock.Time, number, taken uint64) {
	if !a.mu.TryLock() {
		return // the next item is as good
	}
	defer a.mu.Unlock()
	a.due = now.Add(ageEvery)
	gone := 0
	for gone+1 < len(a.list) && a.list[gone+1].number <= taken {
		gone++
	}
	if taken >= number {
		gone = len(a.list)
	}
	if a.list == nil {
		a.list = make([]age, 0, mostAges)
	}
	a.list = append(a.list[:0], a.list[gone:]...)
	if len(a.list) == mostAges {
		a.thin()
	}
	a.list = append(a.list, age{number, now})
}

// thin forgets the item whose neighbours are closest to each other.
func (a *ages) thin() {
	least := 1
	between := func(i int) time.Duration { return a.list[i+1].at.Sub(a.list[i-1].at) }
	for i := 2; i+1 < len(a.list); i++ {
		if between(i) < between(least) {
			least = i
		}
	}
	a.list = append(a.list[:least], a.list[least+1:]...)
}

// oldest is how long ago item taken was put in; 0 when it was not.
func (a *ages) oldest(now clock.Time, taken, given uint64) time.Duration {
	if taken >= given {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.list) - 1; i >= 0; i-- {
		if a.list[i].number <= taken || i == 0 {
			return max(0, now.Sub(a.list[i].at))
		}
	}
	return 0
}
