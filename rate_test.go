package blaze_test

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/core"
)

// MaxRate is of the member, whatever protocols its topics are sent under: with NACK, Totem and FEC at
// once all that it sends stays below.
func TestMaxRateOfSeveralProtocols(t *testing.T) {
	const rate = 8_000_000
	cfg := testConfig(t)
	cfg.MaxRate, cfg.Linger = rate, time.Millisecond
	cfg.Topics = []blaze.TopicConfig{{Pattern: "ring.>", Protocol: blaze.Totem}, {Pattern: "fec.>", Protocol: blaze.FEC}}
	c, d := started(t, cfg), started(t, cfg)
	if _, err := d.SubscribePayload(">", func(*blaze.Delivery) {}); err != nil {
		t.Fatal(err)
	}
	var publishers []*blaze.Publisher
	for _, topic := range []string{"plain", "ring.x", "fec.x"} {
		publishers = append(publishers, publisher(t, c, topic, 1))
	}
	payload := make([]byte, 1000)
	offer := func(d time.Duration) {
		for began := time.Now(); time.Since(began) < d; time.Sleep(200 * time.Microsecond) {
			for _, p := range publishers {
				for p.Offer(payload) == nil {
				}
			}
		}
	}
	offer(200 * time.Millisecond) // what a burst may send at once
	before, began := c.Stats(), time.Now()
	offer(time.Second)
	after, took := c.Stats(), time.Since(began).Seconds()
	got := float64(after.Engine.SentBytes-before.Engine.SentBytes+core.WireOverhead*(after.Engine.Sent-before.Engine.Sent)) * 8 / took
	t.Logf("%.2f Mbit/s on the wire, %.1f allowed", got/1e6, rate/1e6)
	least := 0.95
	if testing.Short() {
		least = 0.7 // a member that others keep from running cannot send; sim.TestOneRateForAllProtocols holds the exact share
	}
	if got < least*rate || got > 1.01*rate { // the clock of the test is not that of the engine
		t.Errorf("%.2f Mbit/s on the wire, %.1f allowed", got/1e6, rate/1e6)
	}
	if after.Totem.Datagrams == before.Totem.Datagrams {
		t.Error("nothing was sent under Totem")
	}
}
