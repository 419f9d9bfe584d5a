package blaze_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/activeblaze/blaze"
)

// ringWatch notes the last regular view of a member, and judges its events of others against it.
type ringWatch struct {
	t      *testing.T
	mu     sync.Mutex
	view   []blaze.MemberID
	events []blaze.MemberEvent
}

func watchRing(t *testing.T, g *blaze.GroupChannel) *ringWatch {
	w := &ringWatch{t: t}
	g.OnView(func(v blaze.View) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if v.Kind == blaze.ViewRegular {
			w.view = v.Members
		}
	})
	g.OnMember(func(e blaze.MemberEvent) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
		if e.Member.ID == g.ID() {
			return
		}
		in := slices.Contains(w.view, e.Member.ID)
		switch e.Kind {
		case blaze.MemberStarted:
			if !in {
				t.Errorf("%s: %s started, and no view has it", g.Local().Name, e.Member.Name)
			}
		case blaze.MemberStopped, blaze.MemberFailed:
			if in {
				t.Errorf("%s: %s has %v, and the view has it", g.Local().Name, e.Member.Name, e.Kind)
			}
		}
	})
	return w
}

// of returns the kinds of events of a member.
func (w *ringWatch) of(id blaze.MemberID) (kinds []blaze.MemberEventKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Member.ID == id && (e.Kind == blaze.MemberStarted || e.Kind == blaze.MemberStopped || e.Kind == blaze.MemberFailed) {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// Where topics are sent under Totem, the ring's views say who of its members is here: a start is reported after the
// first view with the member, an end after the first one without it.
func TestGroupOverTotem(t *testing.T) {
	cfg := testConfig(t)
	cfg.Protocol = blaze.Totem
	var all []*blaze.GroupChannel
	var watches []*ringWatch
	for _, name := range []string{"a", "b", "c"} {
		g, err := blaze.NewGroupChannel(name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, watchRing(t, g))
		startGroup(t, g)
		t.Cleanup(func() { _ = g.Shutdown() })
		all = append(all, g)
	}
	waitMembers(t, 3, all...)
	got := make(chan string, 10)
	all[0].Subscribe("said", func(m *blaze.Message) { got <- "a message" })
	if err := all[1].Broadcast(t.Context(), "said", blaze.NewTextMessage("x")); err != nil {
		t.Fatal(err)
	}
	next(t, got, "a message of the ring")
	c := all[2].ID()
	if err := all[2].Shutdown(); err != nil {
		t.Fatal(err)
	}
	for i, w := range watches[:2] {
		eventually(t, "the end", func() bool { return len(w.of(c)) == 2 })
		if kinds := w.of(c); kinds[0] != blaze.MemberStarted || kinds[1] != blaze.MemberStopped {
			t.Errorf("events of a member that left: %v", kinds)
		}
		if n := len(all[i].Members()); n != 2 {
			t.Errorf("%d members", n)
		}
		eventually(t, "the start of the other one", func() bool { return len(w.of(all[1-i].ID())) == 1 })
	}
}
