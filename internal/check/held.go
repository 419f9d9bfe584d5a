package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/activeblaze/blaze/clock"
)

// HeldLog is the record of a run of clients of held queues, in the order in which it happened. The harness writes it at
// the applications' edge.
type HeldLog struct {
	Messages []HeldMessage // by number
	Batches  []HeldBatch   // by number
	Records  []HeldRecord

	online []Violation
}

// HeldMessage is one message that somebody put, or staged.
type HeldMessage struct {
	Queue    string
	Sender   int // the application's process; its messages' numbers go up
	Priority int
	Batch    int // the transaction that it was staged in; -1: none
}

// HeldBatch is one transaction: what it puts and what it acknowledges.
type HeldBatch struct {
	Puts []int
	Acks []HeldDelivery
}

// HeldDelivery is one delivery of a message. Later deliveries have higher numbers.
type HeldDelivery struct {
	Message  int
	Delivery uint64
}

// HeldKind is what a HeldRecord is about.
type HeldKind uint8

// The kinds.
const (
	HeldAccepted   HeldKind = iota + 1 // Send of Message returned nil
	HeldRepeated                       // Message is put again, in another connection: nobody knows whether it had been put
	HeldReceived                       // Reader is given Message, as Delivery, for the Count-th time
	HeldSettled                        // the acknowledgement of that Delivery returned nil
	HeldOpen                           // and of this one nobody knows whether it counts
	HeldCommitted                      // Commit of Batch returned nil
	HeldInDoubt                        // it returned ErrInDoubt, or its process has crashed
	HeldRolledBack                     // Batch was rolled back, or its commit failed
	HeldTook                           // Reader has taken all that Queue had; Whole: there was no more
)

var heldKinds = [...]string{"?", "accepted", "repeated", "received", "settled", "left open", "committed", "in doubt", "rolled back", "took"}

// HeldRecord is one line of a HeldLog.
type HeldRecord struct {
	At       clock.Time
	Kind     HeldKind
	Message  int
	Batch    int
	Reader   int // a session of a reader: each has its own
	Count    uint32
	Delivery uint64
	Queue    string
	Whole    bool
	Began    int // of HeldTook: how many records there were when the taking began
}

// NewHeldLog makes an empty log.
func NewHeldLog() *HeldLog { return &HeldLog{} }

// Add appends a record.
func (l *HeldLog) Add(r HeldRecord) { l.Records = append(l.Records, r) }

// Put registers a message, and returns its number.
func (l *HeldLog) Put(m HeldMessage) int {
	l.Messages = append(l.Messages, m)
	return len(l.Messages) - 1
}

// Found notes a violation that the harness saw while the run went on.
func (l *HeldLog) Found(id, format string, args ...any) {
	if len(l.online) < plenty {
		l.online = append(l.online, Violation{ID: id, At: -1, Text: fmt.Sprintf(format, args...)})
	}
}

// String shows a record as one line for people.
func (l *HeldLog) String(i int) string {
	r := &l.Records[i]
	text := fmt.Sprintf("#%d t=%v %s", i, r.At.Sub(0), heldKinds[r.Kind])
	switch r.Kind {
	case HeldCommitted, HeldInDoubt, HeldRolledBack:
		return fmt.Sprintf("%s batch %d", text, r.Batch)
	case HeldTook:
		return fmt.Sprintf("%s from %s in session %d, whole %t", text, r.Queue, r.Reader, r.Whole)
	case HeldReceived:
		return fmt.Sprintf("%s message %d of %s in session %d, count %d, delivery %d", text, r.Message, l.Messages[r.Message].Queue, r.Reader, r.Count, r.Delivery)
	}
	return fmt.Sprintf("%s message %d, delivery %d", text, r.Message, r.Delivery)
}

// heldMessage is what the log has of one message.
type heldMessage struct {
	accepted, first int   // records; -1: none
	received        []int // records
	settled         uint64
	settledAt       int
	repeated, open  bool
}

// heldOutcome is what became of a transaction.
type heldOutcome uint8

const (
	heldNoOutcome heldOutcome = iota
	heldCommitted
	heldDoubtful
	heldRolledBack
)

// Held judges a run whose queues have been emptied at the end: HQ-1 to HQ-6. HQ-7, that replicas are equal, the harness
// sees.
func Held(l *HeldLog) []Violation {
	r := &reports{log: l}
	all := make([]heldMessage, len(l.Messages))
	for i := range all {
		all[i] = heldMessage{accepted: -1, first: -1, settledAt: -1}
	}
	outcomes, ended := make([]heldOutcome, len(l.Batches)), make([]int, len(l.Batches))
	for i := range l.Records {
		c := &l.Records[i]
		m := &heldMessage{}
		if c.Message < len(all) {
			m = &all[c.Message]
		}
		switch c.Kind {
		case HeldAccepted:
			m.accepted = i
		case HeldRepeated:
			m.repeated = true
		case HeldReceived:
			if m.first < 0 {
				m.first = i
			}
			m.received = append(m.received, i)
		case HeldSettled:
			if c.Delivery > m.settled {
				m.settled, m.settledAt = c.Delivery, i
			}
		case HeldOpen:
			m.open = true
		case HeldCommitted:
			outcomes[c.Batch], ended[c.Batch] = heldCommitted, i
			for _, put := range l.Batches[c.Batch].Puts {
				all[put].accepted = i
			}
		case HeldInDoubt:
			outcomes[c.Batch], ended[c.Batch] = heldDoubtful, i
		case HeldRolledBack:
			outcomes[c.Batch], ended[c.Batch] = heldRolledBack, i
		}
	}
	l.delivered(r, all)
	l.inLanes(r, all)
	l.batches(r, all, outcomes, ended)
	l.together(r)
	return append(r.done(), l.online...)
}

// delivered judges each message by itself: HQ-1, HQ-2, HQ-6.
func (l *HeldLog) delivered(r *reports, all []heldMessage) {
	for i := range all {
		m := &all[i]
		// In the order in which it was handed out: what is told to a connection that has ended may come late.
		slices.SortFunc(m.received, func(a, b int) int { return cmp.Compare(l.Records[a].Delivery, l.Records[b].Delivery) })
		switch {
		case m.accepted >= 0 && len(m.received) == 0:
			r.add("HQ-1", m.accepted, "message %d of %s was accepted, and nobody has received it", i, l.Messages[i].Queue)
		case m.accepted >= 0 && m.settledAt < 0 && !m.open:
			r.add("HQ-1", m.received[len(m.received)-1], "message %d of %s was never settled", i, l.Messages[i].Queue)
		}
		for k, at := range m.received {
			c := &l.Records[at]
			if k > 0 && c.Count < 2 {
				r.add("HQ-2", at, "it comes again without a mark: before as delivery %d", l.Records[m.received[k-1]].Delivery)
			}
			if k > 0 && c.Delivery == l.Records[m.received[k-1]].Delivery {
				r.add("HQ-2", at, "one delivery comes twice")
			}
			if m.settledAt >= 0 && c.Delivery > m.settled && !m.repeated {
				r.add("HQ-6", at, "it comes after it was settled as delivery %d, in record %d", m.settled, m.settledAt)
			}
		}
	}
}

// heldLane is messages that have an order.
type heldLane struct {
	queue            string
	sender, priority int
}

// inLanes: HQ-3.
func (l *HeldLog) inLanes(r *reports, all []heldMessage) {
	lanes := map[heldLane][]int{}
	var order []heldLane
	for i := range all {
		for _, at := range all[i].received {
			if l.Records[at].Count > 1 {
				continue
			}
			k := heldLane{l.Messages[i].Queue, l.Messages[i].Sender, l.Messages[i].Priority}
			if lanes[k] == nil {
				order = append(order, k)
			}
			lanes[k] = append(lanes[k], at)
		}
	}
	for _, k := range order {
		list := lanes[k]
		slices.SortFunc(list, func(a, b int) int { return cmp.Compare(l.Records[a].Delivery, l.Records[b].Delivery) })
		for i := 1; i < len(list); i++ {
			if before := &l.Records[list[i-1]]; before.Message > l.Records[list[i]].Message {
				r.add("HQ-3", list[i], "its sender had put it before message %d, which was delivered before it", before.Message)
			}
		}
	}
}

// batches: HQ-4 as to what is there in the end, HQ-5.
func (l *HeldLog) batches(r *reports, all []heldMessage, outcomes []heldOutcome, ended []int) {
	for i := range l.Batches {
		b := &l.Batches[i]
		seen, at := 0, -1
		for _, put := range b.Puts {
			if all[put].first >= 0 {
				seen++
				at = max(at, all[put].first)
			}
		}
		applied := seen > 0
		switch outcomes[i] {
		case heldCommitted:
			if applied = true; seen < len(b.Puts) {
				r.add("HQ-4", ended[i], "%d of %d messages of batch %d, which was committed, were received", seen, len(b.Puts), i)
			}
		case heldRolledBack, heldNoOutcome:
			if seen > 0 {
				r.add("HQ-5", at, "it is of batch %d, which was rolled back", i)
			}
			continue
		default:
			if seen > 0 && seen < len(b.Puts) {
				r.add("HQ-4", at, "%d of %d messages of batch %d, whose outcome was in doubt, were received", seen, len(b.Puts), i)
			}
		}
		for _, a := range b.Acks {
			m := &all[a.Message]
			last := -1
			for _, at := range m.received {
				if l.Records[at].Delivery > a.Delivery {
					last = at
				}
			}
			switch {
			case m.repeated: // there may be two of it
			case applied && last >= 0:
				r.add("HQ-4", last, "it was acknowledged with batch %d, as delivery %d, and comes again", i, a.Delivery)
			case !applied && last < 0:
				r.add("HQ-4", ended[i], "the messages of batch %d were not put, and message %d that it would have acknowledged did not come again", i, a.Message)
			}
		}
	}
}

// together: HQ-4 at every moment. A reader takes all that a queue has, queue by queue. Once it has had a part of a
// batch, and then all of the queue of another part, it has had that part. Batches of which an earlier session has had
// something do not count: it gives back queue by queue.
func (l *HeldLog) together(r *reports) {
	type part struct{ reader, first int } // the session that saw the first of a batch, and the record of that
	by := map[int]map[int]bool{}          // by batch: the messages that were seen
	open := map[int]part{}
	for i := range l.Records {
		c := &l.Records[i]
		switch c.Kind {
		case HeldReceived:
			batch := l.Messages[c.Message].Batch
			if batch < 0 {
				continue
			}
			if by[batch] == nil {
				by[batch], open[batch] = map[int]bool{}, part{c.Reader, i}
			}
			by[batch][c.Message] = true
			if len(by[batch]) == len(l.Batches[batch].Puts) {
				delete(open, batch)
			}
		case HeldTook:
			if !c.Whole {
				continue
			}
			var late []int
			for batch, p := range open {
				if p.reader == c.Reader && p.first < c.Began {
					late = append(late, batch)
				}
			}
			slices.Sort(late)
			for _, batch := range late {
				for _, put := range l.Batches[batch].Puts {
					if l.Messages[put].Queue == c.Queue && !by[batch][put] {
						r.add("HQ-4", i, "message %d was not there, though others of batch %d were seen before", put, batch)
						delete(open, batch)
					}
				}
			}
		}
	}
}
