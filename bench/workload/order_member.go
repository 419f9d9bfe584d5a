package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// ringOrder is what a member of a ring is told besides.
type ringOrder struct {
	Index   int                `json:"index"`
	Members int                `json:"members"`
	Safe    bool               `json:"safe"`
	Plain   bool               `json:"plain"`
	Profile blaze.TotemProfile `json:"profile"`
	Rate    float64            `json:"rate"` // of this member
	WarmUp  time.Duration      `json:"warm_up"`
	Measure time.Duration      `json:"measure"`
	Kill    time.Duration      `json:"kill"` // after the start somebody is killed; 0: nobody is
	Tell    bool               `json:"tell"` // marks, while it runs: it will be killed
}

// ringStep is a later line on a member's input: first when to begin, then how many messages each
// member has sent.
type ringStep struct {
	Start int64    `json:"start,omitempty"` // ns, of the clock that all share; 0: at once
	Sent  []uint64 `json:"sent,omitempty"`
}

// ringAnswer is a line on a member's output: Ready, any number of marks, Load, Report; Error
// instead of any.
type ringAnswer struct {
	Ready  bool        `json:"ready,omitempty"`
	Mark   *mark       `json:"mark,omitempty"`
	Load   *ringLoad   `json:"load,omitempty"`
	Report *ringReport `json:"report,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// ringLoad tells that a member's load is over.
type ringLoad struct {
	Sent     uint64        `json:"sent"`
	Rotation time.Duration `json:"rotation"` // of the token, as it ended
	CPU      float64       `json:"cpu"`      // share of one CPU that the member took meanwhile
}

// ringReport is what one member saw.
type ringReport struct {
	Delivered   []uint64  `json:"delivered"` // of each member's messages
	Duplicates  uint64    `json:"duplicates"`
	Reordered   uint64    `json:"reordered"`
	Corrupt     uint64    `json:"corrupt"`
	Messages    float64   `json:"messages"` // measured, in
	Seconds     float64   `json:"seconds"`
	Views       int       `json:"views"` // since all were in one ring, that one included
	Stretches   []stretch `json:"stretches"`
	Stall       int64     `json:"stall"` // the longest time between two deliveries after the kill, ns
	Again       bool      `json:"again"` // a new ring has delivered since
	Every       uint64    `json:"every"`
	Samples     []byte    `json:"samples"`
	Mallocs     uint64    `json:"mallocs"`
	Retransmits uint64    `json:"retransmits"`
	Stats       counters  `json:"stats"`
}

// orderTopic is what the members of a ring send on.
const orderTopic = "bench.order"

// serveRing is a member of a ring.
func serveRing(o *order, dec *json.Decoder, enc *json.Encoder) error {
	ctx, gone := context.WithCancel(context.Background())
	defer gone()
	steps := make(chan ringStep, 2)
	go func() {
		defer gone()
		for {
			var s ringStep
			if dec.Decode(&s) != nil {
				return
			}
			select {
			case steps <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := ringMember(ctx, o, steps, enc)
	if err != nil && ctx.Err() == nil {
		_ = enc.Encode(ringAnswer{Error: err.Error()})
	}
	return err
}

// openRing makes the channel of a member of a ring.
func openRing(o *order) (*member, error) {
	idle, err := blaze.ParseIdle(o.Idle)
	if err != nil {
		return nil, err
	}
	// Who never sleeps in the kernel turns its engine itself; with Block it is the engine's own loop,
	// which wakes when a packet comes.
	m := &member{invoker: o.Idle != "block", yields: o.Idle == "backoff", repair: measure.NewHistogram()}
	cfg := blaze.Config{
		Cluster: o.Cluster, BroadcastURI: o.URI, Protocol: o.Protocol, Safe: o.Ring.Safe,
		Totem: blaze.TotemConfig{Profile: o.Ring.Profile, Plain: o.Ring.Plain},
		Idle:  idle, Invoker: m.invoker,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	hook.Set(&cfg, hook.Options{Drop: o.Loss, Seed: o.Seed})
	m.ch, err = blaze.NewChannel(cfg)
	return m, err
}

func ringMember(ctx context.Context, o *order, steps <-chan ringStep, enc *json.Encoder) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exactPauses()
	m, err := openRing(o)
	if err != nil {
		return err
	}
	defer m.ch.Shutdown()
	rec := newRecorder(o.Ring.Members, o.Size, o.Hash, o.Every, engine.Now)
	if o.Ring.Tell {
		told := make(chan mark, 64)
		rec.seq.tell = told
		go func() {
			for t := range told { // this process is killed before anything else is said
				_ = enc.Encode(ringAnswer{Mark: &t})
			}
		}()
	}
	cancel := m.ch.OnView(rec.view)
	defer cancel()
	sub, err := m.ch.SubscribePayload(orderTopic, rec.take, blaze.Inline())
	if err != nil {
		return err
	}
	if err := m.ch.Start(); err != nil {
		return err
	}
	pub, err := m.ch.Publisher(orderTopic)
	if err != nil {
		return err
	}
	together := func() bool { return rec.ringSize.Load() == int64(o.Ring.Members) }
	if o.Protocol != blaze.Totem {
		together = func() bool { return pub.Receivers() >= o.Ring.Members-1 }
	}
	if m.drive(ctx, together); ctx.Err() != nil {
		return ctx.Err()
	}
	before := max(int(rec.views.Load())-1, 0)
	if err := enc.Encode(ringAnswer{Ready: true}); err != nil {
		return err
	}
	step, err := m.step(ctx, steps)
	if err != nil {
		return err
	}
	var then, now runtime.MemStats
	runtime.ReadMemStats(&then)
	start := clock.Time(step.Start)
	if start == 0 {
		start = engine.Now()
	}
	if o.Ring.Kill > 0 {
		rec.seq.watch.Store(int64(start.Add(o.Ring.Kill)))
	}
	m.drive(ctx, func() bool { return engine.Now() >= start })
	load := m.ringLoad(ctx, o, pub)
	cpu, began := proc.SelfCPU(), engine.Now()
	if err := load.run(); err != nil {
		return err
	}
	cpu = proc.SelfCPU() - cpu
	runtime.ReadMemStats(&now)
	over := ringLoad{Sent: load.sent, Rotation: m.ch.Stats().Totem.Rotation, CPU: cpu.Seconds() / engine.Now().Sub(began).Seconds()}
	if o.Ring.Tell { // it lived on: then its marks go on as well
		m.drive(ctx, func() bool { return false })
		return ctx.Err()
	}
	if err := enc.Encode(ringAnswer{Load: &over}); err != nil {
		return err
	}
	if step, err = m.step(ctx, steps); err != nil {
		return err
	}
	deadline := engine.Now().Add(Settle)
	m.drive(ctx, func() bool { return rec.has(step.Sent) || engine.Now() > deadline })
	// What comes twice may come late: give it a moment.
	grace := engine.Now().Add(20 * time.Millisecond)
	m.drive(ctx, func() bool { return engine.Now() > grace })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	stats := m.ch.Stats()
	cancel()
	if err := sub.Close(); err != nil { // when it returns no handler runs: the recorder is ours
		return err
	}
	r := rec.report(before)
	r.Mallocs, r.Retransmits, r.Stats = now.Mallocs-then.Mallocs, stats.Totem.Retransmitted, m.counters()
	if o.Protocol == blaze.Totem {
		r.Stats.Detail = fmt.Sprintf("%+v %+v", stats.Totem, stats.Engine)
	} else {
		r.Retransmits = r.Stats.RepairsSent
	}
	if err := enc.Encode(ringAnswer{Report: r}); err != nil {
		return err
	}
	// Others may still need what this member has.
	m.drive(ctx, func() bool { return false })
	return nil
}

// step waits for the next line while the engine goes on turning.
func (m *member) step(ctx context.Context, steps <-chan ringStep) (s ringStep, err error) {
	m.drive(ctx, func() bool {
		select {
		case s = <-steps:
			return true
		default:
			return false
		}
	})
	return s, ctx.Err()
}

// ringLoad is the load of one member. Where the engine has a thread of its own, the load waits in
// the kernel: it must not take the engines' CPU by spinning.
func (m *member) ringLoad(ctx context.Context, o *order, pub *blaze.Publisher) *load {
	l := &load{
		send: offering(pub.Offer), turn: m.ch.Turn, now: engine.Now, stop: ctx.Err,
		size: o.Size, seed: o.Hash, base: uint64(o.Ring.Index+1) << senderShift,
		rate: o.Ring.Rate, warmUp: o.Ring.WarmUp, measure: o.Ring.Measure, spin: m.invoker && !m.yields,
	}
	if m.yields {
		l.rest = func(_, _ clock.Time) { yield() }
	}
	if m.invoker {
		return l
	}
	l.turn = func() int { return 0 }
	longest := 200 * time.Microsecond // for room in a queue that takes longer than that to drain
	if l.rate > 0 {
		longest = 2 * time.Millisecond
	}
	l.rest = func(now, next clock.Time) {
		// The kernel's sleep is exact, but the runtime looks after a thread in it, every 20 µs at first:
		// for most of a long time the runtime's own.
		if d := next.Sub(now); d > 10*time.Millisecond {
			time.Sleep(min(d-5*time.Millisecond, 100*time.Millisecond))
		} else {
			pause(min(d, longest))
		}
	}
	return l
}

// has tells whether all messages that were sent are delivered. Any thread may ask.
func (r *recorder) has(sent []uint64) bool {
	for i := range sent {
		if i < len(r.from) && r.from[i].delivered.Load() < sent[i] {
			return false
		}
	}
	return true
}

// report says what came, in the rings from number `first` on.
func (r *recorder) report(first int) *ringReport {
	p := &ringReport{
		Corrupt: r.corrupt, Messages: float64(r.lastCount - r.firstCount), Seconds: r.last.Sub(r.first).Seconds(),
		Views: r.seq.views - first, Stall: r.seq.stall, Again: r.seq.again, Stretches: r.seq.from(first), Every: r.samples.every, Samples: r.samples.encode(),
	}
	for i := range r.from {
		f := &r.from[i]
		p.Delivered = append(p.Delivered, f.delivered.Load())
		p.Duplicates += f.duplicates
		p.Reordered += f.reordered
	}
	return p
}
