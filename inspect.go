package blaze

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// Inspect is the state of the channel now: each stream with its receivers, subscriptions, the ring, losses, members, queues,
// locks. It works in every state; without engines that turn it has what is known without them. The engines' threads copy
// their part in pieces of a few microseconds, a stream a turn. Calls at the same time share an Inspection: do not change it.
//
// The error wraps ctx's: an engine has not turned for so long. In an Inline handler Inspect returns at once what it found
// last, or what is known without the engines.
func (c *Channel) Inspect(ctx context.Context) (*Inspection, error) {
	st := c.turning()
	if st == nil {
		return c.inspection(nil, nil), nil
	}
	if st.InHandler() {
		if last := c.looks.last.Load(); last != nil {
			return last, nil
		}
		return c.inspection(nil, nil), nil
	}
	k := c.looks.join(c)
	select {
	case <-k.done:
		return k.found, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("blaze: Inspect: waiting for an engine's turn: %w", ctx.Err())
	}
}

// looks has one goroutine look at a time. Whoever calls meanwhile gets what the next look finds.
type looks struct {
	mu        sync.Mutex
	now, next *look // under way; to follow
	last      atomic.Pointer[Inspection]

	// Of the goroutine that looks: what it found last, for rates.
	serial uint64 // of the start
	at     clock.Time
	turns  []uint64 // by engine
}

type look struct {
	done  chan struct{} // closed when found is there
	found *Inspection
}

// join returns a look that begins after the call.
func (l *looks) join(c *Channel) *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &look{done: make(chan struct{})}
	switch {
	case l.now == nil:
		l.now = k
		go l.serve(c)
	case l.next == nil:
		l.next = k
	default:
		k = l.next
	}
	return k
}

func (l *looks) serve(c *Channel) {
	for k := l.now; k != nil; {
		k.found = c.look()
		l.last.Store(k.found)
		close(k.done)
		l.mu.Lock()
		l.now, l.next = l.next, nil
		k = l.now
		l.mu.Unlock()
	}
}

// look has the engines of the present start copy their state, if there is one that turns.
func (c *Channel) look() *Inspection {
	st := c.turning()
	if st == nil {
		return c.inspection(nil, nil)
	}
	picture, err := st.Look()
	if errors.Is(err, run.ErrClosed) {
		<-st.Gone() // it is about to leave its counters
		return c.inspection(nil, nil)
	}
	return c.inspection(st, picture)
}

// inspection makes an Inspection of what the engines of a start have copied; nil: of what is known without them.
func (c *Channel) inspection(st *start, p *run.Picture) *Inspection {
	v := &inspector{c: c, wall: wallNow(), at: engine.Now()}
	out := &Inspection{
		Schema: InspectionSchema, At: v.wall.UTC(), Subscriptions: c.subscriptions(), Counters: map[string]float64{},
		Sending: []SendingInfo{}, Receiving: []ReceivingInfo{}, Engines: []EngineInfo{}, Losses: []LossInfo{},
	}
	stats := c.lastStats()
	if st != nil {
		stats = c.Stats()
	}
	for m, n := range stats.All() {
		if n != 0 {
			out.Counters[m.Name] = n
		}
	}
	out.Channel = c.channelInfo(&stats)
	if st == nil {
		return out
	}
	out.Channel.Since = st.began.UTC()
	if g := st.Group(); g != nil {
		v.mirror = g.Mirror()
		out.Members = v.members()
	}
	for i := range p.Sending {
		out.Sending = append(out.Sending, v.sending(&p.Sending[i]))
	}
	for i := range p.Engines {
		e := &p.Engines[i]
		for k := range e.Receiving {
			out.Receiving = append(out.Receiving, v.receiving(i, &e.Receiving[k]))
		}
		for k := range e.Losses {
			out.Losses = append(out.Losses, v.loss(&e.Losses[k]))
		}
	}
	slices.SortStableFunc(out.Losses, func(a, b LossInfo) int { return a.At.Compare(b.At) })
	out.Engines = c.looks.engines(st, p, &stats)
	out.Ring, out.ClusterRing = v.ring(p.Ring), v.ring(p.ClusterRing)
	for i := range p.Queues {
		out.Queues = append(out.Queues, v.queue(&p.Queues[i]))
	}
	if c.cluster != nil {
		v.cluster(st, p, out)
	}
	return out
}

// wallNow dates what people look at.
func wallNow() time.Time { return time.Now() }

// inspector translates what engines have copied.
type inspector struct {
	c      *Channel
	wall   time.Time // of at
	at     clock.Time
	mirror *run.Mirror // nil: no member has a name
}

func (v *inspector) time(t clock.Time) time.Time { return v.wall.Add(t.Sub(v.at)).UTC() }

// ref names a member. The zero one is this member.
func (v *inspector) ref(id wire.MemberID, at buf.Endpoint) MemberRef {
	if id == (wire.MemberID{}) {
		id = wire.MemberID(v.c.ID())
	}
	r := MemberRef{Member: MemberID(id)}
	if at != 0 {
		r.Address = addrOf(at)
	}
	if v.mirror != nil {
		if i := v.mirror.Get(id); i != nil {
			r.Name = i.Name
			if at == 0 {
				r.Address = addrOf(i.Address)
			}
		}
	}
	return r
}

func (v *inspector) refs(ids []wire.MemberID) []MemberRef {
	all := make([]MemberRef, len(ids))
	for i, id := range ids {
		all[i] = v.ref(id, 0)
	}
	return all
}

func (v *inspector) sending(s *run.SendingView) SendingInfo {
	out := SendingInfo{
		Stream: uint32(s.Stream), Protocol: protocolOf(s.Stream.Protocol()), Lane: int(s.Stream.Lane()),
		NextDatagram: s.Next, NextMessage: s.Message, Rate: s.Rate, Window: s.Window, WindowUsed: s.Used, Repairs: s.Repairs,
		RoundTrip: s.RoundTrip, LimitedBy: LimitedBy(s.Limited.By).String(), Blocked: s.Blocked,
		Receivers: make([]ReceiverInfo, len(s.Receivers)),
	}
	if s.Slowest.Member != (wire.MemberID{}) {
		slowest := v.ref(s.Slowest.Member, s.Slowest.Endpoint)
		out.Slowest = &slowest
	}
	for i := range s.Receivers {
		r := &s.Receivers[i]
		out.Receivers[i] = ReceiverInfo{
			MemberRef: v.ref(r.Member, r.Endpoint), Next: r.Next, Behind: r.Behind, Limit: r.Limit, Room: r.Room,
			RoundTrip: r.RoundTrip, Missed: r.Missed, Gone: r.Gone, LastHeard: v.time(r.Heard), Waited: r.Waited,
		}
	}
	slowest := func(r *ReceiverInfo) int { // one that has no room is not behind: nothing is sent to it
		if out.Slowest != nil && out.Slowest.Member == r.Member {
			return 0
		}
		return 1
	}
	slices.SortFunc(out.Receivers, func(a, b ReceiverInfo) int {
		return cmp.Or(slowest(&a)-slowest(&b), cmp.Compare(b.Behind, a.Behind), cmp.Compare(a.Limit, b.Limit), bytes.Compare(a.Member[:], b.Member[:]))
	})
	return out
}

func (v *inspector) receiving(engine int, s *nack.StreamView) ReceivingInfo {
	return ReceivingInfo{
		From: v.ref(s.From, s.Endpoint), Stream: uint32(s.Stream), Protocol: protocolOf(s.Stream.Protocol()), Lane: int(s.Stream.Lane()),
		Engine: engine, Next: s.Next, Highest: max(s.Highest, 1) - 1, Held: s.Held, Missed: s.Missed, Repaired: s.Repaired, Gone: s.Gone,
		LastHeard: v.time(s.Heard), Silent: s.Silent,
		RepairP50: s.Repairs.Quantile(0.5), RepairP99: s.Repairs.Quantile(0.99), RepairTimes: timeClasses(&s.Repairs),
	}
}

func timeClasses(t *core.Times) (all []TimeClass) {
	for class, n := range t {
		if n == 0 {
			continue
		}
		below := time.Duration(0)
		if class+1 < core.TimeClasses {
			below = core.TimeFrom(class + 1)
		}
		all = append(all, TimeClass{below, uint64(n)})
	}
	return all
}

func (v *inspector) loss(l *member.LossView) LossInfo {
	return LossInfo{At: v.time(l.At), From: v.ref(l.From, 0), Stream: uint32(l.Stream), First: l.First, Last: l.Last, Reason: LossReason(l.Reason).String()}
}

func (v *inspector) ring(r *totem.RingView) *RingInfo {
	if r == nil {
		return nil
	}
	out := &RingInfo{
		State: strings.ToLower(r.State.String()), View: uint64(r.Ring.Seq), Representative: MemberID(r.Ring.Rep),
		Members: v.refs(r.Members), Rotation: r.Rotation, TokenLoss: r.TokenLoss, Reasons: []RingChange{},
	}
	for _, h := range r.HeldDown {
		out.HeldDown = append(out.HeldDown, HeldDownInfo{v.ref(h.Member, 0), h.Left})
	}
	for _, e := range r.Entered {
		out.Reasons = append(out.Reasons, RingChange{v.time(e.At), strings.ToLower(e.State.String()), e.Reason.String()})
	}
	return out
}

func (v *inspector) members() []MemberInfo {
	list := v.mirror.All(nil)
	all := make([]MemberInfo, len(list))
	for n, i := range list {
		all[n] = MemberInfo{v.ref(i.ID, i.Address), i.Incarnation, time.Unix(0, int64(i.Started)).UTC(), i.Groups}
	}
	return all
}

func (v *inspector) queue(q *group.QueueView) QueueInfo {
	out := QueueInfo{Name: q.Name, Waiting: q.Waiting, Out: q.Out, Consumers: []ConsumerInfo{}}
	for _, k := range q.Consumers {
		out.Consumers = append(out.Consumers, ConsumerInfo{v.ref(k.Member, 0), k.Handlers, k.Out, k.Backlog})
	}
	return out
}

func (v *inspector) cluster(st *start, p *run.Picture, out *Inspection) {
	for _, l := range p.Locks {
		out.Locks = append(out.Locks, LockInfo{
			Map: l.Map, Key: l.Key, Owner: v.ref(l.Holder, 0), Token: l.Token, LeaseLeft: l.Left, Orphaned: l.Orphaned,
			Waiting: l.Waiting, Waiters: v.refs(l.Waiters),
		})
	}
	slices.SortFunc(out.Locks, func(a, b LockInfo) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Map, b.Map), cmp.Compare(a.Key, b.Key))
	})
	out.LeftOut.Locks = p.LocksHeld - len(p.Locks)
	for _, name := range v.c.cluster.replica.Names() {
		m := v.c.cluster.replica.Look(name)
		root := m.Root()
		out.Maps = append(out.Maps, MapInfo{Name: name, Entries: root.Len(), Bytes: root.Bytes(), Version: m.Version()})
	}
	out.Master = &MasterInfo{Primary: st.Cluster().Primary()}
	if s := st.Status(); s != nil {
		out.Master.Phase, out.Master.Why, out.Master.Epoch, out.Master.Index = s.Phase.String(), s.Why, s.Last.Epoch, s.Index
	}
	if id := st.Cluster().Master(); id != (wire.MemberID{}) {
		master := v.ref(id, 0)
		out.Master.Master = &master
	}
}

// engines are those of a start, with rates since the look before.
func (l *looks) engines(st *start, p *run.Picture, stats *Stats) (all []EngineInfo) {
	if l.serial != st.serial {
		l.serial, l.at, l.turns = st.serial, st.beganAt, make([]uint64, len(p.Engines))
	}
	elapsed := p.At.Sub(l.at)
	for i := range p.Engines {
		e := &p.Engines[i]
		out := EngineInfo{Engine: i, CPU: e.CPU, Thread: e.Thread, LongestTurn: e.Stats.LongestTurn, LongTurns: e.Stats.LongTurns}
		if out.CPU < 0 {
			out.CPU = -1
		}
		if elapsed > 0 {
			out.Turns = float64(e.Stats.Turns-l.turns[i]) / elapsed.Seconds()
		}
		if i < len(stats.Engines) {
			out.Buffers, out.BuffersFree = stats.Engines[i].Buffers.Count, stats.Engines[i].Buffers.Free
		}
		all = append(all, out)
	}
	if elapsed >= time.Second/10 { // a shorter time says little
		l.at = p.At
		for i := range p.Engines {
			l.turns[i] = p.Engines[i].Stats.Turns
		}
	}
	return all
}

// channelInfo is what the channel is, as far as it is known without its engines.
func (c *Channel) channelInfo(s *Stats) ChannelInfo {
	conf := c.Config()
	host, _ := os.Hostname()
	return ChannelInfo{
		Name: conf.Name, Cluster: conf.Cluster, ID: c.ID(), State: s.State.String(), URI: conf.BroadcastURI,
		Transport: s.Transport, Mode: s.Mode, Reason: s.Reason, NoWay: s.NoWay,
		Host: host, Process: os.Getpid(), Program: filepath.Base(os.Args[0]), Module: moduleVersion(), Wire: wire.Version,
	}
}

// moduleVersion is this module's, as the program was built with it: "(devel)" in its own repository.
var moduleVersion = sync.OnceValue(func() string {
	const path = "github.com/activeblaze/blaze"
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(b.Deps, &b.Main) {
			if m.Path == path && m.Version != "" {
				return m.Version
			}
		}
	}
	return "(devel)"
})

// subscriptions are all handlers of the channel, in order of their kinds and patterns.
func (c *Channel) subscriptions() []SubscriptionInfo {
	policy := c.cfg.Load().SlowConsumer
	c.subsMu.Lock()
	subs := slices.Collect(maps.Keys(c.subs))
	c.subsMu.Unlock()
	all := make([]SubscriptionInfo, len(subs))
	for i, s := range subs {
		all[i] = s.info(policy)
	}
	for _, q := range c.handlers().Look() {
		out := SubscriptionInfo{Pattern: q.Name, Kind: "queue", Handlers: q.Handlers, Policy: policy, Queued: q.Waiting, Capacity: c.cfg.Load().SubscriptionQueue, Taken: q.Times.Count()}
		out.timed(&q.Times)
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b SubscriptionInfo) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(b.Taken, a.Taken))
	})
	return all
}

func (s *Subscription) info(policy SlowConsumer) SubscriptionInfo {
	out := SubscriptionInfo{Pattern: s.pattern, Kind: "topic", Handlers: 1, Policy: policy, Capacity: s.size}
	if s.inbox != nil {
		out.Kind = "inbox"
	}
	var times core.Times
	if s.queue != nil {
		v := s.queue.Look()
		out.Queued, out.Full, out.Oldest, out.Taken, out.Dropped, times = v.Waiting, v.Full, v.Oldest, v.Taken, v.Dropped, v.Handler
	} else {
		out.Inline, out.Taken, times = true, s.taken.Load(), s.handled.Copy()
	}
	out.timed(&times)
	return out
}

// timed fills in how long the handler takes.
func (i *SubscriptionInfo) timed(t *core.Times) {
	i.P50, i.P99, i.Times = t.Quantile(0.5), t.Quantile(0.99), timeClasses(t)
}
