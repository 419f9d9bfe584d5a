package clustertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// Order is the first line of a member's input: what to be.
type Order struct {
	URI, Cluster, Name string
	Expected           int
	Loss               float64 // of the datagrams that it receives
	Seed               uint64
	DataDir            string
}

// Command is each further line. A member answers each with one Line that has its ID; meanwhile it says what its clients do.
type Command struct {
	ID      uint64
	Do      string // ready, load, unload, put, get, status, quorum, stop
	Key     string
	Value   string
	Clients int           // load: that put and read
	Lockers int           // load: that take locks
	Keys    int           // load: how many keys there are at a time
	Pause   time.Duration // load: between two calls of a client
	For     time.Duration // how long a call may take
}

// Line is what a member says: an answer, or a call of a client.
type Line struct {
	ID     uint64 `json:",omitempty"` // of the command that it answers; 0: none
	Error  string `json:",omitempty"`
	Value  string `json:",omitempty"`
	At     int64  `json:",omitempty"` // CLOCK_MONOTONIC, ns
	Took   time.Duration
	Status *blaze.ClusterStatus `json:",omitempty"`
	Stats  *blaze.ClusterStats  `json:",omitempty"`

	Begun *Call `json:",omitempty"` // before a call
	Ended *Call `json:",omitempty"` // after it
	Held  *Hold `json:",omitempty"` // a lock was held
}

// Call is one call of a client.
type Call struct {
	N       uint64 // of the process
	Kind    string // put, cas, delete, read
	Key     string
	Value   string
	Version uint64 // of cas: compared. At the end: the entry's
	Code    string // ok, version, none, unknown
	At      int64  // CLOCK_MONOTONIC, ns
}

// Hold is a time in which a member held a lock, by its own clock.
type Hold struct {
	Key      string
	Token    uint64
	From, To int64 // CLOCK_MONOTONIC, ns
}

// Main is a program that is one member.
func Main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster member:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type agent struct {
	c *blaze.ClusterChannel
	m *blaze.Map

	out sync.Mutex
	enc *json.Encoder

	mu    sync.Mutex
	n     uint64
	stop  context.CancelFunc
	tasks sync.WaitGroup
	seed  uint64
}

func run(in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGINT)
	dec := json.NewDecoder(in)
	var o Order
	if err := dec.Decode(&o); err != nil {
		return err
	}
	cfg := blaze.Config{
		Cluster: o.Cluster, BroadcastURI: o.URI, Idle: blaze.Block, ExpectedMembers: o.Expected, NoSelfDelivery: true, DataDir: o.DataDir,
		Window: 1 << 20, MaxMessageSize: 64 << 10,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})).With("member", o.Name),
	}
	if o.Loss > 0 {
		hook.Set(&cfg, hook.Options{Drop: o.Loss, Seed: o.Seed})
	}
	a := &agent{enc: json.NewEncoder(out), seed: o.Seed, stop: func() {}}
	c, err := blaze.NewClusterChannel(o.Name, cfg)
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		a.say(&Line{Error: err.Error()})
		return err
	}
	defer c.Shutdown()
	a.c, a.m = c, c.Map("m")
	a.say(&Line{Value: c.ID().String()})
	for {
		var cmd Command
		if dec.Decode(&cmd) != nil {
			return nil // nobody drives this process any more
		}
		go func() {
			l := &Line{}
			if err := a.do(&cmd, l); err != nil {
				l.Error = err.Error()
			}
			l.ID = cmd.ID
			a.say(l)
		}()
	}
}

func (a *agent) say(l *Line) {
	a.out.Lock()
	defer a.out.Unlock()
	_ = a.enc.Encode(l)
}

func now() int64 { return int64(engine.Now()) }

func (a *agent) do(c *Command, l *Line) (err error) {
	limit := c.For
	if limit == 0 {
		limit = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begun := now()
	defer func() { l.At = now(); l.Took = time.Duration(l.At - begun) }()
	switch c.Do {
	case "ready":
		return a.c.WaitReady(ctx)
	case "put":
		_, err = a.m.Put(ctx, c.Key, []byte(c.Value))
	case "get":
		e, ok := a.m.Get(c.Key)
		if l.Value = string(e.Value); !ok {
			l.Value = "-"
		}
	case "status":
		s, n := a.c.Status(), a.c.Stats().Cluster
		l.Status, l.Stats = &s, &n
	case "quorum":
		return a.quorum(ctx, l)
	case "load":
		a.load(c)
	case "unload":
		a.stop()
		a.tasks.Wait()
	case "stop":
		a.stop()
		a.tasks.Wait()
		return a.c.Stop()
	default:
		err = errors.New("no command " + c.Do)
	}
	return err
}

// quorum measures how long after this member has another ring a put says that there is no quorum.
func (a *agent) quorum(ctx context.Context, l *Line) error {
	ring := a.c.Status().Ring
	for a.c.Status().Ring == ring {
		if ctx.Err() != nil {
			return errors.New("the ring stays as it is")
		}
		time.Sleep(200 * time.Microsecond)
	}
	changed := now()
	_, err := a.m.Put(ctx, "quorum", nil)
	l.Value = time.Duration(now() - changed).String()
	if !errors.Is(err, blaze.ErrNoQuorum) {
		return fmt.Errorf("a put in the smaller part: %v", err)
	}
	return nil
}

// load runs clients until unload.
func (a *agent) load(c *Command) {
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	for i := range c.Clients {
		a.tasks.Go(func() { a.client(ctx, c, rand.New(rand.NewPCG(a.seed, uint64(i)))) })
	}
	for range c.Lockers {
		a.tasks.Go(func() { a.locker(ctx, c) })
	}
}

// client calls, one call at a time. Each second has keys of its own, so that no history gets long.
func (a *agent) client(ctx context.Context, c *Command, random *rand.Rand) {
	known := map[string]uint64{} // versions that it has seen
	for ctx.Err() == nil {
		a.mu.Lock()
		a.n++
		call := Call{N: a.n, Key: fmt.Sprintf("%d.%d", now()/int64(time.Second), random.IntN(c.Keys))}
		a.mu.Unlock()
		switch k := random.IntN(10); {
		case k < 4:
			call.Kind = "read"
		case k < 7:
			call.Kind, call.Value = "put", strconv.FormatUint(random.Uint64(), 36)
		case k < 9:
			call.Kind, call.Value, call.Version = "cas", strconv.FormatUint(random.Uint64(), 36), known[call.Key]
		default:
			call.Kind = "delete"
		}
		call.At = now()
		begun := call
		a.say(&Line{Begun: &begun})
		limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		var err error
		switch call.Kind {
		case "read":
			var e blaze.Entry
			e, _, err = a.m.GetLinear(limit, call.Key)
			call.Version, call.Value = e.Version, string(e.Value)
		case "put":
			call.Version, err = a.m.Put(limit, call.Key, []byte(call.Value))
		case "cas":
			compared := call.Version
			if call.Version, err = a.m.CompareAndPut(limit, call.Key, []byte(call.Value), compared); err != nil {
				call.Version = compared
			}
		case "delete":
			err = a.m.Delete(limit, call.Key)
		}
		cancel()
		switch {
		case err == nil:
			call.Code = "ok"
			known[call.Key] = call.Version
		case errors.Is(err, blaze.ErrVersion):
			call.Code = "version"
		case call.Kind == "read", errors.Is(err, blaze.ErrNoQuorum):
			call.Code = "none"
		case errors.Is(err, blaze.ErrUnknownOutcome):
			call.Code = "unknown"
		default:
			call.Code = "none: " + err.Error() // ctx ended before it was under way
		}
		call.At = now()
		a.say(&Line{Ended: &call})
		pause := c.Pause
		if call.Code == "none" {
			pause += 10 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

// locker takes a lock, holds it for a while, and gives it back.
func (a *agent) locker(ctx context.Context, c *Command) {
	for ctx.Err() == nil {
		limit, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		l, err := a.m.Lock(limit, "lock", blaze.Lease(500*time.Millisecond))
		cancel()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		h := Hold{Key: "lock", Token: l.Token(), From: now()}
		for i := range 5 {
			// What is held at the clock's reading inside Held was held before, too.
			at := now()
			if !l.Held() {
				break
			}
			h.To = at
			a.say(&Line{Held: &h})
			if i == 3 {
				_ = l.Extend(context.Background(), 500*time.Millisecond)
			}
			time.Sleep(4 * time.Millisecond)
		}
		limit, cancel = context.WithTimeout(context.Background(), 3*time.Second)
		_ = l.Unlock(limit)
		cancel()
		time.Sleep(c.Pause)
	}
}
