package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
)

// watch measures what a group of idle members costs, and how soon they report one that is killed.
func (r *run) watch(ctx context.Context, res *measure.GroupResult) error {
	g := &r.o.Group
	w := &watched{r: r, res: res, cluster: fmt.Sprintf("blazebench-%016x", random()), killed: map[string]int64{}}
	defer func() { r.children.cpu += groupmember.CloseAll(w.all, 3*time.Second) }()
	r.progress("starting %d members", g.Members)
	var err error
	if w.all, err = r.drivenAll(ctx, 0, g.Members, w.cluster); err != nil {
		return err
	}
	if err := w.together(ctx); err != nil {
		return err
	}
	if g.Load {
		if err := w.load(ctx); err != nil {
			return err
		}
	}
	r.progress("members: idle for %v", r.o.Duration)
	if err := w.idle(ctx, r.o.Duration); err != nil {
		return err
	}
	for i := range g.Kills {
		r.progress("members: killing one, %d of %d", i+1, g.Kills)
		if err := w.kill(ctx, i); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
	}
	res.Detects = w.detects
	if g.Kills > 0 {
		median, longest := middle(w.detects)
		res.Detect, res.DetectMax = &median, &longest
	}
	return w.judge(ctx)
}

// watched are the members of a run that is about nothing but them.
type watched struct {
	r       *run
	res     *measure.GroupResult
	cluster string
	all     []*groupmember.Remote
	killed  map[string]int64 // id to time
	detects []float64        // ms
}

// together waits until each member has all others in its table.
func (w *watched) together(ctx context.Context) error {
	_, err := groupmember.All(ctx, w.all, groupmember.Command{Do: groupmember.DoAwait, N: len(w.all), For: startLimit})
	return err
}

// load has the last member publish as fast as it can, to all others.
func (w *watched) load(ctx context.Context) error {
	last := len(w.all) - 1
	if _, err := groupmember.All(ctx, w.all[:last], w.subscribe()); err != nil {
		return err
	}
	w.all[last].Go(groupmember.Command{Do: groupmember.DoPublish, Name: pingTopic, Size: w.r.o.Size, For: MaxDuration})
	return nil
}

func (w *watched) subscribe() groupmember.Command {
	return groupmember.Command{Do: groupmember.DoSubscribe, Name: pingTopic, Quiet: true}
}

// beatBits are the bits of one beat on the wire: 79 bytes, UDP, IP and Ethernet (design of groups, 6.1).
const beatBits = 8 * (79 + 42)

// idle looks at what members take that have nothing to do.
func (w *watched) idle(ctx context.Context, d time.Duration) error {
	look := groupmember.Command{Do: groupmember.DoStats}
	before, err := groupmember.All(ctx, w.all, look)
	if err != nil {
		return err
	}
	select {
	case <-time.After(d): // what is measured
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := groupmember.All(ctx, w.all, look)
	if err != nil {
		return err
	}
	w.res.Seconds, w.res.Transport = d.Seconds(), after[0].Transport
	if w.res.Transport == "xdp" {
		w.res.XDPMode, w.res.XDPSocket = after[0].Mode, after[0].Socket
	}
	for i := range after {
		seconds := time.Duration(after[i].At - before[i].At).Seconds()
		b, err1 := before[i].Group()
		a, err2 := after[i].Group()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		w.res.MemberCPU = max(w.res.MemberCPU, (after[i].CPU-before[i].CPU).Seconds()/seconds)
		w.res.Wakeups = max(w.res.Wakeups, float64(after[i].Switches-before[i].Switches)/seconds)
		w.res.Sleeps = max(w.res.Sleeps, float64(after[i].Sleeps-before[i].Sleeps)/seconds)
		w.res.BeatBits = max(w.res.BeatBits, beatBits*float64(a.BeatsSent+a.BeatsHeard-b.BeatsSent-b.BeatsHeard)/seconds)
	}
	return nil
}

// kill ends a member, waits until all others have reported it, and starts another one in its place. The
// one that publishes stays.
func (w *watched) kill(ctx context.Context, i int) error {
	n := len(w.all)
	if w.r.o.Group.Load {
		n--
	}
	i %= n
	victim := w.all[i]
	var waits []func(context.Context) (groupmember.Answer, error)
	for j, m := range w.all {
		if j != i {
			waits = append(waits, m.Go(groupmember.Command{Do: groupmember.DoFailed, To: victim.ID}))
		}
	}
	at := engine.Now()
	w.killed[victim.ID] = int64(at)
	if err := victim.Kill(); err != nil {
		return err
	}
	longest := 0.0
	for _, wait := range waits {
		a, err := wait(ctx)
		if err != nil {
			return err
		}
		longest = max(longest, since(at, clock.Time(a.At)))
	}
	w.detects = append(w.detects, longest)
	w.r.children.cpu += victim.Close(0)
	m, err := w.r.driven(ctx, i, w.cluster)
	if err != nil {
		return err
	}
	w.all[i] = m
	if err := m.Ready(ctx); err != nil {
		return err
	}
	if w.r.o.Group.Load {
		if _, err := m.Do(ctx, w.subscribe()); err != nil {
			return err
		}
	}
	return w.together(ctx)
}

// judge counts the failures that were reported of members that lived.
func (w *watched) judge(ctx context.Context) error {
	logs, err := groupmember.All(ctx, w.all, groupmember.Command{Do: groupmember.DoLog})
	if err != nil {
		return err
	}
	for _, a := range logs {
		for _, e := range a.Log {
			if at, ended := w.killed[e.ID]; e.Kind == blaze.MemberFailed.String() && (!ended || e.At < at) {
				w.res.FalseFailures++
			}
		}
	}
	stats, err := groupmember.All(ctx, w.all, groupmember.Command{Do: groupmember.DoStats})
	if err != nil {
		return err
	}
	for _, a := range stats {
		s, err := a.Group()
		if err != nil {
			return err
		}
		w.res.ClosestCall = max(w.res.ClosestCall, s.ClosestCall)
		w.res.Result.Members = append(w.res.Result.Members, fmt.Sprintf("%+v", s))
	}
	return nil
}

// middle is the median and the largest of some.
func middle(vs []float64) (median, most float64) {
	vs = slices.Sorted(slices.Values(vs))
	return vs[len(vs)/2], vs[len(vs)-1]
}
