package workload

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/engine"
)

// ringLimit is how long members may take to start and to be in one ring.
const ringLimit = 30 * time.Second

// ringRun is what a run has of a ring.
type ringRun struct {
	res   *measure.OrderResult
	loads []*ringLoad
	marks []mark // of the member that was killed
}

// order runs members of one ring, each a process that sends and receives.
func (r *run) order(ctx context.Context) error {
	var profile blaze.TotemProfile
	if err := profile.UnmarshalText([]byte(r.o.Ring.Profile)); err != nil {
		return err
	}
	r.ringResult()
	r.children.name, r.children.host = "member", 0
	reports, err := r.exchange(ctx, profile)
	if err != nil {
		return err
	}
	return r.sumRing(reports)
}

// ringResult makes the result one of a ring.
func (r *run) ringResult() {
	g := &r.o.Ring
	r.res.Receivers = g.Members
	r.ring.res = &measure.OrderResult{
		Result: *r.res, Ring: g.Members, Safe: g.Safe, Plain: g.Plain, Profile: g.Profile, Verified: g.Verify,
	}
	r.res = &r.ring.res.Result
	r.res.Order = r.ring.res
}

// victim is the index of the member that is killed, nobody where none is.
func (r *run) victim() int {
	if r.o.Ring.Kill {
		return r.o.Ring.Members - 1
	}
	return nobody
}

// exchange has the members exchange their messages, and returns what each one received: nil for the
// one that was killed.
func (r *run) exchange(ctx context.Context, profile blaze.TotemProfile) ([]*report, error) {
	members := r.o.Ring.Members
	r.progress("starting %d members", members)
	if err := r.children.start(members, r.ringRoles(profile)); err != nil {
		return nil, err
	}
	start, cancel := context.WithTimeoutCause(ctx, ringLimit, fmt.Errorf("not all in one ring within %v", ringLimit))
	defer cancel()
	if _, err := r.children.gather(start, nobody, isReady, r.fail); err != nil {
		return nil, causeOf(start, err)
	}
	r.progress("order: %d-byte messages for %v", r.o.Size, r.o.warmUp()+r.o.Duration)
	begin := step{}
	if runtime.GOOS == "linux" { // elsewhere each process has a clock of its own
		begin.Start = int64(engine.Now().Add(lead))
	}
	if err := r.children.send(nobody, begin); err != nil {
		return nil, err
	}
	marked := r.kill(ctx)
	loads, err := r.children.gather(ctx, r.victim(), isLoad, r.fail)
	if err != nil {
		return nil, err
	}
	if r.ring.marks, err = marked(); err != nil {
		return nil, err
	}
	r.progress("waiting for the members")
	end := step{Sent: make([]uint64, members)}
	for i, a := range loads {
		if i != r.victim() {
			r.ring.loads = append(r.ring.loads, a.Load)
			end.Sent[i] = a.Load.Sent
			r.res.Sent += a.Load.Sent
		}
	}
	if err := r.children.send(r.victim(), end); err != nil {
		return nil, err
	}
	answers, err := r.children.gather(ctx, r.victim(), isReport, r.fail)
	if err != nil {
		return nil, err
	}
	reports := make([]*report, len(answers))
	for i, a := range answers {
		if reports[i] = a.Report; a.Report == nil {
			continue
		}
		if a.Report.Ring == nil || len(a.Report.Ring.Delivered) != members {
			return nil, fmt.Errorf("member %d does not report on the %d senders that there are", i, members)
		}
		for j, sent := range end.Sent {
			got := a.Report.Ring.Delivered[j]
			if got < sent {
				r.res.Lost += sent - got
			}
			if j != r.victim() && got > sent {
				r.res.Corrupt += got - sent // numbers that were not sent
			}
		}
	}
	return reports, nil
}

// lead is from the word to begin to the beginning: time for every member to receive it.
const lead = 50 * time.Millisecond

// killAfter is when the victim is killed, counted from the beginning; 0: there is none.
func (o *Options) killAfter() time.Duration {
	if !o.Ring.Kill {
		return 0
	}
	return o.warmUp() + o.Duration/2
}

// ringRoles makes the role of each member.
func (r *run) ringRoles(profile blaze.TotemProfile) func(i int) *role {
	g := &r.o.Ring
	base := role{
		Workload: Order, Protocol: r.o.Protocol, URI: r.o.URI, Cluster: fmt.Sprintf("blazebench-%016x", random()),
		Size: r.o.Size, Idle: r.o.Idle, Loss: r.o.Loss, Hash: random(), Every: r.o.timeEvery(),
	}
	return func(i int) *role {
		as := base
		as.Seed = r.o.Seed + uint64(i)
		as.Ring = &ringRole{
			Index: i, Members: g.Members, Safe: g.Safe, Plain: g.Plain, Profile: profile, Rate: r.o.Rate / float64(g.Members),
			WarmUp: r.o.warmUp(), Measure: r.o.Duration, Kill: r.o.killAfter(), Mark: i == r.victim(),
		}
		return &as
	}
}

// kill ends the victim midway, if there is one. marks waits for what it sent until then.
func (r *run) kill(ctx context.Context) (marks func() ([]mark, error)) {
	if r.victim() == nobody {
		return func() ([]mark, error) { return nil, nil }
	}
	type outcome struct {
		marks []mark
		err   error
	}
	done := make(chan outcome, 1)
	c := r.children.all[r.victim()]
	midway := time.AfterFunc(lead+r.o.killAfter(), func() {
		_ = c.Kill()
	})
	go func() {
		var got outcome
		for {
			var a answer
			if err := c.Receive(ctx, &a); err != nil {
				if !errors.Is(err, proc.ErrGone) {
					got.err = err
				}
				break
			}
			if a.Error != "" {
				got.err = fmt.Errorf("member %d: %s", r.victim(), a.Error)
				break
			}
			if a.Mark != nil {
				got.marks = append(got.marks, *a.Mark)
			}
		}
		if midway.Stop() { // it has not been killed
			got.err = errors.Join(got.err, fmt.Errorf("member %d: %w, before it was killed", r.victim(), proc.ErrGone))
		}
		if got.err != nil {
			r.fail(causeOf(ctx, got.err))
		}
		done <- got
	}()
	return func() ([]mark, error) { p := <-done; return p.marks, p.err }
}
