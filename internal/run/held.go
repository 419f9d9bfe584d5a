package run

import (
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Held is a stream that something else than its application limits, for Config.Held.
type Held struct {
	Stream    wire.StreamID
	By        core.LimitedBy // what does; ByReceiver for ByWindow, too, where a receiver is to blame
	Share     float64        // of the last second
	Limit     nack.Limit     // the receiver, where there is one
	Pace      float64        // of ByPace, bytes/s
	Recovered bool           // it does not any more; By and Limit are as they were reported
	Again     bool           // it was reported before, and has not ended since
}

const (
	heldEvery   = time.Second      // between two looks
	reportEvery = 10 * time.Second // between two reports of one stream
)

// watch looks once a second what has limited each lane for more than half of that second. A single
// pause means little: a receiver that is steadily slow takes a datagram, and pauses again.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer // nil: not started
	run   *Run        // nil: it stops. The runtime keeps a stopped timer for a while, and the run must not stay with it

	judge func() // turn, made once: a look allocates nothing

	// Of the first engine.
	looked clock.Time
	lanes  map[*member.Lane]*heldLane
}

// heldLane is what the watch keeps of a lane.
type heldLane struct {
	before   core.Limited   // at the last look
	by       core.LimitedBy // reported, and not recovered; ByApplication: nothing
	reported clock.Time     // when it last was; 0: never
	limit    nack.Limit

	taken   uint64  // messages, up to the last look
	rate    float64 // messages a second before the last look
	blocked float64 // share of that time for which receivers held the lane back
}

// start begins to look, when the first lane is opened.
func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && w.run != nil && w.run.held != nil {
		w.looked, w.lanes, w.judge = engine.Now(), map[*member.Lane]*heldLane{}, w.turn
		w.timer = time.AfterFunc(heldEvery, w.tick)
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.run = nil; w.timer != nil {
		w.timer.Stop()
	}
}

// tick has the first engine look.
func (w *watch) tick() {
	w.mu.Lock()
	r := w.run
	w.mu.Unlock()
	switch {
	case r == nil:
	case r.invoker:
		_ = r.Do(w.judge)
	default:
		r.engine.Post(w.judge)
	}
}

// turn looks, and has the next look made. It belongs to the first engine.
func (w *watch) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.run
	if r == nil {
		return
	}
	if reports := w.look(engine.Now(), r.member.Lanes()); len(reports) > 0 {
		go func() { // they are logged
			for _, h := range reports {
				r.held(h)
			}
		}()
	}
	w.timer.Reset(heldEvery)
}

// look judges the time since the last look. It belongs to the first engine.
func (w *watch) look(now clock.Time, lanes []*member.Lane) (reports []Held) {
	elapsed := now.Sub(w.looked)
	w.looked = now
	for _, l := range lanes {
		s := w.lanes[l]
		if s == nil {
			s = new(heldLane)
			w.lanes[l] = s
		}
		limit, _ := l.Slowest(now)
		l.Reckon(now)
		limited := l.Limited(now)
		s.measure(elapsed, l.Messages(), s.heldSince(limited))
		if h, ok := s.look(now, elapsed, limited, limit); ok {
			h.Stream = l.ID
			reports = append(reports, h)
		}
	}
	return reports
}

// heldSince is for how long receivers have held the lane back since the last look.
func (s *heldLane) heldSince(l core.Limited) time.Duration { return l.Held() - s.before.Held() }

// look judges one lane from what has limited it since it was opened.
func (s *heldLane) look(now clock.Time, elapsed time.Duration, l core.Limited, limit nack.Limit) (h Held, report bool) {
	var lasted [core.Limits]time.Duration
	for by := range lasted {
		lasted[by] = l.For[by] - s.before.For[by]
	}
	if limit.Member != (wire.MemberID{}) { // whether it has no room, or does not report: it is to blame
		lasted[core.ByReceiver] = s.heldSince(l)
		lasted[core.ByWindow] = 0
	}
	s.before = l
	by := core.ByWindow
	for b := by; b < core.Limits; b++ {
		if lasted[b] > lasted[by] {
			by = b
		}
	}
	share := func(by core.LimitedBy) float64 { return min(float64(lasted[by])/float64(max(elapsed, 1)), 1) }
	switch {
	case share(by) > 0.5:
		again := by == s.by
		if again && now.Sub(s.reported) < reportEvery {
			return h, false
		}
		if by == core.ByPace {
			limit = nack.Limit{Member: l.Member, Endpoint: l.Endpoint}
		}
		s.by, s.reported, s.limit = by, now, limit
		return Held{By: by, Share: share(by), Limit: limit, Pace: l.Pace, Again: again}, true
	case s.by != core.ByApplication && share(s.by) == 0:
		h = Held{By: s.by, Limit: s.limit, Recovered: true}
		s.by = core.ByApplication
		return h, true
	}
	return h, false
}

// Limiting is the receiver that holds a lane back, for the error of a wait for room; ok is false when
// none does. At the very moment there may be room for a datagram, or another receiver's report may be
// due: what counts is the time since the last look.
func (r *Run) Limiting(lane *member.Lane) (l nack.Limit, ok bool) {
	_ = r.Do(func() {
		now, s := engine.Now(), r.watch.lanes[lane]
		switch {
		case s != nil && s.by == core.ByReceiver:
			l, ok = s.limit, true
		case s != nil && 2*s.heldSince(lane.Limited(now)) > now.Sub(r.watch.looked):
			l, ok = lane.Slowest(now)
		default:
			if _, ok = lane.Limiting(); ok {
				l, ok = lane.Slowest(now)
			}
		}
	})
	return l, ok
}
