// Message fills a Message with typed values and a body, sends it, and reads it where it arrives.
//
//	go run ./examples/message
package main

import (
	"context"
	"errors"
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
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	received := make(chan *blaze.Message, 1)
	if _, err = ch.Subscribe("orders", func(m *blaze.Message) { received <- m }); err != nil {
		return err
	}
	if err = ch.Start(); err != nil {
		return err
	}

	// A map from keys to values of eleven kinds, a message within, and a body besides.
	order := blaze.NewTextMessage("as soon as possible").
		Set("symbol", blaze.StringValue("ACME")).
		Set("quantity", blaze.Int32Value(100)).
		Set("limit", blaze.Float64Value(101.25)).
		Set("account", blaze.MapValue(blaze.NewMessage().Set("desk", blaze.Int16Value(7))))
	if err = ch.Broadcast(ctx, "orders", order); err != nil { // a channel hears itself, unless Config.NoSelfDelivery
		return err
	}

	m := <-received
	fmt.Fprintln(out, m)
	for key, value := range m.All() { // in the order of the keys
		fmt.Fprintf(out, "%s is a value of kind %v: %v\n", key, value.Kind(), value)
	}
	quantity, _ := m.Get("quantity")
	n, err := quantity.Int64() // a smaller integer may be read as a larger one
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "quantity:", n)
	if _, err = quantity.Text(); errors.Is(err, blaze.ErrKind) { // but not as another kind
		fmt.Fprintln(out, "as a text: ErrKind")
	}
	body, _ := m.Text()
	fmt.Fprintln(out, "body:", body)
	return nil
}
