package group

import (
	"strings"

	"github.com/activeblaze/blaze/wire"
)

// QueueView is a queue that this member has items of, or had a short while ago.
type QueueView struct {
	Name      string
	Waiting   int // items of this member that no consumer has
	Out       int // items of this member that a consumer has
	Consumers []ConsumerView
}

// ConsumerView is a member that takes from a queue.
type ConsumerView struct {
	Member   wire.MemberID // zero: this member
	Handlers int
	Out      int // items of this member that it has
	Backlog  int // items that wait there for handlers, as it said last
}

// MostConsumers is how many consumers a QueueView has.
const MostConsumers = 128

// Queues is the number of queues that LookQueue finds.
func (p *Protocol) Queues() int { return len(p.pairs.queueList) }

// LookQueue copies queue i of Queues.
func (p *Protocol) LookQueue(i int) (v QueueView, ok bool) {
	if i >= len(p.pairs.queueList) {
		return v, false
	}
	q := p.pairs.queueList[i]
	v = QueueView{Name: strings.Clone(q.name), Waiting: q.waiting.len(), Out: q.items - q.waiting.len()}
	for k := range q.consumers[:min(len(q.consumers), MostConsumers)] {
		c := &q.consumers[k]
		v.Consumers = append(v.Consumers, ConsumerView{c.id, c.handlers, c.out, c.backlog})
	}
	return v, true
}
