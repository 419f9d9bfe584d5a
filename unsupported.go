package blaze

import (
	"context"
	"iter"
	"time"
)

// Clusters come with a later version. Their names are here so that programs can be written against them: whatever
// can fail answers ErrUnsupported, through the one function unsupported, and the rest answers that nobody and
// nothing is there.

const (
	clusters = "ClusterChannel: only Channel and GroupChannel are there"
)

// ClusterChannel is a GroupChannel with replicated maps, locks and a master. This version does
// not have it.
type ClusterChannel struct{ *GroupChannel }

// NewClusterChannel answers ErrUnsupported.
func NewClusterChannel(name string, cfg Config) (*ClusterChannel, error) {
	return nil, unsupported(clusters)
}

// Map is the replicated map of this name; it is there as soon as somebody names it.
func (c *ClusterChannel) Map(name string) *Map { return new(Map) }

// Master is the member that is master now.
func (c *ClusterChannel) Master() (Member, bool) { return Member{}, false }

// IsMaster reports whether this member is.
func (c *ClusterChannel) IsMaster() bool { return false }

// OnMaster calls h with every new master until cancel is called.
func (c *ClusterChannel) OnMaster(h func(master Member)) (cancel func()) { return func() {} }

// SetMasterWeight changes this member's weight: the highest, then the longest-serving, is master.
func (c *ClusterChannel) SetMasterWeight(ctx context.Context, weight int) error {
	return unsupported(clusters)
}

// WaitReady waits until this member is in the primary component, with its state transferred and
// a master elected.
func (c *ClusterChannel) WaitReady(ctx context.Context) error { return unsupported(clusters) }

// Primary reports whether this member is in the primary component.
func (c *ClusterChannel) Primary() bool { return false }

// Map is a map from strings to bytes that all members of a cluster replicate.
type Map struct{}

// Put gives key a value, and returns the entry's version.
func (m *Map) Put(ctx context.Context, key string, value []byte, opts ...PutOption) (version uint64, err error) {
	return 0, unsupported(clusters)
}

// PutMessage is Put of v's encoding, which Entry.Message reads.
func (m *Map) PutMessage(ctx context.Context, key string, v *Message, opts ...PutOption) (uint64, error) {
	return 0, unsupported(clusters)
}

// CompareAndPut is Put if the entry still has this version; 0: if there is none (ErrVersion).
func (m *Map) CompareAndPut(ctx context.Context, key string, value []byte, version uint64, opts ...PutOption) (uint64, error) {
	return 0, unsupported(clusters)
}

// Delete removes key; that it is absent is no error.
func (m *Map) Delete(ctx context.Context, key string, opts ...PutOption) error {
	return unsupported(clusters)
}

// Get reads this replica, at once.
func (m *Map) Get(key string) (Entry, bool) { return Entry{}, false }

// GetLinear reads in the order of all writes: linearizable.
func (m *Map) GetLinear(ctx context.Context, key string) (Entry, bool, error) {
	return Entry{}, false, unsupported(clusters)
}

// Len is the number of entries of this replica.
func (m *Map) Len() int { return 0 }

// All goes through a consistent snapshot of this replica.
func (m *Map) All() iter.Seq2[string, Entry] { return func(func(string, Entry) bool) {} }

// Watch calls h with what is there under prefix, and then with every change, until cancel is called.
func (m *Map) Watch(prefix string, h func(MapEvent)) (cancel func()) { return func() {} }

// Lock waits in line for the lock of key.
func (m *Map) Lock(ctx context.Context, key string, opts ...LockOption) (*Lock, error) {
	return nil, unsupported(clusters)
}

// TryLock is Lock that does not wait: ErrLocked.
func (m *Map) TryLock(ctx context.Context, key string, opts ...LockOption) (*Lock, error) {
	return nil, unsupported(clusters)
}

// PutOption is an option of writes to a Map.
type PutOption func(*putOptions)

type putOptions struct {
	ttl          time.Duration
	removeOnExit bool
	holding      *Lock
}

// TTL has the entry expire d after the write.
func TTL(d time.Duration) PutOption { return func(o *putOptions) { o.ttl = d } }

// RemoveOnExit has the entry go when its owner leaves or fails.
func RemoveOnExit() PutOption { return func(o *putOptions) { o.removeOnExit = true } }

// Holding has the write fail with ErrNotOwner unless l is held and is the key's lock.
func Holding(l *Lock) PutOption { return func(o *putOptions) { o.holding = l } }

// LockOption is an option of Lock and TryLock.
type LockOption func(*lockOptions)

type lockOptions struct {
	lease      time.Duration
	keepOnExit bool
}

// Lease has the lock expire unless extended; the default is Config.LockLease.
func Lease(d time.Duration) LockOption { return func(o *lockOptions) { o.lease = d } }

// KeepOnExit has the lock survive its owner until its lease ends.
func KeepOnExit() LockOption { return func(o *lockOptions) { o.keepOnExit = true } }

// Lock is a lock of a Map's key that is held.
type Lock struct{}

// Token is the fencing token: higher at every grant of this key.
func (l *Lock) Token() uint64 { return 0 }

// Extend renews the lease, which then ends d from now.
func (l *Lock) Extend(ctx context.Context, d time.Duration) error { return unsupported(clusters) }

// Unlock releases the lock.
func (l *Lock) Unlock(ctx context.Context) error { return unsupported(clusters) }

// Lost is closed when the lock is no longer held.
func (l *Lock) Lost() <-chan struct{} {
	lost := make(chan struct{})
	close(lost) // nobody holds one in this version
	return lost
}
