package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// What is sent again has a budget: repairShare times the rate of new data, as it was in the last tenths of a second, or
// in the last second if that is more, and repairBase besides, which mends the tail of an idle stream at once. What
// receivers soon report of it as arrived is given back, each datagram once. So recovery is as quick as it succeeds, and
// does not grow when it fails: in any second repairs and parity take at most about twice the data (RM-21). With a fifth
// of everything lost at each of eight receivers a stream needs one and a half times its data.
//
// Repair symbols that leave unasked count, and have a bound of their own, parityRoom.
const (
	repairShare  = 1.5
	repairBase   = 128 << 10              // bytes in a burst,
	repairLeast  = 128 << 10              // and in a second
	repaidAfter  = 100 * time.Millisecond // what was sent again so long ago is paid for, and nothing is given back
	oldestWithin = 8192                   // repairs that are looked through for the oldest one
)

// repairBudget bounds what is sent again.
type repairBudget struct {
	fresh   meter   // bytes of new data
	debt    float64 // bytes that were sent again, but for what has been allowed or has arrived since
	last    clock.Time
	rate    float64 // bytes/s that are allowed, as it was last computed
	highest uint64  // one above the highest datagram that was sent again
	short   bool    // a repair waits for the budget
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

// back takes note of what a receiver reports as arrived: datagrams from from up to to. Those that were sent again are given
// back.
func (s *Sender) back(now clock.Time, from, to uint64) {
	b := &s.repairs.budget
	for n := max(from, s.first); n < min(to, b.highest); n++ {
		if t := &s.slots[n&s.mask]; t.repaired != 0 && !t.back {
			t.back = true
			if now.Sub(t.repaired) <= repaidAfter {
				b.debt = max(b.debt-float64(t.buf.Len()), 0)
			}
		}
	}
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
