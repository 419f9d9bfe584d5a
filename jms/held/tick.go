package held

// Resolution is how exactly times are kept, in ms: of delays and of expiry.
const Resolution = 100

// mergedFor is how long ids of another set of holders are remembered, in ms.
const mergedFor = 3_600_000

func (s *state) tick(now int64) {
	s.now = max(s.now, now)
	for _, c := range s.undated {
		if c.undated = false; c.flight > 0 {
			c.since = s.now
			s.touch(c)
		}
	}
	s.undated = nil
	stage := max(1, s.m.maxSteps/4) // so that none starves another
	s.steps = stage
	s.mature()
	s.steps = stage
	for s.steps > 0 {
		k, m, ok := s.expiry.first(key{})
		if !ok || int64(k.hi) > s.now || s.m.leave == leaveExpiry {
			break
		}
		s.expire(s.queueByNo[m.queue], m)
	}
	for n := 0; n < MaxLimit; n++ {
		k, id, ok := s.mergedOrder.first(key{})
		if !ok || int64(k.hi)+mergedFor > s.now {
			break
		}
		s.mergedOrder.remove(k)
		delete(s.merged, id)
	}
	s.steps = stage
	for s.steps > 0 && len(s.sweeps) > 0 && s.sweep(s.sweeps[0]) {
		s.sweeps = s.sweeps[1:]
	}
	s.steps = stage
	for s.steps > 0 && len(s.drops) > 0 {
		if q := s.drops[0]; s.dropSome(q) && len(s.drops) > 0 && s.drops[0] == q {
			s.drops = s.drops[1:]
		}
	}
	s.steps = stage
	for s.steps > 0 && len(s.feeds) > 0 && s.feedSome(s.feeds[0]) {
		s.feeds = s.feeds[1:]
	}
	s.steps = stage
	s.doLags()
	s.steps = stage
	s.doWork()
}

// mature shows messages whose time has come, and sets a time where there is none yet: that of a redelivery counts from
// the first Tick after it.
func (s *state) mature() {
	for s.steps > 0 {
		k, m, ok := s.delayed.first(key{})
		if !ok || int64(k.hi) > s.now {
			return
		}
		s.steps -= stepsMessage
		s.delayed.remove(k)
		q := s.queueByNo[m.queue]
		q.delayed--
		s.touch(q)
		switch {
		case q.dropped:
			s.discount(q, m)
		case k.hi == 0:
			due := s.now + s.redeliveryDelay(q, m)
			s.delay(q, m.copyWith(func(x *more) { x.due = due }))
		default:
			s.offer(q, m.copyWith(func(x *more) { x.due = 0 }))
		}
	}
}

// redeliveryDelay is how long m waits after its last delivery, in ms.
func (s *state) redeliveryDelay(q *queue, m *message) int64 {
	x := s.settingsOf(q)
	d := x.RedeliveryDelay
	for i := uint32(1); x.Doubling && i < m.count && d < maxRedeliveryDelay; i++ {
		d *= 2
	}
	return max(1, min(d, maxRedeliveryDelay))
}

// next is when the next Tick is needed, in ms since 1970.
func (s *state) next() (at int64, ok bool) {
	if len(s.work) > 0 || len(s.lagging) > 0 || len(s.sweeps) > 0 || len(s.drops) > 0 || len(s.feeds) > 0 {
		return s.now, true
	}
	at = 1<<63 - 1
	if len(s.undated) > 0 {
		at = s.now + Resolution
	}
	if k, _, there := s.delayed.first(key{}); there {
		at = min(at, roundUp(int64(k.hi)))
	}
	if k, _, there := s.expiry.first(key{}); there {
		at = min(at, roundUp(int64(k.hi)))
	}
	if k, _, there := s.mergedOrder.first(key{}); there {
		at = min(at, int64(k.hi)+mergedFor)
	}
	return max(at, s.now), at < 1<<63-1
}

func roundUp(ms int64) int64 {
	if ms > 1<<62 {
		return ms
	}
	return (ms + Resolution - 1) / Resolution * Resolution
}
