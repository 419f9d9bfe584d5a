package workload

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// pinger plays the closed loop: the answer to a message sends the next one, from within the
// handler. It works on the thread that turns as well as with an engine of its own.
type pinger struct {
	offer func([]byte) error
	now   func() clock.Time

	mu            sync.Mutex // the handler's thread, and the one that watches for timeouts
	maker         *measure.Maker
	rtt           *measure.Histogram
	sent          uint64     // the number that is under way or was last
	at            clock.Time // when it was sent
	refused       bool       // it was made and met back-pressure: to be offered again
	measured, end clock.Time
	answered      uint64
	corrupt       uint64
	err           error
	over          bool
	done          chan struct{} // closed when over
}

func newPinger(size int, seed uint64, offer func([]byte) error, now func() clock.Time) *pinger {
	return &pinger{
		offer: offer, now: now,
		maker: measure.NewMaker(size, seed), rtt: measure.NewHistogram(), done: make(chan struct{}),
	}
}

// start sends the first message. It is for the thread that may Offer.
func (p *pinger) start(warmUp, measure time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.measured, p.end = now.Add(warmUp), now.Add(warmUp+measure)
	p.next(now)
}

// enoughPings are measured even if that takes longer than was asked for: a very short run on a
// busy host must not end with nothing.
const enoughPings = 10

// next sends one message, stamped now. The round trip is measured from the call of offer to the
// handler: what the application does between an answer and the next message is its own.
func (p *pinger) next(now clock.Time) {
	if now >= p.end && p.rtt.Count() >= enoughPings {
		p.finish(nil)
		return
	}
	b := p.maker.Make(measure.Message{Number: p.sent + 1, Measured: now >= p.measured, Stamp: int64(now)})
	p.at = p.now()
	switch err := p.offer(b); {
	case err == nil:
		p.sent++
		p.refused = false
	case errors.Is(err, blaze.ErrBackPressure):
		p.refused = true // retry, or the timeout, takes it from here
	default:
		p.finish(err)
	}
}

func (p *pinger) finish(err error) {
	if !p.over {
		p.over, p.err = true, err
		close(p.done)
	}
}

// pong takes an answer.
func (p *pinger) pong(b []byte) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	msg, ok := p.maker.Read(b)
	if !ok {
		p.corrupt++
		return
	}
	if msg.Number != p.sent || p.refused || p.over {
		return // the answer to one that was given up
	}
	p.answered++
	if msg.Measured {
		p.rtt.Record(now.Sub(p.at).Nanoseconds())
	}
	p.next(now)
}

// patience is how long BestEffort waits for an answer before it takes message or answer for lost.
const patience = 20 * time.Millisecond

// watch looks for a message that was refused or has no answer, and reports whether the loop
// is over. With retry a message is given up after a while; without, the protocol is trusted to
// repair it, and the loop fails when it does not within Settle.
func (p *pinger) watch(retry bool) (over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch waited := now.Sub(p.at); {
	case p.over:
	case p.refused:
		p.next(now)
	case retry && waited > patience:
		p.next(now)
	case waited > Settle:
		p.finish(fmt.Errorf("message %d got no answer within %v", p.sent, Settle))
	}
	return p.over
}
