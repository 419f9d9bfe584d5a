package workload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// member is one end of a run: a channel, set up as the run wants it.
type member struct {
	ch      *blaze.Channel
	g       *blaze.GroupChannel // whose channel ch is; nil: it is a Channel only
	invoker bool
	yields  bool   // with invoker: when there is nothing to do, others may have the processor
	turned  func() // with invoker: called after a turn that did something; may be nil

	trace *tracer // nil unless the role has Trace

	mu     sync.Mutex
	repair *measure.Histogram // the engine's thread records while others read
}

// open makes a channel that is not started yet. invoker: the caller turns it.
func open(o *role, invoker bool) (*member, error) {
	m := &member{invoker: invoker, repair: measure.NewHistogram()}
	idle, err := blaze.ParseIdle(o.Idle)
	if err != nil {
		return nil, err
	}
	hooks := hook.Options{Drop: o.Loss, Seed: o.Seed, Delay: o.Delay, RepairNS: m.repaired}
	if o.Trace {
		m.trace = newTracer(engine.Now)
		hooks.Trace = m.trace
	}
	cfg := blaze.Config{
		Cluster: o.Cluster, BroadcastURI: o.URI, Protocol: o.Protocol, FEC: o.FEC,
		NoSelfDelivery: o.Ring == nil, Idle: idle, Invoker: invoker,
		Logger: slog.New(unexpected{slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})}),
	}
	if o.Ring != nil {
		m.yields = invoker && o.Idle == "backoff"
		cfg.Safe, cfg.Totem = o.Ring.Safe, blaze.TotemConfig{Profile: o.Ring.Profile, Plain: o.Ring.Plain}
	}
	hook.Set(&cfg, hooks)
	m.ch, err = blaze.NewChannel(cfg)
	return m, err
}

// unexpected passes on what a member logs, but for the receiver that holds a stream back: a sender at full
// speed always finds one.
type unexpected struct{ slog.Handler }

func (h unexpected) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "holds a stream back") || strings.Contains(r.Message, "does not hold its stream back") {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h unexpected) WithAttrs(attrs []slog.Attr) slog.Handler {
	return unexpected{h.Handler.WithAttrs(attrs)}
}

func (m *member) repaired(ns int64) {
	if ns <= 0 {
		return // it came in the moment in which its absence was noticed: nothing was repaired
	}
	m.mu.Lock()
	m.repair.Record(ns)
	m.mu.Unlock()
}

// repairs encodes what repaired has recorded so far.
func (m *member) repairs() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.repair.MarshalBinary()
}

// await waits until the publisher's stream has n receivers.
func await(ctx context.Context, p *blaze.Publisher, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("none within %v", startLimit))
	defer cancel()
	return p.WaitReceivers(ctx, n)
}

// startLimit is how long members may take to start and to find each other.
const startLimit = 10 * time.Second

// counters are those of the channel's Stats that a run reports.
func (m *member) counters() counters {
	s := m.ch.Stats()
	c := counters{
		Transport:         s.Transport,
		Detail:            fmt.Sprintf("%+v", s.Nack),
		DatagramsReceived: s.Engine.Received - s.Engine.Drops[engine.DropOwn],
		NAKsSent:          s.Nack.NaksSent,
		RepairsSent:       s.Nack.RepairsMulticast + s.Nack.RepairsUnicast,
		DatagramsSent:     s.Nack.Datagrams,
		DatagramBytes:     s.Nack.DatagramBytes,
		ParityBytes:       s.Nack.ParityBytes,
		RepairedByFEC:     s.Nack.Rebuilt - s.Nack.RebuiltOnDemand,
		RepairedByNACK:    s.Nack.Resent + s.Nack.RebuiltOnDemand,
		Evictions:         s.Nack.Evictions,
	}
	if s.Totem.Members > 0 {
		c.RepairsSent, c.Detail = s.Totem.Retransmitted, fmt.Sprintf("%+v %+v", s.Totem, s.Engine)
	}
	if m.g != nil {
		c.Detail = fmt.Sprintf("%+v %s", s.Group, c.Detail)
	}
	if s.Transport == "xdp" {
		c.XDPMode, c.XDPSocket = s.Mode, s.Socket
		c.XDPDatagrams = s.XDP.SendDatagrams + s.XDP.RecvDatagrams
		c.XDPCopied = s.XDP.SendCopied + s.XDP.RecvKernel + s.XDP.SendKernel
		c.Detail += fmt.Sprintf(" %+v", s.XDP)
	}
	return c
}
