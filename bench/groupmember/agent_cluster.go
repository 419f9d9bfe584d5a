package groupmember

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/engine"
)

// shared does what only a ClusterChannel can.
func (a *agent) shared(ctx context.Context, c *Command) (answer Answer, err error) {
	began := engine.Now()
	m := a.c.Map(c.Name)
	switch c.Do {
	case DoReady:
		err = a.c.WaitReady(ctx)
	case DoPuts:
		return a.puts(ctx, c)
	case DoGets:
		return a.gets(c)
	case DoLinear:
		return a.linear(ctx, c)
	case DoHandOffs:
		return a.handOffs(ctx, c)
	case DoHold:
		if _, err = m.Put(ctx, c.To, []byte("held"), blaze.RemoveOnExit()); err == nil {
			_, err = a.c.Map(c.Name+".locks").Lock(ctx, c.To)
		}
	case DoWaitLock:
		var l *blaze.Lock
		if l, err = a.c.Map(c.Name+".locks").Lock(ctx, c.To); err == nil {
			answer.At = int64(engine.Now())
			err = l.Unlock(ctx)
		}
	case DoWaitGone:
		gone := make(chan struct{})
		var once sync.Once
		cancel := m.Watch(c.To, func(blaze.MapEvent) {
			if _, ok := m.Get(c.To); !ok {
				once.Do(func() {
					answer.At = int64(engine.Now())
					close(gone)
				})
			}
		})
		defer cancel()
		if _, ok := m.Get(c.To); !ok {
			return answer, fmt.Errorf("%q is not there", c.To)
		}
		select {
		case <-gone:
		case <-ctx.Done():
			err = ctx.Err()
		}
	case DoJoined:
		answer.Started = int64(began)
		if err = a.g.Start(); err != nil {
			return answer, err
		}
		answer.Self = a.g.ID().String()
		for answer.Learning == 0 && ctx.Err() == nil {
			if phase := a.c.Status().Phase; phase == "learning" || phase == "complete" {
				answer.Learning = int64(engine.Now())
			}
			time.Sleep(time.Millisecond)
		}
		err = a.c.WaitReady(ctx)
		answer.At = int64(engine.Now())
	case DoMaster:
		answer.Self, answer.At, err = a.master(ctx, c.Members)
	case DoCluster:
		var err2 error
		s := a.c.Stats()
		answer.Transport = s.Transport
		answer.Status, err = json.Marshal(a.c.Status())
		answer.Counters, err2 = json.Marshal(s.Cluster)
		err = errors.Join(err, err2)
	case DoPutOne:
		_, err = m.Put(ctx, c.To, []byte(c.File))
	case DoGetOne:
		var e blaze.Entry
		e, _, err = m.GetLinear(ctx, c.To)
		answer.Text = string(e.Value)
	default:
		err = fmt.Errorf("no command %q", c.Do)
	}
	answer.Took = engine.Now().Sub(began)
	return answer, err
}

// master waits until there is a master that is none of those.
func (a *agent) master(ctx context.Context, but []string) (id string, at int64, err error) {
	found := make(chan blaze.Member, 1)
	cancel := a.c.OnMaster(func(m blaze.Member) {
		if m.ID.IsZero() || slices.Contains(but, m.ID.String()) {
			return
		}
		select {
		case found <- m:
		default:
		}
	})
	defer cancel()
	select {
	case m := <-found:
		return m.ID.String(), int64(engine.Now()), nil
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
}

// workers has n goroutines call f, each with its number, until each has returned. The error is the first of those that went
// wrong, with their number: they are often as many as workers, and for one reason.
func workers(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > 1 {
		return fmt.Errorf("%w (and %d more)", errs[0], len(errs)-1)
	}
	return errors.Join(errs...)
}

// keyOf is the key of a number: 16 bytes.
func keyOf(n int) string { return fmt.Sprintf("key-%012d", n) }

// limit is a context for calls that outlast the time in which they are made.
func limit(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d+patience)
}

// eachPut is the time that each of a number of puts has, on a slow host.
const eachPut = 200 * time.Microsecond

// puts writes. With a pause each put is due at its own time, and its latency counts from there.
func (a *agent) puts(_ context.Context, c *Command) (answer Answer, err error) {
	ctx, cancel := limit(max(c.For, time.Duration(c.N)*eachPut))
	defer cancel()
	m, n := a.c.Map(c.Name), max(c.Parallel, 1)
	keys := c.Keys
	if keys == 0 {
		keys = max(c.N, 1)
	}
	var next atomic.Int64
	var mu sync.Mutex
	sum := measure.NewHistogram()
	begin := engine.Now()
	err = workers(n, func(i int) error {
		value, h, random := make([]byte, c.Size), measure.NewHistogram(), rand.New(rand.NewPCG(uint64(i), uint64(begin)))
		defer func() {
			mu.Lock()
			sum.Add(h)
			mu.Unlock()
		}()
		due := begin.Add(time.Duration(i) * c.Every / time.Duration(n)) // they do not all write at once
		for {
			from := engine.Now()
			if c.N > 0 && c.For == 0 {
				k := next.Add(1)
				if k > int64(c.N) {
					return nil
				}
				if _, err := m.Put(ctx, keyOf(int(k-1)%keys), value); err != nil {
					return err
				}
				h.Record(int64(engine.Now().Sub(from)))
				continue
			}
			if from.Sub(begin) >= c.For {
				return nil
			}
			if c.Every > 0 {
				if wait := due.Sub(from); wait > 0 {
					time.Sleep(wait)
				}
				from, due = due, due.Add(c.Every)
				if from.Sub(begin) >= c.For {
					return nil
				}
			}
			if _, err := m.Put(ctx, keyOf(random.IntN(keys)), value); err != nil {
				return err
			}
			took := engine.Now().Sub(from)
			if h.Record(int64(took)); took > SlowPut {
				mu.Lock()
				if len(answer.Slow) < 10_000 {
					answer.Slow = append(answer.Slow, Slow{int64(from), took})
				}
				mu.Unlock()
			}
		}
	})
	answer.Took, answer.Count = engine.Now().Sub(begin), uint64(sum.Count())
	if p := sum.Percentiles(); p != nil {
		answer.Longest = time.Duration(p.Max)
	}
	answer.Hist, _ = sum.MarshalBinary()
	return answer, err
}

// gets reads from the own replica.
func (a *agent) gets(c *Command) (answer Answer, err error) {
	m, keys := a.c.Map(c.Name), make([]string, c.Keys)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	var count atomic.Uint64
	begin := engine.Now()
	err = workers(max(c.Parallel, 1), func(i int) error {
		random := rand.New(rand.NewPCG(uint64(i), uint64(begin)))
		n := uint64(0)
		for engine.Now().Sub(begin) < c.For {
			for range 1000 {
				if _, ok := m.Get(keys[random.IntN(len(keys))]); !ok {
					return errors.New("a key that was put is not there")
				}
			}
			n += 1000
		}
		count.Add(n)
		return nil
	})
	answer.Took, answer.Count = engine.Now().Sub(begin), count.Load()
	return answer, err
}

// linear reads what the whole cluster agrees on.
func (a *agent) linear(_ context.Context, c *Command) (answer Answer, err error) {
	ctx, cancel := limit(c.For)
	defer cancel()
	m := a.c.Map(c.Name)
	var mu sync.Mutex
	sum := measure.NewHistogram()
	begin := engine.Now()
	err = workers(max(c.Parallel, 1), func(i int) error {
		h, random := measure.NewHistogram(), rand.New(rand.NewPCG(uint64(i), uint64(begin)))
		defer func() {
			mu.Lock()
			sum.Add(h)
			mu.Unlock()
		}()
		for {
			from := engine.Now()
			if from.Sub(begin) >= c.For {
				return nil
			}
			if _, ok, err := m.GetLinear(ctx, keyOf(random.IntN(c.Keys))); err != nil || !ok {
				return errors.Join(err, errors.New("a key that was put is not there"))
			}
			h.Record(int64(engine.Now().Sub(from)))
		}
	})
	answer.Took, answer.Count = engine.Now().Sub(begin), uint64(sum.Count())
	answer.Hist, _ = sum.MarshalBinary()
	return answer, err
}

// handOffs takes a lock and gives it back, again and again.
func (a *agent) handOffs(_ context.Context, c *Command) (answer Answer, err error) {
	ctx, cancel := limit(c.For)
	defer cancel()
	m := a.c.Map(c.Name)
	var count atomic.Uint64
	begin := engine.Now()
	err = workers(max(c.Parallel, 1), func(int) error {
		for engine.Now().Sub(begin) < c.For {
			l, err := m.Lock(ctx, c.To)
			if err != nil {
				return err
			}
			if err := l.Unlock(ctx); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	answer.Took, answer.Count = engine.Now().Sub(begin), count.Load()
	return answer, err
}
