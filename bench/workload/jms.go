package workload

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/jmstool"
	"github.com/activeblaze/blaze/jms"
)

// JMSOptions are what JMS has besides. Zero fields take the defaults that are written behind them.
type JMSOptions struct {
	Holders    int  // processes that hold the queue: 3
	Producers  int  // 8
	Consumers  int  // 8
	Transacted int  // messages of each transaction of producers and consumers: 0, none
	Topic      bool // a topic instead of a queue: nobody holds it, and each consumer gets each message
	Direct     bool // a direct queue: nobody holds it
	Kill       bool // end a holder by SIGKILL after the measurement, while the producers go on
	Dir        bool // every holder has a DataDir
}

// MaxClients bounds the producers, and the consumers.
const MaxClients = 256

func (o *Options) fillJMS() {
	j := &o.JMS
	if j.Holders == 0 {
		j.Holders = 3
	}
	if j.Producers == 0 {
		j.Producers = 8
	}
	if j.Consumers == 0 {
		j.Consumers = 8
	}
	if o.Idle == "" {
		o.Idle = crowdedIdle
	}
}

func (o *Options) checkJMS() error {
	j := &o.JMS
	for _, v := range []struct {
		name         string
		n, low, high int
	}{{"holders", j.Holders, 1, MaxRing}, {"producers", j.Producers, 1, MaxClients}, {"consumers", j.Consumers, 1, MaxClients}, {"transacted", j.Transacted, 0, 1000}} {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("%s %d: want %d to %d", v.name, v.n, v.low, v.high)
		}
	}
	switch {
	case j.Topic && j.Direct:
		return errors.New("topic and direct: want one of them")
	case (j.Topic || j.Direct) && j.Transacted > 0:
		return errors.New("transacted is for a queue that is held")
	case (j.Topic || j.Direct) && j.Kill:
		return errors.New("kill ends a holder, and there is none with topic and direct")
	case (j.Topic || j.Direct) && j.Dir:
		return errors.New("dir is for holders, and there is none with topic and direct")
	case j.Kill && j.Holders < 3:
		return fmt.Errorf("holders %d: to go on without one there must be 3", j.Holders)
	}
	return nil
}

// HolderArg is the argument that makes a program which calls Hold a holder.
const HolderArg = "-holder-process"

// holderOrder is the first line of a holder's standard input.
type holderOrder struct {
	URI, Cluster, Name, Idle, DataDir string
	Holders                           int
}

// holderReady is what a holder writes when it holds.
const holderReady = "ready"

// Hold holds queues, as the line of JSON on in says, until in ends. It writes holderReady, as JSON, to out when it does, and
// for each line that follows how often the token has come.
func Hold(in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(in)
	var o holderOrder
	if err := lines.Decode(&o); err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	cfg.ExpectedMembers = o.Holders
	f, err := jms.NewConnectionFactory(cfg, jms.WithRole(jms.Holder))
	if err != nil {
		return err
	}
	c, err := f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(out).Encode(holderReady); err != nil {
		return err
	}
	for {
		var question string
		if err := lines.Decode(&question); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		ch := jmstool.JMS.Channel(c).(*blaze.GroupChannel)
		if err := json.NewEncoder(out).Encode(ch.Stats().Cluster.Ring.Tokens); err != nil {
			return err
		}
	}
}

func (o *holderOrder) config() (blaze.Config, error) {
	cfg := blaze.Config{BroadcastURI: o.URI, Cluster: o.Cluster, Name: o.Name, DataDir: o.DataDir, Logger: slog.New(slog.DiscardHandler)}
	return cfg, cfg.Idle.UnmarshalText([]byte(o.Idle))
}

// messaging is a run of JMS.
type messaging struct {
	r       *run
	o       *JMSOptions
	res     *measure.JMSResult
	order   holderOrder
	holders []*proc.Child
	dir     string // where holders keep their queues; empty: in memory

	begin, end clock.Time // of the measurement
	sent       atomic.Uint64
	stop       chan struct{} // closed when the producers are to end

	mu                  sync.Mutex
	send, commit, total *measure.Histogram
	seen                map[messageKey]struct{}
	inTime              uint64        // deliveries between begin and end
	after               map[int]int   // by producer: sends that began after the kill and have ended
	killed              clock.Time    // 0: nobody was
	longest             time.Duration // of the sends that ended after the kill
	failed              error
	over                bool // what comes now is what consumers that close give back: it counts no more
}

// messageKey is a message as one consumer has it.
type messageKey struct {
	consumer int // of a topic; 0: of any
	number   uint64
}

// jmsRun has producers send to consumers through a queue or topic.
func (r *run) jmsRun(ctx context.Context) (err error) {
	o := &r.o.JMS
	w := &messaging{
		r: r, o: o, stop: make(chan struct{}), seen: map[messageKey]struct{}{}, after: map[int]int{},
		send: measure.NewHistogram(), commit: measure.NewHistogram(), total: measure.NewHistogram(),
		order: holderOrder{URI: r.o.URI, Cluster: fmt.Sprintf("blazebench-%016x", random()), Idle: r.o.Idle, Holders: o.Holders},
		res:   &measure.JMSResult{Result: *r.res, Holders: o.Holders, Producers: o.Producers, Consumers: o.Consumers, Transacted: o.Transacted, Topic: o.Topic, Direct: o.Direct},
	}
	w.res.Protocol, w.res.Receivers = "jms", o.Consumers
	r.res = &w.res.Result
	r.res.JMS = w.res
	if o.Topic || o.Direct {
		w.res.Holders = 0
	}
	defer w.endHolders()
	if o.Dir {
		if w.dir, err = os.MkdirTemp("", "blazebench-jms-"); err != nil {
			return err
		}
		w.res.DataDir = true
		if w.res.Filesync, err = fileSync(w.dir); err != nil {
			return err
		}
	}
	if err := w.startHolders(ctx); err != nil {
		return err
	}
	consumers, err := w.contexts("consumers", o.Consumers)
	if err != nil {
		return err
	}
	defer closeAll(consumers)
	producers, err := w.contexts("producers", o.Producers)
	if err != nil {
		return err
	}
	defer closeAll(producers)
	for i, c := range consumers {
		if err := w.listen(i, c); err != nil {
			return err
		}
	}
	r.progress("jms: warming up, and sending for %v", r.o.Duration)
	w.begin = engine.Now().Add(r.o.warmUp())
	w.end = w.begin.Add(r.o.Duration)
	var work sync.WaitGroup
	for i, c := range producers {
		work.Go(func() { w.fail(w.produce(ctx, i, c)) })
	}
	err = rest(ctx, time.Duration(w.begin.Sub(engine.Now())))
	tokens := w.tokens(ctx)
	if err == nil {
		err = rest(ctx, time.Duration(w.end.Sub(engine.Now())))
	}
	if visits := w.tokens(ctx) - tokens; visits > 0 {
		w.res.RotationNS = float64(r.o.Duration) / float64(visits)
	}
	if err == nil && o.Kill {
		r.progress("jms: killing a holder")
		w.fail(w.kill(ctx))
	}
	close(w.stop)
	work.Wait()
	w.drain(ctx)
	closeAll(producers)
	return w.sum()
}

// tokens is how often the token has come to a holder; 0: it is not known.
func (w *messaging) tokens(ctx context.Context) (n uint64) {
	if len(w.holders) > 0 {
		child := w.holders[0]
		w.fail(child.Send("tokens"))
		w.fail(child.Receive(ctx, &n))
	}
	return n
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail keeps the first error.
func (w *messaging) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

func closeAll(all []*jms.Context) {
	for _, c := range all {
		_ = c.Close()
	}
}

// startHolders starts the processes, and waits until all hold.
func (w *messaging) startHolders(ctx context.Context) error {
	w.r.progress("jms: starting %d holders", w.res.Holders)
	for i := range w.res.Holders {
		order := w.order
		order.Name = fmt.Sprint("holder-", i)
		if w.dir != "" {
			order.DataDir = filepath.Join(w.dir, order.Name)
			if err := os.Mkdir(order.DataDir, 0o755); err != nil {
				return err
			}
		}
		child, err := proc.Start([]string{w.r.o.Receiver[0], HolderArg}, w.r.o.Stderr)
		if err != nil {
			return err
		}
		w.holders = append(w.holders, child)
		if err := child.Send(order); err != nil {
			return err
		}
	}
	for i, child := range w.holders {
		var line string
		if err := child.Receive(ctx, &line); err != nil {
			return fmt.Errorf("holder-%d did not start: %w", i, err)
		}
	}
	return nil
}

// endHolders ends the processes. Nothing of them is needed any more.
func (w *messaging) endHolders() {
	for _, child := range w.holders {
		_ = child.Kill()
		w.r.children.cpu += child.Close(time.Second)
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// contexts are n connections of one member.
func (w *messaging) contexts(name string, n int) (all []*jms.Context, err error) {
	order := w.order
	order.Name = name
	cfg, err := order.config()
	if err != nil {
		return nil, err
	}
	f, err := jms.NewConnectionFactory(cfg, jms.WithRole(jms.Client))
	if err != nil {
		return nil, err
	}
	mode := jms.AutoAcknowledge
	if w.o.Transacted > 0 {
		mode = jms.Transacted
	}
	for range n {
		c, err := f.CreateContext(mode)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (w *messaging) destination(c *jms.Context) (jms.Destination, error) {
	switch {
	case w.o.Topic:
		return c.Topic("bench")
	case w.o.Direct:
		return c.Queue("bench?direct=true")
	}
	return c.Queue("bench")
}

// listen has consumer i note what it gets.
func (w *messaging) listen(i int, c *jms.Context) error {
	d, err := w.destination(c)
	if err != nil {
		return err
	}
	k, err := c.Consumer(d)
	if err != nil {
		return err
	}
	open := 0
	return k.Listen(func(m *jms.Message) {
		now := engine.Now()
		w.arrived(i, m, now)
		if open++; open == w.o.Transacted {
			open = 0
			if err := c.Commit(context.Background()); err != nil {
				w.fail(fmt.Errorf("a consumer's commit: %w", err))
			}
		}
	})
}

func (w *messaging) arrived(i int, m *jms.Message, now clock.Time) {
	b, err := m.Bytes()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if err != nil || len(b) != w.res.Size {
		w.res.Corrupt++
		return
	}
	at, key := clock.Time(binary.LittleEndian.Uint64(b)), messageKey{number: binary.LittleEndian.Uint64(b[8:])}
	if w.o.Topic {
		key.consumer = i
	}
	if m.Redelivered() {
		w.res.Redelivered++
	}
	if _, twice := w.seen[key]; twice {
		w.res.Duplicates++
		return
	}
	w.seen[key] = struct{}{}
	if now >= w.begin && now < w.end {
		w.inTime++
	}
	if at >= w.begin && at < w.end {
		w.total.Record(int64(now.Sub(at)))
	}
}

// produce is one producer.
func (w *messaging) produce(ctx context.Context, i int, c *jms.Context) error {
	d, err := w.destination(c)
	if err != nil {
		return err
	}
	p := c.Producer()
	if w.o.Topic || w.o.Direct {
		p.SetDeliveryMode(jms.NonPersistent)
	}
	body := make([]byte, w.res.Size)
	commit := func() error {
		at := engine.Now()
		if err := c.Commit(ctx); err != nil {
			return err
		}
		w.ended(i, at, w.commit)
		return nil
	}
	n := 0
	for {
		select {
		case <-w.stop:
			if w.o.Transacted > 0 {
				return commit()
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		at := engine.Now()
		n++
		binary.LittleEndian.PutUint64(body, uint64(at))
		binary.LittleEndian.PutUint64(body[8:], uint64(i)<<40|uint64(n))
		if err := p.SendBytes(ctx, d, body); err != nil {
			return fmt.Errorf("a producer's send: %w", err)
		}
		w.sent.Add(1)
		w.ended(i, at, w.send)
		if w.o.Transacted > 0 && n%w.o.Transacted == 0 {
			if err := commit(); err != nil {
				return fmt.Errorf("a producer's commit: %w", err)
			}
		}
	}
}

// ended notes a call of producer i that began at a time, in h if it is of the measurement.
func (w *messaging) ended(i int, at clock.Time, h *measure.Histogram) {
	now := engine.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if at >= w.begin && now < w.end {
		h.Record(int64(now.Sub(at)))
	}
	if w.killed != 0 {
		w.longest = max(w.longest, time.Duration(now.Sub(max(at, w.killed))))
		if at >= w.killed {
			w.after[i]++
		}
	}
}

// afterKill is how many calls of each producer end after a kill until it is over.
const afterKill = 100

// kill ends a holder, and waits until each producer has gone on.
func (w *messaging) kill(ctx context.Context) error {
	w.mu.Lock()
	w.killed = engine.Now()
	w.mu.Unlock()
	if err := w.holders[0].Kill(); err != nil {
		return err
	}
	for {
		w.mu.Lock()
		over := w.failed != nil
		if !over {
			over = true
			for i := range w.o.Producers {
				over = over && w.after[i] >= afterKill
			}
		}
		longest := float64(w.longest) / 1e6
		w.mu.Unlock()
		if over {
			w.res.Failover = &longest
			return nil
		}
		if err := rest(ctx, time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
}

// expected is how many deliveries there are to be.
func (w *messaging) expected() uint64 {
	n := w.sent.Load()
	if w.o.Topic {
		n *= uint64(w.o.Consumers)
	}
	return n
}

// drain waits for what is on its way, as long as something comes.
func (w *messaging) drain(ctx context.Context) {
	w.r.progress("jms: waiting for what is on its way")
	last, since := 0, time.Now()
	for time.Since(since) < Settle {
		w.mu.Lock()
		n, failed := len(w.seen), w.failed != nil
		w.mu.Unlock()
		if uint64(n) >= w.expected() || failed || rest(ctx, time.Millisecond) != nil {
			return
		}
		if n != last {
			last, since = n, time.Now()
		}
	}
}

// sum puts together what was measured.
func (w *messaging) sum() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	r := w.res
	r.Seconds = w.r.o.Duration.Seconds()
	r.Sent, r.Delivered = w.sent.Load(), uint64(len(w.seen))
	if want := w.expected(); want > r.Delivered {
		r.Lost = want - r.Delivered
	}
	r.MsgsPerSecond = float64(w.inTime) / r.Seconds
	r.BytesPerSecond = r.MsgsPerSecond * float64(r.Size)
	for to, h := range map[**measure.Percentiles]*measure.Histogram{&r.Send: w.send, &r.Commit: w.commit, &r.EndToEnd: w.total} {
		if h.Count() > 0 {
			*to = h.Percentiles()
		}
	}
	w.r.hist = w.total
	return w.failed
}
