package raw

import (
	_ "github.com/activeblaze/blaze/xdp/asavie" // for Socket "asavie"

	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/xdp"
)

// pair is a rig of two hosts, or the test is skipped in one line.
func pair(t *testing.T) *rig.Rig {
	t.Helper()
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(rig.Veth, 2, rig.Options{})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestXDP(t *testing.T) {
	r := pair(t)
	for _, x := range []XDP{{}, {Mode: "native"}, {Socket: "asavie"}} {
		for _, size := range []int{MinSize, 1344, MaxSize} {
			t.Run(x.Socket+x.Mode, func(t *testing.T) { until(t, func() string { return measureXDP(t, r, x, size) }) })
		}
	}
}

func measureXDP(t *testing.T, r *rig.Rig, x XDP, size int) string {
	cfg := config(t)
	cfg.Interface, cfg.XDP, cfg.Size, cfg.Duration = rig.Interface, &x, size, 300*time.Millisecond
	flood := cfg // with a port of its own, so that stragglers of the first disturb nothing
	flood.Group = netip.AddrPortFrom(cfg.Group.Addr(), cfg.Group.Port()^1)
	done := make(chan error, 1)
	var got Received
	go func() {
		done <- r.Host(1).Run(func() (err error) {
			if err = Responder(t.Context(), cfg); err == nil {
				got, err = Receiver(t.Context(), flood)
			}
			return err
		})
	}()
	var p Pings
	var s Sent
	err := r.Host(0).Run(func() (err error) {
		if p, err = Latency(t.Context(), cfg, func(ns int64) {
			if ns <= 0 {
				t.Errorf("a round trip of %d ns", ns)
			}
		}); err == nil {
			s, err = Sender(t.Context(), flood)
		}
		return err
	})
	if err = errors.Join(err, <-done); err != nil { // one end's error may be why the other has one
		supported(t, err)
	}
	want := "generic copy"
	if x.Mode == "native" {
		want = "native copy"
	}
	if p.Mode != want {
		t.Errorf("%d bytes: %+v, want mode %q", size, p, want)
	}
	what := fmt.Sprintf("%d bytes: %+v, %+v of %+v", size, p, got, s)
	if got.Datagrams+got.Lost > s.Datagrams {
		t.Error(what)
	}
	if p.Count == 0 || got.Datagrams == 0 || got.PerSecond() <= 0 {
		return what
	}
	return ""
}

// What is not the group's passes the program, and the interface has none afterwards.
func TestXDPLeavesTheRestAlone(t *testing.T) {
	r := pair(t)
	cfg := config(t)
	cfg.Interface, cfg.XDP = rig.Interface, &XDP{}
	var e end
	var l net.PacketConn
	if err := r.Host(1).Run(func() (err error) {
		if e, err = open(cfg); err == nil {
			l, err = net.ListenPacket("udp4", rig.Addr(1).String()+":0")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := r.Host(0).Run(func() error {
		c, err := net.Dial("udp4", l.LocalAddr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	l.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := l.ReadFrom(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("the kernel's socket got %q, %v", b[:n], err)
	}
	e.close()
	if err := r.Host(1).Run(func() error {
		e, err := open(cfg) // fails where a program or a socket is left
		if err == nil {
			e.close()
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// An end that answers each of several packets that came at once gives every buffer back to where
// it belongs: one that receives and is sent from at the same time loses its headers.
func TestXDPAnswersABatch(t *testing.T) {
	r := pair(t)
	for _, socket := range []string{"own", "asavie"} {
		t.Run(socket, func(t *testing.T) {
			cfg := config(t)
			cfg.Interface, cfg.XDP = rig.Interface, &XDP{Socket: socket}
			var ends [2]end
			for i := range ends {
				supported(t, r.Host(i).Run(func() (err error) {
					ends[i], err = open(cfg)
					return err
				}))
				defer ends[i].close()
			}
			answerBatches(t, ends[0], ends[1])
		})
	}
}

func answerBatches(t *testing.T, ask, answer end) {
	const asked = 8                   // at once
	for round := range uint64(1500) { // the fill ring goes round more than once
		for i := range uint64(asked) {
			if err := ask.say(kindPing, round*asked+i); err != nil {
				t.Fatal(err)
			}
		}
		pong := func(kind, n uint64) {
			if err := answer.say(kindPong, n); err != nil {
				t.Error(err)
			}
		}
		answered := uint64(0)
		count := func(kind, n uint64) {
			if kind != kindPong || n != round*asked+answered {
				t.Fatalf("round %d: datagram %d of kind %d after %d answers", round, n, kind, answered)
			}
			answered++
		}
		for start := time.Now(); answered < asked; {
			if _, err := answer.receive(pong); err != nil {
				t.Fatal(err)
			}
			if _, err := ask.receive(count); err != nil {
				t.Fatal(err)
			}
			if time.Since(start) > 5*time.Second {
				t.Fatalf("round %d: %d of %d answers", round, answered, asked)
			}
		}
	}
}

// lateSocket receives as many packets as it is asked for, each into the next buffer, and its fill
// ring has room for less than what it gave: the kernel reports late that it has taken buffers.
type lateSocket struct {
	xdp.Socket
	next     uint64
	returned map[uint64]int
}

func (s *lateSocket) NeedPoll() bool { return false }
func (s *lateSocket) Recv(p []unix.XDPDesc) int {
	for i := range p {
		p[i] = unix.XDPDesc{Addr: s.next*xdp.BareBuffer + xdp.FrameStart, Len: headers + MinSize}
		s.next++
	}
	return len(p)
}
func (s *lateSocket) Fill(a []uint64) int {
	n := max(0, len(a)-batch/2)
	for _, at := range a[:n] {
		s.returned[at/xdp.BareBuffer]++
	}
	return n
}

// A fill ring that has no room yet gets every buffer later, once.
func TestXDPKeepsWhatTheFillRingDoesNotTake(t *testing.T) {
	const rounds = 20
	s := &lateSocket{returned: map[uint64]int{}}
	e := &bare{s: &xdp.Bare{Socket: s}, size: MinSize, memory: make([]byte, rounds*batch*xdp.BareBuffer)}
	for range rounds {
		if _, err := e.receive(func(_, _ uint64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if got := uint64(len(s.returned) + e.owed); got != s.next || e.owed == 0 {
		t.Errorf("%d buffers were received into, %d given back, %d are owed", s.next, len(s.returned), e.owed)
	}
	for id, n := range s.returned {
		if n != 1 || id >= s.next {
			t.Errorf("buffer %d was given back %d times", id, n)
		}
	}
}

// On a network an end gets its own packets, unless it asks not to; then it takes a batch at a time once two reads in a
// row have found something.
func TestOwnPackets(t *testing.T) {
	r := pair(t)
	for _, off := range []bool{false, true} {
		cfg := config(t)
		cfg.Interface, cfg.NoLoop = rig.Interface, off
		if err := r.Host(0).Run(func() error {
			e, err := open(cfg)
			if err != nil {
				return err
			}
			defer e.close()
			const sent = 10
			for i := range sent {
				if err := e.say(kindData, uint64(i)); err != nil {
					return err
				}
			}
			var numbers []uint64
			reads := 0
			for end := time.Now().Add(5 * time.Second); len(numbers) < sent && time.Now().Before(end); {
				n, err := e.receive(func(_, number uint64) { numbers = append(numbers, number) })
				if err != nil {
					return err
				}
				if n > 0 {
					reads++
				} else if off {
					break // what comes back comes at once
				}
			}
			if off && len(numbers) > 0 || !off && (len(numbers) != sent || numbers[sent-1] != sent-1 || reads != queues+1) {
				t.Errorf("no loop %v: %v came in %d reads", off, numbers, reads)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
