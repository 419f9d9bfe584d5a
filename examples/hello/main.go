// Hello broadcasts one message on a topic and hears it in another member, on loopback.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	listener := start("listener")
	defer listener.Shutdown()
	heard := make(chan string, 1)
	_, err := listener.Subscribe("prices.*", func(m *blaze.Message) {
		text, _ := m.Text()
		heard <- fmt.Sprintf("%s = %s, message %d of its sender", m.Topic(), text, m.Sequence())
	})
	check(err)

	speaker := start("speaker")
	defer speaker.Shutdown()
	prices, err := speaker.Publisher("prices.acme")
	check(err)
	check(prices.WaitReceivers(ctx, 1)) // who joins later hears what is sent later
	check(speaker.Broadcast(ctx, "prices.acme", blaze.NewTextMessage("101.25")))
	fmt.Println(<-heard)
}

func start(name string) *blaze.Channel {
	ch, err := blaze.NewChannel(blaze.Config{Name: name})
	check(err)
	check(ch.Start())
	return ch
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
