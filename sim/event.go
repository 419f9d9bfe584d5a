package sim

import "github.com/activeblaze/blaze/clock"

// eventKind is what an event does when its time has come.
type eventKind uint8

const (
	eventArrive eventKind = iota + 1 // a datagram reaches a driver's receive queue
	eventTurn                        // a member's turn
	eventSent                        // the NIC is done with a buffer
	eventCall                        // a function of the scenario
)

// event is one thing that will happen.
type event struct {
	at     clock.Time
	seq    uint64 // order of scheduling: breaks ties, so that a run has one order only
	kind   eventKind
	driver *Driver
	packet *packet
	call   func()
}

// agenda is a binary heap of events, ordered by time and then by order of scheduling.
type agenda struct {
	heap []event
	seq  uint64
}

func (a *agenda) before(i, j int) bool {
	x, y := &a.heap[i], &a.heap[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}

func (a *agenda) push(e event) {
	a.seq++
	e.seq = a.seq
	a.heap = append(a.heap, e)
	for i := len(a.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !a.before(i, up) {
			break
		}
		a.heap[i], a.heap[up] = a.heap[up], a.heap[i]
		i = up
	}
}

// next is the time of the first event.
func (a *agenda) next() (at clock.Time, ok bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return a.heap[0].at, true
}

func (a *agenda) pop() event {
	first := a.heap[0]
	last := len(a.heap) - 1
	a.heap[0] = a.heap[last]
	a.heap[last] = event{} // no reference may outlive the event
	a.heap = a.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if a.before(child, least) {
				least = child
			}
		}
		if least == i {
			return first
		}
		a.heap[i], a.heap[least] = a.heap[least], a.heap[i]
		i = least
	}
}
