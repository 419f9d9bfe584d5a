package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/engine"
)

// groupRole is what the role of the member that receives requests or sends has besides.
type groupRole struct {
	What              string        `json:"what"`
	Messages          bool          `json:"messages"`
	Invoker           bool          `json:"invoker"`
	Senders           int           `json:"senders"`
	HeartbeatInterval time.Duration `json:"heartbeat_interval"`
	FailureTimeout    time.Duration `json:"failure_timeout"`
}

// benchInbox is where requests with payloads go. Messages go to the default one.
const benchInbox = "bench"

// groupTurns bounds the turns that a run with Compare is cut into, each with both measurements: the host
// may be faster or slower for seconds at a time.
const (
	groupTurns   = 8
	groupTurnMin = 300 * time.Millisecond
)

// requests measures requests and, to compare with, NACK's round trip.
func (r *run) requests(ctx context.Context, res *measure.GroupResult, given Options) error {
	o := r.o
	turns := 1
	if o.Group.Compare != "" {
		turns = min(max(int(o.Duration/groupTurnMin), 1), groupTurns)
		o.Duration /= time.Duration(turns)
	}
	all, rtt := outcome{times: measure.NewHistogram()}, measure.NewHistogram()
	for i := range turns {
		got := outcome{}
		if err := r.asSender(func() (err error) { got, err = r.pair(ctx, &o, res); return err }); err != nil {
			return err
		}
		r.children.close()
		all.sent += got.sent
		all.measured += got.measured
		all.seconds += got.seconds
		all.times.Add(got.times)
		if o.Group.Compare == "" {
			continue
		}
		r.progress("turn %d of %d: NACK's round trip", i+1, turns)
		n := given
		n.Group, n.Duration, n.Idle, n.Progress, n.Stderr = GroupOptions{}, o.Duration, o.Idle, nil, o.Stderr
		n.Network = r.children.rig
		nack, times, err := Run(ctx, Latency, n)
		if err != nil {
			return err
		}
		if !nack.Exact() {
			return errors.New("NACK, to compare with: not exactly once in order")
		}
		rtt.Add(times)
		res.Ratios = append(res.Ratios, float64(got.times.Percentiles().P50)/float64(nack.RTT.P50))
	}
	if len(res.Ratios) > 0 {
		sorted := slices.Clone(res.Ratios)
		slices.Sort(sorted)
		res.RequestPerRTT = sorted[len(sorted)/2]
	}
	res.RequestsPerSecond, res.Request, res.RTT = all.rate(), all.times.Percentiles(), rtt.Percentiles()
	res.Seconds, res.MsgsPerSecond = all.seconds, all.rate()
	res.AllocsPerRequest = float64(r.mallocs) / float64(max(res.Sent, 1))
	r.perMessage()
	r.hist = all.times
	return nil
}

// sends measures messages that want no reply.
func (r *run) sends(ctx context.Context, res *measure.GroupResult) error {
	got, err := r.pair(ctx, &r.o, res)
	if err != nil {
		return err
	}
	res.SendsPerSecond, res.Send = got.rate(), got.times.Percentiles()
	res.Seconds, res.MsgsPerSecond = got.seconds, got.rate()
	r.perMessage()
	r.hist = got.times
	return nil
}

// pair makes calls to a member in another process. It adds what both count to the result.
func (r *run) pair(ctx context.Context, o *Options, res *measure.GroupResult) (got outcome, err error) {
	g := &o.Group
	invoker := o.Idle == "busyspin" && !g.Messages && g.Senders == 1 && g.What == whatRequest
	res.Invoker = invoker
	base := role{
		Workload: Group, URI: o.URI, Cluster: fmt.Sprintf("blazebench-%016x", random()), Size: o.Size, Idle: o.Idle,
		Loss: o.Loss, Delay: o.Delay, Seed: o.Seed + 1, Hash: random(),
		Group: &groupRole{
			What: g.What, Messages: g.Messages, Invoker: invoker, Senders: g.Senders,
			HeartbeatInterval: g.HeartbeatInterval, FailureTimeout: g.FailureTimeout,
		},
	}
	// A run owns its thread: nothing else is scheduled on it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, err := o.groupChannel(base.Cluster, "caller", invoker, o.Seed)
	if err != nil {
		return got, err
	}
	defer m.g.Shutdown()
	if err := m.g.Start(); err != nil {
		return got, err
	}
	r.progress("starting the other member")
	if err := r.children.start(1, func(int) *role { as := base; as.URI = ownTap(as.URI, 1); return &as }); err != nil {
		return got, err
	}
	ready, _ := r.children.answers(ctx, nobody, isReady, r.fail)
	var first reply
	if err := m.until(ctx, startLimit, "the other member is ready", func() bool {
		select {
		case first = <-ready:
			return true
		default:
			return false
		}
	}); err != nil {
		return got, err
	}
	if first.err != nil {
		return got, first.err
	}
	to, err := blaze.ParseMemberID(first.a.ID)
	if err != nil {
		return got, err
	}
	if err := m.until(ctx, startLimit, "the other member is seen here", func() bool { _, ok := m.g.Member(to); return ok }); err != nil {
		return got, err
	}
	replies, n := r.children.answers(ctx, nobody, isReport, r.fail)

	r.progress("%s: %d bytes for %v", g.What, o.Size, o.warmUp()+o.Duration)
	// The first call makes what the others use again.
	if _, err := m.caller(ctx, o, to, base.Hash, g.Senders)(1); err != nil {
		return got, fmt.Errorf("the first call: %w", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	load := calls{senders: g.Senders, warmUp: o.warmUp(), measure: o.Duration}
	got, err = load.run(ctx, func(sender int) caller { return m.caller(ctx, o, to, base.Hash, sender) })
	if err != nil {
		return got, err
	}
	runtime.ReadMemStats(&after)
	r.mallocs += after.Mallocs - before.Mallocs
	got.sent++ // the first one

	r.progress("waiting for the other member")
	if err := r.children.send(nobody, step{Sent: []uint64{got.sent}}); err != nil {
		return got, err
	}
	reports := make([]*report, n)
	if err := m.gather(ctx, replies, n, reports); err != nil {
		return got, err
	}
	own, p := m.counters(), reports[0]
	if p == nil {
		return got, errors.New("the other member: no report")
	}
	res.Transport, res.XDPMode, res.XDPSocket = own.Transport, own.XDPMode, own.XDPSocket
	res.XDPDatagrams += own.XDPDatagrams + p.Stats.XDPDatagrams
	res.XDPCopied += own.XDPCopied + p.Stats.XDPCopied
	res.Result.Members = append(res.Result.Members, own.Detail, p.Stats.Detail)
	res.Sent += got.sent
	res.Delivered += p.Delivered
	res.Duplicates += p.Duplicates
	res.Reordered += p.Reordered
	res.Corrupt += p.Corrupt
	if p.Delivered < got.sent {
		res.Lost += got.sent - p.Delivered
	}
	r.mallocs += p.Mallocs
	return got, nil
}

// caller makes what one goroutine calls.
func (m *member) caller(ctx context.Context, o *Options, to blaze.MemberID, hash uint64, sender int) caller {
	maker := measure.NewMaker(o.Size, hash)
	base := uint64(sender+1) << callShift
	checked := func(n uint64, reply []byte) error {
		if msg, ok := maker.Read(reply); !ok || msg.Number != base+n {
			return errors.New("the reply is not what was sent")
		}
		return nil
	}
	switch {
	case o.Group.What == whatSend:
		return func(n uint64) (time.Duration, error) {
			msg := blaze.NewBytesMessage(slices.Clone(maker.Make(measure.Message{Number: base + n, Measured: true})))
			return timed(func() error { return m.g.Send(ctx, to, msg) })
		}
	case o.Group.Messages:
		return func(n uint64) (time.Duration, error) {
			msg := blaze.NewBytesMessage(maker.Make(measure.Message{Number: base + n, Measured: true}))
			var reply *blaze.Message
			took, err := timed(func() (err error) { reply, err = m.g.Request(ctx, to, msg); return err })
			if err != nil {
				return took, err
			}
			b, _ := reply.Bytes()
			return took, checked(n, b)
		}
	}
	reply := make([]byte, 0, o.Size)
	return func(n uint64) (time.Duration, error) {
		b := maker.Make(measure.Message{Number: base + n, Measured: true})
		began := engine.Now()
		got, err := m.g.RequestPayload(ctx, to, benchInbox, b, reply[:0])
		took := engine.Now().Sub(began)
		if err != nil {
			return took, err
		}
		return took, checked(n, got)
	}
}

// serveGroup is the member that receives requests or sends.
func serveGroup(ctx context.Context, r *role, ctl *control, enc *json.Encoder) error {
	if r.Group.Invoker {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	o := Options{URI: r.URI, Size: r.Size, Idle: r.Idle, Loss: r.Loss, Delay: r.Delay, Group: GroupOptions{
		HeartbeatInterval: r.Group.HeartbeatInterval, FailureTimeout: r.Group.FailureTimeout,
	}}
	m, err := o.groupChannel(r.Cluster, "called", r.Group.Invoker, r.Seed)
	if err != nil {
		return err
	}
	defer m.g.Shutdown()
	var handled atomic.Uint64
	var sub *blaze.Subscription
	s := &senders{reader: measure.NewReader(r.Size, r.Hash), from: make([]numbers, r.Group.Senders+1)}
	var failed atomic.Pointer[error]
	fail := func(err error) { failed.CompareAndSwap(nil, &err) }
	switch {
	case r.Group.What == whatSend:
		sub, err = m.g.HandleInbox("", func(msg *blaze.Message) {
			b, _ := msg.Bytes()
			s.take(b)
			handled.Add(1)
		})
	case r.Group.Messages:
		sub, err = m.g.HandleInbox("", func(msg *blaze.Message) {
			b, _ := msg.Bytes()
			if err := m.g.Reply(ctx, msg, blaze.NewBytesMessage(b)); err != nil {
				fail(err)
			}
			handled.Add(1)
		})
	default:
		sub, err = m.g.HandleCalls(benchInbox, func(c *blaze.Call) {
			if err := c.Reply(c.Payload); err != nil {
				fail(err)
			}
			handled.Add(1)
		}, blaze.Inline())
	}
	if err != nil {
		return err
	}
	if err := m.g.Start(); err != nil {
		return err
	}
	if err := m.until(ctx, startLimit, "the calling member is seen here", func() bool { return len(m.g.Members()) > 1 }); err != nil {
		return err
	}
	if err := enc.Encode(answer{Ready: true, ID: m.g.ID().String()}); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.drive(ctx, func() bool { return ctl.settled(handled.Load()) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	runtime.ReadMemStats(&after)
	p := &report{Delivered: handled.Load(), Mallocs: after.Mallocs - before.Mallocs, Stats: m.counters()}
	if err := sub.Close(); err != nil { // when it returns no handler runs
		return err
	}
	if r.Group.What == whatSend {
		s.report(p)
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("a reply: %w", *err)
	}
	if err := enc.Encode(answer{Report: p}); err != nil {
		return err
	}
	m.drive(ctx, func() bool { return false }) // until the caller ends the run
	return nil
}

// callShift is where the goroutine's index, counted from 1, stands in a message's number.
const callShift = 48

// senders judges what comes from each of several goroutines. It belongs to one goroutine.
type senders struct {
	reader  measure.Reader
	from    []numbers
	corrupt uint64
}

// numbers is what came of one goroutine's messages, which it sends in order.
type numbers struct {
	high, missing                    uint64 // missing: skipped, and not come since
	delivered, duplicates, reordered uint64
}

func (s *senders) take(b []byte) {
	msg, ok := s.reader.Read(b)
	i, n := msg.Number>>callShift-1, msg.Number&(1<<callShift-1)
	if !ok || i >= uint64(len(s.from)) || n == 0 {
		s.corrupt++
		return
	}
	switch f := &s.from[i]; {
	case n > f.high:
		f.missing += n - f.high - 1
		f.high = n
		f.delivered++
	case f.missing > 0:
		f.missing--
		f.reordered++
		f.delivered++
	default:
		f.duplicates++
	}
}

func (s *senders) report(p *report) {
	p.Delivered, p.Corrupt = 0, s.corrupt
	for _, t := range s.from {
		p.Delivered += t.delivered
		p.Duplicates += t.duplicates
		p.Reordered += t.reordered
	}
}
