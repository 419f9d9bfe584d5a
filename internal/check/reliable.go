package check

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// repairTimeout is how long members ask for what does not come, unless they are configured otherwise.
const repairTimeout = 5 * time.Second

// RM6 (reliable mode): a reliable stream has a gap only for a reason that exists. The sender
// is gone because it ended, or could not be received from for Eviction; data is beyond retention, or
// the receiver was reset, because it could not be received from for Eviction or senders are Fastest.
func RM6(l *Log, o Options) []Violation {
	r := report{log: l, id: "RM-6"}
	q := newQuarantine(l, o.Eviction)
	type receiver struct {
		proc Proc
		of   Stream
	}
	gone := map[receiver]bool{} // evicted, or not waited for any more
	healed := clock.Time(0)
	finished := false // all members leave, one after the other: a sender need not keep what one lacks that has left before it
	for i := range l.Records {
		d := &l.Records[i]
		q.note(d)
		switch {
		case d.Kind == ReceiverEvicted && o.Evicts:
			gone[receiver{d.Peer, d.Stream}] = true
		case d.Kind == ReceiverBehind && o.Behind:
			gone[receiver{d.Peer, d.Stream}] = true
		case d.Kind == Finished:
			finished = true
		case d.Kind == Healed:
			healed = d.At
		}
		if d.Kind != Gap || d.Stream == Unknown || !l.Streams[d.Stream].Reliable() {
			continue
		}
		sender := l.Streams[d.Stream].Sender
		ended := l.Procs[sender].Ended != 0 && l.Procs[sender].Ended <= d.At
		apart := q.apart(d.Proc, sender, d.At)
		switch d.Reason {
		case core.LossSenderGone:
			if !ended && !apart {
				r.add(i, "the sender lives and could be heard")
			}
		case core.LossRetention, core.LossReset:
			// Its sender also forgets a receiver that it had no report from, so a gap that the end
			// of the sender leaves may be reported this way too.
			if !o.Fastest && !ended && !apart && !finished && !gone[receiver{d.Proc, d.Stream}] {
				r.add(i, "the sender keeps what a live receiver lacks")
			}
		case core.LossSlowConsumer:
			if !o.Drop {
				r.add(i, "the subscription pauses its senders and drops nothing")
			}
		case core.LossTimeout:
			if !gone[receiver{d.Proc, d.Stream}] && !(o.Behind && (healed == 0 || d.At.Sub(healed) < repairTimeout)) {
				r.add(i, "what was asked for was sent")
			}
		default:
			r.add(i, "not a reason for a reliable stream")
		}
	}
	return r.done()
}

// quarantine holds which process could not be received from, and for how long.
type quarantine struct {
	eviction time.Duration
	paused   []span   // by proc
	cut      []uint64 // by proc: pairs that involve it and are cut now
	apartFor []span   // by proc
}

// span is a time during which something was so; longest is the longest one so far.
type span struct {
	since   clock.Time // 0: it is not so now
	longest time.Duration
}

func (s *span) begin(at clock.Time) {
	if s.since == 0 {
		s.since = at
	}
}

func (s *span) end(at clock.Time) {
	if s.since != 0 {
		s.longest = max(s.longest, at.Sub(s.since))
		s.since = 0
	}
}

func (s *span) reached(at clock.Time, d time.Duration) bool {
	return s.longest >= d || s.since != 0 && at.Sub(s.since) >= d
}

func newQuarantine(l *Log, eviction time.Duration) *quarantine {
	n := len(l.Procs)
	return &quarantine{eviction: eviction, paused: make([]span, n), cut: make([]uint64, n), apartFor: make([]span, n)}
}

func (q *quarantine) note(r *Record) {
	switch r.Kind {
	case Pause:
		q.paused[r.Proc].begin(r.At)
	case Resume:
		q.paused[r.Proc].end(r.At)
	case Cut:
		for _, p := range [...]Proc{r.Proc, r.Peer} {
			q.cut[p]++
			q.apartFor[p].begin(r.At)
		}
	case Mend:
		for _, p := range [...]Proc{r.Proc, r.Peer} {
			if q.cut[p] == 0 {
				continue // the cut is older than the process
			}
			if q.cut[p]--; q.cut[p] == 0 {
				q.apartFor[p].end(r.At)
			}
		}
	}
}

// apart reports whether a and b may have given each other up by now.
func (q *quarantine) apart(a, b Proc, at clock.Time) bool {
	if q.eviction == 0 {
		return false
	}
	for _, p := range [...]Proc{a, b} {
		if q.paused[p].reached(at, q.eviction) || q.apartFor[p].reached(at, q.eviction) {
			return true
		}
	}
	return false
}

// RM7 (join point): a receiver that was there before a reliable stream began gets it from its
// first message on; one that comes later starts at the present, not in the past.
func RM7(l *Log, o Options) []Violation {
	r := report{log: l, id: "RM-7"}
	joined := newTable[bool](l)
	disturbed := make([]bool, len(l.Procs))
	emitted := make([]emission, len(l.Streams))
	for i := range l.Records {
		d := &l.Records[i]
		switch d.Kind {
		case Pause:
			disturbed[d.Proc] = true
		case Cut:
			disturbed[d.Proc], disturbed[d.Peer] = true, true
		case DataSent:
			emitted[d.Stream].add(d.At, d.Last)
		case Delivered, Gap:
			if d.Stream == Unknown || *joined.at(d.Proc, d.Stream) {
				continue
			}
			*joined.at(d.Proc, d.Stream) = true
			p, s := &l.Procs[d.Proc], &l.Streams[d.Stream]
			if p.Started <= s.Opened {
				if d.First != 1 && s.Reliable() && !disturbed[d.Proc] && !disturbed[s.Sender] {
					r.add(i, "was there before the stream began, yet does not start at 1")
				}
				continue
			}
			if at := emitted[d.Stream].before(p.Started.Add(-o.Flight)); d.First < at {
				r.add(i, "the sender was at %d when this receiver began", at)
			}
		}
	}
	return r.done()
}

// emission is the history of one stream's highest message number on the wire.
type emission struct {
	at   []clock.Time
	last []uint64
}

func (e *emission) add(at clock.Time, last uint64) {
	e.at, e.last = append(e.at, at), append(e.last, last)
}

// before is the highest message number that had left before t; 0 when there was none.
func (e *emission) before(t clock.Time) uint64 {
	lo, hi := 0, len(e.at)
	for lo < hi {
		if mid := (lo + hi) / 2; e.at[mid] < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0
	}
	return e.last[lo-1]
}
