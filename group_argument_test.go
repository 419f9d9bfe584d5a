package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// Names of groups that cannot be used, in every state.
func TestBadGroupNames(t *testing.T) {
	g, err := blaze.NewGroupChannel("", testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	judge := func() {
		t.Helper()
		for _, row := range []struct {
			name string
			want error
			says string
		}{
			{"", blaze.ErrTopic, `""`},
			{strings.Repeat("n", 256), blaze.ErrTopic, "nnn…"},
			{strings.Repeat("n", 1<<20), blaze.ErrTopic, "nnn…"},
			{"a\xff", blaze.ErrTopic, `"a\xff"`},
			{"blaze.", blaze.ErrArgument, "reserved"},
			{"blaze.own", blaze.ErrArgument, "reserved"},
			{"blaze", nil, ""},
			{strings.Repeat("n", 255), nil, ""},
			{"Börse", nil, ""},
		} {
			for call, err := range map[string]error{"Join": g.Join(row.name), "Leave": g.Leave(row.name)} {
				if !errors.Is(err, row.want) || err != nil && (!strings.Contains(err.Error(), row.says) || len(err.Error()) > 200) {
					t.Errorf("%v: %s %.20q: %v, want %v with %s", g.State(), call, row.name, err, row.want, row.says)
				}
			}
		}
		if n := len(g.Local().Groups); n != 0 {
			t.Errorf("%v: the member is in %d groups", g.State(), n)
		}
	}
	judge()
	startGroup(t, g)
	judge()
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	judge()
	long := strings.Repeat("n", 256)
	if _, err := blaze.NewGroupChannel(long, blaze.Config{}); !errors.Is(err, blaze.ErrConfig) || !strings.Contains(err.Error(), "Name") {
		t.Errorf("a name of 256 bytes: %v", err)
	}
	if g, err := blaze.NewGroupChannel("wins", blaze.Config{Name: "loses"}); err != nil || g.Local().Name != "wins" {
		t.Errorf("%v, %+v", err, g.Local())
	}
}

// A member's groups are bounded in number and in length. Beyond that nothing changes.
func TestTooManyGroups(t *testing.T) {
	g, err := blaze.NewGroupChannel("", testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 16384 {
		if err := g.Join(fmt.Sprint("g", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Join("one more"); !errors.Is(err, blaze.ErrTooLarge) || !strings.Contains(err.Error(), "16384") {
		t.Errorf("one more: %v", err)
	}
	if err := g.Join("g7"); err != nil { // which it is in
		t.Error(err)
	}
	startGroup(t, g)
	defer g.Shutdown()
	o := inGroup(t, "o", blaze.Config{BroadcastURI: g.Config().BroadcastURI, Cluster: g.Config().Cluster, Logger: g.Config().Logger})
	eventually(t, "all groups are at another member", func() bool { return len(o.MembersOf("g16383")) == 1 && len(o.MembersOf("g0")) == 1 })
	for i := range 16384 {
		if err := g.Leave(fmt.Sprint("g", i)); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("n", 250)
	n := 0
	for ; err == nil; n++ {
		err = g.Join(fmt.Sprint(long, n))
	}
	if !errors.Is(err, blaze.ErrTooLarge) || n < 1000 {
		t.Errorf("after %d groups of 254 bytes: %v", n, err)
	}
	eventually(t, "they are at the other member", func() bool { return len(o.MembersOf(fmt.Sprint(long, n-2))) == 1 })
	if len(o.MembersOf("g0")) > 0 || len(o.MembersOf(fmt.Sprint(long, n-1))) > 0 {
		t.Error("groups that were left, or refused, are at the other member")
	}
}

func TestWaitMembersErrors(t *testing.T) {
	g, err := blaze.NewGroupChannel("", testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	if err := g.WaitMembers(ctx, 1); !errors.Is(err, blaze.ErrState) {
		t.Errorf("before Start: %v", err)
	}
	startGroup(t, g)
	if err := g.WaitMembers(ctx, 1025); !errors.Is(err, blaze.ErrArgument) {
		t.Errorf("1,025: %v", err)
	}
	for _, n := range []int{-1, 0, 1} {
		if err := g.WaitMembers(ctx, n); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := g.WaitMembers(over, 2); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 members, 1 are there") {
		t.Errorf("a context that has ended: %v", err)
	}
	inline := make(chan error, 1)
	if _, err := g.SubscribePayload("a", func(*blaze.Delivery) { inline <- g.WaitMembers(ctx, 2) }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	if err := g.Broadcast(ctx, "a", blaze.NewMessage()); err != nil {
		t.Fatal(err)
	}
	if err := next(t, inline, "Inline handler"); !errors.Is(err, blaze.ErrBackPressure) {
		t.Errorf("in an Inline handler: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- g.WaitMembers(ctx, 2) }()
	time.Sleep(time.Millisecond) // or it has not begun to wait, and gets ErrState
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := next(t, waiting, "end of the wait"); !errors.Is(err, blaze.ErrClosed) && !errors.Is(err, blaze.ErrState) {
		t.Errorf("Stop meanwhile: %v", err)
	}
}

// With Invoker WaitMembers turns the engine.
func TestWaitMembersWithInvoker(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	inGroup(t, "a", cfg)
	cfg.Invoker = true
	b := inGroup(t, "b", cfg)
	waitMembers(t, 2, b)
}

// RS-3 for the members of a group.
func TestGroupStartsLeaveNothing(t *testing.T) {
	socketsOnly(t)
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize = 1<<20, 1<<16
	other := inGroup(t, "other", cfg)
	if _, err := other.HandleInbox("", func(*blaze.Message) {}); err != nil {
		t.Fatal(err)
	}
	g, err := blaze.NewGroupChannel("g", cfg)
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	g.OnMember(func(blaze.MemberEvent) { events++ })
	n := 0
	round := func() {
		n++
		name := fmt.Sprint("group", n%20)
		for _, f := range []func() error{
			g.Start, func() error { return g.Join(name) }, func() error { return g.WaitMembers(within(t), 2) },
			func() error { return g.Send(within(t), other.ID(), blaze.NewTextMessage("x")) },
			g.Stop, func() error { return g.Leave(name) }, g.Start, g.Shutdown,
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 5 {
		round()
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines, descriptors := leaks()
	for range rounds {
		round()
	}
	eventually(t, "goroutines and descriptors as before", func() bool {
		g, d := leaks()
		return g <= goroutines && d <= descriptors
	})
	if b := other.Stats().Buffers; b.Count-b.Free > 128 {
		t.Errorf("the other member holds %d buffers", b.Count-b.Free)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Tombstones are kept for an hour.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20+int64(rounds)*2*1024 {
		t.Errorf("the heap grew by %d KiB over %d rounds", grown>>10, rounds)
	}
}

// Join and Leave wait for nothing: not for an engine that stands in an Inline handler, though the command ring is
// full, and not in that handler.
func TestJoinWaitsForNothing(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.MaxMessageSize, cfg.FailureTimeout = 64<<10, 10*time.Second
	g, o := inGroup(t, "g", cfg), inGroup(t, "o", cfg)
	waitMembers(t, 2, g, o)
	inside, gate := make(chan struct{}), make(chan struct{})
	if _, err := g.SubscribePayload("a", func(*blaze.Delivery) {
		close(inside)
		<-gate
		for range 3 {
			if err := g.Join("inline"); err != nil {
				t.Error(err)
			}
		}
		if n := len(g.Local().Groups); n != 3 {
			t.Errorf("in the handler it is in %d groups", n)
		}
	}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	if err := g.Broadcast(within(t), "a", blaze.NewMessage()); err != nil {
		t.Fatal(err)
	}
	next(t, inside, "Inline handler")
	for range 20_000 {
		for _, err := range []error{g.Join("x"), g.Join("y"), g.Leave("x"), g.Join("z"), g.Leave("y")} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := g.Join("last"); err != nil {
		t.Fatal(err)
	}
	close(gate)
	eventually(t, "its groups are at the other member", func() bool {
		m, _ := o.Member(g.ID())
		return fmt.Sprint(m.Groups) == "[inline last z]"
	})
}
