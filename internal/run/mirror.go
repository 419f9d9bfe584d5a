package run

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// Info is what is known of one member of a group. It never changes.
type Info struct {
	ID          wire.MemberID
	Incarnation uint32
	Name        string
	Groups      []string // ascending
	Address     buf.Endpoint
	Started     uint64 // ns since 1970
}

// What the mirror and the teller keep of groups is bounded besides the core's own bounds. Of a member with which
// there would be more, the groups are left out.
const (
	MaxMemberships = 1 << 20 // a group of a member
	MaxGroupNames  = 1 << 16
)

// MirrorBytes is what the mirror and the teller of a run keep at most: the text of all records, and for each
// membership its name in the mirror and in the teller, and the member in its group.
const MirrorBytes = group.MaxRecords + MaxMemberships*(16+16+16) + MaxGroupNames*96 + group.MaxMembers*512

// byAge orders members: the longest-serving one first.
func byAge(a, b *Info) int {
	return cmp.Or(cmp.Compare(a.Started, b.Started), bytes.Compare(a.ID[:], b.ID[:]))
}

func byID(a, b *Info) int { return bytes.Compare(a.ID[:], b.ID[:]) }

// snapshot is a member's record, which is read when it is needed first.
type snapshot struct {
	id          wire.MemberID
	incarnation uint32
	key         []byte // the record, of which the address alone is looked at
	record      []byte
	once        sync.Once
	info        *Info
}

func (s *snapshot) read() *Info {
	s.once.Do(func() {
		s.info = &Info{ID: s.id, Incarnation: s.incarnation}
		r, err := wire.ParseRecord(s.record)
		if err != nil {
			return // the core has made it itself
		}
		s.info.Name, s.info.Address, s.info.Started = string(r.Name), buf.Endpoint(r.Address), r.Started
		s.info.Groups = groupsOf(&r)
		s.record = nil
	})
	return s.info
}

// groupsOf returns a record's groups, which share their memory.
func groupsOf(r *wire.Record) []string {
	n, size := 0, 0
	groups := r.Groups()
	for name, ok := groups.Next(); ok; name, ok = groups.Next() {
		n, size = n+1, size+len(name)
	}
	if n == 0 {
		return nil
	}
	text := make([]byte, 0, size)
	ends := make([]int, 0, n)
	groups = r.Groups()
	for name, ok := groups.Next(); ok; name, ok = groups.Next() {
		text = append(text, name...)
		ends = append(ends, len(text))
	}
	all, list, from := string(text), make([]string, n), 0
	for i, end := range ends {
		list[i] = all[from:end]
		from = end
	}
	return list
}

// Mirror is the table of a group as goroutines of the application read it. A goroutine of its own takes in
// each change that the core hands up, so that no reader holds up the engine. A reader that comes before it takes them in
// itself: the handler of a message finds the member that sent it.
type Mirror struct {
	self wire.MemberID
	in   mailbox[mirrored]

	applying sync.Mutex    // held while changes are taken in, so that they keep their order
	applied  atomic.Uint64 // all of the first so many changes are taken in

	mu     sync.RWMutex
	byID   map[wire.MemberID]*Info
	order  []*Info                    // by id
	groups map[string][]wire.MemberID // by id
	names  map[string][]*Info         // by age
	all    int                        // memberships

	waiting sync.Mutex
	change  chan struct{} // guarded by waiting: closed at the next change; nil: no caller waits
}

type mirrored struct {
	kind group.ChangeKind
	of   *snapshot
}

// newMirror makes a table that holds the member itself.
func newMirror(self *Info) *Mirror {
	m := &Mirror{self: self.ID, byID: map[wire.MemberID]*Info{}, groups: map[string][]wire.MemberID{}, names: map[string][]*Info{}}
	m.in.init()
	m.put(self)
	return m
}

func (m *Mirror) serve(quit <-chan struct{}) {
	for {
		m.catchUp()
		select {
		case <-m.in.wake:
		case <-quit:
			return
		}
	}
}

// catchUp takes in all changes that the core has handed up.
func (m *Mirror) catchUp() {
	if m.applied.Load() == m.in.puts.Load() {
		return
	}
	m.applying.Lock()
	defer m.applying.Unlock()
	puts := m.in.puts.Load()
	list := m.in.take()
	for _, c := range list {
		m.apply(c)
	}
	m.applied.Store(puts)
	if len(list) > 0 {
		m.changed()
	}
}

func (m *Mirror) apply(c mirrored) {
	switch c.kind {
	case group.Started, group.Changed:
		info := c.of.read()
		m.mu.Lock()
		m.put(info)
		m.mu.Unlock()
	case group.Stopped, group.Failed:
		if c.of.id == m.self { // it is here again at once
			return
		}
		m.mu.Lock()
		m.remove(c.of.id)
		m.mu.Unlock()
	}
}

func (m *Mirror) put(info *Info) {
	old := m.byID[info.ID]
	if m.all+len(info.Groups) > MaxMemberships || len(m.groups)+m.unknown(info) > MaxGroupNames {
		bare := *info
		bare.Groups = nil
		info = &bare
	}
	m.byID[info.ID] = info
	at, found := slices.BinarySearchFunc(m.order, info, byID)
	if found {
		m.order[at] = info
		m.unname(old)
	} else {
		m.order = slices.Insert(m.order, at, info)
		old = &Info{ID: info.ID}
	}
	m.regroup(old, info)
	named := m.names[info.Name]
	at, _ = slices.BinarySearchFunc(named, info, byAge)
	m.names[info.Name] = slices.Insert(named, at, info)
}

// unknown is how many of a member's groups have no other member.
func (m *Mirror) unknown(info *Info) (n int) {
	for _, g := range info.Groups {
		if _, known := m.groups[g]; !known {
			n++
		}
	}
	return n
}

func (m *Mirror) remove(id wire.MemberID) {
	old := m.byID[id]
	if old == nil {
		return
	}
	delete(m.byID, id)
	if at, found := slices.BinarySearchFunc(m.order, old, byID); found {
		m.order = slices.Delete(m.order, at, at+1)
	}
	m.unname(old)
	m.regroup(old, &Info{ID: id})
}

func (m *Mirror) unname(old *Info) {
	named := m.names[old.Name]
	if at := slices.Index(named, old); at >= 0 {
		named = slices.Delete(named, at, at+1)
	}
	if m.names[old.Name] = named; len(named) == 0 {
		delete(m.names, old.Name)
	}
}

// regroup takes in the difference between a member's groups before and now.
func (m *Mirror) regroup(old, info *Info) {
	a, b := old.Groups, info.Groups
	m.all += len(b) - len(a)
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			list := m.groups[a[0]]
			if at, found := slices.BinarySearchFunc(list, old.ID, compareIDs); found {
				list = slices.Delete(list, at, at+1)
			}
			if m.groups[a[0]] = list; len(list) == 0 {
				delete(m.groups, a[0])
			}
			a = a[1:]
		case len(a) == 0 || b[0] < a[0]:
			list := m.groups[b[0]]
			if at, found := slices.BinarySearchFunc(list, old.ID, compareIDs); !found {
				m.groups[b[0]] = slices.Insert(list, at, old.ID)
			}
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
}

func compareIDs(a, b wire.MemberID) int { return bytes.Compare(a[:], b[:]) }

// All appends all members, by id.
func (m *Mirror) All(list []*Info) []*Info {
	m.catchUp()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return append(list, m.order...)
}

// Of appends the members of a group, by id.
func (m *Mirror) Of(group string, list []*Info) []*Info {
	m.catchUp()
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, id := range m.groups[group] {
		list = append(list, m.byID[id])
	}
	return list
}

// Get returns one member, or nil.
func (m *Mirror) Get(id wire.MemberID) *Info {
	m.catchUp()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byID[id]
}

// Named returns the longest-serving member of a name, or nil.
func (m *Mirror) Named(name string) *Info {
	m.catchUp()
	m.mu.RLock()
	defer m.mu.RUnlock()
	if named := m.names[name]; len(named) > 0 {
		return named[0]
	}
	return nil
}

// Len is how many members there are.
func (m *Mirror) Len() int {
	m.catchUp()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.order)
}

// Changed implements Changer: the channel is closed when the table changes.
func (m *Mirror) Changed() (c <-chan struct{}, done func()) {
	m.waiting.Lock()
	defer m.waiting.Unlock()
	if m.change == nil {
		m.change = make(chan struct{})
	}
	return m.change, func() {}
}

func (m *Mirror) changed() {
	m.waiting.Lock()
	defer m.waiting.Unlock()
	if m.change != nil {
		close(m.change)
		m.change = nil
	}
}

// mailbox is what the engine's thread leaves for a goroutine, rarely.
type mailbox[T any] struct {
	mu   sync.Mutex
	list []T
	wake chan struct{} // one token: the list is not empty

	puts atomic.Uint64 // how many were put in

	shrink func(list []T) []T // nil: the list cannot be long
	most   int                // shrink is called then
}

// shrinkFrom is the length from which on a list is shortened.
const shrinkFrom = 1 << 15

func (b *mailbox[T]) init() { b.wake = make(chan struct{}, 1) }

func (b *mailbox[T]) put(x T) {
	b.mu.Lock()
	b.list = append(b.list, x)
	b.puts.Add(1)
	if b.shrink != nil && len(b.list) >= max(b.most, shrinkFrom) {
		b.list = b.shrink(b.list)
		b.most = 2 * len(b.list)
	}
	b.mu.Unlock()
	b.rouse()
}

func (b *mailbox[T]) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *mailbox[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}
