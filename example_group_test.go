package blaze_test

import (
	"context"
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
