package blaze_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// eventLog records what a handler of OnMember is told, as "started b", "joined group b g".
type eventLog struct {
	mu   sync.Mutex
	list []string
}

func logEvents(g *blaze.GroupChannel) *eventLog {
	l := &eventLog{}
	g.OnMember(l.add)
	return l
}

func (l *eventLog) add(e blaze.MemberEvent) {
	text := fmt.Sprint(e.Kind, " ", e.Member.Name)
	if e.Member.Incarnation > 0 {
		text += fmt.Sprint("/", e.Member.Incarnation)
	}
	if e.Group != "" {
		text += " " + e.Group
	}
	l.note(text)
}

func (l *eventLog) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, text)
}

// of returns the events of one member.
func (l *eventLog) of(name string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if slices.ContainsFunc(strings.Fields(e), func(w string) bool { return w == name || strings.HasPrefix(w, name+"/") }) {
			list = append(list, e)
		}
	}
	return list
}

func (l *eventLog) wait(t testing.TB, name string, want ...string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if slices.Equal(l.of(name), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the events of %s are %q, want %q", name, l.of(name), want)
		}
	}
}

// turned is a member with Invoker. A goroutine turns it, unless it is paused: then it is as if its process
// had been stopped or killed.
type turned struct {
	*blaze.GroupChannel
	paused atomic.Bool
	turns  sync.Mutex // held for a turn
}

func inGroupTurned(t testing.TB, name string, cfg blaze.Config) *turned {
	t.Helper()
	cfg.Invoker = true
	m := &turned{GroupChannel: inGroup(t, name, cfg)}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
			}
			m.turns.Lock()
			work := 0
			if !m.paused.Load() {
				work = m.Turn()
			}
			m.turns.Unlock()
			if work == 0 {
				time.Sleep(200 * time.Microsecond)
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-ended })
	return m
}

// pause returns when no turn is running.
func (m *turned) pause() {
	m.paused.Store(true)
	m.turns.Lock()
	defer m.turns.Unlock()
}

func (m *turned) resume() { m.paused.Store(false) }

// The events of a member that starts, joins, leaves a group, and stops; and of its next start.
func TestMemberEventsInOrder(t *testing.T) {
	cfg := testConfig(t)
	a := inGroup(t, "a", cfg)
	events := logEvents(a)
	events.wait(t, "a", "started a")
	b := inGroup(t, "b", cfg)
	if err := b.Join("x"); err != nil {
		t.Fatal(err)
	}
	events.wait(t, "b", "started b", "joined group b x")
	late := logEvents(a)
	late.wait(t, "a", "started a")
	late.wait(t, "b", "started b", "joined group b x")
	late.mu.Lock()
	first := late.list[0]
	late.mu.Unlock()
	if first != "started a" {
		t.Errorf("the first event of a new handler is %q, not the oldest member's", first)
	}
	for _, err := range []error{b.Join("x"), b.Join("y")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	events.wait(t, "b", "started b", "joined group b x", "joined group b y")
	for _, err := range []error{b.Leave("x"), b.Leave("x"), b.Leave("never joined")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Local().Groups; !slices.Equal(got, []string{"y"}) {
		t.Errorf("b is in %q", got)
	}
	joined := []string{"started b", "joined group b x", "joined group b y", "left group b x"}
	events.wait(t, "b", joined...)
	old := b.ID()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := append(joined, "stopped b")
	events.wait(t, "b", stopped...)
	late.wait(t, "b", stopped...)
	if _, ok := a.Member(old); ok || len(a.Members()) != 1 {
		t.Errorf("after b's Stop a sees %v", a.Members())
	}
	if got := b.Local(); got.ID != old || !slices.Equal(got.Groups, []string{"y"}) || b.Members() != nil {
		t.Errorf("after its Stop b is %+v, and sees %v", got, b.Members())
	}
	startGroup(t, b)
	events.wait(t, "b", append(stopped, "started b", "joined group b y")...)
	waitMembers(t, 2, a, b)
	if b.ID() == old {
		t.Error("the next start has the same id")
	}
	if m, ok := a.MemberNamed("b"); !ok || m.ID != b.ID() {
		t.Errorf("named b: %+v, %t", m, ok)
	}
}

// A member that takes no more turns fails. When it goes on, it learns so before it is handed anything, and is
// back with its next incarnation.
func TestPausedMember(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	a := inGroup(t, "a", cfg)
	b := inGroupTurned(t, "b", cfg)
	atA, atB := logEvents(a), logEvents(b.GroupChannel)
	if _, err := b.SubscribePayload("topic", func(d *blaze.Delivery) { atB.note(string(d.Payload)) }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	waitMembers(t, 2, a, b.GroupChannel)
	atB.wait(t, "a", "started a")
	p := publisher(t, a.Channel, "topic", 1)
	b.pause()
	at := time.Now()
	offer(t, p, []byte("after"))
	atA.wait(t, "b", "started b", "failed b")
	t.Logf("failed after %v", time.Since(at))
	if n := len(a.Members()); n != 1 {
		t.Errorf("a sees %d members", n)
	}
	b.resume()
	atA.wait(t, "b", "started b", "failed b", "started b/1")
	atB.wait(t, "b", "started b", "failed b", "started b/1")
	waitMembers(t, 2, a, b.GroupChannel)
	for {
		offer(t, p, []byte("after")) // b was no receiver for a while
		if got := atB.of("after"); len(got) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	atB.mu.Lock()
	list := slices.Clone(atB.list)
	atB.mu.Unlock() // or a handler that waits for it would hold up Stats
	if after, end := slices.Index(list, "after"), slices.Index(list, "failed b"); after < end {
		t.Errorf("it was handed a message before it was told of its own end: %q", list)
	}
	if s := b.Stats().Group; s.Excluded != 1 || s.Stalls == 0 || s.LongestStall == 0 || s.GateNS == 0 {
		t.Errorf("it counts %+v", s)
	}
}

// The end of a member is told when the handlers have begun all that it had sent. Members does not wait for that,
// and the log names the handler.
func TestEndWaitsForHandlers(t *testing.T) {
	socketsOnly(t)
	for _, way := range []string{"topic", "in-box"} {
		t.Run(way, func(t *testing.T) { testEndWaits(t, way == "in-box") })
	}
}

func testEndWaits(t *testing.T, inbox bool) {
	cfg := testConfig(t)
	lines := &lockedBuffer{}
	logged := cfg
	logged.Logger = slog.New(slog.NewTextHandler(lines, nil))
	a := inGroup(t, "a", logged)
	b := inGroupTurned(t, "b", cfg)
	events := logEvents(a)
	gate := make(chan struct{}, 100)
	named := "subscription=topic event=failed"
	if inbox {
		named = "box"
		if _, err := a.HandleInbox("box", func(*blaze.Message) { events.note("message b"); <-gate }); err != nil {
			t.Fatal(err)
		}
	} else if _, err := a.SubscribePayload("topic", func(*blaze.Delivery) { events.note("message b"); <-gate }); err != nil {
		t.Fatal(err)
	}
	waitMembers(t, 2, a, b.GroupChannel)
	if inbox {
		for range 3 {
			if err := b.SendInbox(within(t), a.ID(), "box", blaze.NewTextMessage("x")); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		p := publisher(t, b.Channel, "topic", 1)
		for range 3 {
			offer(t, p, []byte("message"))
		}
		eventually(t, "the messages have arrived", func() bool { return a.Stats().Nack.Delivered == 3 })
	}
	b.pause()
	eventually(t, "b is gone", func() bool { return len(a.Members()) == 1 })
	events.wait(t, "b", "started b", "message b")
	eventually(t, "the log names the subscription", func() bool {
		return strings.Contains(lines.String(), "holds up the news") && strings.Contains(lines.String(), named)
	})
	c := inGroup(t, "c", cfg) // others do not wait
	events.wait(t, "c", "started c")
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	gate <- struct{}{}
	events.wait(t, "b", "started b", "message b", "message b")
	gate <- struct{}{} // the third one begins, and does not return
	events.wait(t, "b", "started b", "message b", "message b", "message b", "failed b")
	events.wait(t, "c", "started c", "stopped c")
	if s := a.Stats().Group; s.EventsHeld == 0 || s.EventHoldNS < uint64(100*time.Millisecond) {
		t.Errorf("held %d, for %d ns", s.EventsHeld, s.EventHoldNS)
	}
	close(gate)
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// cancel returns when the handler does not run; a handler may cancel itself and others.
func TestCancelOnMember(t *testing.T) {
	a := inGroup(t, "a", testConfig(t))
	running, gate := make(chan struct{}), make(chan struct{})
	cancel := a.OnMember(func(blaze.MemberEvent) { running <- struct{}{}; <-gate })
	<-running
	ended := make(chan struct{})
	go func() { cancel(); close(ended) }()
	select {
	case <-ended:
		t.Error("cancel returned while the handler runs")
	case <-time.After(20 * time.Millisecond):
	}
	close(gate)
	<-ended

	called := make(chan struct{}, 100)
	var itself, other func()
	set := make(chan struct{})
	itself = a.OnMember(func(blaze.MemberEvent) {
		<-set
		itself()
		other()
		if err := a.Stop(); err != nil { // which does not wait for this handler
			t.Error(err)
		}
		called <- struct{}{}
	})
	other = a.OnMember(func(blaze.MemberEvent) {})
	close(set)
	next(t, called, "call of the handler")
	if a.State() != blaze.Stopped {
		t.Errorf("the channel is %v", a.State())
	}
	a.OnMember(nil)()
	startGroup(t, a)
	if err := a.Join("x"); err != nil {
		t.Fatal(err)
	}
	again := logEvents(a)
	again.wait(t, "a", "started a", "joined group a x")
	if len(called) > 0 {
		t.Error("the handler was called after cancel")
	}
}

// A silence that came near to a removal, and a stall, are logged. Where this host stood still as well, and the silence ended
// in a removal, the test is done again with twice the time.
func TestTightTimeoutIsLogged(t *testing.T) {
	socketsOnly(t)
	for timeout := 2 * time.Second; !tightTimeoutIsLogged(t, timeout); timeout *= 2 {
		if timeout > 3*patience {
			t.Fatal("this host stands still all the time")
		}
	}
}

func tightTimeoutIsLogged(t *testing.T, timeout time.Duration) bool {
	cfg := testConfig(t)
	cfg.FailureTimeout, cfg.HeartbeatInterval = timeout, timeout/5
	near, far := &lockedBuffer{}, &lockedBuffer{}
	cfg.Logger = slog.New(slog.NewTextHandler(near, nil))
	a := inGroup(t, "a", cfg)
	cfg.Logger = slog.New(slog.NewTextHandler(far, nil))
	b := inGroupTurned(t, "b", cfg)
	waitMembers(t, 2, a, b.GroupChannel)
	b.pause()
	at := time.Now()
	eventuallyIn(t, patience+timeout, "b is suspected", func() bool { return a.Stats().Group.Suspected > 0 })
	time.Sleep(timeout / 5) // from 0.45 to 0.65 of FailureTimeout
	b.resume()
	paused := time.Since(at)
	removed := func() bool { return a.Stats().Group.Removed > 0 }
	eventually(t, "both are logged", func() bool {
		return removed() || strings.Contains(near.String(), "70 %") && strings.Contains(far.String(), "stood still")
	})
	if removed() && paused > timeout*7/10 { // the last beat came up to a fifth before
		t.Logf("a pause of %v with a FailureTimeout of %v ends in a removal", paused, timeout)
		return false
	}
	if s := a.Stats().Group; s.Removed > 0 || s.Refuted == 0 {
		t.Errorf("after a pause of %v: %+v", paused, s)
	}
	for _, b := range []*lockedBuffer{near, far} {
		if n := strings.Count(b.String(), "Config.FailureTimeout"); n != 1 {
			t.Errorf("%d lines:\n%s", n, b)
		}
	}
	return true
}

// Nothing that a member has sent before its end is begun after that end was told, whatever handlers do: members fail
// and come back, and leave and start, while slow handlers have messages of theirs queued.
func TestNothingAfterTheEnd(t *testing.T) {
	socketsOnly(t)
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	cfg := testConfig(t)
	a, b, c := inGroup(t, "a", cfg), inGroupTurned(t, "b", cfg), inGroup(t, "c", cfg)
	events := &eventLog{}
	pause := func() { time.Sleep(time.Duration(rand.IntN(3_000_000))) }
	for _, topic := range []string{"topic", ">"} {
		if _, err := a.SubscribePayload(topic, func(d *blaze.Delivery) { events.note(string(d.Payload)); pause() }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.HandleInbox("", func(m *blaze.Message) { text, _ := m.Text(); events.note(text); pause() }); err != nil {
		t.Fatal(err)
	}
	ends := map[string]int{}
	a.OnMember(func(e blaze.MemberEvent) {
		if e.Kind == blaze.MemberFailed || e.Kind == blaze.MemberStopped {
			ends[e.Member.Name]++
			events.note(fmt.Sprint("end ", e.Member.Name, " ", ends[e.Member.Name]))
		}
	})
	had := uint64(0)
	send := func(g *blaze.GroupChannel, name string, life int) {
		t.Helper()
		p := publisher(t, g.Channel, "topic", 1)
		for range 20 {
			offer(t, p, fmt.Append(nil, "of ", name, " ", life))
		}
		for range 5 {
			if err := g.Send(within(t), a.ID(), blaze.NewTextMessage(fmt.Sprint("of ", name, " ", life))); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all has arrived", func() bool { return a.Stats().Nack.Delivered == had+20 })
		had += 20
	}
	for life := 1; life <= rounds; life++ {
		waitMembers(t, 3, a, b.GroupChannel, c)
		send(b.GroupChannel, "b", life)
		send(c, "c", life)
		b.pause()
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "they are gone", func() bool { return len(a.Members()) == 1 })
		b.resume()
		startGroup(t, c)
		eventually(t, "b is back", func() bool { m, ok := a.MemberNamed("b"); return ok && m.Incarnation == uint32(life) })
	}
	eventually(t, "the last ends", func() bool { return len(events.of("end")) == 2*rounds })
	events.mu.Lock()
	defer events.mu.Unlock()
	over, of := map[string]int{}, 0
	for _, e := range events.list {
		var name string
		var life int
		if n, _ := fmt.Sscanf(e, "end %s %d", &name, &life); n == 2 {
			over[name] = life
		} else if fmt.Sscanf(e, "of %s %d", &name, &life); life <= over[name] {
			t.Fatalf("%q after the end", e)
		} else {
			of++
		}
	}
	if of != rounds*2*45 {
		t.Errorf("%d messages", of)
	}
}
