package cluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// model is the replicated state written down once more, as plainly as it can be: maps and slices that are searched.
type model struct {
	index      uint64
	rules      uint32
	stateLimit int64
	entries    map[string]modelEntry // by map + "/" + key
	locks      map[string]*modelLock
	members    []modelMember
	voters     []byte
	master     byte
	token      uint64
	unseated   bool
}

type modelEntry struct {
	value   string
	version uint64
	owner   byte // 0: none
	ttl     bool
}

type modelLock struct {
	holder, line modelWaits
	token        uint64
	renewed      uint64
	orphaned     bool
}

type modelWait struct {
	by      byte
	request uint64
	keep    bool
}

type modelWaits []modelWait

type modelMember struct {
	id     byte
	age    uint64
	weight int64
	ready  bool
}

func (m *model) member(id byte) *modelMember {
	for i := range m.members {
		if m.members[i].id == id {
			return &m.members[i]
		}
	}
	return nil
}

func (m *model) size() (n int64) {
	for k, e := range m.entries {
		_, key, _ := strings.Cut(k, "/")
		n += int64(len(key)+len(e.value)) + EntryBytes
	}
	return n
}

func (m *model) apply(by byte, stamp uint64, o *wire.ClusterOp) Code {
	m.index = max(m.index+1, stamp)
	me := m.member(by)
	if me == nil {
		return CodeMalformed
	}
	name := string(o.Map) + "/" + string(o.Key)
	e, there := m.entries[name]
	l := m.locks[name]
	mine := l != nil && !l.orphaned && l.holder[0].by == by && l.token == o.Token
	switch o.Kind {
	case wire.OpPut, wire.OpDelete:
		if o.HasToken && !mine {
			return CodeNotOwner
		}
		if !o.HasToken && l != nil {
			return CodeLocked
		}
		if o.Compare && o.Version != e.version {
			return CodeVersion
		}
		if o.Kind == wire.OpDelete {
			delete(m.entries, name)
			return CodeOK
		}
		before := m.size()
		next := modelEntry{value: string(o.Value), version: m.index, ttl: o.TTL != 0}
		if o.RemoveOnExit {
			next.owner = by
		}
		m.entries[name] = next
		if now := m.size(); now > before && now > m.stateLimit {
			delete(m.entries, name)
			if there {
				m.entries[name] = e
			}
			return CodeTooLarge
		}
	case wire.OpExpireEntry:
		if !there || e.version != o.Version || !e.ttl {
			return CodeVersion
		}
		delete(m.entries, name)
	case wire.OpLock:
		for _, l := range m.locks {
			for _, w := range append(slices.Clone(l.line), l.holder...) {
				if w.by == by && w.request == o.Request {
					return CodeMalformed
				}
			}
		}
		if l != nil && o.Try {
			return CodeLocked
		}
		if l == nil {
			l = &modelLock{}
			m.locks[name] = l
		}
		l.line = append(l.line, modelWait{by, o.Request, o.Keep})
		m.settle()
	case wire.OpUnlock:
		if len(o.Map) == 0 {
			if m.master != by || m.token != o.Token || m.unseated {
				return CodeNotOwner
			}
			m.master, m.token = 0, 0
			m.settle()
			return CodeOK
		}
		if !mine {
			return CodeNotOwner
		}
		l.holder = nil
		m.settle()
	case wire.OpExtend:
		if !mine {
			return CodeNotOwner
		}
		l.renewed = m.index
	case wire.OpCancel:
		for _, l := range m.locks {
			is := func(w modelWait) bool { return w.by == by && w.request == o.Request }
			l.line = slices.DeleteFunc(l.line, is)
			if !l.orphaned {
				l.holder = slices.DeleteFunc(l.holder, is)
			}
		}
		m.settle()
	case wire.OpExpire:
		if l == nil || l.token != o.Token || l.renewed > o.Version {
			return CodeNotOwner
		}
		l.holder = nil
		m.settle()
	case wire.OpRelease:
		if len(o.Map) == 0 {
			if !m.unseated || m.token != o.Token {
				return CodeNotOwner
			}
			m.master, m.token, m.unseated = 0, 0, false
			m.settle()
			return CodeOK
		}
		if l == nil || !l.orphaned || l.token != o.Token {
			return CodeNotOwner
		}
		l.holder = nil
		m.settle()
	case wire.OpReady:
		if !me.ready {
			me.ready = true
			m.vote(by)
			m.settle()
		}
	case wire.OpExit:
		m.members = slices.DeleteFunc(m.members, func(x modelMember) bool { return x.id == by })
		if i := slices.Index(m.voters, by); i >= 0 && len(m.voters) > 1 {
			m.voters = slices.Delete(slices.Clone(m.voters), i, i+1)
		}
		m.gone(by, true)
		m.sweep(by, MaxSweep)
		if m.master == by && !m.unseated {
			m.master, m.token = 0, 0
		}
		m.settle()
	case wire.OpSweep:
		if m.sweep(o.Member[0], MaxSweep) == 0 {
			return CodeNotOwner
		}
	case wire.OpWeight:
		me.weight = o.Weight
	case wire.OpRules:
		if o.Rules != m.rules+1 || o.Rules > 2 {
			return CodeMalformed
		}
		m.rules = o.Rules
	}
	return CodeOK
}

func (m *model) vote(id byte) {
	if slices.Contains(m.voters, id) {
		return
	}
	m.voters = append(slices.Clone(m.voters), id)
}

// settle gives what is free to who is next.
func (m *model) settle() {
	for name, l := range m.locks {
		if len(l.holder) > 0 {
			continue
		}
		if len(l.line) == 0 {
			delete(m.locks, name)
			continue
		}
		*l = modelLock{holder: l.line[:1:1], line: l.line[1:], token: m.index, renewed: m.index}
	}
	if m.master == 0 {
		for _, x := range m.members {
			if x.ready && (m.master == 0 || x.weight > m.member(m.master).weight) {
				m.master, m.token = x.id, m.index
			}
		}
	}
}

func (m *model) gone(id byte, orderly bool) {
	for _, l := range m.locks {
		l.line = slices.DeleteFunc(l.line, func(w modelWait) bool { return w.by == id })
		if len(l.holder) > 0 && l.holder[0].by == id && !l.holder[0].keep {
			if !orderly {
				l.orphaned = true
			} else if !l.orphaned {
				l.holder = nil
			}
		}
	}
}

func (m *model) sweep(id byte, room int) (n int) {
	type old struct {
		name    string
		version uint64
	}
	var all []old
	x := m.member(id)
	for name, e := range m.entries {
		if e.owner == id && id != 0 && (x == nil || e.version < x.age) {
			all = append(all, old{name, e.version})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Compare(a.version, b.version) })
	for _, e := range all[:min(room, len(all))] {
		delete(m.entries, e.name)
		n++
	}
	return n
}

func (m *model) establish(o *wire.Opening) {
	m.index = max(m.index, o.Base) + 1
	m.rules, m.stateLimit = o.Rules, int64(o.StateLimit)
	m.voters = nil
	for _, v := range o.Primary.Voters {
		m.voters = append(m.voters, v.Seat[0])
	}
	var left []byte
	for _, x := range slices.Clone(m.members) {
		stays := false
		for _, t := range o.Members {
			stays = stays || t.Member[0] == x.id && t.Current
		}
		if !stays {
			left = append(left, x.id)
			m.members = slices.DeleteFunc(m.members, func(y modelMember) bool { return x.id == y.id })
			m.gone(x.id, false)
			if m.master == x.id {
				m.unseated = true
			}
		}
	}
	for i := range m.members {
		m.members[i].ready = true
	}
	for _, t := range o.Members {
		if m.member(t.Member[0]) == nil {
			m.members = append(m.members, modelMember{t.Member[0], m.index, t.Weight, t.Current})
		}
	}
	room := MaxSweep
	for _, id := range left {
		room -= m.sweep(id, room)
	}
	m.settle()
}

// text is all of a model, and of a State, in words.
func (m *model) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "index %d, rules %d, voters %s, bytes %d\n", m.index, m.rules, m.voters, m.size())
	for _, x := range m.members {
		fmt.Fprintf(&b, "member %c: age %d, weight %d, ready %v\n", x.id, x.age, x.weight, x.ready)
	}
	fmt.Fprintf(&b, "master %d: token %d, unseated %v\n", m.master, m.token, m.unseated)
	for _, name := range sortedKeys(m.entries) {
		e := m.entries[name]
		fmt.Fprintf(&b, "%s: %q version %d owner %d ttl %v\n", name, e.value, e.version, e.owner, e.ttl)
	}
	for _, name := range sortedKeys(m.locks) {
		l := m.locks[name]
		h := l.holder[0]
		fmt.Fprintf(&b, "%s: %c.%d token %d renewed %d keep %v orphaned %v:", name, h.by, h.request, l.token, l.renewed, h.keep, l.orphaned)
		for _, w := range l.line {
			fmt.Fprintf(&b, " %c.%d", w.by, w.request)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func sortedKeys[T any](m map[string]T) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func text(s *State) string {
	var b strings.Builder
	var voters []byte
	for _, v := range s.Voters() {
		voters = append(voters, v.Seat[0])
	}
	fmt.Fprintf(&b, "index %d, rules %d, voters %s, bytes %d\n", s.Index(), s.Rules(), voters, s.Size().Bytes)
	for _, x := range s.Members() {
		fmt.Fprintf(&b, "member %c: age %d, weight %d, ready %v\n", x.ID[0], x.Age, x.Weight, x.Ready)
	}
	h, _ := s.Master()
	fmt.Fprintf(&b, "master %d: token %d, unseated %v\n", h.Holder[0], h.Token, h.Orphaned)
	lines := map[string]string{}
	for _, m := range s.Maps() {
		for e := range m.Root.All() {
			lines[m.Name+"/"+e.Key()] = fmt.Sprintf("%q version %d owner %d ttl %v\n", e.Value(), e.Version(), e.Owner()[0], e.More().TTL != 0)
		}
	}
	for _, name := range sortedKeys(lines) {
		fmt.Fprintf(&b, "%s: %s", name, lines[name])
	}
	locks := map[string]*lock{}
	for _, m := range s.tables.sorted() {
		for _, l := range m.sortedLocks() {
			locks[m.name+"/"+l.key] = l
		}
	}
	for _, name := range sortedKeys(locks) {
		l := locks[name]
		h := l.held()
		fmt.Fprintf(&b, "%s: %c.%d token %d renewed %d keep %v orphaned %v:", name, h.Holder[0], h.Request, h.Token, h.Renewed, h.Keep, h.Orphaned)
		for w := l.first; w != nil; w = w.next {
			fmt.Fprintf(&b, " %c.%d", w.member[0], w.number)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// A stateWorkload draws steps of a history: operations, mostly sensible ones, and establishments.
type stateWorkload struct {
	rng     *rand.Rand
	epoch   uint64
	request uint64
	stamp   uint64
}

type stateStep struct {
	by    byte
	stamp uint64
	op    *wire.ClusterOp
	open  *wire.Opening
}

func (w *stateWorkload) next(s *State) stateStep {
	r := w.rng
	if w.epoch == 0 || r.IntN(60) == 0 {
		w.epoch++
		var members, current []byte
		for c := byte('a'); c < 'f'; c++ {
			if r.IntN(4) > 0 || c == 'a'+byte(w.epoch%5) {
				members = append(members, c)
				if w.epoch == 1 || r.IntN(3) > 0 || len(current) == 0 {
					current = append(current, c)
				}
			}
		}
		o := opening(w.epoch, s.Index()+uint64(r.IntN(3)), string(members), string(current))
		o.StateLimit = uint64(1000 + r.IntN(4000))
		for i := range o.Members {
			o.Members[i].Weight = int64(r.IntN(3))
		}
		return stateStep{open: o}
	}
	o := &wire.ClusterOp{Map: []byte{byte('m' + r.IntN(2))}, Key: fmt.Append(nil, r.IntN(12))}
	kinds := []wire.OpKind{1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 12, 13}
	o.Kind = kinds[r.IntN(len(kinds))]
	if r.IntN(100) == 0 {
		o.Kind = wire.OpExit
	}
	if r.IntN(100) == 0 {
		o.Kind = wire.OpRules
	}
	by := byte('a' + r.IntN(5))
	w.stamp += uint64(r.IntN(3))
	held, isHeld := s.Held(o.Map, o.Key)
	e := s.Get(o.Map, o.Key)
	likely := r.IntN(4) > 0 // mostly what succeeds
	if isHeld && likely {
		o.Token, o.Version = held.Token, held.Renewed
		if o.Kind == wire.OpUnlock || o.Kind == wire.OpExtend || o.Kind <= wire.OpDelete {
			by = held.Holder[0]
		}
	} else {
		o.Token, o.Version = uint64(r.IntN(int(s.Index())+1)), uint64(r.IntN(int(s.Index())+1))
	}
	switch o.Kind {
	case wire.OpPut, wire.OpDelete:
		o.Value = []byte(strings.Repeat("v", r.IntN(90)))
		o.RemoveOnExit = r.IntN(3) == 0
		if r.IntN(3) == 0 {
			o.TTL = int64(time.Duration(1+r.IntN(50)) * time.Millisecond)
			o.Expires = 1
		}
		o.HasToken = isHeld && likely
		if o.Compare = r.IntN(3) == 0; o.Compare && likely {
			o.Version = 0
			if e != nil {
				o.Version = e.Version()
			}
		}
	case wire.OpExpireEntry:
		if e != nil && likely {
			o.Version = e.Version()
		}
	case wire.OpLock:
		w.request++
		o.Request = w.request
		if r.IntN(10) == 0 {
			o.Request = uint64(r.IntN(int(w.request)))
		}
		o.Lease = int64(time.Duration(1+r.IntN(50)) * time.Millisecond)
		o.Try, o.Keep = r.IntN(5) == 0, r.IntN(3) == 0
	case wire.OpExtend:
		o.Lease = 2e6
	case wire.OpCancel:
		o.Request = uint64(r.IntN(int(w.request) + 1))
		if w := s.tables.waits; len(w) > 0 && likely {
			all := make([]request, 0, len(w))
			for k := range w {
				all = append(all, k)
			}
			slices.SortFunc(all, func(a, b request) int {
				return cmp.Compare(a.number<<8|uint64(a.member[0]), b.number<<8|uint64(b.member[0]))
			})
			k := all[r.IntN(len(all))]
			by, o.Request = k.member[0], k.number
		}
	case wire.OpReady:
		o.Seat = wire.Seat{by}
	case wire.OpSweep:
		o.Member = member(byte('a' + r.IntN(5)))
	case wire.OpWeight:
		o.Weight = int64(r.IntN(3))
	case wire.OpRules:
		o.Rules = s.Rules() + uint32(r.IntN(2))
	}
	if h, ok := s.Master(); ok && r.IntN(10) == 0 && (o.Kind == wire.OpUnlock || o.Kind == wire.OpRelease) {
		o.Map, o.Key, o.Token = nil, []byte(MasterKey), h.Token
		if likely {
			by = h.Holder[0]
		}
	}
	return stateStep{by: by, stamp: w.stamp, op: o}
}

func (st *stateStep) do(now clock.Time, s *State) Result {
	if st.open != nil {
		s.Establish(now, st.open)
		return Result{}
	}
	return s.Apply(now, member(st.by), st.stamp, st.op)
}

// The State does what the model does; a second replica at another time is equal, and so is one that begins with a cut.
func TestModel(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 5
	}
	codes, events := map[Code]int{}, map[EventKind]int{}
	for seed := range seeds {
		w := &stateWorkload{rng: rand.New(rand.NewPCG(3, uint64(seed)))}
		s, m := NewState(), &model{entries: map[string]modelEntry{}, locks: map[string]*modelLock{}}
		other := NewState()
		for i := range 1500 {
			now := clock.Time(1000 + i*1e6)
			st := w.next(s)
			var want Code
			if st.open != nil {
				m.establish(st.open)
			} else {
				want = m.apply(st.by, st.stamp, st.op)
			}
			r := st.do(now, s)
			or := st.do(now+12345, other)
			if r.Code != want || or != r {
				t.Fatalf("seed %d step %d: %+v by %c: code %d, the model has %d, the other replica %+v", seed, i, st.op, st.by, r.Code, want, or)
			}
			codes[want]++
			for _, e := range s.events {
				events[e.Kind]++
			}
			if a, b := eventLines(s), eventLines(other); !slices.Equal(a, b) {
				t.Fatalf("seed %d step %d: events %v, the other replica's %v", seed, i, a, b)
			}
			s.ClearEvents()
			other.ClearEvents()
			if got, want := text(s), m.text(); got != want {
				t.Fatalf("seed %d step %d: %+v by %c %+v\ngot\n%s\nwant\n%s", seed, i, st.op, st.by, st.open, got, want)
			}
			if s.Hash() != other.Hash() || s.Digest() != other.Digest() {
				t.Fatalf("seed %d step %d: replicas differ", seed, i)
			}
			check(t, s)
			if i%97 == 0 {
				other = restored(t, w.rng, s, now)
			}
		}
	}
	for c := range CodeMalformed + 1 {
		if codes[c] == 0 {
			t.Errorf("no operation ended with code %d", c)
		}
	}
	for k := EventPut; k <= EventRules; k++ {
		if events[k] == 0 {
			t.Errorf("no event %s", eventNames[k])
		}
	}
	t.Log(codes, events)
}

// eventLines are the events of a State; those about several locks of one index have no order among them.
func eventLines(s *State) (lines []string) {
	var locks []string
	for i := range s.events {
		e := &s.events[i]
		if line := e.String(); e.Kind >= EventGranted && e.Kind <= EventOrphaned {
			locks = append(locks, line)
		} else {
			lines = append(lines, line)
		}
	}
	slices.Sort(locks)
	return append(lines, locks...)
}

// restored is s made anew from parts.
func restored(t *testing.T, rng *rand.Rand, s *State, now clock.Time) *State {
	t.Helper()
	c := s.Cut(now)
	if c.Digest != s.Digest() || c.Index != s.Index() || c.Hash != s.Hash() {
		t.Fatalf("cut %+v of %d", c, s.Index())
	}
	b := NewBuilder()
	limit := 1 + rng.IntN(600)
	var parts [][]byte
	var of []uint32
	for part := range uint32(c.Parts()) {
		for from, end := uint64(0), false; !end; {
			var data []byte
			data, _, from, end = c.Part(nil, now+5, part, from, limit)
			if part == 0 {
				if err := b.Add(now+7, 0, data); err != nil {
					t.Fatal(err)
				}
				continue
			}
			parts, of = append(parts, data), append(of, part)
		}
	}
	if b.Parts() != c.Parts() {
		t.Fatalf("%d parts of %d", b.Parts(), c.Parts())
	}
	for _, i := range rng.Perm(len(parts)) {
		if err := b.Add(now+7, of[i], parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if b.Entries() != c.Entries {
		t.Fatalf("%d entries of %d", b.Entries(), c.Entries)
	}
	r, err := b.State(c.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest() != s.Digest() || r.Hash() != s.Hash() || text(r) != text(s) || r.Size() != s.Size() || r.Primary().Epoch != s.Primary().Epoch {
		t.Fatalf("restored\n%s\nof\n%s", text(r), text(s))
	}
	check(t, r)
	// Terms go on: at most a little longer than they were here.
	for _, x := range s.tables.terms.heap {
		found := slices.ContainsFunc(r.tables.terms.heap, func(y *term) bool {
			same := x.lock != nil && y.lock != nil && x.lock.token == y.lock.token && x.lock.key == y.lock.key && x.lock.table.name == y.lock.table.name ||
				x.entry != nil && y.entry != nil && x.entry.Version() == y.entry.Version()
			return same && (y.at >= x.at && y.at <= x.at+7 || x.at <= now+7)
		})
		if !found {
			t.Fatalf("term %+v is not there, or ends at another time", x)
		}
	}
	return r
}

// check holds the state's lists against each other.
func check(t *testing.T, s *State) {
	t.Helper()
	tb := s.tables
	entries, bytes, owned, terms, held, waits := 0, int64(0), 0, 0, 0, 0
	for _, m := range tb.maps {
		entries += m.trie.Len()
		if m.trie.Len() == 0 && len(m.locks) == 0 {
			t.Fatalf("map %s is empty", m.name)
		}
		for e := range m.trie.Root().All() {
			bytes += int64(e.Size()) + EntryBytes
			if e.Owner() != (wire.MemberID{}) {
				owned++
			}
			if e.More().TTL != 0 {
				terms++
			}
		}
		for _, l := range m.locks {
			held++
			terms++
			n := 0
			for w := l.first; w != nil; w = w.next {
				n++
				if tb.row(w.member) == nil || tb.waits[w.request] != w {
					t.Fatalf("a wait of who is not there")
				}
			}
			if n != l.waiting {
				t.Fatalf("%d wait, %d are counted", n, l.waiting)
			}
			waits += n + 1
		}
	}
	listed, mine := 0, 0
	for id, o := range tb.owners {
		for i, w := range o.entries {
			listed++
			if w.where != i || i > 0 && w.key() <= o.entries[(i-1)/2].key() || w.entry.Owner() != id || w.table.trie.Get([]byte(w.entry.Key())) != w.entry {
				t.Fatal("an owner's list is wrong")
			}
		}
		for w := o.firstWait; w != nil; w = w.mine.next {
			mine++
		}
		if listed+mine == 0 {
			t.Fatal("an owner of nothing")
		}
		if tb.sweepable(o) != slices.Contains(tb.unswept, id) {
			t.Fatalf("%c is to be swept: %v", id[0], tb.sweepable(o))
		}
	}
	// The second form of the locks holds what the first one does.
	tb.record(len(tb.dirty))
	if tb.locked.Len() != tb.held || len(tb.dirty) != 0 {
		t.Fatalf("%d locks are recorded of %d", tb.locked.Len(), tb.held)
	}
	for _, m := range tb.maps {
		for _, l := range m.locks {
			e := tb.locked.Get(lockKey(nil, m.name, l.key))
			if e == nil || string(e.Value()) != string(putLock(nil, l)) || e.Version() != l.token || e.More() != (trie.More{TTL: l.holder.lease, Began: l.began}) {
				t.Fatalf("the lock %s/%s is recorded as %v", m.name, l.key, e)
			}
		}
	}
	for i, x := range tb.terms.heap {
		if x.where != i || i > 0 && x.at < tb.terms.heap[(i-1)/2].at {
			t.Fatal("the heap of terms is none")
		}
	}
	if entries != tb.entries || bytes != tb.bytes || owned != listed || owned != len(tb.owned) || terms != len(tb.terms.heap) || held != tb.held || waits != len(tb.waits) || mine != waits {
		t.Fatalf("entries %d %d, bytes %d %d, owned %d %d %d, terms %d %d, held %d %d, waits %d %d %d", entries, tb.entries, bytes, tb.bytes,
			owned, listed, len(tb.owned), terms, len(tb.terms.heap), held, tb.held, waits, len(tb.waits), mine)
	}
}
