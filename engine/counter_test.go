package engine

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// fakeTime is a counter and a clock that both follow a time of the test's own.
type fakeTime struct {
	ns      float64 // real time
	hz      float64 // counts a nanosecond
	drift   float64 // of the clock against real time, as a time daemon makes it
	skipped float64 // nanoseconds that the clock has over real time
	jumped  uint64  // counts that the counter has over real time
	rand    *rand.Rand
	held    float64 // chance that a reading takes long
	reports int
}

func (f *fakeTime) pass(d time.Duration) {
	f.ns += float64(d)
	f.skipped += float64(d) * f.drift
}

// step is what an instruction takes, or the host when it takes the processor away.
func (f *fakeTime) step() {
	f.pass(10)
	if f.held > 0 && f.rand.Float64() < f.held {
		f.pass(time.Duration(f.rand.IntN(int(3 * time.Millisecond))))
	}
}

func (f *fakeTime) count() uint64 {
	f.step()
	return uint64(f.ns*f.hz) + f.jumped
}

func (f *fakeTime) clock() clock.Time {
	f.step()
	return clock.Time(1e9 + f.ns + f.skipped)
}

func (f *fakeTime) start() *counterClock {
	return newCounterClock(f.count, f.clock, func(string) { f.reports++ })
}

// follow reads the clock for a time, in steps of up to most, and returns how far it was from the clock itself at most. It is never
// behind what it was.
func (f *fakeTime) follow(t *testing.T, c *counterClock, last clock.Time, length, most time.Duration) (clock.Time, time.Duration) {
	t.Helper()
	var off time.Duration
	for end := f.ns + float64(length); f.ns < end; {
		f.pass(1 + time.Duration(f.rand.Int64N(int64(most))))
		real := 1e9 + f.ns + f.skipped
		now := c.now()
		if now < last {
			t.Fatalf("after %v: %v, and it was %v", time.Duration(f.ns), now, last)
		}
		last = now
		if after := 1e9 + f.ns + f.skipped; float64(now) < real {
			off = max(off, time.Duration(real-float64(now)))
		} else if float64(now) > after {
			off = max(off, time.Duration(float64(now)-after))
		}
	}
	return last, off
}

// counterSeeds is how many schedules each test takes.
func counterSeeds() uint64 {
	if testing.Short() {
		return 6
	}
	return 50
}

func newFakeTime(seed uint64) *fakeTime {
	r := rand.New(rand.NewPCG(seed, 1))
	return &fakeTime{ns: 1e12 * r.Float64(), hz: 1 + 4*r.Float64(), rand: r}
}

// A steady counter is within 200 ns of the clock, in whatever steps it is read; pauses of all readers change nothing.
func TestCounterFollows(t *testing.T) {
	for seed := range counterSeeds() {
		f := newFakeTime(seed)
		c := f.start()
		last, off := f.follow(t, c, 0, time.Second, 20*time.Microsecond)
		for _, pause := range []time.Duration{20 * time.Millisecond, 120 * time.Millisecond, time.Second, time.Hour} {
			f.pass(pause)
			var o time.Duration
			last, o = f.follow(t, c, last, 300*time.Millisecond, 20*time.Microsecond)
			off = max(off, o)
		}
		_, o := f.follow(t, c, last, 10*time.Second, 70*time.Millisecond)
		if off = max(off, o); off > 200 || f.reports != 0 {
			t.Errorf("seed %d: %v off, %d reports", seed, off, f.reports)
		}
		if c.lines.Load() == nil {
			t.Errorf("seed %d: no lines", seed)
		}
	}
}

// While a time daemon slews the clock by 500 ppm, and after it has stopped, the counter's follows within 80 µs.
func TestCounterFollowsSlewing(t *testing.T) {
	for seed := range counterSeeds() {
		f := newFakeTime(seed)
		c := f.start()
		last, worst := f.follow(t, c, 0, time.Second, 20*time.Microsecond)
		for _, drift := range []float64{0.0005, -0.0005, 0} {
			f.pass(time.Duration(f.rand.IntN(int(100 * time.Millisecond))))
			f.drift = drift
			var off time.Duration
			last, off = f.follow(t, c, last, time.Second, 20*time.Microsecond)
			worst = max(worst, off)
		}
		if worst > 80*time.Microsecond || f.reports != 0 {
			t.Errorf("seed %d: %v off, %d reports", seed, worst, f.reports)
		}
		if _, off := f.follow(t, c, last, time.Second, 20*time.Microsecond); off > 80*time.Microsecond {
			t.Errorf("seed %d: %v off after it has stopped", seed, off)
		}
	}
}

// A host that takes the processor away in the middle of calibrations makes nothing wrong by more than it takes.
func TestCounterHeldUp(t *testing.T) {
	for seed := range counterSeeds() {
		f := newFakeTime(seed)
		f.held = 0.02
		c := f.start()
		if _, off := f.follow(t, c, 0, 5*time.Second, 100*time.Microsecond); off > 10*time.Microsecond || f.reports != 0 {
			t.Errorf("seed %d: %v off, %d reports", seed, off, f.reports)
		}
	}
}

// What a counter does that cannot be trusted: the clock itself is read from then on, and never goes back.
func TestCounterDistrusted(t *testing.T) {
	for name, wrong := range map[string]func(f *fakeTime){
		"jumps ahead":           func(f *fakeTime) { f.jumped += uint64(20e6 * f.hz) },
		"jumps far ahead":       func(f *fakeTime) { f.jumped += uint64(3600e9 * f.hz) },
		"begins anew":           func(f *fakeTime) { f.jumped = -uint64(f.ns * f.hz) },
		"is faster":             func(f *fakeTime) { f.jumped -= uint64(f.ns * f.hz * 0.01); f.hz *= 1.01 },
		"is slower":             func(f *fakeTime) { f.jumped += uint64(f.ns * f.hz * 0.01); f.hz *= 0.99 },
		"the clock jumps ahead": func(f *fakeTime) { f.skipped += 1e6 },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range counterSeeds() {
				f := newFakeTime(seed)
				c := f.start()
				last, _ := f.follow(t, c, 0, time.Second, 20*time.Microsecond)
				f.pass(time.Duration(f.rand.IntN(int(100 * time.Millisecond))))
				wrong(f)
				last, _ = f.follow(t, c, last, 400*time.Millisecond, 20*time.Microsecond)
				if _, off := f.follow(t, c, last, time.Second, 20*time.Microsecond); off > 20 {
					t.Errorf("seed %d: %v off", seed, off)
				}
				if f.reports != 1 || !c.off.Load() {
					t.Errorf("seed %d: %d reports", seed, f.reports)
				}
			}
		})
	}
}

// Over threads, too, no reading is behind one that was handed out before it began; and the counter of this host follows its
// clock, where it has one that can.
func TestCounterOfThisHost(t *testing.T) {
	count := hostCounter(t)
	var reports atomic.Int32
	c := newCounterClock(count, monotonic, func(string) { reports.Add(1) })
	var latest atomic.Int64
	stop := make(chan struct{})
	length := 3 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	time.AfterFunc(length, func() { close(stop) })
	behind := make(chan time.Duration, 4)
	for range cap(behind) {
		go func() {
			var most time.Duration
			for {
				select {
				case <-stop:
					behind <- most
					return
				default:
				}
				before := latest.Load()
				now := int64(c.now())
				most = max(most, time.Duration(before-now))
				for now > before && !latest.CompareAndSwap(before, now) {
					before = latest.Load()
				}
			}
		}()
	}
	for range cap(behind) {
		if d := <-behind; d > 0 {
			t.Errorf("a reading is %v behind one that was handed out before", d)
		}
	}
	if reports.Load() > 0 || c.lines.Load() == nil {
		t.Skip("the counter of this host does not follow its clock: it is not used")
	}
	var off []time.Duration
	for range 10_000 {
		before := monotonic()
		now := c.now()
		after := monotonic()
		if after.Sub(before) > time.Microsecond {
			continue // the processor was taken away
		}
		switch {
		case now < before:
			off = append(off, before.Sub(now))
		case now > after:
			off = append(off, now.Sub(after))
		default:
			off = append(off, 0)
		}
	}
	far := 0
	for _, d := range off {
		if d > 200*time.Nanosecond {
			far++
		}
	}
	t.Logf("%d of %d readings are more than 200 ns off", far, len(off))
	if far > len(off)/50 && !testing.Short() { // twice the slack of 1 in 100
		t.Errorf("%d of %d readings are more than 200 ns off", far, len(off))
	}
}

func BenchmarkNow(b *testing.B) {
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			monotonic()
		}
	})
	b.Run("counter", func(b *testing.B) {
		c := newCounterClock(hostCounter(b), monotonic, func(string) {})
		for b.Loop() {
			c.now()
		}
	})
}
