package jms

import (
	"fmt"

	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/jms/held"
)

// DurableConsumer consumes from a durable subscription of the connection's client id, which is made if it is not there. The
// holders keep what is published on the topic while nobody consumes: Persistent messages from the moment on that their
// Send returns, others as far as the master of the holders receives them. It has one consumer at a time. Another topic,
// selector or NoLocal under the same name begins it anew.
//
// The errors besides those of Consumer: ErrIllegalState, the connection has no client id, or the subscription has a
// consumer, or is a shared one.
func (c *Context) DurableConsumer(t *Topic, name string, opts ...ConsumerOption) (*Consumer, error) {
	return c.subscription(t, name, held.FlagDurable, opts)
}

// SharedConsumer consumes from a subscription that several consumers share, also of several connections with one client id,
// or without: each message goes to one of them. It ends with the last of them.
func (c *Context) SharedConsumer(t *Topic, name string, opts ...ConsumerOption) (*Consumer, error) {
	return c.subscription(t, name, held.FlagShared, opts)
}

// SharedDurableConsumer consumes from a durable subscription that several consumers share.
func (c *Context) SharedDurableConsumer(t *Topic, name string, opts ...ConsumerOption) (*Consumer, error) {
	return c.subscription(t, name, held.FlagDurable|held.FlagShared, opts)
}

func (c *Context) subscription(t *Topic, name string, flags uint64, opts []ConsumerOption) (*Consumer, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errNilDestination
	}
	if err := checkSubscription(name); err != nil {
		return nil, err
	}
	if err := c.entered(c.guard.enterBesideListener()); err != nil {
		return nil, err
	}
	defer c.guard.leave()
	if flags == held.FlagDurable && c.conn.clientName() == "" {
		return nil, fmt.Errorf("%w: a durable subscription needs a client id: SetClientID", ErrIllegalState)
	}
	c.conn.use()
	if o.noLocal {
		flags |= held.FlagNoLocal
	}
	k := c.newConsumer(t, o)
	k, err = c.beginHeld(k, &held.Op{
		Kind: held.KindSubscribe, Topic: []byte(t.name), Name: []byte(name), Flags: flags, Selector: []byte(o.text),
	}, t)
	if err != nil {
		return nil, fmt.Errorf("%w: subscription %q", err, name)
	}
	return k, nil
}

// checkSubscription judges the name of a subscription.
func checkSubscription(name string) error {
	if err := checkQueueName(name); err != nil {
		return fmt.Errorf("%w: subscription %q: 1 to 255 bytes of UTF-8 without control characters, not beginning with \"blaze.\"", ErrInvalidDestination, words.Abridged(name))
	}
	return nil
}

// Unsubscribe ends a durable subscription of the connection's client id. With a consumer open, or a message of it not
// acknowledged, it is ErrIllegalState; one that is not there is ErrInvalidDestination.
func (c *Context) Unsubscribe(name string) error {
	if err := checkSubscription(name); err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	c.conn.use()
	ctx, cancel := c.within(c.conn.f.o.wait + becomeWait)
	defer cancel()
	l, err := c.holders(ctx)
	if err != nil {
		return err
	}
	if _, err := l.do(ctx, &held.Op{Kind: held.KindUnsubscribe, Name: []byte(name)}); err != nil {
		return fmt.Errorf("%w: subscription %q", err, name)
	}
	return nil
}
