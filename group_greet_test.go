package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/activeblaze/blaze"
)

// No circle of waiting: three members start together, and the OnMember handler of each one greets each newcomer by
// Send and by Request. Every call returns.
func TestMembersGreetEachOther(t *testing.T) {
	socketsOnly(t)
	rounds := 100
	if testing.Short() {
		rounds = 15
	}
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 1<<20, 64<<10
	var all [3]*blaze.GroupChannel
	greeted := make(chan error, 1000)
	for i := range all {
		g, err := blaze.NewGroupChannel(fmt.Sprint("m", i), cfg)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = g
		defer g.Shutdown()
		if _, err := g.HandleInbox("", func(m *blaze.Message) {
			reply := blaze.NewTextMessage("welcome")
			if text, _ := m.Text(); text == "who are you?" {
				if err := g.Reply(context.Background(), m, reply); err != nil {
					t.Error(err)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		g.OnMember(func(e blaze.MemberEvent) {
			if e.Kind != blaze.MemberStarted || e.Member.ID == g.ID() {
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			err := g.Send(ctx, e.Member.ID, blaze.NewTextMessage("hello"))
			if err == nil {
				_, err = g.Request(ctx, e.Member.ID, blaze.NewTextMessage("who are you?"))
			}
			greeted <- err
		})
	}
	together := func(f func(*blaze.GroupChannel) error) {
		t.Helper()
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for i, g := range all {
			wg.Add(1)
			go func() { defer wg.Done(); errs[i] = f(g) }()
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		together((*blaze.GroupChannel).Start)
		for range len(all) * (len(all) - 1) {
			if err := next(t, greeted, "greeting"); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		together((*blaze.GroupChannel).Stop)
	}
}
