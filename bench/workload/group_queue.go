package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/proc"
)

const (
	benchQueue = "bench"
	benchReady = "bench.consumers" // a group of those that consume
)

// driven starts a member that is driven, on host i of a rig.
func (r *run) driven(_ context.Context, i int, cluster string) (*groupmember.Remote, error) {
	return r.drivenAs(i, cluster, nil, false)
}

// drivenAs is driven, of a ClusterChannel where shared is not nil.
func (r *run) drivenAs(i int, cluster string, shared *groupmember.ClusterOrder, held bool) (*groupmember.Remote, error) {
	idle, err := blaze.ParseIdle(r.o.Idle)
	if err != nil {
		return nil, err
	}
	o := groupmember.Order{
		URI: ownTap(r.o.URI, i+1), Cluster: cluster, Name: fmt.Sprintf("member-%d", i), Idle: idle, Loss: r.o.Loss, Seed: r.o.Seed + uint64(i),
		HeartbeatInterval: r.o.Group.HeartbeatInterval, FailureTimeout: r.o.Group.FailureTimeout, Shared: shared, Held: held,
	}
	var where proc.Place
	if r.children.rig != nil {
		where = r.children.rig.Host(i)
	}
	return groupmember.Begin(where, r.o.Receiver, r.o.Stderr, &role{Workload: Group, Member: &o}, o)
}

// drivenAll starts n of them on the hosts from first on, at once, and waits until all are ready.
func (r *run) drivenAll(ctx context.Context, first, n int, cluster string) (all []*groupmember.Remote, err error) {
	for i := range n {
		m, err := r.driven(ctx, first+i, cluster)
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	for _, m := range all {
		if err := m.Ready(ctx); err != nil {
			return all, fmt.Errorf("%s: %w", m.Order.Name, err)
		}
	}
	return all, nil
}

// queue puts messages into a queue that other processes consume.
func (r *run) queue(ctx context.Context, res *measure.GroupResult) error {
	g := &r.o.Group
	dir, err := os.MkdirTemp("", "blazebench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cluster := fmt.Sprintf("blazebench-%016x", random())
	r.progress("starting %d consumers", g.Consumers)
	consumers, err := r.drivenAll(ctx, 1, g.Consumers, cluster)
	defer func() { r.children.cpu += groupmember.CloseAll(consumers, 3*time.Second) }()
	if err != nil {
		return err
	}
	files := make([]string, len(consumers))
	for i, c := range consumers {
		files[i] = filepath.Join(dir, c.Order.Name)
		for _, do := range []groupmember.Command{
			{Do: groupmember.DoConsume, Name: benchQueue, File: files[i]}, {Do: groupmember.DoJoin, Name: benchReady},
		} {
			if _, err := c.Do(ctx, do); err != nil {
				return err
			}
		}
	}
	return r.asSender(func() error { return r.enqueue(ctx, res, cluster, consumers, files) })
}

// enqueue is the sender's part.
func (r *run) enqueue(ctx context.Context, res *measure.GroupResult, cluster string, consumers []*groupmember.Remote, files []string) error {
	g := &r.o.Group
	m, err := r.o.groupChannel(cluster, "sender", false, r.o.Seed)
	if err != nil {
		return err
	}
	defer m.g.Shutdown()
	if err := m.g.Start(); err != nil {
		return err
	}
	if err := m.until(ctx, startLimit, "all consumers are seen here", func() bool { return len(m.g.MembersOf(benchReady)) == g.Consumers }); err != nil {
		return err
	}
	load := calls{senders: g.Senders, warmUp: r.o.warmUp(), measure: r.o.Duration, count: uint64(g.Count)}
	r.progress("queue: %d bytes", r.o.Size)

	// Consumers end when half of the messages, or half of the time, are over.
	midway := make(chan struct{})
	if g.Count == 0 && g.Kills > 0 {
		defer time.AfterFunc(load.warmUp+load.measure/2, func() { close(midway) }).Stop()
	}
	killed := make(chan error, 1)
	if g.Kills > 0 {
		go func() {
			select {
			case <-midway:
			case <-ctx.Done():
			}
			var failed error
			for _, c := range consumers[:g.Kills] {
				failed = errors.Join(failed, c.Kill())
			}
			killed <- failed
		}()
	}
	var next atomic.Uint64
	got, err := load.run(ctx, func(int) caller {
		return func(uint64) (time.Duration, error) {
			n := next.Add(1)
			if g.Kills > 0 && g.Count > 0 && n == uint64(g.Count)/2 {
				close(midway)
			}
			msg := blaze.NewBytesMessage(groupmember.Payload(n, r.o.Size))
			return timed(func() error { return m.g.Enqueue(ctx, benchQueue, msg) })
		}
	})
	if err != nil {
		return err
	}
	if g.Kills > 0 {
		if err := <-killed; err != nil {
			return err
		}
	}
	own, s := m.counters(), m.g.Stats().Group
	res.Transport, res.XDPMode, res.XDPSocket = own.Transport, own.XDPMode, own.XDPSocket
	res.Result.Members = append(res.Result.Members, own.Detail)
	res.QueuePerSecond, res.Queue, res.Seconds, res.MsgsPerSecond = got.rate(), got.times.Percentiles(), got.seconds, got.rate()
	res.Sent, res.Outstanding = got.sent, s.Redelivered
	r.hist = got.times
	defer r.perMessage()
	return sumHandled(res, files, g.Kills, got.sent)
}

// sumHandled adds up what consumers wrote, the first `killed` of which were ended.
func sumHandled(res *measure.GroupResult, files []string, killed int, sent uint64) error {
	const plain, marked = 1, 2 // how a message has been handled
	seen := make([]byte, sent+1)
	res.LeastShare = 1
	for i, file := range files {
		all, err := groupmember.ReadHandlings(file)
		if err != nil {
			return err
		}
		for _, h := range all {
			if h.Number == 0 || h.Number > sent {
				res.Corrupt++
				continue
			}
			at := &seen[h.Number]
			if *at == 0 {
				res.Delivered++
			} else {
				res.Duplicates++
			}
			switch {
			case h.Marked:
				res.Redelivered++
				*at |= marked
			case *at&plain != 0:
				res.Unmarked++
			default:
				*at |= plain
			}
		}
		if i >= killed {
			res.LeastShare = min(res.LeastShare, float64(len(all))/float64(max(sent, 1)))
		}
	}
	res.Lost = sent - min(res.Delivered, sent)
	return nil
}
