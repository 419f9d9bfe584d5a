package blaze_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// order records what a member is given, in order.
type order struct {
	mu    sync.Mutex
	seen  []string
	views []blaze.View
}

func (o *order) count() int { o.mu.Lock(); defer o.mu.Unlock(); return len(o.seen) }

func (o *order) ring() []blaze.MemberID {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range slices.Backward(o.views) {
		if v.Kind == blaze.ViewRegular {
			return v.Members
		}
	}
	return nil
}

// formed waits for a ring with the Shared profile's times. On a host that stands still now and then an
// attempt may be in vain, and costs up to four seconds: Consensus, TokenLoss and HoldDown.
func formed(t *testing.T, what string, cond func() bool) {
	t.Helper()
	eventuallyIn(t, 3*patience, what, cond)
}

// ringed starts a member of a ring, and records what it is given.
func ringed(t *testing.T, cfg blaze.Config) (*blaze.Channel, *order) {
	t.Helper()
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o := &order{}
	c.OnView(func(v blaze.View) { o.mu.Lock(); defer o.mu.Unlock(); o.views = append(o.views, v) })
	c.SubscribePayload(">", func(d *blaze.Delivery) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.seen = append(o.seen, string(d.Payload[:min(len(d.Payload), 40)]))
	}, blaze.Inline())
	inNetwork(t, cfg, func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s := c.Stats()
			o.mu.Lock()
			t.Logf("%v: %+v\nviews %+v", c.ID(), s.Totem, o.views)
			o.mu.Unlock()
		}
		c.Shutdown()
	})
	return c, o
}

func totemConfig(t *testing.T) blaze.Config {
	cfg := testConfig(t)
	cfg.Protocol = blaze.Totem
	cfg.Totem.Profile = blaze.Shared // tests share their processors with others,
	cfg.Totem.Hold = 40 * time.Millisecond
	return cfg
}

func TestTotalOrder(t *testing.T) {
	for _, safe := range []bool{false, true} {
		t.Run(fmt.Sprint("safe=", safe), func(t *testing.T) {
			const members, each = 3, 2000
			cfg := totemConfig(t)
			cfg.Safe = safe
			var all []*blaze.Channel
			var orders []*order
			for range members {
				c, o := ringed(t, cfg)
				all, orders = append(all, c), append(orders, o)
			}
			for _, o := range orders {
				formed(t, "one ring of all", func() bool { return len(o.ring()) == members })
			}
			var wg sync.WaitGroup
			for i, c := range all {
				p := publisher(t, c, fmt.Sprint("from.", i), members-1)
				wg.Add(1)
				go func() {
					defer wg.Done()
					for n := range each {
						offer(t, p, fmt.Appendf(nil, "%d.%d", i, n))
					}
				}()
			}
			wg.Wait()
			for _, o := range orders {
				eventually(t, "everything is delivered", func() bool { return o.count() == members*each })
			}
			for i, o := range orders[1:] {
				if !slices.Equal(o.seen, orders[0].seen) {
					t.Errorf("member %d saw another order than member 0", i+1)
				}
			}
			next := make([]int, members)
			for _, s := range orders[0].seen {
				var from, n int
				fmt.Sscanf(s, "%d.%d", &from, &n)
				if n != next[from] {
					t.Fatalf("message %d of member %d came when %d was due", n, from, next[from])
				}
				next[from]++
			}
			if s := all[0].Stats().Totem; s.Members != members || s.Rotation <= 0 {
				t.Errorf("%d members, rotation %v", s.Members, s.Rotation)
			}
		})
	}
}

// A ring has at most 16 members. That another one does not join is in the log.
func TestFullRingIsLogged(t *testing.T) {
	cfg := totemConfig(t)
	cfg.Idle, cfg.Totem.Hold = blaze.Block, 80*time.Millisecond
	cfg.Window, cfg.MaxMessageSize = 256<<10, 4<<10
	var log lines
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for range 17 {
		started(t, cfg)
	}
	eventually(t, "a line in the log", func() bool { return log.count("the ring has as many members as it can have") > 0 })
}

// A member alone is a ring of one, large messages are ordered whole, and NACK topics live beside.
func TestTotemBesideNACK(t *testing.T) {
	cfg := totemConfig(t)
	cfg.Protocol = blaze.NACK
	cfg.Topics = []blaze.TopicConfig{{Pattern: "state.>", Protocol: blaze.Totem, Safe: true}}
	a, oa := ringed(t, cfg)
	formed(t, "a ring of one", func() bool { return len(oa.ring()) == 1 })
	offer(t, publisher(t, a, "state.x", 0), []byte("alone"))
	eventually(t, "own message", func() bool { return oa.count() == 1 })

	_, ob := ringed(t, cfg)
	formed(t, "a ring of two", func() bool { return len(oa.ring()) == 2 && len(ob.ring()) == 2 })
	big := []byte(strings.Repeat("0123456789", 30_000))
	offer(t, publisher(t, a, "state.big", 1), big)
	offer(t, publisher(t, a, "prices.x", 1), []byte("by nack"))
	eventually(t, "both messages", func() bool { return ob.count() == 2 && oa.count() == 3 })
}

// Who leaves is out of the ring at once; who is killed, after the token is lost.
func TestViewsFollowMembers(t *testing.T) {
	cfg := totemConfig(t)
	cfg.Totem.TokenLoss, cfg.Totem.Hold = 200*time.Millisecond, 0
	a, oa := ringed(t, cfg)
	b, ob := ringed(t, cfg)
	c, _ := ringed(t, cfg)
	eventually(t, "a ring of three", func() bool { return len(oa.ring()) == 3 && len(ob.ring()) == 3 })
	if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
	eventually(t, "a ring of two", func() bool { return len(oa.ring()) == 2 && len(ob.ring()) == 2 })
	want := []blaze.MemberID{a.ID(), b.ID()}
	slices.SortFunc(want, func(x, y blaze.MemberID) int { return slices.Compare(x[:], y[:]) })
	oa.mu.Lock()
	defer oa.mu.Unlock()
	last := oa.views[len(oa.views)-1]
	if !slices.Equal(last.Members, want) || last.Kind != blaze.ViewRegular || !slices.Equal(last.Together, want) {
		t.Errorf("last view %+v, want members %v, all of them together", last, want)
	}
	if before := oa.views[len(oa.views)-2]; before.Kind != blaze.ViewTransitional || before.ID != last.ID {
		t.Errorf("before it: %+v", before)
	}
	seq := uint64(0)
	for _, v := range oa.views {
		if v.Kind == blaze.ViewRegular {
			if v.ID.Sequence <= seq {
				t.Errorf("view %v after sequence %d", v.ID, seq)
			}
			seq = v.ID.Sequence
		}
	}
}

// With Block and with Backoff the token of an idle ring rests: members wake for a few tokens in each hold
// and do a few turns for each, and a message that is sent meanwhile does not wait for the hold's end.
func TestIdleRingRests(t *testing.T) {
	for _, idle := range []blaze.Idle{blaze.Block, blaze.Backoff} {
		t.Run(idle.String(), func(t *testing.T) { idleRingRests(t, idle) })
	}
}

func idleRingRests(t *testing.T, idle blaze.Idle) {
	cfg := testConfig(t)
	cfg.Protocol, cfg.Idle = blaze.Totem, idle
	cfg.Totem.Profile, cfg.Totem.Hold = blaze.Shared, 80*time.Millisecond
	var all []*blaze.Channel
	var orders []*order
	for range 3 {
		c, o := ringed(t, cfg)
		all, orders = append(all, c), append(orders, o)
	}
	for _, o := range orders {
		formed(t, "one ring of all", func() bool { return len(o.ring()) == 3 })
	}
	// A host that stands still for a moment makes the ring restless: it has a few attempts.
	restless := ""
	for range 10 {
		before, began := all[0].Stats(), time.Now()
		time.Sleep(200 * time.Millisecond)
		after, took := all[0].Stats(), time.Since(began)
		holds := uint64(took/cfg.Totem.Hold) + 2 // a rotation of a token that rests takes the hold at least
		tokens, turns := after.Totem.Tokens-before.Totem.Tokens, after.Engine.Turns-before.Engine.Turns
		restless = ""
		sleeps := after.Engine.Sleeps - before.Engine.Sleeps
		most := 10 * holds // merge detection comes on top
		if idle == blaze.Backoff {
			turns = sleeps // there are some hundred turns before each
		}
		if tokens > holds || turns > most {
			restless = fmt.Sprintf("%d tokens and %d turns or sleeps in %v, want at most %d and %d", tokens, turns, took, holds, most)
		} else {
			break
		}
	}
	if restless != "" {
		t.Error(restless)
	}
	for i, c := range all {
		offer(t, publisher(t, c, "a", 2), []byte{byte(i)})
	}
	for _, o := range orders {
		eventually(t, "all messages", func() bool { return o.count() == 3 })
	}
}
