package jms

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// coreMembers are two members of one group: what this package costs is judged beside what they do without it.
func coreMembers(b *testing.B) (all [2]*blaze.GroupChannel) {
	cfg := testConfig(b)
	for i := range all {
		g, err := blaze.NewGroupChannel("", cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = g.Shutdown() })
		all[i] = g
	}
	for _, g := range all {
		if err := g.WaitMembers(within(b, patience), 2); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

// BenchmarkTopic has one publisher and one consumer of a topic, NON_PERSISTENT messages of 100 bytes, with Broadcast and
// Subscribe of the core and with this package.
func BenchmarkTopic(b *testing.B) {
	body := make([]byte, 100)
	run := func(b *testing.B, got chan struct{}, send func() error) {
		done := make(chan struct{})
		go func() {
			for range b.N {
				<-got
			}
			close(done)
		}()
		b.ResetTimer()
		start := time.Now()
		for range b.N {
			if err := send(); err != nil {
				b.Fatal(err)
			}
		}
		<-done
		b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "msgs/s")
	}
	b.Run("core", func(b *testing.B) {
		all, got := coreMembers(b), make(chan struct{}, 1024)
		if _, err := all[1].Subscribe("speed", func(m *blaze.Message) {
			if raw, _ := m.Bytes(); len(raw) == len(body) {
				got <- struct{}{}
			}
		}); err != nil {
			b.Fatal(err)
		}
		p, err := all[0].Publisher("speed")
		if err != nil {
			b.Fatal(err)
		}
		if err := p.WaitReceivers(within(b, patience), 1); err != nil {
			b.Fatal(err)
		}
		run(b, got, func() error { return all[0].Broadcast(context.Background(), "speed", blaze.NewBytesMessage(body)) })
	})
	b.Run("jms", func(b *testing.B) {
		cfg, got := testConfig(b), make(chan struct{}, 1024)
		f := factory(b, cfg)
		c, o := connect(b, f, AutoAcknowledge), connect(b, factory(b, cfg), AutoAcknowledge)
		if err := consume(b, o, topicOf(b, o, "speed")).Listen(func(m *Message) {
			if raw, _ := m.Bytes(); len(raw) == len(body) {
				got <- struct{}{}
			}
		}); err != nil {
			b.Fatal(err)
		}
		heard(b, f, "speed", 1)
		p, d := c.Producer().SetDeliveryMode(NonPersistent), topicOf(b, c, "speed")
		run(b, got, func() error { return p.SendBytes(context.Background(), d, body) })
	})
}

// BenchmarkRequest has one requester and one replier of a queue, with RequestQueue and Reply of the core, and with a direct
// queue and a temporary one of this package. It reports the median of a round trip.
func BenchmarkRequest(b *testing.B) {
	body := make([]byte, 100)
	run := func(b *testing.B, request func(context.Context) error) {
		took := make([]time.Duration, 0, b.N)
		if err := request(within(b, patience)); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for range b.N {
			start := time.Now()
			if err := request(context.Background()); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "median-µs")
	}
	b.Run("core", func(b *testing.B) {
		all := coreMembers(b)
		if _, err := all[1].Consume("speed", func(m *blaze.Message) error {
			return all[1].Reply(context.Background(), m, blaze.NewBytesMessage(body))
		}); err != nil {
			b.Fatal(err)
		}
		run(b, func(ctx context.Context) error {
			_, err := all[0].RequestQueue(ctx, "speed", blaze.NewBytesMessage(body))
			return err
		})
	})
	b.Run("jms", func(b *testing.B) {
		cfg := testConfig(b)
		c, o := connect(b, factory(b, cfg), AutoAcknowledge), connect(b, factory(b, cfg), AutoAcknowledge)
		replies := o.Producer().SetDeliveryMode(NonPersistent)
		if err := consume(b, o, queue(b, o, "speed?direct=true")).Listen(func(m *Message) {
			r := NewBytesMessage(body)
			r.SetCorrelationID(m.MessageID())
			if err := replies.Send(context.Background(), m.ReplyTo(), r); err != nil {
				b.Error(err)
			}
		}); err != nil {
			b.Fatal(err)
		}
		p, d := c.Producer().SetDeliveryMode(NonPersistent), queue(b, c, "speed?direct=true")
		run(b, func(ctx context.Context) error {
			_, err := p.Request(ctx, d, NewBytesMessage(body))
			return err
		})
	})
}
