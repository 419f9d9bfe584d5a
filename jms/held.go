package jms

import (
	"context"
	"fmt"

	"github.com/activeblaze/blaze"
)

// publish broadcasts a message.
func (c *Context) publish(ctx context.Context, name string, b *blaze.Message, out outgoing) error {
	return c.conn.channel().Broadcast(ctx, name, b)
}

var errNoHolder = fmt.Errorf("%w: held queues come with a later version", ErrNotHeld)

func (c *Context) consumeHeld(k *Consumer, q *Queue) (*Consumer, error) { return nil, errNoHolder }

func (c *Context) putHeld(ctx context.Context, q *Queue, b *blaze.Message, out outgoing) (func(context.Context) error, error) {
	return nil, errNoHolder
}

// Commit sends what the session has sent, and acknowledges what it has received.
func (c *Context) Commit(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode != Transacted {
		return fmt.Errorf("%w: Commit in mode %v", ErrIllegalState, c.mode)
	}
	staged, unacked := c.staged, c.unacked
	c.staged, c.unacked = nil, nil
	for i, s := range staged {
		if _, err := c.send(ctx, s.d, s.m, s.out); err != nil {
			_ = c.release(unacked)
			return fmt.Errorf("%w: message %d of %d: %w", ErrRolledBack, i+1, len(staged), err)
		}
	}
	return c.settle(unacked)
}

// Rollback drops what the session has sent, and has what it received delivered again.
func (c *Context) Rollback(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode != Transacted {
		return fmt.Errorf("%w: Rollback in mode %v", ErrIllegalState, c.mode)
	}
	return c.giveBack()
}
