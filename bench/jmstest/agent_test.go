package jmstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/desk"
	"github.com/activeblaze/blaze/internal/jmstool"
	"github.com/activeblaze/blaze/jms"
)

// order is the first line of a process's input: what to be.
type order struct {
	Holder         bool // else a client
	URI, Cluster   string
	Name           string // its own
	DataDir        string
	Holders        int
	FailureTimeout time.Duration
	Journal        string // of a client: the file
}

// command is each further line. A process answers each with an answer that has its number.
type command struct {
	Number uint64
	Do     string

	Queue    string // or
	Topic    string
	Name     string // of a subscription
	Client   string // client id, which makes the subscription durable
	Selector string
	Mode     jms.AckMode
	Pause    time.Duration // between two sends, and between two receipts
	Count    int           // of messages; 0: any number
	Batch    int           // produce: messages of each transaction; 0: no transactions
	Levels   int           // produce: priorities, from 4 on; 0: one
}

type answer struct {
	Number uint64
	Error  string               `json:",omitempty"`
	Status *blaze.ClusterStatus `json:",omitempty"`
	ID     string               `json:",omitempty"` // a MemberID
	Took   time.Duration        `json:",omitempty"`
	Sent   int                  `json:",omitempty"` // messages that are acknowledged, of producers
	Done   int                  `json:",omitempty"` // that consumers have acknowledged
	Left   uint64               `json:",omitempty"` // messages that the holders have

	Queues, Consumers int `json:",omitempty"` // of left: that the holders have

	Over   bool `json:",omitempty"` // all producers have ended
	Reopen int  `json:",omitempty"` // connections that ended
}

// process is the program that one member is.
type process struct {
	o       order
	f       *jms.ConnectionFactory
	hold    *jms.Context // of a holder
	journal *os.File

	sending, receiving context.Context
	stopSends, stop    context.CancelFunc
	producers, tasks   sync.WaitGroup

	mu        sync.Mutex
	started   int // producers and consumers
	producing int
	sent      int
	done      int
	reopened  int
}

// serve is one member, until its input ends.
func serve(in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGINT)
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	p := &process{}
	if err := dec.Decode(&p.o); err != nil {
		return err
	}
	p.sending, p.stopSends = context.WithCancel(context.Background())
	p.receiving, p.stop = context.WithCancel(context.Background())
	var first answer
	if err := p.begin(&first); err != nil {
		first.Error = err.Error()
	}
	if err := enc.Encode(&first); err != nil || first.Error != "" {
		return errors.Join(err, errors.New(first.Error))
	}
	for {
		var c command
		if dec.Decode(&c) != nil {
			return nil // nobody drives this process any more
		}
		a := answer{Number: c.Number}
		if err := p.do(&c, &a); err != nil {
			a.Error = err.Error()
		}
		if err := enc.Encode(&a); err != nil {
			return err
		}
	}
}

func (p *process) begin(a *answer) (err error) {
	cfg := blaze.Config{
		BroadcastURI: p.o.URI, Cluster: p.o.Cluster, Name: p.o.Name, DataDir: p.o.DataDir, Idle: blaze.Block, FailureTimeout: p.o.FailureTimeout,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})).With("member", p.o.Name),
	}
	if p.o.Holder {
		cfg.ExpectedMembers = p.o.Holders
		if p.f, err = jms.NewConnectionFactory(cfg, jms.WithRole(jms.Holder)); err != nil {
			return err
		}
		if p.hold, err = p.f.CreateContext(jms.AutoAcknowledge); err != nil {
			return err
		}
		a.ID = p.channel(p.hold).ID().String()
		return nil
	}
	if p.journal, err = os.OpenFile(p.o.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	p.f, err = jms.NewConnectionFactory(cfg, jms.WithRole(jms.Client), jms.MaxRedeliveries(-1))
	return err
}

func (p *process) channel(c *jms.Context) *blaze.GroupChannel {
	return jmstool.JMS.Channel(c).(*blaze.GroupChannel)
}

// note writes what happens to the journal. It is there when note returns, whatever becomes of this process.
func (p *process) note(e entry) {
	b, err := json.Marshal(e)
	if err == nil {
		_, err = p.journal.Write(append(b, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the journal:", err)
		os.Exit(1)
	}
}

// noteAll notes what became of open, and counts it.
func (p *process) noteAll(open []entry, kind kind, count *int) {
	for _, e := range open {
		e.Kind = kind
		p.note(e)
	}
	p.mu.Lock()
	*count += len(open)
	p.mu.Unlock()
}

// callFor is how long a command may take.
const callFor = 30 * time.Second

func (p *process) do(c *command, a *answer) error {
	ctx, cancel := context.WithTimeout(context.Background(), callFor)
	defer cancel()
	switch c.Do {
	case "status":
		return p.status(ctx, a)
	case "produce":
		p.start(func(name string) { p.produce(c, name) }, &p.producers)
	case "consume":
		p.start(func(name string) { p.consume(c, name) }, &p.tasks)
	case "progress":
		p.mu.Lock()
		defer p.mu.Unlock()
		a.Sent, a.Done, a.Over, a.Reopen = p.sent, p.done, p.producing == 0, p.reopened
	case "stop sends":
		p.stopSends()
		p.producers.Wait()
	case "left":
		return p.left(ctx, a)
	case "stop":
		p.stopSends()
		p.stop()
		p.producers.Wait()
		p.tasks.Wait()
	case "open":
		return p.open(ctx, c)
	case "holder":
		id, ok := jmstool.JMS.Holder(p.hold)
		if !ok {
			return errors.New("no holder is used")
		}
		a.ID = blaze.MemberID(id).String()
	case "call":
		return p.call(ctx, c, a)
	default:
		return errors.New("no command " + c.Do)
	}
	return nil
}

// start runs a producer or a consumer, with a name that no other has.
func (p *process) start(f func(name string), in *sync.WaitGroup) {
	p.mu.Lock()
	p.started++
	name := fmt.Sprintf("%s.%d", p.o.Name, p.started)
	if in == &p.producers {
		p.producing++
	}
	p.mu.Unlock()
	in.Go(func() {
		f(name)
		if in == &p.producers {
			p.mu.Lock()
			p.producing--
			p.mu.Unlock()
		}
	})
}

// status is what a holder knows of its cluster.
func (p *process) status(ctx context.Context, a *answer) error {
	g := p.channel(p.hold)
	b, err := g.RequestPayload(ctx, g.ID(), desk.Inbox, desk.Encode(&desk.Request{Do: desk.DoStatus}), nil)
	if err != nil {
		return err
	}
	var m blaze.Message
	if err := m.UnmarshalBinary(b); err != nil {
		return err
	}
	b, _ = m.Bytes()
	var r desk.Reply
	if err := desk.Decode(b, &r); err != nil {
		return err
	}
	if r.Error != "" {
		return errors.New(r.Error + ": " + r.Text)
	}
	return json.Unmarshal(r.Status, &a.Status)
}

// destination of what a producer sends, or a consumer receives.
func (c *command) destination(x *jms.Context) (jms.Destination, error) {
	if c.Topic != "" {
		return x.Topic(c.Topic)
	}
	return x.Queue(c.Queue)
}

// pauseAfter is between a connection that has ended and the next one.
const pauseAfter = 20 * time.Millisecond

// again calls f with one context after the other, until it returns nil or ctx ends.
func (p *process) again(ctx context.Context, name string, mode jms.AckMode, f func(x *jms.Context, name string) error) {
	for n := 0; ctx.Err() == nil; n++ {
		x, err := p.f.CreateContext(mode)
		if err == nil {
			err = f(x, fmt.Sprintf("%s.%d", name, n))
			_ = x.Close()
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		p.note(entry{Kind: over, Who: name, Text: err.Error()})
		p.mu.Lock()
		p.reopened++
		p.mu.Unlock()
		time.Sleep(pauseAfter)
	}
}

// produce sends until it is stopped, or all of its messages have been sent. A connection that ends is followed by another
// one, which is another sender.
func (p *process) produce(c *command, name string) {
	sent := 0
	mode := jms.AutoAcknowledge
	if c.Batch > 0 {
		mode = jms.Transacted
	}
	p.again(p.sending, name, mode, func(x *jms.Context, sender string) error {
		d, err := c.destination(x)
		if err != nil {
			return err
		}
		out := x.Producer()
		var open []entry
		for n := 1; p.sending.Err() == nil && (c.Count == 0 || sent < c.Count); n++ {
			e := entry{Kind: begun, Who: sender, N: n, Priority: 4 + n%max(1, c.Levels)}
			p.note(e)
			m := jms.NewTextMessage(fmt.Sprintf("%s %d", sender, n))
			if err := m.SetProperty("third", int64(n%3)); err != nil {
				return err
			}
			// What is under way when it is to stop still ends.
			if err := out.SetPriority(e.Priority).Send(context.Background(), d, m); err != nil {
				return err
			}
			if open = append(open, e); len(open) < c.Batch {
				continue
			}
			if c.Batch > 0 {
				if err := x.Commit(context.Background()); err != nil {
					return err
				}
			}
			p.noteAll(open, acknowledged, &p.sent)
			sent += len(open)
			open = open[:0]
			rest(p.sending, c.Pause)
		}
		return nil
	})
}

func rest(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// consume receives until it is stopped. What it receives is in the journal before it is acknowledged.
func (p *process) consume(c *command, name string) {
	p.again(p.receiving, name, c.Mode, func(x *jms.Context, consumer string) error {
		k, err := p.consumer(c, x)
		if err != nil {
			return err
		}
		if c.Mode == jms.AutoAcknowledge || c.Mode == jms.DupsOKAcknowledge {
			return p.listen(c, x, k, consumer)
		}
		return p.receive(c, x, k, consumer)
	})
}

func (p *process) consumer(c *command, x *jms.Context) (*jms.Consumer, error) {
	if c.Topic == "" {
		q, err := x.Queue(c.Queue)
		if err != nil {
			return nil, err
		}
		return x.Consumer(q, jms.Selector(c.Selector))
	}
	t, err := x.Topic(c.Topic)
	if err != nil {
		return nil, err
	}
	if c.Client == "" {
		return x.SharedConsumer(t, c.Name, jms.Selector(c.Selector))
	}
	if err := x.SetClientID(c.Client); err != nil {
		return nil, err
	}
	return x.DurableConsumer(t, c.Name, jms.Selector(c.Selector))
}

func (p *process) got(consumer string, m *jms.Message) (entry, error) {
	e := entry{Kind: got, By: consumer, Redelivered: m.Redelivered(), Count: m.DeliveryCount(), Priority: m.Priority()}
	text, err := m.Text()
	if err != nil {
		return e, err
	}
	if _, err := fmt.Sscanf(text, "%s %d", &e.Who, &e.N); err != nil {
		return e, fmt.Errorf("a message %q: %w", text, err)
	}
	p.note(e)
	return e, nil
}

// listen has a listener until it is stopped, or the connection ends.
func (p *process) listen(c *command, x *jms.Context, k *jms.Consumer, consumer string) error {
	ended := make(chan error, 1)
	fail := func(err error) {
		select {
		case ended <- err:
		default:
		}
	}
	x.OnException(fail)
	err := k.Listen(func(m *jms.Message) {
		if _, err := p.got(consumer, m); err != nil {
			fail(err)
		}
		if c.Pause > 0 {
			time.Sleep(c.Pause)
		}
	})
	if err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-p.receiving.Done():
		return nil
	}
}

// receiveBatch is how many messages are acknowledged, or committed, together.
const receiveBatch = 5

func (p *process) receive(c *command, x *jms.Context, k *jms.Consumer, consumer string) error {
	for p.receiving.Err() == nil {
		var open []entry
		for len(open) < receiveBatch {
			ctx, cancel := context.WithTimeout(p.receiving, 20*time.Millisecond)
			m, err := k.Receive(ctx)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				return err
			}
			e, err := p.got(consumer, m)
			if err != nil {
				return err
			}
			open = append(open, e)
			rest(p.receiving, c.Pause)
		}
		if len(open) == 0 {
			continue
		}
		var err error
		if c.Mode == jms.Transacted {
			err = x.Commit(context.Background())
		} else {
			err = x.Acknowledge()
		}
		if err != nil {
			return err
		}
		p.noteAll(open, settled, &p.done)
	}
	return nil
}

// left counts what the holders have.
func (p *process) left(ctx context.Context, a *answer) error {
	x, err := p.f.CreateContext(jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer x.Close()
	all, err := x.QueueStats(ctx)
	for _, q := range all {
		a.Left += q.Depth + q.InFlight + q.Staged
		a.Queues++
		a.Consumers += int(q.Consumers)
	}
	return err
}

// open has a context that calls use, with a first message sent.
func (p *process) open(ctx context.Context, c *command) (err error) {
	if p.hold == nil {
		if p.hold, err = p.f.CreateContext(jms.AutoAcknowledge); err != nil {
			return err
		}
	}
	return p.send(ctx, c)
}

func (p *process) send(ctx context.Context, c *command) error {
	d, err := c.destination(p.hold)
	if err != nil {
		return err
	}
	return p.hold.Producer().SendText(ctx, d, "x")
}

// call measures one Send.
func (p *process) call(ctx context.Context, c *command, a *answer) error {
	begun := time.Now()
	err := p.send(ctx, c)
	a.Took = time.Since(begun)
	return err
}
