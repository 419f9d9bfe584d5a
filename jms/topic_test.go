package jms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/activeblaze/blaze"
)

// A message of each kind passes from one process's channel to another's, header included.
func TestTopicKinds(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	fa, fb := factory(t, cfg), factory(t, cfg)
	a, b := connect(t, fa, AutoAcknowledge), connect(t, fb, AutoAcknowledge)
	k := consume(t, b, topicOf(t, b, "kinds.>"))
	heard(t, fa, "kinds.a", 1)
	object, err := NewObjectMessage(&durationpb.Duration{Seconds: 3})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := NewStreamMessage("a", int32(2), 2.5, true, []byte("z"))
	if err != nil {
		t.Fatal(err)
	}
	entries := blaze.NewMessage().Set("bid", blaze.Float64Value(99.5))
	emptied := NewTextMessage("gone")
	emptied.ClearBody()
	sent := []*Message{
		NewMessage(), NewTextMessage(""), NewTextMessage("héllo"), NewBytesMessage(nil), NewBytesMessage([]byte{0, 255}),
		NewMapMessage(entries), NewMapMessage(nil), stream, object, emptied,
	}
	kinds := []Kind{PlainMessage, TextMessage, TextMessage, BytesMessage, BytesMessage, MapMessage, MapMessage, StreamMessage, ObjectMessage, TextMessage}
	p := a.Producer().SetPriority(7).SetTimeToLive(time.Hour).SetType("order").SetCorrelationID("c").SetReplyTo(queue(t, a, "answers"))
	d := topicOf(t, a, "kinds.a")
	for i, m := range sent {
		m.SetProperty("n", i)
		before := time.Now().Truncate(time.Millisecond)
		if err := p.Send(within(t, patience), d, m); err != nil {
			t.Fatal(err)
		}
		got := receive(t, k)
		if got.Kind() != kinds[i] || got.MessageID() != m.MessageID() || len(got.MessageID()) != 51 || got.Type() != "order" || got.CorrelationID() != "c" ||
			got.Priority() != 7 || got.DeliveryMode() != Persistent || got.Redelivered() || got.DeliveryCount() != 1 || got.From() != fa.shared.g.ID() ||
			got.Timestamp().Before(before) || got.Expiration().Sub(got.Timestamp()) != time.Hour || got.Destination().String() != "topic:kinds.a" ||
			got.ReplyTo().String() != "queue:answers" {
			t.Errorf("%v came as %v: %+v", m.Kind(), got.Kind(), got.header)
		}
		if n, err := got.LongProperty("n"); err != nil || n != int64(i) {
			t.Errorf("its property is %d, %v", n, err)
		}
		if !got.Body().Equal(m.Body()) {
			t.Errorf("the body %v came as %v", m.Body(), got.Body())
		}
		for kind, read := range map[Kind]func() error{
			TextMessage:   func() error { _, err := got.Text(); return err },
			BytesMessage:  func() error { _, err := got.Bytes(); return err },
			MapMessage:    func() error { _, err := got.Map(); return err },
			StreamMessage: func() error { _, err := got.Stream(); return err },
			ObjectMessage: func() error { _, err := got.Object(); return err },
		} {
			if err := read(); kind == kinds[i] && err != nil || kind != kinds[i] && !errors.Is(err, ErrNotReadable) {
				t.Errorf("a %v read as a %v: %v", kinds[i], kind, err)
			}
		}
		if kinds[i] == StreamMessage {
			r, _ := got.Stream()
			if n := r.Len(); n != 5 {
				t.Errorf("the stream has %d values", n)
			}
			var all []any
			for {
				v, err := r.Read()
				if err == io.EOF {
					break
				}
				all = append(all, v.Any())
			}
			if s := fmt.Sprint(all); s != "[a 2 2.5 true [122]]" {
				t.Errorf("the stream is %s", s)
			}
		}
	}
}

// One namespace with the core: what a core program broadcasts arrives here, and the other way round.
func TestTopicsOfTheCore(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	f := factory(t, cfg)
	c := connect(t, f, AutoAcknowledge)
	k := consume(t, c, topicOf(t, c, "core.*"))
	core, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Shutdown() })
	got := make(chan *blaze.Message, 10)
	if _, err := core.Subscribe("core.*", func(m *blaze.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	p, err := core.Publisher("core.a")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReceivers(within(t, patience), 1); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		m    *blaze.Message
		want Kind
	}{
		{blaze.NewTextMessage("t"), TextMessage}, {blaze.NewBytesMessage([]byte("b")), BytesMessage},
		{blaze.NewMessage().Set("bid", blaze.Int32Value(1)), MapMessage}, {blaze.NewMessage(), PlainMessage},
	} {
		if err := core.Broadcast(within(t, patience), "core.a", row.m); err != nil {
			t.Fatal(err)
		}
		m := receive(t, k)
		if m.Kind() != row.want || !m.Body().Equal(row.m) || m.MessageID() != "" || m.DeliveryMode() != NonPersistent || m.Priority() != 4 || !m.Timestamp().IsZero() {
			t.Errorf("%v came as %v %v, %+v", row.m, m.Kind(), m.Body(), m.header)
		}
		<-got // its own
	}
	if err := p.Offer([]byte("raw")); err != nil {
		t.Fatal(err)
	}
	if b, err := receive(t, k).Bytes(); err != nil || !bytes.Equal(b, []byte("raw")) {
		t.Errorf("a raw payload came as %q, %v", b, err)
	}
	<-got
	heard(t, f, "core.b", 1)
	send(t, c.Producer(), topicOf(t, c, "core.b"), "from jms")
	m := <-got
	if s, ok := m.Text(); !ok || s != "from jms" || m.Topic() != "core.b" {
		t.Errorf("the core received %v on %s", m, m.Topic())
	}
	receiveText(t, k, "from jms") // and so did we
	// A core program that sends the message on, sends the header too.
	if err := core.Broadcast(within(t, patience), "core.c", m); err != nil {
		t.Fatal(err)
	}
	if again := receiveText(t, k, "from jms"); again.MessageID() == "" || again.From() != core.ID() {
		t.Errorf("what was sent on is %+v", again.header)
	}
	// A header that is none is counted, and nothing is delivered.
	bad := blaze.NewTextMessage("bad")
	headerOf(bad, []byte{0x48, 200, 1}) // priority 200
	if err := core.Broadcast(within(t, patience), "core.c", bad); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the count of bad messages", func() bool { return f.shared.bad.Load() == 1 })
	nothing(t, k)
}

func TestTopicSelectors(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	o := another(t, c, AutoAcknowledge)
	foreign := connect(t, factory(t, c.conn.f.cfg), AutoAcknowledge)
	d := topicOf(t, c, "prices")
	high := consume(t, c, d, Selector("bid > 100 AND JMSType = 'price'"))
	all := consume(t, c, d, Selector("  "))
	others := consume(t, c, d, NoLocal())
	heard(t, foreign.conn.f, "prices", 1)
	p := o.Producer().SetType("price")
	for i, bid := range []float64{99, 101, 100, 102} {
		m := NewTextMessage(fmt.Sprint(i))
		if err := m.SetProperty("bid", bid); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(within(t, patience), d, m); err != nil {
			t.Fatal(err)
		}
	}
	receiveText(t, high, "1")
	receiveText(t, high, "3")
	for _, want := range []string{"0", "1", "2", "3"} {
		receiveText(t, all, want)
	}
	nothing(t, others)
	send(t, foreign.Producer(), d, "foreign") // messages of two members come in any order
	receiveText(t, all, "foreign")
	receiveText(t, others, "foreign")
	for _, k := range []*Consumer{high, all, others} {
		nothing(t, k)
	}
	for _, bad := range []string{"bid >", "JMSReplyTo = 'x'", "(((", "x = 'open", "x = 1 \xff", "a\x00b = 1"} {
		if _, err := c.Consumer(d, Selector(bad)); !errors.Is(err, ErrInvalidSelector) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What has expired by the consumer's clock is not delivered.
func TestExpiry(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	d := topicOf(t, c, "short")
	k := consume(t, c, d)
	p := c.Producer().SetTimeToLive(time.Millisecond)
	send(t, p, d, "expires")
	send(t, p.SetTimeToLive(time.Hour), d, "stays")
	// The first one lies there until it has expired.
	time.Sleep(5 * time.Millisecond)
	receiveText(t, k, "stays")
	// One that had expired when it was sent: its sender's clock is an hour behind.
	m := blaze.NewTextMessage("old")
	h := NewMessage()
	h.head().Timestamp, h.head().Expiration = 2000, 1000
	headerOf(m, h.header.Append(nil))
	if err := c.conn.channel().Broadcast(within(t, patience), "short", m); err != nil {
		t.Fatal(err)
	}
	nothing(t, k)
}

// A transacted session publishes at Commit, and has what it received again after Rollback.
func TestTransactedTopic(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), Transacted)
	o := another(t, c, AutoAcknowledge)
	d := topicOf(t, c, "tx")
	k, all := consume(t, c, d), consume(t, o, d)
	ctx := within(t, patience)
	m := send(t, c.Producer(), d, "one")
	m.Body().SetText("changed after Send")
	send(t, c.Producer(), d, "two")
	nothing(t, all)
	if err := c.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	send(t, c.Producer(), d, "three")
	if err := c.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	receiveText(t, all, "three")
	nothing(t, all)
	send(t, o.Producer(), d, "four")
	for _, again := range []bool{false, true} {
		for i, want := range []string{"three", "four"} {
			if m := receiveText(t, k, want); m.Redelivered() != again || m.DeliveryCount() != map[bool]int{false: 1, true: 2}[again] {
				t.Errorf("message %d: redelivered %t, count %d", i, m.Redelivered(), m.DeliveryCount())
			}
		}
		if again {
			if err := c.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		} else if err := c.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
	nothing(t, k)
}

// Recover in ClientAcknowledge: what was not acknowledged comes again, in order, before what is new.
func TestRecover(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), ClientAcknowledge)
	d := topicOf(t, c, "recover")
	k := consume(t, c, d)
	for _, s := range []string{"1", "2", "3", "4"} {
		send(t, c.Producer(), d, s)
	}
	receiveText(t, k, "1")
	if err := receiveText(t, k, "2").Acknowledge(); err != nil {
		t.Fatal(err)
	}
	receiveText(t, k, "3")
	if err := c.Recover(); err != nil {
		t.Fatal(err)
	}
	if m := receiveText(t, k, "3"); !m.Redelivered() || m.DeliveryCount() != 2 {
		t.Errorf("redelivered %t, count %d", m.Redelivered(), m.DeliveryCount())
	}
	if m := receiveText(t, k, "4"); m.Redelivered() {
		t.Error("4 is marked redelivered")
	}
	if err := c.Acknowledge(); err != nil {
		t.Fatal(err)
	}
	if err := c.Recover(); err != nil {
		t.Fatal(err)
	}
	nothing(t, k)
}

func TestTemporaryTopic(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	f := factory(t, cfg)
	c, o := connect(t, f, AutoAcknowledge), connect(t, f, AutoAcknowledge)
	d, err := c.TemporaryTopic()
	if err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, d)
	if _, err := o.Consumer(d); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("another connection consumes from it: %v", err)
	}
	m := NewMessage()
	m.SetReplyTo(d)
	to, err := parseDestination(m.header.ReplyTo)
	if err != nil {
		t.Fatal(err)
	}
	send(t, o.Producer(), to, "reply")
	receiveText(t, k, "reply")
}

// Losses that cannot be repaired reach OnException with their numbers.
func TestLossReachesOnException(t *testing.T) {
	t.Parallel()
	c := connect(t, factory(t, testConfig(t)), AutoAcknowledge)
	got := make(chan error, 1)
	c.OnException(func(err error) { got <- err })
	c.conn.exception(&LossError{"a.>", blaze.Loss{First: 3, Last: 9}})
	var l *LossError
	if err := <-got; !errors.As(err, &l) || l.Loss.First != 3 || l.Topic != "a.>" {
		t.Errorf("%v", err)
	}
}

// A subscription at the holders has what a process publishes that has just started: it waits until it can have found the holders.
func TestPublishAtOnce(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	news := topicOf(t, all[0], "news")
	k, err := all[0].SharedConsumer(news, "all")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		text := fmt.Sprint(i)
		c := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
		send(t, c.Producer(), topicOf(t, c, "news"), text)
		receiveText(t, k, text)
	}
}
