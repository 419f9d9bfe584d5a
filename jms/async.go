package jms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/reach"
)

// asyncSends are the SendAsync of a context that are under way. Their completions are called in the order of the calls,
// one at a time.
type asyncSends struct {
	mu      sync.Mutex
	queue   []*asyncSend
	under   int // queued, or being completed
	running bool
	runner  uint64        // the goroutine that calls completions; 0: none runs
	room    chan struct{} // closed when there is room again; nil: nobody waits
	idle    chan struct{} // closed when nothing is under way; nil: nobody waits
}

type asyncSend struct {
	m      *Message
	finish func(context.Context) error
	done   func(*Message, error)
}

// SendAsync begins to send m, and has done called once it is sent or is not going to be: with m, and with what Send would
// have returned. done is called on a goroutine of the context, one call at a time, in the order of SendAsync; it must not
// call Close. While as many as AsyncWindow are under way, SendAsync waits for ctx. Its own error is one that was found
// before anything was sent; then done is not called.
//
// Until done is called m must not be changed, and sending it again is ErrIllegalState.
func (p *Producer) SendAsync(ctx context.Context, d Destination, m *Message, done func(*Message, error)) error {
	if done == nil {
		return fmt.Errorf("%w: SendAsync: the function is nil", blaze.ErrArgument)
	}
	c := p.c
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if err := c.async.reserve(ctx, c); err != nil {
		return err
	}
	finish, err := p.begin(ctx, d, m)
	if err != nil {
		c.async.completed()
		return err
	}
	m.sending.Store(true)
	c.async.add(&asyncSend{m, finish, done})
	return nil
}

// reserve waits until one more may be under way.
func (a *asyncSends) reserve(ctx context.Context, c *Context) error {
	for {
		a.mu.Lock()
		if a.under < c.conn.f.o.asyncWindow {
			a.under++
			a.mu.Unlock()
			return nil
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		a.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ended(ctx, "SendAsync, with AsyncWindow under way")
		case <-c.closing:
			return errContextClosed
		}
	}
}

func (a *asyncSends) add(s *asyncSend) {
	a.mu.Lock()
	a.queue = append(a.queue, s)
	if !a.running {
		a.running = true
		go a.run()
	}
	a.mu.Unlock()
}

// run completes what is queued, and ends when there is nothing.
func (a *asyncSends) run() {
	for {
		a.mu.Lock()
		a.runner = gid.Current()
		if len(a.queue) == 0 {
			a.running, a.runner = false, 0
			a.mu.Unlock()
			return
		}
		s := a.queue[0]
		a.queue[0] = nil
		a.queue = a.queue[1:]
		a.mu.Unlock()
		var err error
		if s.finish != nil {
			err = s.finish(context.Background())
		}
		s.m.sending.Store(false)
		s.done(s.m, err)
		a.completed()
	}
}

func (a *asyncSends) completed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.under--
	if a.room != nil {
		close(a.room)
		a.room = nil
	}
	if a.under == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// idling is closed when nothing is under way; nil: nothing is. mine says that a completion calls.
func (a *asyncSends) idling() (idle chan struct{}, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.under == 0 {
		return nil, false
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	return a.idle, a.runner == gid.Current()
}

// wait waits until nothing is under way, and all completions have returned (Jakarta Messaging 3.1, section 7.3.4: a commit
// or rollback waits for them).
func (a *asyncSends) wait(ctx context.Context, c *Context, what string) error {
	idle, mine := a.idling()
	switch {
	case idle == nil:
		return nil
	case mine:
		return fmt.Errorf("%w: %s by the completion of a SendAsync, which it would wait for", ErrIllegalState, what)
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ended(ctx, what+", with asynchronous sends under way")
	case <-c.closing:
		return errContextClosed
	}
}

// close waits until nothing is under way, at most for linger.
func (a *asyncSends) close(linger time.Duration) error {
	idle, _ := a.idling()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-time.After(linger):
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Errorf("jms: Close: %d asynchronous sends were still under way: %w", a.under, context.DeadlineExceeded)
	}
}

// directSends are the messages of direct queues that a context has sent and that no consumer is done with.
type directSends struct {
	mu     sync.Mutex
	under  int
	errs   []error // at most maxDirectErrors
	failed int
	room   chan struct{}
	idle   chan struct{}
	ctx    context.Context // of all of them
	cancel context.CancelFunc
}

const maxDirectErrors = 8

// send puts b into this member's queue, and waits for room in it.
func (s *directSends) send(ctx context.Context, c *Context, q *Queue, b *blaze.Message) error {
	for {
		s.mu.Lock()
		if s.cancel == nil {
			s.ctx, s.cancel = context.WithCancel(context.Background())
		}
		if s.under < c.conn.f.o.directBuffer {
			s.under++
			s.mu.Unlock()
			break
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ended(ctx, fmt.Sprintf("sending to %v: DirectBuffer is full", q))
		case <-c.closing:
			return errContextClosed
		}
	}
	finish, err := reach.Blaze.Enqueue(ctx, c.conn.channel(), q.name, b)
	if err != nil {
		s.completed(nil)
		return err
	}
	go func() { s.completed(finish(s.ctx)) }()
	return nil
}

func (s *directSends) completed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
	if err != nil {
		if s.failed++; len(s.errs) < maxDirectErrors {
			s.errs = append(s.errs, err)
		}
	}
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
	if s.under == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// close waits for consumers, at most for linger, and gives up the rest.
func (s *directSends) close(linger time.Duration) error {
	s.mu.Lock()
	idle := make(chan struct{})
	if s.under == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	cancel := s.cancel
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	select {
	case <-idle:
		cancel()
	case <-time.After(linger):
		cancel()
		<-idle
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == 0 {
		return nil
	}
	return fmt.Errorf("jms: Close: %d messages of direct queues were not consumed: %w", s.failed, errors.Join(s.errs...))
}
