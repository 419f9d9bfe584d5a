package group

import "github.com/activeblaze/blaze/clock"

// timer is the next deadline of one direction of one channel, or of an entry. An idle one is in no heap.
type timer struct {
	at  clock.Time // 0: none
	i   int        // its place in the heap
	out *sending   // one of the three
	in  *receiving
	of  *entry
}

// timers is a binary heap of deadlines.
type timers []*timer

// set moves t to at; 0 takes it out.
func (h *timers) set(t *timer, at clock.Time) {
	if t.at == at {
		return
	}
	was := t.at
	t.at = at
	switch {
	case was == 0:
		t.i = len(*h)
		*h = append(*h, t)
		h.up(t.i)
	case at == 0:
		h.remove(t.i)
	case at < was:
		h.up(t.i)
	default:
		h.down(t.i)
	}
}

// first is the earliest deadline; 0: there is none.
func (h timers) first() clock.Time {
	if len(h) == 0 {
		return 0
	}
	return h[0].at
}

func (h *timers) remove(i int) {
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].i, h[j].i = i, j
}

func (h timers) up(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if h[up].at <= h[i].at {
			return
		}
		h.swap(i, up)
		i = up
	}
}

func (h timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
