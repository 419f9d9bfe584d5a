package wire

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// A datagram that was laid has the bytes of one that was not, whatever is written into it.
func TestLayChangesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	topics := []string{"a", "prices.eu", strings.Repeat("t", maxLikeTopic), strings.Repeat("t", maxLikeTopic+1)}
	var laid, plain DataWriter
	lm, pm := make([]byte, 1474), make([]byte, 1474)
	asLaid := 0
	for i := range uint64(200_000) {
		for _, m := range [][]byte{lm, pm} {
			for j := range m {
				m[j] = 0xA5
			}
		}
		topic, kind, size := topics[rnd.IntN(8)/5+rnd.IntN(40)/39*2], Kind(rnd.IntN(10)/9), 64+rnd.IntN(20)/19*rnd.IntN(200)-rnd.IntN(30)/29*64
		laid.Begin(lm, 1472, testHeader(), i+1, 2*i+1)
		plain.Begin(pm, 1472, testHeader(), i+1, 2*i+1)
		laid.Lay()
		foreseen := laid.laid
		both := func(f func(w *DataWriter)) { f(&laid); f(&plain) }
		for range 1 + rnd.IntN(20)/17 {
			payload := bytes.Repeat([]byte{byte(i)}, max(size, 0))
			switch rnd.IntN(30) {
			case 0:
				both(func(w *DataWriter) {
					if p, ok := w.Reserve(topic, kind, len(payload)); ok {
						copy(p, payload)
						w.Commit()
					}
				})
			case 1:
				both(func(w *DataWriter) { w.Reserve(topic, kind, len(payload)); w.Cancel() })
			case 2:
				both(func(w *DataWriter) { w.AddFragment(topic, kind, 10, 5000, append(payload, 1)) })
			case 3:
				both(func(w *DataWriter) { w.AppendStart(Start{First: 1, FirstMessage: 1, Lanes: 1}) })
			default:
				both(func(w *DataWriter) { w.Add(topic, kind, payload) })
			}
		}
		if laid.Room(topic) != plain.Room(topic) || laid.Empty() != plain.Empty() {
			t.Fatalf("datagram %d: room %d and %d, empty %v and %v", i, laid.Room(topic), plain.Room(topic), laid.Empty(), plain.Empty())
		}
		if laid.count == 1 && foreseen.end > 0 && laid.laid.end == laid.pos {
			asLaid++
		}
		lo, ln := laid.Finish()
		po, pn := plain.Finish()
		if lo != po || !bytes.Equal(lm[lo:lo+ln], pm[po:po+pn]) {
			t.Fatalf("datagram %d:\n%x laid\n%x not", i, lm[lo:lo+ln], pm[po:po+pn])
		}
	}
	if asLaid < 50_000 {
		t.Errorf("%d were as they were laid: this tests little", asLaid)
	}
}

func TestLayAllocatesNothing(t *testing.T) {
	var w DataWriter
	mem, payload := make([]byte, 1474), make([]byte, 64)
	once := func() {
		w.Begin(mem, 1472, testHeader(), 1, 1)
		w.Lay()
		w.Add("prices.eu", 0, payload)
		w.Finish()
	}
	once()
	if n := testing.AllocsPerRun(100, once); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
