// Membership shows who is here: members that start, join a group, send to one another and leave.
//
//	go run ./examples/membership
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

	// The desk watches the others. OnMember first has who is there, and then what changes.
	desk, err := blaze.NewGroupChannel("desk", cfg)
	if err != nil {
		return err
	}
	defer desk.Shutdown()
	events := make(chan blaze.MemberEvent, 16)
	desk.OnMember(func(e blaze.MemberEvent) {
		if e.Member.Name != "desk" {
			events <- e
		}
	})
	if err = desk.Start(); err != nil {
		return err
	}

	// A trader comes, as one of a group, and answers requests.
	trader, err := blaze.NewGroupChannel("trader", cfg)
	if err != nil {
		return err
	}
	defer trader.Shutdown()
	if err = trader.Join("europe"); err != nil {
		return err
	}
	if _, err = trader.HandleInbox("", func(request *blaze.Message) {
		text, _ := request.Text()
		if err := trader.Reply(ctx, request, blaze.NewTextMessage("done: "+text)); err != nil {
			log.Print(err)
		}
	}); err != nil {
		return err
	}
	if err = trader.Start(); err != nil {
		return err
	}
	for _, want := range []blaze.MemberEventKind{blaze.MemberStarted, blaze.MemberJoinedGroup} {
		e := <-events
		if e.Kind != want {
			return fmt.Errorf("%v came, and not %v", e.Kind, want)
		}
		fmt.Fprintf(out, "%s: %v\n", e.Member.Name, e.Kind)
	}

	// A message to one member, by its name. Request waits for its reply.
	to, ok := desk.MemberNamed("trader")
	if !ok {
		return fmt.Errorf("no trader")
	}
	reply, err := desk.Request(ctx, to.ID, blaze.NewTextMessage("buy 100 acme"))
	if err != nil {
		return err
	}
	text, _ := reply.Text()
	fmt.Fprintln(out, text)

	// Stop and Shutdown say that a member leaves. One that is killed is reported as failed.
	if err = trader.Shutdown(); err != nil {
		return err
	}
	e := <-events
	fmt.Fprintf(out, "%s: %v\n", e.Member.Name, e.Kind)
	return nil
}
