package workload

import (
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
)

// A receiver to which every message that it did not get was reported waits for nothing more.
func TestWhatIsToldAsLostIsSettled(t *testing.T) {
	w := newWire(64)
	m := measure.NewMaker(64, 9)
	ctl := &control{steps: make(chan step, 1)}
	for n := uint64(1); n <= 10; n++ {
		b := m.Make(measure.Message{Number: n})
		if n < 4 || n > 6 {
			w.sink.take(b)
		}
	}
	if ctl.settled(100) {
		t.Error("settled before the load is over")
	}
	ctl.steps <- step{Sent: []uint64{10}}
	if ctl.settled(w.sink.settled.Load()) {
		t.Error("settled while three messages are neither here nor told as lost")
	}
	w.sink.lost(blaze.Loss{First: 4, Last: 6, Reason: blaze.LossUnrepaired})
	if !ctl.settled(w.sink.settled.Load()) {
		t.Error("not settled when all have come or are told as lost")
	}
	r, err := w.sink.report(10)
	if err != nil || r.Delivered != 7 || r.Lost != 3 || r.Told[blaze.LossUnrepaired.String()] != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
