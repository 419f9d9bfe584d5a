package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// All that can be asked for wrongly, with the error that it gets, and what the error names.
func TestBadCalls(t *testing.T) {
	cfg := testConfig(t)
	cfg.MaxMessageSize = 10_000
	a, b := two(t, cfg)
	fresh, err := blaze.NewGroupChannel("fresh", testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*blaze.GroupChannel{a, b} {
		if _, err := g.HandleInbox("taken", func(*blaze.Message) {}); err != nil {
			t.Fatal(err)
		}
		defer g.Shutdown()
	}
	var (
		ctx      = soon(t)
		m        = blaze.NewTextMessage("x")
		big      = blaze.NewBytesMessage(make([]byte, 20_000))
		long     = strings.Repeat("n", 256)
		huge     = strings.Repeat("n", 1<<20)
		notUTF8  = "a\xff"
		stranger = blaze.MemberID{1, 2, 3}
		nobody   blaze.MemberID
	)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	second := func(_ any, err error) error { return err }
	for name, c := range map[string]struct {
		err   error
		is    error
		names string
	}{
		"send: name too long":     {a.SendInbox(ctx, b.ID(), long, m), blaze.ErrTopic, "255"},
		"send: name of 1 MB":      {a.SendInbox(ctx, b.ID(), huge, m), blaze.ErrTopic, "255"},
		"send: not UTF-8":         {a.SendInbox(ctx, b.ID(), notUTF8, m), blaze.ErrTopic, `\xff`},
		"send: unknown":           {a.Send(ctx, stranger, m), blaze.ErrNoSuchMember, stranger.String()},
		"send: zero":              {a.Send(ctx, nobody, m), blaze.ErrNoSuchMember, nobody.String()},
		"send: nil":               {a.Send(ctx, b.ID(), nil), blaze.ErrArgument, "nil"},
		"send: no handler":        {a.SendInbox(ctx, b.ID(), "none", m), blaze.ErrNoConsumer, "none"},
		"send: own, no handler":   {a.SendInbox(ctx, a.ID(), "none", m), blaze.ErrNoConsumer, "none"},
		"send: reserved":          {a.SendInbox(ctx, b.ID(), "blaze.x", m), blaze.ErrNoConsumer, "blaze.x"},
		"send: too large":         {a.Send(ctx, b.ID(), big), blaze.ErrTooLarge, "10000"},
		"send: ctx ended":         {a.Send(ended, b.ID(), m), context.Canceled, b.ID().String()},
		"send: not started":       {fresh.Send(ctx, b.ID(), m), blaze.ErrState, "constructed"},
		"group: empty":            {a.SendGroup(ctx, "", m), blaze.ErrTopic, "255"},
		"group: too long":         {a.SendGroup(ctx, long, m), blaze.ErrTopic, "255"},
		"group: reserved":         {a.SendGroup(ctx, "blaze.g", m), blaze.ErrArgument, "reserved"},
		"group: nil":              {a.SendGroup(ctx, "g", nil), blaze.ErrArgument, "nil"},
		"group: not started":      {fresh.SendGroup(ctx, "g", m), blaze.ErrState, "constructed"},
		"group: nobody":           {a.SendGroup(ctx, "nobody", m), nil, ""},
		"handle: nil":             {second(a.HandleInbox("x", nil)), blaze.ErrArgument, "nil"},
		"handle: taken":           {second(a.HandleInbox("taken", func(*blaze.Message) {})), blaze.ErrExists, "taken"},
		"handle: too long":        {second(a.HandleInbox(long, func(*blaze.Message) {})), blaze.ErrTopic, "255"},
		"handle: 1 MB":            {second(a.HandleInbox(huge, func(*blaze.Message) {})), blaze.ErrTopic, "255"},
		"handle: not UTF-8":       {second(a.HandleInbox(notUTF8, func(*blaze.Message) {})), blaze.ErrTopic, `\xff`},
		"handle: reserved":        {second(a.HandleInbox("blaze.x", func(*blaze.Message) {})), blaze.ErrArgument, "reserved"},
		"calls: nil":              {second(a.HandleCalls("x", nil)), blaze.ErrArgument, "nil"},
		"calls: nil option":       {second(a.HandleCalls("x", func(*blaze.Call) {}, nil)), blaze.ErrArgument, "nil"},
		"calls: taken":            {second(a.HandleCalls("taken", func(*blaze.Call) {}, blaze.Inline())), blaze.ErrExists, "taken"},
		"enqueue: empty":          {a.Enqueue(ctx, "", m), blaze.ErrTopic, "255"},
		"enqueue: too long":       {a.Enqueue(ctx, long, m), blaze.ErrTopic, "255"},
		"enqueue: 1 MB":           {a.Enqueue(ctx, huge, m), blaze.ErrTopic, "255"},
		"enqueue: not UTF-8":      {a.Enqueue(ctx, notUTF8, m), blaze.ErrTopic, `\xff`},
		"enqueue: reserved":       {a.Enqueue(ctx, "blaze.q", m), blaze.ErrArgument, "reserved"},
		"enqueue: nil":            {a.Enqueue(ctx, "q", nil), blaze.ErrArgument, "nil"},
		"enqueue: too large":      {a.Enqueue(ctx, "q", big), blaze.ErrTooLarge, "10000"},
		"enqueue: ctx ended":      {a.Enqueue(ended, "q", m), context.Canceled, "q"},
		"enqueue: not started":    {fresh.Enqueue(ctx, "q", m), blaze.ErrState, "constructed"},
		"consume: empty":          {second(a.Consume("", func(*blaze.Message) error { return nil })), blaze.ErrTopic, "255"},
		"consume: too long":       {second(a.Consume(long, func(*blaze.Message) error { return nil })), blaze.ErrTopic, "255"},
		"consume: reserved":       {second(a.Consume("blaze.q", func(*blaze.Message) error { return nil })), blaze.ErrArgument, "reserved"},
		"consume: nil":            {second(a.Consume("q", nil)), blaze.ErrArgument, "nil"},
		"consume: nil option":     {second(a.Consume("q", func(*blaze.Message) error { return nil }, nil)), blaze.ErrArgument, "nil"},
		"request: unknown":        {second(a.Request(ctx, stranger, m)), blaze.ErrNoSuchMember, stranger.String()},
		"request: nil":            {second(a.Request(ctx, b.ID(), nil)), blaze.ErrArgument, "nil"},
		"request: no handler":     {second(a.Request(ctx, b.ID(), m)), blaze.ErrNoConsumer, b.ID().String()},
		"request: ctx ended":      {second(a.Request(ended, b.ID(), m)), context.Canceled, b.ID().String()},
		"request: too large":      {second(a.Request(ctx, b.ID(), big)), blaze.ErrTooLarge, "10000"},
		"requestqueue: empty":     {second(a.RequestQueue(ctx, "", m)), blaze.ErrTopic, "255"},
		"requestqueue: nil":       {second(a.RequestQueue(ctx, "q", nil)), blaze.ErrArgument, "nil"},
		"payload: name":           {second(a.RequestPayload(ctx, b.ID(), long, nil, nil)), blaze.ErrTopic, "255"},
		"payload: unknown":        {second(a.RequestPayload(ctx, stranger, "", nil, nil)), blaze.ErrNoSuchMember, stranger.String()},
		"payload: too large":      {second(a.RequestPayload(ctx, b.ID(), "", make([]byte, 10_001), nil)), blaze.ErrTooLarge, "10001"},
		"payload: not started":    {second(fresh.RequestPayload(ctx, b.ID(), "", nil, nil)), blaze.ErrState, "constructed"},
		"reply: nil request":      {a.Reply(ctx, nil, m), blaze.ErrArgument, "nil"},
		"reply: nil reply":        {a.Reply(ctx, m, nil), blaze.ErrArgument, "nil"},
		"reply: not a request":    {a.Reply(ctx, m, m), blaze.ErrNoReply, "request"},
		"enqueue: nobody":         {enqueueFor(a, "unconsumed", m), blaze.ErrNoConsumer, "unconsumed"},
		"enqueue: nobody, ctx":    {enqueueFor(a, "unconsumed", m), context.DeadlineExceeded, "unconsumed"},
		"send: own works":         {a.SendInbox(ctx, a.ID(), "taken", m), nil, ""},
		"send: 255 bytes, nobody": {a.SendInbox(ctx, b.ID(), long[1:], m), blaze.ErrNoConsumer, "nn"},
	} {
		if !errors.Is(c.err, c.is) || c.is == nil && c.err != nil || c.err != nil && !strings.Contains(c.err.Error(), c.names) {
			t.Errorf("%s: %v, want %v that names %s", name, c.err, c.is, c.names)
		}
		if c.err != nil && len(c.err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(c.err.Error()))
		}
	}
}

func enqueueFor(g *blaze.GroupChannel, queue string, m *blaze.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	return g.Enqueue(ctx, queue, m)
}

// A request has one reply, while its requester is here, and only at the channel that received it.
func TestReplies(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	asked := make(chan *blaze.Message, 10)
	b.HandleInbox("", func(m *blaze.Message) { asked <- m })
	m := blaze.NewTextMessage("x")
	reply := make(chan string, 1)
	go func() {
		r, err := a.Request(ctx, b.ID(), m)
		reply <- fmt.Sprint(text(r), err)
	}()
	q := next(t, asked, "request")
	if err := a.Reply(ctx, q, m); !errors.Is(err, blaze.ErrNoReply) {
		t.Errorf("Reply by another channel: %v", err)
	}
	if err := b.Reply(ctx, q, blaze.NewTextMessage("first")); err != nil {
		t.Errorf("Reply: %v", err)
	}
	if r := next(t, reply, "reply"); r != "first<nil>" {
		t.Errorf("reply: %s", r)
	}
	for _, again := range []*blaze.Message{q, q.Clone()} {
		if err := b.Reply(ctx, again, m); !errors.Is(err, blaze.ErrExists) {
			t.Errorf("second Reply: %v", err)
		}
	}
	if err := a.Send(ctx, b.ID(), m); err != nil {
		t.Fatal(err)
	}
	if err := b.Reply(ctx, next(t, asked, "message"), m); !errors.Is(err, blaze.ErrNoReply) {
		t.Errorf("Reply to what is no request: %v", err)
	}
	short, cancel := context.WithCancel(ctx)
	go func() {
		_, err := a.Request(short, b.ID(), m)
		reply <- fmt.Sprint(errors.Is(err, context.Canceled))
	}()
	q = next(t, asked, "request")
	cancel()
	if next(t, reply, "end") != "true" {
		t.Error("a cancelled request has another error")
	}
	a.Shutdown()
	eventually(t, "the requester's end", func() bool { return len(b.Members()) == 1 })
	if err := b.Reply(ctx, q, m); !errors.Is(err, blaze.ErrNoSuchMember) {
		t.Errorf("Reply after the requester went: %v", err)
	}
	b.Stop()
	if err := b.Reply(ctx, q, m); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Reply after Stop: %v", err)
	}
}

// An in-box handler asks its sender back, while its own in-box is full.
func TestHandlerAsksItsSenderBack(t *testing.T) {
	cfg := testConfig(t)
	cfg.SubscriptionQueue = 4
	a, b := two(t, cfg)
	echo(t, a)
	ctx := soon(t)
	answers := make(chan error, 64)
	b.HandleInbox("", func(m *blaze.Message) {
		_, err := b.Request(ctx, m.From(), m)
		answers <- err
	})
	for range 64 {
		go a.Send(ctx, b.ID(), blaze.NewTextMessage("x"))
	}
	for range 64 {
		if err := next(t, answers, "answer"); err != nil {
			t.Fatal(err)
		}
	}
}

// logLines keeps what is logged.
type logLines struct {
	mu  sync.Mutex
	all []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *logLines) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		missing := false
		for _, p := range parts {
			missing = missing || !strings.Contains(line, p)
		}
		if !missing {
			return true
		}
	}
	return false
}

// A handler that hangs holds up its own in-box, and what one member sends to that member's in-boxes; other
// senders, queues, members and their failures go on, and the log names it.
func TestHungHandler(t *testing.T) {
	cfg := testConfig(t)
	cfg.SubscriptionQueue = 2
	a := inGroup(t, "a", cfg)
	var log logLines
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b := inGroup(t, "b", cfg)
	cfg.Logger = nil
	c := inGroup(t, "c", testConfigLike(t, cfg))
	waitMembers(t, 3, a, b, c)
	ctx := soon(t)
	release := make(chan struct{})
	defer close(release)
	if _, err := b.HandleInbox("stuck", func(*blaze.Message) { <-release }); err != nil {
		t.Fatal(err)
	}
	echo(t, b)
	b.Consume("q", func(*blaze.Message) error { return nil })
	m := blaze.NewTextMessage("x")
	stuck, unstick := context.WithCancel(ctx)
	defer unstick()
	for range 20 {
		go a.SendInbox(stuck, b.ID(), "stuck", m)
	}
	eventually(t, "the log", func() bool { return log.has("does not return", "inbox=stuck") })
	if _, err := c.Request(ctx, b.ID(), m); err != nil {
		t.Errorf("another sender's request: %v", err)
	}
	if err := a.Enqueue(ctx, "q", m); err != nil {
		t.Errorf("Enqueue: %v", err)
	}
	if _, err := b.Request(ctx, b.ID(), m); err != nil {
		t.Errorf("its own request: %v", err)
	}
	c.Shutdown()
	eventually(t, "the end of a member", func() bool { return len(b.Members()) == 2 && len(a.Members()) == 2 })
}

func testConfigLike(t testing.TB, cfg blaze.Config) blaze.Config {
	cfg.Logger = testConfig(t).Logger
	return cfg
}

// What SlowConsumer says of a full in-box.
func TestSlowConsumerOfAnInbox(t *testing.T) {
	for _, policy := range []blaze.SlowConsumer{blaze.Pause, blaze.Drop, blaze.Disconnect} {
		t.Run(policy.String(), func(t *testing.T) {
			cfg := testConfig(t)
			cfg.SubscriptionQueue, cfg.SlowConsumer = 2, policy
			a, b := two(t, cfg)
			ctx := soon(t)
			release, begun := make(chan struct{}), make(chan string, 100)
			free := sync.OnceFunc(func() { close(release) })
			defer free()
			s, err := b.HandleInbox("", func(m *blaze.Message) { begun <- text(m); <-release })
			if err != nil {
				t.Fatal(err)
			}
			var got error
			sent := 0
			short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			for ; sent < 10 && got == nil; sent++ {
				got = a.Send(short, b.ID(), blaze.NewTextMessage(fmt.Sprint(sent)))
			}
			want := map[blaze.SlowConsumer]error{blaze.Pause: context.DeadlineExceeded, blaze.Drop: blaze.ErrBackPressure, blaze.Disconnect: blaze.ErrNoConsumer}[policy]
			if !errors.Is(got, want) || sent > 4 {
				t.Errorf("the send number %d ended with %v", sent, got)
			}
			switch policy {
			case blaze.Disconnect:
				next(t, s.Done(), "the handler's end")
				if !errors.Is(s.Err(), blaze.ErrClosed) {
					t.Errorf("the handler ended with %v", s.Err())
				}
			default:
				free()
				for range sent - 1 {
					next(t, begun, "message")
				}
				if err := a.Send(ctx, b.ID(), blaze.NewTextMessage("later")); err != nil {
					t.Errorf("when there is room: %v", err)
				}
			}
		})
	}
}

// SendGroup reaches every member of a group, itself included, and nobody else; members that go are no error.
func TestSendGroup(t *testing.T) {
	cfg := testConfig(t)
	var all []*blaze.GroupChannel
	got := make(chan string, 100)
	for i := range 4 {
		name := fmt.Sprint("m", i)
		g := inGroup(t, name, cfg)
		all = append(all, g)
		if i < 3 {
			g.Join("team")
		}
		if i != 2 {
			g.HandleInbox("", func(m *blaze.Message) { got <- name })
		}
	}
	waitMembers(t, 4, all...)
	ctx := soon(t)
	eventually(t, "the group", func() bool { return len(all[0].MembersOf("team")) == 3 })
	err := all[0].SendGroup(ctx, "team", blaze.NewTextMessage("x"))
	if !errors.Is(err, blaze.ErrNoConsumer) || !strings.Contains(err.Error(), all[2].ID().String()) {
		t.Errorf("one has no handler: %v", err)
	}
	names := map[string]bool{next(t, got, "message"): true, next(t, got, "message"): true}
	if !names["m0"] || !names["m1"] || len(got) > 0 {
		t.Errorf("received by %v and %d others", names, len(got))
	}
	go all[2].Shutdown()
	for len(all[0].MembersOf("team")) == 3 {
		if err := all[0].SendGroup(ctx, "team", blaze.NewTextMessage("y")); err != nil && !errors.Is(err, blaze.ErrNoConsumer) {
			t.Fatalf("while one goes: %v", err)
		}
	}
	if err := all[0].SendGroup(ctx, "team", blaze.NewTextMessage("z")); err != nil {
		t.Error(err)
	}
}

// A handler's error has another consumer handle the message, marked; a request without a reply says so.
func TestConsumersThatFail(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	type handling struct {
		by, text string
		marked   bool
	}
	got := make(chan handling, 100)
	var fail atomic.Value
	fail.Store("")
	for name, g := range map[string]*blaze.GroupChannel{"a": a, "b": b} {
		g.Consume("q", func(m *blaze.Message) error {
			got <- handling{name, text(m), m.Redelivered()}
			if fail.CompareAndSwap("", name) {
				return errors.New("no")
			}
			return nil
		})
	}
	eventually(t, "both consumers", func() bool { return a.Enqueue(ctx, "q", blaze.NewTextMessage("x")) == nil })
	first, second := next(t, got, "handling"), next(t, got, "handling")
	if first.marked || !second.marked || first.by == second.by || first.text != second.text {
		t.Errorf("handled: %+v, then %+v", first, second)
	}
	if _, err := a.RequestQueue(ctx, "q", blaze.NewTextMessage("y")); !errors.Is(err, blaze.ErrNoReply) {
		t.Errorf("a request without a reply: %v", err)
	}
	b.Consume("asked", func(m *blaze.Message) error {
		if err := b.Reply(ctx, m, blaze.NewTextMessage("re: "+text(m))); err != nil {
			t.Errorf("Reply: %v", err)
		}
		return errors.New("a reply is final")
	})
	r, err := a.RequestQueue(ctx, "asked", blaze.NewTextMessage("z"))
	if err != nil || text(r) != "re: z" || r.From() != b.ID() {
		t.Errorf("%v, %v", r, err)
	}
	select {
	case h := <-got:
		if h.text == "z" {
			t.Error("handled again after a reply")
		}
	default:
	}
}

// A consumer that closes gives back what it has not begun; Close waits for what it has. The only handler of a
// message fails once, and gets it again.
func TestConsumerCloses(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	release, begun := make(chan struct{}), make(chan struct{}, 100)
	s, err := b.Consume("q", func(m *blaze.Message) error {
		begun <- struct{}{}
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- a.Enqueue(ctx, "q", blaze.NewTextMessage(fmt.Sprint(i))) }()
	}
	next(t, begun, "handling")
	handled := make(chan bool, n)
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	if _, err := a.Consume("q", func(m *blaze.Message) error { handled <- m.Redelivered(); return nil }); err != nil {
		t.Fatal(err)
	}
	for range n - 1 {
		if next(t, errs, "end of Enqueue") != nil {
			t.Fatal("a message that no handler had begun is not handled elsewhere")
		}
	}
	select {
	case <-closed:
		t.Error("Close does not wait for the handler")
	default:
	}
	close(release)
	next(t, closed, "Close")
	if err := next(t, errs, "end of Enqueue"); err != nil {
		t.Error(err)
	}
	if len(begun) > 0 || len(handled) != n-1 {
		t.Errorf("%d begun by the one that closed, %d handled by the other", 1+len(begun), len(handled))
	}
}

// One exclusive consumer at a time has the queue, of one member and of two; another takes over.
func TestExclusive(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	var inside, most atomic.Int32
	by := make(chan string, 1000)
	handler := func(name string) func(*blaze.Message) error {
		return func(*blaze.Message) error {
			most.Store(max(most.Load(), inside.Add(1)))
			by <- name
			inside.Add(-1)
			return nil
		}
	}
	var subs []*blaze.Subscription
	for i, g := range []*blaze.GroupChannel{a, a, b} {
		s, err := g.Consume("q", handler(fmt.Sprint(i)), blaze.Exclusive())
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, s)
		if i == 1 { // b is to know of the first before it is given a rank
			if err := b.Enqueue(ctx, "q", blaze.NewTextMessage("x")); err != nil || next(t, by, "handling") != "0" {
				t.Fatal(err)
			}
		}
	}
	for i, s := range subs {
		var wg sync.WaitGroup
		for range 20 {
			for _, g := range []*blaze.GroupChannel{a, b} {
				wg.Go(func() {
					if err := g.Enqueue(ctx, "q", blaze.NewTextMessage("x")); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for len(by) > 0 {
			if name := <-by; name != fmt.Sprint(i) {
				t.Fatalf("handled by %s while %d has the queue", name, i)
			}
		}
		s.Close()
	}
	if most.Load() > 1 {
		t.Errorf("%d handlers at a time", most.Load())
	}
}

// Stop ends all calls that wait, at once: it does not let them wait for what it waits for itself, a handler.
func TestStopEndsCalls(t *testing.T) {
	cfg := testConfig(t)
	cfg.Linger = patience
	a, b := two(t, cfg)
	ctx := soon(t)
	never := make(chan struct{})
	defer close(never)
	b.HandleInbox("", func(m *blaze.Message) { <-never })
	b.Consume("q", func(m *blaze.Message) error { <-never; return nil })
	m := blaze.NewTextMessage("x")
	hangs, release := make(chan struct{}), make(chan struct{})
	a.HandleInbox("hangs", func(*blaze.Message) { close(hangs); <-release })
	if err := b.SendInbox(ctx, a.ID(), "hangs", m); err != nil {
		t.Fatal(err)
	}
	next(t, hangs, "handler")
	ended := make(chan error, 100)
	for i := range 100 {
		go func() {
			var err error
			switch i % 4 {
			case 0:
				_, err = a.Request(ctx, b.ID(), m)
			case 1:
				err = a.Enqueue(ctx, "q", m)
			case 2:
				_, err = a.RequestQueue(ctx, "nobody", m)
			default:
				_, err = a.RequestPayload(ctx, b.ID(), "", nil, nil)
			}
			ended <- err
		}()
	}
	eventually(t, "the calls", func() bool { return a.Stats().Group.CallsOpen == 100 })
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop() }()
	for range 100 {
		if err := next(t, ended, "end of a call"); !errors.Is(err, blaze.ErrClosed) {
			t.Fatalf("a call that waits at Stop: %v", err)
		}
	}
	t.Logf("all had ended after %v", time.Since(began)) // the figure is 100 ms
	select {
	case <-stopped:
		t.Error("Stop did not wait for the handler")
	default:
	}
	close(release)
	next(t, stopped, "Stop")
	if err := a.Send(ctx, b.ID(), m); !errors.Is(err, blaze.ErrState) {
		t.Errorf("after Stop: %v", err)
	}
	a.Shutdown()
	if err := a.Enqueue(ctx, "q", m); !errors.Is(err, blaze.ErrState) {
		t.Errorf("after Shutdown: %v", err)
	}
}

// Handlers that run at Stop finish, and their replies and results arrive. In-boxes and consumers work again after
// the next Start.
func TestHandlersOutliveStop(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	begun, release := make(chan struct{}, 10), make(chan struct{})
	wait := sync.OnceFunc(func() { begun <- struct{}{}; <-release })
	b.HandleInbox("", func(m *blaze.Message) {
		wait()
		if err := b.Reply(ctx, m, m); err != nil {
			t.Errorf("Reply in Stop: %v", err)
		}
	})
	var once sync.Once
	b.Consume("q", func(m *blaze.Message) error {
		once.Do(func() { begun <- struct{}{}; <-release })
		return nil
	})
	m := blaze.NewTextMessage("x")
	errs := make(chan error, 2)
	go func() {
		_, err := a.Request(ctx, b.ID(), m)
		errs <- err
	}()
	go func() { errs <- a.Enqueue(ctx, "q", m) }()
	next(t, begun, "handler")
	next(t, begun, "handler")
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop() }()
	eventually(t, "Stop", func() bool { return b.State() == blaze.Stopped })
	if err := b.Send(ctx, a.ID(), m); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Send in Stop: %v", err)
	}
	close(release)
	for range 2 {
		if err := next(t, errs, "end of a call"); err != nil {
			t.Errorf("what a handler was at work on at Stop: %v", err)
		}
	}
	if err := next(t, stopped, "Stop"); err != nil {
		t.Errorf("Stop: %v", err)
	}
	startGroup(t, b)
	waitMembers(t, 2, a, b)
	if _, err := a.Request(ctx, b.ID(), m); err != nil {
		t.Errorf("after the next Start: %v", err)
	}
	if err := a.Enqueue(ctx, "q", m); err != nil {
		t.Errorf("after the next Start: %v", err)
	}
}

// From an Inline handler a call that would wait is refused at once; Call.Reply is none.
func TestCallsFromInlineHandlers(t *testing.T) {
	for _, invoker := range []bool{false, true} {
		cfg := testConfig(t)
		a := inGroup(t, "a", cfg)
		cfg.Invoker = invoker
		b := inGroup(t, "b", cfg)
		if invoker {
			turn(t, b)
		}
		waitMembers(t, 2, a)
		ctx := soon(t)
		m := blaze.NewTextMessage("x")
		b.HandleCalls("", func(c *blaze.Call) {
			_, request := b.Request(ctx, a.ID(), m)
			_, queue := b.RequestQueue(ctx, "q", m)
			for what, err := range map[string]error{
				"Send": b.Send(ctx, a.ID(), m), "SendGroup": b.SendGroup(ctx, "g", m), "Enqueue": b.Enqueue(ctx, "q", m), "Request": request, "RequestQueue": queue,
			} {
				if !errors.Is(err, blaze.ErrBackPressure) && (what != "SendGroup" || err != nil) {
					t.Errorf("%s in an Inline handler: %v", what, err)
				}
			}
			c.Reply(nil)
		}, blaze.Inline())
		if _, err := a.RequestPayload(ctx, b.ID(), "", nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// turn turns g on a goroutine of its own until the test ends.
func turn(t testing.TB, g *blaze.GroupChannel) {
	stop, turned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(turned)
		for {
			select {
			case <-stop:
				return
			default:
				if g.Turn() == 0 {
					time.Sleep(50 * time.Microsecond)
				}
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-turned
	})
}

// With Invoker a call on the goroutine that turns turns until it is answered.
func TestInvokerCalls(t *testing.T) {
	cfg := testConfig(t)
	a := inGroup(t, "a", cfg)
	echo(t, a)
	handled := make(chan struct{}, 1)
	a.Consume("q", func(*blaze.Message) error { handled <- struct{}{}; return nil })
	cfg.Invoker = true
	b := inGroup(t, "b", cfg)
	for len(b.Members()) < 2 {
		b.Turn()
	}
	waitMembers(t, 2, a)
	ctx := soon(t)
	m := blaze.NewTextMessage("x")
	for range 20 {
		if err := b.Send(ctx, a.ID(), m); err != nil {
			t.Fatal(err)
		}
		if r, err := b.Request(ctx, a.ID(), m); err != nil || text(r) != "re: x" {
			t.Fatal(r, err)
		}
		if err := b.Enqueue(ctx, "q", m); err != nil {
			t.Fatal(err)
		}
		next(t, handled, "handling")
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := b.Enqueue(short, "nobody", m); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, blaze.ErrNoConsumer) {
		t.Errorf("Enqueue without a consumer: %v", err)
	}
	// A handler on a goroutine of its own calls, while the application turns.
	b.HandleInbox("", func(m *blaze.Message) {
		if r, err := b.Request(ctx, a.ID(), m); err != nil || text(r) != "re: y" {
			t.Errorf("%v, %v", r, err)
		}
		b.Reply(ctx, m, m)
	})
	turn(t, b)
	if _, err := a.Request(ctx, b.ID(), blaze.NewTextMessage("y")); err != nil {
		t.Error(err)
	}
}

// A call whose context ends is over at once, and its slot is free; what was handed to a consumer that has not begun
// it is taken back.
func TestCancelledCalls(t *testing.T) {
	a, b := two(t, testConfig(t))
	ctx := soon(t)
	release := make(chan struct{})
	begun := make(chan string, 100)
	b.Consume("q", func(m *blaze.Message) error { begun <- text(m); <-release; return nil })
	first := make(chan error, 1)
	go func() { first <- a.Enqueue(ctx, "q", blaze.NewTextMessage("first")) }()
	next(t, begun, "handling")
	errs := make(chan error, 10)
	short, cancel := context.WithCancel(ctx)
	for range 10 {
		go func() { errs <- a.Enqueue(short, "q", blaze.NewTextMessage("never")) }()
	}
	eventually(t, "the calls", func() bool { return a.Stats().Group.CallsOpen == 11 })
	cancel()
	for range 10 {
		if err := next(t, errs, "end"); !errors.Is(err, context.Canceled) || errors.Is(err, blaze.ErrNoConsumer) {
			t.Errorf("%v", err)
		}
	}
	eventually(t, "free slots", func() bool { return a.Stats().Group.CallsOpen == 1 })
	// The cancels have arrived before this.
	last := make(chan error, 1)
	go func() { last <- a.Enqueue(ctx, "q", blaze.NewTextMessage("last")) }()
	eventually(t, "the last", func() bool { return a.Stats().Group.CallsOpen == 2 })
	close(release)
	for _, c := range []chan error{first, last} {
		if err := next(t, c, "end"); err != nil {
			t.Error(err)
		}
	}
	for s := next(t, begun, "handling"); s != "last"; s = next(t, begun, "handling") {
		t.Errorf("%q was handled", s)
	}
}

// 16 senders share datagrams: the figure is 8 times the rate of one.
func TestSendersShareDatagrams(t *testing.T) {
	a, b := two(t, testConfig(t))
	b.HandleCalls("", func(*blaze.Call) {}, blaze.Inline())
	ctx := soon(t)
	m := blaze.NewTextMessage("x")
	rate := func(senders int) float64 {
		var n atomic.Int64
		began := time.Now()
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for time.Since(began) < 100*time.Millisecond {
					if err := a.Send(ctx, b.ID(), m); err != nil {
						t.Error(err)
						return
					}
					n.Add(1)
				}
			})
		}
		wg.Wait()
		return float64(n.Load()) / time.Since(began).Seconds()
	}
	best := 0.0
	for range 5 {
		one, many := rate(1), rate(16)
		t.Logf("sends a second: one %.0f, 16 %.0f, %.1f times", one, many, many/one)
		if best = max(best, many/one); best >= 8 {
			return
		}
	}
	if best < 4 {
		t.Errorf("16 senders have %.1f times the rate of one", best)
	}
}

// Hundreds of queues, each message handled once.
func TestManyQueues(t *testing.T) {
	queues, each := 300, 4
	if testing.Short() {
		queues = 60
	}
	cfg := testConfig(t)
	a, b := two(t, cfg)
	c := inGroup(t, "c", cfg)
	waitMembers(t, 3, a, b, c)
	members := []*blaze.GroupChannel{a, b, c}
	var mu sync.Mutex
	seen := map[string]int{}
	for q := range queues {
		for _, g := range members {
			if _, err := g.Consume(fmt.Sprint("q", q), func(m *blaze.Message) error {
				mu.Lock()
				defer mu.Unlock()
				seen[m.Topic()+" "+text(m)]++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	var wg sync.WaitGroup
	for q := range queues {
		for s, g := range members[:2] {
			wg.Go(func() {
				for i := range each {
					if err := g.Enqueue(ctx, fmt.Sprint("q", q), blaze.NewTextMessage(fmt.Sprint(s, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%s was handled %d times", what, n)
		}
	}
	if len(seen) != queues*2*each {
		t.Errorf("%d messages were handled, want %d", len(seen), queues*2*each)
	}
}

// Many messages over four consumers: once each, and each has its share.
func TestQueueOfFour(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5000
	}
	cfg := testConfig(t)
	sender := inGroup(t, "sender", cfg)
	all := []*blaze.GroupChannel{sender}
	var by [4]atomic.Int64
	seen := make([]atomic.Int32, n)
	for i := range by {
		g := inGroup(t, fmt.Sprint("c", i), cfg)
		all = append(all, g)
		g.Consume("q", func(m *blaze.Message) error {
			v, _ := m.Get("n")
			at, _ := v.Int64()
			seen[at].Add(1)
			by[i].Add(1)
			return nil
		})
	}
	waitMembers(t, 5, all...)
	eventually(t, "the consumers", func() bool {
		return sender.Enqueue(soon(t), "q", blaze.NewMessage().Set("n", blaze.Int64Value(0))) == nil
	})
	seen[0].Store(0)
	var at atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range 64 {
		wg.Go(func() {
			for i := at.Add(1) - 1; i < int64(n); i = at.Add(1) - 1 {
				if err := sender.Enqueue(context.Background(), "q", blaze.NewMessage().Set("n", blaze.Int64Value(i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%.0f messages a second", float64(n)/time.Since(began).Seconds())
	for i := range seen {
		if k := seen[i].Load(); k != 1 {
			t.Fatalf("message %d was handled %d times", i, k)
		}
	}
	for i := range by {
		if got := by[i].Load(); got < int64(n/16) { // the figure is an eighth
			t.Errorf("consumer %d handled %d of %d", i, got, n)
		}
	}
}

// Starts, calls and stops leave nothing behind; a handler that hangs is named by Stop.
func TestCallsLeaveNothing(t *testing.T) {
	socketsOnly(t) // each start over AF_XDP would be in a namespace of its own
	rounds := 300
	if testing.Short() {
		rounds = 15
	}
	cfg := testConfig(t)
	cfg.Window, cfg.MaxMessageSize, cfg.Linger = 1<<20, 1<<16, 100*time.Millisecond
	other := inGroup(t, "other", cfg)
	echo(t, other)
	g, err := blaze.NewGroupChannel("g", cfg)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, g)
	consume := func(*blaze.Message) error { return nil }
	g.Consume("both", consume)
	other.Consume("both", consume)
	other.Consume("theirs", consume, blaze.Exclusive())
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	m := blaze.NewTextMessage("x")
	round := func() {
		startGroup(t, g)
		waitMembers(t, 2, g, other)
		for what, call := range map[string]func() error{
			"Send":         func() error { return other.Send(ctx, g.ID(), m) },
			"Request":      func() error { _, err := g.Request(ctx, other.ID(), m); return err },
			"Request back": func() error { _, err := other.Request(ctx, g.ID(), m); return err },
			"Enqueue":      func() error { return g.Enqueue(ctx, "theirs", m) },
			"Enqueue both": func() error { return other.Enqueue(ctx, "both", m) },
		} {
			if err := call(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if err := g.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		round()
	}
	goroutines, descriptors := leaks()
	for range rounds {
		round()
	}
	eventually(t, "goroutines and descriptors as before", func() bool {
		g, d := leaks()
		return g <= goroutines && d <= descriptors
	})
	if open := other.Stats().Group.CallsOpen; open > 0 {
		t.Errorf("%d calls are open", open)
	}

	hang := make(chan struct{})
	begun := make(chan struct{}, 2)
	g.Consume("hangs", func(*blaze.Message) error { begun <- struct{}{}; <-hang; return nil })
	g.HandleInbox("hangs too", func(*blaze.Message) { begun <- struct{}{}; <-hang })
	startGroup(t, g)
	waitMembers(t, 2, g, other)
	go other.Enqueue(ctx, "hangs", m)
	if err := other.SendInbox(ctx, g.ID(), "hangs too", m); err != nil {
		t.Error(err)
	}
	next(t, begun, "handler")
	next(t, begun, "handler")
	if err := g.Shutdown(); err == nil || !strings.Contains(err.Error(), `queue "hangs" still runs`) || !strings.Contains(err.Error(), `hangs too`) {
		t.Errorf("Shutdown while handlers hang: %v", err)
	}
	close(hang)
}
