package run

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// Replica is what the application of a ClusterChannel sees of the replicated state: a root for each map, and the events
// that its watchers read. It outlives runs. The first engine writes it, at the end of a turn; everybody reads it.
type Replica struct {
	mu       sync.Mutex // never held while waiting for anything
	maps     map[string]*ReplicaMap
	watchers []*Watcher
	run      *Cluster // that writes it; nil: none

	watching atomic.Int64 // watchers of maps
	overruns atomic.Uint64

	masters feed[wire.MemberID] // of every grant
	master  wire.MemberID       // the present one; guarded by masters.mu
}

// ReplicaMap is one map.
type ReplicaMap struct {
	name  string
	named bool // the application has it; guarded by replica.mu
	loans int  // by Borrow; guarded by replica.mu
	root  atomic.Pointer[trie.Root]
	index atomic.Uint64 // of the history, at which root last changed
	feed  feed[cluster.Event]

	pending []cluster.Event // of the turn; the first engine's
	grouped bool            // pending has all of the turn
}

// NewReplica makes an empty one.
func NewReplica() *Replica { return &Replica{maps: map[string]*ReplicaMap{}} }

// Map finds a map, which is there as soon as somebody names it.
func (p *Replica) Map(name string) *ReplicaMap { return p.find(name, true) }

func (p *Replica) find(name string, named bool) *ReplicaMap {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.maps[name]
	if m == nil {
		m = &ReplicaMap{name: name}
		p.maps[name] = m
	}
	m.named = m.named || named
	return m
}

// Look is Map, but one that nobody has named stays so: it is empty then, for good.
func (p *Replica) Look(name string) *ReplicaMap {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.maps[name]; m != nil {
		return m
	}
	return &ReplicaMap{name: name}
}

// Borrow is Map until release is called. After that the map is forgotten if it is empty: names that others ask for may come
// and go without end.
func (p *Replica) Borrow(name string) (m *ReplicaMap, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m = p.maps[name]; m == nil {
		m = &ReplicaMap{name: name}
		p.maps[name] = m
	}
	m.loans++
	return m, func() {
		p.mu.Lock()
		m.loans--
		c := p.run
		p.mu.Unlock()
		if c != nil { // else the next run forgets it
			c.post(func() { c.retire(m) })
		}
	}
}

// Names are those of the maps that have entries, ascending.
func (p *Replica) Names() (names []string) {
	for _, m := range p.all() {
		if m.Root().Len() > 0 {
			names = append(names, m.name)
		}
	}
	slices.Sort(names)
	return names
}

// Root is the map as it was published last; nil: it is empty.
func (m *ReplicaMap) Root() *trie.Root { return m.root.Load() }

// Version is the index of the history at which the map last changed, as far as this run has seen; 0: it has not.
func (m *ReplicaMap) Version() uint64 { return m.index.Load() }

// all are the maps that there are.
func (p *Replica) all() (list []*ReplicaMap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.maps {
		list = append(list, m)
	}
	return list
}

// Clear forgets the state. Watchers begin anew.
func (p *Replica) Clear() {
	for _, m := range p.all() {
		m.reset(nil)
	}
	p.setMaster(wire.MemberID{})
}

// reset replaces what the map holds by something that does not continue it.
func (m *ReplicaMap) reset(root *trie.Root) {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	if m.root.Load() == nil && root == nil {
		return
	}
	m.root.Store(root)
	m.feed.put(nil, 0, true)
}

// setMaster publishes who is master.
func (p *Replica) setMaster(id wire.MemberID) {
	p.masters.mu.Lock()
	defer p.masters.mu.Unlock()
	p.master = id
	if id != (wire.MemberID{}) {
		p.masters.put([]wire.MemberID{id}, uint64(len(id)), false)
	}
}

// publication is what the first engine needs of a Replica to write it.
type publication struct {
	replica *Replica
	maps    map[string]*ReplicaMap // those that it has written
	touched []*ReplicaMap
	post    func(func()) // has the first engine run a function
}

func (p *publication) of(name string) *ReplicaMap {
	m := p.maps[name]
	if m == nil {
		m = p.replica.find(name, false)
		p.maps[m.name] = m
	}
	return m
}

// retire forgets a map if it is empty, unless somebody has it: names may come and go without end.
func (p *publication) retire(m *ReplicaMap) {
	p.replica.mu.Lock()
	defer p.replica.mu.Unlock()
	if !m.named && m.loans == 0 && m.root.Load() == nil && p.replica.maps[m.name] == m {
		delete(p.replica.maps, m.name)
		delete(p.maps, m.name)
	}
}

// publish shows readers what a turn has changed.
func (p *publication) publish(c *cluster.Publication) {
	if c.Reset {
		p.reset(c.State)
		return
	}
	changed := c.State.Changed()
	if p.replica.watching.Load() > 0 && len(changed) > 1 {
		p.group(c.Events)
	}
	for _, r := range changed {
		m := p.of(r.Name)
		m.index.Store(c.State.Index())
		p.show(m, r.Root, c.Events)
	}
	for _, r := range changed {
		if m := p.of(r.Name); m.root.Load() == nil {
			p.retire(m)
		}
	}
	for _, m := range p.touched {
		clear(m.pending)
		m.pending, m.grouped = m.pending[:0], false
	}
	p.touched = p.touched[:0]
}

// group sorts the events of a turn by their maps.
func (p *publication) group(events []cluster.Event) {
	for i := range events {
		if e := &events[i]; ofMap(e) {
			m := p.of(e.Map)
			if !m.grouped {
				m.grouped = true
				p.touched = append(p.touched, m)
			}
			m.pending = append(m.pending, *e)
		}
	}
}

func ofMap(e *cluster.Event) bool {
	return e.Kind >= cluster.EventPut && e.Kind <= cluster.EventOwnerGone
}

// eventBytes is what an event takes besides its entries.
const eventBytes = 160

// show publishes the new root of a map, and its events.
func (p *publication) show(m *ReplicaMap, root *trie.Root, events []cluster.Event) {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	m.root.Store(root)
	if len(m.feed.readers) == 0 {
		return
	}
	var own []cluster.Event
	if m.grouped {
		own = slices.Clone(m.pending)
	} else {
		for i := range events {
			if e := &events[i]; ofMap(e) && e.Map == m.name {
				own = append(own, *e)
			}
		}
	}
	bytes := uint64(0)
	for i := range own {
		bytes += eventBytes + size(own[i].Old) + size(own[i].New)
	}
	m.feed.put(own, bytes, false)
}

func size(e *cluster.Entry) uint64 {
	if e == nil {
		return 0
	}
	return uint64(e.Size())
}

// reset shows a replica that does not continue the one before it.
func (p *publication) reset(s *cluster.State) {
	s.Changed() // all of it is taken here
	there := map[*ReplicaMap]bool{}
	for _, r := range s.Maps() {
		m := p.of(r.Name)
		there[m] = true
		m.index.Store(s.Index())
		m.reset(r.Root)
	}
	for _, m := range p.replica.all() {
		if !there[m] {
			m.reset(nil)
			p.retire(m)
		}
	}
}
