package jms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze"
)

// connection is what the contexts have in common that come from one ConnectionFactory.CreateContext.
type connection struct {
	f  *ConnectionFactory
	ch *channel
	id [16]byte // random

	mu          sync.Mutex
	clientID    string
	used        bool // the client id may not change any more
	contexts    map[*Context]struct{}
	onException func(error)
	exceptions  sync.Mutex // held while onException runs
	sessions    atomic.Uint32

	linking chan struct{} // has a token while the connection begins at the holders
	link    *link         // under mu; nil: it was not needed yet
}

// minMessageSize is the least Config.MaxMessageSize with held queues: operations and answers are no larger.
const minMessageSize = 256 << 10

// holders returns the connection's link to the holders, which begins with the first use.
func (n *connection) holders(ctx context.Context) (*link, error) {
	if size := n.channel().Config().MaxMessageSize; size < minMessageSize {
		return nil, fmt.Errorf("%w: held queues need a Config.MaxMessageSize of at least %d bytes, and it is %d", blaze.ErrUnsupported, minMessageSize, size)
	}
	select {
	case n.linking <- struct{}{}:
		defer func() { <-n.linking }()
	case <-ctx.Done(): // another session waits for holders, for longer than this one
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, ended(ctx, "looking for a holder"))
	}
	n.mu.Lock()
	l := n.link
	n.mu.Unlock()
	if l != nil {
		return l, nil
	}
	l, err := n.connectHolders(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.link = l
	n.mu.Unlock()
	return l, nil
}

// holders returns the link of the context's connection. It waits until ctx ends, or the context closes.
func (c *Context) holders(ctx context.Context) (*link, error) {
	if l := c.conn.linked(); l != nil {
		return l, nil
	}
	ctx, cancel := c.whileOpen(context.WithCancel(ctx))
	defer cancel()
	l, err := c.conn.holders(ctx)
	if err != nil && c.isClosing() {
		return nil, errContextClosed
	}
	return l, err
}

// linked is the link, if there is one.
func (n *connection) linked() *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.link
}

func (n *connection) clientName() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clientID
}

// newContext makes the first context of the connection.
func (n *connection) newContext(mode AckMode) *Context {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.add(mode)
}

// another makes one context more; nil: the last one has been closed, and the connection has ended with it.
func (n *connection) another(mode AckMode) *Context {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.contexts) == 0 {
		return nil
	}
	return n.add(mode)
}

// add makes a context. mu is held.
func (n *connection) add(mode AckMode) *Context {
	c := &Context{conn: n, mode: mode, id: n.sessions.Add(1), closing: make(chan struct{})}
	c.session.c = c
	c.session.waken = make(chan struct{}, 1)
	n.contexts[c] = struct{}{}
	return c
}

// remove takes a context out. The last one ends the connection.
func (n *connection) remove(c *Context) error {
	n.mu.Lock()
	delete(n.contexts, c)
	last := len(n.contexts) == 0
	n.mu.Unlock()
	if !last {
		return nil
	}
	var err error
	if l := n.linked(); l != nil {
		err = l.close()
	}
	return errors.Join(err, n.ch.release())
}

// use notes that the connection is in use.
func (n *connection) use() {
	n.mu.Lock()
	n.used = true
	n.mu.Unlock()
}

func (n *connection) setClientID(id string) error {
	if err := checkClientID(id); err != nil {
		return err
	}
	n.mu.Lock()
	switch {
	case n.clientID == id:
		n.mu.Unlock()
		return nil
	case n.clientID != "":
		defer n.mu.Unlock()
		return fmt.Errorf("%w: the client id is %q, and cannot be changed", ErrIllegalState, n.clientID)
	case n.used:
		n.mu.Unlock()
		return fmt.Errorf("%w: the client id must be set before the connection is used", ErrIllegalState)
	}
	n.clientID = id
	before := n.link
	n.link = nil // the next one begins with the name
	n.mu.Unlock()
	if before != nil {
		return before.close()
	}
	return nil
}

// exception gives err to the handler of OnException, one at a time.
func (n *connection) exception(err error) {
	n.mu.Lock()
	h := n.onException
	n.mu.Unlock()
	if h == nil {
		return
	}
	n.exceptions.Lock()
	defer n.exceptions.Unlock()
	h(err)
}

// channel is the member that the connection's messages pass.
func (n *connection) channel() *blaze.GroupChannel { return n.ch.g }
