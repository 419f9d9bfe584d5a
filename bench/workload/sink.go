package workload

import (
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// sink is the receiving application: it judges every message that its handler gets. It belongs
// to the thread that runs the handler; only delivered may be read from elsewhere.
type sink struct {
	reader  measure.Reader
	every   uint64 // takes the time of each measured message whose number this divides
	now     func() clock.Time
	tracker *measure.Tracker
	latency *measure.Histogram

	measured span

	told map[string]uint64 // messages that OnLoss reported, by reason
	gone uint64            // their sum

	settled atomic.Uint64 // delivered or reported as lost: another thread waits until all is
}

func newSink(size int, seed, every uint64, now func() clock.Time) *sink {
	return &sink{reader: measure.NewReader(size, seed), every: max(every, 1), now: now, tracker: measure.NewTracker(), latency: measure.NewHistogram(), told: map[string]uint64{}}
}

// take judges one payload that comes now.
func (s *sink) take(b []byte) {
	if msg, ok := s.count(b); ok && msg.Measured && msg.Number%s.every == 0 {
		s.time(s.now(), msg.Stamp)
	}
}

// judge judges one payload that came at the time at; 0: it was not taken.
func (s *sink) judge(b []byte, at clock.Time) {
	if msg, ok := s.count(b); ok && msg.Measured && at != 0 {
		s.time(at, msg.Stamp)
	}
}

// count takes note of one payload, if it is right.
func (s *sink) count(b []byte) (msg measure.Message, ok bool) {
	if msg, ok = s.reader.Read(b); !ok {
		s.tracker.Corrupt++
		return msg, false
	}
	s.tracker.Take(msg.Number)
	s.settled.Store(s.tracker.Delivered + s.gone)
	return msg, true
}

func (s *sink) time(now clock.Time, stamp int64) {
	s.measured.add(now, s.tracker.Delivered)
	if stamp != 0 {
		s.latency.Record(int64(now) - stamp)
	}
}

// lost takes what the library reports as lost.
func (s *sink) lost(l blaze.Loss) {
	n := l.Last - l.First + 1
	s.told[l.Reason.String()] += n
	s.gone += n
	s.settled.Store(s.tracker.Delivered + s.gone)
}

// report is what became of the messages 1..sent.
func (s *sink) report(sent uint64) (*report, error) {
	r := &report{
		Delivered: s.tracker.Delivered, Lost: s.tracker.Lost(sent), Duplicates: s.tracker.Duplicates,
		Reordered: s.tracker.Reordered, Corrupt: s.tracker.Corrupt, Told: s.told,
	}
	s.measured.report(r)
	if s.tracker.High() > sent {
		r.Corrupt++ // a number that was not sent, under a right hash
	}
	var err error
	r.Latency, err = s.latency.MarshalBinary()
	return r, err
}

// span is the measured part of what comes: from the first to the last message whose time was taken.
type span struct {
	first, last           clock.Time
	firstCount, lastCount uint64
}

// add takes the time of the message that was the count-th.
func (s *span) add(now clock.Time, count uint64) {
	if s.first == 0 {
		s.first, s.firstCount = now, count
	}
	s.last, s.lastCount = now, count
}

func (s *span) report(r *report) {
	r.Messages, r.Seconds = float64(s.lastCount-s.firstCount), s.last.Sub(s.first).Seconds()
}
