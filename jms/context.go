package jms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
)

// AckMode says when what a session has received is acknowledged: done with, and not delivered again.
type AckMode uint8

// The acknowledge modes of Jakarta Messaging 3.1, section 6.2.10.
const (
	// AutoAcknowledge: when Receive returns, or the listener has. The acknowledgement is sent and not waited for: a
	// process that fails just then may see the message again, marked redelivered. It never misses one.
	AutoAcknowledge AckMode = iota
	// ClientAcknowledge: with Acknowledge, all that the session has received so far.
	ClientAcknowledge
	// DupsOKAcknowledge: as AutoAcknowledge, several at a time: up to 64, or 100 ms later.
	DupsOKAcknowledge
	// Transacted: with Commit, together with what the session has sent.
	Transacted
)

var ackModeNames = []string{"AutoAcknowledge", "ClientAcknowledge", "DupsOKAcknowledge", "Transacted"}

// String is the constant's name.
func (m AckMode) String() string { return ackModeNames[min(int(m), len(ackModeNames)-1)] }

func (m AckMode) check() error {
	if m > Transacted {
		return fmt.Errorf("%w: acknowledge mode %d: there are 0 to %d", blaze.ErrArgument, m, Transacted)
	}
	return nil
}

// Context is a connection and a session of it. See the package.
type Context struct {
	conn    *connection
	mode    AckMode
	id      uint32 // of the session, in its connection
	guard   guard
	session session
	closing chan struct{} // closed when Close begins

	mu        sync.Mutex // what Close and other goroutines touch too
	closed    bool
	consumers []*Consumer // replaced, and not changed
	temps     []*temporary
	async     asyncSends
	direct    directSends

	// Used under guard.
	unacked []*Message // ClientAcknowledge, Transacted: received, and not acknowledged, in order
	staged  []*staged  // Transacted: to be sent with Commit, where no holder keeps it
	open    bool       // Transacted: the holders have something of this transaction
	replies *temporary // of Request
}

// Errors that are made once.
var errContextClosed = closedError("context")

// enter begins a use of the context by the calling goroutine.
func (c *Context) enter() error { return c.entered(c.guard.enter()) }

func (c *Context) entered(err error) error {
	if err != nil {
		return err
	}
	if c.isClosing() {
		c.guard.leave()
		return errContextClosed
	}
	return nil
}

func (c *Context) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// Mode is the acknowledge mode.
func (c *Context) Mode() AckMode { return c.mode }

// CreateContext makes another session of the same connection, with an acknowledge mode of its own.
func (c *Context) CreateContext(mode AckMode) (*Context, error) {
	if err := mode.check(); err != nil {
		return nil, err
	}
	if c.isClosing() {
		return nil, errContextClosed
	}
	if s := c.conn.another(mode); s != nil {
		return s, nil
	}
	return nil, errContextClosed
}

// Queue names a queue: 1 to 255 bytes of UTF-8 without control characters. Options may follow: "orders?direct=true",
// "orders?consumer.exclusive=true". No queue is made by it, and nothing is sent. The error is ErrInvalidDestination.
func (c *Context) Queue(name string) (*Queue, error) {
	if c.isClosing() {
		return nil, errContextClosed
	}
	return parseQueue(name)
}

// Topic names a topic: a path of elements between dots, as Channel.Broadcast and Channel.Subscribe have it. One that is
// consumed from may have wildcards. The error is ErrInvalidDestination.
func (c *Context) Topic(name string) (*Topic, error) {
	if c.isClosing() {
		return nil, errContextClosed
	}
	return parseTopic(name)
}

// ConnectHolders begins the connection at the holders, as the first use of a held queue does otherwise: ErrNotHeld where
// there is none, and this process does not become one before ctx ends.
func (c *Context) ConnectHolders(ctx context.Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	c.conn.use()
	_, err := c.holders(ctx)
	return err
}

// SetClientID names the connection, for durable subscriptions. It must come before any other use of the connection
// (ErrIllegalState), and a client id that is there cannot be changed.
func (c *Context) SetClientID(id string) error {
	if c.isClosing() {
		return errContextClosed
	}
	return c.conn.setClientID(id)
}

// ClientID is the connection's client id; "" where it has none.
func (c *Context) ClientID() string {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.conn.clientID
}

// OnException has h called with what no call can return: LossError, a topic's messages that are gone for good; why the
// connection is over, where it is not closed; and what a listener's session could not fetch or acknowledge. It is called
// once at a time for all contexts of the connection. Nil: nobody is told.
func (c *Context) OnException(h func(error)) {
	c.conn.mu.Lock()
	c.conn.onException = h
	c.conn.mu.Unlock()
}

// Acknowledge acknowledges all that the session has received so far (ClientAcknowledge). In other modes it is
// ErrIllegalState.
func (c *Context) Acknowledge() error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode != ClientAcknowledge {
		return fmt.Errorf("%w: Acknowledge in mode %v", ErrIllegalState, c.mode)
	}
	ms := c.unacked
	c.unacked = nil
	return c.settle(ms)
}

// Recover has all that the session has received and not acknowledged delivered again, marked redelivered. In a
// transacted session it is ErrIllegalState: use Rollback.
func (c *Context) Recover() error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.guard.leave()
	if c.mode == Transacted {
		return fmt.Errorf("%w: Recover in mode %v", ErrIllegalState, c.mode)
	}
	c.session.recovered = true // a message that a listener has now is not acknowledged
	ms := c.unacked
	c.unacked = nil
	return c.release(ms)
}

// settle acknowledges messages.
func (c *Context) settle(ms []*Message) error {
	return bySource(ms, func(s source, ms []*Message) error { return s.settle(ms) })
}

// release gives messages back, to be delivered again.
func (c *Context) release(ms []*Message) error {
	return bySource(ms, func(s source, ms []*Message) error {
		for _, m := range ms {
			m.head().Count++
			m.context = nil
		}
		return s.release(ms)
	})
}

// bySource calls f with the messages of each source, in their order.
func bySource(ms []*Message, f func(source, []*Message) error) error {
	if len(ms) == 1 {
		return f(ms[0].source, ms)
	}
	var sources []source
	of := map[source][]*Message{}
	for _, m := range ms {
		if of[m.source] == nil {
			sources = append(sources, m.source)
		}
		of[m.source] = append(of[m.source], m)
	}
	var errs []error
	for _, s := range sources {
		errs = append(errs, f(s, of[s]))
	}
	return errors.Join(errs...)
}

// Close ends the context: what it has received and not acknowledged goes back, what it has sent and not committed is
// dropped, its consumers and temporary destinations end. It waits for calls that are under way, which end at once, and
// for a listener that runs, unless the listener calls it. Sends that are under way are waited for, at most for
// Config.Linger; the error names what was not sent. The last context of a factory stops the channel, whose error is in
// Close's. A second Close does nothing.
func (c *Context) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	close(c.closing)
	if !c.guard.mine() {
		c.guard.take(false)
		defer c.guard.leave()
	}
	linger := c.conn.channel().Config().Linger
	var errs []error
	errs = append(errs, c.session.done()) // a listener that closes its context has done its work
	errs = append(errs, c.async.close(linger), c.direct.close(linger))
	errs = append(errs, c.giveBack())
	c.mu.Lock()
	consumers := c.consumers
	temps := c.temps
	c.temps = nil
	c.mu.Unlock()
	for _, k := range consumers {
		errs = append(errs, k.end())
	}
	for _, t := range temps {
		errs = append(errs, t.close())
	}
	errs = append(errs, c.conn.remove(c))
	return errors.Join(errs...)
}

// session calls the listeners of a context, one at a time, on a goroutine of its own.
type session struct {
	c         *Context
	running   bool          // under Context.mu
	waken     chan struct{} // one token: a consumer with a listener may have something
	listening atomic.Int32  // consumers with a listener
	current   *Message      // that a listener has; under guard
	recovered bool          // Recover was called meanwhile; under guard
}

// wake has the session look at its consumers.
func (s *session) wake() {
	select {
	case s.waken <- struct{}{}:
	default:
	}
}

// start makes sure that the goroutine runs. Context.mu is held.
func (s *session) start() {
	if !s.running {
		s.running = true
		go s.run()
	}
}

func (s *session) run() {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		select {
		case <-s.waken:
		case <-s.c.closing:
			return
		case <-again.C:
			s.look()
		}
		for s.round() {
		}
	}
}

// look has consumers with listeners ask for what did not arrive.
func (s *session) look() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, k := range s.c.consumers {
		if k.listener.Load() != nil {
			k.src.look()
		}
	}
}

// round calls each listener that has something once, and reports whether one had.
func (s *session) round() (work bool) {
	c := s.c
	c.mu.Lock()
	all := c.consumers
	c.mu.Unlock()
	for _, k := range all {
		if k.listener.Load() == nil {
			continue
		}
		c.guard.take(true)
		if !c.isClosing() && s.call(k) {
			work = true
		}
		c.guard.leave()
	}
	return work
}

// call gives one message to the listener of k. The guard is held.
func (s *session) call(k *Consumer) bool {
	h := k.listener.Load()
	if h == nil || k.isClosed() {
		return false
	}
	m := k.poll()
	k.src.want(true)
	if m == nil {
		return false
	}
	c := s.c
	c.hold(m)
	s.current, s.recovered = m, false
	(*h)(m)
	if err := s.done(); err != nil {
		c.conn.exception(err)
	}
	return true
}

// done acknowledges the message that a listener has had, where the session does that by itself.
func (s *session) done() error {
	m := s.current
	s.current = nil
	switch {
	case m == nil || s.c.mode == ClientAcknowledge || s.c.mode == Transacted:
		return nil
	case s.recovered:
		return s.c.release([]*Message{m})
	}
	return s.c.settle([]*Message{m})
}

// hold notes that m is being delivered.
func (c *Context) hold(m *Message) {
	m.context = c
	if c.mode == ClientAcknowledge || c.mode == Transacted {
		c.unacked = append(c.unacked, m)
	}
}

// MetaData is what Jakarta's ConnectionMetaData has.
type MetaData struct {
	JMSVersion        string
	JMSMajor          int
	JMSMinor          int
	Provider          string
	JMSXPropertyNames []string
}

// MetaData describes this implementation.
func (c *Context) MetaData() MetaData {
	return MetaData{
		JMSVersion: "3.1", JMSMajor: 3, JMSMinor: 1, Provider: "Blaze",
		JMSXPropertyNames: []string{"JMSXDeliveryCount", "JMSXGroupID", "JMSXGroupSeq"},
	}
}

func nowMillis() int64 { return time.Now().UnixMilli() }

// ended is the error of a wait whose ctx has ended.
func ended(ctx context.Context, what string) error {
	return fmt.Errorf("jms: %s: %w", what, context.Cause(ctx))
}
