package blaze

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/store"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// ClusterChannel is a GroupChannel whose members share state: maps that every member holds, locks of their keys, and a
// master. At most 16 ClusterChannels of one Config.Cluster form a ring of their own, in which every write has its place
// in one order. Writes, locks and linear reads need the primary component: more than half of the members, see
// Config.ExpectedMembers.
//
// # What is not promised
//
// Three exceptions are inherent, where the state is in memory only.
//
// E1, founded apart (ExpectedMembers 0): members that start without a path between them found chains of their own. When
// they meet, the older chain's state wins and the other's is dropped, with MapReset. Remedy: ExpectedMembers.
//
// E2, a majority forgets: a process that restarts holds nothing. If those that hold the state are cut off while enough
// restarted ones meet to found or to continue, what only the former held is lost. Remedy: DataDir.
//
// E3, a seat is taken over: a restarted process takes the seat of the process with the same Config.Name. It votes
// without remembering what its predecessor had voted for. Remedy: DataDir.
//
// # Errors of calls
//
// ErrNoQuorum, ErrLocked, ErrVersion, ErrNotOwner and ErrTooLarge mean that nothing happened, and nothing will.
// ErrUnknownOutcome means that it may have happened: this member left the primary component while the operation was
// under way. When ctx ends first, the error wraps ctx's; it matches ErrUnknownOutcome too if the operation was on its
// way. While the members agree on a new primary component, calls wait. ErrState: the channel is not started. ErrClosed:
// it stops. ErrBackPressure: the caller is an Inline handler, which cannot wait. ErrUnsupported: the ring is full, or
// this build is too old or too new for the others.
type ClusterChannel struct{ *GroupChannel }

// clusterState is what a ClusterChannel has besides. It outlives starts.
type clusterState struct {
	replica  *run.Replica
	services atomic.Pointer[[]*registered] // ascending by name; replaced, never changed
	disk     *store.Store                  // from Init, or Start, to the end of Stop; nil without DataDir
	zero     int64                         // the wall clock at clock.Time 0 as the last start had it, microseconds since 1970; 0: there was none
}

// NewClusterChannel makes a channel in state Constructed, as NewGroupChannel does. name wins over cfg.Name; if it is
// empty, cfg.Name counts.
func NewClusterChannel(name string, cfg Config) (*ClusterChannel, error) {
	if name != "" {
		cfg.Name = name
	}
	g := newGroupChannel()
	g.cluster = &clusterState{replica: run.NewReplica()}
	g.cluster.services.Store(new([]*registered))
	if err := g.SetConfig(cfg); err != nil {
		return nil, err
	}
	c := &ClusterChannel{g}
	c.openDesk()
	return c, nil
}

// clockBack is how far the wall clock may be set back between two starts without a word in the log.
const clockBack = 10 * time.Second

// wallZero is the wall clock at clock.Time 0, in microseconds since 1970, for a start where the clock says zero. Versions
// and tokens follow it: so it does not go back while the process lives.
func (s *clusterState) wallZero(zero int64, log *slog.Logger) int64 {
	if back := time.Duration(s.zero-zero) * time.Microsecond; s.zero != 0 && back > clockBack {
		log.Warn("blaze: the wall clock was set back since this channel's last start: it goes on from where it was",
			"by", back.Round(time.Second), "remedy", "DataDir keeps versions and tokens whatever clocks do; without it a new process may begin below them")
	}
	s.zero = max(s.zero, zero)
	return s.zero
}

// clusterConfig is what a start of a ClusterChannel needs besides; nil for others.
func (c *Channel) clusterConfig() (*run.ClusterConfig, error) {
	if c.cluster == nil {
		return nil, nil
	}
	conf := c.cfg.Load()
	held, err := c.loadDisk()
	if err != nil {
		return nil, err
	}
	profile := conf.Totem.profile(conf.Idle)
	c.group.mu.Lock()
	started, wall := int64(c.group.started/1000), int64(c.group.wall/1000)
	c.group.mu.Unlock()
	if conf.ExpectedMembers > 0 && conf.Name == defaultName() {
		c.logger().Warn("blaze: the member's name is the default, which holds the process id: when this process restarts, it cannot take its seat in the cluster again",
			"name", conf.Name, "ExpectedMembers", conf.ExpectedMembers, "remedy", "give each process a Config.Name that stays over restarts")
	}
	zero := c.cluster.wallZero(wall-int64(engine.Now())/1000, c.logger())
	c.cluster.replica.Clear()
	full, failing := &refusalLog{}, &ringLog{}
	life, end := context.WithCancel(context.Background())
	services, err := c.machines(life)
	if err != nil {
		end()
		return nil, err
	}
	return &run.ClusterConfig{
		Disk: c.cluster.disk, Finish: end,
		Ring: member.ClusterRing{Profile: profile, Plain: conf.Totem.Plain, Events: func(e totem.Event) {
			if e.Kind == totem.TooManyMembers {
				full.warn(c, "blaze: the cluster has as many members as it can have, so another one does not join",
					"fewer ClusterChannels of one Config.Cluster", totem.MaxMembers, e.Member)
			}
			failing.event(c, e)
		}},
		Core: cluster.Config{
			Name: conf.Name, Started: started, Wall: zero,
			Expected: conf.ExpectedMembers, Weight: int64(conf.MasterWeight), Observer: conf.Observer,
			MaxValue: min(conf.MaxMessageSize, wire.MaxClusterValue), StateLimit: conf.StateLimit,
			Guard: 4 * profile.TokenLoss, Discovery: 5 * profile.Merge,
			Recovered: held, Interval: conf.Sync == SyncInterval, Services: services,
		},
		Replica: c.cluster.replica,
		Warn: func(w *cluster.Warning) {
			level, args := slog.LevelWarn, []any{}
			switch w.Kind {
			case cluster.Info:
				level = slog.LevelInfo
			case cluster.Error:
				level = slog.LevelError
			}
			if w.Member != (wire.MemberID{}) {
				args = append(args, "member", MemberID(w.Member))
			}
			go c.logger().Log(context.Background(), level, "blaze: "+w.Text, args...)
		},
		Slow: func(watcher, prefix string) {
			c.logger().Warn("blaze: a handler of Watch was too slow: it begins anew, with MapReset", "map", watcher, "prefix", prefix)
		},
	}, nil
}

// Primary reports whether this member is in the primary component with a complete replica. A member that stands still,
// or whose network is gone, does not report so for longer than a moment: 200 ms with Config.Totem's defaults.
func (c *ClusterChannel) Primary() bool {
	st := c.run.Load()
	return st != nil && st.Cluster().Primary()
}

// WaitReady waits until this member is in the primary component, its replica is complete, and there is a master. Its
// errors are ctx's, ErrState, ErrClosed, ErrBackPressure and ErrUnsupported, and that of a disk that has failed.
func (c *ClusterChannel) WaitReady(ctx context.Context) error {
	return errOf(c.carry(ctx, task{call: "WaitReady"}, func(s *member.ClusterCall) { s.Call.Kind = cluster.CallReady }))
}

// Force makes the members that are connected now the primary component, although they are no quorum. It is for an
// operator who is sure that the missing members do not come back. What only they hold is lost. If they are alive and go
// on by themselves, there are two clusters. Force returns nil once this member is in the primary component. Where it is
// in one already, nothing happens.
func (c *ClusterChannel) Force(ctx context.Context) error {
	return errOf(c.carry(ctx, task{call: "Force"}, func(s *member.ClusterCall) { s.Call.Kind = cluster.CallForce }))
}

// task is what a call asks for, for errors.
type task struct{ call, name, key string }

// String is "Put in map \"orders\", key \"17\"".
func (a task) String() string {
	s := a.call
	switch {
	case a.call == propose:
		s += " to service " + strconv.Quote(words.Abridged(a.name))
	case a.name != "":
		s += " in map " + strconv.Quote(words.Abridged(a.name))
	}
	if a.key != "" {
		s += ", key " + strconv.Quote(words.Abridged(a.key))
	}
	return s
}

// answer is a call that has its result.
type answer struct {
	*member.ClusterCall
	of *run.Cluster
}

func (a answer) free() { a.of.Free(a.ClusterCall) }

// errOf ends a call of carry whose error is its whole result.
func errOf(a answer, err error) error {
	if err == nil {
		a.free()
	}
	return err
}

// carry makes a call and waits for its result. On nil the answer is the caller's, to free.
func (c *ClusterChannel) carry(ctx context.Context, w task, fill func(*member.ClusterCall)) (answer, error) {
	st, err := c.begun(ctx, w)
	if err != nil {
		return answer{}, err
	}
	return c.carryIn(ctx, st, w, fill)
}

// begun returns the start that a call is made in.
func (c *ClusterChannel) begun(ctx context.Context, w task) (*start, error) {
	st := c.run.Load()
	if st == nil {
		return nil, fmt.Errorf("%w: %v in state %v: Start the channel first", ErrState, w, c.State())
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("blaze: %v: %w", w, err)
	}
	return st, nil
}

func (c *ClusterChannel) carryIn(ctx context.Context, st *start, w task, fill func(*member.ClusterCall)) (answer, error) {
	of := st.Cluster()
	s, err := of.Slot(ctx)
	if err != nil {
		return answer{}, c.callFailed(w, false, err)
	}
	fill(s)
	if err := of.Begin(ctx, s); err != nil {
		return answer{}, c.callFailed(w, false, err)
	}
	return c.finishCall(ctx, of, w, s)
}

// finishCall waits for the result of a call that was begun, as carry does.
func (c *ClusterChannel) finishCall(ctx context.Context, of *run.Cluster, w task, s *member.ClusterCall) (answer, error) {
	ended, err := of.Finish(ctx, s)
	if !ended {
		return answer{}, c.callFailed(w, true, err)
	}
	if s.Cancelled {
		err = c.callFailed(w, s.Call.Proposed, err)
	} else {
		err = c.refused(w, &s.Call)
	}
	if err != nil {
		of.Free(s)
		return answer{}, err
	}
	return answer{s, of}, nil
}

// callFailed is the error of a call without a result.
func (c *ClusterChannel) callFailed(w task, proposed bool, err error) error {
	switch {
	case err == run.ErrOccupied:
		return fmt.Errorf("%w: %v would wait, in an Inline handler", ErrBackPressure, w)
	case err == run.ErrClosed:
		return fmt.Errorf("%w: %v", errStops, w)
	case proposed:
		return fmt.Errorf("%w: %v was under way: %w", ErrUnknownOutcome, w, err)
	}
	return fmt.Errorf("blaze: waiting for %v: %w", w, err)
}

// refused is the error of a call's result; nil: it is what was asked for.
func (c *ClusterChannel) refused(w task, r *cluster.Call) error {
	switch r.Code {
	case cluster.CodeOK:
		return nil
	case cluster.CodeLocked:
		return fmt.Errorf("%w: %v", ErrLocked, w)
	case cluster.CodeNotOwner:
		return fmt.Errorf("%w: %v", ErrNotOwner, w)
	case cluster.CodeVersion:
		return fmt.Errorf("%w: %v", ErrVersion, w)
	case cluster.CodeTooLarge:
		return fmt.Errorf("%w: %v: a limit of the cluster: Config.StateLimit, the smallest MaxMessageSize of its members, or the number of maps, locks or waits", ErrTooLarge, w)
	case cluster.CodeMalformed:
		return fmt.Errorf("%w: %v", ErrArgument, w)
	case cluster.CodeNoQuorum:
		return fmt.Errorf("%w: %v", ErrNoQuorum, w)
	case cluster.CodeUnknown:
		return fmt.Errorf("%w: %v", ErrUnknownOutcome, w)
	case cluster.CodePanicked:
		return fmt.Errorf("blaze: %v: its Apply has panicked: the log says where", w)
	case cluster.CodeUnsupported:
		why := c.Status().Why
		if why == "" && r.Op.Kind == wire.OpService {
			why = "it is not in force, since not all members of the cluster have it"
		}
		return fmt.Errorf("%w: %v: %s", ErrUnsupported, w, why)
	case cluster.CodeDisk:
		return fmt.Errorf("blaze: %v: the disk of this member has failed: %s", w, c.Status().DiskError)
	}
	if r.Proposed {
		return fmt.Errorf("%w: %v was under way (%w)", errStops, w, ErrUnknownOutcome)
	}
	return fmt.Errorf("%w: %v", errStops, w)
}

// checkMapName judges the name of a map.
func checkMapName(name string) error {
	if name == "" || len(name) > wire.MaxMapName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: map %s: must be valid UTF-8 of 1 to %d bytes", ErrArgument, strconv.Quote(words.Abridged(name)), wire.MaxMapName)
	}
	return nil
}

// clusterBytes is what a cluster takes besides packet memory and its state, which StateLimit bounds.
func (c *Config) clusterBytes() int64 {
	if !c.clustered {
		return 0
	}
	return member.ClusterBytes + run.ClusterBytes
}
