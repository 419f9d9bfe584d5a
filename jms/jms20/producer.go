package jms20

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze/jms"
)

// producer is a JMSProducer.
type producer struct {
	s *session
	p *jms.Producer
}

// sendWait is how long a Send waits for the holders.
const sendWait = 30 * time.Second

// Send implements JMSProducer.
func (p *producer) Send(d jms20subset.Destination, msg jms20subset.Message) jms20subset.JMSException {
	if p.s.isClosed() {
		return noConnection.with(errClosed)
	}
	var m *message
	switch msg := msg.(type) {
	case *textMessage:
		m = &msg.message
	case *bytesMessage:
		m = &msg.message
	default:
		return badMessage.with(fmt.Errorf("jms20: Send of a %T, which this implementation has not made", msg))
	}
	q, err := p.s.queue(d)
	if err != nil {
		return exception(err)
	}
	if err := m.complete(p.s.appl); err != nil {
		return badMessage.with(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendWait)
	defer cancel()
	if d.GetPutAsyncAllowed() != jms20subset.Destination_PUT_ASYNC_ALLOWED_ENABLED {
		return p.s.failed(p.p.Send(ctx, q, m.m))
	}
	persistent := p.p.DeliveryMode() == jms.Persistent
	p.s.async.begin()
	if err := p.p.SendAsync(ctx, q, m.m, func(_ *jms.Message, err error) { p.s.async.end(err, persistent) }); err != nil {
		p.s.async.end(err, persistent)
	}
	if !p.s.transacted && p.s.async.isDue(p.s.check) {
		if failure := p.s.async.collect(false); failure != nil {
			return failure
		}
	}
	return nil
}

// SendString implements JMSProducer.
func (p *producer) SendString(d jms20subset.Destination, body string) jms20subset.JMSException {
	return p.Send(d, p.s.CreateTextMessageWithString(body))
}

// SendBytes implements JMSProducer.
func (p *producer) SendBytes(d jms20subset.Destination, body []byte) jms20subset.JMSException {
	return p.Send(d, p.s.CreateBytesMessageWithBytes(body))
}

// SetDeliveryMode implements JMSProducer. A mode that there is not is logged, and not taken; so in the next two.
func (p *producer) SetDeliveryMode(mode int) jms20subset.JMSProducer {
	switch mode {
	case jms20subset.DeliveryMode_PERSISTENT:
		p.p.SetDeliveryMode(jms.Persistent)
	case jms20subset.DeliveryMode_NON_PERSISTENT:
		p.p.SetDeliveryMode(jms.NonPersistent)
	default:
		slog.Warn("jms20: SetDeliveryMode: there is no such mode", "mode", mode)
	}
	return p
}

// GetDeliveryMode implements JMSProducer.
func (p *producer) GetDeliveryMode() int {
	if p.p.DeliveryMode() == jms.Persistent {
		return jms20subset.DeliveryMode_PERSISTENT
	}
	return jms20subset.DeliveryMode_NON_PERSISTENT
}

// SetTimeToLive implements JMSProducer, in milliseconds.
func (p *producer) SetTimeToLive(ms int) jms20subset.JMSProducer {
	if ms < 0 || ms > 3_000_000_000_000 {
		slog.Warn("jms20: SetTimeToLive: out of range", "milliseconds", ms)
		return p
	}
	p.p.SetTimeToLive(time.Duration(ms) * time.Millisecond)
	return p
}

// GetTimeToLive implements JMSProducer.
func (p *producer) GetTimeToLive() int { return int(p.p.TimeToLive() / time.Millisecond) }

// SetPriority implements JMSProducer, 0..9.
func (p *producer) SetPriority(n int) jms20subset.JMSProducer {
	if n < 0 || n > 9 {
		slog.Warn("jms20: SetPriority: out of range", "priority", n)
		return p
	}
	p.p.SetPriority(n)
	return p
}

// GetPriority implements JMSProducer.
func (p *producer) GetPriority() int { return p.p.Priority() }

// async counts sends that are not waited for.
type async struct {
	mu       sync.Mutex
	idle     sync.Cond
	under    int
	sent     int
	failures int
	first    error
	backOut  bool // a persistent one failed
}

func (a *async) begin() {
	a.mu.Lock()
	a.under++
	a.mu.Unlock()
}

func (a *async) end(err error, persistent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.under--
	if err != nil {
		if a.failures++; a.first == nil {
			a.first = err
		}
		a.backOut = a.backOut || persistent
	}
	if a.idle.L != nil {
		a.idle.Broadcast()
	}
}

// isDue reports whether the send that was just begun is one after which failures are looked for: the first, and then
// each every-th.
func (a *async) isDue(every int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.sent
	a.sent++
	return every > 0 && n%every == 0
}

// collect waits for what is under way, and returns what has failed since the last collect. In a transaction failures of
// messages that are not persistent do not count.
func (a *async) collect(transacted bool) jms20subset.JMSException {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle.L == nil {
		a.idle.L = &a.mu
	}
	for a.under > 0 {
		a.idle.Wait()
	}
	n, first, backOut := a.failures, a.first, a.backOut
	a.failures, a.first, a.backOut = 0, nil, false
	if n == 0 || transacted && !backOut {
		return nil
	}
	return jms20subset.CreateJMSException(fmt.Sprintf("%d failures, 0 warnings of asynchronous puts", n), asyncPutFailure, exception(errors.Join(first)))
}
