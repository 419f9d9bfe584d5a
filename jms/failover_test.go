package jms

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms/held"
)

// TestHolderProcess is a holder in a process of its own, for tests that kill it.
func TestHolderProcess(t *testing.T) {
	uri := os.Getenv("BLAZE_TEST_URI")
	if uri == "" {
		t.Skip("for the processes that other tests start")
	}
	failure, err := time.ParseDuration(os.Getenv("BLAZE_TEST_FAILURE"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := blaze.Config{BroadcastURI: uri, Cluster: os.Getenv("BLAZE_TEST_CLUSTER"), Name: "victim", ExpectedMembers: 3, FailureTimeout: failure}
	c := connect(t, factory(t, cfg, WithRole(Holder)), AutoAcknowledge)
	fmt.Printf("%x\n", [16]byte(c.conn.channel().ID()))
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or the parent has gone
}

// holdersAndVictim starts two holders here and one in a process of its own.
func holdersAndVictim(t *testing.T, failure time.Duration) (cfg blaze.Config, victim *exec.Cmd, id held.Member) {
	t.Helper()
	cfg = testConfig(t)
	cfg.ExpectedMembers, cfg.FailureTimeout, cfg.Linger = 3, failure, 500*time.Millisecond
	victim = exec.Command(os.Args[0], "-test.run=^TestHolderProcess$", "-test.timeout=60s")
	victim.Env = append(os.Environ(), "BLAZE_TEST_URI="+cfg.BroadcastURI, "BLAZE_TEST_CLUSTER="+cfg.Cluster, "BLAZE_TEST_FAILURE="+failure.String())
	victim.Stderr = os.Stderr
	in, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = victim.Process.Kill(); _ = victim.Wait() })
	errs := make([]error, 2)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			own := cfg
			own.Name = fmt.Sprint("holder", i)
			f, err := NewConnectionFactory(own, WithRole(Holder))
			if err == nil {
				var c *Context
				if c, err = f.CreateContext(AutoAcknowledge); err == nil {
					t.Cleanup(func() { _ = c.Close() })
				}
			}
			errs[i] = err
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if _, err := fmt.Sscanf(line, "%x", &b); err != nil || copy(id[:], b) != len(id) {
		t.Fatalf("the victim prints %q: %v", line, err)
	}
	cfg.ExpectedMembers = 0
	return cfg, victim, id
}

// use has a client use one holder.
func use(t *testing.T, c *Context, id held.Member) {
	t.Helper()
	if err := c.ConnectHolders(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the holder as a member", func() bool { return slices.Contains(c.conn.ch.holders(), id) })
	l := c.conn.linked()
	eventually(t, "the use of one holder", func() bool {
		l.mu.Lock()
		l.core.Holders([]held.Member{id})
		l.turn()
		l.mu.Unlock()
		if err := l.look(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		return holderOf(c) == blaze.MemberID(id)
	})
}

// soon holds that what f measures is within 300 ms beyond the time in which a member is taken for failed. Other tests have
// the processors too: it may try three times.
func soon(t *testing.T, f func(failure time.Duration) time.Duration) {
	const failure = 150 * time.Millisecond
	var took time.Duration
	for range 3 {
		if took = f(failure); took <= failure+300*time.Millisecond {
			t.Logf("%v", took)
			return
		}
	}
	t.Errorf("it took %v, with a FailureTimeout of %v", took, failure)
}

// The holder of clients is killed while they send and receive: they go on at another one, no message is lost whose Send
// has returned, and none comes twice that is not marked.
func TestHolderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	soon(t, func(failure time.Duration) time.Duration { return killUnderWay(t, failure) })
}

// killUnderWay returns the longest wait for a message.
func killUnderWay(t *testing.T, failure time.Duration) (longest time.Duration) {
	cfg, victim, id := holdersAndVictim(t, failure)
	in := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	out := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	use(t, in, id)
	use(t, out, id)
	q := queue(t, in, "killed")
	k := consume(t, in, q)
	const messages = 300
	sent := make(chan error, 1)
	go func() {
		p := out.Producer()
		for i := range messages {
			if err := p.SendText(context.Background(), q, fmt.Sprint(i)); err != nil {
				sent <- fmt.Errorf("message %d: %w", i, err)
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
		sent <- nil
	}()
	seen := map[string]bool{}
	var killed time.Time
	for len(seen) < messages {
		if len(seen) == 100 && killed.IsZero() {
			killed = time.Now()
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		before := time.Now()
		m := receive(t, k)
		longest = max(longest, time.Since(before))
		s, _ := m.Text()
		if seen[s] && !m.Redelivered() {
			t.Errorf("%s comes twice without a mark", s)
		}
		seen[s] = true
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	nothing(t, k)
	for _, c := range []*Context{in, out} {
		if holderOf(c) == blaze.MemberID(id) {
			t.Error("a client still uses the holder that was killed")
		}
	}
	return longest
}

// A client that waits, with nothing under way, gets what is sent after its holder was killed.
func TestHolderOfWaiterKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	soon(t, func(failure time.Duration) time.Duration { return killUnderReceive(t, failure) })
}

// killUnderReceive returns how long a message takes that is sent when the holder was killed.
func killUnderReceive(t *testing.T, failure time.Duration) time.Duration {
	cfg, victim, id := holdersAndVictim(t, failure)
	in := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	out := connect(t, factory(t, cfg, WithRole(Client)), AutoAcknowledge)
	use(t, in, id)
	q := queue(t, in, "waiter")
	k := consume(t, in, q)
	got := make(chan error, 1)
	go func() { _, err := k.Receive(within(t, patience)); got <- err }()
	time.Sleep(20 * time.Millisecond)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	send(t, out.Producer(), q, "x")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// Rollbacks while messages are on their way: each message is committed once, and what the listener sees again is marked.
func TestRollbackUnderDelivery(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	c := connect(t, factory(t, cfg, WithRole(Client), Prefetch(16), MaxRedeliveries(1000)), Transacted)
	q := queue(t, c, "rollback")
	const messages = 500
	p := all[0].Producer()
	go func() {
		for i := range messages {
			_ = p.SendText(context.Background(), q, fmt.Sprint(i))
		}
	}()
	var open []string
	seen, committed := map[string]bool{}, map[string]bool{}
	calls := 0
	done := make(chan struct{})
	ctx := within(t, 3*patience)
	k := consume(t, c, q)
	if err := k.Listen(func(m *Message) {
		s, _ := m.Text()
		calls++
		switch {
		case committed[s]:
			t.Errorf("%s comes after it was committed", s)
		case seen[s] && !m.Redelivered():
			t.Errorf("%s comes again without a mark", s)
		}
		seen[s] = true
		open = append(open, s)
		switch {
		case calls%7 == 0:
			if err := c.Rollback(ctx); err != nil {
				t.Error(err)
			}
			open = nil
		case len(open) >= 5 || len(committed)+len(open) == messages:
			if err := c.Commit(ctx); err != nil {
				t.Error(err)
			}
			for _, s := range open {
				committed[s] = true
			}
			open = nil
			if len(committed) == messages {
				close(done)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("not all messages were committed")
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	nothing(t, consume(t, another(t, all[0], AutoAcknowledge), q))
}

// Close ends calls that wait, within 10 ms.
func TestCloseWhileHeldCallsWait(t *testing.T) {
	keep := connect(t, alone(t, QueueDepth("full", 1)), AutoAcknowledge)
	full, empty := queue(t, keep, "full"), queue(t, keep, "empty")
	send(t, keep.Producer(), full, "x")
	for _, row := range []struct {
		name string
		wait func(c *Context) error
		want error
	}{
		{"Receive", func(c *Context) error {
			_, err := consume(t, c, empty).Receive(context.Background())
			return err
		}, blaze.ErrClosed},
		{"Send", func(c *Context) error { return c.Producer().SendText(context.Background(), full, "y") }, ErrQueueFull},
		{"SendAsync", func(c *Context) error {
			done := make(chan error, 1)
			if err := c.Producer().SendAsync(context.Background(), full, NewTextMessage("y"), func(_ *Message, err error) { done <- err }); err != nil {
				return err
			}
			return <-done
		}, ErrQueueFull},
	} {
		var took time.Duration
		for range 3 { // other tests have the processors too
			c := another(t, keep, AutoAcknowledge)
			ended := make(chan error, 1)
			go func() { ended <- row.wait(c) }()
			time.Sleep(20 * time.Millisecond)
			start := time.Now()
			if err := c.Close(); err != nil {
				t.Errorf("%s: Close: %v", row.name, err)
			}
			took = time.Since(start)
			if err := <-ended; !errors.Is(err, row.want) {
				t.Errorf("%s returned %v, want %v", row.name, err, row.want)
			}
			if took < 10*time.Millisecond {
				break
			}
		}
		if took >= 10*time.Millisecond {
			t.Errorf("%s: Close took %v", row.name, took)
		}
	}
}

// A client that is taken for gone, and is not: its calls end, its transaction is not committed, and OnException is called.
func TestTakenForGone(t *testing.T) {
	t.Parallel()
	cfg, all := holders(t, 1)
	c := connect(t, factory(t, cfg, WithRole(Client)), Transacted)
	o := another(t, c, AutoAcknowledge)
	told := make(chan error, 1)
	c.OnException(func(err error) { told <- err })
	q, out := queue(t, c, "in"), queue(t, c, "out")
	send(t, all[0].Producer(), q, "x")
	receiveText(t, consume(t, c, q), "x")
	send(t, c.Producer(), out, "never")
	waits := make(chan error, 1)
	k := consume(t, o, q)
	go func() { _, err := k.Receive(within(t, patience)); waits <- err }()
	time.Sleep(20 * time.Millisecond)
	op := held.Op{Kind: held.KindGone, To: held.Member(c.conn.channel().ID())}
	h := all[0].conn.ch.own.Load()
	if _, err := h.c.Propose(within(t, patience), holderService, op.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("Receive returned %v", err)
	}
	if err := <-told; !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("OnException has %v", err)
	}
	if err := c.Commit(within(t, patience)); !errors.Is(err, ErrRolledBack) {
		t.Errorf("Commit: %v", err)
	}
	if err := c.Producer().SendText(within(t, patience), out, "y"); !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	again := another(t, all[0], AutoAcknowledge)
	if m := receiveText(t, consume(t, again, q), "x"); !m.Redelivered() {
		t.Error("it is not marked redelivered")
	}
	nothing(t, consume(t, again, out))
}
