package blaze

import (
	"context"
	"fmt"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/wire"
)

// Lock is a lock of a Map's key that was granted. While it is held, no write of the key counts but with Holding. It ends
// with Unlock, with its lease, when this member leaves the primary component or stands still for too long, and with Stop.
//
// A process that was stopped, or a clock that runs at another rate, may believe in a lock for a moment too long where it
// does not ask Held. What the lock protects outside of the cluster is therefore to be given Token, and to refuse one that
// is lower than one that it was given before.
type Lock struct {
	m     *Map
	key   string
	lease *run.Lease
}

// Lock waits in line for the lock of key. Each call is a holder of its own: a second one of the same member waits, too. The
// line is fair: first come, first served. When ctx ends first, the call leaves the line.
func (m *Map) Lock(ctx context.Context, key string, opts ...LockOption) (*Lock, error) {
	return m.lock(ctx, "Lock", key, false, opts)
}

// TryLock is Lock that does not wait in line. It fails with ErrLocked while another call holds the lock.
func (m *Map) TryLock(ctx context.Context, key string, opts ...LockOption) (*Lock, error) {
	return m.lock(ctx, "TryLock", key, true, opts)
}

func (m *Map) lock(ctx context.Context, call, key string, try bool, opts []LockOption) (*Lock, error) {
	if err := m.check(call, key); err != nil {
		return nil, err
	}
	w := task{call, m.name, key}
	o := lockOptions{lease: m.c.cfg.Load().LockLease}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: %v: an option is nil", ErrArgument, w)
		}
		opt(&o)
	}
	if err := checkTerm(w, "lease", o.lease); err != nil {
		return nil, err
	}
	for {
		s, err := m.c.carry(ctx, w, func(s *member.ClusterCall) {
			s.Name(m.name, key, nil)
			s.Call.Kind = cluster.CallLock
			op := &s.Call.Op
			op.Kind, op.Try, op.Keep, op.Lease = wire.OpLock, try, o.keepOnExit, int64(o.lease)
		})
		if err != nil {
			return nil, err
		}
		lease := s.Result.(*run.Lease)
		s.free()
		if lease.Held() {
			return &Lock{m: m, key: key, lease: lease}, nil
		}
		lease.GiveBack() // the grant took longer to come here than the lease
	}
}

// Token is the fencing token: higher at every grant of this key, for as long as the cluster lives and beyond.
func (l *Lock) Token() uint64 { return l.lease.Token() }

// Held reports whether the lock is held now. It reads the clock, so it is right also where this process has just stood
// still: it is false from the moment on from which another member may get the lock.
func (l *Lock) Held() bool { return l.lease.Held() }

// Lost is closed when the lock is held no longer: it was unlocked, its lease is over, this member is not in the primary
// component any more, or the channel stops.
func (l *Lock) Lost() <-chan struct{} { return l.lease.Lost() }

// Extend renews the lease, which then ends d after now, 1ms..24h. It fails with ErrArgument where d is out of range, and
// with ErrNotOwner where the lock is not held any more.
func (l *Lock) Extend(ctx context.Context, d time.Duration) error {
	w := task{"Extend", l.m.name, l.key}
	if err := checkTerm(w, "lease", d); err != nil {
		return err
	}
	st, err := l.here(w)
	if err != nil {
		return err
	}
	if !l.Held() {
		return fmt.Errorf("%w: %v: the lock is not held any more", ErrNotOwner, w)
	}
	return errOf(l.m.c.carryIn(ctx, st, w, func(s *member.ClusterCall) {
		l.about(s, cluster.CallExtend)
		s.Call.Op.Kind, s.Call.Op.Lease = wire.OpExtend, int64(d)
	}))
}

// Unlock releases the lock. From the call on it is not held any more, whatever Unlock returns: where this member is
// outside of the primary component, or ctx ends, the release is made up for as soon as that is possible. A second Unlock is
// ErrNotOwner, and so is that of a lock that was lost before.
func (l *Lock) Unlock(ctx context.Context) error {
	w := task{"Unlock", l.m.name, l.key}
	st, err := l.here(w)
	if err != nil {
		return err
	}
	if !l.lease.GiveUp() {
		return fmt.Errorf("%w: %v: the lock is not held any more", ErrNotOwner, w)
	}
	return errOf(l.m.c.carryIn(ctx, st, w, func(s *member.ClusterCall) {
		l.about(s, cluster.CallUnlock)
		s.Call.Op.Kind = wire.OpUnlock
	}))
}

// here returns the start in which the lock was granted, if that is the present one.
func (l *Lock) here(w task) (*start, error) {
	st := l.m.c.run.Load()
	switch {
	case st == nil:
		return nil, fmt.Errorf("%w: %v in state %v", ErrState, w, l.m.c.State())
	case !l.lease.Of(st.Run):
		return nil, fmt.Errorf("%w: %v: the lock was granted before the channel's last Stop", ErrNotOwner, w)
	}
	return st, nil
}

func (l *Lock) about(s *member.ClusterCall, kind cluster.CallKind) {
	s.Name(l.m.name, l.key, nil)
	s.Call.Kind, s.Call.Lock, s.Call.Op.Token = kind, l.lease.Number(), l.Token()
}

// LockOption is an option of Lock and TryLock.
type LockOption func(*lockOptions)

type lockOptions struct {
	lease      time.Duration
	keepOnExit bool
}

// Lease has the lock expire d after its grant unless it is extended, 1ms..24h, else the call fails with ErrArgument. The
// default is Config.LockLease.
func Lease(d time.Duration) LockOption { return func(o *lockOptions) { o.lease = d } }

// KeepOnExit has the lock survive its owner until its lease ends. By default it is released when the owner leaves, and
// shortly after the owner has failed.
func KeepOnExit() LockOption { return func(o *lockOptions) { o.keepOnExit = true } }
