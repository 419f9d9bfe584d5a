package blaze_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// A member that comes later is given the state while others write; its watch sees the whole of it, and then each change
// that the others see.
func TestWaitReadyOfAJoiner(t *testing.T) {
	cfg := clusterConfig(t)
	a := inCluster(t, "a", cfg)
	ready(t, a)
	m := a.Map("m")
	for i := range 500 {
		mustPut(t, m, fmt.Sprint("before", i), strings.Repeat("v", 200))
	}
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
			}
			if _, err := m.Put(context.Background(), fmt.Sprint("while", n%100), []byte(fmt.Sprint(n))); err != nil {
				t.Error(err)
			}
		}
	}()
	b := newCluster(t, "b", cfg)
	state := map[string]string{}
	changes := make(chan blaze.MapEvent, 1<<16)
	defer b.Map("m").Watch("", func(e blaze.MapEvent) { changes <- e })()
	if err := b.WaitReady(soon(t)); !errors.Is(err, blaze.ErrState) {
		t.Errorf("WaitReady before Start: %v", err)
	}
	startCluster(t, b)
	ready(t, b)
	if n := b.Map("m").Len(); n < 500 {
		t.Errorf("ready with %d entries", n)
	}
	mustPut(t, b.Map("m"), "mine", "v")
	close(stop)
	n := <-ended
	mustPut(t, m, "last", "v")
	for state["last"] == "" {
		e := next(t, changes, "change")
		switch e.Kind {
		case blaze.MapReset:
			clear(state)
		case blaze.MapPresent, blaze.MapPut:
			if old, was := state[e.Key]; e.Kind == blaze.MapPut && (e.Old.Version != 0) != was || was && old != string(e.Old.Value) {
				t.Fatalf("%v %s: it was %q, and the event says %q", e.Kind, e.Key, old, e.Old.Value)
			}
			state[e.Key] = string(e.New.Value)
		}
	}
	if len(state) != m.Len() || state["mine"] != "v" {
		t.Errorf("the watch has %d entries, there are %d", len(state), m.Len())
	}
	for k, e := range m.All() {
		if state[k] != string(e.Value) {
			t.Errorf("%s is %q, and the watch has %q", k, e.Value, state[k])
		}
	}
	sa, sb := a.Status(), b.Status()
	if sa.Index != sb.Index || sa.Hash != sb.Hash || !sb.Primary || len(sb.Members) != 2 || sb.Entries != m.Len() {
		t.Errorf("status\n%+v\n%+v", sa, sb)
	}
	t.Logf("%d puts while it joined", n)
}

// WaitReady ends with its ctx, and with Stop.
func TestWaitReadyEnds(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 2
	a := inCluster(t, "a", cfg)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := a.WaitReady(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitReady: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.WaitReady(context.Background()) }()
	eventually(t, "the wait", func() bool { return a.Stats().Cluster.Calls == 1 })
	if err := a.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := next(t, ended, "the end of the wait"); !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("WaitReady: %v", err)
	}
}

// An observer sees the state, and may write and lock. It founds nothing, counts in no quorum, and is never master.
func TestObserver(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 2
	watching := cfg
	watching.Observer, watching.MasterWeight = true, 100
	o := inCluster(t, "o", watching)
	a := inCluster(t, "a", cfg)
	eventually(t, "two members without a quorum", func() bool { return len(a.Status().Members) == 2 })
	if _, err := a.Map("m").Put(soon(t), "k", nil); !errors.Is(err, blaze.ErrNoQuorum) {
		t.Errorf("Put of one of two and an observer: %v", err)
	}
	b := inCluster(t, "b", cfg)
	ready(t, a, b, o)
	mustPut(t, o.Map("m"), "k", "v")
	l := mustLock(t, o.Map("m"), "l")
	if e, ok, err := b.Map("m").GetLinear(soon(t), "k"); err != nil || !ok || string(e.Value) != "v" {
		t.Errorf("GetLinear = %+v, %v, %v", e, ok, err)
	}
	if at := masters(t, a, b); at < 0 || o.IsMaster() {
		t.Error("the observer is master")
	}
	for _, v := range a.Status().Voters {
		if v.Name == "o" {
			t.Error("the observer has a seat")
		}
	}
	if err := o.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if l.Held() {
		t.Error("the lock is held after Stop")
	}
	mustPut(t, a.Map("m"), "k", "after")
	mustLock(t, a.Map("m"), "l")
}

// GroupChannels and ClusterChannels of one Config.Cluster are in one table of members, also where topics run under Totem
// besides. A GroupChannel takes no part in the cluster.
func TestClusterInAGroup(t *testing.T) {
	cfg := clusterConfig(t)
	topics := cfg
	topics.Topics = []blaze.TopicConfig{{Pattern: "ordered", Protocol: blaze.Totem}}
	cfg.ExpectedMembers, topics.ExpectedMembers = 2, 2
	a, b := inCluster(t, "a", topics), inCluster(t, "b", cfg)
	g, plain := inGroup(t, "g", topics), inGroup(t, "p", cfg)
	waitMembers(t, 4, a.GroupChannel, b.GroupChannel, g, plain)
	ready(t, a, b)
	if n := len(a.Status().Members); n != 2 {
		t.Errorf("%d members of the cluster", n)
	}
	if _, err := b.HandleInbox("", func(m *blaze.Message) { _ = b.Reply(context.Background(), m, m) }); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*blaze.GroupChannel{g, plain, a.GroupChannel} {
		if r, err := from.Request(soon(t), b.ID(), blaze.NewTextMessage("x")); err != nil || text(r) != "x" {
			t.Errorf("Request of %s: %v", from.Config().Name, err)
		}
	}
	got := make(chan string, 1)
	if _, err := g.Subscribe("ordered", func(m *blaze.Message) { got <- text(m) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message of the other ring", func() bool {
		if err := a.Broadcast(soon(t), "ordered", blaze.NewTextMessage("t")); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-got:
			return s == "t"
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	waitGone := func(x *blaze.GroupChannel) {
		eventually(t, "b is gone at "+x.Config().Name, func() bool { _, ok := x.MemberNamed("b"); return !ok })
	}
	waitGone(a.GroupChannel)
	waitGone(g)
	waitGone(plain)
}

// With ExpectedMembers and without a name a line of the log says what that means. With a name it does not.
func TestLogOfDefaultName(t *testing.T) {
	for _, name := range []string{"", "named"} {
		lines := &lockedBuffer{}
		cfg := clusterConfig(t)
		cfg.ExpectedMembers = 1
		cfg.Logger = slog.New(slog.NewTextHandler(lines, nil))
		c := inCluster(t, name, cfg)
		if says := strings.Contains(lines.String(), "cannot take its seat"); says != (name == "") {
			t.Errorf("named %q: the log says\n%s", name, lines.String())
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// Status and Stats say what is there in every state.
func TestClusterStatus(t *testing.T) {
	c := newCluster(t, "a", clusterConfig(t))
	if s := c.Status(); s.Phase != "constructed" || s.Primary {
		t.Errorf("before Start: %+v", s)
	}
	all := clusterOf(t, 2)
	mustPut(t, all[0].Map("m"), "k", "v")
	mustLock(t, all[1].Map("m"), "l")
	for _, c := range all {
		eventually(t, "both have counted", func() bool { s := c.Status(); return s.Locks >= 1 && s.Entries == 1 })
		s := c.Status()
		if !s.Primary || s.Why != "" || s.Phase != "complete" || s.Epoch == 0 || s.Maps != 1 || len(s.Voters) != 2 || s.Rules == 0 ||
			s.Master == (blaze.MemberID{}) || time.Since(s.Founded) > time.Hour || s.Bytes != int64(len("kv")+64) {
			t.Errorf("%+v", s)
		}
		for _, m := range s.Members {
			if !m.Ready || !m.Vote || m.Age == 0 || m.Name == "" || bytes.Equal(m.Seat[:], make([]byte, 16)) {
				t.Errorf("%+v", m)
			}
		}
		for _, v := range s.Voters {
			if v.Missing || v.Name == "" || len(v.Seat.String()) < 32 {
				t.Errorf("%+v", v)
			}
		}
		if x := c.Stats().Cluster; !x.Primary || x.Entries != 1 || x.Ring.Members != 2 || x.Applied == 0 {
			t.Errorf("%+v", x)
		}
	}
	if s := c.Stats().Cluster; s.Primary || s.Applied != 0 {
		t.Errorf("%+v", s)
	}
}

// The seventeenth ClusterChannel finds no room in the ring. It founds nothing, and its calls say why.
func TestSeventeenthMember(t *testing.T) {
	if testing.Short() {
		t.Skip("17 members in one process")
	}
	cfg := clusterConfig(t)
	cfg.Idle = blaze.Block
	cfg.ExpectedMembers = 16
	var all []*blaze.ClusterChannel
	for i := range 16 {
		all = append(all, inCluster(t, fmt.Sprint("m", i), cfg))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	for _, c := range all {
		if err := c.WaitReady(ctx); err != nil {
			t.Fatalf("%v\n%+v", err, c.Status())
		}
	}
	dynamic := cfg
	dynamic.ExpectedMembers = 0
	one := inCluster(t, "one too many", dynamic)
	err := one.WaitReady(ctx)
	if !errors.Is(err, blaze.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), "16") {
		t.Errorf("WaitReady of the seventeenth: %v\n%+v", err, one.Status())
	}
	if _, err := one.Map("m").Put(ctx, "k", nil); !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("Put of the seventeenth: %v", err)
	}
	if _, err := all[0].Map("m").Put(ctx, "k", nil); err != nil {
		t.Errorf("Put of the others: %v", err)
	}
}
