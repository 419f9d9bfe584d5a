package jms20

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze/jms"
)

// consumer is a JMSConsumer.
type consumer struct {
	s      *session
	k      *jms.Consumer
	closed bool
}

var errConsumerClosed = errors.New("jms20: the consumer is closed")

func (k *consumer) usable() jms20subset.JMSException {
	switch {
	case k.s.isClosed():
		return noConnection.with(errClosed)
	case k.closed:
		return noObject.with(errConsumerClosed)
	}
	return nil
}

// Receive implements JMSConsumer: with 0 or less it waits until Close. Nothing came: nil and nil.
func (k *consumer) Receive(waitMillis int32) (jms20subset.Message, jms20subset.JMSException) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if waitMillis > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(waitMillis)*time.Millisecond)
	}
	defer cancel()
	m, err := k.k.Receive(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return nil, nil
	}
	return k.received(m, err)
}

// ReceiveNoWait implements JMSConsumer. It asks a holder: what had been sent before it is there.
func (k *consumer) ReceiveNoWait() (jms20subset.Message, jms20subset.JMSException) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	m, err := k.k.ReceiveNoWait()
	return k.received(m, err)
}

func (k *consumer) received(m *jms.Message, err error) (jms20subset.Message, jms20subset.JMSException) {
	if err != nil {
		return nil, k.s.failed(err)
	}
	if m == nil {
		return nil, nil
	}
	if k.s.longest > 0 {
		if n := bodyLength(m); n > k.s.longest {
			if err := m.GiveBack(); err != nil {
				return nil, k.s.failed(err)
			}
			return nil, dataLength.with(fmt.Errorf("jms20: a message of %d bytes; MaxMsgLength is %d", n, k.s.longest))
		}
		if !k.s.transacted {
			if err := m.Acknowledge(); err != nil {
				return nil, k.s.failed(err)
			}
		}
	}
	return messageOf(m, k.s), nil
}

// bodyLength is how many bytes a message's body has.
func bodyLength(m *jms.Message) int {
	switch m.Kind() {
	case jms.TextMessage:
		s, _ := m.Text()
		return len(s)
	case jms.BytesMessage:
		b, _ := m.Bytes()
		return len(b)
	}
	b, _ := m.Body().MarshalBinary()
	return len(b)
}

// ReceiveStringBody implements JMSConsumer. A message of another type is consumed: MQJMS_DIR_MIN_NOTTEXT.
func (k *consumer) ReceiveStringBody(waitMillis int32) (*string, jms20subset.JMSException) {
	return text(k.Receive(waitMillis))
}

// ReceiveStringBodyNoWait implements JMSConsumer.
func (k *consumer) ReceiveStringBodyNoWait() (*string, jms20subset.JMSException) {
	return text(k.ReceiveNoWait())
}

func text(m jms20subset.Message, err jms20subset.JMSException) (*string, jms20subset.JMSException) {
	if m == nil || err != nil {
		return nil, err
	}
	if t, ok := m.(jms20subset.TextMessage); ok {
		return t.GetText(), nil
	}
	return nil, notText.with(jms.ErrNotReadable)
}

// ReceiveBytesBody implements JMSConsumer. A message of another type is consumed: MQJMS_DIR_MIN_NOTBYTES.
func (k *consumer) ReceiveBytesBody(waitMillis int32) (*[]byte, jms20subset.JMSException) {
	return bytesOf(k.Receive(waitMillis))
}

// ReceiveBytesBodyNoWait implements JMSConsumer.
func (k *consumer) ReceiveBytesBodyNoWait() (*[]byte, jms20subset.JMSException) {
	return bytesOf(k.ReceiveNoWait())
}

func bytesOf(m jms20subset.Message, err jms20subset.JMSException) (*[]byte, jms20subset.JMSException) {
	if m == nil || err != nil {
		return nil, err
	}
	if b, ok := m.(jms20subset.BytesMessage); ok {
		return b.ReadBytes(), nil
	}
	return nil, notBytes.with(jms.ErrNotReadable)
}

// Close implements JMSConsumer.
func (k *consumer) Close() {
	k.closed = true
	_ = k.k.Close() // IBM's interface has no error
}

// browser is a QueueBrowser and its one enumeration.
type browser struct {
	s *session
	b *jms.Browser
}

// GetEnumeration implements QueueBrowser: asked twice, it is the same.
func (b *browser) GetEnumeration() (jms20subset.MessageIterator, jms20subset.JMSException) {
	return b, nil
}

// GetNext implements MessageIterator: nil at the end. It goes on when more has come.
func (b *browser) GetNext() (jms20subset.Message, jms20subset.JMSException) {
	if b.s.isClosed() {
		return nil, noConnection.with(errClosed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendWait)
	defer cancel()
	m, err := b.b.Next(ctx)
	if err != nil {
		return nil, b.s.failed(err)
	}
	if m == nil {
		return nil, nil
	}
	return messageOf(m, b.s), nil
}

// Close implements QueueBrowser.
func (b *browser) Close() { _ = b.b.Close() }
