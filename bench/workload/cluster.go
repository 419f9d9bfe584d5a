package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/totem"
)

// ClusterOptions are what Cluster has besides. Zero fields take the defaults that are written behind them.
type ClusterOptions struct {
	Members int    // processes: 3
	Writers int    // goroutines of all members together: 64
	Keys    int    // entries: 10,000
	Readers int    // goroutines that read at one member, from its replica and linearly: 0
	Locks   bool   // goroutines of all members take one lock in turn
	Kills   int    // masters to end by SIGKILL, one after the other: 0
	Join    int    // entries that are there when one more member starts, while the writers go on: 0, none starts
	Dir     bool   // every member has a DataDir
	Profile string // of the ring's timers: lan, isolated, shared: lan
}

// Bounds of ClusterOptions.
const (
	MaxWriters = 4096
	MaxEntries = 10_000_000
)

func (c *ClusterOptions) members() int {
	if c.Join > 0 {
		return c.Members + 1
	}
	return c.Members
}

// longer is by how much a run may take longer than its duration says.
func (c *ClusterOptions) longer(d time.Duration) time.Duration {
	return time.Duration(c.Kills)*20*time.Second + time.Duration(max(c.Keys, c.Join))*200*time.Microsecond + 3*d + time.Minute
}

// fillCluster puts in the defaults.
func (o *Options) fillCluster() {
	c := &o.Cluster
	if c.Members == 0 {
		c.Members = 3
	}
	if c.Writers == 0 {
		c.Writers = 64
	}
	if c.Keys == 0 {
		c.Keys = 10_000
	}
	if c.Profile == "" {
		c.Profile = blaze.LAN.String()
	}
	if o.Idle == "" {
		o.Idle = crowdedIdle
	}
	o.Receivers = c.members()
}

// checkCluster refuses what no run of Cluster can be.
func (o *Options) checkCluster() error {
	c := &o.Cluster
	between := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s %d: want %d to %d", name, v, low, high)
		}
		return nil
	}
	if c.Kills > 0 && c.Members > 0 && c.Members < 3 {
		return fmt.Errorf("members %d: to go on without one there must be 3", c.Members)
	}
	if o.Size > MaxSize-4096 {
		return fmt.Errorf("size %d: want at most %d bytes", o.Size, MaxSize-4096)
	}
	return errors.Join(checkProfile(c.Profile), between("members", c.Members, 1, MaxRing-1), between("writers", c.Writers, 1, MaxWriters), between("keys", c.Keys, 1, MaxEntries),
		between("reads", c.Readers, 0, MaxWriters), between("kills", c.Kills, 0, MaxKills), between("join", c.Join, 0, MaxEntries))
}

// The names of what a run puts there.
const (
	benchMap  = "bench"
	benchLock = "lock"
	benchHeld = "held"
)

// clustered is a run of Cluster.
type clustered struct {
	r    *run
	o    *ClusterOptions
	res  *measure.ClusterResult
	name string // of the cluster
	dir  string // empty: none
	all  []*groupmember.Remote

	profile blaze.TotemProfile
}

// clusterRun runs members of one cluster.
func (r *run) clusterRun(ctx context.Context) (err error) {
	o := &r.o.Cluster
	r.children.name, r.children.host = "member", 0
	c := &clustered{r: r, o: o, name: fmt.Sprintf("blazebench-%016x", random()),
		res: &measure.ClusterResult{Result: *r.res, Members: o.Members, Writers: o.Writers, Keys: o.Keys, Readers: o.Readers, DataDir: o.Dir, Kills: o.Kills, Joined: o.Join, Profile: o.Profile}}
	c.res.Protocol = "cluster"
	r.res = &c.res.Result
	r.res.Cluster = c.res
	if o.Dir {
		if c.dir, err = os.MkdirTemp("", "blazebench"); err != nil {
			return err
		}
		defer os.RemoveAll(c.dir)
		if c.res.Filesync, err = fileSync(c.dir); err != nil {
			return err
		}
	}
	defer func() { r.children.cpu += groupmember.CloseAll(c.all, 3*time.Second) }()
	if err := c.profile.UnmarshalText([]byte(o.Profile)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, c.unrest(ctx))
		}
	}()
	r.progress("starting %d members", o.Members)
	for i := range o.Members {
		if err := c.start(i); err != nil {
			return err
		}
	}
	for _, m := range c.all {
		if err := c.ready(ctx, m); err != nil {
			return err
		}
	}
	entries := max(o.Keys, o.Join)
	r.progress("cluster: putting %d entries", entries)
	if err := c.fill(ctx, entries); err != nil {
		return err
	}
	if o.Join > 0 {
		r.progress("cluster: one more member starts")
		if err := c.join(ctx); err != nil {
			return err
		}
	} else if err := c.puts(ctx); err != nil {
		return err
	}
	if o.Readers > 0 {
		r.progress("cluster: reading")
		if err := c.reads(ctx); err != nil {
			return err
		}
	}
	if o.Locks {
		r.progress("cluster: a lock goes from one to the next")
		if err := c.locks(ctx); err != nil {
			return err
		}
	}
	for i := range o.Kills {
		r.progress("cluster: killing the master, %d of %d", i+1, o.Kills)
		if err := c.kill(ctx); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
	}
	if o.Kills > 0 {
		m, _ := middle(c.res.Failovers)
		l, _ := middle(c.res.LockFailovers)
		c.res.Failover, c.res.LockFailover = &m, &l
	}
	return c.judge(ctx)
}

// start begins member i.
func (c *clustered) start(i int) error {
	m, err := c.begin(i, false)
	if err == nil {
		c.all = append(c.all, m)
	}
	return err
}

// begin begins a process. held: its member starts with a command only.
func (c *clustered) begin(i int, held bool) (*groupmember.Remote, error) {
	shared := &groupmember.ClusterOrder{Expected: c.o.Members, Profile: c.profile}
	if c.dir != "" {
		shared.DataDir = filepath.Join(c.dir, fmt.Sprint(i))
		if err := os.MkdirAll(shared.DataDir, 0o755); err != nil {
			return nil, err
		}
	}
	return c.r.drivenAs(i, c.name, shared, held)
}

// ready waits until a member is in the primary component with all of the state.
func (c *clustered) ready(ctx context.Context, m *groupmember.Remote) error {
	if err := m.Ready(ctx); err != nil {
		return err
	}
	_, err := m.Do(ctx, groupmember.Command{Do: groupmember.DoReady, For: startLimit})
	return err
}

// fill puts the entries that are written and read later.
func (c *clustered) fill(ctx context.Context, entries int) error {
	_, err := c.all[0].Do(ctx, groupmember.Command{Do: groupmember.DoPuts, Name: benchMap, N: entries, Size: c.r.o.Size, Parallel: 512})
	return err
}

// partOf is the part of n that member i of all has.
func partOf(n, i, all int) int { return n*(i+1)/all - n*i/all }

// every is the pause between two puts of one writer.
func (c *clustered) every() time.Duration {
	if c.r.o.Rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) * float64(c.o.Writers) / c.r.o.Rate)
}

// write begins the puts of all writers, for a time.
func (c *clustered) write(d time.Duration) (waits []func(context.Context) (groupmember.Answer, error)) {
	for i, m := range c.all {
		if n := partOf(c.o.Writers, i, len(c.all)); n > 0 {
			waits = append(waits, m.Go(groupmember.Command{Do: groupmember.DoPuts, Name: benchMap, Parallel: n, Size: c.r.o.Size, Keys: max(c.o.Keys, c.o.Join), For: d, Every: c.every()}))
		}
	}
	return waits
}

// puts measures writes.
func (c *clustered) puts(ctx context.Context) error {
	c.r.progress("cluster: warming up")
	if _, err := gather(ctx, c.write(c.r.o.warmUp())); err != nil {
		return err
	}
	c.r.progress("cluster: putting for %v", c.r.o.Duration)
	before, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	began := engine.Now()
	answers, err := gather(ctx, c.write(c.r.o.Duration))
	if err != nil {
		return err
	}
	took := engine.Now().Sub(began)
	after, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	if visits := after[0].Counters.Ring.Tokens - before[0].Counters.Ring.Tokens; visits > 0 {
		c.res.RotationNS = float64(took) / float64(visits)
	}
	h := measure.NewHistogram()
	longest := time.Duration(0)
	for _, a := range answers {
		if err := addHist(h, a.Hist); err != nil {
			return err
		}
		c.res.Sent += a.Count
		longest = max(longest, a.Took)
	}
	c.res.Seconds = longest.Seconds()
	c.res.PutsPerSecond = float64(h.Count()) / longest.Seconds()
	c.res.Put, c.r.hist = h.Percentiles(), h
	return nil
}

func addHist(h *measure.Histogram, b []byte) error {
	part := measure.NewHistogram()
	if err := part.UnmarshalBinary(b); err != nil {
		return err
	}
	h.Add(part)
	return nil
}

// gather waits for answers.
func gather(ctx context.Context, waits []func(context.Context) (groupmember.Answer, error)) (answers []groupmember.Answer, failed error) {
	for _, wait := range waits {
		a, err := wait(ctx)
		answers = append(answers, a)
		failed = errors.Join(failed, err)
	}
	return answers, failed
}

// reads measures reads at one member, from its replica and then linear ones.
func (c *clustered) reads(ctx context.Context) error {
	d := c.r.o.Duration
	a, err := c.all[0].Do(ctx, groupmember.Command{Do: groupmember.DoGets, Name: benchMap, Keys: c.o.Keys, Parallel: c.o.Readers, For: d})
	if err != nil {
		return err
	}
	c.res.GetsPerSecond = float64(a.Count) / a.Took.Seconds()
	a, err = c.all[0].Do(ctx, groupmember.Command{Do: groupmember.DoLinear, Name: benchMap, Keys: c.o.Keys, Parallel: c.o.Writers, For: d})
	if err != nil {
		return err
	}
	h := measure.NewHistogram()
	if err := addHist(h, a.Hist); err != nil {
		return err
	}
	c.res.LinearPerSecond, c.res.Linear = float64(a.Count)/a.Took.Seconds(), h.Percentiles()
	return nil
}

// locks has goroutines of all members take one lock in turn: two of each.
func (c *clustered) locks(ctx context.Context) error {
	var waits []func(context.Context) (groupmember.Answer, error)
	for _, m := range c.all {
		waits = append(waits, m.Go(groupmember.Command{Do: groupmember.DoHandOffs, Name: benchMap + ".locks", To: benchLock, Parallel: 2, For: c.r.o.Duration}))
	}
	answers, err := gather(ctx, waits)
	if err != nil {
		return err
	}
	for _, a := range answers {
		c.res.LockHandOffs += float64(a.Count) / a.Took.Seconds()
	}
	return nil
}

// kill ends the master, which holds a lock and an entry that is to go with it.
func (c *clustered) kill(ctx context.Context) error {
	a, err := c.all[0].Do(ctx, groupmember.Command{Do: groupmember.DoMaster})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.all, func(m *groupmember.Remote) bool { return m.ID == a.Self })
	if i < 0 {
		return fmt.Errorf("the master %s is none of the members", a.Self)
	}
	victim := c.all[i]
	if _, err := victim.Do(ctx, groupmember.Command{Do: groupmember.DoHold, Name: benchHeld, To: benchLock}); err != nil {
		return err
	}
	var next, others []func(context.Context) (groupmember.Answer, error)
	for j, m := range c.all {
		if j == i {
			continue
		}
		if next == nil {
			next = append(next, m.Go(groupmember.Command{Do: groupmember.DoWaitLock, Name: benchHeld, To: benchLock}))
		}
		others = append(others, m.Go(groupmember.Command{Do: groupmember.DoMaster, Members: []string{victim.ID}}),
			m.Go(groupmember.Command{Do: groupmember.DoWaitGone, Name: benchHeld, To: benchLock}))
	}
	if err := c.waits(ctx, 1); err != nil {
		return err
	}
	at := engine.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	failover := 0.0
	answers, err := gather(ctx, others)
	if err != nil {
		return err
	}
	for _, a := range answers {
		failover = max(failover, since(at, clock.Time(a.At)))
	}
	answers, err = gather(ctx, next)
	if err != nil {
		return err
	}
	c.res.Failovers = append(c.res.Failovers, failover)
	c.res.LockFailovers = append(c.res.LockFailovers, since(at, clock.Time(answers[0].At)))
	c.r.children.cpu += victim.Close(0)
	m, err := c.begin(i, false)
	if err != nil {
		return err
	}
	c.all[i] = m
	return c.ready(ctx, m)
}

// waits waits until so many calls wait for locks.
func (c *clustered) waits(ctx context.Context, n int) error {
	for {
		all, err := c.statuses(ctx)
		if err != nil || all[0].Waits >= n {
			return err
		}
	}
}

// join starts one more member while the writers go on, and sees what they notice of it.
func (c *clustered) join(ctx context.Context) error {
	d := c.r.o.Duration
	waits := c.write(d)
	joiner, err := c.begin(c.o.Members, true)
	if err != nil {
		return err
	}
	if err := joiner.Ready(ctx); err != nil {
		return err
	}
	c.all = append(c.all, joiner)
	a, err := joiner.Do(ctx, groupmember.Command{Do: groupmember.DoJoined, For: d})
	if err != nil {
		return fmt.Errorf("the joiner is not ready while the writers write, for %v: %w", d, err)
	}
	answers, err := gather(ctx, waits)
	if err != nil {
		return err
	}
	h := measure.NewHistogram()
	for _, w := range answers {
		if err := addHist(h, w.Hist); err != nil {
			return err
		}
		c.res.PutsPerSecond += float64(w.Count) / w.Took.Seconds()
		for _, s := range w.Slow {
			switch {
			case s.At < a.Started || s.At > a.At:
			case s.At < a.Learning:
				c.res.RingStall = max(c.res.RingStall, float64(s.Took)/1e6)
			default:
				c.res.WriterStall = max(c.res.WriterStall, float64(s.Took)/1e6)
			}
		}
	}
	c.res.Put, c.r.hist = h.Percentiles(), h
	c.res.Seconds = d.Seconds()
	c.res.Ready = float64(a.At-a.Started) / 1e6
	c.res.TransferPerSecond = float64(c.o.Join) / (c.res.Ready / 1e3)
	return nil
}

// memberStatus is what one member says of the cluster.
type memberStatus struct {
	blaze.ClusterStatus
	Counters blaze.ClusterStats
	Waits    int
}

func (c *clustered) statuses(ctx context.Context) ([]memberStatus, error) {
	answers, err := groupmember.All(ctx, c.all, groupmember.Command{Do: groupmember.DoCluster})
	if err != nil {
		return nil, err
	}
	all := make([]memberStatus, len(answers))
	for i, a := range answers {
		s := &all[i]
		if err := errors.Join(json.Unmarshal(a.Status, &s.ClusterStatus), json.Unmarshal(a.Counters, &s.Counters)); err != nil {
			return nil, err
		}
		s.Waits = s.Counters.Waits
		c.res.Transport = a.Transport
	}
	return all, nil
}

// unrest is what to know of a run that failed: how often the ring of each member that answers was formed, and why that may
// be. Where members stand still for longer than the profile's timers bear, no quorum and unknown outcomes are right.
func (c *clustered) unrest(ctx context.Context) (text string) {
	ctx, cancel := context.WithTimeout(ctx, unrestWait)
	defer cancel()
	for i, m := range c.all {
		var s blaze.ClusterStats
		a, err := m.Do(ctx, groupmember.Command{Do: groupmember.DoCluster})
		if err != nil || json.Unmarshal(a.Counters, &s) != nil {
			continue
		}
		text += fmt.Sprintf("\nmember %d: %d rings (%d times the token was lost), stood still %d times; the longest time between two tokens %v, profile %s",
			i, s.Ring.Views, s.Ring.Reasons[totem.TokenLost], s.Ring.LoopGaps, s.TokenGap.Round(time.Millisecond), c.o.Profile)
	}
	return text
}

// unrestWait is how long members of a run that failed are asked.
const unrestWait = 3 * time.Second

// judge compares the replicas: all that have come equally far must be equal.
func (c *clustered) judge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		all, err := c.statuses(ctx)
		if err != nil {
			return err
		}
		same := true
		for i := range all {
			same = same && all[i].Index == all[0].Index && all[i].Primary
		}
		if !same {
			if ctx.Err() != nil {
				return errors.New("the members do not come to the same index")
			}
			continue
		}
		c.res.CoreStats, c.res.Mismatches = nil, 0
		for i := range all {
			if all[i].Hash != all[0].Hash || all[i].Entries != all[0].Entries {
				c.res.Mismatches++
			}
			c.res.Mismatches += all[i].Counters.HashMismatches
			c.res.Result.Members = append(c.res.Result.Members, fmt.Sprintf("%+v", all[i].Counters))
		}
		c.res.Rules = all[0].Rules
		return nil
	}
}

// fileSync is how long the disk of a directory takes to have 4 KiB more in a file, for good.
func fileSync(dir string) (int64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	block := make([]byte, 4096)
	var took []float64
	for range 100 {
		d, err := timed(func() error {
			if _, err := f.Write(block); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return 0, err
		}
		took = append(took, float64(d))
	}
	m, _ := middle(took)
	return int64(m), nil
}
