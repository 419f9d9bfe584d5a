package jms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms/held"
)

// alone is a factory whose process is its own holder. Without options tests share one: a cluster takes half a second.
func alone(t testing.TB, opts ...Option) *ConnectionFactory {
	if len(opts) == 0 {
		return sharedHolder(t)
	}
	return newHolder(t, opts...)
}

func newHolder(t testing.TB, opts ...Option) *ConnectionFactory {
	cfg := testConfig(t)
	cfg.Linger = 2 * time.Second
	return factory(t, cfg, append([]Option{WithRole(Holder)}, opts...)...)
}

var shared struct {
	once sync.Once
	f    *ConnectionFactory
	c    *Context // keeps the channel
	err  error
}

func sharedHolder(t testing.TB) *ConnectionFactory {
	shared.once.Do(func() {
		shared.f = newHolder(t)
		shared.c, shared.err = shared.f.CreateContext(AutoAcknowledge)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.f
}

// A held queue keeps what is sent before anybody consumes, and after its sender has gone; each message has one consumer.
func TestHeldQueue(t *testing.T) {
	t.Parallel()
	f := alone(t)
	c := connect(t, f, AutoAcknowledge)
	sender, err := f.CreateContext(AutoAcknowledge)
	if err != nil {
		t.Fatal(err)
	}
	q := queue(t, c, "orders")
	p := sender.Producer().SetTimeToLive(time.Hour)
	var sent []*Message
	for i := range 10 {
		sent = append(sent, send(t, p, q, fmt.Sprint(i)))
	}
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	k, o := consume(t, c, q), consume(t, another(t, c, AutoAcknowledge), q)
	for i := range 10 {
		from := k
		if i%2 == 1 {
			from = o
		}
		m := receiveText(t, from, fmt.Sprint(i))
		if m.MessageID() != sent[i].MessageID() || m.Redelivered() || m.DeliveryCount() != 1 || m.DeliveryMode() != Persistent ||
			m.Destination().String() != "queue:orders" || !m.Expiration().Equal(sent[i].Expiration()) {
			t.Errorf("message %d: %+v", i, m.header)
		}
	}
	for _, k := range []*Consumer{k, o} {
		if m, err := k.ReceiveNoWait(); m != nil || err != nil {
			t.Errorf("ReceiveNoWait: %v, %v", m, err)
		}
		nothing(t, k)
	}
	send(t, c.Producer(), q, "there")
	if m, err := k.ReceiveNoWait(); err != nil || m == nil {
		t.Errorf("what was sent before ReceiveNoWait is not there: %v", err)
	}
	// A Receive that waits gets what comes.
	got := make(chan *Message, 1)
	go func() { m, _ := k.Receive(within(t, patience)); got <- m }()
	time.Sleep(20 * time.Millisecond)
	send(t, another(t, c, AutoAcknowledge).Producer(), q, "late")
	if m := <-got; m == nil {
		t.Error("a Receive that waited got nothing")
	}
}

func TestHeldSelectorsAndPriorities(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), AutoAcknowledge)
	q := queue(t, c, "sorted")
	p := c.Producer()
	for i := range 8 {
		m := NewTextMessage(fmt.Sprint(i))
		_ = m.SetProperty("n", i)
		if err := p.SetPriority(i%4).Send(within(t, patience), q, m); err != nil {
			t.Fatal(err)
		}
	}
	high := consume(t, c, q, Selector("n > 4 AND JMSPriority >= 2"))
	receiveText(t, high, "7")
	receiveText(t, high, "6")
	nothing(t, high)
	all := consume(t, c, q)
	for _, want := range []string{"3", "2", "1", "5", "0", "4"} {
		receiveText(t, all, want)
	}
	if _, err := c.Consumer(q, Selector("n >")); !errors.Is(err, ErrInvalidSelector) {
		t.Errorf("a bad selector: %v", err)
	}
}

// ClientAcknowledge: what was not acknowledged comes again, counted, and then goes to the dead-letter queue.
func TestHeldRedelivery(t *testing.T) {
	t.Parallel()
	f := alone(t, MaxRedeliveries(2))
	c := connect(t, f, ClientAcknowledge)
	q := queue(t, c, "poison")
	send(t, c.Producer(), q, "bad")
	send(t, c.Producer(), q, "good")
	k := consume(t, c, q)
	for n := range 3 {
		if m := receiveText(t, k, "bad"); m.DeliveryCount() != n+1 || m.Redelivered() != (n > 0) {
			t.Errorf("delivery %d: count %d, redelivered %t", n, m.DeliveryCount(), m.Redelivered())
		}
		if err := c.Recover(); err != nil {
			t.Fatal(err)
		}
	}
	if err := receiveText(t, k, "good").Acknowledge(); err != nil {
		t.Fatal(err)
	}
	dead := receiveText(t, consume(t, c, queue(t, c, "DLQ.poison")), "bad")
	from, _ := dead.StringProperty("JMS_Blaze_Queue")
	reason, _ := dead.StringProperty("JMS_Blaze_Reason")
	if from != "poison" || reason != "redelivered" {
		t.Errorf("the dead letter comes from %q, because of %q", from, reason)
	}
}

// What a closed context had received and not acknowledged goes to another one.
func TestHeldCloseGivesBack(t *testing.T) {
	t.Parallel()
	f := alone(t)
	keep := connect(t, f, AutoAcknowledge)
	for _, mode := range []AckMode{ClientAcknowledge, Transacted} {
		c, err := f.CreateContext(mode)
		if err != nil {
			t.Fatal(err)
		}
		q := queue(t, c, fmt.Sprint("back.", mode))
		send(t, keep.Producer(), q, "1")
		send(t, keep.Producer(), q, "2")
		receiveText(t, consume(t, c, q), "1")
		if mode == Transacted {
			send(t, c.Producer(), q, "never")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		k := consume(t, keep, q)
		if m := receiveText(t, k, "1"); !m.Redelivered() {
			t.Error("it is not marked redelivered")
		}
		if m := receiveText(t, k, "2"); m.Redelivered() {
			t.Error("2 is marked redelivered")
		}
		nothing(t, k)
	}
}

func TestHeldTransactions(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), Transacted)
	o := another(t, c, AutoAcknowledge)
	a, b := queue(t, c, "a"), queue(t, c, "b")
	ctx := within(t, patience)
	in := consume(t, c, a)
	ka, kb := consume(t, o, a), consume(t, another(t, o, AutoAcknowledge), b)
	send(t, o.Producer(), a, "in")
	// Rolled back: what was sent is never seen, what was received comes again.
	receiveText(t, in, "in")
	send(t, c.Producer(), b, "out")
	nothing(t, kb)
	if err := c.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	nothing(t, kb)
	if m := receiveText(t, in, "in"); m.DeliveryCount() != 2 {
		t.Errorf("count %d", m.DeliveryCount())
	}
	send(t, c.Producer(), b, "out 2")
	send(t, c.Producer(), b, "out 3")
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	receiveText(t, kb, "out 2")
	receiveText(t, kb, "out 3")
	nothing(t, kb)
	nothing(t, ka)
	// Nothing is left of it, and an empty commit is none.
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	// More than an operation holds.
	for i := range 600 {
		send(t, o.Producer(), a, fmt.Sprint(i))
	}
	if err := ka.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		receiveText(t, in, fmt.Sprint(i))
	}
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	nothing(t, in)
}

// A listener has messages sent ahead, in order; AUTO acknowledges after it, and Recover gives the message back.
func TestHeldListener(t *testing.T) {
	t.Parallel()
	f := alone(t, Prefetch(8))
	c := connect(t, f, AutoAcknowledge)
	q := queue(t, c, "listen")
	p := another(t, c, AutoAcknowledge).Producer()
	got := make(chan string, 300)
	k := consume(t, c, q)
	recovered := false
	if err := k.Listen(func(m *Message) {
		s, _ := m.Text()
		if s == "50" && !recovered {
			recovered = true
			if err := c.Recover(); err != nil {
				t.Error(err)
			}
			return
		}
		got <- fmt.Sprint(s, "/", m.DeliveryCount())
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		send(t, p, q, fmt.Sprint(i))
	}
	seen := map[string]bool{}
	for range 200 {
		select {
		case s := <-got:
			if seen[s] {
				t.Errorf("%s came twice", s)
			}
			seen[s] = true
		case <-time.After(patience):
			t.Fatalf("%d messages came", len(seen))
		}
	}
	if !seen["50/2"] || !seen["49/1"] || !seen["199/1"] {
		t.Error("a message is missing, or was counted wrongly")
	}
	if err := k.Listen(nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	// What was sent ahead and not handled is there for others.
	for i := range 10 {
		send(t, p, q, fmt.Sprint(i))
	}
	o := consume(t, c, q)
	for i := range 10 {
		receiveText(t, o, fmt.Sprint(i))
	}
}

// A full queue: Send waits for room, or returns at once.
func TestHeldQueueFull(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t, QueueDepth("small", 2)), AutoAcknowledge)
	q := queue(t, c, "small")
	p := c.Producer()
	send(t, p, q, "1")
	send(t, p, q, "2")
	if err := p.SetNoWait(true).SendText(within(t, patience), q, "x"); !errors.Is(err, ErrQueueFull) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without waiting: %v", err)
	}
	if err := p.SetNoWait(false).SendText(within(t, 30*time.Millisecond), q, "x"); !errors.Is(err, ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
	sent := make(chan error, 1)
	o := another(t, c, AutoAcknowledge)
	go func() { sent <- o.Producer().SendText(within(t, patience), q, "3") }()
	time.Sleep(20 * time.Millisecond)
	k := consume(t, c, q)
	receiveText(t, k, "1")
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	receiveText(t, k, "2")
	receiveText(t, k, "3")
	nothing(t, k)
}

// With Queues there are no others.
func TestHeldNoAutoCreate(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t, Queues("A", "B")), AutoAcknowledge)
	send(t, c.Producer(), queue(t, c, "A"), "x")
	receiveText(t, consume(t, c, queue(t, c, "A")), "x")
	if err := c.Producer().SendText(within(t, patience), queue(t, c, "C"), "x"); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("sending to another: %v", err)
	}
	if _, err := c.Consumer(queue(t, c, "C")); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("consuming from another: %v", err)
	}
}

// Expiry and delivery delay.
func TestHeldTimes(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t, DeadLetterExpired()), AutoAcknowledge)
	q := queue(t, c, "times")
	start := time.Now()
	send(t, c.Producer().SetDeliveryDelay(300*time.Millisecond), q, "delayed")
	send(t, c.Producer().SetTimeToLive(50*time.Millisecond), q, "expires")
	k := consume(t, c, queue(t, c, "DLQ.times"))
	dead := receiveText(t, k, "expires")
	if reason, _ := dead.StringProperty("JMS_Blaze_Reason"); reason != "expired" {
		t.Errorf("it is dead because of %q", reason)
	}
	m := receiveText(t, consume(t, c, q), "delayed")
	if took := time.Since(start); took < 300*time.Millisecond || m.DeliveryTime().Before(start.Add(299*time.Millisecond)) {
		t.Errorf("it came after %v, with delivery time %v", took, m.DeliveryTime().Sub(start))
	}
}

// A message that is larger than an operation travels in parts, both ways.
func TestHeldLarge(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), Transacted)
	q := queue(t, c, "large")
	k := consume(t, c, q)
	ctx := within(t, patience)
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{partBytes - 100, partBytes + 1, 3 << 20} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		m := NewBytesMessage(b)
		_ = m.SetProperty("size", size)
		if err := c.Producer().Send(ctx, q, m); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		got := receive(t, k)
		if g, err := got.Bytes(); err != nil || !bytes.Equal(g, b) || got.MessageID() != m.MessageID() {
			t.Errorf("%d bytes came as %d, %v", size, len(g), err)
		}
		if n, _ := got.LongProperty("size"); n != int64(size) {
			t.Errorf("its property is %d", n)
		}
		if err := c.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// DupsOKAcknowledge acknowledges several together, and what is left when its consumer closes.
func TestHeldDupsOK(t *testing.T) {
	t.Parallel()
	f := alone(t)
	keep := connect(t, f, AutoAcknowledge)
	c := connect(t, f, DupsOKAcknowledge)
	q := queue(t, keep, "lazy")
	inFlight := func() uint64 {
		a, err := keep.conn.linked().read(within(t, patience), &held.Op{Kind: held.KindList})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range a.Queues {
			if q.Name == "lazy" {
				return q.InFlight
			}
		}
		return 0
	}
	for i := range lazyMessages + 2 {
		send(t, keep.Producer(), q, fmt.Sprint(i))
	}
	k := consume(t, c, q)
	for i := range lazyMessages {
		receiveText(t, k, fmt.Sprint(i))
	}
	eventually(t, "the acknowledgement of all", func() bool { return inFlight() == 0 })
	receiveText(t, k, fmt.Sprint(lazyMessages))
	eventually(t, "the acknowledgement of one, later", func() bool { return inFlight() == 0 })
	receiveText(t, k, fmt.Sprint(lazyMessages+1))
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	nothing(t, consume(t, keep, q))
	if n := inFlight(); n != 0 {
		t.Errorf("%d messages are in flight after Close", n)
	}
}

func TestHeldGroups(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), AutoAcknowledge)
	q := queue(t, c, "groups")
	a, b := consume(t, another(t, c, ClientAcknowledge), q), consume(t, another(t, c, ClientAcknowledge), q)
	p := c.Producer()
	for i := range 6 {
		m := NewTextMessage(fmt.Sprint(i))
		_ = m.SetProperty("JMSXGroupID", fmt.Sprint("g", i%2))
		if err := p.Send(within(t, patience), q, m); err != nil {
			t.Fatal(err)
		}
	}
	receiveText(t, a, "0")
	receiveText(t, b, "1")
	receiveText(t, a, "2")
	receiveText(t, b, "3")
	receiveText(t, b, "5")
	receiveText(t, a, "4")
}

func TestCloseWhileHeldReceiveWaits(t *testing.T) {
	keep := connect(t, alone(t), AutoAcknowledge)
	q := queue(t, keep, "waits")
	s := another(t, keep, AutoAcknowledge)
	k := consume(t, s, q)
	ended := make(chan error, 1)
	go func() { _, err := k.Receive(context.Background()); ended <- err }()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	err := s.Close()
	if took := time.Since(start); err != nil || took > 10*time.Millisecond {
		t.Errorf("Close took %v, %v", took, err)
	}
	if err := <-ended; !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("Receive returned %v", err)
	}
	// What it waited for is not for it any more.
	o := consume(t, keep, q)
	send(t, keep.Producer(), q, "next")
	receiveText(t, o, "next")
}

// With RequireStore a context needs holders with a DataDir.
func TestRequireStore(t *testing.T) {
	t.Parallel()
	if c, err := alone(t, RequireStore()).CreateContext(AutoAcknowledge); c != nil || !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("in memory: %v, %v", c, err)
	}
	cfg := testConfig(t)
	cfg.DataDir, cfg.Name = t.TempDir(), "stored"
	c := connect(t, factory(t, cfg, WithRole(Holder), RequireStore()), AutoAcknowledge)
	send(t, c.Producer(), queue(t, c, "q"), "x")
}

// A listener that drains a queue of a holder elsewhere gets each sender's messages in their order, however many requests
// for more are under way.
func TestListenerInOrder(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	q := queue(t, all[0], "drained")
	const messages = 2000
	p := all[0].Producer()
	for i := range messages {
		if err := p.SendAsync(within(t, patience), q, NewTextMessage(fmt.Sprint(i)), func(*Message, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	c := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	next, done := 0, make(chan struct{})
	if err := consume(t, c, q).Listen(func(m *Message) {
		if s, _ := m.Text(); s != fmt.Sprint(next) && !t.Failed() {
			t.Errorf("%s comes, want %d", s, next)
		}
		if next++; next == messages {
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("not all messages came")
	}
}
