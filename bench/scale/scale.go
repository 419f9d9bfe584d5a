package scale

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// slice is how long a scene is measured at a time.
const slice = 5 * time.Millisecond

// dimension is scenes that differ in one thing.
type dimension struct {
	name   string
	base   int // the n that ratios are to
	points []int
	short  []int // what a short run has of them
	shape  func(n int) shape
}

// one is a sender, a receiver, a topic, a subscription and a lane.
var one = shape{topics: 1, subs: 1, lanes: 1, senders: 1, receivers: 1, burst: 8}

func dimensions() []dimension {
	counts := []int{1, 100, 1000, 10000}
	of := func(change func(s *shape, n int)) func(n int) shape {
		return func(n int) shape {
			s := one
			change(&s, n)
			return s
		}
	}
	subs := func(wild string) func(n int) shape {
		return of(func(s *shape, n int) { s.topics, s.subs, s.wild = n, n, wild })
	}
	many := func(loss float64) func(n int) shape {
		return of(func(s *shape, n int) { s.senders, s.loss, s.burst, s.invoked = n, loss, 1024, true })
	}
	senders := []int{1, 10, 50, 200, 1000}
	lanes := []int{1, 4, 16, 64}
	return []dimension{
		{Topics, 1, counts, nil, of(func(s *shape, n int) { s.topics = n })},
		{Exact, 1, counts, nil, subs("")},
		{Star, 1, counts, nil, subs("*")},
		{Below, 1, counts, nil, subs(">")},
		{Both, 1, []int{1, 1000}, []int{1, 1000}, of(func(s *shape, n int) {
			s.topics, s.subs, s.wild = 100, n, "*"
			if n > 1 {
				s.topics = 10 * n
			}
		})},
		{Lanes, 1, lanes, []int{1, 64}, of(func(s *shape, n int) { s.lanes = n })},
		{Idle, 1, lanes, []int{1, 64}, of(func(s *shape, n int) { s.lanes, s.idle = n, true })},
		{Senders, 10, senders, []int{10, 1000}, many(0)},
		{Lossy, 10, senders, []int{10, 1000}, many(0.01)},
		{Receivers, 1, []int{1, 2, 4, 8}, nil, of(func(s *shape, n int) { s.receivers = n })},
	}
}

// Names of the dimensions.
const (
	Topics    = "topics"
	Exact     = "subscriptions, exact"
	Star      = "subscriptions, *"
	Below     = "subscriptions, >"
	Both      = "subscriptions, *, 100/10,000 topics"
	Lanes     = "lanes, filled in turn"
	Idle      = "lanes, idle turn"
	Senders   = "senders"
	Lossy     = "senders, 1 % loss"
	Receivers = "receivers"
)

// Options say how long to measure.
type Options struct {
	Duration time.Duration // of each case
	Short    bool          // only what a bar is about
	Only     string        // only dimensions whose names have this in them
	Progress func(what string)
}

// Run measures all dimensions. An error means that a message was lost or came twice, or that ctx ended.
func Run(ctx context.Context, o Options) (*measure.Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &measure.ScaleResult{Result: measure.Result{Workload: "scale", Transport: "memory", Protocol: "nack", Size: payload}}
	r.Circumstances()
	for _, d := range dimensions() {
		if o.Short {
			d.points = d.short
		}
		if len(d.points) == 0 || !strings.Contains(d.name, o.Only) {
			continue
		}
		if o.Progress != nil {
			o.Progress(d.name)
		}
		points, err := d.measure(ctx, o.Duration)
		if err != nil {
			return nil, err
		}
		r.Points = append(r.Points, points...)
	}
	if len(r.Points) == 0 {
		return nil, fmt.Errorf("scale: nothing to measure has %q in its name", o.Only)
	}
	r.Result.Scale = r
	return &r.Result, nil
}

// measured is one scene with what its rounds found: nanoseconds for each unit.
type measured struct {
	scene         *scene
	send, receive []float64
}

// measure makes all scenes of a dimension and measures them in turn.
func (d *dimension) measure(ctx context.Context, duration time.Duration) ([]measure.ScalePoint, error) {
	all := make([]measured, len(d.points))
	for i, n := range d.points {
		sc, err := newScene(d.shape(n))
		if err != nil {
			return nil, err
		}
		all[i].scene = sc
	}
	for range max(int(duration/slice), 1) {
		for _, i := range rand.Perm(len(all)) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			all[i].round()
		}
	}
	var points []measure.ScalePoint
	base := max(slices.Index(d.points, d.base), 0)
	for i := range all {
		m := &all[i]
		if err := m.scene.settle(); err != nil {
			return nil, err
		}
		points = append(points, measure.ScalePoint{
			Of: d.name, N: d.points[i], Base: d.points[base], Sender: middle(m.send), Receiver: middle(m.receive),
			SenderRatio: ratio(m.send, all[base].send), ReceiverRatio: ratio(m.receive, all[base].receive),
		})
	}
	return points, nil
}

// round measures a slice. What others left of the caches is not the scene's: it runs once before that counts.
func (m *measured) round() {
	m.scene.step(new(cost))
	var c cost
	for c.send+c.receive < slice {
		m.scene.step(&c)
	}
	m.send = append(m.send, float64(c.send)/(c.sent+c.turns))
	m.receive = append(m.receive, float64(c.receive)/(c.received+c.turns))
}

// ratio is the median of the ratios within a round.
func ratio(a, b []float64) float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return middle(all)
}

func middle(all []float64) float64 {
	all = slices.SortedFunc(slices.Values(all), cmp.Compare[float64])
	return all[len(all)/2]
}
