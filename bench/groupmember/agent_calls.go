package groupmember

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/engine"
)

// A payload begins with its number.
const numberSize = 8

// Payload makes a payload of size bytes, or of what its number takes.
func Payload(number uint64, size int) []byte {
	b := make([]byte, max(size, numberSize))
	binary.LittleEndian.PutUint64(b, number)
	return b
}

func number(b []byte) uint64 {
	if len(b) < numberSize {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// number is that of the n-th message.
func (c *Command) number(n uint64) uint64 {
	if c.Stamp {
		return uint64(engine.Now())
	}
	return n
}

// publish sends on a topic: N, as fast as it goes or one Every, until For is over.
func (a *agent) publish(ctx context.Context, c *Command) (answer Answer, err error) {
	a.topics.Lock()
	defer a.topics.Unlock()
	p := a.pubs[c.Name]
	if p == nil {
		if p, err = a.g.Publisher(c.Name); err != nil {
			return answer, err
		}
		a.pubs[c.Name] = p
	}
	for end := time.Now().Add(c.For); (c.For == 0 || time.Now().Before(end)) && (c.N == 0 || answer.Count < uint64(c.N)) && ctx.Err() == nil; {
		err := p.Offer(Payload(c.number(answer.Count+1), c.Size))
		switch {
		case err == nil:
			answer.Count++
			if c.Every > 0 {
				time.Sleep(c.Every)
			}
		case errors.Is(err, blaze.ErrBackPressure):
			time.Sleep(50 * time.Microsecond)
		default:
			return answer, err
		}
	}
	return answer, nil
}

// handle answers each request of an in-box with its own payload, and notes what wants no reply.
func (a *agent) handle(c *Command) error {
	_, err := a.g.HandleInbox(c.Name, func(m *blaze.Message) {
		b, _ := m.Bytes()
		if !c.Quiet {
			a.note(Entry{Kind: "item", ID: m.From().String(), Number: number(b)})
		}
		_ = a.g.Reply(context.Background(), m, blaze.NewBytesMessage(b)) // a Send wants none: ErrNoReply
	})
	return err
}

// some are how many errors an answer names.
const some = 5

// tally adds up calls. It is for any number of goroutines.
type tally struct {
	mu sync.Mutex
	Answer
}

// time takes the time of one call.
func (t *tally) time(f func() error) {
	began := engine.Now()
	err := f()
	took := engine.Now().Sub(began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Longest = max(t.Longest, took)
	if err == nil {
		t.Count++
		return
	}
	if t.Failed++; len(t.Errors) < some {
		t.Errors = append(t.Errors, err.Error())
	}
}

// each has c.Parallel goroutines call f with 1, 2, …, up to c.N or until c.For is over.
func (c *Command) each(ctx context.Context, f func(number uint64)) {
	numbers := make(chan uint64)
	var all sync.WaitGroup
	for range max(c.Parallel, 1) {
		all.Go(func() {
			for n := range numbers {
				if f(n); c.Every > 0 {
					time.Sleep(c.Every)
				}
			}
		})
	}
	var over <-chan time.Time
	if c.For > 0 {
		over = time.After(c.For)
	}
	for n, done := uint64(1), false; !done && (c.N == 0 || n <= uint64(c.N)); n++ {
		select {
		case numbers <- n:
		case <-over:
			done = true
		case <-ctx.Done():
			done = true
		}
	}
	close(numbers)
	all.Wait()
}

// call makes requests, or sends.
func (a *agent) call(ctx context.Context, c *Command) (Answer, error) {
	to, err := blaze.ParseMemberID(c.To)
	if err != nil {
		return Answer{}, err
	}
	var t tally
	c.each(ctx, func(n uint64) {
		t.time(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			n := c.number(n)
			m := blaze.NewBytesMessage(Payload(n, c.Size))
			if c.Do == DoSend {
				return a.g.SendInbox(ctx, to, c.Name, m)
			}
			reply, err := a.g.Request(ctx, to, m)
			if err != nil {
				return err
			}
			if b, ok := reply.Bytes(); !ok || number(b) != n {
				return fmt.Errorf("request %d has another one's reply", n)
			}
			return nil
		})
	})
	return t.Answer, nil
}

// consume takes part in a queue, and keeps a file of what it handles.
func (a *agent) consume(c *Command) error {
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	h := &handlings{f: f}
	var opts []blaze.ConsumeOption
	if c.Exclusive {
		opts = append(opts, blaze.Exclusive())
	}
	_, err = a.g.Consume(c.Name, func(m *blaze.Message) error {
		b, _ := m.Bytes()
		flags := uint64(0)
		if m.Redelivered() {
			flags = flagMarked
		}
		if err := h.write(number(b), flags); err != nil {
			return err
		}
		if c.Work > 0 {
			time.Sleep(c.Work)
			return h.write(number(b), flags|flagEnd)
		}
		return nil
	}, opts...)
	return err
}

// enqueue puts messages into a queue.
func (a *agent) enqueue(ctx context.Context, c *Command) (Answer, error) {
	var t tally
	began := engine.Now()
	c.each(ctx, func(n uint64) {
		t.time(func() error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			return a.g.Enqueue(ctx, c.Name, blaze.NewBytesMessage(Payload(n, c.Size)))
		})
	})
	t.Took = engine.Now().Sub(began)
	return t.Answer, nil
}
