package nack

import (
	"testing"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// A receiver that fell out of the sender's window gets LossReset.
func TestFallingOutOfTheWindowIsReset(t *testing.T) {
	l := newLone(t, Buffers(1<<20, 1472, 1, 4))
	h := l.header(0, wire.NACK)
	if err := l.step(forgeData(h, 1, 1, 100)); err != nil {
		t.Fatal(err)
	}
	first := uint64(2 * WindowDatagrams(1<<20, 1472))
	for i := range uint64(2) { // one alone may be forged
		if len(l.lost) > 0 {
			t.Errorf("lost %v", l.lost)
		}
		err := l.step(forge(h, func(b []byte) []byte {
			return wire.AppendHeartbeat(b, wire.Heartbeat{First: first, Last: first + 9, FirstMessage: first, NextMessage: first + 10, SentAt: 1 + i, Receivers: 1})
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(l.lost) != 1 || l.lost[0].Reason != core.LossReset || l.lost[0].First != 2 || l.lost[0].Last != first-1 {
		t.Errorf("lost %v", l.lost)
	}
	l.done()
}
