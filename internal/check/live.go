package check

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// RM11 (eventual delivery): a message of a live sender reaches every live receiver, or its
// absence is reported there, within Bound after it was sent and the last fault was healed. What
// comes after that is late; what has not come by the end of the log never came.
func RM11(l *Log, o Options) []Violation {
	r := report{log: l, id: "RM-11"}
	calm := calmFrom(l)
	next := newTable[uint64](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered && d.Kind != Gap || d.Stream == Unknown {
			continue
		}
		p := next.at(d.Proc, d.Stream)
		*p = max(*p, d.Last+1)
		if sent, ok := l.message(d.Stream, d.First); ok && calm >= 0 && l.Streams[d.Stream].Reliable() {
			if due := max(sent.At, calm).Add(o.Bound); d.At > due {
				r.add(i, "late: %v after it was sent, due by t=%v", d.At.Sub(sent.At), due.Sub(0))
			}
		}
	}
	owed(l, o, calm, &next, func(p Proc, s Stream, from, to uint64) {
		r.add(-1, "never: %d..%d of %s did not reach %s", from, to, l.streamName(s), l.procName(p))
	})
	return r.done()
}

// RM12 (tail loss): the last message before a silence arrives as well, within Bound.
func RM12(l *Log, o Options) []Violation {
	r := report{log: l, id: "RM-12"}
	calm := calmFrom(l)
	next := newTable[uint64](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered && d.Kind != Gap || d.Stream == Unknown {
			continue
		}
		p := next.at(d.Proc, d.Stream)
		*p = max(*p, d.Last+1)
	}
	owed(l, o, calm, &next, func(p Proc, s Stream, from, to uint64) {
		last := uint64(len(l.Streams[s].sent))
		if m, ok := l.message(s, last); ok && to == last && l.End() >= m.At.Add(o.Bound) {
			r.add(-1, "the last message %d of %s did not reach %s", last, l.streamName(s), l.procName(p))
		}
	})
	return r.done()
}

// calmFrom is when the last fault was healed: 0 when there was none, −1 when it never was.
func calmFrom(l *Log) clock.Time {
	calm := clock.Time(0)
	for i := range l.Records {
		switch r := &l.Records[i]; r.Kind {
		case Crash, Pause, Cut:
			calm = -1
		case Healed:
			calm = r.At // also where loss ended: messages may be waiting for their turn
		}
	}
	return calm
}

// owed calls f for each live receiver and stream with the messages that should have arrived
// by the end of the log and neither came nor were reported. next is one above the highest
// message number that did either; 0 when nothing has.
func owed(l *Log, o Options, calm clock.Time, next *table[uint64], f func(p Proc, s Stream, from, to uint64)) {
	if calm < 0 {
		return
	}
	end := l.End()
	for si := range l.Streams {
		s := &l.Streams[si]
		if l.Procs[s.Sender].Ended != 0 || !s.Reliable() {
			continue
		}
		// The highest message that is due: sent early enough for its bound to have passed.
		due := uint64(len(s.sent))
		for due > 0 && max(l.Records[s.sent[due-1]].At, calm).Add(o.Bound) > end {
			due--
		}
		for pi := range l.Procs {
			p := &l.Procs[pi]
			if p.Ended != 0 || Proc(pi) == s.Sender {
				continue
			}
			from := *next.at(Proc(pi), Stream(si))
			if from == 0 {
				from = firstOwed(l, p, s, calm, o.Bound)
			}
			if from <= due {
				f(Proc(pi), Stream(si), from, due)
			}
		}
	}
}

// firstOwed is where a receiver that has received nothing of s should have started: at 1 if it
// was there first and no fault stood between, else at what was sent once the receiver had had
// time to receive a sign of the stream.
func firstOwed(l *Log, p *ProcInfo, s *StreamInfo, calm clock.Time, settle time.Duration) uint64 {
	if p.Started <= s.Opened && calm <= s.Opened {
		return 1
	}
	for i, at := range s.sent {
		if l.Records[at].At >= max(p.Started, calm).Add(settle) {
			return uint64(i) + 1
		}
	}
	return uint64(len(s.sent)) + 1
}

// RM14 (slow receiver, Pause): a receiver that stops reading holds its senders back: at no
// time has a sender been allowed more than limit bytes of payload that the slowest live
// receiver of the stream has not been handed yet, and nothing is reported lost to it.
// It costs one step for each receiver and message.
func RM14(l *Log, limit int64) []Violation {
	r := report{log: l, id: "RM-14"}
	taken := newTable[int64](l) // bytes accounted for, −1 after the process ended
	heard := newTable[bool](l)
	accepted := make([]int64, len(l.Streams))
	for i := range l.Records {
		d := &l.Records[i]
		switch d.Kind {
		case Sent:
			accepted[d.Stream] += int64(d.Length)
			for p := range l.Procs {
				if !*heard.at(Proc(p), d.Stream) || l.Procs[p].Ended != 0 && l.Procs[p].Ended <= d.At {
					continue
				}
				if ahead := accepted[d.Stream] - *taken.at(Proc(p), d.Stream); ahead > limit {
					r.add(i, "%d bytes ahead of receiver %s, %d allowed", ahead, l.procName(Proc(p)), limit)
				}
			}
		case Delivered:
			if d.Stream == Unknown {
				continue
			}
			if h := heard.at(d.Proc, d.Stream); !*h {
				*h = true
				*taken.at(d.Proc, d.Stream) = before(l, d.Stream, d.First) // it joined here
			}
			*taken.at(d.Proc, d.Stream) += int64(d.Length)
		case Gap:
			if d.Stream != Unknown && d.Reason == 0 {
				r.add(i, "a loss without a reason")
			}
		}
	}
	return r.done()
}

// before is the number of payload bytes of s in the messages below n.
func before(l *Log, s Stream, n uint64) (sum int64) {
	for i := uint64(1); i < n; i++ {
		if m, ok := l.message(s, i); ok {
			sum += int64(m.Length)
		}
	}
	return sum
}
