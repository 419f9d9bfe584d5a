package raw

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// answerLimit is how long a datagram's answer may take before it counts as lost.
const answerLimit = 100 * time.Millisecond

// pause is how many empty polls pass between two looks at the clock and the context.
const pause = 1 << 10

// end is one end's way to send and receive. It belongs to one goroutine.
type end interface {
	// say sends one datagram, and tries again as long as there is no room.
	say(kind, number uint64) error
	// flood sends a full batch of kindData, numbered from first, and returns how many those are.
	flood(first uint64) (n int, err error)
	// receive takes what there is, at most batch packets, without waiting, and calls f with
	// each datagram of the other end. It returns how many packets came, own ones included.
	receive(f func(kind, number uint64)) (packets int, err error)
	// mode is how packets travel over AF_XDP; it is empty over sockets.
	mode() string
	close()
}

// batch is how many packets one call moves at most.
const batch = 64

func open(cfg Config) (end, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.XDP != nil {
		return openXDP(cfg)
	}
	return openSockets(cfg)
}

// Latency ping-pongs with a Responder, one datagram at a time, and calls record with each
// round trip.
func Latency(ctx context.Context, cfg Config, record func(ns int64)) (p Pings, err error) {
	cfg.pingPong = true
	e, err := open(cfg)
	if err != nil {
		return p, err
	}
	defer e.close()
	p.Mode = e.mode()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := meet(ctx, e); err != nil {
		return p, err
	}

	start := time.Now()
	measure, finish := cfg.Duration/10, cfg.Duration/10+cfg.Duration
	var number, answered uint64
	pong := func(kind, n uint64) {
		if kind == kindPong && n == number {
			answered = n
		}
	}
	for now := time.Duration(0); now < finish; {
		number++
		sent := time.Since(start) // one reading of one clock, which time.Now is not
		if err := e.say(kindPing, number); err != nil {
			return p, err
		}
		for spins := 1; answered != number; spins++ {
			if _, err := e.receive(pong); err != nil {
				return p, err
			}
			if spins%pause == 0 && answered != number && time.Since(start)-sent > answerLimit {
				break
			}
		}
		now = time.Since(start)
		switch {
		case answered != number:
			p.Lost++
			if err := ctx.Err(); err != nil {
				return p, err
			}
		case sent > measure:
			record(int64(now - sent))
			p.Count++
		}
		if number%pause == 0 && ctx.Err() != nil {
			return p, ctx.Err()
		}
	}
	return p, part(ctx, e)
}

// Responder answers what Latency sends, until that is finished.
func Responder(ctx context.Context, cfg Config) error {
	cfg.pingPong = true
	e, err := open(cfg)
	if err != nil {
		return err
	}
	defer e.close()
	return serve(ctx, e, func(kind, n uint64) error {
		if kind == kindPing {
			return e.say(kindPong, n)
		}
		return nil
	}, func() {})
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
	if err := meet(ctx, e); err != nil {
		return s, err
	}

	discard := func(kind, n uint64) {}
	start := time.Now()
	finish := start.Add(cfg.Duration/10 + cfg.Duration)
	for now := start; now.Before(finish); now = time.Now() {
		n, err := e.flood(s.Datagrams)
		s.Datagrams += uint64(n)
		if err != nil {
			return s, err
		}
		for heard := batch; heard >= batch; {
			if heard, err = e.receive(discard); err != nil {
				return s, err
			}
		}
		if err := ctx.Err(); err != nil {
			return s, err
		}
	}
	s.Seconds = time.Since(start).Seconds()
	return s, part(ctx, e)
}

// Receiver counts what arrives from Sender, until that is finished.
func Receiver(ctx context.Context, cfg Config) (r Received, err error) {
	e, err := open(cfg)
	if err != nil {
		return r, err
	}
	defer e.close()
	var came, last uint64 // datagrams so far, and the highest number
	var begin, from, to time.Time
	var fromCame, fromLast uint64
	err = serve(ctx, e, func(kind, n uint64) error {
		if kind == kindData {
			came, last = came+1, n
		}
		return nil
	}, func() {
		// Once for each system call, so that the clock costs next to nothing. What came up
		// to `from` is warm-up.
		if came == 0 {
			return
		}
		now := time.Now()
		switch {
		case begin.IsZero():
			begin = now
		case from.IsZero():
			if now.Sub(begin) >= cfg.Duration/10 {
				from, fromCame, fromLast = now, came, last
			}
		case came-fromCame > r.Datagrams:
			to, r.Datagrams = now, came-fromCame
		}
	})
	if r.Datagrams > 0 {
		r.Lost = last - fromLast - r.Datagrams
		r.Seconds = to.Sub(from).Seconds()
	}
	return r, err
}

// meet finds the other end.
func meet(ctx context.Context, e end) error {
	ready := false
	for start := time.Now(); time.Since(start) < Patience; {
		if err := e.say(kindHello, 0); err != nil {
			return err
		}
		for sent := time.Now(); time.Since(sent) < time.Millisecond; {
			if _, err := e.receive(func(kind, _ uint64) { ready = ready || kind == kindReady }); err != nil || ready {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return ErrNoPeer
}

// part sends the other end that it is over, until that has answered. An end that does
// not, because it was stopped, is no error.
func part(ctx context.Context, e end) error {
	bye := false
	for range 200 {
		if err := e.say(kindFinish, 0); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		for n := 1; n > 0; {
			var err error
			if n, err = e.receive(func(kind, _ uint64) { bye = bye || kind == kindBye }); err != nil {
				return err
			}
		}
		if bye || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// serve spins and calls f with each datagram, and after with every batch, until the other end
// is finished or was silent for too long.
func serve(ctx context.Context, e end, f func(kind, n uint64) error, after func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var failed error
	finished := false
	take := func(kind, n uint64) {
		var err error
		switch kind {
		case kindHello:
			err = e.say(kindReady, 0)
		case kindFinish:
			finished, err = true, e.say(kindBye, 0)
		default:
			err = f(kind, n)
		}
		if err != nil {
			failed = err
		}
	}
	heard, packets := time.Now(), 0
	for spins := 1; ; spins++ {
		n, err := e.receive(take)
		if err != nil || failed != nil {
			return errors.Join(err, failed)
		}
		if n > 0 {
			packets += n
			after()
		}
		if finished {
			return nil // what is sent last before a socket is closed arrives
		}
		if spins%pause == 0 {
			switch now := time.Now(); {
			case packets > 0:
				heard, packets = now, 0
			case now.Sub(heard) > Patience:
				return ErrNoPeer
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
}
