package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

func mustLock(t testing.TB, m *blaze.Map, key string, opts ...blaze.LockOption) *blaze.Lock {
	t.Helper()
	l, err := m.Lock(soon(t), key, opts...)
	if err != nil {
		t.Fatalf("Lock %s: %v", key, err)
	}
	if !l.Held() {
		t.Fatalf("Lock %s is not held", key)
	}
	return l
}

func isLost(l *blaze.Lock) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// One holder at a time, in the order of the calls; tokens rise; what is locked takes no writes but its holder's.
func TestLock(t *testing.T) {
	all := clusterOf(t, 2)
	ctx := soon(t)
	m, other := all[0].Map("m"), all[1].Map("m")
	first := mustLock(t, m, "k")
	if _, err := other.TryLock(ctx, "k"); !errors.Is(err, blaze.ErrLocked) {
		t.Errorf("TryLock of a locked key: %v", err)
	}
	if _, err := m.TryLock(ctx, "k"); !errors.Is(err, blaze.ErrLocked) {
		t.Errorf("TryLock by the same member: %v", err)
	}
	for _, x := range []*blaze.Map{m, other} {
		if _, err := x.Put(ctx, "k", nil); !errors.Is(err, blaze.ErrLocked) {
			t.Errorf("Put of a locked key: %v", err)
		}
	}
	if err := other.Delete(ctx, "k"); !errors.Is(err, blaze.ErrLocked) {
		t.Errorf("Delete of a locked key: %v", err)
	}
	mustPut(t, other, "k2", "not locked")
	mustPut(t, m, "k", "held", blaze.Holding(first))
	if _, err := m.CompareAndPut(ctx, "k", nil, 1, blaze.Holding(first)); !errors.Is(err, blaze.ErrVersion) {
		t.Errorf("CompareAndPut by the holder: %v", err)
	}
	granted := make(chan *blaze.Lock, 1)
	go func() {
		l, err := other.Lock(ctx, "k")
		if err != nil {
			t.Error(err)
		}
		granted <- l
	}()
	eventually(t, "the waiter", func() bool { return all[0].Stats().Cluster.Waits == 1 })
	if err := first.Extend(ctx, time.Minute); err != nil || !first.Held() {
		t.Errorf("Extend: %v", err)
	}
	if err := first.Unlock(ctx); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	second := next(t, granted, "the lock")
	if second.Token() <= first.Token() || first.Held() || !isLost(first) || !second.Held() || isLost(second) {
		t.Errorf("tokens %d, %d; held %t, %t", first.Token(), second.Token(), first.Held(), second.Held())
	}
	if _, err := m.Put(ctx, "k", nil, blaze.Holding(first)); !errors.Is(err, blaze.ErrNotOwner) {
		t.Errorf("Put with a lock that was unlocked: %v", err)
	}
	if err := m.Delete(ctx, "k", blaze.Holding(second)); !errors.Is(err, blaze.ErrNotOwner) {
		t.Errorf("Delete with another member's lock: %v", err)
	}
	if err := other.Delete(ctx, "k", blaze.Holding(second)); err != nil {
		t.Errorf("Delete by the holder: %v", err)
	}
}

// A lease that is not extended ends: the holder is told in time, and the next in line gets the lock.
func TestLockLease(t *testing.T) {
	all := clusterOf(t, 2)
	const lease = 300 * time.Millisecond
	l := mustLock(t, all[0].Map("m"), "k", blaze.Lease(lease))
	var heldUntil atomic.Int64
	go func() {
		for l.Held() {
			heldUntil.Store(time.Now().UnixNano())
		}
	}()
	second := mustLock(t, all[1].Map("m"), "k")
	at := time.Now().UnixNano()
	if at < heldUntil.Load() {
		t.Errorf("two holders for %v", time.Duration(heldUntil.Load()-at))
	}
	if second.Token() <= l.Token() || l.Held() {
		t.Errorf("tokens %d, %d", l.Token(), second.Token())
	}
	next(t, l.Lost(), "the end of the lease")
	ctx := soon(t)
	if err := l.Extend(ctx, time.Second); !errors.Is(err, blaze.ErrNotOwner) {
		t.Errorf("Extend: %v", err)
	}
	if err := l.Unlock(ctx); !errors.Is(err, blaze.ErrNotOwner) {
		t.Errorf("Unlock: %v", err)
	}
}

// Extending keeps a lock beyond its first lease.
func TestLockExtend(t *testing.T) {
	a := alone(t)
	l := mustLock(t, a.Map("m"), "k", blaze.Lease(200*time.Millisecond))
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := l.Extend(soon(t), 200*time.Millisecond); err != nil || !l.Held() {
			t.Fatalf("Extend: %v", err)
		}
	}
}

// A caller that gives up leaves the line, and whoever is behind it gets the lock.
func TestLockGiveUp(t *testing.T) {
	all := clusterOf(t, 2)
	m := all[0].Map("m")
	l := mustLock(t, m, "k")
	short, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := all[1].Map("m").Lock(short, "k")
		failed <- err
	}()
	eventually(t, "the waiter", func() bool { return all[0].Stats().Cluster.Waits == 1 })
	granted := make(chan *blaze.Lock, 1)
	go func() { l, _ := m.Lock(soon(t), "k"); granted <- l }()
	eventually(t, "two waiters", func() bool { return all[0].Stats().Cluster.Waits == 2 })
	cancel()
	if err := next(t, failed, "the end of the wait"); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
	eventually(t, "one waiter", func() bool { return all[0].Stats().Cluster.Waits == 1 })
	if err := l.Unlock(soon(t)); err != nil {
		t.Error(err)
	}
	if l := next(t, granted, "the lock"); !l.Held() {
		t.Error("not held")
	}
}

// Stop releases the member's locks, but for those with KeepOnExit; a call that waits in line gets ErrClosed, and a lock
// of an earlier start is none.
func TestLockAndStop(t *testing.T) {
	all := clusterOf(t, 3)
	ctx := soon(t)
	m, mine := all[0].Map("m"), all[1].Map("m")
	goes, stays := mustLock(t, mine, "goes"), mustLock(t, mine, "stays", blaze.KeepOnExit(), blaze.Lease(time.Second))
	held := mustLock(t, m, "held")
	failed := make(chan error, 1)
	go func() {
		_, err := mine.Lock(ctx, "held")
		failed <- err
	}()
	eventually(t, "the waiter", func() bool { return all[0].Stats().Cluster.Waits == 1 })
	if err := all[1].Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if goes.Held() || stays.Held() || !isLost(goes) || !isLost(stays) {
		t.Error("a lock is held after Stop")
	}
	if err := next(t, failed, "the end of the wait"); !errors.Is(err, blaze.ErrClosed) {
		t.Errorf("Lock: %v", err)
	}
	mustLock(t, m, "goes")
	if _, err := m.TryLock(ctx, "stays"); !errors.Is(err, blaze.ErrLocked) {
		t.Errorf("TryLock of what is kept: %v", err)
	}
	mustLock(t, m, "stays")
	if err := held.Unlock(ctx); err != nil {
		t.Error(err)
	}
	startCluster(t, all[1])
	for name, err := range map[string]error{
		"Unlock": goes.Unlock(ctx), "Extend": goes.Extend(ctx, time.Second),
	} {
		if !errors.Is(err, blaze.ErrNotOwner) {
			t.Errorf("%s of a lock before Stop: %v", name, err)
		}
	}
	if _, err := mine.Put(ctx, "goes", nil, blaze.Holding(goes)); !errors.Is(err, blaze.ErrNotOwner) {
		t.Errorf("Put with a lock before Stop: %v", err)
	}
}

// Many goroutines of all members count under one lock: none is lost, and no two hold it.
func TestLockCounts(t *testing.T) {
	all := clusterOf(t, 3)
	var inside, total atomic.Int32
	var last atomic.Uint64
	var wg sync.WaitGroup
	for i, c := range all {
		for range 4 {
			wg.Go(func() {
				for range 5 {
					l, err := c.Map("m").Lock(soon(t), "k")
					if err != nil {
						t.Errorf("member %d: %v", i, err)
						return
					}
					if inside.Add(1) != 1 {
						t.Error("two holders")
					}
					if old := last.Swap(l.Token()); old >= l.Token() {
						t.Errorf("token %d after %d", l.Token(), old)
					}
					n, _, err := c.Map("m").GetLinear(soon(t), "n")
					if err == nil {
						_, err = c.Map("m").CompareAndPut(soon(t), "n", append(n.Value[:len(n.Value):len(n.Value)], 1), n.Version)
					}
					if err != nil {
						t.Error(err)
					}
					total.Add(1)
					inside.Add(-1)
					if err := l.Unlock(soon(t)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if e, _, err := all[0].Map("m").GetLinear(soon(t), "n"); err != nil || len(e.Value) != int(total.Load()) {
		t.Errorf("counted %d of %d, %v", len(e.Value), total.Load(), err)
	}
}

// masters waits until all agree on a master, and returns its place.
func masters(t testing.TB, all ...*blaze.ClusterChannel) int {
	t.Helper()
	at := -1
	eventually(t, "a master", func() bool {
		at = -1
		for i, c := range all {
			if c.IsMaster() {
				at = i
			}
		}
		if at < 0 {
			return false
		}
		for _, c := range all {
			if m, ok := c.Master(); !ok || m.ID != all[at].ID() {
				return false
			}
		}
		return true
	})
	return at
}

// There is one master, the longest-serving; a higher weight takes over, and the master's Stop hands on.
func TestMaster(t *testing.T) {
	all := clusterOf(t, 3)
	ctx := soon(t)
	first := masters(t, all...)
	if m, _ := all[1].Master(); m.Name != all[first].Config().Name {
		t.Errorf("the master is %+v", m)
	}
	heir := (first + 1) % 3
	told := make(chan string, 10)
	defer all[(first+2)%3].OnMaster(func(m blaze.Member) { told <- m.Name })()
	if name := next(t, told, "the present master"); name != all[first].Config().Name {
		t.Errorf("OnMaster first told of %s", name)
	}
	if err := all[heir].SetMasterWeight(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if name := next(t, told, "the new master"); name != all[heir].Config().Name {
		t.Errorf("OnMaster told of %s", name)
	}
	if at := masters(t, all...); at != heir {
		t.Errorf("the master is %d, want %d", at, heir)
	}
	if err := all[heir].Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if all[heir].IsMaster() {
		t.Error("a stopped member is master")
	}
	if _, ok := all[heir].Master(); ok {
		t.Error("a stopped member has a master")
	}
	rest := []*blaze.ClusterChannel{all[first], all[(first+2)%3]}
	if at := masters(t, rest...); at != 0 {
		t.Errorf("the master after the Stop is %d, want the longest-serving", at)
	}
	next(t, told, "the third master")
}

// Two IsMaster at an instant never are true, while masters change.
func TestMasterNeverTwo(t *testing.T) {
	all := clusterOf(t, 2)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Asked twice around the other: both times true means that it was true meanwhile.
			if all[0].IsMaster() && all[1].IsMaster() && all[0].IsMaster() {
				t.Error("two masters")
				return
			}
		}
	})
	for i := range 20 {
		if err := all[i%2].SetMasterWeight(soon(t), i+1); err != nil {
			t.Error(err)
		}
		eventually(t, fmt.Sprint("change ", i), func() bool { return all[i%2].IsMaster() })
	}
	close(stop)
	wg.Wait()
}
