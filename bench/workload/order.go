package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/engine"
)

// MaxRing is how many members a ring can have.
const MaxRing = 16

// OrderOptions say how members of a ring are to exchange messages. Zero fields take the defaults
// that are written behind them.
type OrderOptions struct {
	URI      string        // as in Options
	Members  int           // processes, each of which sends and receives: 3
	Size     int           // bytes of payload in each message: 64
	Rate     float64       // messages a second, of all members together: 0, as fast as it goes
	Duration time.Duration // measured: 5 s
	Protocol string        // totem, or nack: the same exchange without a total order, to compare with: totem
	Safe     bool          // deliver what every member has, not only what is agreed
	Plain    bool          // the ring that is not accelerated
	Kill     bool          // end one member midway, by SIGKILL
	Verify   bool          // compare the members' sequences
	Loss     float64       // share of datagrams that each member loses: 0
	Seed     uint64        // of the losses, 1
	Idle     string        // by default busyspin where every member can have a CPU, else crowdedIdle
	Profile  string        // lan, isolated, shared: lan
	Rig      rig.Kind      // as in Options

	Receiver []string // as in Options, each member's
	Progress func(what string)
	Stderr   io.Writer
}

// crowdedIdle is how members wait that are more than there are CPUs: the one that measured best with
// three members on two CPUs. A member that has nothing to do yields its CPU to the one that holds the
// token, and nobody sleeps: to wake somebody up on another CPU takes tens of microseconds, most of all
// in a virtual machine. Against block it about thirded the median latency at 1,000 messages a second and
// raised the rate by half; busyspin reached a tenth of that.
const crowdedIdle = "backoff"

// The protocols of OrderOptions.
const (
	totem = "totem"
	nack  = "nack"
)

// ringLimit is how long members may take to start and to be in one ring.
const ringLimit = 30 * time.Second

// fill puts in the defaults, and checks.
func (o OrderOptions) fill() (OrderOptions, blaze.TotemProfile, error) {
	var profile blaze.TotemProfile
	if o.Members == 0 {
		o.Members = 3
	}
	if o.Size == 0 {
		o.Size = 64
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Protocol == "" {
		o.Protocol = totem
	}
	crowded := o.Members > runtime.NumCPU()
	if o.Idle == "" {
		if o.Idle = "busyspin"; crowded {
			o.Idle = crowdedIdle
		}
	}
	if o.Profile == "" {
		o.Profile = blaze.LAN.String()
	}
	if err := o.Check(); err != nil {
		return o, profile, err
	}
	err := profile.UnmarshalText([]byte(o.Profile))
	if err != nil {
		return o, profile, err
	}
	if o.URI == "" {
		o.URI = defaultURI
	}
	if o.Rig != "" {
		if o.URI, err = withInterface(o.URI, rig.Interface); err != nil {
			return o, profile, err
		}
	}
	o.URI, err = withPort(o.URI)
	return o, profile, err
}

// Check refuses what cannot be run; each error begins with the option, its value and what it may be.
func (o OrderOptions) Check() error {
	if err := measure.CheckSize(o.Size); err != nil {
		return err
	}
	if o.Size > MaxSize {
		return fmt.Errorf("size %d: want at most %d bytes", o.Size, MaxSize)
	}
	if o.Members < 1 || o.Members > MaxRing {
		return fmt.Errorf("members %d: want 1 to %d", o.Members, MaxRing)
	}
	if o.Kill && o.Members < 2 {
		return errors.New("members 1: to kill one there must be another: want 2 or more")
	}
	switch {
	case o.Protocol != "" && o.Protocol != totem && o.Protocol != nack:
		return fmt.Errorf("protocol %q: want totem or nack", o.Protocol)
	case o.Protocol == nack && (o.Verify || o.Kill || o.Safe || o.Plain):
		return errors.New("protocol nack: it has no ring: want totem with --verify, --kill, --safe or --plain")
	}
	if o.Rate < 0 || o.Rate > measure.MaxRate || o.Rate != o.Rate {
		return fmt.Errorf("rate %v: want 0 (as fast as it goes) to %.0f messages a second", o.Rate, float64(measure.MaxRate))
	}
	if o.Duration < 10*time.Millisecond || o.Duration > MaxDuration {
		return fmt.Errorf("duration %v: want 10ms to %v", o.Duration, MaxDuration)
	}
	if !(o.Loss >= 0 && o.Loss < 1) {
		return fmt.Errorf("loss %v: want a share of datagrams, 0 or more and less than 1", o.Loss)
	}
	if o.Rig != "" {
		if err := rig.Check(o.Rig, o.Members, rig.Options{}); err != nil {
			return err
		}
	}
	if _, err := blaze.ParseIdle(o.Idle); err != nil && o.Idle != "" {
		return fmt.Errorf("idle %q: want busyspin, backoff or block", o.Idle)
	}
	var p blaze.TotemProfile
	if err := p.UnmarshalText([]byte(o.Profile)); err != nil && o.Profile != "" {
		return fmt.Errorf("profile %q: want lan, isolated or shared", o.Profile)
	}
	return nil
}

func (o *OrderOptions) warmUp() time.Duration { return (&Options{Duration: o.Duration}).warmUp() }

// RunOrder runs members of one ring, each a process that sends and receives, and tells what they
// saw, and the histogram of the time from sending to the last member's delivery. Every process
// that it starts has ended when it returns. One run at a time may be under way in a process.
//
//	this process                    member
//	start process, config line   →
//	                             ←  ready: in one ring with all others
//	when to begin                →  warm-up, measured load
//	kill one, midway             ←  marks of its sequence, until then
//	                             ←  load over: how many were sent
//	how many each one sent       →
//	                             ←  report, when all has come or after Settle
//	close its input              →  leaves the ring and ends
func RunOrder(ctx context.Context, opt OrderOptions) (*measure.OrderResult, *measure.Histogram, error) {
	o, profile, err := opt.fill()
	if err != nil {
		return nil, nil, err
	}
	limit := ringLimit + o.warmUp() + o.Duration + stalled + Settle + 20*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the run did not end within %v", limit))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	r := &ringRun{o: o, fail: fail, res: &measure.OrderResult{
		Result: measure.Result{
			Workload: "order", Rig: string(o.Rig), URI: o.URI, Protocol: o.Protocol, Size: o.Size, Receivers: o.Members,
			Rate: o.Rate, Loss: o.Loss, Seed: o.Seed, Idle: o.Idle,
		},
		Ring: o.Members, Safe: o.Safe, Plain: o.Plain, Profile: o.Profile, Verified: o.Verify,
	}}
	r.res.Circumstances()
	if o.Rig != "" {
		r.progress("making a %s", o.Rig)
		if r.rig, err = rig.New(o.Rig, o.Members, rig.Options{}); err != nil {
			return nil, nil, err
		}
		defer r.rig.Close()
	}
	cpu := proc.SelfCPU()
	defer r.close()
	reports, err := r.exchange(ctx, profile)
	if err != nil {
		return nil, nil, causeOf(ctx, err)
	}
	r.close()
	r.res.CPUSeconds = (r.cpu + proc.SelfCPU() - cpu).Seconds()
	if err := r.sum(reports); err != nil {
		return nil, nil, err
	}
	return r.res, r.hist, nil
}

// ringRun is one run under way, at the process that started it.
type ringRun struct {
	o       OrderOptions
	fail    context.CancelCauseFunc
	res     *measure.OrderResult
	hist    *measure.Histogram // to the last member's delivery
	rig     *rig.Rig           // nil: none
	members []*proc.Child
	loads   []*ringLoad
	marks   []mark // of the member that was killed
	cpu     time.Duration
}

func (r *ringRun) progress(format string, args ...any) {
	if r.o.Progress != nil {
		r.o.Progress(fmt.Sprintf(format, args...))
	}
}

// victim is the index of the member that is killed, -1 where none is.
func (r *ringRun) victim() int {
	if r.o.Kill {
		return r.o.Members - 1
	}
	return -1
}

// exchange has the members exchange their messages, and returns what each one saw: nil for the
// one that was killed.
func (r *ringRun) exchange(ctx context.Context, profile blaze.TotemProfile) ([]*ringReport, error) {
	r.progress("starting %d members", r.o.Members)
	if err := r.spawn(profile); err != nil {
		return nil, err
	}
	start, cancel := context.WithTimeoutCause(ctx, ringLimit, fmt.Errorf("not all in one ring within %v", ringLimit))
	defer cancel()
	if _, err := r.gather(start, -1, func(a *ringAnswer) bool { return a.Ready }); err != nil {
		return nil, causeOf(start, err)
	}
	r.progress("order: %d-byte messages for %v", r.o.Size, r.o.warmUp()+r.o.Duration)
	begin := ringStep{}
	if runtime.GOOS == "linux" { // elsewhere each process has a clock of its own
		begin.Start = int64(engine.Now().Add(lead))
	}
	if err := r.tell(-1, begin); err != nil {
		return nil, err
	}
	marked := r.kill(ctx, lead)
	loads, err := r.gather(ctx, r.victim(), func(a *ringAnswer) bool { return a.Load != nil })
	if err != nil {
		return nil, err
	}
	if r.marks, err = marked(); err != nil {
		return nil, err
	}
	r.progress("waiting for the members")
	end := ringStep{Sent: make([]uint64, r.o.Members)}
	for i, a := range loads {
		if i != r.victim() {
			r.loads = append(r.loads, a.Load)
			end.Sent[i] = a.Load.Sent
			r.res.Sent += a.Load.Sent
		}
	}
	if err := r.tell(r.victim(), end); err != nil {
		return nil, err
	}
	answers, err := r.gather(ctx, r.victim(), func(a *ringAnswer) bool { return a.Report != nil })
	if err != nil {
		return nil, err
	}
	reports := make([]*ringReport, len(answers))
	for i, a := range answers {
		if reports[i] = a.Report; a.Report == nil {
			continue
		}
		if n := len(a.Report.Delivered); n != r.o.Members {
			return nil, fmt.Errorf("member %d reports on %d senders, there are %d", i, n, r.o.Members)
		}
		for j, sent := range end.Sent {
			got := a.Report.Delivered[j]
			r.res.Delivered += got
			if got < sent {
				r.res.Lost += sent - got
			}
			if j != r.victim() && got > sent {
				r.res.Corrupt += got - sent // numbers that nobody sent
			}
		}
	}
	return reports, nil
}

// lead is from the word to begin to the beginning: time for everybody to hear it.
const lead = 50 * time.Millisecond

// killAfter is when the victim is killed, counted from the beginning; 0: there is none.
func (o *OrderOptions) killAfter() time.Duration {
	if !o.Kill {
		return 0
	}
	return o.warmUp() + o.Duration/2
}

// spawn starts the members.
func (r *ringRun) spawn(profile blaze.TotemProfile) error {
	stderr := r.o.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	if _, ok := stderr.(*os.File); !ok {
		stderr = &together{w: stderr}
	}
	hash, cluster := random(), fmt.Sprintf("blazebench-%016x", random())
	for i := range r.o.Members {
		var where proc.Place
		if r.rig != nil {
			where = r.rig.Host(i)
		}
		c, err := proc.StartIn(where, r.o.Receiver, stderr)
		if err != nil {
			return err
		}
		r.members = append(r.members, c)
		order := order{
			Protocol: blaze.Totem, URI: r.o.URI, Cluster: cluster, Size: r.o.Size, Idle: r.o.Idle, Loss: r.o.Loss, Seed: r.o.Seed + uint64(i), Hash: hash, Every: 1,
			Ring: &ringOrder{
				Index: i, Members: r.o.Members, Safe: r.o.Safe, Plain: r.o.Plain, Profile: profile,
				Rate: r.o.Rate / float64(r.o.Members), WarmUp: r.o.warmUp(), Measure: r.o.Duration, Kill: r.o.killAfter(), Tell: i == r.victim(),
			},
		}
		if r.o.Rate == 0 {
			order.Every = timeEvery
		}
		if r.o.Protocol == nack {
			order.Protocol = blaze.NACK
		}
		if err := c.Send(order); err != nil {
			return err
		}
	}
	return nil
}

// tell sends a step to all members but one; -1 is none.
func (r *ringRun) tell(but int, s ringStep) error {
	for i, c := range r.members {
		if i == but {
			continue
		}
		if err := c.Send(s); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
	}
	return nil
}

// gather waits for an answer of all members but one.
func (r *ringRun) gather(ctx context.Context, but int, want func(*ringAnswer) bool) ([]ringAnswer, error) {
	type reply struct {
		i   int
		a   ringAnswer
		err error
	}
	ch := make(chan reply, len(r.members))
	n := 0
	for i, c := range r.members {
		if i == but {
			continue
		}
		n++
		go func() {
			var a ringAnswer
			err := c.Receive(ctx, &a)
			if err == nil && a.Error != "" {
				err = errors.New(a.Error)
			} else if err == nil && !want(&a) {
				err = errors.New("an answer that was not due")
			}
			if err != nil {
				err = fmt.Errorf("member %d: %w", i, err)
				r.fail(causeOf(ctx, err)) // the others are not waited for
			}
			ch <- reply{i, a, err}
		}()
	}
	all := make([]ringAnswer, len(r.members))
	var failed error
	for range n {
		p := <-ch
		all[p.i] = p.a
		if failed == nil {
			failed = p.err
		}
	}
	return all, failed
}

// kill ends the victim midway, if there is one. marks waits for what it said until then.
func (r *ringRun) kill(ctx context.Context, lead time.Duration) (marks func() ([]mark, error)) {
	if r.victim() < 0 {
		return func() ([]mark, error) { return nil, nil }
	}
	type outcome struct {
		marks []mark
		err   error
	}
	done := make(chan outcome, 1)
	c := r.members[r.victim()]
	midway := time.AfterFunc(lead+r.o.killAfter(), func() {
		_ = c.Kill()
	})
	go func() {
		var got outcome
		for {
			var a ringAnswer
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

// close ends the members, all at once, and reaps them.
func (r *ringRun) close() {
	done := make(chan time.Duration)
	for _, c := range r.members {
		go func() { done <- c.Close(3 * time.Second) }()
	}
	for range r.members {
		r.cpu += <-done
	}
	r.members = nil
}
