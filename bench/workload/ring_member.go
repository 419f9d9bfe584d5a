package workload

import (
	"context"
	"encoding/json"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// ringRole is what the role of a member of a ring has besides.
type ringRole struct {
	Index   int                `json:"index"`
	Members int                `json:"members"`
	Safe    bool               `json:"safe"`
	Plain   bool               `json:"plain"`
	Profile blaze.TotemProfile `json:"profile"`
	Rate    float64            `json:"rate"` // of this member
	WarmUp  time.Duration      `json:"warm_up"`
	Measure time.Duration      `json:"measure"`
	Kill    time.Duration      `json:"kill"` // after the start a member is killed; 0: none is
	Mark    bool               `json:"mark"` // send marks while it runs: it is the one
}

// ringLoad means that a member's load is over.
type ringLoad struct {
	Sent     uint64        `json:"sent"`
	Rotation time.Duration `json:"rotation"` // of the token, as it ended
	CPU      float64       `json:"cpu"`      // share of one CPU that the member took meanwhile
}

// ringReport is what a member's report has of a ring.
type ringReport struct {
	Delivered []uint64  `json:"delivered"` // of each member's messages
	Views     int       `json:"views"`     // since all were in one ring, that one included
	Stretches []stretch `json:"stretches"`
	Stall     int64     `json:"stall"` // the longest time between two deliveries after the kill, ns
	Again     bool      `json:"again"` // a new ring has delivered since
	Every     uint64    `json:"every"`
	Samples   []byte    `json:"samples"`
}

// serveRing is a member of a ring.
func serveRing(ctx context.Context, o *role, ctl *control, enc *json.Encoder) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exactPauses()
	// What never sleeps in the kernel turns its engine itself; with Block it is the engine's own loop,
	// which wakes when a packet comes.
	m, err := open(o, o.Idle != "block")
	if err != nil {
		return err
	}
	defer m.ch.Shutdown()
	rec := newRecorder(o.Ring.Members, o.Size, o.Hash, o.Every, engine.Now)
	if o.Ring.Mark {
		marks := make(chan mark, 64)
		rec.seq.marks = marks
		go func() {
			for t := range marks { // this process is killed before anything else is sent
				_ = enc.Encode(answer{Mark: &t})
			}
		}()
	}
	cancel := m.ch.OnView(rec.view)
	defer cancel()
	sub, err := m.ch.SubscribePayload(ringTopic, rec.take, blaze.Inline())
	if err != nil {
		return err
	}
	if err := m.ch.Start(); err != nil {
		return err
	}
	pub, err := m.ch.Publisher(ringTopic)
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
	apart := max(int(rec.views.Load())-1, 0) // views before all were in one ring
	if err := enc.Encode(answer{Ready: true}); err != nil {
		return err
	}
	now, err := m.step(ctx, ctl)
	if err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := clock.Time(now.Start)
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
	runtime.ReadMemStats(&after)
	over := ringLoad{Sent: load.sent, Rotation: m.ch.Stats().Totem.Rotation, CPU: cpu.Seconds() / engine.Now().Sub(began).Seconds()}
	if o.Ring.Mark { // it lived on: then its marks go on as well
		m.drive(ctx, func() bool { return false })
		return ctx.Err()
	}
	if err := enc.Encode(answer{Load: &over}); err != nil {
		return err
	}
	if now, err = m.step(ctx, ctl); err != nil {
		return err
	}
	deadline := engine.Now().Add(Settle)
	m.drive(ctx, func() bool { return rec.has(now.Sent) || engine.Now() > deadline })
	// What comes twice may come late: give it a moment.
	grace := engine.Now().Add(20 * time.Millisecond)
	m.drive(ctx, func() bool { return engine.Now() > grace })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	stats := m.counters()
	cancel()
	if err := sub.Close(); err != nil { // when it returns no handler runs: the recorder is ours
		return err
	}
	r := rec.report(apart)
	r.Mallocs, r.Stats = after.Mallocs-before.Mallocs, stats
	if err := enc.Encode(answer{Report: r}); err != nil {
		return err
	}
	// Others may still need what this member has.
	m.drive(ctx, func() bool { return false })
	return nil
}

// step waits for the next line while the engine goes on turning.
func (m *member) step(ctx context.Context, ctl *control) (s step, err error) {
	m.drive(ctx, func() (ok bool) { s, ok = ctl.next(); return ok })
	return s, ctx.Err()
}

// ringLoad is the load of one member. Where the engine has a thread of its own, the load waits in
// the kernel: it must not take the engines' CPU by spinning.
func (m *member) ringLoad(ctx context.Context, o *role, pub *blaze.Publisher) *load {
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

// has reports whether all messages that were sent are delivered. Any thread may ask.
func (r *recorder) has(sent []uint64) bool {
	for i := range sent {
		if i < len(r.from) && r.from[i].delivered.Load() < sent[i] {
			return false
		}
	}
	return true
}

// report is what came, in the rings from number `first` on.
func (r *recorder) report(first int) *report {
	p := &report{Corrupt: r.corrupt, Ring: &ringReport{
		Views: r.seq.views - first, Stall: r.seq.stall, Again: r.seq.again, Stretches: r.seq.from(first), Every: r.samples.every, Samples: r.samples.encode(),
	}}
	r.measured.report(p)
	for i := range r.from {
		f := &r.from[i]
		n := f.delivered.Load()
		p.Ring.Delivered = append(p.Ring.Delivered, n)
		p.Delivered += n
		p.Duplicates += f.duplicates
		p.Reordered += f.reordered
	}
	return p
}
