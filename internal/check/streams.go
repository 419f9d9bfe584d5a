package check

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// RM16 (events of streams): what a process reports of a stream that it receives, and of a receiver
// of one that it sends, comes in order, and nothing comes twice. A stream that was refused is
// reported as lost once.
func RM16(l *Log) []Violation {
	r := report{log: l, id: "RM-16"}
	received := newTable[Kind](l) // the last event; 0: none yet
	type receiver struct {
		proc Proc
		of   Stream
	}
	joined := map[receiver]bool{}
	unsaid := map[receiver]bool{} // refused, and not reported as lost
	for i := range l.Records {
		d := &l.Records[i]
		if d.Stream == Unknown {
			continue
		}
		last := received.at(d.Proc, d.Stream)
		ok := true
		switch d.Kind {
		case StreamStarted:
			of := l.Procs[l.Streams[d.Stream].Sender]
			ok = *last == 0 || *last == StreamRefused || *last == StreamLeft && (of.Ended == 0 || of.Crashed)
		case StreamSilent:
			ok = *last == StreamStarted || *last == StreamResumed
		case StreamResumed:
			ok = *last == StreamSilent
		case StreamLeft:
			ok = *last == StreamStarted || *last == StreamResumed || *last == StreamSilent
		case StreamRefused:
			ok = *last == 0 || *last == StreamLeft
			unsaid[receiver{d.Proc, d.Stream}] = true
		case ReceiverJoined:
			if joined[receiver{d.Peer, d.Stream}] {
				r.add(i, "it was a receiver already")
			}
			joined[receiver{d.Peer, d.Stream}] = true
			continue
		case ReceiverLeft, ReceiverEvicted:
			if !joined[receiver{d.Peer, d.Stream}] {
				r.add(i, "it was no receiver")
			}
			joined[receiver{d.Peer, d.Stream}] = false
			continue
		case LostWhole:
			if !unsaid[receiver{d.Proc, d.Stream}] {
				r.add(i, "it was not refused, or has been reported before")
			}
			delete(unsaid, receiver{d.Proc, d.Stream})
			continue
		default:
			continue
		}
		if !ok {
			r.add(i, "after %v", *last)
		}
		*last = d.Kind
	}
	if len(unsaid) > 0 {
		r.add(-1, "%d refused streams were not reported as lost", len(unsaid))
	}
	return r.done()
}

const (
	// silenceLeast is for how long nothing has come from a sender that is reported as silent.
	silenceLeast = 800 * time.Millisecond
	// silenceMost is how long the report may take after the sender's crash where it sent something in the last restAfter,
	// silenceRest where it sent nothing: its heartbeats come once a second then.
	silenceMost = time.Second
	silenceRest = 3500 * time.Millisecond
	restAfter   = time.Minute
	// restEnds is how long before its crash a sender must have sent something for receivers to know.
	restEnds = 100 * time.Millisecond
)

// RM17 (silence has a cause): a stream is reported as silent only if, in the time that the report
// rests on, its sender had ended or was paused, or one of the two could not reach the other.
func RM17(l *Log, o Options) []Violation {
	r := report{log: l, id: "RM-17"}
	if o.Heavy {
		return nil
	}
	paused := make([]lastly, len(l.Procs))
	cut := map[[2]Proc]*lastly{}
	between := func(p, q Proc) *lastly {
		k := [2]Proc{min(p, q), max(p, q)}
		if cut[k] == nil {
			cut[k] = &lastly{}
		}
		return cut[k]
	}
	for i := range l.Records {
		switch d := &l.Records[i]; d.Kind {
		case Pause:
			paused[d.Proc].begin()
		case Resume:
			paused[d.Proc].end(d.At)
		case Cut:
			between(d.Proc, d.Peer).begin()
		case Mend:
			between(d.Proc, d.Peer).end(d.At)
		case StreamSilent:
			if d.Stream == Unknown {
				continue
			}
			sender, since := l.Streams[d.Stream].Sender, d.At.Add(-silenceLeast)
			ended := l.Procs[sender].Ended
			if (ended == 0 || ended > d.At) && !paused[sender].lasted(since) && !between(d.Proc, sender).lasted(since) {
				r.add(i, "its sender lived and could be received from")
			}
		}
	}
	return r.done()
}

// lastly is something that begins, perhaps several times at once, and ends again.
type lastly struct {
	now   int
	until clock.Time // when it ended; 0: never yet
}

func (s *lastly) begin()            { s.now++ }
func (s *lastly) end(at clock.Time) { s.now, s.until = max(s.now-1, 0), at }

// lasted reports whether it was so at some time after since.
func (s *lastly) lasted(since clock.Time) bool { return s.now > 0 || s.until != 0 && s.until > since }

// RM18 (a crash shows): every process that receives a stream reports it as silent, or as left, within
// a second after its sender crashed, or 3.5 where the stream had been idle for a minute.
func RM18(l *Log) []Violation {
	r := report{log: l, id: "RM-18"}
	received := newTable[Kind](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind >= StreamStarted && d.Kind <= StreamRefused && d.Stream != Unknown {
			*received.at(d.Proc, d.Stream) = d.Kind
		}
		if d.Kind != Crash {
			continue
		}
		for s := range l.Streams {
			if l.Streams[s].Sender != d.Proc {
				continue
			}
			by := d.At.Add(l.silenceMost(d.At, Stream(s)))
			if l.End() < by {
				continue
			}
			for p := range l.Procs {
				last := *received.at(Proc(p), Stream(s))
				if (last == StreamStarted || last == StreamResumed) && !l.shows(i, Proc(p), Stream(s), by) {
					r.add(i, "%s did not report the silence of %s", l.procName(Proc(p)), l.streamName(Stream(s)))
				}
			}
		}
	}
	return r.done()
}

// silenceMost is how long the report that s is silent may take after a crash.
func (l *Log) silenceMost(crash clock.Time, s Stream) time.Duration {
	last := l.Streams[s].Opened
	for _, i := range l.Streams[s].sent {
		if at := l.Records[i].At; at <= crash.Add(-restEnds) {
			last = at
		}
	}
	if crash.Sub(last) < restAfter {
		return silenceMost
	}
	return silenceRest
}

// shows reports whether p reports the end of s by then, after record i, or need not: it ended itself, or was paused.
func (l *Log) shows(i int, p Proc, s Stream, by clock.Time) bool {
	if end := l.Procs[p].Ended; end != 0 && end < by || l.paused(i, p) {
		return true
	}
	for _, d := range l.Records[i:] {
		if d.At > by {
			break
		}
		if d.Proc == p && (d.Kind == Pause || d.Stream == s && (d.Kind == StreamSilent || d.Kind == StreamLeft)) {
			return true
		}
	}
	return false
}

// paused reports whether p is paused at record i.
func (l *Log) paused(i int, p Proc) bool {
	for i--; i >= 0; i-- {
		if d := &l.Records[i]; d.Proc == p && (d.Kind == Pause || d.Kind == Resume) {
			return d.Kind == Pause
		}
	}
	return false
}
