// Broadcasting sends messages on topics to all that subscribe, in one process and over loopback:
//
//	go run ./examples/broadcasting
//
// A subscription names a topic, or a pattern: * stands for one element, > at the end for all below.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	if err := run(blaze.Config{}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(cfg blaze.Config, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// One member that subscribes. A handler runs on a goroutine of its subscription, one call at a time.
	trader, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer trader.Shutdown()
	received := make(chan string)
	print := func(m *blaze.Message) {
		text, _ := m.Text()
		received <- fmt.Sprintf("%s: %s", m.Topic(), text)
	}
	if _, err = trader.Subscribe("prices.europe.*", print); err != nil {
		return err
	}
	if _, err = trader.Subscribe("news.>", print); err != nil {
		return err
	}
	if err = trader.Start(); err != nil {
		return err
	}

	// Another one that broadcasts. What it sends before anybody receives is for nobody, so it waits for one.
	exchange, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer exchange.Shutdown()
	if err = exchange.Start(); err != nil {
		return err
	}
	prices, err := exchange.Publisher("prices.europe.acme")
	if err != nil {
		return err
	}
	if err = prices.WaitReceivers(ctx, 1); err != nil {
		return err
	}
	for _, m := range []struct{ topic, text string }{
		{"prices.europe.acme", "101.25"},
		{"prices.asia.acme", "101.50"}, // nobody subscribes to it
		{"news.markets.close", "the market closes at 17:30"},
	} {
		if err = exchange.Broadcast(ctx, m.topic, blaze.NewTextMessage(m.text)); err != nil {
			return err
		}
		if m.topic != "prices.asia.acme" {
			fmt.Fprintln(out, <-received)
		}
	}
	return nil
}
