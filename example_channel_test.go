package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/activeblaze/blaze"
)

// cluster keeps these examples apart from what else runs on this host.
var cluster = fmt.Sprint("examples of ", os.Getpid())

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// start makes a channel and starts it.
func start(cfg blaze.Config) *blaze.Channel {
	cfg.Cluster = cluster
	c, err := blaze.NewChannel(cfg)
	must(err)
	must(c.Start())
	return c
}

// One process sends, another one receives; here both are in one program.
func ExampleChannel() {
	sender, err := blaze.NewChannel(blaze.Config{Cluster: cluster})
	must(err)
	receiver, err := blaze.NewChannel(blaze.Config{Cluster: cluster})
	must(err)
	must(sender.Start())
	must(receiver.Start())
	defer sender.Shutdown()
	defer receiver.Shutdown()

	done := make(chan bool)
	_, err = receiver.Subscribe("prices.acme", func(m *blaze.Message) {
		bid, _ := m.Get("bid")
		fmt.Println(m.Topic(), "bid", bid)
		close(done)
	})
	must(err)

	p, err := sender.Publisher("prices.acme")
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(p.WaitReceivers(ctx, 1)) // what is sent before a receiver is there does not reach it
	must(sender.Broadcast(ctx, "prices.acme", blaze.NewMessage().Set("bid", blaze.Float64Value(101.25))))
	<-done

	must(sender.Stop()) // waits until all was received
	fmt.Println(sender.State())

	// Output:
	// prices.acme bid 101.25
	// stopped
}

// A pattern matches with * for one element and > for all below. Elements are separated by dots.
func ExampleChannel_Subscribe() {
	c := start(blaze.Config{})
	defer c.Shutdown()

	got := make(chan string, 8)
	for _, pattern := range []string{"prices.eu.bund", "prices.*.bund", "prices.>"} {
		_, err := c.Subscribe(pattern, func(m *blaze.Message) { got <- m.Topic() + " matches " + pattern }, blaze.Inline())
		must(err)
	}
	must(c.Broadcast(context.Background(), "prices.eu.bund", blaze.NewTextMessage("101.25")))
	must(c.Broadcast(context.Background(), "prices.us.bond", blaze.NewTextMessage("99.5")))
	for range 4 {
		fmt.Println(<-got)
	}

	// Output:
	// prices.eu.bund matches prices.eu.bund
	// prices.eu.bund matches prices.*.bund
	// prices.eu.bund matches prices.>
	// prices.us.bond matches prices.>
}

// Offer sends bytes and never waits. ErrBackPressure asks to try again later.
func ExamplePublisher_Offer() {
	c := start(blaze.Config{})
	defer c.Shutdown()
	done := make(chan bool)
	_, err := c.SubscribePayload("ticks", func(d *blaze.Delivery) { // the payload is lent until the handler returns
		fmt.Printf("message %d: %s\n", d.Sequence, d.Payload)
		if d.Sequence == 3 {
			close(done)
		}
	})
	must(err)

	p, err := c.Publisher("ticks")
	must(err)
	for _, tick := range []string{"one", "two", "three"} {
		for {
			err := p.Offer([]byte(tick))
			if err == nil {
				break
			}
			if !errors.Is(err, blaze.ErrBackPressure) {
				must(err)
			}
			time.Sleep(100 * time.Microsecond) // or drop the tick, or do something else first
		}
	}
	<-done

	// Output:
	// message 1: one
	// message 2: two
	// message 3: three
}

// Claim gives room for one message where it is sent from, so that the payload is not copied.
func ExamplePublisher_Claim() {
	c := start(blaze.Config{})
	defer c.Shutdown()
	done := make(chan bool)
	_, err := c.SubscribePayload("ticks", func(d *blaze.Delivery) {
		fmt.Printf("%s\n", d.Payload)
		close(done)
	})
	must(err)

	p, err := c.Publisher("ticks")
	must(err)
	claim, err := p.Claim(5)
	must(err)
	copy(claim.Bytes(), "hello") // an encoder would write here
	must(claim.Commit())         // or Abort
	<-done

	// Output:
	// hello
}

// OnLoss gets the numbers of the messages that never come, in their place among those that do. Here the
// network loses nothing: the handler is too slow, and SlowConsumer is Drop.
func ExampleOnLoss() {
	c := start(blaze.Config{SlowConsumer: blaze.Drop, SubscriptionQueue: 4})
	defer c.Shutdown()
	gate, handled, lost := make(chan bool), make(chan bool, 10), make(chan bool)
	_, err := c.SubscribePayload("ticks", func(d *blaze.Delivery) {
		<-gate
		handled <- true
	}, blaze.OnLoss(func(l blaze.Loss) {
		fmt.Println("messages", l.First, "to", l.Last, "are lost:", l.Reason)
		close(lost)
	}))
	must(err)

	p, err := c.Publisher("ticks")
	must(err)
	for range 10 {
		must(p.Offer([]byte("tick")))
	}
	for c.Stats().SlowDropped < 6 { // four are in the queue
		time.Sleep(time.Millisecond)
	}
	close(gate)
	for range 4 {
		<-handled
	}
	must(p.Offer([]byte("tick")))
	<-lost

	// Output:
	// messages 5 to 10 are lost: slow consumer
}

// With Disconnect a subscription that is full ends. Pause, the default, holds up the sender; Drop loses
// messages.
func ExampleSlowConsumer() {
	c := start(blaze.Config{SlowConsumer: blaze.Disconnect, SubscriptionQueue: 4})
	defer c.Shutdown()
	gate := make(chan bool)
	s, err := c.SubscribePayload("ticks", func(*blaze.Delivery) { <-gate })
	must(err)

	p, err := c.Publisher("ticks")
	must(err)
	for range 10 {
		must(p.Offer([]byte("tick")))
	}
	<-s.Done()
	fmt.Println(s.Err())
	close(gate)

	// Output:
	// blaze: closed: subscription to "ticks" was disconnected: its queue of 4 messages was full, with 4 waiting (Config.SlowConsumer Disconnect)
}

// Under Totem all members form a ring and receive all messages in one order. OnView reports its members, in its place among the messages.
func ExampleChannel_OnView() {
	cfg := blaze.Config{Protocol: blaze.Totem}
	a := start(cfg)
	defer a.Shutdown()
	both := make(chan bool)
	cancel := a.OnView(func(v blaze.View) {
		if v.Kind == blaze.ViewRegular && len(v.Members) == 2 {
			fmt.Println("a ring of 2, one of them new:", len(v.Together) == 1)
			close(both)
		}
	})
	b := start(cfg)
	<-both
	cancel()
	must(b.Shutdown())

	// Output:
	// a ring of 2, one of them new: true
}

// OnStream reports the senders that a member receives: that one starts, falls silent, resumes or leaves.
func ExampleChannel_OnStream() {
	receiver := start(blaze.Config{})
	defer receiver.Shutdown()
	events := make(chan blaze.StreamEvent, 16)
	defer receiver.OnStream(func(e blaze.StreamEvent) { events <- e })()

	sender := start(blaze.Config{})
	p, err := sender.Publisher("ticks")
	must(err)
	must(p.Offer([]byte("tick")))
	for e := range events {
		if e.From == sender.ID() {
			fmt.Println(e.Kind, "under", e.Protocol)
			if e.Kind == blaze.StreamLeft {
				break
			}
			must(sender.Shutdown())
		}
	}

	// Output:
	// started under nack
	// left under nack
}

// Topics can have a protocol of their own. Orders are delivered when every member has them (Safe), prices
// are repaired, and what nobody misses is not.
func ExampleTopicConfig() {
	c := start(blaze.Config{
		Protocol: blaze.NACK,
		Topics: []blaze.TopicConfig{
			{Pattern: "orders.>", Protocol: blaze.Totem, Safe: true},
			{Pattern: "debug.>", Protocol: blaze.BestEffort},
		},
	})
	defer c.Shutdown()
	got := make(chan string)
	_, err := c.Subscribe(">", func(m *blaze.Message) {
		text, _ := m.Text()
		got <- m.Topic() + ": " + text
	})
	must(err)
	for _, topic := range []string{"prices.acme", "orders.acme", "debug.acme"} {
		must(c.Broadcast(context.Background(), topic, blaze.NewTextMessage("sent")))
		fmt.Println(<-got)
	}

	// Output:
	// prices.acme: sent
	// orders.acme: sent
	// debug.acme: sent
}

// FEC sends repair symbols with the data, so that a receiver need not ask. Hybrid is FEC with NACK behind it.
func ExampleFECConfig() {
	c := start(blaze.Config{
		Protocol: blaze.Hybrid,
		FEC:      blaze.FECConfig{SourceSymbols: 8, RepairSymbols: 2, NoAdapt: true},
	})
	defer c.Shutdown()
	fmt.Println(c.Config().FEC.SourceSymbols, "datagrams are a block; any 8 of 8 + 2 are enough")
	p, err := c.Publisher("prices")
	must(err)
	for range 8 {
		must(p.Offer(make([]byte, 1400))) // fills a datagram
	}
	for c.Stats().Nack.ParityDatagrams < 2 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("2 repair symbols were sent")

	// Output:
	// 8 datagrams are a block; any 8 of 8 + 2 are enough
	// 2 repair symbols were sent
}

// With Invoker the application's own goroutine is the engine: nothing is handed from thread to thread.
func ExampleChannel_Turn() {
	c := start(blaze.Config{Invoker: true})
	defer c.Shutdown()
	received := 0
	_, err := c.SubscribePayload("ticks", func(*blaze.Delivery) { received++ }, blaze.Inline())
	must(err)
	p, err := c.Publisher("ticks")
	must(err)
	must(p.Offer([]byte("tick")))
	for received == 0 {
		c.Turn() // polls the network, runs timers, calls Inline handlers
	}
	fmt.Println("received", received)

	// Output:
	// received 1
}

// Stats is a copy of all counters; docs/operations.md describes when each of them grows.
func ExampleChannel_Stats() {
	c := start(blaze.Config{})
	defer c.Shutdown()
	done := make(chan bool)
	_, err := c.SubscribePayload("ticks", func(*blaze.Delivery) { close(done) })
	must(err)
	must(c.Broadcast(context.Background(), "ticks", blaze.NewTextMessage("tick")))
	<-done
	s := c.Stats()
	fmt.Println(s.State, s.Transport, s.Nack.Delivered, s.SlowDropped)

	// Output:
	// started udp 1 0
}
