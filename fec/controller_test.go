package fec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Residual against the sum that it comes from, and against known values of the binomial tail.
func TestResidual(t *testing.T) {
	for _, c := range []struct {
		k, m int
		p    float64
	}{{20, 1, 0.01}, {20, 2, 0.01}, {20, 2, 0.3}, {64, 12, 0.1}, {1, 1, 0.5}, {1, 5, 1e-3}, {32, 8, 0.2}, {64, 64, 0.7}} {
		n, want := c.k+c.m, 0.0
		for l := c.m + 1; l <= n; l++ {
			// Of l losses among n symbols, l·k/n are expected to be source symbols.
			binomial := 1.0
			for i := range l {
				binomial *= float64(n-i) / float64(i+1)
			}
			want += binomial * math.Pow(c.p, float64(l)) * math.Pow(1-c.p, float64(n-l)) * float64(l) / float64(n)
		}
		if got := Residual(c.k, c.m, c.p); math.Abs(got-want) > 1e-9*want {
			t.Errorf("Residual(%d, %d, %v) = %v, want %v", c.k, c.m, c.p, got, want)
		}
	}
	for _, p := range []float64{0, 0.01, 1} {
		if got := Residual(20, 0, p); got != p {
			t.Errorf("without repair symbols, %v stays as %v", p, got)
		}
	}
	if Residual(20, 2, 0) != 0 || Residual(20, 2, 1) != 1 {
		t.Error("Residual at the ends")
	}
}

// The rule at the losses that the issue names, default settings.
func TestRule(t *testing.T) {
	c := NewController(ControllerConfig{})
	for _, r := range []struct {
		loss           float64
		full, ten, one int
	}{
		{0, 1, 1, 1}, {1e-4, 1, 1, 1}, {0.002, 1, 1, 1}, {0.005, 2, 2, 1}, {0.01, 2, 2, 1}, {0.015, 2, 2, 1}, {0.02, 3, 2, 1},
		{0.05, 4, 3, 2}, {0.1, 6, 4, 2}, {0.19, 6, 6, 2}, {1, 6, 6, 6},
	} {
		c.loss = r.loss
		if full, ten, one := c.Repairs(20), c.Repairs(10), c.Repairs(1); full != r.full || ten != r.ten || one != r.one {
			t.Errorf("loss %v: %d, %d and %d repair symbols for 20, 10 and 1, want %d, %d and %d", r.loss, full, ten, one, r.full, r.ten, r.one)
		}
	}
}

func TestBoundsOfController(t *testing.T) {
	for _, r := range []struct {
		name        string
		cfg         ControllerConfig
		clean, lost int // repair symbols of a full block at no loss and at 30 %
	}{
		{"defaults", ControllerConfig{}, 1, 6},
		{"none on a clean network", ControllerConfig{Min: -1}, 0, 6},
		{"min 3", ControllerConfig{Min: 3}, 3, 6},
		{"min above the default of max", ControllerConfig{Min: 9}, 9, 9},
		{"budget of 10 %", ControllerConfig{Budget: 0.1}, 1, 2},
		{"budget goes before min", ControllerConfig{Min: 4, Budget: 0.1}, 2, 2},
		{"budget without room for any", ControllerConfig{Budget: 0.01}, 0, 0},
		{"fixed", ControllerConfig{Fixed: 3}, 3, 3},
	} {
		c := NewController(r.cfg)
		c.loss = 0
		clean := c.Repairs(20)
		c.loss = 0.3
		if lost := c.Repairs(20); clean != r.clean || lost != r.lost || c.Max() < lost {
			t.Errorf("%s: %d when clean and %d at 30 %%, Max %d; want %d and %d", r.name, clean, lost, c.Max(), r.clean, r.lost)
		}
		for k := 1; k < 20; k++ {
			if m := c.Repairs(k); r.lost > 0 && m < 1 || m > c.Max() {
				t.Errorf("%s: %d repair symbols for a block of %d", r.name, m, k)
			}
		}
	}
	for _, cfg := range []ControllerConfig{{Source: 65}, {Source: -1}, {Min: 3, Max: 2}, {Source: 64, Max: 65}, {Target: 2}, {Min: -2}, {Budget: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is accepted", cfg)
				}
			}()
			NewController(cfg)
		}()
	}
}

// lossy reports to a controller what a receiver with independent losses sees.
type lossy struct {
	c                    *Controller
	id                   int
	sent, missed, stayed uint64
}

// run sends blocks of 20, each report after a batch of them, and returns the mean number of
// repair symbols. burst is the mean length of a run of losses; 1 means independent ones.
func (l *lossy) run(rng *rand.Rand, blocks, batch int, p, burst float64) (mean float64) {
	bad := false
	drop := func() bool {
		if burst <= 1 {
			return rng.Float64() < p
		}
		// Gilbert's model: in the bad state all is lost.
		if bad {
			bad = rng.Float64() >= 1/burst
		} else {
			bad = rng.Float64() < p/(1-p)/burst
		}
		return bad
	}
	total := 0
	for b := range blocks {
		m := l.c.Repairs(20)
		total += m
		lost, source := 0, 0
		for i := range 20 + m {
			if drop() {
				lost++
				if i < 20 {
					source++
				}
			}
		}
		l.sent += 20
		l.missed += uint64(source)
		if lost > m {
			l.stayed += uint64(source)
		}
		if b%batch == batch-1 {
			l.c.Report(l.id, l.sent, l.missed, l.stayed)
		}
	}
	return float64(total) / float64(blocks)
}

// Loss that steps from 0 to 1, 5, 10 % and back: up within 50 blocks, at the floor within 1,000
// blocks of the last step, for slow and for frequent reports.
func TestSteps(t *testing.T) {
	for seed := range uint64(10) {
		for _, batch := range []int{1, 5, 50} {
			c := NewController(ControllerConfig{})
			l := &lossy{c: c, id: c.Join()}
			rng := rand.New(rand.NewPCG(seed, 1))
			c.Report(l.id, 0, 0, 0)
			l.run(rng, 1000, batch, 0, 1)
			if m := c.Repairs(20); m != 1 {
				t.Fatalf("seed %d: %d repair symbols on a clean network", seed, m)
			}
			for _, step := range []struct {
				loss     float64
				least    int // 60 blocks after the step
				from, to float64
			}{{0.01, 1, 1.9, 2.4}, {0.05, 3, 3.8, 5}, {0.1, 4, 5, 6}} {
				l.run(rng, 100, batch, step.loss, 1)
				if m := c.Repairs(20); m < step.least {
					t.Errorf("seed %d, reports every %d blocks: %d repair symbols 100 blocks after the step to %v", seed, batch, m, step.loss)
				}
				l.run(rng, 400, batch, step.loss, 1)
				if mean := l.run(rng, 1500, batch, step.loss, 1); mean < step.from || mean > step.to {
					t.Errorf("seed %d, reports every %d blocks: %.2f repair symbols at %v", seed, batch, mean, step.loss)
				}
			}
			l.run(rng, 100, batch, 0, 1)
			if m := c.Repairs(20); m < 3 {
				t.Errorf("seed %d: down to %d within 100 blocks: too fast", seed, m)
			}
			l.run(rng, 900, batch, 0, 1)
			if m := c.Repairs(20); m != 1 {
				t.Errorf("seed %d: %d repair symbols 1,000 blocks after the losses ended", seed, m)
			}
		}
	}
}

// From any loss to none, the floor is reached within 1,000 blocks, also where it is no repair
// symbol at all.
func TestFloor(t *testing.T) {
	for _, cfg := range []ControllerConfig{{}, {Min: -1}} {
		for _, loss := range []float64{0.01, 0.2, 1} {
			c := NewController(cfg)
			l := &lossy{c: c, id: c.Join()}
			rng := rand.New(rand.NewPCG(9, 1))
			l.run(rng, 2000, 5, loss, 1)
			if c.Repairs(20) < 2 {
				t.Errorf("loss %v: %d repair symbols", loss, c.Repairs(20))
			}
			l.run(rng, 1000, 5, 0, 1)
			if m := c.Repairs(20); m != max(cfg.Min, 0)+1 && cfg.Min != -1 || cfg.Min == -1 && m != 0 {
				t.Errorf("Min %d: %d repair symbols 1,000 blocks after a loss of %v", cfg.Min, m, loss)
			}
		}
	}
}

// Losses in bursts leave more unmended than independent ones; then there are more repair symbols
// than the loss alone asks for.
func TestBursts(t *testing.T) {
	mean := func(burst float64) float64 {
		c := NewController(ControllerConfig{})
		l := &lossy{c: c, id: c.Join()}
		rng := rand.New(rand.NewPCG(10, 1))
		l.run(rng, 3000, 5, 0.01, burst)
		return l.run(rng, 6000, 5, 0.01, burst)
	}
	single, bursts := mean(1), mean(3)
	t.Logf("1 %% loss: %.2f repair symbols for 20 with independent losses, %.2f in bursts of 3", single, bursts)
	if bursts < single+1 {
		t.Errorf("%.2f repair symbols against bursts, %.2f against single losses", bursts, single)
	}
}

// The worst receiver counts; who leaves no longer does; a receiver that begins anew, and reports
// that no receiver can make, do no harm.
func TestReports(t *testing.T) {
	c := NewController(ControllerConfig{})
	a, b := c.Join(), c.Join()
	report := func(id int, n int, missedEach uint64) {
		r := &c.receivers[id]
		for range n {
			c.Report(id, r.sent+100, r.missed+missedEach, r.stayed)
		}
	}
	report(a, 200, 0)
	report(b, 200, 10)
	if got := c.Loss(); math.Abs(got-0.1) > 0.01 {
		t.Errorf("loss %v, the worst receiver has 10 %%", got)
	}
	c.Leave(b)
	report(a, 2, 0)
	if got := c.Loss(); got > 0.001 {
		t.Errorf("loss %v after the one that had it has left", got)
	}
	if id := c.Join(); id != b {
		t.Errorf("place %d is not used again", b)
	}
	c.Report(b, math.MaxUint64, math.MaxUint64, math.MaxUint64)
	c.Report(b, 5, 0, 0)
	c.Report(b, 10, math.MaxUint64, math.MaxUint64)
	if got := c.Loss(); !(got >= 0 && got <= 1) {
		t.Errorf("loss %v", got)
	}
	if m := c.Repairs(20); m < 0 || m > c.Max() {
		t.Errorf("%d repair symbols", m)
	}
	if n := testing.AllocsPerRun(20, func() { report(a, 1, 1); c.Repairs(20) }); n != 0 {
		t.Errorf("%v allocations a report", n)
	}
}
