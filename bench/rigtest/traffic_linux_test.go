package rigtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/workload"
	"golang.org/x/sys/unix"
)

// The host is not harmed. While the group flows at half the measured maximum, a TCP transfer over
// the same interface keeps at least a quarter of its idle rate, and no ping is lost; at the maximum
// both still make progress. In CI and in the short form the transfer may lose twice as much.
func TestHostIsNotHarmed(t *testing.T) {
	share, duration, enough := 0.25, 3*time.Second, int64(2<<30)
	if os.Getenv("CI") != "" || testing.Short() {
		share = 0.125
	}
	if testing.Short() {
		duration, enough = 500*time.Millisecond, 256<<20
	}
	r := build(t, rig.Veth, 2, rig.Options{})
	flow := func(rate float64, window func(open bool)) *measure.Result {
		t.Helper()
		t.Setenv(role, "receiver")
		res, _, err := workload.Run(t.Context(), workload.Throughput, workload.Options{
			URI: "xdp://239.255.66.76:6676", Protocol: blaze.NACK, Size: 1344, Rate: rate, Duration: duration, Idle: "backoff",
			Rig: rig.Veth, Network: r, Receiver: []string{os.Args[0]}, Stderr: os.Stderr,
			// Nothing flows while members start, and while they end.
			Progress: func(what string) { window(strings.HasPrefix(what, "throughput")) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if !res.Exact() {
			t.Errorf("at %.0f messages/s: %d lost, %d duplicated, %d reordered", rate, res.Lost, res.Duplicates, res.Reordered)
		}
		return res
	}
	b := &beside{r: r, reached: make(chan struct{}, 1)}
	b.goal.Store(math.MaxInt64)
	b.serve(t)
	idle := b.measure(t, func(window func(bool)) { window(true); b.await(t, enough); window(false) })
	top := flow(0, func(bool) {}).MsgsPerSecond
	half := b.measure(t, func(window func(bool)) { flow(top/2, window) })
	full := b.measure(t, func(window func(bool)) { flow(0, window) })
	t.Logf("the group alone %.0f messages/s of 1,344 bytes; TCP alone %v; beside half of that %v; beside all %v", top, idle, half, full)
	if half.rate < share*idle.rate {
		t.Errorf("beside the group at half its maximum TCP keeps %.2f of its rate, want %v: %v of %v", half.rate/idle.rate, share, half, idle)
	}
	if half.lost > 0 {
		t.Errorf("%d of %d pings were lost beside the group at half its maximum", half.lost, half.pings)
	}
	if full.rate == 0 || full.lost == full.pings {
		t.Errorf("beside the group at its maximum nothing else gets through: %v", full)
	}
}

// beside is the rest of the host's traffic: one TCP transfer from host 0 to host 1, and pings.
type beside struct {
	r        *rig.Rig
	listener net.Listener
	received atomic.Int64 // bytes
	goal     atomic.Int64 // of received
	reached  chan struct{}
}

// await waits until so many bytes more have been received.
func (b *beside) await(t *testing.T, bytes int64) {
	t.Helper()
	b.goal.Store(b.received.Load() + bytes)
	select {
	case <-b.reached:
	case <-time.After(time.Minute):
		t.Errorf("not %d bytes got through in a minute", bytes)
	}
}

// passed is what got through.
type passed struct {
	rate        float64 // bytes a second over TCP
	pings, lost int
}

func (p passed) String() string {
	return fmt.Sprintf("%.0f MB/s and %d of %d pings", p.rate/1e6, p.pings-p.lost, p.pings)
}

// serve takes what comes over TCP, on host 1.
func (b *beside) serve(t *testing.T) {
	t.Helper()
	if err := b.r.Host(1).Run(func() (err error) {
		b.listener, err = net.Listen("tcp4", rig.Addr(1).String()+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.listener.Close() })
	go func() {
		for {
			c, err := b.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf)
					if goal := b.goal.Load(); b.received.Add(int64(n)) >= goal && b.goal.CompareAndSwap(goal, math.MaxInt64) {
						b.reached <- struct{}{}
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
}

// measure runs f beside a transfer and pings, and returns what got through while f held its window
// open.
func (b *beside) measure(t *testing.T, f func(window func(open bool))) passed {
	t.Helper()
	var c net.Conn
	if err := b.r.Host(0).Run(func() (err error) {
		c, err = net.DialTimeout("tcp4", b.listener.Addr().String(), 5*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer c.Close()
		for buf := make([]byte, 64<<10); ctx.Err() == nil; {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := c.Write(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
		}
	}()
	var p passed
	pinged := make(chan error, 1)
	go func() {
		pinged <- b.r.Host(0).Run(func() error {
			every := time.NewTicker(20 * time.Millisecond)
			defer every.Stop()
			for ; ctx.Err() == nil; <-every.C {
				p.pings++
				back, err := ping(1, uint16(p.pings))
				if err != nil {
					return err
				}
				if !back {
					p.lost++
				}
			}
			return nil
		})
	}()
	var began time.Time
	var before int64
	f(func(open bool) {
		switch {
		case open:
			began, before = time.Now(), b.received.Load()
		case !began.IsZero():
			p.rate, began = float64(b.received.Load()-before)/time.Since(began).Seconds(), time.Time{}
		}
	})
	stop()
	<-sent
	if err := <-pinged; err != nil {
		t.Fatal(err)
	}
	return p
}

// pings sends n pings from host 0 and counts those that do not come back.
func pings(t *testing.T, r *rig.Rig, to, n int) (lost int) {
	t.Helper()
	if err := r.Host(0).Run(func() error {
		for i := range n {
			back, err := ping(to, uint16(i))
			if err != nil {
				return err
			}
			if !back {
				lost++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lost
}

// ping sends an ICMP echo request (RFC 792) to a host of the rig and waits up to a second for the
// answer. The calling thread is in a host.
func ping(to int, seq uint16) (back bool, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	const request, id = 8, 0x626c
	b := []byte{request, 0, 0, 0, id >> 8, id & 0xff, byte(seq >> 8), byte(seq)}
	sum := uint32(request<<8) + id + uint32(seq)
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	at := &unix.SockaddrInet4{Addr: rig.Addr(to).As4()}
	if err := unix.Sendto(fd, b, 0, at); err != nil {
		return false, err
	}
	in := make([]byte, 128)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		left := unix.NsecToTimeval(max(time.Until(end).Nanoseconds(), 1000))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &left); err != nil {
			return false, err
		}
		n, _, err := unix.Recvfrom(fd, in, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case err != nil:
			return false, err
		}
		// An IPv4 header and the answer, of type 0.
		if n >= 28 && in[20] == 0 && string(in[24:28]) == string(b[4:8]) {
			return true, nil
		}
	}
	return false, nil
}
