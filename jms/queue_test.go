package jms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A temporary queue takes messages of everybody, and gives them to its own connection.
func TestTemporaryQueue(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	c, o := connect(t, factory(t, cfg), AutoAcknowledge), connect(t, factory(t, cfg), AutoAcknowledge)
	q, err := c.TemporaryQueue()
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	if err := o.conn.channel().WaitMembers(ctx, 2); err != nil {
		t.Fatal(err)
	}
	m := NewMessage()
	m.SetReplyTo(q)
	to, err := parseDestination(m.header.ReplyTo) // as it travels
	if err != nil {
		t.Fatal(err)
	}
	p := o.Producer()
	for i := range 6 {
		m := NewTextMessage(fmt.Sprint(i))
		_ = m.SetProperty("odd", i%2 == 1)
		if err := p.Send(ctx, to, m); err != nil {
			t.Fatal(err)
		}
	}
	odd := consume(t, another(t, c, AutoAcknowledge), q, Selector("odd"))
	all := consume(t, c, q)
	for _, want := range []string{"1", "3", "5"} {
		receiveText(t, odd, want)
	}
	for _, want := range []string{"0", "2", "4"} {
		if m := receiveText(t, all, want); m.Destination() != Destination(q) || m.From() != o.conn.channel().ID() {
			t.Errorf("it came from %v, %v", m.Destination(), m.From())
		}
	}
	if m, err := all.ReceiveNoWait(); m != nil || err != nil {
		t.Errorf("ReceiveNoWait of an empty queue: %v, %v", m, err)
	}
	for _, d := range []Destination{q, to} {
		if _, err := o.Consumer(d); !errors.Is(err, ErrInvalidDestination) {
			t.Errorf("another connection consumes from %v: %v", d, err)
		}
		if err := o.DeleteTemporaryQueue(d.(*TemporaryQueue)); !errors.Is(err, ErrInvalidDestination) {
			t.Errorf("another connection deletes %v: %v", d, err)
		}
	}
	if err := c.DeleteTemporaryQueue(q); !errors.Is(err, ErrIllegalState) {
		t.Errorf("deleted beside its consumers: %v", err)
	}
	for _, k := range []*Consumer{odd, all} {
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DeleteTemporaryQueue(q); err != nil {
		t.Fatal(err)
	}
	if len(c.temps) != 0 {
		t.Errorf("the context keeps %d temporary queues that are gone", len(c.temps))
	}
	if err := p.SendText(ctx, to, "late"); !errors.Is(err, ErrInvalidDestination) || !errors.Is(err, blaze.ErrNoConsumer) {
		t.Errorf("sending to a queue that is gone: %v", err)
	}
	nobody := &TemporaryQueue{member: blaze.MemberID{1}, number: 1}
	if err := p.SendText(ctx, nobody, "x"); !errors.Is(err, ErrInvalidDestination) || !errors.Is(err, blaze.ErrNoSuchMember) {
		t.Errorf("sending to a member that nobody is: %v", err)
	}
}

// Request and reply through a direct queue.
func TestRequest(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	client, server := connect(t, factory(t, cfg), AutoAcknowledge), connect(t, factory(t, cfg), AutoAcknowledge)
	q := queue(t, client, "adder?direct=true")
	k := consume(t, server, q)
	answers := server.Producer()
	if err := k.Listen(func(m *Message) {
		s, _ := m.Text()
		if s == "silent" {
			return
		}
		reply := NewTextMessage("re: " + s)
		reply.SetCorrelationID(m.MessageID())
		if err := answers.Send(context.Background(), m.ReplyTo(), reply); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	p := client.Producer().SetDeliveryMode(NonPersistent)
	for i := range 20 {
		m, err := p.Request(within(t, patience), q, NewTextMessage(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := m.Text(); s != fmt.Sprint("re: ", i) {
			t.Errorf("request %d: %q", i, s)
		}
	}
	if _, err := p.Request(within(t, 30*time.Millisecond), q, NewTextMessage("silent")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody replied: %v", err)
	}
	// A reply that comes after its request has ended is not the next one's.
	late := NewTextMessage("late")
	late.SetCorrelationID("ID:of another request")
	if err := client.Producer().Send(within(t, patience), client.replies.queue, late); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Request(within(t, patience), q, NewTextMessage("x")); err != nil {
		t.Fatal(err)
	} else if s, _ := m.Text(); s != "re: x" {
		t.Errorf("the reply is %q", s)
	}
	if p.replyTo != nil {
		t.Error("Request left its reply queue with the producer")
	}
}

// A direct queue hands each message to one consumer, in the order of its sender, and again after Recover.
func TestDirectQueue(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	c, o := connect(t, factory(t, cfg), AutoAcknowledge), connect(t, factory(t, cfg), ClientAcknowledge)
	q := queue(t, c, "direct?direct=true")
	if !q.Direct() || q.Name() != "direct" || q.String() != "queue:direct" {
		t.Errorf("%v, direct %t", q, q.Direct())
	}
	p := c.Producer().SetDeliveryMode(NonPersistent)
	for i := range 50 {
		send(t, p, q, fmt.Sprint(i)) // nobody consumes yet: they wait in the sender
	}
	k := consume(t, o, q)
	for i := range 50 {
		m := receiveText(t, k, fmt.Sprint(i))
		if i == 7 {
			if err := o.Recover(); err != nil {
				t.Fatal(err)
			}
			if m = receiveText(t, k, "7"); !m.Redelivered() {
				t.Error("after Recover it is not marked redelivered")
			}
		}
		if err := m.Acknowledge(); err != nil {
			t.Fatal(err)
		}
	}
	nothing(t, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	// What nobody has consumed is in Close's error.
	short := cfg
	short.Linger = 20 * time.Millisecond
	alone, err := factory(t, short).CreateContext(AutoAcknowledge)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		send(t, alone.Producer().SetDeliveryMode(NonPersistent), q, "unsent")
	}
	if err := alone.Close(); err == nil || !strings.Contains(err.Error(), "3 messages of direct queues") {
		t.Errorf("Close: %v", err)
	}
}

// With DirectBuffer messages under way Send waits.
func TestDirectBuffer(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Linger = 10 * time.Millisecond
	c := connect(t, factory(t, cfg, DirectBuffer(2)), AutoAcknowledge)
	q := queue(t, c, "buffer?direct=true")
	p := c.Producer().SetDeliveryMode(NonPersistent)
	send(t, p, q, "1")
	send(t, p, q, "2")
	if err := p.SendText(within(t, 20*time.Millisecond), q, "3"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third one: %v", err)
	}
	k := consume(t, another(t, c, AutoAcknowledge), q)
	receiveText(t, k, "1")
	send(t, p, q, "4")
	receiveText(t, k, "2")
	receiveText(t, k, "4")
}

// What a direct queue does not do is an error that says so.
func TestDirectRefuses(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	tx := another(t, c, Transacted)
	q := queue(t, c, "direct?direct=true")
	ctx := within(t, patience)
	non := func(c *Context) *Producer { return c.Producer().SetDeliveryMode(NonPersistent) }
	_, selects := c.Consumer(q, Selector("a = 1"))
	_, transacts := tx.Consumer(q)
	for why, err := range map[string]error{
		"persistent":           c.Producer().SendText(ctx, q, "x"),
		"priority":             non(c).SetPriority(5).SendText(ctx, q, "x"),
		"delay":                non(c).SetDeliveryDelay(time.Second).SendText(ctx, q, "x"),
		"a transaction":        non(tx).SendText(ctx, q, "x"),
		"a selector":           selects,
		"a transacted session": transacts,
	} {
		if !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(err.Error(), "direct") {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// Completions of SendAsync come in order, one at a time; with AsyncWindow under way it waits.
func TestSendAsync(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t), AsyncWindow(4)), AutoAcknowledge)
	d := topicOf(t, c, "async")
	k := consume(t, another(t, c, AutoAcknowledge), d)
	p := c.Producer()
	var mu sync.Mutex
	var order []string
	held := make(chan struct{})
	for i := range 4 {
		if err := p.SendAsync(within(t, patience), d, NewTextMessage(fmt.Sprint(i)), func(m *Message, err error) {
			if i == 0 {
				<-held
			}
			mu.Lock()
			defer mu.Unlock()
			s, _ := m.Text()
			order = append(order, fmt.Sprint(s, err))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SendAsync(within(t, 20*time.Millisecond), d, NewMessage(), func(*Message, error) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fifth one: %v", err)
	}
	close(held)
	eventually(t, "four completions", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 4 })
	if s := fmt.Sprint(order); s != "[0<nil> 1<nil> 2<nil> 3<nil>]" {
		t.Errorf("completions: %s", s)
	}
	for i := range 4 {
		receiveText(t, k, fmt.Sprint(i))
	}
	// Commit and Rollback wait for completions, and are refused in one.
	tx := another(t, c, Transacted)
	for name, end := range map[string]func(context.Context) error{"Commit": tx.Commit, "Rollback": tx.Rollback} {
		gate, inside := make(chan struct{}), make(chan error, 1)
		err := tx.Producer().SendAsync(within(t, patience), d, NewTextMessage("tx"), func(*Message, error) {
			<-gate
			inside <- end(within(t, patience))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := end(within(t, 20*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s beside a completion: %v", name, err)
		}
		close(gate)
		if err := <-inside; !errors.Is(err, ErrIllegalState) {
			t.Errorf("%s by a completion: %v", name, err)
		}
		if err := end(within(t, patience)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "Commit" {
			receiveText(t, k, "tx")
		}
	}
	nothing(t, k)
	// The error of one that cannot be sent at once is the call's own.
	if err := p.SendAsync(within(t, patience), nil, NewMessage(), func(*Message, error) { t.Error("completed") }); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("to nil: %v", err)
	}
	// Close waits for what is under way.
	late := make(chan error, 1)
	o := another(t, c, AutoAcknowledge)
	if err := o.Producer().SendAsync(within(t, patience), d, NewTextMessage("late"), func(_ *Message, err error) { time.Sleep(10 * time.Millisecond); late <- err }); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil || len(late) != 1 {
		t.Errorf("Close: %v, with %d completions", err, len(late))
	}
}
