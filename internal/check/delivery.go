package check

// RM1 (integrity): what is delivered was sent, with the same length and bytes, and before.
func RM1(l *Log) []Violation {
	r := report{log: l, id: "RM-1"}
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered {
			continue
		}
		sent, ok := l.message(d.Stream, d.First)
		switch {
		case !ok:
			r.add(i, "nobody sent this message")
		case int(l.Streams[d.Stream].sent[d.First-1]) > i:
			r.add(i, "delivered before it was sent")
		case sent.Length != d.Length:
			r.add(i, "%d bytes were sent, %d delivered", sent.Length, d.Length)
		case sent.Hash != d.Hash:
			r.add(i, "the bytes are not those that were sent")
		}
	}
	return r.done()
}

// RM2 (no duplicate): no message is delivered twice to one process.
func RM2(l *Log) []Violation {
	r := report{log: l, id: "RM-2"}
	seen := newTable[ranges](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered || d.Stream == Unknown {
			continue
		}
		set := seen.at(d.Proc, d.Stream)
		if n := len(set.list); n > 0 && set.list[n-1][1]+1 == d.First {
			set.list[n-1][1] = d.First // the usual case: the next one
			continue
		}
		if set.has(d.First) {
			r.add(i, "delivered before")
			continue
		}
		set.add(d.First, d.First)
	}
	return r.done()
}

// RM3 (sender order): message numbers of a stream increase strictly at each receiver.
func RM3(l *Log) []Violation {
	r := report{log: l, id: "RM-3"}
	last := newTable[uint64](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered || d.Stream == Unknown {
			continue
		}
		if p := last.at(d.Proc, d.Stream); d.First <= *p {
			r.add(i, "delivered after %d", *p)
		} else {
			*p = d.First
		}
	}
	return r.done()
}

// RM4 (no silent gap): between two messages that are delivered one after the other, what is
// missing has been reported, in its place.
func RM4(l *Log) []Violation {
	r := report{log: l, id: "RM-4"}
	next := newTable[uint64](l) // 0: nothing yet
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered && d.Kind != Gap || d.Stream == Unknown {
			continue
		}
		p := next.at(d.Proc, d.Stream)
		if *p != 0 && d.First > *p {
			r.add(i, "%d..%d are missing and nobody said so", *p, d.First-1)
		}
		*p = max(*p, d.Last+1)
	}
	return r.done()
}

// RM5 (a gap is honest): what is reported lost was sent, has not been delivered, is not
// delivered later, and is reported once.
func RM5(l *Log) []Violation {
	type state struct {
		gaps      ranges
		delivered uint64 // highest
	}
	r := report{log: l, id: "RM-5"}
	states := newTable[state](l)
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind == Gap && (d.First == 0 || d.Last < d.First) {
			r.add(i, "a gap of nothing")
			continue
		}
		if d.Kind != Delivered && d.Kind != Gap {
			continue
		}
		if d.Stream == Unknown {
			if d.Kind == Gap {
				r.add(i, "nobody opened this stream")
			}
			continue
		}
		s := states.at(d.Proc, d.Stream)
		if d.Kind == Delivered {
			if s.gaps.has(d.First) {
				r.add(i, "delivered after it was reported lost")
			}
			s.delivered = max(s.delivered, d.First)
			continue
		}
		sent, ok := l.message(d.Stream, d.Last)
		if !ok {
			r.add(i, "reported lost, yet only %d were ever sent", len(l.Streams[d.Stream].sent))
		} else if sent.At > d.At {
			r.add(i, "reported lost before it was sent")
		}
		if d.First <= s.delivered {
			r.add(i, "reported lost after %d was delivered", s.delivered)
		}
		if s.gaps.add(d.First, d.Last) {
			r.add(i, "reported lost before")
		}
	}
	return r.done()
}

// RM13 (sender restart): the streams of two processes of one node are never joined. A
// delivery that carries another incarnation's message under its own number is the sign.
func RM13(l *Log) []Violation {
	r := report{log: l, id: "RM-13"}
	for i := range l.Records {
		d := &l.Records[i]
		if d.Kind != Delivered && d.Kind != Gap || d.Stream == Unknown {
			continue
		}
		of := &l.Streams[d.Stream]
		if sent, ok := l.message(d.Stream, d.Last); ok && (d.Kind == Gap || sent.Hash == d.Hash) {
			continue
		}
		for other := range l.Streams {
			s := &l.Streams[other]
			if Stream(other) == d.Stream || s.ID != of.ID || l.Procs[s.Sender].Node != l.Procs[of.Sender].Node {
				continue
			}
			if sent, ok := l.message(Stream(other), d.Last); ok && (d.Kind == Gap || sent.Hash == d.Hash) {
				r.add(i, "this is %d of %s", d.Last, l.streamName(Stream(other)))
				break
			}
		}
	}
	return r.done()
}

// RS8 (close): a process that has stopped or crashed is handed nothing any more.
func RS8(l *Log) []Violation {
	r := report{log: l, id: "RS-8"}
	ended := make([]bool, len(l.Procs))
	for i := range l.Records {
		switch d := &l.Records[i]; d.Kind {
		case Stopped, Crash:
			ended[d.Proc] = true
		case Delivered, Gap, LostWhole,
			StreamStarted, StreamSilent, StreamResumed, StreamLeft, StreamRefused, ReceiverJoined, ReceiverLeft, ReceiverEvicted, ReceiverBehind:
			if ended[d.Proc] {
				r.add(i, "after it was closed")
			}
		case Sent:
			if ended[d.Proc] {
				r.add(i, "accepted after it was closed")
			}
		}
	}
	return r.done()
}
