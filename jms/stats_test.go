package jms

import (
	"fmt"
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
