package jms

import (
	"context"

	"github.com/activeblaze/blaze/internal/jmstool"
	"github.com/activeblaze/blaze/jms/held"
)

func init() {
	jmstool.JMS = jmstool.Functions{
		Open: func(ctx context.Context, f any) (any, error) {
			return f.(*ConnectionFactory).open(ctx, AutoAcknowledge)
		},
		Channel: func(c any) any { return c.(*Context).conn.channel() },
		Holder:  func(c any) ([16]byte, bool) { return c.(*Context).holder() },
		Sift: func(ctx context.Context, c any, work jmstool.Sift) (jmstool.Sift, error) {
			return c.(*Context).sift(ctx, work)
		},
	}
}

// holder is the holder that c's connection uses.
func (c *Context) holder() (id held.Member, ok bool) {
	l := c.conn.linked()
	if l == nil {
		return id, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.Holder()
}

// siftStep is how many messages one operation purges, moves or retries: it is bounded by steps besides.
const siftStep = 256

// sift does one step of an operator's work.
func (c *Context) sift(ctx context.Context, work jmstool.Sift) (jmstool.Sift, error) {
	if err := c.enter(); err != nil {
		return work, err
	}
	defer c.guard.leave()
	l, err := c.holders(ctx)
	if err != nil {
		return work, err
	}
	op := &held.Op{Queue: []byte(work.Queue), Selector: []byte(work.Selector), After: work.Place, Limit: siftStep}
	switch work.Do {
	case jmstool.Purge:
		op.Kind = held.KindPurge
	case jmstool.Move:
		op.Kind, op.Name = held.KindMove, []byte(work.To)
	case jmstool.Retry:
		op.Kind = held.KindRetry
	}
	if work.Limit > 0 {
		op.Limit = min(op.Limit, uint64(work.Limit))
	}
	a, err := l.do(ctx, op)
	n := int(a.Value) // also where it ended at a queue that is full
	work.Done, work.Place, work.More = work.Done+n, a.Next, a.More
	if work.Limit > 0 {
		if work.Limit -= n; work.Limit == 0 {
			work.More = false
		}
	}
	return work, err
}
