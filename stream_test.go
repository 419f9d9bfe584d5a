package blaze_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// streamLog is what OnStream told of one channel.
type streamLog struct {
	mu     sync.Mutex
	events []timedEvent
	change chan struct{}

	running atomic.Int32 // calls
}

type timedEvent struct {
	blaze.StreamEvent
	at time.Time
}

func onStream(t *testing.T, c *blaze.Channel) *streamLog {
	l := &streamLog{change: make(chan struct{}, 1)}
	t.Cleanup(c.OnStream(func(e blaze.StreamEvent) {
		if n := l.running.Add(1); n != 1 {
			t.Errorf("%d calls at a time", n)
		}
		defer l.running.Add(-1)
		l.mu.Lock()
		l.events = append(l.events, timedEvent{e, time.Now()})
		l.mu.Unlock()
		select {
		case l.change <- struct{}{}:
		default:
		}
	}))
	return l
}

// of are the events of one member, in order.
func (l *streamLog) of(id blaze.MemberID) (all []timedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.From == id {
			all = append(all, e)
		}
	}
	return all
}

// kinds is what was told of one member, in order.
func (l *streamLog) kinds(of blaze.MemberID) (all []blaze.StreamEventKind) {
	for _, e := range l.of(of) {
		all = append(all, e.Kind)
	}
	return all
}

// first waits for the first event.
func (l *streamLog) first(t *testing.T) blaze.StreamEvent {
	t.Helper()
	var e blaze.StreamEvent
	eventually(t, "an event", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.events) > 0 {
			e = l.events[0].StreamEvent
		}
		return len(l.events) > 0
	})
	return e
}

// until waits for the events of one member.
func (l *streamLog) until(t *testing.T, of blaze.MemberID, want ...blaze.StreamEventKind) {
	t.Helper()
	for end := time.After(20 * time.Second); !slices.Equal(l.kinds(of), want); {
		select {
		case <-l.change:
		case <-end:
			t.Fatalf("told of %v: %v, want %v", of, l.kinds(of), want)
		}
	}
}

// A receiver is told of a stream's beginning and end, its sender of the receiver's, and a handler
// that comes late of what is there.
func TestOnStream(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	told, sent := onStream(t, b), onStream(t, a)
	p := publisher(t, a, "x", 1)
	told.until(t, a.ID(), blaze.StreamStarted)
	sent.until(t, b.ID(), blaze.ReceiverJoined)
	offer(t, p, []byte("m"))
	late := onStream(t, b)
	late.until(t, a.ID(), blaze.StreamStarted)
	e := late.events[0]
	if e.Protocol != blaze.NACK || e.Stream == 0 || !e.Addr.IsValid() || e.Addr.Port() == 0 {
		t.Errorf("told %+v", e)
	}
	if want := "started: stream 0x2000000 (nack) of "; !strings.HasPrefix(e.String(), want) {
		t.Errorf("%q, want %q…", e, want)
	}
	id := b.ID()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	sent.until(t, id, blaze.ReceiverJoined, blaze.ReceiverLeft)
	if err := b.Start(); err != nil { // a handler outlives Stop, and is told anew
		t.Fatal(err)
	}
	sent.until(t, b.ID(), blaze.ReceiverJoined)
	told.until(t, a.ID(), blaze.StreamStarted, blaze.StreamStarted)
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	told.until(t, a.ID(), blaze.StreamStarted, blaze.StreamStarted, blaze.StreamLeft)
}

// A handler that has cancelled is told nothing, and one may cancel from within.
func TestOnStreamCancel(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	var calls atomic.Int32
	var cancel func()
	cancel = b.OnStream(func(blaze.StreamEvent) { calls.Add(1); cancel() })
	rest := onStream(t, b)
	publisher(t, a, "x", 1)
	rest.until(t, a.ID(), blaze.StreamStarted)
	id := a.ID()
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	rest.until(t, id, blaze.StreamStarted, blaze.StreamLeft)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, one of them before the handler cancelled", n)
	}
	b.OnStream(nil)()
}

// A handler may call anything: another OnStream, which gets what is there, Offer, Stats, and Stop.
func TestOnStreamHandlerMayCallAnything(t *testing.T) {
	cfg := testConfig(t)
	a, b := started(t, cfg), started(t, cfg)
	inner := make(chan blaze.StreamEvent, 10)
	got := make(chan bool, 1)
	if _, err := a.SubscribePayload("back", func(*blaze.Delivery) { got <- true }); err != nil {
		t.Fatal(err)
	}
	b.OnStream(func(e blaze.StreamEvent) {
		switch e.Kind {
		case blaze.StreamStarted:
			if s := b.Stats(); s.Nack.Streams != 1 {
				t.Errorf("%d streams when the first one began", s.Nack.Streams)
			}
			b.OnStream(func(e blaze.StreamEvent) { inner <- e })
			if _, err := b.Publisher("back"); err != nil {
				t.Error(err)
			}
		case blaze.ReceiverJoined:
			if err := b.Broadcast(context.Background(), "back", blaze.NewTextMessage("x")); err != nil {
				t.Error(err)
			}
		case blaze.StreamLeft:
			if err := b.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	publisher(t, a, "x", 1)
	if e := next(t, inner, "event for the handler that a handler added"); e.Kind != blaze.StreamStarted || e.From != a.ID() {
		t.Errorf("it is told %v", e)
	}
	next(t, got, "message that the handler sent")
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler has stopped its channel", func() bool { return b.State() == blaze.Stopped })
	if e := next(t, inner, "event"); e.Kind != blaze.ReceiverJoined {
		t.Errorf("the second event is %v", e)
	}
}

// What does not fit Config.MaxStreams is named: in the log, by an event and at OnLoss, once.
func TestStreamsBeyondMaxStreamsAreNamed(t *testing.T) {
	cfg := testConfig(t)
	cfg.Lanes = 8
	var log lines
	few := cfg
	few.MaxStreams, few.Logger = 4, slog.New(slog.NewTextHandler(&log, nil))
	b := started(t, few)
	told := onStream(t, b)
	lost := make(chan blaze.Loss, 100)
	var got atomic.Int32
	if _, err := b.SubscribePayload(">", func(*blaze.Delivery) { got.Add(1) }, blaze.OnLoss(func(l blaze.Loss) { lost <- l })); err != nil {
		t.Fatal(err)
	}
	a := started(t, cfg)
	for i := range 64 { // all lanes
		p, err := a.Publisher(fmt.Sprint("topic.", i))
		if err != nil {
			t.Fatal(err)
		}
		offer(t, p, []byte("m"))
		offer(t, p, []byte("m"))
	}
	seen := map[uint32]int{}
	for range 4 {
		select {
		case l := <-lost:
			if seen[l.Stream]++; l.Reason != blaze.LossRefused || l.From != a.ID() || l.First != 0 || l.Last != 0 {
				t.Errorf("told %v", l)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("OnLoss names %d streams, of 4", len(seen))
		}
	}
	want := slices.Concat(slices.Repeat([]blaze.StreamEventKind{blaze.StreamStarted}, 4), slices.Repeat([]blaze.StreamEventKind{blaze.StreamRefused}, 4))
	for end := time.Now().Add(10 * time.Second); ; {
		all := told.kinds(a.ID())
		slices.Sort(all)
		if slices.Equal(all, want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("told %v, want %v", all, want)
		}
		<-told.change
	}
	eventually(t, "a line in the log", func() bool { return log.count("more streams than Config.MaxStreams") == 1 })
	if s := b.Stats(); s.Nack.StreamsRefused != 4 || s.Nack.Streams != 4 {
		t.Errorf("%d streams refused, %d received", s.Nack.StreamsRefused, s.Nack.Streams)
	}
	if len(lost) > 0 || len(seen) != 4 {
		t.Errorf("a stream is reported more than once: %v", seen)
	}
}

// As many streams as a group of this size may have are received, all of them.
func TestManyLanes(t *testing.T) {
	senders, lanes := 6, 64
	if testing.Short() {
		senders = 5 // 320: above the old bound of 256
	}
	cfg := testConfig(t)
	cfg.Lanes = lanes
	cfg.Window, cfg.MaxMessageSize = 64<<10, 4<<10
	b := started(t, cfg)
	var mu sync.Mutex
	got := map[string]bool{}
	all := make(chan struct{})
	topics := 4 * lanes
	if _, err := b.SubscribePayload(">", func(d *blaze.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		got[d.Topic] = true
		if len(got) == senders*topics {
			close(all)
		}
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for i := range senders {
		a := started(t, cfg)
		for k := range topics {
			if err := a.Broadcast(ctx, fmt.Sprintf("s%d.t%d", i, k), blaze.NewTextMessage("m")); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case <-all:
	case <-ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("%d of %d topics arrived; %+v", len(got), senders*topics, b.Stats().Nack)
	}
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}
