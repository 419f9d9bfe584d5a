package jms

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// The listeners of a session run one at a time; each gets its consumer's messages in order.
func TestListeners(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	sender := another(t, c, AutoAcknowledge)
	var running atomic.Int32
	got := make(chan string, 200)
	var topics []*Topic
	for i := range 3 {
		d := topicOf(t, c, fmt.Sprint("listen.", i))
		topics = append(topics, d)
		k := consume(t, c, d)
		if err := k.Listen(func(m *Message) {
			if n := running.Add(1); n != 1 {
				t.Errorf("%d listeners run at a time", n)
			}
			defer running.Add(-1)
			s, _ := m.Text()
			got <- fmt.Sprint(i, ":", s)
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Receive(within(t, patience)); !errors.Is(err, ErrIllegalState) {
			t.Errorf("Receive beside a listener: %v", err)
		}
		if _, err := k.ReceiveNoWait(); !errors.Is(err, ErrIllegalState) {
			t.Errorf("ReceiveNoWait beside a listener: %v", err)
		}
	}
	p := sender.Producer()
	for n := range 20 {
		for _, d := range topics {
			send(t, p, d, fmt.Sprint(n))
		}
	}
	next := map[byte]int{}
	for range 60 {
		select {
		case s := <-got:
			if s[2:] != fmt.Sprint(next[s[0]]) {
				t.Errorf("listener %c received %s, want %d", s[0], s[2:], next[s[0]])
			}
			next[s[0]]++
		case <-time.After(patience):
			t.Fatal("no message")
		}
	}
}

// A listener uses its own context; when it has ended, Receive is allowed again.
func TestListenerUsesItsContext(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	in, out := topicOf(t, c, "in"), topicOf(t, c, "out")
	k := consume(t, c, in)
	o := another(t, c, AutoAcknowledge)
	answers := consume(t, o, out)
	p := c.Producer()
	recovered := false
	if err := k.Listen(func(m *Message) {
		s, _ := m.Text()
		if s == "again" && !recovered {
			recovered = true
			if err := c.Recover(); err != nil {
				t.Error(err)
			}
			return
		}
		if err := p.SendText(context.Background(), out, fmt.Sprint(s, m.DeliveryCount())); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	send(t, o.Producer(), in, "a")
	receiveText(t, answers, "a1")
	send(t, o.Producer(), in, "again")
	receiveText(t, answers, "again2")
	if err := k.Listen(nil); err != nil {
		t.Fatal(err)
	}
	send(t, o.Producer(), in, "b")
	receiveText(t, k, "b")
	// Close from within a listener does not wait for it.
	done := make(chan error, 1)
	if err := k.Listen(func(*Message) { done <- c.Close() }); err != nil {
		t.Fatal(err)
	}
	send(t, o.Producer(), in, "c")
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close by a listener does not return")
	}
}

// Close, of the consumer or of its context, ends a Receive that waits within 10 ms: the quickest of a few, since a host
// that has other things to do lets one wait.
func TestCloseWhileReceiveWaits(t *testing.T) {
	for _, what := range []string{"consumer", "context"} {
		c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
		keep := another(t, c, AutoAcknowledge) // the channel goes on: its Stop is not what is measured
		for name, d := range map[string]Destination{"topic": topicOf(t, keep, "waits"), "direct": queue(t, keep, "waits?direct=true")} {
			least := time.Duration(math.MaxInt64)
			for try := 0; try < 5 && least > 10*time.Millisecond; try++ {
				s := another(t, keep, AutoAcknowledge)
				k := consume(t, s, d)
				ended := make(chan error, 1)
				began := make(chan struct{})
				go func() { close(began); _, err := k.Receive(context.Background()); ended <- err }()
				<-began
				time.Sleep(5 * time.Millisecond)
				start := time.Now()
				var err error
				if what == "consumer" {
					err = k.Close()
				} else {
					err = s.Close()
				}
				if least = min(least, time.Since(start)); err != nil {
					t.Errorf("%s, %s: Close: %v", what, name, err)
				}
				if err := <-ended; !errors.Is(err, ErrIllegalState) || !errors.Is(err, blaze.ErrClosed) {
					t.Errorf("%s, %s: Receive returned %v", what, name, err)
				}
			}
			if least > 10*time.Millisecond {
				t.Errorf("%s, %s: Close took %v", what, name, least)
			}
		}
	}
}

// The API used wrongly: each is a documented error, none a panic.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	f := factory(t, cfg)
	c := connect(t, f, AutoAcknowledge)
	client, tx := another(t, c, ClientAcknowledge), another(t, c, Transacted)
	d := topicOf(t, c, "wrong")
	ctx := within(t, patience)
	closed, err := f.CreateContext(AutoAcknowledge)
	if err != nil {
		t.Fatal(err)
	}
	closedConsumer, closedProducer := consume(t, closed, d), closed.Producer()
	foreign, err := closed.TemporaryQueue()
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	gone := consume(t, c, d)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Errorf("a second Close of a consumer: %v", err)
	}
	if err := closed.Close(); err != nil {
		t.Errorf("a second Close of a context: %v", err)
	}
	second := func(_ any, err error) error { return err }
	async := NewMessage()
	async.sending.Store(true)
	again := NewTextMessage("twice")
	if err := c.Producer().Send(ctx, d, again); err != nil {
		t.Fatal(err)
	}
	firstID := again.MessageID()
	rows := []struct {
		what string
		err  error
		is   error
	}{
		{"use after Close: Send", closedProducer.SendText(ctx, d, "x"), ErrIllegalState},
		{"use after Close: Send, as the core's", closedProducer.SendText(ctx, d, "x"), blaze.ErrClosed},
		{"use after Close: Receive", second(closedConsumer.Receive(ctx)), ErrIllegalState},
		{"use after Close: ReceiveNoWait", second(closedConsumer.ReceiveNoWait()), ErrIllegalState},
		{"use after Close: Listen", closedConsumer.Listen(func(*Message) {}), ErrIllegalState},
		{"use after Close: Consumer", second(closed.Consumer(d)), ErrIllegalState},
		{"use after Close: CreateContext", second(closed.CreateContext(AutoAcknowledge)), ErrIllegalState},
		{"use after Close: Queue", second(closed.Queue("q")), ErrIllegalState},
		{"use after Close: Topic", second(closed.Topic("t")), ErrIllegalState},
		{"use after Close: TemporaryQueue", second(closed.TemporaryQueue()), ErrIllegalState},
		{"use after Close: TemporaryTopic", second(closed.TemporaryTopic()), ErrIllegalState},
		{"use after Close: Commit", closed.Commit(ctx), ErrIllegalState},
		{"use after Close: Acknowledge", closed.Acknowledge(), ErrIllegalState},
		{"use after Close: SetClientID", closed.SetClientID("x"), ErrIllegalState},
		{"use after Close: SendAsync", closedProducer.SendAsync(ctx, d, NewMessage(), func(*Message, error) {}), ErrIllegalState},
		{"use after Close: Request", second(closedProducer.Request(ctx, d, NewMessage())), ErrIllegalState},
		{"a closed consumer of an open context", second(gone.Receive(ctx)), blaze.ErrClosed},
		{"Commit without a transaction", c.Commit(ctx), ErrIllegalState},
		{"Rollback without a transaction", client.Rollback(ctx), ErrIllegalState},
		{"Recover in a transaction", tx.Recover(), ErrIllegalState},
		{"Acknowledge in AUTO", c.Acknowledge(), ErrIllegalState},
		{"Acknowledge in a transaction", tx.Acknowledge(), ErrIllegalState},
		{"Acknowledge of a message that was not received", NewMessage().Acknowledge(), ErrIllegalState},
		{"Request in a transaction", second(tx.Producer().Request(ctx, d, NewMessage())), ErrIllegalState},
		{"Request without ids", second(c.Producer().SetDisableMessageID(true).Request(ctx, d, NewMessage())), ErrIllegalState},
		{"a temporary queue of another connection", second(c.Consumer(foreign)), ErrInvalidDestination},
		{"clientID changed after use", c.SetClientID("late"), ErrIllegalState},
		{"an empty clientID", c.SetClientID(""), blaze.ErrArgument},
		{"priority 11", c.Producer().SetPriority(11).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"priority -1", c.Producer().SetPriority(-1).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"priority 11, then 5", c.Producer().SetPriority(11).SetPriority(5).SendText(ctx, d, "x"), nil},
		{"TTL below 0", c.Producer().SetTimeToLive(-1).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"TTL of 300 years", c.Producer().SetTimeToLive(1<<63-1).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"delay below 0", c.Producer().SetDeliveryDelay(-1).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"delay beyond the TTL", c.Producer().SetTimeToLive(time.Second).SetDeliveryDelay(2*time.Second).SendText(ctx, queue(t, c, "q"), "x"), blaze.ErrArgument},
		{"a delay to a topic", c.Producer().SetDeliveryDelay(time.Second).SendText(ctx, d, "x"), blaze.ErrUnsupported},
		{"a delay to a temporary queue", c.Producer().SetDeliveryDelay(time.Second).SendText(ctx, foreign, "x"), blaze.ErrUnsupported},
		{"delivery mode 7", c.Producer().SetDeliveryMode(7).SendText(ctx, d, "x"), blaze.ErrArgument},
		{"a bad property of the producer", c.Producer().SetProperty("a b", 1).SendText(ctx, d, "x"), ErrMessageFormat},
		{"a bad property of the producer, cleared", c.Producer().SetProperty("a b", 1).ClearProperties().SendText(ctx, d, "x"), nil},
		{"a message that SendAsync has", c.Producer().Send(ctx, d, async), ErrIllegalState},
		{"a message sent twice", c.Producer().Send(ctx, d, again), nil},
		{"a nil message", c.Producer().Send(ctx, d, nil), blaze.ErrArgument},
		{"Request of a nil message", second(c.Producer().Request(ctx, d, nil)), blaze.ErrArgument},
		{"SendAsync without a function", c.Producer().SendAsync(ctx, d, NewMessage(), nil), blaze.ErrArgument},
		{"to nil", c.Producer().SendText(ctx, nil, "x"), ErrInvalidDestination},
		{"to a nil topic", c.Producer().SendText(ctx, (*Topic)(nil), "x"), ErrInvalidDestination},
		{"to a nil queue", c.Producer().SendText(ctx, (*Queue)(nil), "x"), ErrInvalidDestination},
		{"to a nil temporary queue", c.Producer().SendText(ctx, (*TemporaryQueue)(nil), "x"), ErrInvalidDestination},
		{"to a nil temporary topic", c.Producer().SendText(ctx, (*TemporaryTopic)(nil), "x"), ErrInvalidDestination},
		{"to a queue that nobody named", c.Producer().SendText(ctx, &Queue{}, "x"), ErrInvalidDestination},
		{"to a pattern", c.Producer().SendText(ctx, topicOf(t, c, "a.*"), "x"), ErrInvalidDestination},
		{"from nil", second(c.Consumer(nil)), ErrInvalidDestination},
		{"from a nil topic", second(c.Consumer((*Topic)(nil))), ErrInvalidDestination},
		{"from a nil queue", second(c.Consumer((*Queue)(nil))), ErrInvalidDestination},
		{"from a queue that nobody named", second(c.Consumer(&Queue{})), ErrInvalidDestination},
		{"a nil option", second(c.Consumer(d, nil)), blaze.ErrArgument},
		{"acknowledge mode 9", second(c.CreateContext(9)), blaze.ErrArgument},
		{"acknowledge mode 9 of a factory", second(f.CreateContext(9)), blaze.ErrArgument},
		{"a queue with a name of 256 bytes", second(c.Queue(string(make([]byte, 256)))), ErrInvalidDestination},
		{"a queue without a name", second(c.Queue("?direct=true")), ErrInvalidDestination},
		{"a queue with a control character", second(c.Queue("a\x00b")), ErrInvalidDestination},
		{"a queue that is not UTF-8", second(c.Queue("\xff")), ErrInvalidDestination},
		{"a queue with spaces and quotes", second(c.Queue(`my "own" queue's`)), nil},
		{"a queue with a reserved name", second(c.Queue("blaze.x")), ErrInvalidDestination},
		{"a queue with an unknown option", second(c.Queue("q?durable=true")), ErrInvalidDestination},
		{"a queue with a bad option", second(c.Queue("q?direct=maybe")), ErrInvalidDestination},
		{"a topic without a name", second(c.Topic("")), ErrInvalidDestination},
		{"a topic with an empty element", second(c.Topic("a..b")), ErrInvalidDestination},
		{"a topic, as the core's", second(c.Topic("a..b")), blaze.ErrTopic},
	}
	for _, row := range rows {
		if row.is == nil && row.err != nil || row.is != nil && !errors.Is(row.err, row.is) {
			t.Errorf("%s: %v, want %v", row.what, row.err, row.is)
		}
	}
	if firstID == "" || again.MessageID() == firstID {
		t.Errorf("a message sent twice has id %q, after %q", again.MessageID(), firstID)
	}
	if err := connect(t, factory(t, cfg, ClientID("first")), AutoAcknowledge).SetClientID("second"); !errors.Is(err, ErrIllegalState) {
		t.Errorf("a second client id: %v", err)
	}
}

// Goroutines that use a context at the same time get errors, not races. Close may come from anywhere.
func TestTwoGoroutines(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	keep := another(t, c, AutoAcknowledge)
	d := topicOf(t, c, "two")
	k := consume(t, c, d)
	p := c.Producer()
	waiting := make(chan error, 1)
	go func() { _, err := k.Receive(context.Background()); waiting <- err }()
	eventually(t, "a Receive that waits", func() bool {
		c.guard.mu.Lock()
		defer c.guard.mu.Unlock()
		return c.guard.owner != 0
	})
	second := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"Send": p.SendText(within(t, patience), d, "x"), "Receive": second(k.Receive(within(t, patience))), "Consumer": second(c.Consumer(d)),
		"Acknowledge": c.Acknowledge(), "Recover": c.Recover(), "Commit": c.Commit(within(t, patience)), "Listen": k.Listen(func(*Message) {}),
		"SendAsync": p.SendAsync(within(t, patience), d, NewMessage(), func(*Message, error) {}), "Request": second(p.Request(within(t, patience), d, NewMessage())),
	} {
		if !errors.Is(err, ErrIllegalState) || errors.Is(err, blaze.ErrClosed) {
			t.Errorf("%s beside a Receive: %v", what, err)
		}
	}
	send(t, keep.Producer(), d, "x")
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	// Many at once: each call succeeds or is refused.
	var wait sync.WaitGroup
	var sent, refused atomic.Int32
	for range 4 {
		wait.Go(func() {
			for range 50 {
				switch err := p.SendText(context.Background(), d, "y"); {
				case err == nil:
					sent.Add(1)
				case errors.Is(err, ErrIllegalState):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if sent.Load()+refused.Load() != 200 || sent.Load() == 0 {
		t.Errorf("%d sent, %d refused", sent.Load(), refused.Load())
	}
	for range sent.Load() {
		receiveText(t, k, "y")
	}
	nothing(t, k)
}

// A session that is made while the last one closes is of the same connection, which goes on, or is refused.
func TestCreateContextBesideClose(t *testing.T) {
	t.Parallel()
	f := factory(t, testConfig(t))
	keep := connect(t, f, AutoAcknowledge) // the channel goes on
	d := topicOf(t, keep, "beside")
	for range 200 {
		c, err := f.CreateContext(AutoAcknowledge)
		if err != nil {
			t.Fatal(err)
		}
		made := make(chan *Context, 1)
		go func() {
			o, err := c.CreateContext(AutoAcknowledge)
			if err != nil && !errors.Is(err, ErrIllegalState) {
				t.Error(err)
			}
			made <- o
		}()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if o := <-made; o != nil {
			if o.conn != c.conn {
				t.Error("another connection")
			}
			send(t, o.Producer(), d, "x")
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if f.shared.users != 1 {
			t.Fatalf("%d connections use the channel", f.shared.users)
		}
	}
}

// Contexts of a factory share one channel, which ends with the last of them; the next one starts another.
func TestSharedChannel(t *testing.T) {
	t.Parallel()
	f := factory(t, testConfig(t))
	a, b := connect(t, f, AutoAcknowledge), connect(t, f, AutoAcknowledge)
	o := another(t, a, Transacted)
	g := a.conn.channel()
	if b.conn.channel() != g || o.conn != a.conn || a.conn == b.conn || o.Mode() != Transacted {
		t.Error("the contexts do not share what they should")
	}
	for i, c := range []*Context{a, o, b} {
		if g.State() != blaze.Started {
			t.Fatalf("the channel is %v with %d contexts left", g.State(), 3-i)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if g.State() != blaze.Constructed {
		t.Errorf("the channel is %v", g.State())
	}
	if next := connect(t, f, AutoAcknowledge).conn.channel(); next == g || next.State() != blaze.Started {
		t.Errorf("the next channel is %v", next.State())
	}
	if m := a.MetaData(); m.JMSVersion != "3.1" || m.Provider != "Blaze" || len(m.JMSXPropertyNames) != 3 {
		t.Errorf("%+v", m)
	}
}
