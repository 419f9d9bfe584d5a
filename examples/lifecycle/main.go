// Lifecycle takes a channel through its states: constructed, initialized, started, stopped, and back.
//
//	go run ./examples/lifecycle
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/activeblaze/blaze"
)

func main() {
	if err := run(blaze.Config{}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(cfg blaze.Config, out io.Writer) error {
	ch, err := blaze.NewChannel(cfg) // a mistake in cfg shows here
	if err != nil {
		return err
	}
	// A subscription works in every state, and outlives all of them.
	if _, err = ch.Subscribe("prices.>", func(*blaze.Message) {}); err != nil {
		return err
	}
	fmt.Fprintln(out, "after NewChannel:", ch.State())

	for _, step := range []struct {
		name string
		call func() error
	}{
		{"Init", ch.Init},         // takes sockets and memory; nothing is sent
		{"Start", ch.Start},       // a member, with a new MemberID
		{"Stop", ch.Stop},         // what was accepted is sent, at most Config.Linger; the others see it leave
		{"Start", ch.Start},       // again
		{"Shutdown", ch.Shutdown}, // through Stop; everything is given back
	} {
		first := ch.ID()
		if err = step.call(); err != nil {
			return err
		}
		fmt.Fprintf(out, "after %s: %v\n", step.name, ch.State())
		if step.name == "Start" && ch.ID() == first {
			return errors.New("a start has a new MemberID")
		}
	}

	// What a state forbids is ErrState.
	if err = ch.Start(); err != nil {
		return err
	}
	defer ch.Shutdown()
	if err = ch.SetConfig(cfg); errors.Is(err, blaze.ErrState) {
		fmt.Fprintln(out, "SetConfig while started: ErrState")
	}
	return nil
}
