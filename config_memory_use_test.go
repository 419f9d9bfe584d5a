package blaze_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/pages"
	"github.com/activeblaze/blaze/wire"
)

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) + pages.Mapped()
}

// MemoryBudget is what a channel really takes: never less than what is allocated at the start,
// and not much more.
func TestMemoryBudgetIsTrue(t *testing.T) {
	socketsOnly(t)
	for name, change := range map[string]func(*blaze.Config){
		"default":      func(*blaze.Config) {},
		"small window": func(c *blaze.Config) { c.Window = 1 << 20 },
		"four lanes":   func(c *blaze.Config) { c.Lanes, c.Window = 4, 32<<20 },
		"hybrid":       func(c *blaze.Config) { c.Protocol, c.Window = blaze.Hybrid, 1<<20 },
		"large window": func(c *blaze.Config) { c.Window = 64 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			change(&cfg)
			before := heap()
			c := started(t, cfg)
			for i := range 64 { // opens every lane
				if _, err := c.Publisher(fmt.Sprint("a", i)); err != nil {
					t.Fatal(err)
				}
			}
			c.Stats() // the engine has opened them by now
			used, budget := heap()-before, cfg.MemoryBudget()
			t.Logf("%d KiB used, %d KiB in the budget", used>>10, budget>>10)
			if used > budget {
				t.Errorf("%d bytes are used, the budget says %d", used, budget)
			}
			// What received streams, messages of more than a datagram, topics and subscriptions take, they take
			// when they come.
			late := 3*int64(member.MaxCachedTopics*member.TopicBytes) + 4*int64(c.Config().MaxMessageSize) + int64(max(c.Config().Window, 2*c.Config().MaxMessageSize)) + 8<<20
			if used < (budget-late)*3/4 {
				t.Errorf("%d bytes are used, the budget says %d: too much", used, budget)
			}
		})
	}
}

// A GroupChannel takes what its Config() says; a Channel takes nothing of it.
func TestMemoryBudgetOfAGroup(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.Window = 1 << 20
	g, err := blaze.NewGroupChannel("", cfg)
	if err != nil {
		t.Fatal(err)
	}
	plain, budget := cfg.MemoryBudget(), g.Config().MemoryBudget()
	before := heap()
	startGroup(t, g)
	if _, err := g.Publisher("a"); err != nil {
		t.Fatal(err)
	}
	g.Stats()
	used := heap() - before
	t.Logf("%d KiB used, %d KiB in the budget, %d KiB in that of a Channel", used>>10, budget>>10, plain>>10)
	if used > budget {
		t.Errorf("%d bytes are used, the budget says %d", used, budget)
	}
	// What nobody has announced takes nothing: besides a Channel's there are packet buffers and a command ring.
	if more := int64(2048*1600 + 2<<20); used > plain+more {
		t.Errorf("%d bytes are used, a Channel takes %d", used, plain)
	}
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if cfg = g.Config(); (blaze.Config{Window: cfg.Window}).MemoryBudget() != plain {
		t.Error("the budget of a Channel has changed")
	}
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Config().MemoryBudget(); got != plain {
		t.Errorf("a Channel with the Config of a group: %d bytes, want %d", got, plain)
	}
}

// After Shutdown a GroupChannel with handlers of all kinds holds nothing of its start.
func TestGroupGivesMemoryBack(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	cfg.Window = 16 << 20
	g, err := blaze.NewGroupChannel("", cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.OnMember(func(blaze.MemberEvent) {})
	_, err1 := g.HandleInbox("", func(*blaze.Message) {})
	_, err2 := g.HandleCalls("calls", func(*blaze.Call) {}, blaze.Inline())
	_, err3 := g.Consume("queue", func(*blaze.Message) error { return nil })
	_, err4 := g.Subscribe("topic", func(*blaze.Message) {})
	if err := errors.Join(err1, err2, err3, err4, g.Join("group")); err != nil {
		t.Fatal(err)
	}
	before := heap()
	startGroup(t, g)
	for _, err := range []error{
		g.Send(within(t), g.ID(), blaze.NewMessage()), g.Enqueue(within(t), "queue", blaze.NewMessage()),
		g.Broadcast(within(t), "topic", blaze.NewMessage()), g.SendInbox(within(t), g.ID(), "calls", blaze.NewMessage()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	used := heap() - before
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	var left int64
	eventually(t, "the memory is given back", func() bool { left = heap() - before; return left < 4<<20 })
	t.Logf("%d KiB used, %d KiB left after Shutdown", used>>10, left>>10)
	runtime.KeepAlive(g)
}

// Whatever makes a member hold memory, all at once: messages that never become whole, FEC senders that
// have gone, and slow subscriptions. The member stays within its budget, and the budget within what it was.
func TestMemoryBudgetHoldsAgainstHostility(t *testing.T) {
	socketsOnly(t)
	for protocol, most := range map[blaze.Protocol]int64{blaze.NACK: 54 << 20, blaze.Hybrid: 62 << 20, blaze.Totem: 72 << 20} {
		budget := (blaze.Config{Protocol: protocol}).MemoryBudget()
		budget -= 3 * member.MaxCachedTopics * member.TopicBytes // names of topics were not in the sum then
		if budget > most*5/4 {
			t.Errorf("%v: the zero Config's budget is %d KiB", protocol, budget>>10)
		}
	}
	cfg := testConfig(t)
	a := started(t, cfg)
	p := publisher(t, a, "slow.a", 0)
	before := heap()
	b := started(t, cfg)
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) })
	for range 8 {
		if _, err := b.SubscribePayload("slow.>", func(*blaze.Delivery) { <-gate }); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.WaitReceivers(within(t), 1); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 1344)
	for b.Stats().Pauses == 0 {
		if err := p.Offer(payload); err != nil && !errors.Is(err, blaze.ErrBackPressure) {
			t.Fatal(err)
		}
	}

	at, part := newAttacker(t, cfg), make([]byte, 1300)
	mem := make([]byte, 1472+wire.DataOverhead)
	forge := func(sender int, protocol wire.Protocol, add func(w *wire.DataWriter, i int) bool, count int) {
		h := wire.Header{Cluster: wire.ClusterHash(cfg.Cluster), Incarnation: 1, Stream: wire.NewStreamID(protocol, 0)}
		binary.LittleEndian.PutUint64(h.Transmitter[:], uint64(1000+sender))
		for i := range count {
			var w wire.DataWriter
			w.Begin(mem, 1472, h, uint64(1+i), 1)
			if !add(&w, i) {
				t.Fatal("it does not fit")
			}
			off, n := w.Finish()
			at.throw(mem[off : off+n])
		}
	}
	for sender := range 64 {
		forge(sender, wire.FEC, func(w *wire.DataWriter, i int) bool { return w.Add("a", wire.KindRaw, part[:100]) }, 80)
	}
	for sender := range 256 {
		forge(100+sender, wire.NACK, func(w *wire.DataWriter, i int) bool {
			return w.AddFragment("a", wire.KindRaw, uint32(i*len(part)), 1<<20, part)
		}, 200)
	}
	eventually(t, "most of it has been received", func() bool {
		s := b.Stats()
		return s.Engine.Received+s.UDP.KernelDrops > at.sent
	})
	runtime.GC()
	used, budget := heap()-before, cfg.MemoryBudget()
	t.Logf("%d KiB used, %d KiB in the budget; %d streams", used>>10, budget>>10, b.Stats().Nack.Streams)
	if used > budget*11/10 {
		t.Errorf("%d KiB are used, the budget says %d", used>>10, budget>>10)
	}
	runtime.KeepAlive(b)
}
