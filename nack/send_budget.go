package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// What is sent again has a budget: repairShare times the rate of new data, as it was in the last tenths of a second, or
// in the last second if that is more, and repairBase besides, which mends the tail of an idle stream at once. So recovery
// never grows when recovery fails. With a fifth of everything lost at each of eight receivers a stream needs one and a
// half times its data. While the pace is bound, that bounds repairs too.
const (
	repairShare  = 2
	repairBase   = 256 << 10 // bytes in a burst,
	repairLeast  = 256 << 10 // and in a second
	oldestWithin = 8192      // repairs that are looked through for the oldest one
)

// repairBudget bounds what is sent again.
type repairBudget struct {
	fresh meter   // bytes of new data
	debt  float64 // bytes that were sent again, but for what has been allowed since
	last  clock.Time
	rate  float64 // bytes/s that are allowed, as it was last computed
	short bool    // a repair waits for the budget
}

// allows reports whether another repair may leave now.
func (b *repairBudget) allows(now clock.Time) bool {
	b.rate = repairShare*b.fresh.rising(now) + repairLeast
	b.debt = max(b.debt-b.rate*float64(now-b.last)/1e9, 0)
	b.last = now
	return b.debt < repairBase
}

// spend notes that n bytes were sent again, or as repair symbols.
func (b *repairBudget) spend(n int) { b.debt += float64(n) }

// next is when the next repair may leave.
func (b *repairBudget) next(now clock.Time) clock.Time {
	return now.Add(time.Duration((b.debt-repairBase)/b.rate*1e9) + 1)
}

// oldest brings the oldest of the repairs that wait, or of the first of them, to the front.
func (q *repairs) oldest(mask uint64) {
	at := q.head
	for i := q.head + 1; i < q.head+min(q.n, oldestWithin); i++ {
		if q.queue[i&mask] < q.queue[at&mask] {
			at = i
		}
	}
	q.queue[at&mask], q.queue[q.head&mask] = q.queue[q.head&mask], q.queue[at&mask]
}
