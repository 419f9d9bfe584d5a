package workload

import (
	"errors"
	"fmt"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// load sends messages from the thread that turns the engine: the open loop, or as fast as
// flow control allows. Its functions stand for the channel, so that tests can plant defects.
type load struct {
	send func(n int, fill func([]byte)) error // one message of n bytes
	turn func() int
	now  func() clock.Time
	stop func() error // not nil: the run is to end

	size    int
	seed    uint64
	base    uint64  // numbers begin behind it, so that several senders have different ones
	rate    float64 // 0: as fast as it goes
	warmUp  time.Duration
	measure time.Duration
	spin    bool                       // never yields
	rest    func(now, next clock.Time) // passes time instead of the idler, where set

	sent uint64
}

// claiming sends what is written where it is sent from.
func claiming(pub *blaze.Publisher) func(n int, fill func([]byte)) error {
	return func(n int, fill func([]byte)) error {
		c, err := pub.Claim(n)
		if err != nil {
			return err
		}
		fill(c.Bytes())
		return c.Commit()
	}
}

// offering sends a copy.
func offering(offer func([]byte) error) func(n int, fill func([]byte)) error {
	var mem []byte
	return func(n int, fill func([]byte)) error {
		if len(mem) != n {
			mem = make([]byte, n)
		}
		fill(mem)
		return offer(mem)
	}
}

// burst is how many messages of size bytes are offered between two turns at most: what one turn
// sends, so that they are still in the cache when they leave.
func burst(size int) int { return min(engine.Batch*max(1400/size, 1), 1024) }

// stampEvery is for how many messages one reading of the clock is good when the load is not on
// a schedule.
const stampEvery = 16

// run sends for warmUp and measure. It does not wait for what was sent to arrive.
func (l *load) run() error {
	var sched measure.Schedule
	start := l.now()
	if l.rate > 0 {
		var err error
		if sched, err = measure.NewSchedule(start, l.rate); err != nil {
			return err
		}
	}
	m := measure.NewMaker(l.size, l.seed)
	measured, end := start.Add(l.warmUp), start.Add(l.warmUp+l.measure)
	idle, burst := idler{spin: l.spin, rest: l.rest}, burst(l.size)
	var msg measure.Message
	refused := false // msg was, for want of room, and goes first
	fill := func(b []byte) { m.Fill(b, msg) }
	warm, timed := false, 0 // the warm-up is over; messages accepted since
	for now, turns := start, 0; ; turns++ {
		full := false
		for range burst {
			if !refused {
				due := now
				if l.rate > 0 {
					if due = sched.Due(l.sent); due > now || due >= end {
						break
					}
				} else if l.sent%stampEvery == 0 {
					now = l.now()
					due = now
				}
				warm = due >= measured
				msg = measure.Message{Number: l.base + l.sent + 1, Measured: warm, Stamp: int64(due)}
			}
			if err := l.send(l.size, fill); err != nil {
				if refused = errors.Is(err, blaze.ErrBackPressure); refused {
					full = true
					break
				}
				return fmt.Errorf("offer of message %d: %w", l.sent+1, err)
			}
			refused = false
			l.sent++
			if warm {
				timed++
			}
		}
		work := l.turn()
		now = l.now()
		switch {
		case now < end:
		case l.rate > 0 && !refused && sched.Due(l.sent) >= end:
			return nil // what was due in time was sent, if not in time
		case l.rate == 0 && timed >= enough:
			return nil
		}
		if now >= end.Add(stalled) {
			return fmt.Errorf("the sender is %v behind its schedule: message %d is not accepted; a lower --rate, or more time", stalled, l.sent+1)
		}
		if turns%64 == 0 {
			if err := l.stop(); err != nil {
				return err
			}
		}
		switch {
		case work > 0:
			idle.reset()
		case full:
			idle.idle(now, end)
		case l.rate > 0:
			idle.idle(now, sched.Due(l.sent))
		}
	}
}

// enough messages are measured even if that takes longer than was asked for, so that a very short
// run on a busy host finds something: several of those whose time the receivers take.
const enough = 8 * timeEvery

// stalled is how long a load may go on past its end to send what was due before.
const stalled = 30 * time.Second

// drain turns the engine until over returns true, since repairs are sent by turning.
func (l *load) drain(over func() (bool, error)) error {
	idle := idler{spin: l.spin}
	for turns := 0; ; turns++ {
		if l.turn() > 0 {
			idle.reset()
		} else if turns%64 == 0 || !l.spin {
			if err := l.stop(); err != nil {
				return err
			}
			if done, err := over(); done || err != nil {
				return err
			}
			now := l.now()
			idle.idle(now, now.Add(time.Millisecond))
		}
	}
}

// idler passes the time of a thread that turns its engine itself: it spins, or spins, yields and
// sleeps as the engine's own loop does with Backoff.
type idler struct {
	spin  bool
	rest  func(now, next clock.Time) // instead, where set
	since clock.Time                 // when the work ran out; 0: there was some
}

const (
	spinFor  = 20 * time.Microsecond
	yieldFor = 100 * time.Microsecond
	nap      = 50 * time.Microsecond
)

func (i *idler) reset() { i.since = 0 }

// idle passes some time, but not beyond next.
func (i *idler) idle(now, next clock.Time) {
	switch {
	case i.spin:
		return
	case i.rest != nil:
		i.rest(now, next)
		return
	}
	if i.since == 0 {
		i.since = now
	}
	switch d := now.Sub(i.since); {
	case d < spinFor:
	case d < yieldFor:
		yield()
	default:
		// A sleep takes some 60 µs longer than asked for: only where there is time for it.
		if next.Sub(now) > 3*nap {
			time.Sleep(nap)
		} else {
			yield()
		}
	}
}
