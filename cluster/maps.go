package cluster

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// Limits of the replicated state (docs/cluster.md, sizes). What is beyond them is refused by every replica alike.
const (
	MaxMaps      = 4096
	MaxLine      = 4096      // operations that wait for one lock
	MaxLocks     = 1_000_000 // locks and waits together
	MaxSweep     = 1000      // entries that one operation removes
	EntryBytes   = 64        // what an entry counts besides key and value
	ValueReserve = 512       // bytes of a message that no value can have
	MaxMapName   = 255       // bytes
	MaxKey       = 4096      // bytes
)

// tables is the first service: maps, locks, members.
type tables struct {
	leave   defect // a rule that is left out, in tests
	seed    trie.Seed
	maps    map[string]*table
	changed []*table // whose trie changed since the last call of Changed
	roots   []MapRoot
	entries int
	bytes   int64

	maxValue   uint64 // bytes of key and value with ValueReserve
	stateLimit uint64 // bytes

	owners  map[wire.MemberID]*owner
	owned   map[uint64]*owned // by version
	unswept []wire.MemberID   // who owns entries that are to go, in order of departure

	waits  map[request]*wait // every Lock operation that waits or holds
	held   int               // locks
	locked *trie.Trie        // locks as cuts have them: behind by those that are dirty
	dirty  []*lock           // in the order in which they became so
	buf    []byte
	master Held

	members []Member // the longest-serving one first

	services *services // of the same State, for cuts

	terms  terms
	expiry map[uint64]*term // of entries, by version
}

// table is one map: its entries and the locks of its keys. It goes when it has neither.
type table struct {
	name    string
	trie    *trie.Trie
	locks   map[string]*lock
	changed bool // it is in tables.changed
}

// owner is what goes with one member, whether it is in the member table or not.
type owner struct {
	id                  wire.MemberID
	firstWait, lastWait *wait
	entries             heap[*owned] // the lowest version first
}

// owned is an entry that goes with its owner.
type owned struct {
	entry *Entry
	table *table
	owner *owner
	where int
}

func (w *owned) key() int64  { return int64(w.entry.Version()) }
func (w *owned) place() *int { return &w.where }

func newTables(c wire.Chain) *tables {
	return &tables{
		seed:   seedOf(c),
		maps:   map[string]*table{},
		owners: map[wire.MemberID]*owner{},
		owned:  map[uint64]*owned{},
		waits:  map[request]*wait{},
		locked: trie.New(seedOf(c)),
		expiry: map[uint64]*term{},
	}
}

// seedOf is the seed of a chain's tries, the same at every member.
func seedOf(c wire.Chain) trie.Seed {
	h := hashRing(c.Founded, c.Ring)
	return trie.Seed{K0: h, K1: trie.Mix(h, c.Ring.Seq)}
}

// apply does one operation of a member of the table. The others' are refused: a member that has left cannot own, wait or hold.
func (t *tables) apply(p *pass, op *wire.ClusterOp) Result {
	if len(t.dirty) > maxDirty {
		t.record(maxDirty)
	}
	if t.row(p.by) == nil {
		return Result{Code: CodeMalformed}
	}
	switch op.Kind {
	case wire.OpPut:
		return Result{Code: t.put(p, op)}
	case wire.OpDelete:
		return Result{Code: t.delete(p, op)}
	case wire.OpExpireEntry:
		return Result{Code: t.expireEntry(p, op)}
	case wire.OpLock:
		return t.lock(p, op)
	case wire.OpUnlock:
		return Result{Code: t.unlock(p, op)}
	case wire.OpExtend:
		return Result{Code: t.extend(p, op)}
	case wire.OpCancel:
		return Result{Code: t.cancel(p, op)}
	case wire.OpExpire:
		return Result{Code: t.expire(p, op)}
	case wire.OpRelease:
		return Result{Code: t.release(p, op)}
	case wire.OpReady:
		return Result{Code: t.ready(p, op)}
	case wire.OpExit:
		return Result{Code: t.exit(p)}
	case wire.OpSweep:
		return Result{Code: t.sweep(p, op.Member)}
	case wire.OpWeight:
		return Result{Code: t.weight(p, op.Weight)}
	case wire.OpRules:
		return Result{Code: t.rules(p, op.Rules)}
	}
	return Result{Code: CodeMalformed}
}

// keyed reports whether an operation names a key of a map that can be.
func keyed(op *wire.ClusterOp) bool {
	return len(op.Map) >= 1 && len(op.Map) <= MaxMapName && utf8.Valid(op.Map) && len(op.Key) >= 1 && len(op.Key) <= MaxKey
}

func validTerm(ns int64) bool { return ns >= int64(time.Millisecond) && ns <= wire.MaxTerm }

func (t *tables) put(p *pass, op *wire.ClusterOp) Code {
	if !keyed(op) || op.TTL != 0 && !validTerm(op.TTL) {
		return CodeMalformed
	}
	m := t.maps[string(op.Map)]
	h := t.seed.Hash(op.Key)
	var old *Entry
	if m != nil {
		old = m.trie.Find(h, op.Key)
	}
	if code := m.writable(p, op, old); code != CodeOK {
		return code
	}
	size := len(op.Key) + len(op.Value)
	grows := int64(size)
	if old != nil {
		grows -= int64(old.Size())
	} else {
		grows += EntryBytes
	}
	if uint64(size)+ValueReserve > t.maxValue || grows > 0 && uint64(t.bytes+grows) > t.stateLimit {
		return CodeTooLarge
	}
	if m == nil {
		if m = t.open(op.Map); m == nil {
			return CodeTooLarge
		}
	}
	var more trie.More
	if op.RemoveOnExit {
		more.Owner = p.by
	}
	if op.TTL != 0 {
		more.TTL, more.Expires, more.Began = op.TTL, op.Expires, p.now
	}
	e := trie.NewEntry(h, op.Key, op.Value, p.index, more)
	m.trie.Put(e)
	t.touch(m)
	t.bytes += grows
	if old != nil {
		t.forget(old)
	} else {
		t.entries++
	}
	t.keep(m, e)
	p.event(Event{Kind: EventPut, By: p.by, Map: m.name, Old: old, New: e})
	return CodeOK
}

func (t *tables) delete(p *pass, op *wire.ClusterOp) Code {
	if !keyed(op) {
		return CodeMalformed
	}
	m := t.maps[string(op.Map)]
	var old *Entry
	if m != nil {
		old = m.trie.Get(op.Key)
	}
	if code := m.writable(p, op, old); code != CodeOK || old == nil {
		return code
	}
	t.drop(m, old)
	p.event(Event{Kind: EventDeleted, By: p.by, Map: m.name, Old: old})
	t.close(m)
	return CodeOK
}

// writable says whether the lock of the key and the version that was asked for let a write happen. m may be nil.
func (m *table) writable(p *pass, op *wire.ClusterOp, old *Entry) Code {
	var l *lock
	if m != nil && len(m.locks) > 0 {
		l = m.locks[string(op.Key)]
	}
	switch {
	case op.HasToken:
		if l == nil || !l.heldBy(p.by, op.Token) {
			return CodeNotOwner
		}
	case l != nil:
		return CodeLocked
	}
	if op.Compare {
		var version uint64
		if old != nil {
			version = old.Version()
		}
		if version != op.Version {
			return CodeVersion
		}
	}
	return CodeOK
}

// expireEntry removes an entry whose TTL is over, whoever holds its lock.
func (t *tables) expireEntry(p *pass, op *wire.ClusterOp) Code {
	if !keyed(op) {
		return CodeMalformed
	}
	m := t.maps[string(op.Map)]
	if m == nil {
		return CodeVersion
	}
	old := m.trie.Get(op.Key)
	if old == nil || old.Version() != op.Version || old.More().TTL == 0 {
		return CodeVersion
	}
	t.drop(m, old)
	p.event(Event{Kind: EventExpired, Map: m.name, Old: old})
	t.close(m)
	return CodeOK
}

// drop removes an entry that is there.
func (t *tables) drop(m *table, e *Entry) {
	m.trie.RemoveEntry(e)
	t.touch(m)
	t.entries--
	t.bytes -= int64(e.Size()) + EntryBytes
	t.forget(e)
}

// keep notes what an entry of m has besides its value: an owner, a term.
func (t *tables) keep(m *table, e *Entry) {
	if e.Owner() != (wire.MemberID{}) {
		t.keepOwned(m, e)
	}
	t.keepTerm(m, e)
}

// keepOwned notes an entry with an owner.
func (t *tables) keepOwned(m *table, e *Entry) {
	w := &owned{entry: e, table: m, owner: t.owner(e.Owner())}
	w.owner.entries.add(w)
	t.owned[e.Version()] = w
}

func (t *tables) keepTerm(m *table, e *Entry) {
	if more := e.More(); more.TTL != 0 {
		x := &term{at: more.Began.Add(time.Duration(more.TTL)), table: m, entry: e}
		t.terms.add(x)
		t.expiry[e.Version()] = x
	}
}

// forget is the end of what keep noted.
func (t *tables) forget(e *Entry) {
	more := e.More()
	if more.Owner != (wire.MemberID{}) {
		w := t.owned[e.Version()]
		delete(t.owned, e.Version())
		w.owner.entries.remove(w)
		t.settle(w.owner)
	}
	if more.TTL != 0 {
		t.terms.remove(t.expiry[e.Version()])
		delete(t.expiry, e.Version())
	}
}

// owner returns what goes with a member.
func (t *tables) owner(id wire.MemberID) *owner {
	o := t.owners[id]
	if o == nil {
		o = &owner{id: id}
		t.owners[id] = o
	}
	return o
}

// settle forgets an owner of nothing.
func (t *tables) settle(o *owner) {
	if len(o.entries) == 0 && o.firstWait == nil {
		delete(t.owners, o.id)
	}
}

// sweepable reports whether the first entry of o is to go: its member is not in the table, or entered it after the entry was
// written.
func (t *tables) sweepable(o *owner) bool {
	if o == nil || len(o.entries) == 0 {
		return false
	}
	row := t.row(o.id)
	return row == nil || o.entries[0].entry.Version() < row.Age
}

// sweep removes entries of a member that is gone, the oldest first.
func (t *tables) sweep(p *pass, id wire.MemberID) Code {
	if !t.sweepable(t.owners[id]) {
		return CodeNotOwner
	}
	t.sweepSome(p, id, MaxSweep)
	return CodeOK
}

// sweepSome removes up to n entries of a member that is gone, and returns how many.
func (t *tables) sweepSome(p *pass, id wire.MemberID, n int) int {
	o, done := t.owners[id], 0
	for ; done < n && t.sweepable(o); done++ {
		m, e := o.entries[0].table, o.entries[0].entry
		t.drop(m, e)
		p.event(Event{Kind: EventOwnerGone, By: id, Map: m.name, Old: e})
		t.close(m)
	}
	at := slices.Index(t.unswept, id)
	switch due := t.sweepable(o); {
	case due && at < 0:
		t.unswept = append(t.unswept, id)
	case !due && at >= 0:
		t.unswept = slices.Delete(t.unswept, at, at+1)
	}
	return done
}

// open returns a new map, or nil if there are too many.
func (t *tables) open(name []byte) *table {
	if len(t.maps) >= MaxMaps {
		return nil
	}
	m := &table{name: string(name), trie: trie.New(t.seed)}
	t.maps[m.name] = m
	return m
}

// close forgets a map that has neither entries nor locks.
func (t *tables) close(m *table) {
	if m.trie.Len() == 0 && len(m.locks) == 0 {
		delete(t.maps, m.name)
	}
}

// touch notes that the trie of m has changed.
func (t *tables) touch(m *table) {
	if !m.changed {
		m.changed = true
		t.changed = append(t.changed, m)
	}
}

// sorted returns all maps in order of name.
func (t *tables) sorted() []*table {
	all := make([]*table, 0, len(t.maps))
	for _, m := range t.maps {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *table) int { return strings.Compare(a.name, b.name) })
	return all
}

// MapRoot is one map as it is now.
type MapRoot struct {
	Name string
	Root *trie.Root // nil: the map is empty
}

func (m *table) root() MapRoot {
	if m.trie.Len() == 0 {
		return MapRoot{Name: m.name}
	}
	return MapRoot{m.name, m.trie.Root()}
}

// Changed returns the maps that changed since its last call, as they are now. Their roots never change, and may be read by
// any goroutine. A map that is named twice is as the last one says. The slice is lent until the next call.
func (s *State) Changed() []MapRoot {
	t := s.tables
	clear(t.roots)
	t.roots = t.roots[:0]
	for i, m := range t.changed {
		t.roots = append(t.roots, m.root())
		m.changed = false
		t.changed[i] = nil
	}
	t.changed = t.changed[:0]
	return t.roots
}

// Maps returns all maps that are not empty, in order of name.
func (s *State) Maps() []MapRoot {
	var all []MapRoot
	for _, m := range s.tables.sorted() {
		if r := m.root(); r.Root != nil {
			all = append(all, r)
		}
	}
	return all
}

// Get returns what the map holds for key, or nil.
func (s *State) Get(name, key []byte) *Entry {
	if m := s.tables.maps[string(name)]; m != nil {
		return m.trie.Get(key)
	}
	return nil
}

// Unswept returns a member that is gone and still owns entries: Sweep is due. ok is false where there is none.
func (s *State) Unswept() (id wire.MemberID, ok bool) {
	if len(s.tables.unswept) == 0 {
		return id, false
	}
	return s.tables.unswept[0], true
}
