package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// GroupOptions are what Group has besides. Zero fields take the defaults that are written behind them.
type GroupOptions struct {
	What      string // request, send, queue or members: request
	Members   int    // members: processes: 3
	Senders   int    // request, send, queue: calls that are under way at a time: 1; queue: 64
	Consumers int    // queue: processes: 4
	Count     int    // queue: so many messages, whatever Duration says: 0, for Duration
	Kills     int    // queue: consumers to end midway by SIGKILL; members: members to end one after another: 0
	Load      bool   // members: one of them publishes as fast as it can, all others subscribe
	Messages  bool   // request: with Messages, by goroutines, not with payloads on the engine's thread
	Compare   string // request: nack, to measure its round trip too, in turn; empty: no

	HeartbeatInterval time.Duration // Config's default
	FailureTimeout    time.Duration // members: Config's default; else 1 s
}

// What a run of Group can be about.
const (
	whatRequest = "request"
	whatSend    = "send"
	whatQueue   = "queue"
	whatMembers = "members"
)

// Bounds of GroupOptions.
const (
	MaxMembers = 32
	MaxSenders = 1024
	MaxCount   = 100_000_000
	MaxKills   = 1000
)

// members is how many processes are members, the one that calls Run included where it is one.
func (g *GroupOptions) members() int {
	switch g.What {
	case whatQueue:
		return g.Consumers + 1
	case whatMembers:
		return g.Members
	}
	return 2
}

// longer is by how much a run may take longer than its duration says.
func (g *GroupOptions) longer() time.Duration {
	turns := time.Duration(0)
	if g.Compare != "" {
		turns = groupTurns
	}
	return time.Duration(g.Kills)*10*time.Second + time.Duration(g.Count)*5*time.Millisecond + turns*5*time.Second
}

// fillGroup puts in the defaults.
func (o *Options) fillGroup() {
	g := &o.Group
	if g.What == "" {
		g.What = whatRequest
	}
	if g.Members == 0 {
		g.Members = 3
	}
	if g.Consumers == 0 {
		g.Consumers = 4
	}
	if g.Senders == 0 {
		g.Senders = 1
		if g.What == whatQueue {
			g.Senders = 64
		}
	}
	// Calls are what is measured: one that ends since the host stood still for a moment ends the run.
	if g.What != whatMembers && g.FailureTimeout == 0 {
		g.FailureTimeout = time.Second
	}
	// Where goroutines wait, they and the engines need the CPUs.
	if o.Idle == "" && (g.What != whatRequest || g.Messages || g.Senders > 1) {
		o.Idle = crowdedIdle
	}
	o.Receivers = g.members() - 1
	if g.What == whatMembers {
		o.Receivers = g.Members
	}
}

// checkGroup refuses what no run of Group can be.
func (o *Options) checkGroup() error {
	g := &o.Group
	between := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s %d: want %d to %d", name, v, low, high)
		}
		return nil
	}
	if g.What != "" && !slices.Contains([]string{whatRequest, whatSend, whatQueue, whatMembers}, g.What) {
		return fmt.Errorf("what %q: want request, send, queue or members", g.What)
	}
	switch {
	case o.Protocol != blaze.NACK:
		return fmt.Errorf("protocol %v: a group has its own", o.Protocol)
	case g.Compare != "" && g.Compare != "nack":
		return fmt.Errorf("compare %q: want nack", g.Compare)
	case g.Compare != "" && (g.What == whatSend || g.What == whatQueue || g.What == whatMembers):
		return fmt.Errorf("compare nack is for --what request, not %s", g.What)
	case g.Load && g.What != whatMembers:
		return fmt.Errorf("load is for --what members, not %s", g.What)
	case g.Messages && g.What != "" && g.What != whatRequest:
		return fmt.Errorf("messages is for --what request: %s has nothing else", g.What)
	case g.Count != 0 && g.What != whatQueue:
		return errors.New("count is for --what queue")
	case g.Kills != 0 && g.What != whatQueue && g.What != whatMembers:
		return errors.New("kills is for --what queue and members")
	case g.What == whatQueue && g.Kills >= g.Consumers:
		return fmt.Errorf("kills %d: want less than there are consumers", g.Kills)
	case g.Load && g.Members == 1:
		return errors.New("members 1: to publish to another there must be one")
	case g.Kills > 0 && g.What == whatMembers && g.Members == 1:
		return errors.New("members 1: to report a failure there must be another")
	}
	if o.Size > groupMaxSize {
		return fmt.Errorf("size %d: want at most %d bytes", o.Size, groupMaxSize)
	}
	return errors.Join(between("members", g.Members, 1, MaxMembers), between("senders", max(g.Senders, 1), 1, MaxSenders),
		between("consumers", g.Consumers, 1, MaxMembers), between("count", g.Count, 0, MaxCount), between("kills", g.Kills, 0, MaxKills),
		betweenTimes("heartbeat", g.HeartbeatInterval), betweenTimes("failure-timeout", g.FailureTimeout))
}

// groupMaxSize is Config.MaxMessageSize of the processes that are driven.
const groupMaxSize = 64 << 10

func betweenTimes(name string, d time.Duration) error {
	if d < 0 || d > time.Minute {
		return fmt.Errorf("%s %v: want 0, the library's default, to 1m", name, d)
	}
	return nil
}

// group runs members of one group.
func (r *run) group(ctx context.Context, given Options) error {
	g := &r.o.Group
	r.children.name = "member"
	res := &measure.GroupResult{
		Result: *r.res, What: g.What, Members: g.members(), Messages: g.Messages, Compare: g.Compare, Kills: g.Kills, Loaded: g.Load,
	}
	res.Protocol = "group"
	r.res = &res.Result
	r.res.Group = res
	switch g.What {
	case whatQueue:
		res.Senders, res.Consumers = g.Senders, g.Consumers
		return r.queue(ctx, res)
	case whatMembers:
		r.children.host = 0
		return r.watch(ctx, res)
	case whatSend:
		res.Senders = g.Senders
		return r.asSender(func() error { return r.sends(ctx, res) })
	}
	res.Senders = g.Senders
	return r.requests(ctx, res, given)
}

// groupChannel makes a channel that is not started yet. invoker: the caller turns it.
func (o *Options) groupChannel(cluster, name string, invoker bool, seed uint64) (*member, error) {
	m := &member{invoker: invoker, repair: measure.NewHistogram()}
	idle, err := blaze.ParseIdle(o.Idle)
	if err != nil {
		return nil, err
	}
	cfg := blaze.Config{
		Cluster: cluster, BroadcastURI: o.URI, NoSelfDelivery: true, Idle: idle, Invoker: invoker,
		HeartbeatInterval: o.Group.HeartbeatInterval, FailureTimeout: o.Group.FailureTimeout,
		Logger: slog.New(unexpected{slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})}),
	}
	hook.Set(&cfg, hook.Options{Drop: o.Loss, Seed: seed, Delay: o.Delay, RepairNS: m.repaired})
	if m.g, err = blaze.NewGroupChannel(name, cfg); err != nil {
		return nil, err
	}
	m.ch = m.g.Channel
	return m, nil
}

// calls is a load of calls, each of which ends before the same goroutine makes the next one.
type calls struct {
	senders         int           // goroutines
	warmUp, measure time.Duration // how long
	count           uint64        // so many calls instead, all measured, where it is not 0
}

// outcome is what became of them.
type outcome struct {
	sent     uint64 // calls that ended well
	measured uint64 // of them
	seconds  float64
	times    *measure.Histogram
}

func (o *outcome) rate() float64 {
	if o.seconds <= 0 {
		return 0
	}
	return float64(o.measured) / o.seconds
}

// A caller makes the n-th call of its goroutine, n from 1, and returns how long it took.
type caller func(n uint64) (took time.Duration, err error)

// run has each of the goroutines make calls. A single one is the goroutine that calls run.
func (l *calls) run(ctx context.Context, of func(sender int) caller) (outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]outcome, l.senders)
	start := engine.Now()
	warm, end := start.Add(l.warmUp), start.Add(l.warmUp+l.measure)
	var taken atomic.Uint64
	one := func(i int) {
		o, call := &all[i], of(i)
		o.times = measure.NewHistogram()
		for n := uint64(1); ctx.Err() == nil; n++ {
			now := engine.Now()
			if l.count > 0 && taken.Add(1) > l.count || l.count == 0 && now >= end && (l.senders > 1 || o.measured >= enoughPings) {
				return
			}
			took, err := call(n)
			if err != nil {
				cancel(fmt.Errorf("call %d of sender %d: %w", n, i, err))
				return
			}
			o.sent++
			if now >= warm || l.count > 0 {
				o.measured++
				o.times.Record(took.Nanoseconds())
			}
		}
	}
	if l.senders == 1 {
		one(0)
	} else {
		var wait sync.WaitGroup
		for i := range l.senders {
			wait.Go(func() { one(i) })
		}
		wait.Wait()
	}
	if err := ctx.Err(); err != nil {
		return outcome{}, context.Cause(ctx)
	}
	sum := outcome{times: measure.NewHistogram()}
	for i := range all {
		sum.sent += all[i].sent
		sum.measured += all[i].measured
		sum.times.Add(all[i].times)
	}
	from := warm
	if l.count > 0 {
		from = start
	}
	sum.seconds = engine.Now().Sub(from).Seconds()
	return sum, nil
}

// timed takes the time of f.
func timed(f func() error) (time.Duration, error) {
	began := engine.Now()
	err := f()
	return engine.Now().Sub(began), err
}

// until has the engine turn, or waits, until over.
func (m *member) until(ctx context.Context, limit time.Duration, what string, over func() bool) error {
	end := engine.Now().Add(limit)
	late := false
	m.drive(ctx, func() bool {
		late = engine.Now() > end
		return late || over()
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case late:
		return fmt.Errorf("%s: not within %v", what, limit)
	}
	return nil
}

// since is the time from then to now, in ms.
func since(then, now clock.Time) float64 { return float64(now.Sub(then)) / 1e6 }
