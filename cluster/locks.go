package cluster

import (
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// lock is the lock of one key while somebody holds it, or it is orphaned.
type lock struct {
	table       *table
	key         string
	holder      *wait
	token       uint64
	renewed     uint64 // index of the grant or of the last extension
	orphaned    bool
	began       clock.Time // when this replica counts the lease from
	term        *term
	first, last *wait // the line
	waiting     int   // in it
	dirty       bool  // it is in tables.dirty
}

// wait is one Lock operation: in the line, or the holder.
type wait struct {
	request
	lock       *lock
	owner      *owner
	lease      int64 // ns
	keep       bool
	prev, next *wait // in the line
	mine       struct{ prev, next *wait }
}

// request names a Lock operation.
type request struct {
	member wire.MemberID
	number uint64
}

// heldBy reports whether a member holds the lock with token.
func (l *lock) heldBy(id wire.MemberID, token uint64) bool {
	return !l.orphaned && l.token == token && l.holder.member == id
}

// lock joins the line of a key, and holds the lock at once if it is free.
func (t *tables) lock(p *pass, op *wire.ClusterOp) Result {
	r := request{p.by, op.Request}
	if !keyed(op) || !validTerm(op.Lease) || t.waits[r] != nil {
		return Result{Code: CodeMalformed}
	}
	m := t.maps[string(op.Map)]
	var l *lock
	if m != nil {
		l = m.locks[string(op.Key)]
	}
	if l != nil && op.Try {
		return Result{Code: CodeLocked}
	}
	if len(t.waits) >= MaxLocks || l != nil && l.waiting >= MaxLine {
		return Result{Code: CodeTooLarge}
	}
	if m == nil {
		if m = t.open(op.Map); m == nil {
			return Result{Code: CodeTooLarge}
		}
	}
	if l == nil {
		l = t.newLock(m, string(op.Key))
	}
	t.join(l, &wait{request: r, lease: op.Lease, keep: op.Keep})
	if l.holder != nil {
		return Result{}
	}
	t.grant(p, l)
	return Result{Token: l.token}
}

func (t *tables) newLock(m *table, key string) *lock {
	l := &lock{table: m, key: key}
	if m.locks == nil {
		m.locks = map[string]*lock{}
	}
	m.locks[key] = l
	return l
}

// join puts w last in the line of l, and in what goes with its member.
func (t *tables) join(l *lock, w *wait) {
	w.lock = l
	w.prev = l.last
	if l.last != nil {
		l.last.next = w
	} else {
		l.first = w
	}
	l.last = w
	l.waiting++
	t.adopt(w)
	t.soil(l)
}

// adopt notes w as one of its member's.
func (t *tables) adopt(w *wait) {
	o := t.owner(w.member)
	w.owner = o
	w.mine.prev = o.lastWait
	if o.lastWait != nil {
		o.lastWait.mine.next = w
	} else {
		o.firstWait = w
	}
	o.lastWait = w
	t.waits[w.request] = w
}

// leaveLine takes w out of the line of its lock.
func (t *tables) leaveLine(w *wait) {
	l := w.lock
	t.soil(l)
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	w.prev, w.next = nil, nil
	l.waiting--
}

// disown is the end of a Lock operation.
func (t *tables) disown(w *wait) {
	o := w.owner
	if w.mine.prev != nil {
		w.mine.prev.mine.next = w.mine.next
	} else {
		o.firstWait = w.mine.next
	}
	if w.mine.next != nil {
		w.mine.next.mine.prev = w.mine.prev
	} else {
		o.lastWait = w.mine.prev
	}
	delete(t.waits, w.request)
	t.settle(o)
}

// grant gives a lock that nobody holds to the first in its line. Waits of members that are not in the table are gone
// already.
func (t *tables) grant(p *pass, l *lock) {
	w := l.first
	t.leaveLine(w)
	l.holder, l.token, l.renewed, l.orphaned = w, p.index, p.index, false
	t.held++
	t.lease(l, p.now)
	p.event(Event{Kind: EventGranted, By: w.member, Map: l.table.name, Key: l.key, Request: w.number, Token: l.token, Lease: w.lease})
}

// lease begins the term of the lock's holder.
func (t *tables) lease(l *lock, began clock.Time) {
	t.soil(l)
	t.terms.remove(l.term)
	l.began = began
	l.term = &term{at: began.Add(time.Duration(l.holder.lease)), lock: l}
	t.terms.add(l.term)
}

// free ends the holding of a lock: the next in line gets it, or there is no lock any more.
func (t *tables) free(p *pass, l *lock) {
	t.soil(l)
	t.terms.remove(l.term)
	t.disown(l.holder)
	l.holder, l.term = nil, nil
	t.held--
	if l.first != nil {
		t.grant(p, l)
		return
	}
	delete(l.table.locks, l.key)
	t.close(l.table)
}

func (p *pass) lockEvent(kind EventKind, l *lock) {
	w := l.holder
	p.event(Event{Kind: kind, By: w.member, Map: l.table.name, Key: l.key, Request: w.number, Token: l.token, Lease: w.lease})
}

// find returns the lock that an operation names, or nil. An operation that names none that can be is malformed.
func (t *tables) find(op *wire.ClusterOp) (*lock, Code) {
	if !keyed(op) {
		return nil, CodeMalformed
	}
	if m := t.maps[string(op.Map)]; m != nil {
		return m.locks[string(op.Key)], CodeOK
	}
	return nil, CodeOK
}

func (t *tables) unlock(p *pass, op *wire.ClusterOp) Code {
	if ofMaster(op) {
		return t.abdicate(p, op.Token)
	}
	l, code := t.find(op)
	if code != CodeOK {
		return code
	}
	if l == nil || !l.heldBy(p.by, op.Token) {
		return CodeNotOwner
	}
	p.lockEvent(EventReleased, l)
	t.free(p, l)
	return CodeOK
}

func (t *tables) extend(p *pass, op *wire.ClusterOp) Code {
	l, code := t.find(op)
	if code == CodeOK && !validTerm(op.Lease) {
		code = CodeMalformed
	}
	if code != CodeOK {
		return code
	}
	if l == nil || !l.heldBy(p.by, op.Token) {
		return CodeNotOwner
	}
	l.holder.lease, l.renewed = op.Lease, p.index
	t.lease(l, p.now)
	p.lockEvent(EventExtended, l)
	return CodeOK
}

// cancel ends a Lock operation of the proposer, wherever it stands. What is not there has ended before: that is no error.
func (t *tables) cancel(p *pass, op *wire.ClusterOp) Code {
	w := t.waits[request{p.by, op.Request}]
	if w == nil {
		return CodeOK
	}
	l := w.lock
	switch {
	case l.holder != w:
		t.leaveLine(w)
		t.disown(w)
	case !l.orphaned:
		p.lockEvent(EventReleased, l)
		t.free(p, l)
	}
	return CodeOK
}

// expire ends a lock whose lease is over, unless it was extended after index op.Version.
func (t *tables) expire(p *pass, op *wire.ClusterOp) Code {
	l, code := t.find(op)
	if code != CodeOK {
		return code
	}
	if l == nil || l.token != op.Token || l.renewed > op.Version {
		return CodeNotOwner
	}
	p.lockEvent(EventReleased, l)
	t.free(p, l)
	return CodeOK
}

// release ends a lock that is orphaned.
func (t *tables) release(p *pass, op *wire.ClusterOp) Code {
	if ofMaster(op) {
		return t.releaseMaster(p, op.Token)
	}
	l, code := t.find(op)
	if code != CodeOK {
		return code
	}
	if l == nil || !l.orphaned || l.token != op.Token {
		return CodeNotOwner
	}
	p.lockEvent(EventReleased, l)
	t.free(p, l)
	return CodeOK
}

// gone ends what a member waited for and held: in order, or because it was lost. Waits end first, so that no lock goes to
// one that is gone.
func (t *tables) gone(p *pass, id wire.MemberID, orderly bool) {
	o := t.owners[id]
	if o == nil {
		return
	}
	var holds []*lock
	for w := o.firstWait; w != nil; {
		next := w.mine.next
		switch l := w.lock; {
		case l.holder != w:
			if t.leave == waitsStay {
				break
			}
			t.leaveLine(w)
			t.disown(w)
		case !w.keep && !l.orphaned:
			holds = append(holds, l)
		}
		w = next
	}
	*p.out = slices.Grow(*p.out, len(holds))
	for _, l := range holds {
		if orderly {
			p.lockEvent(EventReleased, l)
			t.free(p, l)
		} else {
			l.orphaned = true
			t.soil(l)
			p.lockEvent(EventOrphaned, l)
		}
	}
}

// Locks have a second form, for cuts: an entry of a trie for each. It is written some time after the lock has changed, so
// that a lock that changes often, with a long line, is not written each time; and before a cut.

const maxDirty = 256 // locks that are written with one operation, at most

// soil notes that a lock has changed.
func (t *tables) soil(l *lock) {
	if !l.dirty {
		l.dirty = true
		t.dirty = append(t.dirty, l)
	}
}

// record writes the first n locks that are dirty.
func (t *tables) record(n int) {
	for i, l := range t.dirty[:n] {
		l.dirty = false
		t.dirty[i] = nil
		key := lockKey(t.buf[:0], l.table.name, l.key)
		at := len(key)
		h := t.seed.Hash(key)
		if t.buf = key; l.holder == nil {
			// Another lock of this key may be there already: it is dirty too, and comes after this one.
			t.locked.Remove(h, key)
			continue
		}
		t.buf = putLock(t.buf, l)
		more := trie.More{TTL: l.holder.lease, Began: l.began}
		t.locked.Put(trie.NewEntry(h, t.buf[:at], t.buf[at:], l.token, more))
	}
	if t.dirty = t.dirty[n:]; len(t.dirty) == 0 {
		t.dirty = nil
	}
}

// Held is a lock that is held, or orphaned.
type Held struct {
	Map, Key string
	Holder   wire.MemberID
	Request  uint64 // of the Lock operation
	Token    uint64
	Lease    int64  // ns; 0: none
	Renewed  uint64 // index of the grant, or of the last extension
	Keep     bool
	Orphaned bool
	Waiting  int // in line
}

func (l *lock) held() Held {
	w := l.holder
	return Held{
		Map: l.table.name, Key: l.key, Holder: w.member, Request: w.number, Token: l.token, Lease: w.lease,
		Renewed: l.renewed, Keep: w.keep, Orphaned: l.orphaned, Waiting: l.waiting,
	}
}

// Held returns the lock of key in a map; ok is false where it is free.
func (s *State) Held(name, key []byte) (h Held, ok bool) {
	if m := s.tables.maps[string(name)]; m != nil {
		if l := m.locks[string(key)]; l != nil {
			return l.held(), true
		}
	}
	return h, false
}

// HeldBy returns the locks that a member holds and that are not orphaned. The master's is not among them.
func (s *State) HeldBy(id wire.MemberID) []Held {
	var all []Held
	if o := s.tables.owners[id]; o != nil {
		for w := o.firstWait; w != nil; w = w.mine.next {
			if w.lock.holder == w && !w.lock.orphaned {
				all = append(all, w.lock.held())
			}
		}
	}
	return all
}

// Orphans returns all locks that wait for a Release, in order of map and key; the master's comes first.
func (s *State) Orphans() []Held {
	var all []Held
	if s.tables.master.Orphaned {
		all = append(all, s.tables.master)
	}
	for _, m := range s.tables.sorted() {
		for _, l := range m.sortedLocks() {
			if l.orphaned {
				all = append(all, l.held())
			}
		}
	}
	return all
}

func (m *table) sortedLocks() []*lock {
	all := make([]*lock, 0, len(m.locks))
	for _, l := range m.locks {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *lock) int { return strings.Compare(a.key, b.key) })
	return all
}
