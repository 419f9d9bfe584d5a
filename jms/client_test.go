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

// holders makes n factories of one cluster, each a holder, and a context of each.
func holders(t testing.TB, n int) (cfg blaze.Config, all []*Context) {
	cfg = testConfig(t)
	cfg.ExpectedMembers = n
	cfg.FailureTimeout = 300 * time.Millisecond
	cfg.Linger = 500 * time.Millisecond
	all = make([]*Context, n)
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			own := cfg
			own.Name = fmt.Sprint("holder", i)
			f, err := NewConnectionFactory(own, WithRole(Holder))
			if err == nil {
				all[i], err = f.CreateContext(AutoAcknowledge)
			}
			errs[i] = err
		})
	}
	wait.Wait()
	for _, c := range all {
		if c != nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	cfg.ExpectedMembers = 0
	return cfg, all
}

// Clients of a holder elsewhere.
func TestClients(t *testing.T) {
	t.Parallel()
	cfg, _ := holders(t, 1)
	a, b := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge), connect(t, factory(t, cfg, WithRole(Client)), Transacted)
	q := queue(t, a, "clients")
	p := a.Producer()
	for i := range 50 {
		send(t, p, q, fmt.Sprint(i))
	}
	k := consume(t, b, q)
	for i := range 50 {
		receiveText(t, k, fmt.Sprint(i))
	}
	out := queue(t, a, "answers")
	send(t, b.Producer(), out, "done")
	answers := consume(t, a, out)
	nothing(t, answers)
	if err := b.Commit(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	receiveText(t, answers, "done")
	nothing(t, k)
	big := make([]byte, 300_000)
	big[299_999] = 1
	if err := p.SendBytes(within(t, patience), q, big); err != nil {
		t.Fatal(err)
	}
	if got, err := receive(t, k).Bytes(); err != nil || len(got) != len(big) || got[299_999] != 1 {
		t.Errorf("a large message came as %d bytes, %v", len(got), err)
	}
	if a.conn.ch.own.Load() != nil || b.conn.ch.own.Load() != nil {
		t.Error("a client has become a holder")
	}
}

// With role Auto the first process holds, and the next one uses it.
func TestAuto(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	a := connect(t, factory(t, cfg, Wait(50*time.Millisecond)), AutoAcknowledge)
	q := queue(t, a, "auto")
	send(t, a.Producer(), q, "x")
	if a.conn.ch.own.Load() == nil {
		t.Fatal("the first process has not become a holder")
	}
	b := connect(t, factory(t, cfg, Wait(5*time.Second)), AutoAcknowledge)
	receiveText(t, consume(t, b, q), "x")
	if b.conn.ch.own.Load() != nil {
		t.Error("the second process has become a holder too")
	}
}

// The options of queues that a holder has hold for its clients.
func TestHolderOptions(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	connect(t, factory(t, cfg, WithRole(Holder), Queues("A"), QueueDepth("A", 1)), AutoAcknowledge)
	c := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	p := c.Producer().SetNoWait(true)
	if err := p.SendText(within(t, patience), queue(t, c, "B"), "x"); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("to another queue: %v", err)
	}
	send(t, p, queue(t, c, "A"), "x")
	if err := p.SendText(within(t, patience), queue(t, c, "A"), "y"); !errors.Is(err, ErrQueueFull) {
		t.Errorf("to a full queue: %v", err)
	}
}

// Without a holder a client gets ErrNotHeld when its ctx ends.
func TestNoHolder(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t), WithRole(Client)), AutoAcknowledge)
	c.OnException(func(err error) { t.Errorf("what the call returns is told too: %v", err) })
	if err := c.Producer().SendText(within(t, 50*time.Millisecond), queue(t, c, "q"), "x"); !errors.Is(err, ErrNotHeld) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send: %v", err)
	}
	// Another session that waits for longer does not hold this one up, and Close ends its wait.
	o := another(t, c, AutoAcknowledge)
	waits := make(chan error, 1)
	began := time.Now()
	go func() { waits <- o.Producer().SendText(within(t, 2*patience), queue(t, o, "q"), "x") }()
	eventually(t, "one that looks for a holder", func() bool { return len(c.conn.linking) == 1 })
	if err := c.Producer().SendText(within(t, 50*time.Millisecond), queue(t, c, "q"), "x"); !errors.Is(err, ErrNotHeld) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send beside one that waits: %v", err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waits; !errors.Is(err, ErrIllegalState) || !errors.Is(err, blaze.ErrClosed) || time.Since(began) > patience {
		t.Errorf("Send of a context that was closed: %v", err)
	}
	d := topicOf(t, c, "t") // topics need none
	k := consume(t, c, d)
	send(t, c.Producer(), d, "x")
	receiveText(t, k, "x")
}

// With messages that are too small for operations there are no held queues, and topics go on.
func TestSmallMessages(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.MaxMessageSize = minMessageSize - 1
	if _, err := factory(t, cfg, WithRole(Holder)).CreateContext(AutoAcknowledge); !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("a holder: %v", err)
	}
	c := connect(t, factory(t, cfg), AutoAcknowledge)
	if err := c.Producer().SendText(within(t, patience), queue(t, c, "q"), "x"); !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("Send: %v", err)
	}
	d := topicOf(t, c, "t")
	k := consume(t, c, d)
	send(t, c.Producer(), d, "x")
	receiveText(t, k, "x")
	cfg.MaxMessageSize = minMessageSize
	c = connect(t, factory(t, cfg, WithRole(Holder)), AutoAcknowledge)
	q := queue(t, c, "q")
	large := strings.Repeat("x", 1<<20)
	send(t, c.Producer(), q, large)
	receiveText(t, consume(t, c, q, Selector("x IS NULL OR x = '"+strings.Repeat("y", 60<<10)+"'")), large)
}

// holderOf is the holder that a client uses.
func holderOf(c *Context) blaze.MemberID {
	l := c.conn.linked()
	l.mu.Lock()
	defer l.mu.Unlock()
	m, _ := l.core.Holder()
	return blaze.MemberID(m)
}

// The holder that a client uses goes: its calls go on at another one, and nothing is lost or comes twice.
func TestFailOver(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds: it waits for failures to be noticed")
	}
	cfg, all := holders(t, 3)
	f := factory(t, cfg, WithRole(Client))
	c := connect(t, f, AutoAcknowledge)
	o := another(t, c, AutoAcknowledge)
	q := queue(t, c, "failover")
	k := consume(t, c, q)
	sent := make(chan error, 1)
	const messages = 400
	go func() {
		p := o.Producer()
		for i := range messages {
			if err := p.SendText(context.Background(), q, fmt.Sprint(i)); err != nil {
				sent <- fmt.Errorf("message %d: %w", i, err)
				return
			}
			time.Sleep(time.Millisecond)
		}
		sent <- nil
	}()
	var longest time.Duration
	for i := range messages {
		if i == 100 {
			to := holderOf(c)
			for _, h := range all {
				if h.conn.channel().ID() == to {
					go func() { _ = h.Close() }()
				}
			}
		}
		before := time.Now()
		receiveText(t, k, fmt.Sprint(i))
		longest = max(longest, time.Since(before))
	}
	t.Logf("the longest wait for a message was %v", longest)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	nothing(t, k)
}

// The end of a client gives back what it has not acknowledged, and drops what it has not committed.
func TestClientGone(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	f := factory(t, cfg, WithRole(Client))
	c, err := f.CreateContext(Transacted)
	if err != nil {
		t.Fatal(err)
	}
	keep := all[0]
	q := queue(t, c, "gone")
	send(t, keep.Producer(), q, "1")
	receiveText(t, consume(t, c, q), "1")
	send(t, c.Producer(), q, "never")
	// The channel stops under the context, as if the process had been killed.
	if err := c.conn.channel().Shutdown(); err != nil {
		t.Logf("Shutdown: %v", err)
	}
	k := consume(t, keep, q)
	if m := receiveText(t, k, "1"); !m.Redelivered() {
		t.Error("it is not marked redelivered")
	}
	nothing(t, k)
	_ = c.Close()
}

// A durable subscription keeps what is published while its consumer is away.
func TestDurableSubscription(t *testing.T) {
	t.Parallel()
	cfg, _ := holders(t, 1)
	pub := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	f := factory(t, cfg, WithRole(Client), ClientID("desk"))
	c := connect(t, f, AutoAcknowledge)
	d := topicOf(t, c, "news.sport")
	k, err := c.DurableConsumer(d, "all", Selector("goals > 0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := another(t, c, AutoAcknowledge).DurableConsumer(d, "all", Selector("goals > 0")); !errors.Is(err, ErrIllegalState) {
		t.Errorf("a second consumer: %v", err)
	}
	if err := c.Unsubscribe("all"); !errors.Is(err, ErrIllegalState) {
		t.Errorf("Unsubscribe with a consumer open: %v", err)
	}
	p := pub.Producer()
	goals := func(n int) {
		t.Helper()
		if err := p.SetProperty("goals", n).SendText(within(t, patience), d, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the publisher sees the holder", func() bool { return len(pub.conn.channel().MembersOf(holderGroup)) == 1 })
	goals(1)
	receiveText(t, k, "1")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		goals(n % 3)
	}
	c = connect(t, f, AutoAcknowledge)
	if k, err = c.DurableConsumer(d, "all", Selector("goals > 0")); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		receiveText(t, k, "1")
		receiveText(t, k, "2")
	}
	nothing(t, k)
	// What is not persistent comes by the master, as far as it receives it.
	p.SetDeliveryMode(NonPersistent)
	eventually(t, "a message that is not persistent", func() bool {
		goals(7)
		m, _ := k.Receive(within(t, 50*time.Millisecond))
		return m != nil && m.DeliveryMode() == NonPersistent
	})
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Unsubscribe", func() bool { return c.Unsubscribe("all") == nil })
	if err := c.Unsubscribe("all"); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("a second Unsubscribe: %v", err)
	}
	if _, err := pub.DurableConsumer(d, "x"); !errors.Is(err, ErrIllegalState) {
		t.Errorf("without a client id: %v", err)
	}
}

// The consumers of a shared subscription share its messages; it ends with the last of them, unless it is durable.
func TestSharedSubscription(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), AutoAcknowledge)
	d := topicOf(t, c, "shared")
	for _, durable := range []bool{false, true} {
		var all []*Consumer
		open := func() {
			s := another(t, c, AutoAcknowledge)
			k, err := s.SharedConsumer(d, "s")
			if durable {
				k, err = s.SharedDurableConsumer(d, "s")
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, k)
		}
		for range 3 {
			open()
		}
		p := c.Producer()
		for i := range 9 {
			send(t, p, d, fmt.Sprint(i))
		}
		for i := range 9 {
			receiveText(t, all[i%3], fmt.Sprint(i))
		}
		for _, k := range all {
			nothing(t, k)
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
		}
		send(t, p, d, "away")
		all = nil
		open()
		if durable {
			receiveText(t, all[0], "away")
		}
		nothing(t, all[0])
		if err := all[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A transaction's messages to topics reach durable subscriptions with the commit.
func TestTransactedSubscription(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), Transacted)
	if err := c.SetClientID("tx"); err != nil {
		t.Fatal(err)
	}
	d := topicOf(t, c, "tx.topic")
	o := another(t, c, AutoAcknowledge)
	k, err := o.DurableConsumer(d, "s")
	if err != nil {
		t.Fatal(err)
	}
	live := consume(t, another(t, c, AutoAcknowledge), d)
	send(t, c.Producer(), d, "no")
	if err := c.Rollback(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	send(t, c.Producer(), d, "yes")
	nothing(t, k)
	if err := c.Commit(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	receiveText(t, k, "yes")
	receiveText(t, live, "yes")
	nothing(t, k)
	nothing(t, live)
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), AutoAcknowledge)
	q := queue(t, c, "browse")
	b, err := c.Browser(q)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range b.All() {
		t.Errorf("an empty queue has %v, %v", m, err)
	}
	p := c.Producer()
	for i := range 250 {
		m := NewTextMessage(fmt.Sprint(i))
		_ = m.SetProperty("n", i)
		if err := p.Send(within(t, patience), q, m); err != nil {
			t.Fatal(err)
		}
	}
	large := NewBytesMessage(make([]byte, 200_000))
	_ = large.SetProperty("n", -1)
	if err := p.SetPriority(9).Send(within(t, patience), q, large); err != nil {
		t.Fatal(err)
	}
	if b, err = c.Browser(q); err != nil {
		t.Fatal(err)
	}
	n := -1
	for m, err := range b.All() {
		if err != nil {
			t.Fatal(err)
		}
		if n < 0 {
			if g, err := m.Bytes(); err != nil || len(g) != 200_000 {
				t.Errorf("the first one has %d bytes, %v", len(g), err)
			}
			if v, _ := m.Property("n"); v != int32(-1) && v != int64(-1) || m.MessageID() != large.MessageID() || m.Priority() != 9 || m.Timestamp().IsZero() {
				t.Errorf("the first one has lost its header: n = %v, id %q, priority %d", v, m.MessageID(), m.Priority())
			}
		} else if s, _ := m.Text(); s != fmt.Sprint(n) || m.Destination() != Destination(q) {
			t.Fatalf("message %d is %q", n, s)
		}
		n++
	}
	if n != 250 {
		t.Errorf("it ended after %d", n)
	}
	send(t, c.Producer(), q, "more")
	if m, err := b.Next(within(t, patience)); err != nil || m == nil {
		t.Errorf("what has come behind its place: %v, %v", m, err)
	}
	if b, err = c.Browser(q, Selector("n >= 248")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"248", "249"} {
		m, err := b.Next(within(t, patience))
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
		if s, _ := m.Text(); s != want {
			t.Errorf("selected %q, want %s", s, want)
		}
	}
	if m, err := b.Next(within(t, patience)); m != nil || err != nil {
		t.Errorf("and then %v, %v", m, err)
	}
	_ = b.Close()
	if _, err := b.Next(within(t, patience)); !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := c.Browser(queue(t, c, "x?direct=true")); !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("of a direct queue: %v", err)
	}
	if _, err := c.Browser(nil); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("of nil: %v", err)
	}
}
