package workload

import "github.com/activeblaze/blaze/clock"

// later keeps what an echoing receiver got until its turn is over. An answer that a handler offers
// leaves at the end of the turn, so whatever the handler does besides is part of the round trip; the
// other end of raw, which this is compared with, does nothing besides.
type later struct {
	sink *sink
	seen uint64 // messages; the time of each sink.every-th is taken

	mem   []byte
	items []arrival
}

type arrival struct {
	size int
	at   clock.Time // 0: not taken
}

// put copies one payload.
func (l *later) put(b []byte) {
	a := arrival{size: len(b)}
	if l.seen++; l.seen%l.sink.every == 0 {
		a.at = l.sink.now()
	}
	l.mem = append(l.mem, b...)
	l.items = append(l.items, a)
}

// settle has the sink judge what was put.
func (l *later) settle() {
	b := l.mem
	for _, a := range l.items {
		l.sink.judge(b[:a.size], a.at)
		b = b[a.size:]
	}
	l.mem, l.items = l.mem[:0], l.items[:0]
}
