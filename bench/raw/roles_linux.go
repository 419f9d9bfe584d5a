package raw

import (
	"context"
	"runtime"
	"time"
)

// answerLimit is how long a datagram's answer may take before it counts as lost.
const answerLimit = 100 * time.Millisecond

// pause says how many empty polls pass between two looks at the clock and the context.
const pause = 1 << 10

// Latency ping-pongs with a Responder, one datagram at a time, and calls record with each
// round trip.
func Latency(ctx context.Context, cfg Config, record func(ns int64)) (p Pings, err error) {
	e, err := open(cfg)
	if err != nil {
		return p, err
	}
	defer e.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := e.meet(ctx); err != nil {
		return p, err
	}

	start := time.Now()
	measure, finish := start.Add(cfg.Duration/10), start.Add(cfg.Duration/10+cfg.Duration)
	var number, answered uint64
	pong := func(kind, n uint64) {
		if kind == kindPong && n == number {
			answered = n
		}
	}
	for sent := start; sent.Before(finish); {
		number++
		if err := e.say(kindPing, number); err != nil {
			return p, err
		}
		for spins := 1; answered != number; spins++ {
			if _, err := e.hear(pong); err != nil {
				return p, err
			}
			if spins%pause == 0 && answered != number && time.Since(sent) > answerLimit {
				break
			}
		}
		now := time.Now()
		switch {
		case answered != number:
			p.Lost++
			if err := ctx.Err(); err != nil {
				return p, err
			}
		case sent.After(measure):
			record(now.Sub(sent).Nanoseconds())
			p.Count++
		}
		if number%pause == 0 && ctx.Err() != nil {
			return p, ctx.Err()
		}
		sent = now
	}
	return p, e.part()
}

// Responder answers what Latency sends, until that is finished.
func Responder(ctx context.Context, cfg Config) error {
	e, err := open(cfg)
	if err != nil {
		return err
	}
	defer e.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sayErr error
	return e.listen(ctx, func(kind, n uint64) bool {
		switch kind {
		case kindHello:
			sayErr = e.say(kindReady, 0)
		case kindPing:
			sayErr = e.say(kindPong, n)
		}
		return kind == kindFinish || sayErr != nil
	}, &sayErr)
}

// Sender sends datagrams to a Receiver as fast as it can, reading and discarding its own.
func Sender(ctx context.Context, cfg Config) (s Sent, err error) {
	e, err := open(cfg)
	if err != nil {
		return s, err
	}
	defer e.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := e.meet(ctx); err != nil {
		return s, err
	}

	// About as many datagrams a call as without segmentation: larger batches only fill the
	// receiver's buffer faster than they can be read.
	packets := max(1, batch/e.segments)
	start := time.Now()
	measure, finish := start.Add(cfg.Duration/10), start.Add(cfg.Duration/10+cfg.Duration)
	warm := false
	discard := func(kind, n uint64) {}
	for now := start; now.Before(finish); now = time.Now() {
		if !warm && now.After(measure) {
			warm = true
			if err := e.say(kindMark, s.Datagrams); err != nil {
				return s, err
			}
		}
		for i := range packets {
			e.shape(i, e.segments)
			for j := range e.segments {
				e.set(i, j, kindData, s.Datagrams)
				s.Datagrams++
			}
		}
		if err := e.flush(packets); err != nil {
			return s, err
		}
		for n := packets; n >= packets; {
			if n, err = e.hear(discard); err != nil {
				return s, err
			}
		}
		if err := ctx.Err(); err != nil {
			return s, err
		}
	}
	s.Seconds = time.Since(start).Seconds()
	return s, e.part()
}

// Receiver counts what arrives from Sender, until that is finished.
func Receiver(ctx context.Context, cfg Config) (r Received, err error) {
	e, err := open(cfg)
	if err != nil {
		return r, err
	}
	defer e.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sayErr error
	var first, last uint64
	var from, to time.Time
	measure := false
	err = e.listen(ctx, func(kind, n uint64) bool {
		switch kind {
		case kindHello:
			sayErr = e.say(kindReady, 0)
		case kindData:
			if measure {
				if r.Datagrams == 0 {
					first, from = n, time.Now()
				}
				r.Datagrams++
				last = n
				if r.Datagrams%batch == 1 {
					to = time.Now()
				}
			} else if n > 0 && cfgWarm(&measure, n) {
				_ = n
			}
		case kindMark:
			measure = true
		}
		return kind == kindFinish || sayErr != nil
	}, &sayErr)
	if r.Datagrams > 0 {
		r.Lost = last - first + 1 - r.Datagrams
		r.Seconds = to.Sub(from).Seconds()
	}
	return r, err
}
