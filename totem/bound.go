package totem

import "time"

// A ring carries no more when more waits for it. So where an application sends more than that, a member takes no more
// than what leaves in three rotations, or in boundWait where that is longer: an application that is woken, or looks
// again after a while, comes back before the queue is empty. While the application limits there is no bound but
// the queue's length, for the next burst.
const (
	boundRotations = 3
	boundWait      = 2 * time.Millisecond
	boundLeast     = 4 // datagrams
	boundGain      = 8 // visits
	boundEnds      = 3 // visits in a row after which the bound ends, when they leave little behind and nothing was refused
)

// bound is how many datagrams wait for the token at most.
type bound struct {
	most    float64 // datagrams
	longest float64 // and while nothing is learned
	refused bool    // since the last visit a message was refused, because so many wait
	emptied int     // visits in a row that left little behind
}

func (b *bound) init(longest int) {
	b.longest = float64(longest)
	b.lift()
}

// lift ends the bound.
func (b *bound) lift() { b.most, b.emptied, b.refused = b.longest, 0, false }

// on reports whether the ring limits.
func (b *bound) on() bool { return b.most < b.longest }

// step takes in one visit, which sent so many datagrams and left so many behind. A rotation takes so long.
func (b *bound) step(sent, left int, rotation time.Duration) {
	leaves := float64(sent) * max(boundRotations, float64(boundWait)/float64(max(rotation, 1)))
	switch {
	case b.refused && left == 0:
		b.most, b.emptied = max(b.most, leaves), 0
	case b.refused:
		b.most, b.emptied = b.most+(leaves-b.most)/boundGain, 0
	case float64(left) > b.most/boundRotations:
		b.emptied = 0
	default:
		if b.emptied++; b.emptied >= boundEnds {
			b.lift()
		}
	}
	b.refused = false
	b.most = min(max(b.most, boundLeast), b.longest)
}

// demand is the number of datagrams that wait for the token, or would if there were no bound: members whose
// applications send as fast as they can have equal shares of a rotation, whatever share they had before.
func (q *sendQueue) demand() int {
	n := q.backlog()
	if q.bound.refused {
		n = max(n, len(q.entries))
	}
	return n
}

// Ahead is how many bytes of messages may wait for Offer besides those that it has accepted; 0: the ring does
// not limit them.
func (p *Protocol) Ahead() int {
	if !p.send.bound.on() {
		return 0
	}
	return int(p.send.bound.most) * p.send.datagram
}
