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
// It is read in parts: part 0 is what is in no map, with the maps' names; part 1 + i is map i of part 0.
type Cut struct {
	Index, Hash uint64
	Primary     wire.Primary
	Entries     uint64 // in all maps
	Digest      uint64 // State.Digest

	service serviceCut
}

// Places is one more than the last place of a map in a Cut.
const Places = trie.Places

// ErrDigest means that parts do not make the State that they are said to be of: one of them is damaged or of another one.
var ErrDigest = errors.New("cluster: the parts of a snapshot do not match its digest")

// Cut returns the State as it is now.
func (s *State) Cut(now clock.Time) *Cut {
	c := s.first.cut(now, &s.position)
	return &Cut{Index: s.index, Hash: s.hash, Primary: s.primary, Entries: c.entries(), Digest: c.digest(), service: c}
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
	maps  []*trie.Root
	count uint64
}

// Part 0 is: u64 its length, u64 the length of what follows that is equal at all replicas (putTables), then, for each lock,
// u64 nanoseconds of its lease that have elapsed. Numbers are little-endian.
const zeroHead = 16

func (t *tables) cut(now clock.Time, pos *position) serviceCut {
	all := t.sorted()
	b := make([]byte, zeroHead, 1024)
	b = t.putTables(b, pos, all)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(b)-zeroHead))
	c := &tablesCut{sum: trie.Digest(0, b[zeroHead:])}
	for _, m := range all {
		c.maps = append(c.maps, m.trie.Root())
		c.count += uint64(m.trie.Len())
		for _, l := range m.sortedLocks() {
			b = binary.LittleEndian.AppendUint64(b, elapsed(l.began, now, l.holder.lease))
		}
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)))
	c.zero = b
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
			return dst, count, e.Hash(), false
		}
		hash = e.Hash()
		dst = putEntry(dst, now, e)
		count++
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

// putTables appends all that is in no map, and of each map its name, and the number and the digest of its entries.
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
		b = e.AppendUint32(b, uint32(len(m.locks)))
		for _, l := range m.sortedLocks() {
			b = e.AppendUint16(b, uint16(len(l.key)))
			b = append(b, l.key...)
			b = e.AppendUint64(b, l.token)
			b = e.AppendUint64(b, l.renewed)
			b = append(b, flags(mark(l.orphaned, flagOrphaned)))
			b = e.AppendUint16(b, uint16(l.waiting))
			b = putWait(b, l.holder)
			for w := l.first; w != nil; w = w.next {
				b = putWait(b, w)
			}
		}
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
	for _, v := range [...]uint64{w.number, w.asked, uint64(w.lease)} {
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
	owned []ownedEntry
	count uint64
}

// built is one map with what it must have in the end.
type built struct {
	*table
	count, digest uint64
}

type ownedEntry struct {
	table *table
	entry *Entry
}

// NewBuilder returns an empty one.
func NewBuilder() *Builder { return &Builder{} }

// Parts is as Cut.Parts; 0 until part 0 is complete.
func (b *Builder) Parts() int {
	if b.state == nil {
		return 0
	}
	return 1 + len(b.maps)
}

// Entries is how many entries were added.
func (b *Builder) Entries() uint64 { return b.count }

// Expect is how many entries a part has; 0 until part 0 is complete.
func (b *Builder) Expect(part uint32) uint64 {
	if part == 0 || int(part) > len(b.maps) {
		return 0
	}
	return b.maps[part-1].count
}

// Add takes one range of a part, as Cut.Part returned it. It fails with wire.ErrMalformed or wire.ErrRange; then the
// Builder is of no further use. It keeps no reference to data.
func (b *Builder) Add(now clock.Time, part uint32, data []byte) error {
	if part == 0 {
		return b.addZero(now, data)
	}
	if int(part) > len(b.maps) {
		return wire.ErrRange
	}
	m := &b.maps[part-1]
	for r := (reader{b: data}); len(r.b) > 0; {
		e := b.entry(now, &r)
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
		if e.Owner() != (wire.MemberID{}) {
			b.owned = append(b.owned, ownedEntry{m.table, e})
		}
		b.state.tables.keepTerm(m.table, e)
	}
	return nil
}

// entry reads one entry; nil: it breaks a limit.
func (b *Builder) entry(now clock.Time, r *reader) *Entry {
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
	if r.bad || keyLen < 1 || keyLen > MaxKey || version > b.state.index {
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
	size, equal := binary.LittleEndian.Uint64(b.zero), binary.LittleEndian.Uint64(b.zero[8:])
	switch {
	case size < zeroHead || equal > size-zeroHead || uint64(len(b.zero)) > size:
		return wire.ErrRange
	case uint64(len(b.zero)) < size:
		return nil
	}
	fixed, terms := b.zero[zeroHead:zeroHead+equal], b.zero[zeroHead+equal:]
	b.sum = trie.Digest(0, fixed)
	s := NewState()
	r := reader{b: fixed}
	maps, ok := s.readTables(&r, &reader{b: terms}, now)
	if r.bad || ok && len(r.b) > 0 {
		return wire.ErrMalformed
	}
	if !ok {
		return wire.ErrRange
	}
	b.state, b.maps, b.zero = s, maps, nil
	return nil
}

// readTables reads what putTables wrote. It reports whether all is within the limits.
func (s *State) readTables(r, terms *reader, now clock.Time) (maps []built, ok bool) {
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
			return nil, false
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
		return nil, false
	}
	var waits []*wait
	last := ""
	for range n {
		name := r.take(int(r.u8()))
		if r.bad || len(name) == 0 || !utf8.Valid(name) || string(name) <= last {
			return nil, false
		}
		m := built{t.open(name), r.u64(), r.u64()}
		last = m.name
		maps = append(maps, m)
		for range r.u32() {
			key := r.take(int(r.u16()))
			if r.bad || len(key) < 1 || len(key) > MaxKey || m.locks[string(key)] != nil {
				return nil, false
			}
			l := t.newLock(m.table, string(key))
			l.token, l.renewed = r.u64(), r.u64()
			l.orphaned = r.u8()&flagOrphaned != 0
			line := int(r.u16())
			l.holder = r.wait(l)
			waits = append(waits, l.holder)
			over := terms.u64()
			if line > MaxLine || !validTerm(l.holder.lease) || over > uint64(l.holder.lease) {
				return nil, false
			}
			t.held++
			t.lease(l, now.Add(-time.Duration(over)))
			for range line {
				w := r.wait(l)
				if r.bad || !validTerm(w.lease) {
					return nil, false
				}
				w.prev = l.last
				if l.last != nil {
					l.last.next = w
				} else {
					l.first = w
				}
				l.last = w
				l.waiting++
				waits = append(waits, w)
			}
			if len(waits) > MaxLocks {
				return nil, false
			}
		}
	}
	slices.SortStableFunc(waits, func(a, b *wait) int { return compare(a.asked, b.asked) })
	for _, w := range waits {
		if t.waits[w.request] != nil {
			return nil, false
		}
		t.adopt(w)
	}
	return maps, !terms.bad && len(terms.b) == 0
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// State returns the finished State. It fails with ErrDigest where it is not that of the Cut with this digest.
func (b *Builder) State(digest uint64) (*State, error) {
	if b.state == nil || b.sum != digest {
		return nil, ErrDigest
	}
	t := b.state.tables
	for _, m := range b.maps {
		if uint64(m.trie.Len()) != m.count || m.trie.Digest() != m.digest {
			return nil, ErrDigest
		}
		t.entries += m.trie.Len()
		t.bytes += m.trie.Bytes() + EntryBytes*int64(m.trie.Len())
		t.touch(m.table)
	}
	slices.SortFunc(b.owned, func(a, b ownedEntry) int { return compare(a.entry.Version(), b.entry.Version()) })
	for _, o := range b.owned {
		t.keepOwned(o.table, o.entry)
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

func (r *reader) wait(l *lock) *wait {
	w := &wait{lock: l, request: request{r.id(), r.u64()}, asked: r.u64(), lease: int64(r.u64() & math.MaxInt64)}
	w.keep = r.u8()&flagKeep != 0
	return w
}
