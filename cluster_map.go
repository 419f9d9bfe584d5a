package blaze

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/wire"
)

// Map is a map from strings to bytes that all members of a cluster hold. Its writes have one order, which is the same at
// every member; see ClusterChannel for their errors.
//
// A name has 1 to 255 bytes of UTF-8, else every call is ErrArgument. A key has 1 to 4,096 bytes: ErrArgument for an
// empty one, ErrTooLarge for a longer one. A value has at most Config.MaxMessageSize bytes, and 16 MiB, less 512 and the
// key's length: else ErrTooLarge. There are at most 4,096 maps. What exceeds Config.StateLimit is ErrTooLarge, too.
type Map struct {
	c    *ClusterChannel
	name string
	of   *run.ReplicaMap // nil: the name is not valid
}

// Map is the replicated map of this name. It is there as soon as a member names it.
func (c *ClusterChannel) Map(name string) *Map {
	m := &Map{c: c, name: name}
	if checkMapName(name) == nil {
		m.of = c.cluster.replica.Map(name)
	}
	return m
}

// Put gives key a value, and returns the entry's version. The value may be empty, which is not the same as an absent
// entry. A TTL or RemoveOnExit that the entry had before is cleared. The error is ErrLocked while another holds the key's
// lock, and for its own holder too without Holding.
func (m *Map) Put(ctx context.Context, key string, value []byte, opts ...PutOption) (version uint64, err error) {
	return m.write(ctx, "Put", key, value, nil, opts)
}

// PutMessage is Put of v's encoding, which Entry.Message reads. It fails with ErrArgument where v is nil.
func (m *Map) PutMessage(ctx context.Context, key string, v *Message, opts ...PutOption) (uint64, error) {
	if v == nil {
		return 0, fmt.Errorf("%w: PutMessage: the message is nil", ErrArgument)
	}
	value, err := v.MarshalBinary()
	if err != nil {
		return 0, err
	}
	return m.write(ctx, "PutMessage", key, value, nil, opts)
}

// CompareAndPut is Put if the entry still has this version; 0: if it is absent. Else it is ErrVersion.
func (m *Map) CompareAndPut(ctx context.Context, key string, value []byte, version uint64, opts ...PutOption) (uint64, error) {
	return m.write(ctx, "CompareAndPut", key, value, &version, opts)
}

func (m *Map) write(ctx context.Context, call, key string, value []byte, version *uint64, opts []PutOption) (uint64, error) {
	o, err := m.options(call, key, len(value), opts)
	if err != nil {
		return 0, err
	}
	s, err := m.c.carry(ctx, task{call, m.name, key}, func(s *member.ClusterCall) {
		if value == nil {
			value = []byte{}
		}
		s.Name(m.name, key, value)
		op := &s.Call.Op
		op.Kind, op.RemoveOnExit, op.TTL = wire.OpPut, o.removeOnExit, int64(o.ttl)
		if o.ttl > 0 {
			op.Expires = m.c.wall() + int64(o.ttl)
		}
		if version != nil {
			op.Compare, op.Version = true, *version
		}
		o.fill(&s.Call)
	})
	if err != nil {
		return 0, err
	}
	defer s.free()
	return s.Call.Version, nil
}

// wall is the wall clock, ns since 1970.
func (c *ClusterChannel) wall() int64 {
	if st := c.run.Load(); st != nil {
		return st.Cluster().Wall()
	}
	return 0
}

// Delete removes key; that it is absent is no error. Holding is the one option that it takes.
func (m *Map) Delete(ctx context.Context, key string, opts ...PutOption) error {
	o, err := m.options("Delete", key, 0, opts)
	if err != nil {
		return err
	}
	if o.ttl > 0 || o.removeOnExit {
		return fmt.Errorf("%w: Delete in map %q: of the options only Holding fits", ErrArgument, m.name)
	}
	return errOf(m.c.carry(ctx, task{"Delete", m.name, key}, func(s *member.ClusterCall) {
		s.Name(m.name, key, nil)
		s.Call.Op.Kind = wire.OpDelete
		o.fill(&s.Call)
	}))
}

// Get reads this member's replica, at once. Outside of the primary component that may be old: see Primary. It sees what
// this member itself has put before. The value is shared with the map and must not be changed.
func (m *Map) Get(key string) (Entry, bool) {
	if m.of == nil {
		return Entry{}, false
	}
	e := m.of.Root().Get(key)
	if e == nil {
		return Entry{}, false
	}
	return entryOf(e), true
}

// GetLinear reads in the order of all writes: it sees every write that has returned anywhere before it was called. It
// sends nothing, and takes as long as a write. Its errors are those of writes. The value is shared with the map and must
// not be changed.
func (m *Map) GetLinear(ctx context.Context, key string) (Entry, bool, error) {
	if err := m.check("GetLinear", key); err != nil {
		return Entry{}, false, err
	}
	s, err := m.c.carry(ctx, task{"GetLinear", m.name, key}, func(s *member.ClusterCall) {
		s.Name(m.name, key, nil)
		s.Call.Kind = cluster.CallLinear
	})
	if err != nil {
		return Entry{}, false, err
	}
	defer s.free()
	if !s.Call.Found {
		return Entry{}, false, nil
	}
	return entryOf(s.Call.Entry), true, nil
}

// Len is the number of entries of this replica.
func (m *Map) Len() int {
	if m.of == nil {
		return 0
	}
	return m.of.Root().Len()
}

// All goes through a consistent snapshot of this replica, in no order that means anything. Writers do not wait for it.
// The values are shared with the map and must not be changed.
func (m *Map) All() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		if m.of == nil {
			return
		}
		for e := range m.of.Root().All() {
			if !yield(e.Key(), entryOf(e)) {
				return
			}
		}
	}
}

// entryOf shares key and value with the map.
func entryOf(e *cluster.Entry) Entry {
	out := Entry{Key: e.Key(), Value: e.Value(), Version: e.Version(), Owner: MemberID(e.Owner())}
	if at := e.Expires(); at != 0 {
		out.Expires = time.Unix(0, at)
	}
	return out
}

// check judges a call about a key.
func (m *Map) check(call, key string) error {
	switch {
	case m.of == nil:
		return checkMapName(m.name)
	case key == "":
		return fmt.Errorf("%w: %s in map %s: the key is empty", ErrArgument, call, strconv.Quote(words.Abridged(m.name)))
	case len(key) > wire.MaxKey:
		return fmt.Errorf("%w: %v: a key of %d bytes; at most %d", ErrTooLarge, task{call, m.name, key}, len(key), wire.MaxKey)
	}
	return nil
}

// options judges a write, and reads its options.
func (m *Map) options(call, key string, size int, opts []PutOption) (o putOptions, err error) {
	if err = m.check(call, key); err != nil {
		return o, err
	}
	w := task{call, m.name, key}
	if most := min(m.c.cfg.Load().MaxMessageSize, wire.MaxClusterValue) - cluster.ValueReserve - len(key); size > most {
		return o, fmt.Errorf("%w: %v: a value of %d bytes; at most %d, by Config.MaxMessageSize", ErrTooLarge, w, size, max(0, most))
	}
	for _, opt := range opts {
		if opt == nil {
			return o, fmt.Errorf("%w: %v: an option is nil", ErrArgument, w)
		}
		opt(&o)
	}
	if o.hasTTL {
		if err = checkTerm(w, "TTL", o.ttl); err != nil {
			return o, err
		}
	}
	if o.holds {
		err = m.holds(w, key, o.holding)
	}
	return o, err
}

// holds judges whether a write may name this lock.
func (m *Map) holds(w task, key string, l *Lock) error {
	switch {
	case l == nil:
		return fmt.Errorf("%w: %v: the lock of Holding is nil", ErrArgument, w)
	case l.m.c != m.c || l.m.name != m.name || l.key != key:
		return fmt.Errorf("%w: %v: the lock of Holding is not that of the key", ErrNotOwner, w)
	case !l.Held():
		return fmt.Errorf("%w: %v: the lock of Holding is not held any more", ErrNotOwner, w)
	}
	return nil
}

func checkTerm(w task, what string, d time.Duration) error {
	if d < time.Millisecond || d > wire.MaxTerm {
		return fmt.Errorf("%w: %v: a %s of %v: must be 1ms to 24h", ErrArgument, w, what, d)
	}
	return nil
}

// PutOption is an option of writes to a Map.
type PutOption func(*putOptions)

type putOptions struct {
	ttl                         time.Duration
	hasTTL, removeOnExit, holds bool
	holding                     *Lock
}

// fill has a write name the lock that it holds.
func (o *putOptions) fill(c *cluster.Call) {
	c.Kind = cluster.CallOp
	if o.holding != nil {
		c.Lock, c.Op.HasToken, c.Op.Token = o.holding.lease.Number(), true, o.holding.Token()
	}
}

// TTL has the entry expire d after the write, 1ms..24h, else the write fails with ErrArgument. The entry goes no earlier,
// and a moment later.
func TTL(d time.Duration) PutOption { return func(o *putOptions) { o.ttl, o.hasTTL = d, true } }

// RemoveOnExit has the entry go when its owner, the member that puts it, leaves or fails.
func RemoveOnExit() PutOption { return func(o *putOptions) { o.removeOnExit = true } }

// Holding has the write fail with ErrNotOwner unless l is held and is the key's lock.
func Holding(l *Lock) PutOption { return func(o *putOptions) { o.holding, o.holds = l, true } }
