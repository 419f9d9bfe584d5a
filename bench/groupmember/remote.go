package groupmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/group"
)

// Remote is a member in a process of its own. Any number of goroutines may use it.
type Remote struct {
	*proc.Child
	Order Order
	ID    string // of its start; for who runs DoStart to set

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan Answer
	gone    chan struct{} // closed when nothing comes from it any more
}

// Begin starts a process of argv in a place, nil being here; its member is there when Ready has returned. argv is a program
// that calls Run; first, if not nil, is what it wants to read before its Order.
func Begin(where proc.Place, argv []string, stderr io.Writer, first any, o Order) (*Remote, error) {
	c, err := proc.StartIn(where, argv, stderr)
	if err != nil {
		return nil, err
	}
	r := &Remote{Child: c, Order: o, waiting: map[uint64]chan Answer{}, gone: make(chan struct{})}
	if first != nil {
		err = c.Send(first)
	} else {
		err = c.Send(o)
	}
	if err != nil {
		c.Close(0)
		return nil, err
	}
	return r, nil
}

// Ready waits until the member is there. It is called once.
func (r *Remote) Ready(ctx context.Context) error {
	var l Line
	if err := r.Receive(ctx, &l); err != nil {
		return err
	}
	if l.Ready == nil {
		return errors.New("an answer that was not due")
	}
	if l.Ready.Error != "" {
		return errors.New(l.Ready.Error)
	}
	r.ID = l.Ready.ID
	go r.read()
	return nil
}

func (r *Remote) read() {
	defer close(r.gone)
	for {
		var l Line
		if r.Receive(context.Background(), &l) != nil {
			return
		}
		if l.Answer == nil {
			continue
		}
		r.mu.Lock()
		c := r.waiting[l.Answer.ID]
		delete(r.waiting, l.Answer.ID)
		r.mu.Unlock()
		if c != nil {
			c <- *l.Answer
		}
	}
}

// Go begins a command. The function that it returns waits for the answer, whose Error is an error.
func (r *Remote) Go(c Command) func(ctx context.Context) (Answer, error) {
	answer := make(chan Answer, 1)
	r.mu.Lock()
	r.next++
	c.ID = r.next
	r.waiting[c.ID] = answer
	err := r.Send(c)
	r.mu.Unlock()
	return func(ctx context.Context) (Answer, error) {
		if err != nil {
			return Answer{}, err
		}
		var a Answer
		select {
		case a = <-answer:
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("%s: %s: %w", r.Order.Name, c.Do, context.Cause(ctx))
		case <-r.gone:
			select { // what it wrote last counts
			case a = <-answer:
			default:
				return Answer{}, fmt.Errorf("%s: %s: %w", r.Order.Name, c.Do, proc.ErrGone)
			}
		}
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s: %s", r.Order.Name, c.Do, a.Error)
		}
		return a, nil
	}
}

// Do runs a command.
func (r *Remote) Do(ctx context.Context, c Command) (Answer, error) { return r.Go(c)(ctx) }

// All runs a command at all of them, at once.
func All(ctx context.Context, members []*Remote, c Command) ([]Answer, error) {
	var waits []func(context.Context) (Answer, error)
	for _, m := range members {
		waits = append(waits, m.Go(c))
	}
	answers := make([]Answer, len(members))
	var failed error
	for i, wait := range waits {
		a, err := wait(ctx)
		answers[i] = a
		failed = errors.Join(failed, err)
	}
	return answers, failed
}

// CloseAll ends the processes, all at once.
func CloseAll(members []*Remote, grace time.Duration) (cpu time.Duration) {
	done := make(chan time.Duration)
	for _, m := range members {
		go func() { done <- m.Close(grace) }()
	}
	for range members {
		cpu += <-done
	}
	return cpu
}

// Group are the counters of an answer to DoStats.
func (a *Answer) Group() (s group.Stats, err error) {
	return s, json.Unmarshal(a.Stats, &s)
}
