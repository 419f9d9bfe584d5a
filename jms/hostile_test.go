package jms

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/jms/held"
)

// A member that sends holders and clients what they did not ask for changes nothing: garbage, operations in another
// member's name, settlements of another connection's messages, notices of somebody who is no holder.
func TestHostileMember(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	c := connect(t, factory(t, cfg, WithRole(Client)), ClientAcknowledge)
	q := queue(t, c, "hostile")
	send(t, c.Producer(), q, "mine")
	k := consume(t, c, q)
	m := receiveText(t, k, "mine")

	bad, err := blaze.NewGroupChannel("bad", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bad.Shutdown() })
	eventually(t, "the members", func() bool { return len(bad.MembersOf(holderGroup)) == 1 && len(bad.Members()) == 3 })
	holder := all[0].conn.channel().ID()
	ask := func(op []byte) (a held.Answer, ok bool) {
		t.Helper()
		raw, err := bad.RequestPayload(within(t, patience), holder, holderInbox, op, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, _, err := openReply(raw)
		return a, err == nil && a.Parse(answer)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 200 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if a, ok := ask(b); ok && a.Code == held.CodeOK {
			t.Errorf("%x is taken", b)
		}
	}
	number := c.conn.linked().number
	victim := held.Member(c.conn.channel().ID())
	own := held.Op{Kind: held.KindBegin, Conn: 1}
	if a, ok := ask(own.Append(nil)); !ok || a.Code != held.CodeOK {
		t.Fatalf("a connection of its own: %+v", a)
	}
	for i, row := range []struct {
		op   held.Op
		want held.Code
	}{
		{held.Op{Kind: held.KindSettle, Conn: number, Counter: 1 << 40, Origin: victim, Session: 1, Numbers: []uint64{m.number}}, held.CodeNoConnection}, // signed anew: number is the victim's, and 1 its own
		{held.Op{Kind: held.KindSettle, Conn: 1, Counter: 1, Session: c.id, Numbers: []uint64{m.number}}, held.CodeNotHeld},
		{held.Op{Kind: held.KindCommit, Conn: 1, Counter: 2, Session: c.id, Numbers: []uint64{m.number}}, held.CodeNotHeld},
		{held.Op{Kind: held.KindTake, Conn: 1, Counter: 3, Consumer: 1, Limit: 1}, held.CodeNoConsumer},
		{held.Op{Kind: held.KindGone, To: victim}, held.CodeForged},
		{held.Op{Kind: held.KindSettle, Conn: 1, Counter: 1<<64 - 1, Numbers: []uint64{1}}, held.CodeGap},
		{held.Op{Kind: held.KindSettle, Conn: 7, Counter: 1, Numbers: []uint64{1}}, held.CodeNoConnection},
	} {
		if i == 0 && number == 1 {
			row.want = held.CodeGap // its own connection has that number too
		}
		if a, ok := ask(row.op.Append(nil)); !ok || a.Code != row.want {
			t.Errorf("operation %d: %+v, want code %d", i, a, row.want)
		}
	}
	// Notices to the client.
	var forged blaze.Message
	forged.SetText("forged")
	data, _ := forged.MarshalBinary()
	n := held.Notice{To: victim, Conn: number, Kind: held.NoticeMessage, Consumer: k.src.(*heldSource).id, Messages: []held.Message{{Number: 99, Delivery: 1 << 40, Count: 1, Data: data, Consumer: k.src.(*heldSource).id}}}
	for _, payload := range [][]byte{held.AppendNotice(nil, &n), {0xff}, nil} {
		sent := make(chan error, 1)
		if err := reach.Blaze.SendThen(bad, victim, clientInbox, payload, func(err error) { sent <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the count of bad notices", func() bool { return c.conn.ch.bad.Load() == 3 })
	nothing(t, k)
	// The message is still the victim's.
	if err := c.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := receiveText(t, k, "mine").Acknowledge(); err != nil {
		t.Fatal(err)
	}
	nothing(t, k)
}

// Selectors that are too much, and names at their bounds.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := connect(t, alone(t), AutoAcknowledge)
	q := queue(t, c, `names "may" have 'quotes' `+strings.Repeat("x", 200))
	for what, s := range map[string]string{
		"1 MB": "a = '" + strings.Repeat("x", 1<<20) + "'", "100,000 brackets": strings.Repeat("(", 100_000), "a NUL": "a = 1 \x00", "no UTF-8": "a = '\xff",
		"5,000 terms": strings.Repeat("a = 1 OR ", 5000) + "a = 1",
	} {
		if _, err := c.Consumer(q, Selector(s)); !errors.Is(err, ErrInvalidSelector) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := c.Browser(q, Selector(s)); !errors.Is(err, ErrInvalidSelector) {
			t.Errorf("%s, browsing: %v", what, err)
		}
		if _, err := c.SharedConsumer(topicOf(t, c, "t"), "s", Selector(s)); !errors.Is(err, ErrInvalidSelector) {
			t.Errorf("%s, subscribing: %v", what, err)
		}
	}
	send(t, c.Producer(), q, "x")
	receiveText(t, consume(t, c, q), "x")
	// A reply-to that nobody has, and one that is none.
	m := NewMessage()
	m.head().ReplyTo = "temp-queue:" + fmt.Sprintf("%032x", 7) + "/1"
	if err := c.Producer().SendText(within(t, patience), m.ReplyTo(), "x"); !errors.Is(err, ErrInvalidDestination) {
		t.Errorf("a reply to nobody: %v", err)
	}
	for _, s := range []string{"x", "queue:", "topic:a..b", "topic:>", "temp-queue:", "temp-queue:zz/1", "temp-queue:" + fmt.Sprintf("%032x", 7) + "/x", "queue:\x00"} {
		m := NewMessage()
		m.head().ReplyTo = s
		if d := m.ReplyTo(); d != nil {
			t.Errorf("the reply-to %q is %v", s, d)
		}
	}
}
