package check

import (
	"fmt"

	"github.com/activeblaze/blaze/clock"
)

// PairLog is the record of what members sent to each other, one to one, in the order in which it
// happened. A message is named by its sender and the number of the sender's call.
type PairLog struct {
	processes
	Records []PairRecord
}

// PairKind is what a PairRecord is about.
type PairKind uint8

// The kinds.
const (
	PairSend      PairKind = iota + 1 // Proc called Send with message Number to Peer
	PairRequest                       // Proc called Request with it
	PairBegun                         // a handler of Proc began message Number of Peer
	PairReplied                       // Proc replied to message Number of Peer
	PairAnswered                      // call Number of Proc ended well; of a Request Hash is the reply's
	PairRefused                       // call Number of Proc ended: the other member had refused it
	PairFailed                        // call Number of Proc ended, and the other member does not have the message
	PairUnknown                       // call Number of Proc ended, and the other member may have it
	PairCancelled                     // Proc gave up call Number
	PairEnded                         // Proc ended

	PairEnqueued        // Proc called Enqueue with message Number
	PairQueueRequest    // Proc called RequestQueue with it
	PairWorkBegun       // a handler of Proc began message Number of Peer; Marked: as handed out before
	PairWorkDone        // and handled it
	PairWorkFailed      // and returned an error
	PairRemoved         // Proc removed Peer
	PairNoReply         // call Number of Proc ended: it was handled, without a reply
	PairConsumersClosed // Proc returned what its handlers had not begun
)

var pairKinds = [...]string{"?", "send", "request", "begun", "replied", "answered", "refused", "failed", "unknown", "cancelled", "ended",
	"enqueued", "queue request", "work begun", "work done", "work failed", "removed", "no reply", "consumers closed"}

// PairRecord is one line of a PairLog.
type PairRecord struct {
	At     clock.Time
	Number uint64
	Hash   uint64
	Proc   Proc
	Peer   Proc
	Kind   PairKind
	Marked bool
	Alone  bool // of work: its queue has an exclusive consumer
}

// NewPairLog makes an empty log.
func NewPairLog() *PairLog { return &PairLog{processes: newProcesses()} }

// Add appends a record.
func (l *PairLog) Add(r PairRecord) {
	if r.Kind == PairEnded {
		l.Procs[r.Proc].Ended = r.At
	}
	l.Records = append(l.Records, r)
}

// String shows record i.
func (l *PairLog) String(i int) string {
	r := &l.Records[i]
	return fmt.Sprintf("%d: %v %s %s %d, peer %s", i, r.At, l.procName(r.Proc), pairKinds[r.Kind], r.Number, l.procName(r.Peer))
}

// pairMessage names a message.
type pairMessage struct {
	from   Proc
	number uint64
}

// pairFate is what became of a message.
type pairFate struct {
	called, begun, replied, ended int // positions of the records; -1: none
	to                            Proc
	hash, reply                   uint64
	request                       bool
}

// fates collects what became of each message, and reports what is wrong with the records themselves.
func (l *PairLog) fates(r *reports) map[pairMessage]*pairFate {
	all := map[pairMessage]*pairFate{}
	queued := map[pairMessage]bool{} // judged by Queues
	of := func(from Proc, number uint64) *pairFate {
		f := all[pairMessage{from, number}]
		if f == nil {
			f = &pairFate{called: -1, begun: -1, replied: -1, ended: -1, to: Nobody}
			all[pairMessage{from, number}] = f
		}
		return f
	}
	for i := range l.Records {
		switch c := &l.Records[i]; c.Kind {
		case PairSend, PairRequest:
			f := of(c.Proc, c.Number)
			f.called, f.to, f.hash, f.request = i, c.Peer, c.Hash, c.Kind == PairRequest
		case PairBegun:
			f := of(c.Peer, c.Number)
			switch {
			case f.called < 0 || f.to != c.Proc || f.hash != c.Hash:
				r.add("PP-1", i, "a message that nobody sent, or another one")
			case f.begun >= 0:
				r.add("PP-1", i, "begun again, after record %d", f.begun)
			}
			if f.begun < 0 {
				f.begun = i
			}
		case PairEnqueued, PairQueueRequest:
			queued[pairMessage{c.Proc, c.Number}] = true
		case PairReplied:
			f := of(c.Peer, c.Number)
			f.replied, f.reply = i, c.Hash
		case PairAnswered, PairRefused, PairFailed, PairUnknown, PairCancelled:
			f := of(c.Proc, c.Number)
			if f.ended >= 0 {
				r.add("PP-4", i, "ended again, after record %d", f.ended)
			}
			f.ended = i
			if c.Kind == PairAnswered && f.request && (f.replied < 0 || f.reply != c.Hash) {
				r.add("PP-3", i, "a reply that nobody gave, or another one")
			}
		}
	}
	return all
}

// Pairs judges PP-1 to PP-4: each message is begun once at most, sends in the order of the calls, what a
// call returns is true, and each call of a process that lives ends.
func Pairs(l *PairLog) []Violation {
	r := reports{log: l}
	all := l.fates(&r)
	type way struct{ from, to Proc }
	last := map[way]int{} // the position of the last send that was begun
	for i := range l.Records {
		c := &l.Records[i]
		switch c.Kind {
		case PairBegun:
			f := all[pairMessage{c.Peer, c.Number}]
			if f.begun != i || f.request || f.called < 0 {
				continue
			}
			w := way{c.Peer, c.Proc}
			if before := last[w]; before > f.called {
				r.add("PP-2", i, "begun after the message of record %d, which was sent later", before)
			}
			last[w] = max(last[w], f.called)
		case PairSend, PairRequest:
			f := all[pairMessage{c.Proc, c.Number}]
			if f.called != i {
				continue
			}
			if f.ended < 0 {
				if l.Procs[c.Proc].Ended == 0 {
					r.add("PP-4", i, "the call has not ended")
				}
				continue
			}
			switch e := &l.Records[f.ended]; e.Kind {
			case PairAnswered:
				if f.begun < 0 || f.begun > f.ended {
					r.add("PP-3", f.ended, "ended well, and the message was not taken")
				}
			case PairRefused, PairFailed:
				if f.begun >= 0 {
					r.add("PP-3", f.ended, "%s, and the message was begun in record %d", pairKinds[e.Kind], f.begun)
				}
			}
		}
	}
	return r.done()
}

// workFate is what became of an item of a queue.
type workFate struct {
	called, ended int // positions of the records; -1: none
	begun         []int
	unmarked      int // the first that was begun without a mark
	done          int // the first that was handled
	failed        []int
	request       bool
	hash          uint64
	replies       map[uint64]bool
}

// Exclusive judges QU-8: until a member that lives is removed for the first time, at most one member is
// inside handlers of queues whose consumer is exclusive. All records that are Alone are of one queue.
func Exclusive(l *PairLog) []Violation {
	r := reports{log: l}
	inside := map[Proc]map[pairMessage]int{}
	for i := range l.Records {
		c := &l.Records[i]
		switch c.Kind {
		case PairRemoved:
			if c.Peer == Nobody {
				continue
			}
			if end := l.Procs[c.Peer].Ended; end == 0 || end > c.At {
				return r.done() // two tables may differ from now on
			}
		case PairEnded:
			delete(inside, c.Proc)
		case PairWorkDone, PairWorkFailed:
			delete(inside[c.Proc], pairMessage{c.Peer, c.Number})
		case PairWorkBegun:
			if !c.Alone {
				continue
			}
			for p, work := range inside {
				for _, at := range work {
					if p != c.Proc {
						r.add("QU-8", i, "begun while another member is inside a handler, since record %d", at)
					}
				}
			}
			if inside[c.Proc] == nil {
				inside[c.Proc] = map[pairMessage]int{}
			}
			inside[c.Proc][pairMessage{c.Peer, c.Number}] = i
		}
	}
	return r.done()
}

// Queues judges QU-1 to QU-4 and QU-6: what Enqueue returns is true, at most one handling of a message is without a
// mark, there is a reason for each second handling, each call of a process that lives ends, and a crash has nothing
// handled again that had its outcome before.
func Queues(l *PairLog) []Violation {
	r := reports{log: l}
	all := map[pairMessage]*workFate{}
	type way struct{ a, b Proc }
	parted := map[way]int{} // the first position at which one has removed the other
	ended := map[Proc]int{} // the position of the record
	of := func(i int, from Proc, number uint64) *workFate {
		f := all[pairMessage{from, number}]
		if f == nil {
			f = &workFate{called: -1, ended: -1, unmarked: -1, done: -1, replies: map[uint64]bool{}}
			all[pairMessage{from, number}] = f
		}
		return f
	}
	for i := range l.Records {
		switch c := &l.Records[i]; c.Kind {
		case PairEnqueued, PairQueueRequest:
			f := of(i, c.Proc, c.Number)
			f.called, f.request, f.hash = i, c.Kind == PairQueueRequest, c.Hash
		case PairRemoved:
			for _, w := range []way{{c.Proc, c.Peer}, {c.Peer, c.Proc}} {
				if _, ok := parted[w]; !ok {
					parted[w] = i
				}
			}
		case PairEnded:
			ended[c.Proc] = i
		case PairWorkBegun:
			f := of(i, c.Peer, c.Number)
			if f.called < 0 || f.hash != c.Hash {
				r.add("QU-1", i, "a message that nobody enqueued, or another one")
			}
			if !c.Marked {
				if f.unmarked >= 0 {
					r.add("QU-2", i, "begun without a mark, as in record %d", f.unmarked)
				}
				f.unmarked = i
			}
			for _, before := range f.begun {
				b := &l.Records[before]
				failed := false
				for _, at := range f.failed {
					failed = failed || l.Records[at].Proc == b.Proc
				}
				// The later handling may be the earlier attempt: of a consumer that was removed, in error, and does
				// not know it yet.
				from, apart := parted[way{c.Peer, b.Proc}]
				_, late := parted[way{c.Peer, c.Proc}]
				end, crashed := ended[b.Proc]
				switch {
				case failed || late || apart && (!crashed || from < end):
				case !crashed:
					r.add("QU-3", i, "begun again without a reason, after record %d", before)
				case f.ended >= 0 && f.ended < end:
					r.add("QU-6", i, "begun again after the end of record %d, and its call had ended in record %d", end, f.ended)
				}
			}
			f.begun = append(f.begun, i)
		case PairWorkDone:
			if f := of(i, c.Peer, c.Number); f.done < 0 {
				f.done = i
			}
		case PairWorkFailed:
			f := of(i, c.Peer, c.Number)
			f.failed = append(f.failed, i)
		case PairReplied:
			if f := all[pairMessage{c.Peer, c.Number}]; f != nil {
				f.replies[c.Hash] = true
			}
		case PairAnswered, PairNoReply:
			f := all[pairMessage{c.Proc, c.Number}]
			if f == nil {
				continue
			}
			if f.request && c.Kind == PairAnswered {
				if !f.replies[c.Hash] {
					r.add("QU-1", i, "a reply that nobody gave")
				}
			} else if f.done < 0 {
				r.add("QU-1", i, "ended well, and no handler has handled it")
			}
			f.ended = i
		case PairCancelled, PairFailed, PairUnknown, PairRefused:
			if f := all[pairMessage{c.Proc, c.Number}]; f != nil {
				f.ended = i
			}
		}
	}
	for i := range l.Records {
		if c := &l.Records[i]; c.Kind == PairEnqueued || c.Kind == PairQueueRequest {
			if f := all[pairMessage{c.Proc, c.Number}]; f.ended < 0 && l.Procs[c.Proc].Ended == 0 {
				r.add("QU-4", i, "the item has not ended")
			}
		}
	}
	return r.done()
}
