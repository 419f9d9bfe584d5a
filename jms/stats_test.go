package jms

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// An application reads the counters of all queues, of more than one page, and of subscriptions.
func TestQueueStats(t *testing.T) {
	t.Parallel()
	cfg, _ := holders(t, 1)
	f := factory(t, cfg, WithRole(Client), ClientID("desk"))
	c := connect(t, f, ClientAcknowledge)
	p := c.Producer()
	for i := range 120 {
		send(t, p, queue(t, c, fmt.Sprintf("q%03d", i)), "x")
	}
	counted := queue(t, c, "a")
	for _, s := range []string{"1", "2", "3"} {
		send(t, p, counted, s)
	}
	p.SetDeliveryDelay(time.Hour)
	send(t, p, counted, "delayed")
	k := consume(t, c, counted)
	receiveText(t, k, "1")
	if err := c.Acknowledge(); err != nil {
		t.Fatal(err)
	}
	receiveText(t, k, "2")
	if _, err := c.DurableConsumer(topicOf(t, c, "prices.>"), "blotter"); err != nil {
		t.Fatal(err)
	}
	all, err := c.QueueStats(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 122 || all[0].Name != "a" || all[1].Name != "q000" || all[120].Name != "q119" {
		t.Fatalf("%d queues", len(all))
	}
	if age := time.Since(all[0].Oldest); age < 0 || age > patience {
		t.Errorf("the oldest message is from %v", all[0].Oldest)
	}
	got := all[0]
	got.Bytes, got.Oldest = 0, time.Time{}
	if want := (QueueStats{Name: "a", Depth: 2, InFlight: 1, Delayed: 1, Consumers: 1, Put: 4, Taken: 2, Settled: 1}); got != want || all[0].Bytes == 0 {
		t.Errorf("counters\n%+v, want\n%+v", got, want)
	}
	if got, want := all[121], (QueueStats{Name: "blotter", Topic: "prices.>", ClientID: "desk", Durable: true, Consumers: 1}); got != want {
		t.Errorf("counters of a subscription\n%+v, want\n%+v", got, want)
	}
}

// The clients that have messages are named, with the time of their last settlement, until they have settled all.
func TestHolding(t *testing.T) {
	t.Parallel()
	cfg, _ := holders(t, 1)
	c := connect(t, factory(t, cfg, WithRole(Client), ClientID("desk")), ClientAcknowledge)
	p, q := c.Producer(), queue(t, c, "a")
	for _, s := range []string{"1", "2", "3"} {
		send(t, p, q, s)
	}
	k := consume(t, c, q)
	if _, err := c.DurableConsumer(topicOf(t, c, "prices.>"), "blotter"); err != nil {
		t.Fatal(err)
	}
	other := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	holding := func() []Holding {
		all, err := other.Holding(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := holding(); len(all) != 0 {
		t.Errorf("%+v, and nobody has received anything", all)
	}
	receiveText(t, k, "1")
	receiveText(t, k, "2")
	all := holding()
	for end := time.Now().Add(patience); len(all) == 1 && all[0].Since.IsZero() && time.Now().Before(end); all = holding() {
		time.Sleep(10 * time.Millisecond) // until the holders' clock has told
	}
	if len(all) != 1 || all[0].Client != c.conn.channel().ID() || all[0].ClientID != "desk" || all[0].InFlight != 2 || !slices.Equal(all[0].Queues, []string{"blotter", "a"}) {
		t.Fatalf("%+v", all)
	}
	if age := time.Since(all[0].Since); age < -time.Second || age > patience {
		t.Errorf("since %v", all[0].Since)
	}
	time.Sleep(300 * time.Millisecond)
	receiveText(t, k, "3")
	if again := holding(); len(again) != 1 || again[0].InFlight != 3 || !again[0].Since.Equal(all[0].Since) {
		t.Errorf("%+v, and nothing was settled", again)
	}
	if err := c.Acknowledge(); err != nil {
		t.Fatal(err)
	}
	if all := holding(); len(all) != 0 {
		t.Errorf("%+v, and all is settled", all)
	}
	send(t, p, q, "4")
	receiveText(t, k, "4")
	again := holding()
	for end := time.Now().Add(patience); len(again) == 1 && again[0].Since.IsZero() && time.Now().Before(end); again = holding() {
		time.Sleep(10 * time.Millisecond)
	}
	if len(again) != 1 || !again[0].Since.After(all[0].Since) {
		t.Errorf("%+v", again)
	}
}
