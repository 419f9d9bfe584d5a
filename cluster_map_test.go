package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// alone makes a cluster of one.
func alone(t testing.TB) *blaze.ClusterChannel { return clusterOf(t, 1)[0] }

func mustPut(t testing.TB, m *blaze.Map, key, value string, opts ...blaze.PutOption) uint64 {
	t.Helper()
	v, err := m.Put(soon(t), key, []byte(value), opts...)
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return v
}

// Versions rise with every write, also across a delete; a compare-and-put counts only on the version that it names.
func TestMapVersions(t *testing.T) {
	all := clusterOf(t, 2)
	ctx := soon(t)
	m, other := all[0].Map("m"), all[1].Map("m")
	first := mustPut(t, m, "k", "1")
	second, err := other.CompareAndPut(ctx, "k", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatalf("CompareAndPut = %d, %v after %d", second, err, first)
	}
	if _, err := m.CompareAndPut(ctx, "k", []byte("3"), first); !errors.Is(err, blaze.ErrVersion) {
		t.Errorf("on an old version: %v", err)
	}
	if _, err := m.CompareAndPut(ctx, "k", []byte("3"), 0); !errors.Is(err, blaze.ErrVersion) {
		t.Errorf("on an entry that must be absent: %v", err)
	}
	for range 2 { // the second one finds nothing
		if err := other.Delete(ctx, "k"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if e, ok, err := m.GetLinear(ctx, "k"); err != nil || ok {
		t.Errorf("a deleted entry: %+v, %v, %v", e, ok, err)
	}
	third, err := m.CompareAndPut(ctx, "k", nil, 0)
	if err != nil || third <= second {
		t.Errorf("CompareAndPut = %d, %v after %d", third, err, second)
	}
	if e, ok := m.Get("k"); !ok || e.Value == nil || len(e.Value) != 0 || e.Version != third {
		t.Errorf("an empty value = %+v, %v", e, ok)
	}
	if _, ok := m.Get("none"); ok {
		t.Error("an absent entry is there")
	}
}

// What one writes the other sees; All is a snapshot, Len its size; a Message survives.
func TestMapAllLenMessage(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	if m.Len() != 0 {
		t.Errorf("%d entries in an empty map", m.Len())
	}
	for i := range 100 {
		mustPut(t, m, fmt.Sprint("k", i), "v")
	}
	mustPut(t, a.Map("n"), "k1", "other")
	seen := 0
	for k, e := range m.All() {
		if seen++; e.Key != k || string(e.Value) != "v" {
			t.Errorf("%s: %+v", k, e)
		}
		if seen == 1 {
			mustPut(t, m, "late", "v")
		}
	}
	if seen != 100 || m.Len() != 101 {
		t.Errorf("All gave %d entries of 100, Len is %d", seen, m.Len())
	}
	for range m.All() {
		break
	}
	want := blaze.NewTextMessage("kept")
	if _, err := m.PutMessage(soon(t), "msg", want); err != nil {
		t.Fatal(err)
	}
	e, _ := m.Get("msg")
	if got, err := e.Message(); err != nil || !got.Equal(want) {
		t.Errorf("Message = %v, %v", got, err)
	}
}

// An entry with a TTL goes by itself, no earlier; a put without clears it.
func TestMapTTL(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	got := make(chan blaze.MapEvent, 10)
	defer m.Watch("", func(e blaze.MapEvent) { got <- e })()
	began := time.Now()
	mustPut(t, m, "stays", "v", blaze.TTL(50*time.Millisecond))
	mustPut(t, m, "stays", "v")
	mustPut(t, m, "goes", "v", blaze.TTL(50*time.Millisecond))
	if e, ok := m.Get("goes"); !ok || e.Expires.Sub(began) < 40*time.Millisecond || e.Expires.Sub(began) > time.Minute {
		t.Errorf("Expires = %v, %v; it is %v", e.Expires, ok, began)
	}
	if e, _ := m.Get("stays"); !e.Expires.IsZero() {
		t.Errorf("Expires = %v of one without TTL", e.Expires)
	}
	for {
		e := next(t, got, "expiry")
		if e.Kind != blaze.MapExpired {
			continue
		}
		if since := time.Since(began); since < 50*time.Millisecond {
			t.Errorf("expired after %v", since)
		}
		if e.Key != "goes" || string(e.Old.Value) != "v" || e.New.Version != 0 || e.By != (blaze.MemberID{}) {
			t.Errorf("event %+v", e)
		}
		break
	}
	if _, ok := m.Get("stays"); !ok {
		t.Error("the entry without TTL is gone")
	}
}

// The entries that a member put with RemoveOnExit go with it, in the order of their versions; others stay.
func TestMapRemoveOnExit(t *testing.T) {
	all := clusterOf(t, 3)
	m, mine := all[0].Map("m"), all[1].Map("m")
	for i := range 5 {
		mustPut(t, mine, fmt.Sprint("mine", i), "v", blaze.RemoveOnExit())
	}
	mustPut(t, mine, "mine1", "stays") // a put without clears it
	mustPut(t, mine, "kept", "v")
	if e, ok, err := m.GetLinear(soon(t), "mine3"); err != nil || !ok || e.Owner != all[1].ID() {
		t.Errorf("%+v, %v, %v", e, ok, err)
	}
	got := make(chan blaze.MapEvent, 100)
	defer m.Watch("", func(e blaze.MapEvent) { got <- e })()
	if err := all[1].Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	var gone []string
	for len(gone) < 4 {
		if e := next(t, got, "event"); e.Kind == blaze.MapOwnerGone {
			gone = append(gone, e.Key)
		} else if e.Kind != blaze.MapPresent {
			t.Errorf("%v %s", e.Kind, e.Key)
		}
	}
	if want := []string{"mine0", "mine2", "mine3", "mine4"}; !slices.Equal(gone, want) {
		t.Errorf("gone: %v", gone)
	}
	if m.Len() != 2 {
		t.Errorf("%d entries", m.Len())
	}
}

// All members see the same changes in the same order, whoever made them; a prefix leaves others out.
func TestMapWatchSameOrder(t *testing.T) {
	all := clusterOf(t, 3)
	var mu sync.Mutex
	logs := make([][]string, len(all))
	var cancels []func()
	for i, c := range all {
		cancels = append(cancels, c.Map("m").Watch("a", func(e blaze.MapEvent) {
			mu.Lock()
			defer mu.Unlock()
			logs[i] = append(logs[i], fmt.Sprintf("%v %s %s %d", e.Kind, e.Key, e.New.Value, e.New.Version))
		}))
	}
	var wg sync.WaitGroup
	const each = 100
	for i, c := range all {
		wg.Go(func() {
			for n := range each {
				if _, err := c.Map("m").Put(soon(t), fmt.Sprint("a", n%7), []byte(fmt.Sprint(i, n))); err != nil {
					t.Error(err)
				}
				_, _ = c.Map("m").Put(soon(t), "b", nil)
			}
		})
	}
	wg.Wait()
	eventually(t, "all events", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(logs[0]) >= len(all)*each && len(logs[1]) >= len(all)*each && len(logs[2]) >= len(all)*each
	})
	for _, cancel := range cancels {
		cancel()
	}
	for i := 1; i < len(all); i++ {
		if !slices.Equal(logs[i], logs[0]) {
			t.Errorf("members 0 and %d saw other changes:\n%v\n%v", i, logs[0], logs[i])
		}
	}
}

// A handler of Watch may call Put, which comes back to it, and may cancel itself.
func TestMapWatchCallsBack(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	var cancel func()
	ready, done := make(chan struct{}), make(chan int)
	n := 0
	cancel = m.Watch("", func(e blaze.MapEvent) {
		<-ready
		if n++; n == 5 {
			cancel()
			done <- n
			return
		}
		if _, err := m.Put(soon(t), fmt.Sprint(n), nil); err != nil {
			t.Error(err)
		}
	})
	close(ready)
	mustPut(t, m, "first", "")
	next(t, done, "the fifth event")
	mustPut(t, m, "after", "")
	cancel()
	if n != 5 {
		t.Errorf("%d events", n)
	}
}

// Outside of the primary component writes are refused at once, and reads go on.
func TestMapNoQuorum(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.ExpectedMembers = 3
	a := inCluster(t, "a", cfg)
	m := a.Map("m")
	ctx := soon(t)
	eventually(t, "outside", func() bool { _, err := m.Put(ctx, "k", nil); return errors.Is(err, blaze.ErrNoQuorum) })
	began := time.Now()
	_, _, err := m.GetLinear(ctx, "k")
	if !errors.Is(err, blaze.ErrNoQuorum) {
		t.Errorf("GetLinear: %v", err)
	}
	if _, err := m.Lock(ctx, "k"); !errors.Is(err, blaze.ErrNoQuorum) {
		t.Errorf("Lock: %v", err)
	}
	if err := m.Delete(ctx, "k"); !errors.Is(err, blaze.ErrNoQuorum) || errors.Is(err, blaze.ErrUnknownOutcome) {
		t.Errorf("Delete: %v", err)
	}
	if err := a.SetMasterWeight(ctx, 7); !errors.Is(err, blaze.ErrNoQuorum) {
		t.Errorf("SetMasterWeight: %v", err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the refusals took %v", d)
	}
	if _, ok := m.Get("k"); ok || a.Primary() || a.IsMaster() {
		t.Errorf("Get found something: %t, Primary %t", ok, a.Primary())
	}
	if _, ok := a.Master(); ok {
		t.Error("there is a master")
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := a.WaitReady(short); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, blaze.ErrUnknownOutcome) {
		t.Errorf("WaitReady: %v", err)
	}
	if s := a.Status(); s.Primary || s.Why == "" {
		t.Errorf("status %+v", s)
	}
}

// All that can be asked for wrongly, with the error that it gets, and what the error names. None has an effect.
func TestMapBadInput(t *testing.T) {
	a := alone(t)
	other := newCluster(t, "fresh", clusterConfig(t))
	ctx := soon(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	m := a.Map("m")
	second := func(_ any, err error) error { return err }
	third := func(_, _ any, err error) error { return err }
	lock, err := m.Lock(ctx, "locked")
	if err != nil {
		t.Fatal(err)
	}
	released, err := m.Lock(ctx, "released")
	if err != nil {
		t.Fatal(err)
	}
	if err := released.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	long, huge, notUTF8 := strings.Repeat("n", 256), strings.Repeat("k", 1<<20), "a\xff"
	limit := a.Config().MaxMessageSize - 512 - 1
	before := a.Status().Index
	for name, c := range map[string]struct {
		err   error
		is    error
		names string
	}{
		"key empty":               {second(m.Put(ctx, "", nil)), blaze.ErrArgument, "empty"},
		"key of 1 MB":             {second(m.Put(ctx, huge, nil)), blaze.ErrTooLarge, "1048576"},
		"key of 4,097":            {second(m.Put(ctx, huge[:4097], nil)), blaze.ErrTooLarge, "4097"},
		"delete: key empty":       {m.Delete(ctx, ""), blaze.ErrArgument, "empty"},
		"delete: TTL":             {m.Delete(ctx, "k", blaze.TTL(time.Second)), blaze.ErrArgument, "Holding"},
		"linear: key empty":       {third(m.GetLinear(ctx, "")), blaze.ErrArgument, "empty"},
		"linear: key of 1 MB":     {third(m.GetLinear(ctx, huge)), blaze.ErrTooLarge, "4096"},
		"lock: key empty":         {second(m.Lock(ctx, "")), blaze.ErrArgument, "empty"},
		"lock: key of 1 MB":       {second(m.TryLock(ctx, huge)), blaze.ErrTooLarge, "4096"},
		"map name empty":          {second(a.Map("").Put(ctx, "k", nil)), blaze.ErrArgument, "255"},
		"map name of 256":         {second(a.Map(long).Put(ctx, "k", nil)), blaze.ErrArgument, "255"},
		"map name not UTF-8":      {second(a.Map(notUTF8).Put(ctx, "k", nil)), blaze.ErrArgument, `\xff`},
		"map name: delete":        {a.Map("").Delete(ctx, "k"), blaze.ErrArgument, "255"},
		"map name: linear":        {third(a.Map("").GetLinear(ctx, "k")), blaze.ErrArgument, "255"},
		"map name: lock":          {second(a.Map("").Lock(ctx, "k")), blaze.ErrArgument, "255"},
		"value over the limit":    {second(m.Put(ctx, "k", make([]byte, limit+1))), blaze.ErrTooLarge, fmt.Sprint(limit)},
		"value of 17 MB":          {second(m.Put(ctx, "k", make([]byte, 17<<20))), blaze.ErrTooLarge, fmt.Sprint(limit)},
		"message nil":             {second(m.PutMessage(ctx, "k", nil)), blaze.ErrArgument, "nil"},
		"option nil":              {second(m.Put(ctx, "k", nil, nil)), blaze.ErrArgument, "nil"},
		"lock option nil":         {second(m.Lock(ctx, "k", nil)), blaze.ErrArgument, "nil"},
		"TTL zero":                {second(m.Put(ctx, "k", nil, blaze.TTL(0))), blaze.ErrArgument, "1ms to 24h"},
		"TTL negative":            {second(m.Put(ctx, "k", nil, blaze.TTL(-1))), blaze.ErrArgument, "1ms to 24h"},
		"TTL of 25 h":             {second(m.Put(ctx, "k", nil, blaze.TTL(25*time.Hour))), blaze.ErrArgument, "25h"},
		"lease zero":              {second(m.Lock(ctx, "k", blaze.Lease(0))), blaze.ErrArgument, "1ms to 24h"},
		"lease negative":          {second(m.TryLock(ctx, "k", blaze.Lease(-time.Second))), blaze.ErrArgument, "1ms to 24h"},
		"lease of 25 h":           {second(m.Lock(ctx, "k", blaze.Lease(25*time.Hour))), blaze.ErrArgument, "25h"},
		"extend by zero":          {lock.Extend(ctx, 0), blaze.ErrArgument, "1ms to 24h"},
		"extend by 25 h":          {lock.Extend(ctx, 25*time.Hour), blaze.ErrArgument, "25h"},
		"Holding nil":             {second(m.Put(ctx, "k", nil, blaze.Holding(nil))), blaze.ErrArgument, "nil"},
		"Holding another key's":   {second(m.Put(ctx, "k", nil, blaze.Holding(lock))), blaze.ErrNotOwner, `"k"`},
		"Holding another map's":   {second(a.Map("n").Put(ctx, "locked", nil, blaze.Holding(lock))), blaze.ErrNotOwner, `"n"`},
		"Holding another's":       {second(other.Map("m").Put(ctx, "locked", nil, blaze.Holding(lock))), blaze.ErrNotOwner, "locked"},
		"Holding a released one":  {second(m.Put(ctx, "released", nil, blaze.Holding(released))), blaze.ErrNotOwner, "released"},
		"unlock twice":            {released.Unlock(ctx), blaze.ErrNotOwner, "released"},
		"extend a released one":   {released.Extend(ctx, time.Second), blaze.ErrNotOwner, "released"},
		"put: ctx ended":          {second(m.Put(ended, "k", nil)), context.Canceled, `"k"`},
		"linear: ctx ended":       {third(m.GetLinear(ended, "k")), context.Canceled, `"k"`},
		"lock: ctx ended":         {second(m.Lock(ended, "k")), context.Canceled, `"k"`},
		"before Start: put":       {second(other.Map("m").Put(ctx, "k", nil)), blaze.ErrState, "constructed"},
		"before Start: delete":    {other.Map("m").Delete(ctx, "k"), blaze.ErrState, "constructed"},
		"before Start: linear":    {third(other.Map("m").GetLinear(ctx, "k")), blaze.ErrState, "constructed"},
		"before Start: lock":      {second(other.Map("m").Lock(ctx, "k")), blaze.ErrState, "constructed"},
		"before Start: WaitReady": {other.WaitReady(ctx), blaze.ErrState, "constructed"},
		"before Start: weight":    {other.SetMasterWeight(ctx, 1), blaze.ErrState, "constructed"},
		"before Start: force":     {other.Force(ctx), blaze.ErrState, "constructed"},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(fmt.Sprint(c.err), c.names) {
			t.Errorf("%s: %v, want %v that names %s", name, c.err, c.is, c.names)
		}
		if c.err != nil && len(c.err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(c.err.Error()))
		}
		if errors.Is(c.err, blaze.ErrUnknownOutcome) {
			t.Errorf("%s: the outcome is unknown", name)
		}
	}
	if m.Len() != 0 || a.Status().Index != before {
		t.Errorf("%d entries, index %d, was %d", m.Len(), a.Status().Index, before)
	}
	for _, bad := range []*blaze.Map{a.Map(""), a.Map(long), other.Map("m")} {
		if _, ok := bad.Get("k"); ok || bad.Len() != 0 {
			t.Error("a map that is not there has entries")
		}
		for range bad.All() {
			t.Error("a map that is not there has entries")
		}
		bad.Watch("", func(blaze.MapEvent) {})()
	}
	m.Watch("", nil)()
	a.OnMaster(nil)()
	// What is just within the bounds works.
	if _, err := m.Put(ctx, "k", make([]byte, limit)); err != nil {
		t.Errorf("the largest value: %v", err)
	}
	if _, err := a.Map(long[1:]).Put(ctx, huge[:4096], nil); err != nil {
		t.Errorf("the longest names: %v", err)
	}
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Put": second(m.Put(ctx, "k", nil)), "Delete": m.Delete(ctx, "k"), "GetLinear": third(m.GetLinear(ctx, "k")),
		"Lock": second(m.Lock(ctx, "k")), "TryLock": second(m.TryLock(ctx, "k")), "Extend": lock.Extend(ctx, time.Second),
		"WaitReady": a.WaitReady(ctx), "SetMasterWeight": a.SetMasterWeight(ctx, 1), "Force": a.Force(ctx),
	} {
		if !errors.Is(err, blaze.ErrState) || errors.Is(err, blaze.ErrUnknownOutcome) {
			t.Errorf("%s after Shutdown: %v", name, err)
		}
	}
	if m.Len() != 0 || lock.Held() {
		t.Errorf("after Shutdown: %d entries, the lock is held: %t", m.Len(), lock.Held())
	}
	if err := lock.Unlock(ctx); !errors.Is(err, blaze.ErrState) {
		t.Errorf("Unlock after Shutdown: %v", err)
	}
}

// Reading allocates nothing, neither where the key is there nor where it is not.
func TestMapGetAllocatesNothing(t *testing.T) {
	a := alone(t)
	m := a.Map("m")
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprint("key", i))
	}
	var wg sync.WaitGroup
	for at := range 10 {
		wg.Go(func() {
			for i := at; i < len(keys); i += 10 {
				mustPut(t, m, keys[i], "0123456789")
			}
		})
	}
	wg.Wait()
	if allocs := testing.AllocsPerRun(5, func() {
		for _, k := range keys {
			if e, ok := m.Get(k); !ok || len(e.Value) != 10 {
				t.Fatalf("%s: %+v, %v", k, e, ok)
			}
		}
		if _, ok := m.Get("none"); ok || m.Len() != len(keys) {
			t.Fatal("an absent key is there")
		}
	}); allocs > 0 {
		t.Errorf("%v allocations in %d reads", allocs, len(keys))
	}
}

func BenchmarkMapGet(b *testing.B) {
	a := alone(b)
	m := a.Map("m")
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("key%013d", i))
		mustPut(b, m, keys[i], strings.Repeat("v", 100))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, ok := m.Get(keys[i%len(keys)]); !ok {
			b.Fatal("absent")
		}
	}
}
