package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
)

// hall counts the seats of a hall that are sold. A seat is reserved first, for a limited time, and then bought or given
// back. It is a blaze.Service: what it does depends on the operations, and on nothing else. So all members hold the same.
type hall struct {
	mu    sync.Mutex // for free, which any goroutine may call: the service's own calls come one at a time
	state state
}

// state is all that a hall holds, and what its snapshots are made of.
type state struct {
	Sold         int
	Reservations []reservation // in the order in which they were made, which is that of their ids
}

type reservation struct {
	ID     uint64 // the index of its operation, so no two have the same
	Seats  int
	By     blaze.MemberID
	EndsAt time.Time // by the clock of who made it
}

// seats is how many the hall has. It is the same in every program, as it decides what Apply does.
const seats = 10

// request is an operation, and reply its answer, both as JSON.
type request struct {
	Do     string    // "reserve", "buy", "cancel"
	Seats  int       `json:",omitempty"` // to reserve
	EndsAt time.Time `json:",omitzero"`  // of the reservation: an operation brings its time, since Apply must not read a clock
	ID     uint64    `json:",omitempty"` // of the reservation, to buy or cancel
}

type reply struct {
	ID   uint64 `json:",omitempty"` // of the reservation
	Free int
	Why  string `json:",omitempty"` // it was refused
}

// Apply implements blaze.Service.
func (h *hall) Apply(op blaze.Operation) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.state
	var q request
	var r reply
	at := -1
	if err := json.Unmarshal(op.Data, &q); err != nil {
		r.Why = "not a request" // the text of err may be another one in another version of Go
	} else if q.Do != "reserve" {
		at = slices.IndexFunc(s.Reservations, func(v reservation) bool { return v.ID == q.ID })
	}
	switch {
	case r.Why != "":
	case q.Do == "reserve" && (q.Seats < 1 || q.Seats > s.free()):
		r.Why = "not so many seats are free"
	case q.Do == "reserve":
		s.Reservations = append(s.Reservations, reservation{op.Index, q.Seats, op.By, q.EndsAt.UTC()})
		r.ID = op.Index
	case at < 0:
		r.Why = "there is no such reservation"
	case q.Do == "buy":
		s.Sold += s.Reservations[at].Seats
		s.remove(at)
	case q.Do == "cancel":
		s.remove(at)
	default:
		r.Why = "not a request"
	}
	r.Free = s.free()
	answer, _ := json.Marshal(r)
	return answer
}

// Gone implements blaze.Service: what a member has reserved and not bought is free again when it goes.
func (h *hall) Gone(m blaze.MemberID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.keep(func(r reservation) bool { return r.By != m })
}

// Tick implements blaze.Service: reservations end.
func (h *hall) Tick(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.keep(func(r reservation) bool { return r.EndsAt.After(now) })
}

// Next implements blaze.Service: when the first reservation ends.
func (h *hall) Next() (at time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.state.Reservations {
		if !ok || r.EndsAt.Before(at) {
			at, ok = r.EndsAt, true
		}
	}
	return at, ok
}

// Certain implements blaze.Service. Nobody is told of what others do here.
func (h *hall) Certain(uint64) {}

// Snapshot implements blaze.Service. A small state is copied.
func (h *hall) Snapshot() (blaze.ServiceSnapshot, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return snapshot{h.state.Sold, slices.Clone(h.state.Reservations)}, nil
}

type snapshot state

// WriteTo implements blaze.ServiceSnapshot. Equal states give equal bytes: there is no map in them.
func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

// Close implements blaze.ServiceSnapshot.
func (s snapshot) Close() error { return nil }

// Restore implements blaze.Service. Nothing is carried over from another chain: with Config.ExpectedMembers there is only ever
// one.
func (h *hall) Restore(r io.Reader, chain bool) (again iter.Seq[[]byte], err error) {
	var next state
	if r != nil {
		if err := json.NewDecoder(r).Decode(&next); err != nil {
			return nil, fmt.Errorf("the state of a hall: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = next
	return nil, nil
}

// free is how many seats are neither sold nor reserved.
func (h *hall) free() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.free()
}

func (s *state) free() int {
	n := seats - s.Sold
	for _, r := range s.Reservations {
		n -= r.Seats
	}
	return n
}

func (s *state) remove(at int) { s.Reservations = slices.Delete(s.Reservations, at, at+1) }

func (s *state) keep(f func(reservation) bool) {
	s.Reservations = slices.DeleteFunc(s.Reservations, func(r reservation) bool { return !f(r) })
}
