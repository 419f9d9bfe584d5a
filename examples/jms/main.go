// Jms shows the JMS-style API: a queue, a topic with a selector, request and reply, a transaction. The process is its own
// holder: nothing else need run.
//
//	go run ./examples/jms
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms"
)

func main() {
	factory, err := jms.NewConnectionFactory(blaze.Config{}, jms.WithRole(jms.Holder))
	if err == nil {
		for _, part := range []func(*jms.ConnectionFactory, io.Writer) error{queue, topic, requestReply, transaction} {
			if err = part(factory, os.Stdout); err != nil {
				break
			}
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

const patience = 20 * time.Second

// queue sends before anybody consumes: a queue keeps what is sent to it until one consumer has it.
func queue(f *jms.ConnectionFactory, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer c.Close()
	orders, err := c.Queue("orders")
	if err != nil {
		return err
	}
	p := c.Producer()
	for _, order := range []string{"buy 100 acme", "sell 50 acme"} {
		if err = p.SendText(ctx, orders, order); err != nil {
			return err
		}
	}
	if err = p.SetPriority(9).SendText(ctx, orders, "cancel all"); err != nil {
		return err
	}
	k, err := c.Consumer(orders)
	if err != nil {
		return err
	}
	for range 3 {
		m, err := k.Receive(ctx)
		if err != nil {
			return err
		}
		text, err := m.Text()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "queue: %s, priority %d\n", text, m.Priority())
	}
	return nil
}

// topic has a listener that wants some of the messages, chosen by their properties.
func topic(f *jms.ConnectionFactory, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer c.Close()
	prices, err := c.Topic("prices.*")
	if err != nil {
		return err
	}
	k, err := c.Consumer(prices, jms.Selector("bid > 100 AND symbol LIKE 'AC%'"))
	if err != nil {
		return err
	}
	heard := make(chan string, 2)
	if err = k.Listen(func(m *jms.Message) {
		symbol, _ := m.StringProperty("symbol")
		bid, _ := m.DoubleProperty("bid")
		heard <- fmt.Sprintf("topic: %s, %s at %v", m.Destination().Name(), symbol, bid)
	}); err != nil {
		return err
	}

	// A session is for one goroutine at a time, and the listener has that one: publishing needs another.
	publisher, err := c.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer publisher.Close()
	acme, err := publisher.Topic("prices.acme")
	if err != nil {
		return err
	}
	p := publisher.Producer().SetDeliveryMode(jms.NonPersistent).SetProperty("symbol", "ACME")
	for _, bid := range []float64{99.5, 101.25, 100, 102} {
		if err = p.SetProperty("bid", bid).Send(ctx, acme, jms.NewMessage()); err != nil {
			return err
		}
	}
	for range 2 {
		select {
		case line := <-heard:
			fmt.Fprintln(out, line)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// requestReply asks through a direct queue: no holder is on the way.
func requestReply(f *jms.ConnectionFactory, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer server.Close()
	quotes, err := server.Queue("quotes?direct=true")
	if err != nil {
		return err
	}
	k, err := server.Consumer(quotes)
	if err != nil {
		return err
	}
	answers := server.Producer()
	if err = k.Listen(func(request *jms.Message) {
		symbol, _ := request.Text()
		reply := jms.NewTextMessage(symbol + " is at 101.25")
		reply.SetCorrelationID(request.MessageID())
		if err := answers.Send(ctx, request.ReplyTo(), reply); err != nil {
			log.Print(err)
		}
	}); err != nil {
		return err
	}

	client, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer client.Close()
	p := client.Producer().SetDeliveryMode(jms.NonPersistent)
	reply, err := p.Request(ctx, quotes, jms.NewTextMessage("ACME"))
	if err != nil {
		return err
	}
	text, err := reply.Text()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "request:", text)
	return nil
}

// transaction moves a message from one queue to another: both happen, or neither.
func transaction(f *jms.ConnectionFactory, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := f.CreateContext(jms.Transacted)
	if err != nil {
		return err
	}
	defer c.Close()
	in, err := c.Queue("payments")
	if err != nil {
		return err
	}
	done, err := c.Queue("booked")
	if err != nil {
		return err
	}
	p := c.Producer()
	if err = p.SendText(ctx, in, "pay 10"); err != nil {
		return err
	}
	if err = c.Commit(ctx); err != nil {
		return err
	}
	k, err := c.Consumer(in)
	if err != nil {
		return err
	}
	for range 2 {
		m, err := k.Receive(ctx)
		if err != nil {
			return err
		}
		text, err := m.Text()
		if err != nil {
			return err
		}
		if err = p.SendText(ctx, done, text); err != nil {
			return err
		}
		if !m.Redelivered() { // say that something went wrong
			fmt.Fprintln(out, "transaction: rolled back")
			if err = c.Rollback(ctx); err != nil {
				return err
			}
			continue
		}
		if err = c.Commit(ctx); err != nil {
			return err
		}
	}
	b, err := c.Browser(done)
	if err != nil {
		return err
	}
	for m, err := range b.All() {
		if err != nil {
			return err
		}
		text, err := m.Text()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "transaction: booked", text)
	}
	return nil
}
