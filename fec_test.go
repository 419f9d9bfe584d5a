package blaze_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

// lossy makes every channel of cfg lose a share of what it receives.
func lossy(cfg *blaze.Config, p float64) { hook.Set(cfg, hook.Options{Drop: p, Seed: 11}) }

// codedRun sends numbered messages to three receivers and checks that each number comes once, in
// order, or is told lost in its place. It returns what was lost, and all members' counters.
func codedRun(t *testing.T, cfg blaze.Config, count int) (lost uint64, stats []blaze.Stats) {
	t.Helper()
	cfg.NoSelfDelivery = true
	a := started(t, cfg)
	const receivers = 3
	var total, done atomic.Uint64 // over all receivers: lost, and come or lost
	channels := []*blaze.Channel{a}
	for range receivers {
		want := uint64(1)
		c := started(t, cfg)
		channels = append(channels, c)
		if _, err := c.SubscribePayload("n", func(d *blaze.Delivery) {
			if n := binary.LittleEndian.Uint64(d.Payload); n != want || d.Sequence != want {
				t.Errorf("got %d, number %d, want %d", n, d.Sequence, want)
			}
			want++
			done.Add(1)
		}, blaze.Inline(), blaze.OnLoss(func(l blaze.Loss) {
			n := l.Last - l.First + 1
			if l.First != want || l.Reason != blaze.LossUnrepaired {
				t.Errorf("%v, want %d", l, want)
			}
			want = l.Last + 1
			total.Add(n)
			done.Add(n)
		})); err != nil {
			t.Fatal(err)
		}
	}
	p := publisher(t, a, "n", receivers)
	payload := make([]byte, 600)
	for i := range count {
		binary.LittleEndian.PutUint64(payload, uint64(i+1))
		offer(t, p, payload)
		if cfg.Protocol == blaze.FEC && i%50 == 49 {
			time.Sleep(500 * time.Microsecond) // FEC has no flow control: leave the sockets room
		}
	}
	eventually(t, "all delivered or told lost", func() bool { return done.Load() == receivers*uint64(count) })
	for _, c := range channels {
		stats = append(stats, c.Stats())
	}
	return total.Load(), stats
}

// Hybrid over sockets that lose 5 %: every message, once and in order, at all receivers.
func TestOverLossyHybrid(t *testing.T) {
	cfg := testConfig(t)
	lossy(&cfg, 0.05)
	cfg.Protocol = blaze.Hybrid
	lost, stats := codedRun(t, cfg, 8000)
	s := stats[0].Nack
	rebuilt, missed := uint64(0), uint64(0)
	for _, r := range stats[1:] {
		rebuilt += r.Nack.Rebuilt
		missed += r.Nack.Missed
		if r.Nack.BlocksCorrupt != 0 {
			t.Errorf("%d corrupt blocks", r.Nack.BlocksCorrupt)
		}
	}
	t.Logf("%d missed, %d rebuilt, %d repairs, %d + %d symbols for %d datagrams", missed, rebuilt,
		s.RepairsMulticast+s.RepairsUnicast, s.ParityDatagrams, s.ParityAsked, s.Datagrams)
	if lost != 0 || rebuilt == 0 || s.ParityDatagrams == 0 {
		t.Errorf("%d lost, %d rebuilt, %d repair symbols", lost, rebuilt, s.ParityDatagrams)
	}
}

// FEC over sockets that lose 5 %: nobody asks for anything, most comes back, the rest is told.
func TestOverLossyFEC(t *testing.T) {
	cfg := testConfig(t)
	lossy(&cfg, 0.05)
	cfg.Protocol = blaze.FEC
	cfg.FEC = blaze.FECConfig{SourceSymbols: 16, RepairSymbols: 4, NoAdapt: true}
	lost, stats := codedRun(t, cfg, 8000)
	rebuilt, missed, naks := uint64(0), uint64(0), uint64(0)
	for _, r := range stats[1:] {
		rebuilt += r.Nack.Rebuilt
		missed += r.Nack.Missed
		naks += r.Nack.NaksSent
	}
	t.Logf("%d missed, %d rebuilt, %d messages lost", missed, rebuilt, lost)
	if naks != 0 || rebuilt < missed*3/4 {
		t.Errorf("%d NAKs, %d of %d rebuilt", naks, rebuilt, missed)
	}
}

// TopicConfig selects the protocol topic by topic.
func TestCodedByTopic(t *testing.T) {
	cfg := testConfig(t)
	cfg.Topics = []blaze.TopicConfig{{Pattern: "f.>", Protocol: blaze.FEC}, {Pattern: "h.>", Protocol: blaze.Hybrid}}
	a := started(t, cfg)
	cfg.Topics = nil
	b := started(t, cfg) // it has no such topics itself, and follows
	got := make(chan string, 10)
	if _, err := b.SubscribePayload(">", func(d *blaze.Delivery) { got <- d.Topic + " " + string(d.Payload) }); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"f.x", "h.x", "n.x"} {
		offer(t, publisher(t, a, topic, 1), []byte("1"))
		if s := next(t, got, "message on "+topic); s != topic+" 1" {
			t.Errorf("got %q", s)
		}
	}
}
