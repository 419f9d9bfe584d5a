package groupmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// Main is a program that is one member. Its exit status is 1 where Run failed.
func Main() {
	dec := json.NewDecoder(os.Stdin)
	var o Order
	err := dec.Decode(&o)
	if err == nil {
		err = Run(dec, os.Stdout, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "group member:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Config is that of a member.
func (o *Order) Config() blaze.Config {
	cfg := blaze.Config{
		Cluster: o.Cluster, BroadcastURI: o.URI, Idle: o.Idle, NoSelfDelivery: true,
		HeartbeatInterval: o.HeartbeatInterval, FailureTimeout: o.FailureTimeout,
		Window: 1 << 20, MaxMessageSize: 64 << 10, // there are many in a host
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if o.Totem {
		cfg.Protocol = blaze.Totem
	}
	if s := o.Shared; s != nil {
		cfg.ExpectedMembers, cfg.MasterWeight, cfg.Observer, cfg.DataDir = s.Expected, s.Weight, s.Observer, s.DataDir
		cfg.MaxMessageSize, cfg.Window, cfg.Totem.Profile = 0, 0, s.Profile
	}
	if o.Loss > 0 {
		hook.Set(&cfg, hook.Options{Drop: o.Loss, Seed: o.Seed})
	}
	return cfg
}

// Run is a member until in ends.
func Run(in *json.Decoder, out io.Writer, o Order) error {
	signal.Ignore(syscall.SIGINT) // the process that drives this one decides what becomes of it
	a := &agent{enc: json.NewEncoder(out), changed: make(chan struct{}), pubs: map[string]*blaze.Publisher{}}
	ctx, gone := context.WithCancel(context.Background())
	defer gone()
	if err := a.open(&o); err != nil {
		return errors.Join(err, a.write(Line{Ready: &Ready{Error: err.Error()}}))
	}
	defer a.g.Shutdown()
	if err := a.write(Line{Ready: &Ready{ID: a.g.ID().String()}}); err != nil {
		return err
	}
	for {
		var c Command
		if err := in.Decode(&c); err != nil {
			return nil // nobody drives this process any more
		}
		go func() {
			answer, err := a.do(ctx, &c)
			if answer.ID = c.ID; err != nil {
				answer.Error = err.Error()
			}
			_ = a.write(Line{Answer: &answer})
		}()
	}
}

// agent is a member at work.
type agent struct {
	g *blaze.GroupChannel
	c *blaze.ClusterChannel // nil: it is none

	out sync.Mutex
	enc *json.Encoder

	mu      sync.Mutex
	log     []Entry
	changed chan struct{} // closed when the log grows

	topics sync.Mutex // publishers
	pubs   map[string]*blaze.Publisher
}

func (a *agent) write(l Line) error {
	a.out.Lock()
	defer a.out.Unlock()
	return a.enc.Encode(l)
}

func (a *agent) open(o *Order) (err error) {
	if o.Shared != nil {
		if a.c, err = blaze.NewClusterChannel(o.Name, o.Config()); err != nil {
			return err
		}
		a.g = a.c.GroupChannel
	} else if a.g, err = blaze.NewGroupChannel(o.Name, o.Config()); err != nil {
		return err
	}
	for _, group := range o.Groups {
		if err := a.g.Join(group); err != nil {
			return err
		}
	}
	a.g.OnMember(func(e blaze.MemberEvent) {
		a.note(Entry{Kind: e.Kind.String(), ID: e.Member.ID.String(), Incarnation: e.Member.Incarnation, Name: e.Member.Name, Group: e.Group})
	})
	if o.Held {
		return a.g.Init()
	}
	return a.g.Start()
}

// note writes one thing into the log.
func (a *agent) note(e Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.At = int64(engine.Now())
	a.log = append(a.log, e)
	close(a.changed)
	a.changed = make(chan struct{})
}

// wait waits until the log has an entry that match accepts, and returns the last such one.
func (a *agent) wait(ctx context.Context, match func(*Entry) bool) (Entry, error) {
	for {
		a.mu.Lock()
		changed := a.changed
		for i := len(a.log) - 1; i >= 0; i-- {
			if e := a.log[i]; match(&e) {
				a.mu.Unlock()
				return e, nil
			}
		}
		a.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// patience is how long a command waits that says no time of its own.
const patience = 20 * time.Second

func (a *agent) do(ctx context.Context, c *Command) (answer Answer, err error) {
	limit := patience
	if c.For > 0 {
		limit = c.For
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch c.Do {
	case DoStart:
		return a.start(wait, c.Members)
	case DoStop:
		return answer, a.g.Shutdown()
	case DoJoin:
		return answer, a.g.Join(c.Name)
	case DoLeave:
		return answer, a.g.Leave(c.Name)
	case DoMembers:
		answer.Members = members(a.g.Members())
	case DoAwait:
		err = a.g.WaitMembers(wait, c.N)
	case DoFailed:
		var e Entry
		e, err = a.wait(wait, func(e *Entry) bool { return e.Kind == blaze.MemberFailed.String() && e.ID == c.To })
		answer.At = e.At
	case DoLog:
		a.mu.Lock()
		answer.Log = slices.Clone(a.log)
		a.mu.Unlock()
	case DoSubscribe:
		_, err = a.g.SubscribePayload(c.Name, func(d *blaze.Delivery) {
			if !c.Quiet {
				a.note(Entry{Kind: "message", ID: d.From.String(), Name: d.Topic, Number: number(d.Payload)})
			}
		})
	case DoPublish:
		return a.publish(ctx, c)
	case DoHandle:
		err = a.handle(c)
	case DoRequest, DoSend:
		return a.call(ctx, c)
	case DoConsume:
		err = a.consume(c)
	case DoEnqueue:
		return a.enqueue(ctx, c)
	case DoStats:
		answer.CPU, answer.Switches, answer.At = proc.SelfCPU(), proc.SelfSwitches(), int64(engine.Now())
		s := a.g.Stats()
		answer.Transport, answer.Mode, answer.Socket = s.Transport, s.Mode, s.Socket
		answer.Sleeps = s.Engine.Sleeps
		answer.Stats, err = json.Marshal(s.Group)
	default:
		if a.c != nil {
			return a.shared(wait, c)
		}
		err = fmt.Errorf("no command %q", c.Do)
	}
	return answer, err
}

// start starts a member that was held, and measures until all are there that are meant to be.
func (a *agent) start(ctx context.Context, want []string) (answer Answer, err error) {
	began := engine.Now()
	if err := a.g.Start(); err != nil {
		return answer, err
	}
	answer.Self = a.g.ID().String()
	there := map[string]bool{}
	for n := len(want) + 1; ; n++ {
		if err := a.g.WaitMembers(ctx, n); err != nil {
			return answer, err
		}
		answer.Took = engine.Now().Sub(began)
		answer.Members = members(a.g.Members())
		for _, m := range answer.Members {
			there[m.ID] = true
		}
		if !slices.ContainsFunc(want, func(id string) bool { return !there[id] }) {
			return answer, nil
		}
	}
}

func members(all []blaze.Member) (out []Member) {
	for _, m := range all {
		out = append(out, Member{ID: m.ID.String(), Incarnation: m.Incarnation, Name: m.Name, Groups: m.Groups, Addr: m.Addr.String(), Started: m.Started.UnixNano()})
	}
	return out
}
