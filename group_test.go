package blaze_test

import (
	"context"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
)

// inGroup makes a GroupChannel that is started, and shut down when the test ends.
func inGroup(t testing.TB, name string, cfg blaze.Config) *blaze.GroupChannel {
	t.Helper()
	g, err := blaze.NewGroupChannel(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	startGroup(t, g)
	t.Cleanup(func() {
		if err := g.Shutdown(); err != nil {
			t.Logf("Shutdown: %v", err)
		}
	})
	return g
}

func startGroup(t testing.TB, g *blaze.GroupChannel) {
	t.Helper()
	var err error
	inNetwork(t, g.Config(), func() { err = g.Start() })
	if err != nil {
		t.Fatal(err)
	}
}

// waitMembers waits until each of them sees n members.
func waitMembers(t testing.TB, n int, all ...*blaze.GroupChannel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, g := range all {
		if err := g.WaitMembers(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
}

// A plain Channel is no member: it takes no part in a group, and topics go both ways.
func TestChannelBesideAGroup(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	a, b := inGroup(t, "a", cfg), inGroup(t, "b", cfg)
	plain := started(t, cfg)
	waitMembers(t, 2, a, b)
	got := make(chan string, 100)
	for _, c := range []*blaze.Channel{a.Channel, plain} {
		if _, err := c.SubscribePayload("topic", func(d *blaze.Delivery) { got <- string(d.Payload) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*blaze.Channel{b.Channel, plain} {
		offer(t, publisher(t, c, "topic", 2), []byte("x"))
		for range 2 {
			next(t, got, "message")
		}
	}
	eventually(t, "heartbeats", func() bool { return plain.Stats().Engine.Drops[engine.DropProtocol] > 0 })
	if s := plain.Stats().Group; s != (group.Stats{}) {
		t.Errorf("a plain Channel counts %+v", s)
	}
	if n := len(a.Members()); n != 2 {
		t.Errorf("%d members", n)
	}
}

// Three members of one process see each other, and each other's groups.
func TestGroupOfThree(t *testing.T) {
	cfg := testConfig(t)
	a, b := inGroup(t, "a", cfg), inGroup(t, "b", cfg)
	if err := a.Join("prices"); err != nil {
		t.Fatal(err)
	}
	c := inGroup(t, "c", cfg)
	waitMembers(t, 3, a, b, c)
	for _, g := range []*blaze.GroupChannel{a, b, c} {
		eventually(t, "the group", func() bool { return len(g.MembersOf("prices")) == 1 })
		for _, o := range []*blaze.GroupChannel{a, b, c} {
			m, ok := g.Member(o.ID())
			l := o.Local()
			if !ok || m.Name != l.Name || m.Addr != l.Addr || !m.Started.Equal(l.Started) || m.ID != o.ID() || m.Incarnation != 0 {
				t.Errorf("%v sees %+v, %t; it is %+v", g.Local().Name, m, ok, l)
			}
			if named, ok := g.MemberNamed(l.Name); !ok || named.ID != o.ID() {
				t.Errorf("named %s: %v, %t", l.Name, named, ok)
			}
		}
	}
	if err := a.Leave("prices"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*blaze.GroupChannel{a, b, c} {
		eventually(t, "the group is empty", func() bool { return len(g.MembersOf("prices")) == 0 })
	}
}
