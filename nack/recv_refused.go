package nack

import (
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

const (
	// maxRefusals is how many refused streams are remembered, and how many may be reported at once.
	maxRefusals = 1024
	// refusalRate is how many are reported a second after that: forged ones are counted only.
	refusalRate = 100
)

// refusalBytes is what they take.
const refusalBytes = maxRefusals * 3 * int(unsafe.Sizeof(streamKey{}))

// refusals holds the streams that were turned away and reported, so that each is reported once.
type refusals struct {
	known  map[streamKey]struct{}
	order  []streamKey // the oldest at next, when it is full
	next   int
	budget bucket
}

// note reports whether a refusal is to be reported.
func (r *refusals) note(now clock.Time, k streamKey) bool {
	if _, ok := r.known[k]; ok {
		return false
	}
	if _, ok := r.budget.take(now, refusalRate, maxRefusals); !ok {
		return false
	}
	if r.known == nil {
		r.known = make(map[streamKey]struct{}, maxRefusals)
		r.order = make([]streamKey, 0, maxRefusals)
	}
	if len(r.order) < maxRefusals {
		r.order = append(r.order, k)
	} else {
		delete(r.known, r.order[r.next])
		r.order[r.next] = k
		r.next = (r.next + 1) % maxRefusals
	}
	r.known[k] = struct{}{}
	return true
}

// forget takes out a stream that is received now.
func (r *refusals) forget(k streamKey) {
	if len(r.known) > 0 {
		delete(r.known, k)
	}
}

// Refuse turns a stream away for which there is no room elsewhere: it is reported as one beyond
// Config.MaxStreams is.
func (p *Protocol) Refuse(now clock.Time, d *wire.Datagram, from buf.Endpoint) {
	p.start(now)
	_ = p.refuse(now, d, from)
}

// refuse turns a stream away for which there is no room. The first time that is an event, and a loss
// that names no message.
func (p *Protocol) refuse(now clock.Time, d *wire.Datagram, from buf.Endpoint) error {
	if p.refused.note(now, streamKey{d.Transmitter, d.Stream}) {
		p.stats.StreamsRefused++
		p.event(StreamRefused, d.Transmitter, from, d.Stream)
		p.loss = core.Loss{From: d.Transmitter, Stream: d.Stream, Reason: core.LossRefused}
		p.cfg.Sink.Lost(&p.loss)
	}
	return p.drop(DropStreams)
}
