package jms

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/internal/testnet"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func testConfig(t testing.TB) blaze.Config {
	uri, cluster := testnet.Loopback(t)
	return blaze.Config{BroadcastURI: uri, Cluster: cluster, FailureTimeout: 2 * time.Second}
}

func factory(t testing.TB, cfg blaze.Config, opts ...Option) *ConnectionFactory {
	t.Helper()
	f, err := NewConnectionFactory(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// connect makes a context that is closed when the test ends.
func connect(t testing.TB, f *ConnectionFactory, mode AckMode) *Context {
	t.Helper()
	c, err := f.CreateContext(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Logf("Close: %v", err)
		}
	})
	return c
}

// session makes another session of c's connection.
func another(t testing.TB, c *Context, mode AckMode) *Context {
	t.Helper()
	o, err := c.CreateContext(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func queue(t testing.TB, c *Context, name string) *Queue {
	t.Helper()
	q, err := c.Queue(name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func topicOf(t testing.TB, c *Context, name string) *Topic {
	t.Helper()
	d, err := c.Topic(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func consume(t testing.TB, c *Context, d Destination, opts ...ConsumerOption) *Consumer {
	t.Helper()
	k, err := c.Consumer(d, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func send(t testing.TB, p *Producer, d Destination, s string) *Message {
	t.Helper()
	m := NewTextMessage(s)
	if err := p.Send(within(t, patience), d, m); err != nil {
		t.Fatalf("sending %q to %v: %v", s, d, err)
	}
	return m
}

func receive(t testing.TB, k *Consumer) *Message {
	t.Helper()
	m, err := k.Receive(within(t, patience))
	if err != nil {
		t.Fatalf("receiving from %v: %v", k.d, err)
	}
	return m
}

// receiveText receives a text, which must be want.
func receiveText(t testing.TB, k *Consumer, want string) *Message {
	t.Helper()
	m := receive(t, k)
	if s, err := m.Text(); err != nil || s != want {
		t.Fatalf("received %q, %v; want %q", s, err, want)
	}
	return m
}

// nothing holds that k receives nothing for a while.
func nothing(t testing.TB, k *Consumer) {
	t.Helper()
	m, err := k.Receive(within(t, 30*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("received %+v, %v; want nothing", m, err)
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come to be", what)
		}
	}
}

// heard waits until the channel of f has n receivers of what it publishes on a topic.
func heard(t testing.TB, f *ConnectionFactory, topic string, n int) {
	t.Helper()
	p, err := f.shared.g.Publisher(topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReceivers(within(t, patience), n); err != nil {
		t.Fatal(err)
	}
}

func headerOf(m *blaze.Message, b []byte) { reach.Blaze.SetHeader(m, b) }
