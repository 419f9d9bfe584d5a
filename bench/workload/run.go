package workload

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/engine"
)

// Run runs one workload. It returns its result, and the histogram that --hist writes: round trips where
// they were measured; of a ring the time to the last member's delivery; else one-way latency. Every
// process that it starts has ended when it returns. Several runs may be under way in a process, though
// each disturbs what the others measure.
func Run(ctx context.Context, kind Kind, opt Options) (*measure.Result, *measure.Histogram, error) {
	o, err := opt.fill(kind)
	if err != nil {
		return nil, nil, err
	}
	o.Stderr = shared(o.Stderr)
	// No run takes longer, whatever goes wrong.
	limit := ringLimit + o.warmUp() + o.Duration + stalled + Settle + 20*time.Second + o.Group.longer()
	if kind == JMS {
		limit += time.Minute // for the holders to find each other, and for a fail-over
	}
	if kind == Cluster {
		limit += o.Cluster.longer(o.Duration)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the run did not end within %v", limit))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	r := &run{kind: kind, o: o, fail: fail, res: &measure.Result{
		Rig: string(o.Rig), Offload: o.Offload, Link: o.Link.String(), LinkAt: o.LinkAt,
		Workload: string(kind), URI: o.URI, Protocol: protocolName(kind, o.Protocol), Size: o.Size, Receivers: o.Receivers,
		Rate: o.Rate, Loss: o.Loss, DelayNS: o.Delay.Nanoseconds(), Seed: o.Seed, Idle: o.Idle, GSO: o.GSO,
		K: o.FEC.SourceSymbols, M: o.FEC.RepairSymbols, Interleave: o.FEC.Interleave,
	}}
	r.children = processes{name: "receiver", command: o.Receiver, stderr: o.Stderr, host: 1}
	r.res.Circumstances()
	if o.Rig != "" {
		if r.children.rig = o.Network; o.Network == nil {
			r.progress("making a %s", o.Rig)
			if r.children.rig, err = rig.New(o.Rig, o.members(kind), rig.Options{Offload: o.Offload, Seed: o.Seed}); err != nil {
				return nil, nil, err
			}
			defer r.children.rig.Close()
			if err := o.bend(r.children.rig); err != nil {
				return nil, nil, err
			}
		}
	}
	cpu := proc.SelfCPU()
	defer r.children.close()
	switch kind {
	case Raw:
		err = r.asSender(func() error { return r.raw(ctx) })
	case Latency:
		err = r.asSender(func() error { return r.channel(ctx, r.latency) })
	case Order:
		err = r.order(ctx)
	case Group:
		err = r.group(ctx, opt)
	case Cluster:
		err = r.clusterRun(ctx)
	case JMS:
		err = r.jmsRun(ctx)
	default:
		err = r.asSender(func() error { return r.channel(ctx, r.throughput) })
	}
	if err != nil {
		return nil, nil, causeOf(ctx, err)
	}
	r.children.close()
	r.res.CPUSeconds = (r.children.cpu + proc.SelfCPU() - cpu).Seconds()
	return r.res, r.hist, nil
}

// run is one run under way, at the process that started it.
type run struct {
	kind     Kind
	o        Options
	fail     context.CancelCauseFunc // ends everything that is under way
	res      *measure.Result
	hist     *measure.Histogram
	children processes
	hash     uint64
	mallocs  uint64
	rtt      *measure.Histogram // round trips, measured here
	trace    *tracer            // nil: none
	pong     func([]byte)       // takes an answer; set before the first message
	ring     ringRun            // Order
}

// asSender runs f in the sender's place: on host 0 of a rig, where there is one, and with threads enough.
func (r *run) asSender(f func() error) error {
	runtime.GOMAXPROCS(max(threads, runtime.GOMAXPROCS(0)))
	if r.children.rig != nil {
		// Everything that this goroutine opens from now on is on host 0.
		leave, err := r.children.rig.Host(0).Enter()
		if err != nil {
			return err
		}
		defer leave()
	}
	return f()
}

func protocolName(kind Kind, p blaze.Protocol) string {
	if kind == Raw {
		return "none"
	}
	return p.String()
}

func (r *run) progress(format string, args ...any) {
	if r.o.Progress != nil {
		r.o.Progress(fmt.Sprintf(format, args...))
	}
}

// random draws what makes a run its own: the name of its cluster, the seed of its payloads.
func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// channel runs a workload over a channel: members, load, reports.
func (r *run) channel(ctx context.Context, work func(context.Context, *member, *blaze.Publisher) (sent uint64, err error)) error {
	r.hash = random()
	base := role{
		Workload: r.kind, URI: r.o.URI, Cluster: fmt.Sprintf("blazebench-%016x", random()), Protocol: r.o.Protocol, FEC: r.o.FEC,
		Size: r.o.Size, Idle: r.o.Idle, Loss: r.o.Loss, Delay: r.o.Delay, Seed: r.o.Seed, Hash: r.hash, Every: r.o.timeEvery(),
		Trace: r.o.Breakdown, Goroutines: r.o.Goroutines,
	}
	// A run owns its thread: nothing else is scheduled on it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	closedLoop := r.kind == Latency && r.o.Rate == 0
	m, err := open(&base, !closedLoop || r.o.Idle == "busyspin")
	if err != nil {
		return err
	}
	defer m.ch.Shutdown()
	if r.kind == Latency {
		_, err := m.ch.SubscribePayload(pongTopic, func(d *blaze.Delivery) { r.pong(d.Payload) }, base.handlers()...)
		if err != nil {
			return err
		}
	}
	if err := m.ch.Start(); err != nil {
		return err
	}
	pub, err := m.ch.Publisher(pingTopic)
	if err != nil {
		return err
	}
	r.progress("starting %d receivers", r.o.Receivers)
	err = r.children.start(r.o.Receivers, func(i int) *role {
		o := base
		o.URI = ownTap(o.URI, i+1)
		o.Seed += uint64(i) + 1
		o.Echo = r.kind == Latency && i == 0
		return &o
	})
	if err != nil {
		return err
	}
	ready, n := r.children.answers(ctx, nobody, isReady, r.fail)
	if err := m.gather(ctx, ready, n, nil); err != nil {
		return err
	}
	// From now on a receiver's next word is its report, or that it is gone.
	replies, n := r.children.answers(ctx, nobody, isReport, r.fail)
	if err := await(ctx, pub, r.o.Receivers); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent, err := work(ctx, m, pub)
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	r.mallocs = after.Mallocs - before.Mallocs
	r.res.Sent = sent

	r.progress("waiting for the receivers")
	if err := r.children.send(nobody, step{Sent: []uint64{sent}}); err != nil {
		return err
	}
	reports := make([]*report, n)
	if err := m.gather(ctx, replies, n, reports); err != nil {
		return err
	}
	own := m.counters()
	repair, err := m.repairs()
	if err != nil {
		return err
	}
	return r.sum(own, repair, reports)
}

// timeEvery is for how many messages a receiver reads the clock once when they come as fast as
// they can, or as fast as they are answered.
const timeEvery = 32

// timeEvery is for how many messages a receiver is to read the clock once.
func (o *Options) timeEvery() uint64 {
	if o.Rate == 0 {
		return timeEvery
	}
	return 1
}

// gather waits for n replies while the engine goes on turning, and keeps their reports.
func (m *member) gather(ctx context.Context, replies <-chan reply, n int, reports []*report) error {
	l := load{turn: m.ch.Turn, now: engine.Now, stop: ctx.Err}
	take := func(p reply) error {
		n--
		if p.err == nil && reports != nil {
			reports[p.i] = p.a.Report
		}
		return p.err
	}
	if m.invoker {
		return l.drain(func() (bool, error) {
			select {
			case p := <-replies:
				if err := take(p); err != nil {
					return false, err
				}
			default:
			}
			return n == 0, nil
		})
	}
	for n > 0 {
		if err := take(<-replies); err != nil { // they end with ctx
			return err
		}
	}
	return nil
}

// throughput sends as fast as it goes, or on schedule.
func (r *run) throughput(ctx context.Context, m *member, pub *blaze.Publisher) (uint64, error) {
	r.progress("%s: %d-byte messages for %v", r.kind, r.o.Size, r.o.warmUp()+r.o.Duration)
	l := r.load(ctx, m, pub)
	err := l.run()
	return l.sent, err
}

func (r *run) load(ctx context.Context, m *member, pub *blaze.Publisher) *load {
	// A claim costs two calls, which is more than it takes to copy a short message; and what takes
	// several datagrams is put together elsewhere in any case.
	send := offering(pub.Offer)
	if r.o.Size >= claimFrom && r.o.Size <= m.ch.Stats().Payload-claimMargin {
		send = claiming(pub)
	}
	return &load{
		send: send, turn: m.ch.Turn, now: engine.Now, stop: ctx.Err,
		size: r.o.Size, seed: r.hash, rate: r.o.Rate, warmUp: r.o.warmUp(), measure: r.o.Duration,
		spin: r.o.Idle == "busyspin",
	}
}

const (
	claimFrom   = 512 // bytes of messages that are worth a claim
	claimMargin = 128 // bytes: more than the headers of a datagram with one message take
)

// latency plays ping-pong, or sends on schedule and counts from the scheduled time.
func (r *run) latency(ctx context.Context, m *member, pub *blaze.Publisher) (uint64, error) {
	if r.o.Rate > 0 {
		return r.openLoop(ctx, m, pub)
	}
	r.progress("latency: ping-pong with %d bytes for %v", r.o.Size, r.o.warmUp()+r.o.Duration)
	p := newPinger(r.o.Size, r.hash, pub.Offer, engine.Now)
	r.pong, r.rtt = p.pong, p.rtt
	if tr := m.trace; tr != nil {
		r.trace = tr
		p.offer = tr.offering(pub.Offer)
		r.pong = func(b []byte) { tr.answered(p.at, p.measured); p.pong(b) }
	}
	p.start(r.o.warmUp(), r.o.Duration)
	retry := r.o.Protocol == blaze.BestEffort || r.o.Protocol == blaze.FEC
	if m.invoker {
		for turns := 0; ; turns++ {
			if m.ch.Turn(); turns%64 == 0 && (ctx.Err() != nil || p.watch(retry)) {
				break
			}
		}
	} else {
		tick := time.NewTicker(patience)
		defer tick.Stop()
		for !p.watch(retry) {
			select {
			case <-p.done:
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-tick.C:
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.res.Unanswered, r.res.Corrupt = p.sent-p.answered, p.corrupt
	return p.sent, p.err
}

// openLoop sends on schedule, whether or not answers come.
func (r *run) openLoop(ctx context.Context, m *member, pub *blaze.Publisher) (uint64, error) {
	r.progress("latency: %.0f messages of %d bytes a second for %v", r.o.Rate, r.o.Size, r.o.warmUp()+r.o.Duration)
	s := newSink(r.o.Size, r.hash, 1, engine.Now) // of the answers, which carry their due time
	r.pong, r.rtt = s.take, s.latency
	l := r.load(ctx, m, pub)
	if err := l.run(); err != nil {
		return 0, err
	}
	r.progress("waiting for answers")
	deadline := engine.Now().Add(Settle)
	err := l.drain(func() (bool, error) {
		return s.tracker.Delivered == l.sent || engine.Now() > deadline, nil
	})
	r.res.Unanswered, r.res.Corrupt = s.tracker.Lost(l.sent), s.tracker.Corrupt
	return l.sent, err
}

// sum adds up what the members report.
func (r *run) sum(own counters, repair []byte, reports []*report) error {
	res := r.res
	res.Transport, res.XDPMode, res.XDPSocket = own.Transport, own.XDPMode, own.XDPSocket
	res.XDPDatagrams, res.XDPCopied = own.XDPDatagrams, own.XDPCopied
	res.NAKsSent, res.RepairsSent, res.Evictions = own.NAKsSent, own.RepairsSent, own.Evictions
	res.RepairedByFEC, res.RepairedByNACK = own.RepairedByFEC, own.RepairedByNACK // of answers
	res.ParityOverhead = share(own.ParityBytes, own.DatagramBytes)
	res.Reasons = map[string]uint64{}
	res.Members = append(res.Members, own.Detail)
	latency, repairs := measure.NewHistogram(), measure.NewHistogram()
	if err := add(repairs, repair); err != nil {
		return err
	}
	for i, p := range reports {
		if p == nil {
			return fmt.Errorf("receiver %d: no report", i)
		}
		r.add(p, i == 0)
		res.Lost += p.Lost
		for reason, n := range p.Told {
			res.Reasons[reason] += n
			res.Told += n
		}
		if err := errors.Join(add(latency, p.Latency), add(repairs, p.Repair)); err != nil {
			return err
		}
	}
	res.ResidualLoss = share(res.Lost, res.Sent*uint64(len(reports)))
	res.RepairOverhead = share(own.RepairsSent, own.DatagramsSent)
	r.perMessage()
	res.RTT, res.Latency, res.Repair = r.rtt.Percentiles(), latency.Percentiles(), repairs.Percentiles()
	if runtime.GOOS != "linux" {
		res.Latency = nil // here each process has a clock of its own
	}
	if r.trace != nil {
		var err error
		if res.Breakdown, err = breakdown(r.trace, reports[0].Stages); err != nil {
			return err
		}
	}
	if r.hist = latency; r.rtt != nil {
		r.hist = r.rtt
	}
	return nil
}

// add adds what one process reports.
func (r *run) add(p *report, first bool) {
	res := r.res
	res.Members = append(res.Members, p.Stats.Detail)
	res.Delivered += p.Delivered
	res.Duplicates += p.Duplicates
	res.Reordered += p.Reordered
	res.Corrupt += p.Corrupt
	res.NAKsSent += p.Stats.NAKsSent
	res.RepairsSent += p.Stats.RepairsSent
	res.RepairedByFEC += p.Stats.RepairedByFEC
	res.RepairedByNACK += p.Stats.RepairedByNACK
	res.XDPDatagrams += p.Stats.XDPDatagrams
	res.XDPCopied += p.Stats.XDPCopied
	r.mallocs += p.Mallocs
	if rate := p.rate(); first || rate < res.MsgsPerSecond {
		res.MsgsPerSecond, res.Seconds = rate, p.Seconds
		if p.Delivered > 0 {
			res.DatagramsPerSecond = rate * float64(p.Stats.DatagramsReceived) / float64(p.Delivered)
		}
	}
}

// perMessage works out what follows from the sums.
func (r *run) perMessage() {
	r.res.BytesPerSecond = r.res.MsgsPerSecond * float64(r.o.Size)
	if n := r.res.Sent + r.res.Delivered; n > 0 {
		r.res.AllocsPerMsg = float64(r.mallocs) / float64(n)
	}
}

// share is a of b, and 0 of nothing.
func share(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// rate is how many messages a second arrived while it was measured.
func (p *report) rate() float64 {
	if p.Seconds <= 0 {
		return 0
	}
	return p.Messages / p.Seconds
}

// add decodes a receiver's histogram and adds it to h.
func add(h *measure.Histogram, b []byte) error {
	var o measure.Histogram
	if err := o.UnmarshalBinary(b); err != nil {
		return err
	}
	h.Add(&o)
	return nil
}
