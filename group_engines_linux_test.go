package blaze_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

// A member with an engine for each of two queues is in a group with members whose datagrams arrive in either, and in
// none. All see all. Topics arrive at both engines. A member whose link is down for a moment is reported as failed, and
// is back with its next incarnation; one that leaves is reported as stopped, after all that it has sent.
func TestGroupOverSeveralQueues(t *testing.T) {
	fastPath(t)
	const queues, count = 2, 300
	hub, cfg := testnet.NewHub(t), quiet(t)
	join := func(n *testnet.Namespace, name string, cfg blaze.Config) *blaze.GroupChannel {
		g, err := blaze.NewGroupChannel(name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.Do(func() { err = g.Start() })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.Shutdown(); err != nil {
				t.Logf("Shutdown: %v", err)
			}
		})
		return g
	}
	wide := cfg
	wide.BroadcastURI += fmt.Sprintf("&queues=%d", queues)
	r := join(hub.MemberWith(queues+2), "r", wide)
	all, topics := []*blaze.GroupChannel{r}, []string(nil)
	var places []*testnet.Namespace
	for i := range queues + 3 {
		c, n := cfg, hub.MemberWith(queues+2)
		c.BroadcastURI += fmt.Sprintf("&queue=%d", i)
		if i == queues+2 {
			c.BroadcastURI = "udp" + strings.TrimPrefix(cfg.BroadcastURI, "xdp")
		}
		all, places, topics = append(all, join(n, fmt.Sprint("s", i), c)), append(places, n), append(topics, fmt.Sprint("from.", i))
	}
	waitMembers(t, len(all), all...)

	f := newFlows(t)
	if _, err := r.SubscribePayload("from.>", f.handle, blaze.OnLoss(f.loss)); err != nil {
		t.Fatal(err)
	}
	events := make(chan blaze.MemberEvent, 100)
	r.OnMember(func(e blaze.MemberEvent) { events <- e })
	done := f.expectAll(topics, count)
	var pubs []*blaze.Publisher
	for i, s := range all[1:] {
		pubs = append(pubs, publisher(t, s.Channel, topics[i], len(all)-1))
	}
	for n := range count {
		for _, p := range pubs {
			offer(t, p, long(n))
		}
	}
	for _, d := range done {
		next(t, d, "last message")
	}
	heard := 0
	for _, e := range r.Stats().Engines {
		if e.Nack.Streams > 0 {
			heard++
		}
	}
	if heard != queues {
		t.Errorf("%d of %d engines receive topics", heard, queues)
	}

	for _, g := range all {
		if _, err := g.HandleInbox("", func(m *blaze.Message) { _ = g.Reply(context.Background(), m, m) }); err != nil {
			t.Fatal(err)
		}
	}
	for i, g := range all[1:] { // the wide member's datagrams leave by one queue, theirs arrive in either
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		for _, pair := range [][2]*blaze.GroupChannel{{r, g}, {g, r}} {
			if m, err := pair[0].Request(ctx, pair[1].ID(), blaze.NewTextMessage(topics[i])); err != nil {
				t.Error(err)
			} else if text, _ := m.Text(); text != topics[i] {
				t.Errorf("reply %q", text)
			}
		}
		cancel()
	}

	awaits := func(kind blaze.MemberEventKind, id blaze.MemberID) blaze.MemberEvent {
		t.Helper()
		for {
			if e := next(t, events, fmt.Sprint(kind, " of ", id)); e.Kind == kind && e.Member.ID == id {
				return e
			}
		}
	}
	for i, s := range all[1:3] {
		places[i].IP(t, "link set v0 down")
		awaits(blaze.MemberFailed, s.ID())
		places[i].IP(t, "link set v0 up")
		if e := awaits(blaze.MemberStarted, s.ID()); e.Member.Incarnation == 0 {
			t.Errorf("member %d is back with incarnation %d", i, e.Member.Incarnation)
		}
	}
	waitMembers(t, len(all), all...)
	for i, p := range pubs {
		done := f.expect(topics[i], count+1)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := p.WaitReceivers(ctx, 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		eventually(t, "the message is taken", func() bool { return p.Offer(long(count)) == nil })
		next(t, done, "a message after the return")
	}
	s := all[len(all)-1]
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	awaits(blaze.MemberStopped, s.ID())
}
