// Prices carries prices from one host to another. On the first host, where eth0 is the
// interface of the common network:
//
//	go run ./examples/prices -interface eth0 listen
//
// and on the second one:
//
//	go run ./examples/prices -interface eth0 send
//
// Without -interface both run on one host, over loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	network := flag.String("interface", "", "the network interface; empty: stay on this host")
	count := flag.Int("count", 10, "prices to send")
	flag.Parse()
	cfg := blaze.Config{}
	if *network != "" {
		cfg.BroadcastURI = "udp://239.255.66.76:6676?interface=" + *network
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	var err error
	switch flag.Arg(0) {
	case "listen":
		err = listen(ctx, cfg, os.Stdout)
	case "send":
		err = send(ctx, cfg, *count)
	default:
		err = fmt.Errorf("want listen or send, not %q", flag.Arg(0))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// listen prints every price and every loss until ctx ends.
func listen(ctx context.Context, cfg blaze.Config, out io.Writer) error {
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	price := func(d *blaze.Delivery) { fmt.Fprintf(out, "%d %s = %s\n", d.Sequence, d.Topic, d.Payload) }
	loss := func(l blaze.Loss) { fmt.Fprintf(out, "%d to %d are lost: %v\n", l.First, l.Last, l.Reason) }
	if _, err = ch.SubscribePayload("prices.>", price, blaze.OnLoss(loss)); err != nil {
		return err
	}
	if err = ch.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// send waits for a receiver and sends it count prices, as fast as it can take them.
func send(ctx context.Context, cfg blaze.Config, count int) error {
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	if err = ch.Start(); err != nil {
		return err
	}
	prices, err := ch.Publisher("prices.acme")
	if err != nil {
		return err
	}
	if err = prices.WaitReceivers(ctx, 1); err != nil {
		return err
	}
	for i := range count {
		payload := fmt.Appendf(nil, "%d.25", 100+i)
		for err = prices.Offer(payload); errors.Is(err, blaze.ErrBackPressure); err = prices.Offer(payload) {
			time.Sleep(100 * time.Microsecond) // the receiver has no room just now
		}
		if err != nil {
			return err
		}
	}
	return ch.Stop() // waits until the receivers have reported everything
}
