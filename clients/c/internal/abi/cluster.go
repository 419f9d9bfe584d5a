package abi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/activeblaze/blaze"
)

// clusterMap is a replicated map.
type clusterMap struct {
	part
	m *blaze.Map
}

func (m *clusterMap) close() error { return nil }

func mapOf(h uint64) (*clusterMap, error) { return look[*clusterMap](h, KindMap) }

// NewMap names a map. A name that is none is refused by the calls.
func NewMap(channel uint64, name string) (uint64, error) {
	c, err := clusterOf(channel)
	if err != nil {
		return 0, err
	}
	return adopt(KindMap, &clusterMap{part{c}, c.cluster.Map(name)})
}

// PutOptions are what a write may ask for besides.
type PutOptions struct {
	TTL          int64 // ms; 0: none
	RemoveOnExit bool
	Holding      uint64 // a lock; 0: none
}

func (o PutOptions) options() (all []blaze.PutOption, err error) {
	if o.TTL != 0 {
		all = append(all, blaze.TTL(milliseconds(o.TTL)))
	}
	if o.RemoveOnExit {
		all = append(all, blaze.RemoveOnExit())
	}
	if o.Holding != 0 {
		l, err := lockOf(o.Holding)
		if err != nil {
			return nil, err
		}
		all = append(all, blaze.Holding(l.l))
	}
	return all, nil
}

// milliseconds is a Duration; what is out of its range is the longest or shortest.
func milliseconds(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(ms, -most), most)) * time.Millisecond
}

// Put writes an entry, and returns its version. With compare, the entry must still have the version expected.
func Put(h uint64, key string, value []byte, compare bool, expected uint64, o PutOptions, timeout int64) (uint64, error) {
	m, err := mapOf(h)
	if err != nil {
		return 0, err
	}
	opts, err := o.options()
	if err != nil {
		return 0, err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	value = append([]byte{}, value...) // a call that is given up keeps it for a while
	if compare {
		return m.m.CompareAndPut(ctx, key, value, expected, opts...)
	}
	return m.m.Put(ctx, key, value, opts...)
}

// Remove deletes an entry; holding is a lock, or 0.
func Remove(h uint64, key string, holding uint64, timeout int64) error {
	m, err := mapOf(h)
	if err != nil {
		return err
	}
	opts, err := PutOptions{Holding: holding}.options()
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return m.m.Delete(ctx, key, opts...)
}

// Lookup reads this member's replica.
func Lookup(h uint64, key string) (e blaze.Entry, err error) {
	m, err := mapOf(h)
	if err != nil {
		return e, err
	}
	e, ok := m.m.Get(key)
	if !ok {
		return e, absent(key)
	}
	return e, nil
}

func absent(key string) error { return fmt.Errorf("%w: the map has no key %q", ErrNotFound, key) }

// LookupLinear reads in the order of all writes.
func LookupLinear(h uint64, key string, timeout int64) (e blaze.Entry, err error) {
	m, err := mapOf(h)
	if err != nil {
		return e, err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	e, ok, err := m.m.GetLinear(ctx, key)
	if err == nil && !ok {
		err = absent(key)
	}
	return e, err
}

// Entries is the number of entries of this replica.
func Entries(h uint64) (int, error) {
	m, err := mapOf(h)
	if err != nil {
		return 0, err
	}
	return m.m.Len(), nil
}

// AllEntries is a snapshot of this replica.
func AllEntries(h uint64) (all []blaze.Entry, err error) {
	m, err := mapOf(h)
	if err != nil {
		return nil, err
	}
	for _, e := range m.m.All() {
		all = append(all, e)
	}
	return all, nil
}

// lock is a lock that was granted.
type lock struct {
	part
	l *blaze.Lock
}

func lockOf(h uint64) (*lock, error) { return look[*lock](h, KindLock) }

// close releases the lock, without waiting for it.
func (l *lock) close() error {
	if l.l.Held() {
		_ = l.l.Unlock(ended)
	}
	return nil
}

// LockKey gets the lock of a key, in line or at once. lease in ms; 0: Config.LockLease.
func LockKey(h uint64, key string, try bool, lease int64, keep bool, timeout int64) (uint64, error) {
	m, err := mapOf(h)
	if err != nil {
		return 0, err
	}
	var opts []blaze.LockOption
	if lease != 0 {
		opts = append(opts, blaze.Lease(milliseconds(lease)))
	}
	if keep {
		opts = append(opts, blaze.KeepOnExit())
	}
	ctx, cancel := within(timeout)
	defer cancel()
	f := m.m.Lock
	if try {
		f = m.m.TryLock
	}
	l, err := f(ctx, key, opts...)
	if err != nil {
		return 0, err
	}
	return adopt(KindLock, &lock{part{m.of}, l})
}

// Token is the fencing token.
func Token(h uint64) (uint64, error) {
	l, err := lockOf(h)
	if err != nil {
		return 0, err
	}
	return l.l.Token(), nil
}

// Held is nil while the lock is held, else ErrNotOwner.
func Held(h uint64) error {
	l, err := lockOf(h)
	if err == nil && !l.l.Held() {
		return blaze.ErrNotOwner
	}
	return err
}

// WaitLost waits until the lock is held no longer.
func WaitLost(h uint64, timeout int64) error {
	l, err := lockOf(h)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	select {
	case <-l.l.Lost():
		return nil
	default:
	}
	select {
	case <-l.l.Lost():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the loss of a lock: %w", ctx.Err())
	}
}

// Extend renews the lease.
func Extend(h uint64, lease, timeout int64) error {
	l, err := lockOf(h)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return l.l.Extend(ctx, milliseconds(lease))
}

// Unlock releases the lock, and closes the handle.
func Unlock(h uint64, timeout int64) error {
	l, err := lockOf(h)
	if err != nil {
		return err
	}
	if handles.remove(h) == nil {
		return badHandle(h, KindLock)
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return l.l.Unlock(ctx)
}

// WaitReady waits until the member is in the primary component, with its state, and there is a master.
func WaitReady(h uint64, timeout int64) error {
	return inCluster(h, timeout, (*blaze.ClusterChannel).WaitReady)
}

// Force makes the connected members the primary component.
func Force(h uint64, timeout int64) error {
	return inCluster(h, timeout, (*blaze.ClusterChannel).Force)
}

// SetMasterWeight changes this member's weight.
func SetMasterWeight(h uint64, weight, timeout int64) error {
	return inCluster(h, timeout, func(c *blaze.ClusterChannel, ctx context.Context) error { return c.SetMasterWeight(ctx, int(weight)) })
}

func inCluster(h uint64, timeout int64, f func(*blaze.ClusterChannel, context.Context) error) error {
	c, err := clusterOf(h)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return f(c.cluster, ctx)
}

// Primary reports whether the member is in the primary component.
func Primary(h uint64) (bool, error) {
	c, err := clusterOf(h)
	if err != nil {
		return false, err
	}
	return c.cluster.Primary(), nil
}

// IsMaster reports whether the member is master.
func IsMaster(h uint64) (bool, error) {
	c, err := clusterOf(h)
	if err != nil {
		return false, err
	}
	return c.cluster.IsMaster(), nil
}

// Master is the master.
func Master(h uint64) (m blaze.Member, err error) {
	c, err := clusterOf(h)
	if err != nil {
		return m, err
	}
	m, ok := c.cluster.Master()
	if !ok {
		return m, fmt.Errorf("%w: there is no master now", ErrNotFound)
	}
	return m, nil
}

// ClusterStatus is what the member knows of its cluster, as JSON.
func ClusterStatus(h uint64) ([]byte, error) {
	c, err := clusterOf(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(c.cluster.Status())
}
