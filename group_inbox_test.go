package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/activeblaze/blaze"
)

// soon is a context for calls that take microseconds when all is well.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// two makes two members that see each other.
func two(t testing.TB, cfg blaze.Config) (a, b *blaze.GroupChannel) {
	t.Helper()
	a, b = inGroup(t, "a", cfg), inGroup(t, "b", cfg)
	waitMembers(t, 2, a, b)
	return a, b
}

func text(m *blaze.Message) string {
	if m == nil {
		return "<nil>"
	}
	s, _ := m.Text()
	return s
}

// echo has g answer the requests to its default in-box, where messages may come too.
func echo(t testing.TB, g *blaze.GroupChannel) {
	t.Helper()
	_, err := g.HandleInbox("", func(m *blaze.Message) {
		if err := g.Reply(context.Background(), m, blaze.NewTextMessage("re: "+text(m))); err != nil && !errors.Is(err, blaze.ErrClosed) && !errors.Is(err, blaze.ErrNoReply) {
			t.Errorf("Reply: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is sent arrives in order, once, with what is known of it; a request has its reply.
func TestSendAndRequest(t *testing.T) {
	a, b := two(t, testConfig(t))
	got := make(chan *blaze.Message, 100)
	if _, err := b.HandleInbox("orders", func(m *blaze.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	echo(t, b)
	ctx := soon(t)
	for i := range 100 {
		if err := a.SendInbox(ctx, b.ID(), "orders", blaze.NewTextMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	last := uint64(0)
	for i := range 100 {
		m := next(t, got, "message")
		if text(m) != fmt.Sprint(i) || m.From() != a.ID() || m.Topic() != "orders" || m.Sequence() <= last || m.Redelivered() {
			t.Fatalf("message %d: %v from %v topic %q sequence %d", i, m, m.From(), m.Topic(), m.Sequence())
		}
		last = m.Sequence()
	}
	for i := range 100 {
		m, err := a.Request(ctx, b.ID(), blaze.NewTextMessage(fmt.Sprint(i)))
		if err != nil || text(m) != fmt.Sprint("re: ", i) || m.From() != b.ID() {
			t.Fatalf("request %d: %v, %v", i, m, err)
		}
	}
}

// A member sends to itself and asks itself.
func TestSendToOneself(t *testing.T) {
	a := inGroup(t, "a", testConfig(t))
	echo(t, a)
	got := make(chan *blaze.Message, 1)
	a.HandleInbox("box", func(m *blaze.Message) { got <- m })
	ctx := soon(t)
	if err := a.SendInbox(ctx, a.ID(), "box", blaze.NewTextMessage("x")); err != nil {
		t.Fatal(err)
	}
	if m := next(t, got, "message"); text(m) != "x" || m.From() != a.ID() {
		t.Errorf("%v from %v", m, m.From())
	}
	if m, err := a.Request(ctx, a.ID(), blaze.NewTextMessage("y")); err != nil || text(m) != "re: y" || m.From() != a.ID() {
		t.Errorf("%v, %v", m, err)
	}
	done := make(chan string, 1)
	a.Consume("q", func(m *blaze.Message) error { done <- text(m); return nil })
	if err := a.Enqueue(ctx, "q", blaze.NewTextMessage("z")); err != nil || next(t, done, "handling") != "z" {
		t.Error(err)
	}
}

// A queue's messages are handled once each, by consumers of both members. An item goes to whoever has the least to do, so a
// consumer whose thread is off its CPU rightly gets few: each waits, after some, until the other has handled as many.
func TestQueueOfTwoMembers(t *testing.T) {
	a, b := two(t, testConfig(t))
	const n, some = 200, 12
	type handled struct{ by, text string }
	got := make(chan handled, 1000)
	enough := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{})}
	for name, g := range map[string]*blaze.GroupChannel{"a": a, "b": b} {
		other, count := map[string]string{"a": "b", "b": "a"}[name], 0
		if _, err := g.Consume("work", func(m *blaze.Message) error {
			if count++; count == some {
				close(enough[name])
			} else if count > some {
				<-enough[other]
			}
			got <- handled{name, text(m)}
			if m.Topic() != "work" || m.Redelivered() {
				t.Errorf("%v: topic %q, redelivered %v", m, m.Topic(), m.Redelivered())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := soon(t)
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- a.Enqueue(ctx, "work", blaze.NewTextMessage(fmt.Sprint(i))) }()
	}
	for range n {
		if err := next(t, errs, "end of Enqueue"); err != nil {
			t.Fatal(err)
		}
	}
	by, seen := map[string]int{}, map[string]bool{}
	for range n {
		h := next(t, got, "handling")
		by[h.by]++
		if seen[h.text] {
			t.Errorf("%s twice", h.text)
		}
		seen[h.text] = true
	}
	if by["a"] < some || by["b"] < some || by["a"]+by["b"] != n {
		t.Errorf("handled: %v", by)
	}
}

// Payloads without Messages, to an Inline handler and to one with a queue.
func TestRequestPayload(t *testing.T) {
	a, b := two(t, testConfig(t))
	for name, opts := range map[string][]blaze.SubscribeOption{"inline": {blaze.Inline()}, "queued": nil} {
		_, err := b.HandleCalls(name, func(c *blaze.Call) {
			if !c.Wanted || c.From != a.ID() || c.Kind != blaze.KindRaw {
				t.Errorf("call: %+v", c)
			}
			if err := c.Reply(append([]byte("re: "), c.Payload...)); err != nil {
				t.Errorf("Reply: %v", err)
			}
			if err := c.Reply(nil); !errors.Is(err, blaze.ErrExists) {
				t.Errorf("second Reply: %v", err)
			}
		}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		ctx := soon(t)
		for i := range 50 {
			reply, err := a.RequestPayload(ctx, b.ID(), name, []byte(fmt.Sprint(i)), []byte("> "))
			if err != nil || string(reply) != fmt.Sprint("> re: ", i) {
				t.Fatalf("%s %d: %q, %v", name, i, reply, err)
			}
		}
	}
}
