package blaze_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
)

// What was opened shows in Stats from Init on.
func TestStatsAfterInit(t *testing.T) {
	socketsOnly(t)
	c, err := blaze.NewChannel(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	if err := c.Init(); err != nil {
		t.Fatal(err)
	}
	s := c.Stats()
	if s.State != blaze.Initialized || s.Transport != "udp" || s.Mode != "sockets" || s.Socket != "kernel" || s.Reason == "" || s.Payload != 1472 || s.Room == 0 {
		t.Errorf("%v: transport %q, mode %q, socket %q, reason %q, payload %d, room %d", s.State, s.Transport, s.Mode, s.Socket, s.Reason, s.Payload, s.Room)
	}
}

// That a channel stays on loopback is logged once in a process, and not at all where the URI was left
// out.
func TestLoopbackIsLoggedOnce(t *testing.T) {
	socketsOnly(t)
	var log bytes.Buffer
	count := func(uri string) int {
		cfg := testConfig(t)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if uri != "" {
			cfg.BroadcastURI = uri
		}
		c, err := blaze.NewChannel(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Init(); err != nil {
			t.Fatal(err)
		}
		c.Shutdown()
		return strings.Count(log.String(), "stays on loopback")
	}
	if n := count("udp://239.255.66.76:6676"); n != 0 { // the default
		t.Errorf("%d lines for the default URI:\n%s", n, log.String())
	}
	for range 3 {
		if n := count(""); n > 1 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	}
}

// An error says what is wrong once, behind one prefix.
func TestErrorsHaveOnePrefix(t *testing.T) {
	socketsOnly(t)
	cfg := testConfig(t)
	for _, uri := range []string{
		cfg.BroadcastURI + "?interface=none", strings.Replace(cfg.BroadcastURI, "udp", "xdp", 1) + "?interface=none",
		strings.Replace(cfg.BroadcastURI, "udp", "auto", 1) + "?interface=none", "pointcast://192.0.2.1:6676",
	} {
		cfg.BroadcastURI = uri
		c, err := blaze.NewChannel(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Init()
		if err == nil {
			c.Shutdown()
			t.Fatalf("%s was opened", uri)
		}
		text := err.Error()
		for _, twice := range []string{"blaze: ", "configuration", "udp: ", "xdp: ", "bpf: "} {
			most := 0
			if twice == "blaze: " || twice == "configuration" {
				most = 1
			}
			if strings.Count(text, twice) > most {
				t.Errorf("%q has %q more often than %d times", text, twice, most)
			}
		}
	}
	c, err := blaze.NewChannel(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publisher("a..b"); err == nil || err.Error() != `blaze: bad topic: "a..b": an element is empty` {
		t.Errorf("%v", err)
	}
}
