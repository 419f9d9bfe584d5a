package totem

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// In the steady rotation nothing allocates: offering, ordering, delivering, holding and
// discarding messages of every kind, and asking for those that were lost.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		name string
		plan func(*Config)
		loss bool
		n    int
	}{
		{"plain", func(c *Config) { c.Plain = true }, false, 3},
		{"accelerated", func(*Config) {}, false, 3},
		{"with loss", func(*Config) {}, true, 3},
		{"with holds", func(c *Config) { c.Profile = Tuned(); c.Profile.Hold = time.Millisecond }, false, 3},
		{"alone", func(*Config) {}, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.n, c.plan)
			r.form()
			for _, n := range r.nodes {
				n.quiet = true
			}
			k := 0
			if c.loss {
				r.lost = func(_, _ *rigNode, d *wire.Datagram) bool {
					k++
					return k%17 == 0 && d.Frames()[0].Kind == wire.FrameData
				}
			}
			small, full, large := make([]byte, 64), make([]byte, 1300), make([]byte, 5000)
			round := func() {
				for i, n := range r.nodes {
					for range 5 {
						_ = n.p.Offer(r.now, "orders", wire.KindRaw, small, i == 0)
					}
					_ = n.p.Offer(r.now, "trades", wire.KindRaw, full, false)
					_ = n.p.Offer(r.now, "trades", wire.KindRaw, large, false)
				}
				r.run(time.Millisecond)
			}
			for range 300 {
				round()
			}
			before := r.nodes[0].count
			if n := testing.AllocsPerRun(200, round); n != 0 {
				t.Errorf("%v allocations a round", n)
			}
			if r.nodes[0].count < before+200*7 {
				t.Errorf("%d messages delivered", r.nodes[0].count-before)
			}
			r.done()
		})
	}
}

// BenchmarkRing is what the cores cost: three members that all send datagrams of one full message.
func BenchmarkRing(b *testing.B) {
	for _, size := range []int{64, 1344} {
		for _, plain := range []bool{false, true} {
			name := map[bool]string{false: "accelerated", true: "plain"}[plain]
			b.Run(name+map[int]string{64: "-64", 1344: "-1344"}[size], func(b *testing.B) {
				r := newRig(b, 3, func(c *Config) { c.Plain = plain; c.Window = 4 << 20 })
				r.form()
				for _, n := range r.nodes {
					n.quiet = true
				}
				payload := make([]byte, size)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				sent := 0
				for b.Loop() {
					n := r.nodes[sent%3]
					for n.p.Offer(r.now, "bench.ping", wire.KindRaw, payload, false) != nil {
						r.now += 1000
						r.turn()
					}
					sent++
				}
				b.ReportMetric(float64(r.nodes[0].p.Stats().Tokens*1000)/float64(sent), "mtokens/op")
			})
		}
	}
}
