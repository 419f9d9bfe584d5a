package raw

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func config(t *testing.T) Config {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addr := netip.AddrFrom4([4]byte{239, 254, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	return Config{Group: netip.AddrPortFrom(addr, uint16(c.LocalAddr().(*net.UDPAddr).Port)), Size: 64, Duration: 100 * time.Millisecond}
}

// supported skips where the other ends cannot be opened at all.
func supported(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// until repeats try until it finds nothing to say. A host that is busy elsewhere may keep an end
// from its processor for as long as a measurement takes; it does not do so time after time.
func until(t *testing.T, try func() string) {
	t.Helper()
	wrong := ""
	for range 10 {
		if wrong = try(); wrong == "" {
			return
		}
	}
	t.Error(wrong)
}

func TestLatency(t *testing.T) {
	for _, off := range []bool{false, true} {
		until(t, func() string { return latency(t, off) })
	}
}

func latency(t *testing.T, off bool) string {
	cfg := config(t)
	cfg.NoLoop = off
	done := make(chan error, 1)
	go func() { done <- Responder(t.Context(), cfg) }()
	var recorded uint64
	p, err := Latency(t.Context(), cfg, func(ns int64) {
		if recorded++; ns <= 0 || ns > int64(time.Second) {
			t.Errorf("a round trip of %d ns", ns)
		}
	})
	supported(t, err)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p.Count != recorded {
		t.Errorf("%+v, %d recorded", p, recorded)
	}
	if p.Count == 0 || p.Lost > p.Count/10 {
		return fmt.Sprintf("%+v", p)
	}
	return ""
}

func TestThroughput(t *testing.T) {
	for _, gso := range []bool{false, true} {
		for _, size := range []int{MinSize, 1344, MaxSize} {
			until(t, func() string { return throughput(t, gso, size) })
		}
	}
}

func throughput(t *testing.T, gso bool, size int) string {
	cfg := config(t)
	cfg.GSO, cfg.Size = gso, size
	type result struct {
		r   Received
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := Receiver(t.Context(), cfg)
		done <- result{r, err}
	}()
	s, err := Sender(t.Context(), cfg)
	supported(t, err)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	// Seconds may be less than asked for where the receiver had to wait for a processor.
	r := got.r
	what := fmt.Sprintf("gso=%v size=%d: %+v of %+v", gso, size, r, s)
	if r.Datagrams+r.Lost > s.Datagrams || r.Seconds > 10 {
		t.Error(what)
	}
	if r.Datagrams == 0 || r.Seconds <= 0 || r.PerSecond() <= 0 {
		return what
	}
	return ""
}

func TestNoPeer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Sender(ctx, config(t)); !errors.Is(err, ErrUnsupported) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := Responder(ctx, config(t)); !errors.Is(err, ErrUnsupported) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	good := config(t)
	for want, change := range map[string]func(*Config){
		"never hands an end":        func(c *Config) { c.XDP, c.Interface, c.NoLoop = &XDP{}, "lo", true },
		"no IPv4 multicast address": func(c *Config) { c.Group = netip.MustParseAddrPort("10.0.0.1:1") },
		"size 15 is outside":        func(c *Config) { c.Size = 15 },
		"size 1473 is outside":      func(c *Config) { c.Size = 1473 },
		"duration 0s":               func(c *Config) { c.Duration = 0 },
		`no interface "no-such"`:    func(c *Config) { c.Interface = "no-such" },
	} {
		cfg := good
		change(&cfg)
		if err := Responder(t.Context(), cfg); errors.Is(err, ErrUnsupported) {
			t.Skip(err)
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
