package blaze_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/local"
)

// Each member shows itself to the others, unless it does not want to. What it shows fits into a message.
func TestInspectAll(t *testing.T) {
	cfg := testConfig(t)
	a := inGroup(t, "a", cfg)
	b := inGroup(t, "b", cfg)
	hidden := cfg
	hidden.NoInspect = true
	c := inGroup(t, "c", hidden)
	if err := a.WaitMembers(within(t), 3); err != nil {
		t.Fatal(err)
	}
	for range 3 { // soon after each other
		found := map[blaze.MemberID]*blaze.Inspection{}
		for id, v := range a.InspectAll(within(t)) {
			found[id] = v
		}
		if len(found) != 3 || found[c.ID()] != nil {
			t.Fatalf("%d members, one that is hidden shows %+v", len(found), found[c.ID()])
		}
		for _, g := range []*blaze.GroupChannel{a, b} {
			if v := found[g.ID()]; v == nil || v.Channel.Name != g.Local().Name || v.Channel.ID != g.ID() || len(v.Members) != 3 {
				t.Errorf("%s: %+v", g.Local().Name, v)
			}
		}
	}
	for range a.InspectAll(within(t)) {
		break // leaves nothing behind
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for id, v := range a.InspectAll(ctx) {
		if id != a.ID() && v != nil {
			t.Errorf("%v answered when ctx had ended", id)
		}
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
}

// An Inspection that is longer than a message keeps what matters most, and says how much it has left out.
func TestInspectAllOfMany(t *testing.T) {
	cfg := testConfig(t)
	cfg.MaxMessageSize = 64 << 10
	a, b := inGroup(t, "a", cfg), inGroup(t, "b", cfg)
	const n = 2000
	stop := make(chan struct{})
	defer close(stop)
	for i := range n {
		if _, err := b.SubscribePayload(fmt.Sprintf("some.topic.that.is.long.%d", i), func(*blaze.Delivery) { <-stop }); err != nil {
			t.Fatal(err)
		}
	}
	p := publisher(t, a.Channel, "some.topic.that.is.long.1234", 1)
	offer(t, p, nil)
	offer(t, p, nil)
	if err := a.WaitMembers(within(t), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fullest subscription is there", func() bool {
		for id, v := range a.InspectAll(within(t)) {
			if id != b.ID() {
				continue
			}
			if v == nil {
				t.Fatal("no answer")
			}
			if s := v.Subscriptions; len(s)+v.LeftOut.Subscriptions != n+1 || len(s) < 16 || v.LeftOut.Subscriptions == 0 {
				t.Fatalf("%d subscriptions, %d left out", len(s), v.LeftOut.Subscriptions)
			}
			if v.Subscriptions[0].Pattern == "some.topic.that.is.long.1234" && v.Subscriptions[0].Queued > 0 {
				return true
			}
		}
		return false
	})
}

// Members that ask as fast as they can, and one that takes no reply, keep nobody from being inspected, nor from working.
func TestInspectInboxUnderLoad(t *testing.T) {
	cfg := testConfig(t)
	a, b, c := inGroup(t, "a", cfg), inGroup(t, "b", cfg), inGroup(t, "c", cfg)
	if err := c.WaitMembers(within(t), 3); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	busy := 0
	all.Go(func() {
		for ctx.Err() == nil {
			r, err := c.RequestPayload(ctx, b.ID(), "blaze.inspect", []byte("\x00garbage"), nil)
			if err == nil && string(r) == `{"error":"busy"}` {
				busy++
			}
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			_ = c.SendInbox(ctx, b.ID(), "blaze.inspect", blaze.NewTextMessage("no request"))
		}
	})
	for range 3 {
		got := false
		for id, v := range a.InspectAll(within(t)) {
			got = got || id == b.ID() && v != nil
		}
		if !got {
			t.Error("no answer beside the others")
		}
	}
	cancel()
	all.Wait()
	if busy == 0 {
		t.Error("nobody was refused")
	}
}

// With Config.Inspect a channel answers at a socket from Init to Shutdown, and so it does with the environment's variable.
func TestInspectLocal(t *testing.T) {
	if !local.Supported {
		t.Skip("no credentials of peers: ", runtime.GOOS)
	}
	dir, err := os.MkdirTemp("", "blaze")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	cfg := testConfig(t)
	cfg.Name = "plain"
	started(t, cfg)
	cfg.Inspect, cfg.Name = "local", "shown"
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	list := func() []local.Channel {
		t.Helper()
		all, err := local.List(local.Dir())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := list(); len(all) != 0 {
		t.Fatalf("%+v", all)
	}
	inNetwork(t, cfg, func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	all := list()
	if len(all) != 1 || !all[0].Alive {
		t.Fatalf("%+v", all)
	}
	ask := func() (v blaze.Inspection) {
		t.Helper()
		b, err := all[0].Ask(within(t))
		if err == nil {
			err = json.Unmarshal(b, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := ask(); v.Channel.Name != "shown" || v.Channel.State != "started" {
		t.Errorf("%+v", v.Channel)
	}
	hang, hangs := make(chan struct{}), make(chan struct{})
	if _, err := c.SubscribePayload("hang", func(*blaze.Delivery) { close(hangs); <-hang }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	p, err := c.Publisher("hang")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last answer lies there", func() bool { _, _, err := all[0].Last(); return err == nil })
	offer(t, p, nil)
	next(t, hangs, "handler that hangs")
	if b, err := all[0].Ask(within(t)); err == nil {
		t.Errorf("an engine that hangs has answered: %s", b)
	}
	if b, at, err := all[0].Last(); err != nil || json.Unmarshal(b, new(blaze.Inspection)) != nil || time.Since(at) > patience {
		t.Errorf("the last answer: %s of %v, %v", b, at, err)
	}
	close(hang)
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if v := ask(); v.Channel.State != "stopped" {
		t.Errorf("%+v", v.Channel)
	}
	if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
	if all := list(); len(all) != 0 {
		t.Errorf("left behind: %+v", all)
	}
	cfg.Inspect, cfg.Name = "", "by the environment"
	t.Setenv("BLAZE_INSPECT", "local")
	started(t, cfg)
	if all = list(); len(all) != 1 || ask().Channel.Name != "by the environment" {
		t.Errorf("%+v", all)
	}
	cfg.Inspect = "remote"
	if _, err := blaze.NewChannel(cfg); !errors.Is(err, blaze.ErrConfig) {
		t.Errorf("Inspect %q: %v", cfg.Inspect, err)
	}
	cfg.Inspect = "local"
	if err := os.Chmod(local.Dir(), 0o777); err != nil {
		t.Fatal(err)
	}
	var log lines
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	started(t, cfg) // works all the same
	if len(log.with("cannot be inspected")) != 1 {
		t.Errorf("%q", log.with(""))
	}
}
