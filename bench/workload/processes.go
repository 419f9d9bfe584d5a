package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
)

// processes are those that a run starts: receivers, or the members of a ring.
type processes struct {
	name    string    // of one: receiver, member
	command []string  // that starts one
	stderr  io.Writer // shared
	rig     *rig.Rig  // nil: none
	host    int       // of the rig, where the first one is; the next is on the next
	all     []*proc.Child
	cpu     time.Duration // of those that have ended
}

// start starts n processes. Each gets the role that as makes of its index.
func (p *processes) start(n int, as func(i int) *role) error {
	for i := range n {
		var where proc.Place
		if p.rig != nil {
			where = p.rig.Host(p.host + i)
		}
		c, err := proc.StartIn(where, p.command, p.stderr)
		if err != nil {
			return err
		}
		p.all = append(p.all, c)
		if err := c.Send(as(i)); err != nil {
			return err
		}
	}
	return nil
}

// shared makes a writer one that several processes can have for their standard error. A file is inherited; into
// anything else every child is copied.
func shared(w io.Writer) io.Writer {
	switch w.(type) {
	case nil:
		return io.Discard
	case *os.File, *together:
		return w
	}
	return &together{w: w}
}

// together lets several goroutines write to what is made for one.
type together struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *together) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(b)
}

// nobody is the index of no process.
const nobody = -1

// send sends a step to all but one.
func (p *processes) send(but int, s step) error {
	for i, c := range p.all {
		if i == but {
			continue
		}
		if err := c.Send(s); err != nil {
			return fmt.Errorf("%s %d: %w", p.name, i, err)
		}
	}
	return nil
}

// reply is one process's answer.
type reply struct {
	i   int
	a   answer
	err error
}

// answers collects the next answer of all but one, in the background: it must be what is wanted. fail
// gets the first error too, so that every other wait ends at once.
func (p *processes) answers(ctx context.Context, but int, want func(*answer) bool, fail context.CancelCauseFunc) (<-chan reply, int) {
	ch := make(chan reply, len(p.all))
	n := 0
	for i, c := range p.all {
		if i == but {
			continue
		}
		n++
		go func() {
			var a answer
			err := c.Receive(ctx, &a)
			if err == nil && a.Error != "" {
				err = errors.New(a.Error)
			} else if err == nil && !want(&a) {
				err = errors.New("an answer that was not due")
			}
			if err != nil {
				err = fmt.Errorf("%s %d: %w", p.name, i, err)
				fail(causeOf(ctx, err))
			}
			ch <- reply{i, a, err}
		}()
	}
	return ch, n
}

// gather waits for an answer of all but one.
func (p *processes) gather(ctx context.Context, but int, want func(*answer) bool, fail context.CancelCauseFunc) ([]answer, error) {
	ch, n := p.answers(ctx, but, want, fail)
	all := make([]answer, len(p.all))
	var failed error
	for range n {
		r := <-ch
		if all[r.i] = r.a; failed == nil {
			failed = r.err
		}
	}
	return all, failed
}

// What answers may be wanted.
func isReady(a *answer) bool  { return a.Ready }
func isLoad(a *answer) bool   { return a.Load != nil }
func isReport(a *answer) bool { return a.Report != nil }

// causeOf prefers the reason for which ctx was cancelled to the error that came of it.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// close ends the processes, all at once, and reaps them.
func (p *processes) close() {
	done := make(chan time.Duration)
	for _, c := range p.all {
		go func() { done <- c.Close(3 * time.Second) }()
	}
	for range p.all {
		p.cpu += <-done
	}
	p.all = nil
}
