package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// history is what the members of a cell have written.
type history struct {
	published []journal // of one publisher after the other
	received  []record  // of the subscriber: messages and losses
}

// journal is one publisher's.
type journal struct {
	records []record
	killed  bool
}

// judge has the checkers of internal/check look at a cell, and returns what is wrong.
func judge(c *cell, h *history) (wrong []string) {
	l := check.NewLog()
	id := wire.NewStreamID(wire.NACK, 0)
	subscriber := wire.MemberID{0xFF}
	began := clock.Time(1)
	if c.when.late {
		began = 3 // the streams were opened before
	}
	var streams []check.Stream
	var procs []check.Proc
	for i := range h.published {
		p := l.Start(1, 0, publisherID(i))
		procs = append(procs, p)
		streams = append(streams, l.Open(2, p, id))
	}
	sub := l.Start(began, 1, subscriber)
	for i, s := range streams {
		for k, r := range h.published[i].records {
			if r.N != uint64(k+1) {
				wrong = append(wrong, fmt.Sprintf("publisher %d wrote number %d in place %d", i, r.N, k+1))
			}
			if r.Topic != c.payload.topic {
				wrong = append(wrong, fmt.Sprintf("publisher %d wrote topic %q", i, r.Topic))
			}
			l.Sent(4, s, essence(r))
		}
		if h.published[i].killed {
			l.Crash(5, procs[i])
		}
	}
	h.receive(c, l, sub, &wrong)
	l.Fault(6, check.Healed, sub, sub)
	l.Fault(clock.Time(time.Minute), check.Finished, sub, sub)
	o := check.Options{Bound: time.Second, Flight: time.Second}
	for _, v := range append(check.Safety(l, o), check.Liveness(l, o)...) {
		wrong = append(wrong, v.Error())
	}
	return wrong
}

// receive puts what the subscriber wrote into the log. A record does not name its sender: of two publishers the second
// one's messages are a byte longer.
func (h *history) receive(c *cell, l *check.Log, sub check.Proc, wrong *[]string) {
	id := wire.NewStreamID(wire.NACK, 0)
	last := make([]uint64, len(h.published))
	of := 0
	for _, r := range h.received {
		switch {
		case r.Lost != nil:
			if r.Lost.Count == 0 {
				*wrong = append(*wrong, "a stream was refused")
				continue
			}
			// In its place: behind what came last of this publisher, or before what comes next.
			first := last[of] + 1
			last[of] += r.Lost.Count
			reason := core.LossUnrepaired
			if h.published[of].killed {
				reason = core.LossSenderGone
			}
			l.Gap(5, sub, &core.Loss{From: publisherID(of), Stream: id, First: first, Last: last[of], Reason: reason})
		case r.N > 0:
			if len(h.published) > 1 {
				of = r.Size - c.payload.size
			}
			if of < 0 || of >= len(h.published) || r.Topic != c.payload.topic {
				*wrong = append(*wrong, fmt.Sprintf("what nobody published was received: %+v", r))
				return
			}
			l.Delivered(5, sub, &core.Delivery{From: publisherID(of), Stream: id, Sequence: r.N, Payload: essence(r)})
			last[of] = r.N
		}
	}
	if c.when.late && len(h.received) > 0 && h.received[0].N <= 1 {
		*wrong = append(*wrong, "who came later got the first message")
	}
	if end := len(h.published) - 1; last[end] != uint64(len(h.published[end].records)) {
		*wrong = append(*wrong, fmt.Sprintf("the last message received is %d of %d", last[end], len(h.published[end].records)))
	}
}

func publisherID(i int) wire.MemberID { return wire.MemberID{1, byte(i)} }

// essence is what is compared of a message, where the log has its payload.
func essence(r record) []byte { return fmt.Appendf(nil, "%s %d %s", r.SHA, r.Size, r.Topic) }

// brief is the first of many findings.
func brief(wrong []string) string {
	if len(wrong) > 3 {
		return strings.Join(wrong[:3], "; ") + fmt.Sprintf("; and %d more", len(wrong)-3)
	}
	return strings.Join(wrong, "; ")
}
