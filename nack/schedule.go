package nack

import (
	"github.com/activeblaze/blaze/clock"
)

// never is the deadline of whatever waits for nothing.
const never = clock.Time(1<<63 - 1)

// scheduled is what a stream and a Sender have in the schedule.
type scheduled struct {
	at    clock.Time // none of its deadlines is earlier; never: it waits for nothing
	place int        // its index in the schedule, plus 1; 0: it is not in there
	owner interface{ tick(now clock.Time) }
}

// schedule is a binary heap: the first one has the earliest deadline. With it a Tick costs as much
// as there is to do, however many streams are received.
type schedule []*scheduled

// set makes at the deadline of x.
func (h *schedule) set(x *scheduled, at clock.Time) {
	if at == never {
		h.remove(x)
		return
	}
	x.at = at
	if x.place == 0 {
		*h = append(*h, x)
		x.place = len(*h)
	}
	h.down(h.up(x.place - 1))
}

// remove takes x out.
func (h *schedule) remove(x *scheduled) {
	x.at = never
	if x.place == 0 {
		return
	}
	i, last := x.place-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	x.place = 0
	if i < last {
		h.down(h.up(i))
	}
}

func (h schedule) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h schedule) up(i int) int {
	for i > 0 && h[i].at < h[(i-1)/2].at {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (h schedule) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].at < h[child].at {
			child++
		}
		if child >= len(h) || h[i].at <= h[child].at {
			return
		}
		h.swap(i, child)
		i = child
	}
}
