package workload

import (
	"fmt"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// tracer takes the times at which a ping passes the driver (hook.Tracer). At the sender it is called
// of offers and answers, at the receiver of deliveries. It belongs to the thread that turns.
type tracer struct {
	now func() clock.Time

	armed, kicks           bool // the ping is not at the driver yet; its packet is not written yet
	sending, kicking, took clock.Time
	arrived                int64
	batch                  int // datagrams that came with the one that is handled

	stages [stages]*measure.Histogram
}

// Stages. The first two are the sender's, the others the receiver's. The clocks of a host's
// processes agree, but the sender's times do not travel: the way from the kick to the filter is
// what is left of the time from Offer to the filter.
const (
	offerToDriver = iota
	driverToKick
	offerToFilter
	filterToDriver
	driverToHandler
	offerToHandler
	stages
)

func newTracer(now func() clock.Time) *tracer {
	t := &tracer{now: now}
	for i := range t.stages {
		t.stages[i] = measure.NewHistogram()
	}
	return t
}

// offering is offer, and looks out for what it sends.
func (t *tracer) offering(offer func([]byte) error) func([]byte) error {
	return func(b []byte) error {
		t.armed = true
		return offer(b)
	}
}

// Sending is the driver's Send.
func (t *tracer) Sending() {
	if t.armed {
		t.armed, t.kicks, t.sending = false, true, t.now()
	}
}

// Kicking is called before the kernel is asked to send.
func (t *tracer) Kicking() {
	if t.kicks {
		t.kicks, t.kicking = false, t.now()
	}
}

// Took is the end of the driver's Recv.
func (t *tracer) Took(n int, arrived int64) {
	t.took, t.batch, t.arrived = t.now(), n, arrived
}

// answered records the ping that was offered at a time, if it belongs to what is measured.
func (t *tracer) answered(offered, measured clock.Time) {
	if offered < measured || t.armed || t.kicks {
		return
	}
	t.stages[offerToDriver].Record(int64(t.sending.Sub(offered)))
	t.stages[driverToKick].Record(int64(t.kicking.Sub(t.sending)))
}

// handled records the ping whose handler began at a time. One that came with others is left out:
// the driver has the arrival of the first only.
func (t *tracer) handled(at clock.Time, b []byte, reader *measure.Reader) {
	m, ok := reader.Read(b)
	if !ok || !m.Measured || t.batch != 1 || t.arrived == 0 {
		return
	}
	t.stages[offerToFilter].Record(t.arrived - m.Stamp)
	t.stages[filterToDriver].Record(int64(t.took) - t.arrived)
	t.stages[driverToHandler].Record(int64(at.Sub(t.took)))
	t.stages[offerToHandler].Record(int64(at) - m.Stamp)
}

// report encodes all stages.
func (t *tracer) report() (bs [][]byte, err error) {
	for _, h := range t.stages {
		b, err := h.MarshalBinary()
		if err != nil {
			return nil, err
		}
		bs = append(bs, b)
	}
	return bs, nil
}

// breakdown puts the sender's and the receiver's stages together.
func breakdown(sender *tracer, receiver [][]byte) ([]measure.Stage, error) {
	if len(receiver) != stages {
		return nil, fmt.Errorf("breakdown: %d stages instead of %d", len(receiver), stages)
	}
	var ns [stages]int64
	for i := range ns {
		h := sender.stages[i]
		if i >= offerToFilter {
			h = measure.NewHistogram()
			if err := add(h, receiver[i]); err != nil {
				return nil, err
			}
		}
		p := h.Percentiles()
		if p == nil {
			return nil, fmt.Errorf("breakdown: no message was traced at stage %d of its way", i)
		}
		ns[i] = p.P50
	}
	rows := []measure.Stage{
		{Name: "Offer → driver: packing, checksum", NS: ns[offerToDriver]},
		{Name: "driver → TX ring: headers", NS: ns[driverToKick]},
		{Name: "TX ring → kernel → XDP program: system call, copy, interface, softirq", NS: ns[offerToFilter] - ns[offerToDriver] - ns[driverToKick]},
		{Name: "XDP program → RX ring → driver: redirect, copy, the engine looks", NS: ns[filterToDriver]},
		{Name: "driver → engine → handler: checksum, order, delivery", NS: ns[driverToHandler]},
	}
	sum := int64(0)
	for _, r := range rows {
		sum += r.NS
	}
	return append(rows, measure.Stage{Name: "unexplained", NS: ns[offerToHandler] - sum}, measure.Stage{Name: "Offer → handler", NS: ns[offerToHandler]}), nil
}
