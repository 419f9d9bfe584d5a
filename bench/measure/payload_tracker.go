package measure

// Tracker counts what became of the messages 1..n of one sender at one receiver. All its memory
// is taken at the start; it belongs to one goroutine.
type Tracker struct {
	Delivered  uint64 // each number once
	Duplicates uint64 // a number again, or one too old to judge
	Reordered  uint64 // delivered after a higher number
	Corrupt    uint64 // counted by the caller

	high uint64   // highest number seen
	seen []uint64 // a bit for each of the last `reach` numbers
}

// reach is how many numbers behind the highest a message may come and still be distinguished from a
// duplicate: 2^24, a second or more at any rate that a host can do. 2 MiB.
const reach = 1 << 24

// NewTracker makes a tracker that has seen nothing.
func NewTracker() *Tracker { return &Tracker{seen: make([]uint64, reach/64)} }

// Take counts the arrival of number n, n > 0.
func (t *Tracker) Take(n uint64) {
	const mask = reach/64 - 1
	if n > t.high {
		// The words between belong to numbers that are skipped, and still hold those of the
		// round before.
		from, to := t.high/64+1, n/64
		if to >= from+mask {
			from = to - mask
		}
		for w := from; w <= to; w++ {
			t.seen[w&mask] = 0
		}
		t.seen[n/64&mask] |= 1 << (n % 64)
		t.high = n
		t.Delivered++
		return
	}
	w, bit := &t.seen[n/64&mask], uint64(1)<<(n%64)
	if t.high-n >= reach-64 || *w&bit != 0 {
		t.Duplicates++
		return
	}
	*w |= bit
	t.Delivered++
	t.Reordered++
}

// High is the highest number that was taken, 0 at first.
func (t *Tracker) High() uint64 { return t.high }

// Lost is how many of the messages 1..sent were never taken. Numbers above sent, which nobody
// sent, are the caller's to notice by High.
func (t *Tracker) Lost(sent uint64) uint64 {
	if t.Delivered >= sent {
		return 0
	}
	return sent - t.Delivered
}
