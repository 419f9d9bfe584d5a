package cluster

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// Cut is a State at one index, for learners and for the disk. It never changes, and any goroutine may read it. It costs
// what the State replaces while it is kept.
//
// It is read in parts: part 0 is the rest, with the maps' names; part 1 + i is map i of part 0; the last part is the locks.
// Services of the application are read as a whole (hostedCut).
type Cut struct {
	Index, Hash uint64
	Primary     wire.Primary
	Entries     uint64 // in all maps
	Digest      uint64 // State.Digest

	service serviceCut
	hosted  []*hostedCut // of each service in force, in ascending order of name
	parted  bool         // a service in force is not here: it is no state for others
}

// Places is one more than the last place of a map in a Cut.
const Places = trie.Places

// ErrDigest means that parts do not make the State that they are said to be of: one of them is damaged or of another one.
var ErrDigest = errors.New("cluster: the parts of a snapshot do not match its digest")

// Cut returns the State as it is now.
func (s *State) Cut(now clock.Time) *Cut {
	c := s.first.cut(now, &s.position)
	return &Cut{Index: s.index, Hash: s.hash, Primary: s.primary, Entries: c.entries(), Digest: c.digest(), service: c,
		hosted: s.services.cut(), parted: s.services.lacking() != nil}
}

// Parts is one more than the number of the last part.
func (c *Cut) Parts() int { return c.service.parts() }

// Part appends to dst a range of a part: what is from place from on, but not much more than limit bytes of it, and
// something if there is anything. next is where the rest begins; end says that there is none. count is how many entries were
// appended. What has a term carries how much of it has elapsed at now. An unknown part is empty.
func (c *Cut) Part(dst []byte, now clock.Time, part uint32, from uint64, limit int) (b []byte, count int, next uint64, end bool) {
	return c.service.part(dst, now, part, from, limit)
}

// tablesCut is the maps' service at one index.
type tablesCut struct {
	zero  []byte // part 0
	sum   uint64
	maps  []*trie.Root // part 1 and so on; the last one is the locks
	count uint64
}

// zeroHead is the head of part 0, bytes. Part 0 is: u64 its length; what putTables appends. Numbers are little-endian.
const zeroHead = 8

func (t *tables) cut(now clock.Time, pos *position) serviceCut {
	t.record(len(t.dirty))
	all := t.sorted()
	b := t.putTables(make([]byte, zeroHead, 1024), pos, all)
	binary.LittleEndian.PutUint64(b, uint64(len(b)))
	c := &tablesCut{zero: b, sum: trie.Digest(0, b)}
	for _, m := range all {
		c.maps = append(c.maps, m.trie.Root())
		c.count += uint64(m.trie.Len())
	}
	c.maps = append(c.maps, t.locked.Root())
	return c
}

// elapsed is how much of a term that began at began is over.
func elapsed(began, now clock.Time, term int64) uint64 {
	return uint64(min(max(int64(now.Sub(began)), 0), term))
}

func (c *tablesCut) digest() uint64  { return c.sum }
func (c *tablesCut) entries() uint64 { return c.count }
func (c *tablesCut) parts() int      { return 1 + len(c.maps) }

func (c *tablesCut) part(dst []byte, now clock.Time, part uint32, from uint64, limit int) ([]byte, int, uint64, bool) {
	if part == 0 {
		size := uint64(len(c.zero))
		from = min(from, size)
		stop := min(size, from+uint64(max(limit, 1)))
		return append(dst, c.zero[from:stop]...), 0, stop, stop == size
	}
	if int(part) > len(c.maps) {
		return dst, 0, 0, true
	}
	begin, count, hash := len(dst), 0, uint64(0)
	for e := range c.maps[part-1].From(from) {
		// Entries of one place stay together.
		if count > 0 && e.Hash() != hash && len(dst)-begin+entryHead+e.Size() > limit {
			if int(part) == len(c.maps) {
				count = 0
			}
			return dst, count, e.Hash(), false
		}
		hash = e.Hash()
		dst = putEntry(dst, now, e)
		count++
	}
	if int(part) == len(c.maps) {
		count = 0 // locks are no entries
	}
	return dst, count, Places, true
}

// An entry is: u64 version, u16 length of key, u32 length of value, u8 1 if it has more; then, if so, 16 bytes owner and
// u64 TTL, expiry, and nanoseconds of the TTL that have elapsed; the key; the value.
const (
	entryHead = 15
	entryMore = 40
)

func putEntry(b []byte, now clock.Time, e *Entry) []byte {
	key, value, more := e.Key(), e.Value(), e.More()
	b = binary.LittleEndian.AppendUint64(b, e.Version())
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	if more == (trie.More{}) {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), more.Owner[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(more.TTL))
		b = binary.LittleEndian.AppendUint64(b, uint64(more.Expires))
		b = binary.LittleEndian.AppendUint64(b, elapsed(more.Began, now, more.TTL))
	}
	return append(append(b, key...), value...)
}

// Flags of a row of the member table, and of a lock.
const (
	flagReady = 1 << iota
	flagObserver
	flagDisk
	flagKeep
	flagOrphaned
)

func flags(bits ...int) (f byte) {
	for _, b := range bits {
		f |= byte(b)
	}
	return f
}

func mark(set bool, bit int) int {
	if set {
		return bit
	}
	return 0
}

// putTables appends all that is in no map and no lock; of each map its name, and the number and the digest of its entries; and
// the number and the digest of the locks; and the services in force, where there are some.
func (t *tables) putTables(b []byte, pos *position, all []*table) []byte {
	e := binary.LittleEndian
	b = e.AppendUint64(b, pos.index)
	b = e.AppendUint64(b, pos.hash)
	b = e.AppendUint32(b, pos.rules)
	b = e.AppendUint64(putRing(b, pos.primary.Chain.Ring), pos.primary.Chain.Founded)
	b = putRing(e.AppendUint64(b, pos.primary.Epoch), pos.primary.Ring)
	b = putVoters(b, pos.primary.Voters)
	b = e.AppendUint32(b, pos.primary.N)
	b = append(b, byte(len(pos.primary.Seats)))
	for _, s := range pos.primary.Seats {
		b = append(b, s[:]...)
	}
	b = putVoters(b, pos.voters)
	b = e.AppendUint64(b, t.maxValue)
	b = e.AppendUint64(b, t.stateLimit)

	b = append(b, byte(len(t.members)))
	for i := range t.members {
		m := &t.members[i]
		b = append(append(b, m.ID[:]...), m.Seat[:]...)
		b = append(append(b, byte(len(m.Name))), m.Name...)
		for _, v := range [...]uint64{m.Started, m.Age, uint64(m.Weight), m.Guard} {
			b = e.AppendUint64(b, v)
		}
		b = e.AppendUint32(e.AppendUint32(b, m.RulesMin), m.RulesMax)
		b = append(b, flags(mark(m.Ready, flagReady), mark(m.Observer, flagObserver), mark(m.Disk, flagDisk)))
	}
	b = append(b, t.master.Holder[:]...)
	b = e.AppendUint64(b, t.master.Token)
	b = append(b, flags(mark(t.master.Orphaned, flagOrphaned)))

	b = e.AppendUint16(b, uint16(len(all)))
	for _, m := range all {
		b = append(append(b, byte(len(m.name))), m.name...)
		b = e.AppendUint64(b, uint64(m.trie.Len()))
		b = e.AppendUint64(b, m.trie.Digest())
	}
	b = e.AppendUint64(e.AppendUint64(b, uint64(t.locked.Len())), t.locked.Digest())
	if len(t.services.list) > 0 {
		b = append(b, byte(len(t.services.list)))
		for _, h := range t.services.list {
			b = append(append(b, byte(len(h.name))), h.name...)
			b = e.AppendUint64(e.AppendUint64(b, uint64(h.ticked)), h.answers)
		}
	}
	return b
}

// A lock is an entry: its key is u8 length of the map's name, the name, the key; its version is the token; its TTL is the
// lease; its value is u64 index of the last renewal, flags, u16 length of the line, the holder's operation, those in line.

func lockKey(b []byte, name, key string) []byte {
	return append(append(append(b, byte(len(name))), name...), key...)
}

func putLock(b []byte, l *lock) []byte {
	b = binary.LittleEndian.AppendUint64(b, l.renewed)
	b = append(b, flags(mark(l.orphaned, flagOrphaned)))
	b = binary.LittleEndian.AppendUint16(b, uint16(l.waiting))
	b = putWait(b, l.holder)
	for w := l.first; w != nil; w = w.next {
		b = putWait(b, w)
	}
	return b
}

func putRing(b []byte, r wire.RingID) []byte {
	return binary.LittleEndian.AppendUint64(append(b, r.Rep[:]...), r.Seq)
}

func putVoters(b []byte, voters []wire.Voter) []byte {
	b = append(b, byte(len(voters)))
	for _, v := range voters {
		b = append(b, v.Seat[:]...)
		b = binary.LittleEndian.AppendUint64(b, v.Name)
		b = binary.LittleEndian.AppendUint64(b, v.Started)
		b = append(b, flags(mark(v.Disk, flagDisk)))
	}
	return b
}

func putWait(b []byte, w *wait) []byte {
	b = append(b, w.member[:]...)
	for _, v := range [...]uint64{w.number, uint64(w.lease)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, flags(mark(w.keep, flagKeep)))
}

// Builder makes a State from the parts of a Cut: all of part 0 in order first, then all others in any order.
type Builder struct {
	state *State // nil until part 0 is complete
	zero  []byte
	sum   uint64
	maps  []built
	locks built // its trie is the locks'
	count uint64
}

// built is one map with what it must have in the end.
type built struct {
	*table
	count, digest uint64
}

// NewBuilder returns an empty one.
func NewBuilder() *Builder { return &Builder{} }

// Parts is as Cut.Parts; 0 until part 0 is complete.
func (b *Builder) Parts() int {
	if b.state == nil {
		return 0
	}
	return 2 + len(b.maps)
}

// Entries is how many entries were added.
func (b *Builder) Entries() uint64 { return b.count }

// Add takes one range of a part, as Cut.Part returned it. It fails with wire.ErrMalformed or wire.ErrRange; then the
// Builder is of no further use. It keeps no reference to data.
func (b *Builder) Add(now clock.Time, part uint32, data []byte) error {
	if part == 0 {
		return b.addZero(now, data)
	}
	if b.state == nil || int(part) > len(b.maps)+1 {
		return wire.ErrRange
	}
	if int(part) == len(b.maps)+1 {
		return b.addLocks(now, data)
	}
	m := &b.maps[part-1]
	for r := (reader{b: data}); len(r.b) > 0; {
		e := b.entry(now, &r, MaxKey)
		if r.bad {
			return wire.ErrMalformed
		}
		if e == nil {
			return wire.ErrRange
		}
		if m.trie.Put(e) != nil {
			return wire.ErrRange // twice
		}
		b.count++
		t := b.state.tables
		if t.owned[e.Version()] != nil || t.expiry[e.Version()] != nil {
			return wire.ErrRange // one operation writes one entry
		}
		t.keep(m.table, e)
	}
	return nil
}

// entry reads one entry; nil: it breaks a limit.
func (b *Builder) entry(now clock.Time, r *reader, maxKey int) *Entry {
	version, keyLen, valueLen := r.u64(), int(r.u16()), int(r.u32())
	var more trie.More
	switch r.u8() {
	case 0:
	case 1:
		more.Owner = r.id()
		more.TTL, more.Expires = int64(r.u64()), int64(r.u64())
		over := r.u64()
		if more.TTL != 0 {
			if !validTerm(more.TTL) || over > uint64(more.TTL) {
				return nil
			}
			more.Began = now.Add(-time.Duration(over))
		}
	default:
		return nil
	}
	key := r.take(keyLen)
	value := r.take(valueLen)
	if r.bad || keyLen < 1 || keyLen > maxKey || version > b.state.index {
		return nil
	}
	return trie.NewEntry(b.state.tables.seed.Hash(key), key, value, version, more)
}

func (b *Builder) addZero(now clock.Time, data []byte) error {
	if b.state != nil {
		return wire.ErrRange
	}
	b.zero = append(b.zero, data...)
	if len(b.zero) < zeroHead {
		return nil
	}
	size := binary.LittleEndian.Uint64(b.zero)
	switch {
	case size < zeroHead || uint64(len(b.zero)) > size:
		return wire.ErrRange
	case uint64(len(b.zero)) < size:
		return nil
	}
	b.sum = trie.Digest(0, b.zero)
	s := NewState()
	r := reader{b: b.zero[zeroHead:]}
	ok := b.readTables(&r, s)
	if r.bad || ok && len(r.b) > 0 {
		return wire.ErrMalformed
	}
	if !ok {
		return wire.ErrRange
	}
	b.state, b.zero = s, nil
	return nil
}

// addLocks takes a range of the last part.
func (b *Builder) addLocks(now clock.Time, data []byte) error {
	t := b.state.tables
	for r := (reader{b: data}); len(r.b) > 0; {
		e := b.entry(now, &r, 1+MaxMapName+MaxKey)
		if r.bad {
			return wire.ErrMalformed
		}
		if e == nil || e.Owner() != (wire.MemberID{}) || t.locked.Put(e) != nil {
			return wire.ErrRange
		}
		if !t.readLock(e) {
			return wire.ErrRange
		}
	}
	return nil
}

// readLock makes the lock that e is. It reports whether that can be.
func (t *tables) readLock(e *Entry) bool {
	k := reader{b: []byte(e.Key())}
	m := t.maps[string(k.take(int(k.u8())))]
	if key := k.b; m == nil || k.bad || len(key) < 1 || len(key) > MaxKey {
		return false
	}
	more := e.More()
	l := t.newLock(m, string(k.b))
	r := reader{b: e.Value()}
	l.token, l.renewed = e.Version(), r.u64()
	l.orphaned = r.u8()&flagOrphaned != 0
	line := int(r.u16())
	if line > MaxLine || len(t.waits)+1+line > MaxLocks {
		return false
	}
	for i := range 1 + line {
		w := r.wait()
		if r.bad || !validTerm(w.lease) || t.waits[w.request] != nil {
			return false
		}
		t.join(l, w)
		if i == 0 {
			t.leaveLine(w)
			l.holder = w
		}
	}
	if len(r.b) > 0 || more.TTL != l.holder.lease {
		return false
	}
	t.held++
	t.lease(l, more.Began)
	l.dirty, t.dirty = false, t.dirty[:0] // it is as it was recorded
	return true
}

// readTables reads what putTables wrote. It reports whether all is within the limits.
func (b *Builder) readTables(r *reader, s *State) (ok bool) {
	s.index, s.hash, s.rules = r.u64(), r.u64(), r.u32()
	p := &s.primary
	p.Chain.Ring, p.Chain.Founded = r.ring(), r.u64()
	p.Epoch, p.Ring = r.u64(), r.ring()
	p.Voters = r.voters()
	p.N = r.u32()
	p.Seats = make([]wire.Seat, r.most(16))
	for i := range p.Seats {
		p.Seats[i] = wire.Seat(r.id())
	}
	s.voters = r.voters()
	t := newTables(p.Chain)
	s.setTables(t)
	t.maxValue, t.stateLimit = r.u64(), r.u64()

	for range r.most(wire.MaxRing) {
		m := Member{ID: r.id(), Seat: wire.Seat(r.id()), Name: string(r.take(int(r.u8())))}
		m.Started, m.Age, m.Weight, m.Guard = r.u64(), r.u64(), int64(r.u64()), r.u64()
		m.RulesMin, m.RulesMax = r.u32(), r.u32()
		f := r.u8()
		m.Ready, m.Observer, m.Disk = f&flagReady != 0, f&flagObserver != 0, f&flagDisk != 0
		if t.row(m.ID) != nil {
			return false
		}
		t.members = append(t.members, m)
	}
	t.master = Held{Holder: r.id(), Token: r.u64()}
	t.master.Orphaned = r.u8()&flagOrphaned != 0
	if t.master.Token != 0 {
		t.master.Key, t.master.Renewed = MasterKey, t.master.Token
	}

	n := int(r.u16())
	if n > MaxMaps {
		return false
	}
	last := ""
	for range n {
		name := r.take(int(r.u8()))
		if r.bad || len(name) == 0 || !utf8.Valid(name) || string(name) <= last {
			return false
		}
		m := t.open(name)
		last = m.name
		b.maps = append(b.maps, built{m, r.u64(), r.u64()})
	}
	b.locks = built{&table{trie: t.locked}, r.u64(), r.u64()}
	if len(r.b) == 0 {
		return true
	}
	last = ""
	for range r.most(wire.MaxServices) {
		h := &hosted{name: string(r.take(int(r.u8()))), ticked: int64(r.u64()), answers: r.u64()}
		if r.bad || !serviceName(h.name) || h.name <= last || h.ticked < 0 {
			return false
		}
		last = h.name
		s.services.list = append(s.services.list, h)
	}
	return true
}

// differs reports whether not all that should be there is there, or something else.
func (m *built) differs() bool { return uint64(m.trie.Len()) != m.count || m.trie.Digest() != m.digest }

// State returns the finished State. It fails with ErrDigest where it is not that of the Cut with this digest.
func (b *Builder) State(digest uint64) (*State, error) {
	if b.state == nil || b.sum != digest {
		return nil, ErrDigest
	}
	t := b.state.tables
	if b.locks.differs() {
		return nil, ErrDigest
	}
	for _, m := range b.maps {
		if m.differs() || m.count == 0 && len(m.locks) == 0 {
			return nil, ErrDigest
		}
		t.entries += m.trie.Len()
		t.bytes += m.trie.Bytes() + EntryBytes*int64(m.trie.Len())
		t.touch(m.table)
	}
	for id, o := range t.owners {
		if t.sweepable(o) {
			t.unswept = append(t.unswept, id)
		}
	}
	slices.SortFunc(t.unswept, func(a, b wire.MemberID) int { return slices.Compare(a[:], b[:]) })
	s := b.state
	*b = Builder{}
	return s, nil
}

// reader takes numbers and bytes off b. Once something was missing it is bad, and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

var zeros [32]byte

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// fixed is take of at most 32 bytes, which are zeros where some are missing.
func (r *reader) fixed(n int) []byte {
	if v := r.take(n); v != nil {
		return v
	}
	return zeros[:n]
}

func (r *reader) u8() byte    { return r.fixed(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.fixed(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.fixed(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.fixed(8)) }

func (r *reader) id() wire.MemberID { return wire.MemberID(r.fixed(16)) }

func (r *reader) ring() wire.RingID { return wire.RingID{Rep: r.id(), Seq: r.u64()} }

// most reads a count of at most n.
func (r *reader) most(n int) int {
	v := int(r.u8())
	if v > n {
		r.bad, r.b = true, nil
		return 0
	}
	return v
}

func (r *reader) voters() []wire.Voter {
	v := make([]wire.Voter, r.most(16))
	for i := range v {
		v[i] = wire.Voter{Seat: wire.Seat(r.id()), Name: r.u64(), Started: r.u64(), Disk: r.u8()&flagDisk != 0}
	}
	return v
}

func (r *reader) wait() *wait {
	w := &wait{request: request{r.id(), r.u64()}, lease: int64(r.u64() & math.MaxInt64)}
	w.keep = r.u8()&flagKeep != 0
	return w
}
