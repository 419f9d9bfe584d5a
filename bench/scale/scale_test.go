package scale

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Every dimension runs, in its short form and with few of everything: all that is sent is delivered, once.
func TestDimensions(t *testing.T) {
	for _, d := range dimensions() {
		d.points = d.points[:2]
		if d.name == Both {
			d.points = []int{1, 10}
		}
		points, err := d.measure(t.Context(), slice)
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		for i, p := range points {
			if p.Of != d.name || p.N != d.points[i] || p.Sender <= 0 || p.Receiver <= 0 || p.SenderRatio <= 0 || p.ReceiverRatio <= 0 {
				t.Errorf("%+v", p)
			}
			if p.N == p.Base && (p.SenderRatio != 1 || p.ReceiverRatio != 1) {
				t.Errorf("%+v against itself", p)
			}
		}
	}
}

// A scene sends what it is to send: to each topic and lane alike, and each message to one subscription.
func TestScene(t *testing.T) {
	for _, change := range []func(s *shape){
		func(s *shape) { s.topics, s.subs = 20, 20 },
		func(s *shape) { s.topics, s.subs, s.wild = 40, 20, "*" },
		func(s *shape) { s.topics, s.subs, s.wild = 20, 20, ">" },
		func(s *shape) { s.topics = 20 },
		func(s *shape) { s.lanes = 8 },
		func(s *shape) { s.senders, s.receivers, s.loss, s.burst, s.invoked = 4, 2, 0.01, 64, true },
	} {
		s := one
		change(&s)
		sc, err := newScene(s)
		if err != nil {
			t.Fatal(err)
		}
		var c cost
		for range 20 {
			sc.step(&c)
		}
		if err := sc.settle(); err != nil {
			t.Error(err)
		}
		if c.sent < 0.5*float64(20*s.burst) || c.received == 0 || c.send <= 0 || c.receive <= 0 {
			t.Errorf("%+v: %+v", s, c)
		}
		if n := len(sc.senders[0].member.Lanes()); n != s.lanes {
			t.Errorf("%+v: %d lanes are open", s, n)
		}
		lossy := s.loss > 0
		if repaired := sc.receivers[0].member.Nack().Stats().Repaired > 0; repaired != lossy {
			t.Errorf("%+v: repaired %v", s, repaired)
		}
	}
}

// What does not arrive is an error.
func TestSceneThatLoses(t *testing.T) {
	sc, err := newScene(one)
	if err != nil {
		t.Fatal(err)
	}
	sc.wire.loss = 1
	sc.step(new(cost))
	if err := sc.settle(); err == nil || !strings.Contains(err.Error(), "scale: ") {
		t.Errorf("%v", err)
	}
}

// A short run has what bars are about and nothing else, and a run ends with its context.
func TestRun(t *testing.T) {
	r, err := Run(t.Context(), Options{Duration: time.Millisecond, Short: true, Only: "subscriptions"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Scale.Points) != 2 || r.Scale.Point(Both, 1000) == nil || r.Scale.Point(Exact, 1) != nil || r.Kernel == "" {
		t.Errorf("%+v", r.Scale)
	}
	if _, err := Run(t.Context(), Options{Duration: time.Millisecond, Only: "weather"}); err == nil || !strings.Contains(err.Error(), `"weather"`) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Duration: time.Millisecond, Only: Topics}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
