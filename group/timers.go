package group

import "github.com/activeblaze/blaze/clock"

// timer is the next deadline of its owner. An idle one is in no heap.
type timer struct {
	at clock.Time // 0: none
	i  int        // its place in the heap
}

// timers is a binary heap of deadlines.
type timers[T any] []deadline[T]

type deadline[T any] struct {
	at    clock.Time
	t     *timer
	owner T
}

// firer does what is due.
type firer interface{ fire(now clock.Time) }

// set moves the timer of an owner to at; 0 takes it out.
func (h *timers[T]) set(t *timer, owner T, at clock.Time) {
	if t.at == at {
		return
	}
	was := t.at
	t.at = at
	switch {
	case was == 0:
		t.i = len(*h)
		*h = append(*h, deadline[T]{at, t, owner})
		h.up(t.i)
	case at == 0:
		h.remove(t.i)
	case at < was:
		(*h)[t.i].at = at
		h.up(t.i)
	default:
		(*h)[t.i].at = at
		h.down(t.i)
	}
}

// first is the earliest deadline; 0: there is none.
func (h timers[T]) first() clock.Time {
	if len(h) == 0 {
		return 0
	}
	return h[0].at
}

// pop takes out the earliest deadline and returns its owner.
func (h *timers[T]) pop() T {
	d := (*h)[0]
	d.t.at = 0
	h.remove(0)
	return d.owner
}

func (h *timers[T]) remove(i int) {
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = deadline[T]{}
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h timers[T]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].t.i, h[j].t.i = i, j
}

func (h timers[T]) up(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if h[up].at <= h[i].at {
			return
		}
		h.swap(i, up)
		i = up
	}
}

func (h timers[T]) down(i int) {
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
