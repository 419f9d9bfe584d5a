package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/activeblaze/blaze"
)

// Members find each other, and are told who joins and who leaves.
func ExampleGroupChannel() {
	alice, err := blaze.NewGroupChannel("alice", blaze.Config{Cluster: cluster})
	must(err)
	bob, err := blaze.NewGroupChannel("bob", blaze.Config{Cluster: cluster})
	must(err)

	done := make(chan bool)
	alice.OnMember(func(e blaze.MemberEvent) {
		switch e.Kind {
		case blaze.MemberJoinedGroup:
			fmt.Println(e.Member.Name, e.Kind, e.Group)
		case blaze.MemberStopped:
			defer close(done)
			fallthrough
		default:
			fmt.Println(e.Member.Name, e.Kind)
		}
	})
	must(alice.Start())
	defer alice.Shutdown()
	must(bob.Join("traders"))
	must(bob.Start())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(bob.WaitMembers(ctx, 2))
	_, found := bob.MemberNamed("alice")
	fmt.Println("bob sees alice:", found)
	must(alice.WaitMembers(ctx, 2))
	fmt.Println("traders:", len(alice.MembersOf("traders")))

	must(bob.Shutdown())
	<-done
	// Unordered output:
	// alice started
	// bob started
	// bob joined group traders
	// bob sees alice: true
	// traders: 1
	// bob stopped
}

// members makes two members that know each other.
func members(ctx context.Context, names ...string) (all []*blaze.GroupChannel) {
	for _, name := range names {
		g, err := blaze.NewGroupChannel(name, blaze.Config{Cluster: cluster})
		must(err)
		must(g.Start())
		all = append(all, g)
	}
	for _, g := range all {
		must(g.WaitMembers(ctx, len(all)))
	}
	return all
}

// Send returns when the other member has the message.
func ExampleGroupChannel_Send() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := members(ctx, "alice", "bob")
	alice, bob := all[0], all[1]
	defer alice.Shutdown()
	defer bob.Shutdown()

	got := make(chan string)
	_, err := bob.HandleInbox("", func(m *blaze.Message) {
		from, _ := bob.Member(m.From())
		text, _ := m.Text()
		got <- from.Name + ": " + text
	})
	must(err)
	must(alice.Send(ctx, bob.ID(), blaze.NewTextMessage("hello")))
	fmt.Println(<-got)

	err = alice.SendInbox(ctx, bob.ID(), "orders", blaze.NewTextMessage("buy"))
	fmt.Println("nobody handles that in-box:", errors.Is(err, blaze.ErrNoConsumer))

	// Output:
	// alice: hello
	// nobody handles that in-box: true
}

// Request waits for the reply of the other member.
func ExampleGroupChannel_Request() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := members(ctx, "client", "server")
	client, server := all[0], all[1]
	defer client.Shutdown()
	defer server.Shutdown()

	_, err := server.HandleInbox("", func(m *blaze.Message) {
		symbol, _ := m.Text()
		must(server.Reply(ctx, m, blaze.NewTextMessage(symbol+" 99.5")))
	})
	must(err)
	reply, err := client.Request(ctx, server.ID(), blaze.NewTextMessage("ACME"))
	must(err)
	fmt.Println(reply)

	// Output:
	// "ACME 99.5"
}

// Enqueue hands a message to one of the consumers, and returns when that one has handled it.
func ExampleGroupChannel_Enqueue() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := members(ctx, "client", "worker")
	client, worker := all[0], all[1]
	defer client.Shutdown()
	defer worker.Shutdown()

	failed := false
	_, err := worker.Consume("orders", func(m *blaze.Message) error {
		order, _ := m.Text()
		if !failed {
			failed = true
			return fmt.Errorf("no connection to the exchange") // it comes again
		}
		fmt.Println("handled:", order, "redelivered:", m.Redelivered())
		return nil
	})
	must(err)
	must(client.Enqueue(ctx, "orders", blaze.NewTextMessage("buy 100 ACME")))
	fmt.Println("done")

	// Output:
	// handled: buy 100 ACME redelivered: true
	// done
}

// With an Inline handler and payloads a request costs one round trip, and allocates nothing.
func ExampleGroupChannel_RequestPayload() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := members(ctx, "client", "server")
	client, server := all[0], all[1]
	defer client.Shutdown()
	defer server.Shutdown()

	_, err := server.HandleCalls("price", func(c *blaze.Call) {
		if c.Wanted {
			must(c.Reply(append(c.Payload[:len(c.Payload):len(c.Payload)], " 99.5"...)))
		}
	}, blaze.Inline())
	must(err)
	memory := make([]byte, 0, 64)
	reply, err := client.RequestPayload(ctx, server.ID(), "price", []byte("ACME"), memory)
	must(err)
	fmt.Printf("%s\n", reply)

	// Output:
	// ACME 99.5
}
