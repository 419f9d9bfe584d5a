package jms

import (
	"context"
	"fmt"
	"iter"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms/held"
)

// Browser looks at the messages that wait in a held queue, in the order in which they would be delivered, and takes none.
// What is put behind its place while it walks is seen; what is taken before it comes there is not.
type Browser struct {
	c       *Context
	q       *Queue
	options consumerOptions
	place   uint64 // to go on from
	page    []*Message
	closed  bool
}

// browsePage is how many messages All asks for at a time.
const browsePage = 100

// Browser makes a browser of a held queue. Selector has it see only what the selector is true of. A direct queue is
// blaze.ErrUnsupported: its senders keep its messages. The other errors are those of Consumer.
func (c *Context) Browser(q *Queue, opts ...ConsumerOption) (*Browser, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, errNilDestination
	}
	if err := checkQueueName(q.name); err != nil {
		return nil, err
	}
	if q.direct {
		return nil, fmt.Errorf("%w: %v is direct: its senders keep the messages, and cannot be browsed", blaze.ErrUnsupported, q)
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	c.conn.use()
	ctx, cancel := c.within(c.conn.f.o.wait + becomeWait)
	defer cancel()
	if _, err := c.holders(ctx); err != nil {
		return nil, err
	}
	return &Browser{c: c, q: q, options: o}, nil
}

// Next asks the holders for the next message; nil, and no error, at the end. It may be called again: then it goes on with
// what has come behind its place.
func (b *Browser) Next(ctx context.Context) (*Message, error) { return b.next(ctx, 1) }

// next returns a message of the page that is here, or of a next one of at most limit messages.
func (b *Browser) next(ctx context.Context, limit uint64) (*Message, error) {
	if b.closed {
		return nil, closedError("browser")
	}
	c := b.c
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	l := c.conn.linked()
	if l == nil {
		return nil, errConnectionOver
	}
	for {
		if len(b.page) > 0 {
			m := b.page[0]
			b.page = b.page[1:]
			if m.size > 0 {
				data, err := l.fetch(ctx, &held.Op{Kind: held.KindFetch, Queue: []byte(b.q.name), Numbers: []uint64{m.number}}, m.size)
				if err != nil {
					continue // it was taken meanwhile
				}
				m.fill(data)
			}
			return m, nil
		}
		a, err := l.read(ctx, &held.Op{
			Kind: held.KindBrowse, Queue: []byte(b.q.name), After: b.place, Selector: []byte(b.options.text), Limit: limit,
		})
		switch {
		case err != nil:
			return nil, err
		case a.Code == held.CodeNoQueue:
			return nil, nil // nobody has put anything
		case a.Code != held.CodeOK:
			return nil, codeError(a, b.q.String())
		}
		for i := range a.Messages {
			w := &a.Messages[i]
			m := readHeld(w)
			m.number, m.destination = w.Place, b.q
			b.page = append(b.page, m)
		}
		b.place = max(b.place, a.Next)
		if !a.More && len(a.Messages) == 0 {
			return nil, nil
		}
	}
}

// All goes through the messages to the end, a page at a time: one that is taken while its page is gone through may be seen.
func (b *Browser) All() iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-b.c.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		for {
			m, err := b.next(ctx, browsePage)
			if m == nil && err == nil || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Close ends the browser.
func (b *Browser) Close() error { b.closed = true; b.page = nil; return nil }
