//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// TestMain is the Go listener too, which beside starts as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "listen" {
		if err := listenCommand(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A run of beside has repairs, and every member has every message.
func TestBeside(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds; make interop runs it")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"-apart"}} {
		var out strings.Builder
		args = append(args, "-root", root, "-runs", "1", "-seconds", "1", "-loss", "0.05", "-languages", "go")
		if err := beside(t.Context(), args, &out); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "ratio"); n != 2 {
			t.Errorf("%d ratios in %q", n, out.String())
		}
	}
}

// stage is a Go publisher and a Go receiver in this process, beside a listener of another language in a process.
type stage struct {
	count    uint64
	p        *blaze.Publisher
	listener *listener

	mu   sync.Mutex
	came []time.Time // at the Go receiver
	lost uint64
}

func newStage(t *testing.T, language string, args ...string) *stage {
	t.Helper()
	if testing.Short() {
		t.Skip("some seconds; make interop runs it")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, missing, err := find(root, []string{language}); err != nil || missing[language] != nil {
		t.Skip(errors.Join(err, missing[language]))
	}
	uri := fmt.Sprintf("udp://239.255.92.%d:%d?interface=lo", 1+rand.IntN(250), 10000+rand.IntN(20000))
	s := &stage{}
	open := func() *blaze.Channel {
		c, err := blaze.NewChannel(blaze.Config{BroadcastURI: uri, NoSelfDelivery: true, Idle: blaze.Block, Linger: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Shutdown() })
		return c
	}
	receiver, publisher := open(), open()
	_, err = receiver.SubscribePayload(">", func(*blaze.Delivery) {
		s.mu.Lock()
		s.came = append(s.came, time.Now())
		s.mu.Unlock()
	}, blaze.OnLoss(func(l blaze.Loss) {
		s.mu.Lock()
		s.lost += l.Last - l.First + 1
		s.mu.Unlock()
	}))
	if err = errors.Join(err, receiver.Start(), publisher.Start()); err != nil {
		t.Fatal(err)
	}
	if s.listener, err = listenIn(t.Context(), root, language, uri, args...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.listener.kill)
	if s.p, err = publisher.Publisher("slow"); err != nil {
		t.Fatal(err)
	}
	within, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err = s.p.WaitReceivers(within, 2); err != nil {
		t.Fatal(err)
	}
	return s
}

// publish offers messages of that size at a rate, or as fast as they are taken, and waits until the Go receiver has them.
func (s *stage) publish(t *testing.T, count uint64, size int, rate float64) time.Duration {
	t.Helper()
	s.count = count
	began := time.Now()
	for n := uint64(1); n <= count; n++ {
		b := payloadOf(n, size)
		err := s.p.Offer(b)
		for ; errors.Is(err, blaze.ErrBackPressure); err = s.p.Offer(b) {
			time.Sleep(100 * time.Microsecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(n) / rate * 1e9))))
		}
	}
	for deadline := time.Now().Add(30 * time.Second); s.received() < count; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the Go receiver has %d of %d", s.received(), count)
		}
	}
	return time.Since(began)
}

func (s *stage) received() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.came)) + s.lost
}

// between counts what the Go receiver got in that time.
func (s *stage) between(from, to time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.came {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// end asks the listener what it has received, and whether it has accounted for all.
func (s *stage) end(t *testing.T) (r repairs) {
	t.Helper()
	if err := s.listener.end(&r); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != 0 {
		t.Errorf("the Go receiver lost %d", s.lost)
	}
	return r
}

// A member whose process is stopped holds the others up until it is evicted, for about a second, and not for as long as it
// is stopped. When it goes on, it receives again, and reports what it has missed.
func TestStoppedMember(t *testing.T) {
	for _, language := range []string{"python", "node"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, language)
			pid := s.listener.cmd.Process.Pid
			const rate, stopFor = 10_000, 3 * time.Second
			at := make(chan time.Time, 1)
			go func() {
				time.Sleep(500 * time.Millisecond)
				at <- time.Now()
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				time.Sleep(stopFor)
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}()
			s.publish(t, rate*45/10, 500, rate)
			stopped := <-at
			// 1.2 s is the bar; a host that does much else has twice as long.
			back, silence := time.Duration(0), time.Duration(0)
			s.mu.Lock()
			for i := 1; i < len(s.came); i++ {
				if d := s.came[i].Sub(s.came[i-1]); d > silence && s.came[i].After(stopped) {
					back, silence = s.came[i].Sub(stopped), d
				}
			}
			s.mu.Unlock()
			got := s.between(stopped.Add(2400*time.Millisecond), stopped.Add(stopFor))
			r := s.end(t)
			t.Logf("silence of %v, over %v after the stop; %d messages from 2.4 to 3 s after it; the member received %d and lost %d",
				silence, back, got, r.Got, r.Lost)
			if got < rate*6/10/2 {
				t.Errorf("2.4 s after the stop %d messages come in 600 ms, of %d a second", got, rate)
			}
			if silence < 200*time.Millisecond {
				t.Errorf("the stopped member held nobody up: longest silence %v", silence)
			}
			if r.Got+r.Lost != s.count || r.Lost == 0 {
				t.Errorf("the stopped member received %d and lost %d of %d", r.Got, r.Lost, s.count)
			}
		})
	}
}

// A member that reads at a tenth of the rate, or less, does what its setting for slow consumers says.
func TestSlowReader(t *testing.T) {
	const count, reads = 4000, 2000
	// What its queue, and the windows of sender and receiver hold is not waited for.
	const held = 256 + 2*(512<<10)/1000
	for _, test := range []struct{ language, slowConsumer string }{
		{"python", "PAUSE"}, {"node", "PAUSE"}, {"node", "DROP"}, {"node", "DISCONNECT"},
	} {
		t.Run(test.language+" "+test.slowConsumer, func(t *testing.T) {
			t.Parallel()
			args := []string{fmt.Sprint(reads)}
			if test.language == "node" {
				args = append(args, test.slowConsumer)
			}
			s := newStage(t, test.language, args...)
			took := s.publish(t, count, 1000, 0)
			r := s.end(t)
			t.Logf("the others took %v; the member received %d and lost %d", took, r.Got, r.Lost)
			least := time.Duration(float64(count-held) / reads * 1e9)
			switch test.slowConsumer {
			case "PAUSE":
				if r.Got != count || r.Lost != 0 {
					t.Errorf("it received %d and lost %d of %d", r.Got, r.Lost, count)
				}
				if took < least/2 {
					t.Errorf("the others took %v: nobody waited for it", took)
				}
			case "DROP":
				if r.Got+r.Lost != count || r.Lost == 0 {
					t.Errorf("it received %d and lost %d of %d", r.Got, r.Lost, count)
				}
			default:
				if r.Got == 0 || r.Got > 2*256 {
					t.Errorf("it received %d, with a queue of 256 messages", r.Got)
				}
			}
			if test.slowConsumer != "PAUSE" && took > least {
				t.Errorf("the others took %v: they waited for it", took)
			}
		})
	}
}
