package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// Serve is the receiver process: it takes its orders from in and reports to out. It returns when
// in ends.
func Serve(in io.Reader, out io.Writer) error {
	// Ctrl-C on a terminal reaches the whole process group. The sender decides what becomes of
	// the run, and of this process.
	signal.Ignore(syscall.SIGINT)
	runtime.GOMAXPROCS(threads)

	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var o role
	if err := dec.Decode(&o); err != nil {
		return fmt.Errorf("no role: %w", err)
	}
	if o.Member != nil {
		return groupmember.Run(dec, out, *o.Member)
	}
	// From here on the input is read elsewhere, so that its end is seen whatever goes on here.
	ctl := &control{steps: make(chan step, 2)}
	ctx, gone := context.WithCancel(context.Background())
	defer gone()
	go func() {
		defer gone()
		for {
			var s step
			if dec.Decode(&s) != nil {
				return
			}
			select {
			case ctl.steps <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	var err error
	switch o.Workload {
	case Raw:
		err = serveRaw(ctx, &o, enc)
	case Order:
		err = serveRing(ctx, &o, ctl, enc)
	case Group:
		err = serveGroup(ctx, &o, ctl, enc)
	default:
		err = receive(ctx, &o, ctl, enc)
	}
	if err != nil && ctx.Err() == nil {
		_ = enc.Encode(answer{Error: err.Error()})
	}
	return err
}

// threads is GOMAXPROCS of a process with one polling thread: it and two for the rest, more than
// there are CPUs if need be, since the collector would otherwise take the polling thread's.
const threads = 3

// control is what comes from the process that started this one. It belongs to one goroutine.
type control struct {
	steps chan step
	sent  uint64     // messages of the load, once it is over
	over  clock.Time // when that came; 0: not yet
}

// next is the next step, if it has come.
func (c *control) next() (s step, ok bool) {
	select {
	case s = <-c.steps:
		return s, true
	default:
		return s, false
	}
}

// settled reports whether the run is over for a receiver for which n messages have come or will never
// come.
func (c *control) settled(n uint64) bool {
	if c.over == 0 {
		s, ok := c.next()
		if !ok {
			return false
		}
		for _, sent := range s.Sent {
			c.sent += sent
		}
		c.over = engine.Now()
	}
	return n >= c.sent || engine.Now().Sub(c.over) > Settle
}

// receive is a receiver over a channel.
func receive(ctx context.Context, o *role, ctl *control, enc *json.Encoder) error {
	// One busy thread for each member. A spinning receiver turns its engine on this goroutine;
	// the others have the engine's loop, which sleeps as Config.Idle says.
	invoker := o.Idle == "busyspin"
	if invoker {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	m, err := open(o, invoker)
	if err != nil {
		return err
	}
	defer m.ch.Shutdown()
	s := newSink(o.Size, o.Hash, o.Every, engine.Now)
	pong, err := m.ch.Publisher(pongTopic)
	if err != nil {
		return err
	}
	answers := &echo{offer: pong.Offer}
	handler := func(d *blaze.Delivery) { s.take(d.Payload) }
	if o.Echo {
		// The answer first: what it waits for is measured, what comes after is not.
		judge := s.take
		if invoker {
			l := &later{sink: s}
			judge, m.turned = l.put, l.settle
		}
		handler = func(d *blaze.Delivery) { answers.take(d.Payload); judge(d.Payload) }
		if tr := m.trace; tr != nil {
			handler = func(d *blaze.Delivery) {
				at := engine.Now()
				answers.take(d.Payload)
				judge(d.Payload)
				tr.handled(at, d.Payload, &s.reader)
			}
		}
	}
	sub, err := m.ch.SubscribePayload(pingTopic, handler, append(o.handlers(), blaze.OnLoss(s.lost))...)
	if err != nil {
		return err
	}
	if err := m.ch.Start(); err != nil {
		return err
	}
	if o.Echo {
		if err := await(ctx, pong, 1); err != nil {
			return err
		}
	}
	if err := enc.Encode(answer{Ready: true}); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.drive(ctx, func() bool { answers.retry(); return ctl.settled(s.settled.Load()) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	runtime.ReadMemStats(&after)
	// What arrives twice may come late: give it a moment.
	grace := time.Now().Add(20 * time.Millisecond)
	m.drive(ctx, func() bool { answers.retry(); return time.Now().After(grace) })
	stats := m.counters()
	if err := sub.Close(); err != nil { // now the sink is ours
		return err
	}
	r, err := s.report(ctl.sent)
	if err != nil {
		return err
	}
	r.Mallocs, r.Stats = after.Mallocs-before.Mallocs, stats
	if r.Repair, err = m.repairs(); err != nil {
		return err
	}
	if m.trace != nil {
		if r.Stages, err = m.trace.report(); err != nil {
			return err
		}
	}
	if err := answers.failed(); err != nil {
		return fmt.Errorf("an answer could not be sent: %w", err)
	}
	if err := enc.Encode(answer{Report: r}); err != nil {
		return err
	}
	// Others may still need what this member does not: stay until the sender ends the run.
	m.drive(ctx, func() bool { return false })
	return nil
}

// drive has the channel turn until over, or until ctx ends.
func (m *member) drive(ctx context.Context, over func() bool) {
	if m.invoker {
		for turns := 0; ; turns++ {
			if m.ch.Turn() > 0 {
				if m.turned != nil {
					m.turned()
				}
			} else if m.yields {
				yield()
			}
			if turns%64 == 0 && (ctx.Err() != nil || over()) {
				return
			}
		}
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !over() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
