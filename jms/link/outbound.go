package link

import (
	"slices"

	"github.com/activeblaze/blaze/jms/held"
)

// Outbound is what the Links of one process have to send. What goes to one holder leaves together, as one batch of
// operations: it costs one request, and one proposal of the holder. While maxUnder batches are under way to a holder, what
// comes meanwhile is collected for the next one. The order is that of Add. It is a core as Link is: calls must not overlap.
// The zero value is ready.
type Outbound[O any] struct {
	Limit int // bytes of a batch, unless one operation has more; 0: 32 KiB

	lanes []*lane[O]
}

// maxUnder is how many batches are under way to one holder. With one, all callers that wait for an answer would send
// together; but then what comes just after a batch has left would wait for its answer, and its own.
const maxUnder = 2

const defaultLimit = 32 << 10

// lane is what goes to one holder.
type lane[O any] struct {
	to      held.Member
	waiting []Item[O]
	under   int // batches, those of one request that is sent alone aside
	limit   int // 0: that of the Outbound
}

// Item is one request of a Link.
type Item[O any] struct {
	Owner O
	Send  Send
}

// Batch is what leaves at a time: Data as a request to the holder To.
type Batch[O any] struct {
	To    held.Member
	Data  []byte
	Items []Item[O]
	lane  *lane[O] // nil: it does not count
}

// Add takes what the Link of owner has handed out. It reports whether something else waits to be sent to the same holder.
func (o *Outbound[O]) Add(owner O, s Send) (others bool) {
	l := o.lane(s.To)
	l.waiting = append(l.waiting, Item[O]{owner, s})
	return len(l.waiting) > 1
}

func (o *Outbound[O]) lane(to held.Member) *lane[O] {
	for _, l := range o.lanes {
		if l.to == to {
			return l
		}
	}
	l := &lane[O]{to: to}
	o.lanes = append(o.lanes, l)
	return l
}

// Ready reports whether Poll has something.
func (o *Outbound[O]) Ready() bool {
	for _, l := range o.lanes {
		if l.ready() {
			return true
		}
	}
	return false
}

// Waiting reports whether a batch is under way.
func (o *Outbound[O]) Waiting() bool {
	return slices.ContainsFunc(o.lanes, func(l *lane[O]) bool { return l.under > 0 })
}

// ready reports whether something may leave. What is sent alone waits only for its turn.
func (l *lane[O]) ready() bool {
	return len(l.waiting) > 0 && (l.under < maxUnder || l.waiting[0].Send.Alone)
}

// Poll hands out the next batch. Done follows.
func (o *Outbound[O]) Poll() (b *Batch[O], ok bool) {
	for _, l := range o.lanes {
		if l.ready() {
			return l.take(o.Limit), true
		}
	}
	return nil, false
}

func (l *lane[O]) take(limit int) *Batch[O] {
	if limit == 0 {
		limit = defaultLimit
	}
	if l.limit > 0 {
		limit = min(limit, l.limit)
	}
	n, size := 1, len(l.waiting[0].Send.Data)
	if !l.waiting[0].Send.Alone {
		for n < min(len(l.waiting), held.MaxBatch) && !l.waiting[n].Send.Alone {
			if size += len(l.waiting[n].Send.Data) + held.BatchOverhead; size > limit {
				break
			}
			n++
		}
	}
	b := &Batch[O]{To: l.to, Items: slices.Clone(l.waiting[:n])}
	rest := copy(l.waiting, l.waiting[n:])
	clear(l.waiting[rest:])
	l.waiting = l.waiting[:rest]
	if !b.Items[0].Send.Alone {
		b.lane = l
		l.under++
	}
	if n == 1 {
		b.Data = b.Items[0].Send.Data
		return b
	}
	b.Data = make([]byte, 0, size+2*held.BatchOverhead)
	for i := range b.Items {
		b.Data = held.AppendBatch(b.Data, b.Items[i].Send.Data)
	}
	return b
}

// Done says that a batch was answered, or failed.
func (o *Outbound[O]) Done(b *Batch[O]) {
	if b.lane != nil {
		b.lane.under--
		b.lane = nil
	}
	o.lanes = slices.DeleteFunc(o.lanes, func(l *lane[O]) bool { return l.under == 0 && len(l.waiting) == 0 })
}

// Halve takes a batch back that is done, and was too large for its holder: its operations go again, in smaller ones. It is
// false, and nothing has changed, where the batch is one operation.
func (o *Outbound[O]) Halve(b *Batch[O]) bool {
	if len(b.Items) == 1 {
		return false
	}
	l := o.lane(b.To)
	l.limit = max(len(b.Data)/2, 1)
	l.waiting = slices.Concat(b.Items, l.waiting)
	return true
}

// Answers calls each with every request of the batch and its answer, which is a part of raw. It is false, and nothing was
// called, where raw does not have as many.
func (b *Batch[O]) Answers(raw []byte, each func(i *Item[O], answer []byte)) bool {
	if len(b.Items) == 1 {
		each(&b.Items[0], raw)
		return true
	}
	var a held.Answer
	if !a.Parse(raw) || a.Code != held.CodeOK || len(a.Answers) != len(b.Items) {
		return false
	}
	for i := range b.Items {
		each(&b.Items[i], a.Answers[i])
	}
	return true
}
