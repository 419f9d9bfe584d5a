package blaze

import (
	"context"
	"fmt"
	"iter"
)

// Messages subscribes to topic and returns its messages one after the other:
//
//	for m, err := range ch.Messages(ctx, "prices.>") {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// The loop ends with an error, beside a nil Message, when ctx ends (the error wraps ctx's), when the subscription has
// ended otherwise (SlowConsumer Disconnect: its Err), or at once where Subscribe fails. It ends without one when the body
// leaves it. The subscription begins with the loop and ends with it; messages that the body has not taken are dropped. Its
// body is the handler: while it works messages wait in the subscription's queue, and Config.SlowConsumer says what happens
// when that is full. Messages lives through Stop and the next Start.
//
// OnLoss is called between two messages, by the subscription's goroutine. Inline is ErrArgument: a loop cannot run on an
// engine's thread.
func (c *Channel) Messages(ctx context.Context, topic string, opts ...SubscribeOption) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		var o subscribeOptions
		for _, opt := range opts {
			if opt != nil { // else Subscribe says so
				opt(&o)
			}
		}
		if o.inline {
			yield(nil, fmt.Errorf("%w: Messages %q: Inline", ErrArgument, topic))
			return
		}
		next, taken, left := make(chan *Message), make(chan struct{}), make(chan struct{})
		s, err := c.Subscribe(topic, func(m *Message) {
			select {
			case next <- m:
			case <-left:
				return
			}
			select { // so that what waits is in the queue, which is counted and bounded
			case <-taken:
			case <-left:
			}
		}, opts...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.Close()
		defer close(left)
		for {
			select {
			case m := <-next:
				if !yield(m, nil) {
					return
				}
				taken <- struct{}{}
			case <-ctx.Done():
				yield(nil, fmt.Errorf("blaze: waiting for a message on %q: %w", topic, ctx.Err()))
				return
			case <-s.Done():
				yield(nil, s.Err())
				return
			}
		}
	}
}
