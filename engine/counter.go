package engine

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// counterClock reads a monotonic clock from the processor's time stamp counter. From time to time a reader compares the
// counter with the clock (calibrates), and the next line is drawn from that: no goroutine is needed.
//
// The clock is one function of the counter, made of lines that follow each other without a jump, and none is ever
// changed: a reader that has old ones, since it was held up between reading them and the counter, computes what every other
// one would. A line begins where the one before it ends, half of a line's length after it was drawn. So
// what was handed out on one thread is never ahead of what is handed out afterwards on another one.
type counterClock struct {
	counter func() uint64     // the same on every processor; it does not go back
	plain   func() clock.Time // the clock
	report  func(string)

	lines atomic.Pointer[lines] // nil: the clock itself is read
	ready atomic.Uint64         // no line before this reading, where there is none yet
	off   atomic.Bool           // for good
	floor atomic.Int64          // when off: what was handed out from lines

	mu   sync.Mutex // of whoever draws
	last point      // of the last calibration
	rate float64    // nanoseconds for each count
	span uint64     // counts of a line
}

// point is a calibration: what the clock was at a reading of the counter.
type point struct {
	count uint64
	at    clock.Time
	width uint64 // counts between the readings on both sides of it: the error is at most half of that
}

// lines are the two lines that readers need. They are replaced, and never changed.
type lines struct {
	now, next line
	due       uint64 // from here on a reader draws the one after next
}

// line is the clock from one reading of the counter to another.
type line struct {
	from, to uint64
	at       clock.Time // at from
	mult     uint64     // nanoseconds for each 2^32 counts
}

func (l *line) value(count uint64) clock.Time { return l.at + clock.Time((count-l.from)*l.mult>>32) }

const (
	lineLength    = 50 * time.Millisecond  // of a line; it is drawn half of that before it begins
	maxSlew       = 100 * time.Microsecond // a larger difference means that the counter cannot be trusted
	brackets      = 5                      // comparisons for a calibration, the tightest of which counts
	maxRateChange = 0.002                  // between two calibrations: the 500 ppm of a time daemon, and errors
	tight         = 2 * time.Microsecond   // of the calibrations that say something of the rate
)

// newCounterClock begins: the clock itself is read until half of a line's length has shown the counter's rate.
func newCounterClock(counter func() uint64, plain func() clock.Time, report func(string)) *counterClock {
	c := &counterClock{counter: counter, plain: plain, report: report}
	c.last = c.calibrate()
	return c
}

// now reads the clock.
func (c *counterClock) now() clock.Time {
	count := c.counter()
	p := c.lines.Load()
	if p == nil {
		if c.off.Load() || count < c.ready.Load() {
			return c.read()
		}
		return c.settle()
	}
	if count-p.now.from >= p.next.to-p.now.from { // before both, or after them
		return c.settle()
	}
	if count >= p.due {
		c.extend()
	}
	return p.value(count)
}

// read reads the clock itself.
func (c *counterClock) read() clock.Time { return max(c.plain(), clock.Time(c.floor.Load())) }

// calibrate compares the counter with the clock.
func (c *counterClock) calibrate() point {
	best := point{width: math.MaxUint64}
	for range brackets {
		before := c.counter()
		at := c.plain()
		after := c.counter()
		if width := after - before; after >= before && width < best.width {
			best = point{before + width/2, at, width}
		}
	}
	return best
}

// measure calibrates, and takes the counter's rate from the last calibration to this one. It is false where the two cannot
// be of a counter that is steady.
func (c *counterClock) measure() (p point, ok bool) {
	p = c.calibrate()
	if p.count <= c.last.count || p.at < c.last.at {
		return p, false
	}
	passed := p.at.Sub(c.last.at)
	rate := float64(passed) / float64(p.count-c.last.count)
	switch {
	case passed < lineLength/4 || float64(p.width+c.last.width)*rate > float64(tight):
		return p, true // it says no more than the last ones did
	case passed > 10*lineLength && c.rate != 0: // the host may have slept
	case c.rate != 0 && math.Abs(rate/c.rate-1) > maxRateChange:
		return p, false
	default:
		c.rate = rate
	}
	c.last = p
	return p, true
}

// extend draws the line after the next one, if nobody else does.
func (c *counterClock) extend() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	old := c.lines.Load()
	if old == nil || c.counter() < old.due {
		return // somebody has
	}
	p, ok := c.measure()
	switch off := p.at.Sub(old.value(p.count)); {
	case p.count >= old.next.to: // late: settle begins anew
	case !ok || max(off, -off) > maxSlew+time.Duration(float64(p.width)*c.rate):
		c.distrust(old)
	default:
		c.draw(old.next, c.line(old.next.to, c.span, old.next.value(old.next.to), p))
	}
}

// line is one of so many counts from a reading of the counter on, at which the clock is at, and that comes to where the clock
// is by p.
func (c *counterClock) line(from, counts uint64, at clock.Time, p point) line {
	l := line{from: from, to: from + counts, at: at}
	ends := p.at + clock.Time(float64(l.to-p.count)*c.rate)
	l.mult = uint64(float64(max(ends-at, 1)) / float64(counts) * (1 << 32))
	return l
}

// draw publishes two lines, and says when the one after them is due.
func (c *counterClock) draw(now, next line) {
	c.lines.Store(&lines{now: now, next: next, due: next.from + c.span/2})
}

// settle reads the clock where no line goes: at the beginning, and after a pause of all readers.
func (c *counterClock) settle() clock.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off.Load() {
		return c.read()
	}
	old := c.lines.Load()
	if old != nil {
		if count := c.counter(); count >= old.now.from && count < old.next.to { // somebody else has been here
			return old.value(count)
		}
	}
	began := c.last
	p, ok := c.measure()
	if !ok {
		return c.distrust(old)
	}
	if c.rate == 0 {
		passed := max(p.at.Sub(began.at), 1)
		c.ready.Store(began.count + uint64(float64(p.count-began.count)*float64(lineLength/2)/float64(passed)))
		return p.at
	}
	c.span = uint64(float64(lineLength) / c.rate)
	at := p.at + clock.Time(float64(p.width)*c.rate) + 1 // not behind what others read from the clock itself meanwhile
	if old != nil {
		handed := old.value(old.next.to)
		if handed.Sub(at) > maxSlew {
			return c.distrust(old)
		}
		at = max(at, handed)
	}
	now := c.line(p.count, c.span/2, at, p)
	c.draw(now, c.line(now.to, c.span, now.value(now.to), p))
	return now.value(max(c.counter(), now.from))
}

// value is the clock at a reading of the counter; up to the end of the lines it is for one that lies beyond.
func (p *lines) value(count uint64) clock.Time {
	if count < p.now.to {
		return p.now.value(max(count, p.now.from))
	}
	return p.next.value(min(count, p.next.to))
}

// distrust goes back to the clock itself, for good, and reads it. Readings stay above what lines have handed out: up to the
// counter where that has run ahead, and a little ahead of the clock elsewhere.
func (c *counterClock) distrust(old *lines) clock.Time {
	c.lines.Store(&lines{}) // who reads now waits in settle; who has read the old ones has a lower count than comes next
	if old != nil {
		c.floor.Store(int64(max(old.value(c.counter()), c.plain().Add(maxSlew))))
	}
	c.off.Store(true)
	c.lines.Store(nil)
	c.report("the processor's time stamp counter differs from the system's clock, and is not read any more")
	return c.read()
}

// reportClock writes to the log. It may be called on an engine's thread.
func reportClock(text string) { go slog.Warn(text) }
