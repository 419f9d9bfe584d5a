package check

import (
	"cmp"
	"maps"
	"slices"

	"github.com/activeblaze/blaze/clock"
)

// clusterModel is the replicated state as docs/cluster.md defines it, written down a second time and as plainly as
// possible. Replaying a history through it says what each operation should have done.
type clusterModel struct {
	maps    map[clusterKey]*clusterEntry
	locks   map[clusterKey]*clusterLock
	rows    []clusterRow // the member table, by age
	changes []clusterChange
	index   uint64
	parted  bool // the replicas did something else at index
}

type clusterKey struct{ Map, Key string }

type clusterEntry struct {
	value, version uint64
	owner          Proc // with RemoveOnExit; else Nobody
	ttl            bool
}

type clusterLock struct {
	holder  Proc
	token   uint64
	request uint64
	renewed uint64
	orphan  bool
	keep    bool
	held    bool
	line    []clusterWait
}

type clusterWait struct {
	by      Proc
	request uint64
	keep    bool
}

type clusterRow struct {
	proc     Proc
	age      uint64
	weight   int64
	ready    bool
	observer bool
	gone     bool // its entries are being removed
}

// clusterChange is one change of a map.
type clusterChange struct {
	clusterKey
	index   uint64
	kind    ClusterOpKind // put, delete, expire entry, exit
	version uint64        // of the entry that is there afterwards, or that was removed
	value   uint64
}

// masterKey is where the master's lock is.
var masterKey = clusterKey{}

func newClusterModel() *clusterModel {
	return &clusterModel{maps: map[clusterKey]*clusterEntry{}, locks: map[clusterKey]*clusterLock{}}
}

func (m *clusterModel) row(p Proc) *clusterRow {
	for i := range m.rows {
		if m.rows[i].proc == p && !m.rows[i].gone {
			return &m.rows[i]
		}
	}
	return nil
}

func (m *clusterModel) lock(k clusterKey) *clusterLock {
	l := m.locks[k]
	if l == nil {
		l = &clusterLock{holder: Nobody}
		m.locks[k] = l
	}
	return l
}

// mayWrite is whether an operation may write its key.
func (m *clusterModel) mayWrite(by Proc, op *ClusterOp) ClusterCode {
	l := m.locks[clusterKey{op.Map, op.Key}]
	held := l != nil && l.held
	switch {
	case op.HasToken && (!held || l.orphan || l.token != op.Token || l.holder != by):
		return ClusterNotOwner
	case !op.HasToken && held:
		return ClusterLocked
	}
	return ClusterOK
}

// apply does one operation of by and says what it returns.
func (m *clusterModel) apply(index uint64, by Proc, op *ClusterOp) (code ClusterCode, version uint64, grants []ClusterGrant) {
	m.index = index
	k := clusterKey{op.Map, op.Key}
	e := m.maps[k]
	switch op.Kind {
	case ClusterPut, ClusterDelete:
		if code := m.mayWrite(by, op); code != ClusterOK {
			return code, 0, nil
		}
		has := uint64(0)
		if e != nil {
			has = e.version
		}
		if op.Compare && has != op.Version {
			return ClusterVersion, 0, nil
		}
		if op.Kind == ClusterDelete {
			if e != nil {
				m.remove(k, ClusterDelete)
			}
			return ClusterOK, 0, nil
		}
		e = &clusterEntry{value: op.Value, version: index, owner: Nobody, ttl: op.TTL > 0}
		if op.Owned {
			e.owner = by
		}
		m.maps[k] = e
		m.changes = append(m.changes, clusterChange{k, index, ClusterPut, index, op.Value})
		return ClusterOK, index, nil
	case ClusterExpireEntry:
		if e == nil || e.version != op.Version {
			return ClusterVersion, 0, nil
		}
		m.remove(k, ClusterExpireEntry)
		return ClusterOK, 0, nil
	case ClusterLock:
		l := m.lock(k)
		if op.Try && (l.held || len(l.line) > 0) {
			return ClusterLocked, 0, nil
		}
		l.line = append(l.line, clusterWait{by, op.Request, op.Keep})
		if grants = m.grant(k); len(grants) == 0 {
			return ClusterQueued, 0, nil
		}
		return ClusterOK, index, grants
	case ClusterUnlock, ClusterExtend:
		l := m.lock(k)
		if !l.held || l.orphan || l.token != op.Token || l.holder != by { // two chains may give the same token
			return ClusterNotOwner, 0, nil
		}
		if op.Kind == ClusterExtend {
			l.renewed = index
			return ClusterOK, 0, nil
		}
		return ClusterOK, 0, m.free(k)
	case ClusterCancel:
		l := m.lock(k)
		if l.held && !l.orphan && l.holder == by && l.request == op.Request {
			return ClusterOK, 0, m.free(k)
		}
		l.line = slices.DeleteFunc(l.line, func(w clusterWait) bool { return w.by == by && w.request == op.Request })
		return ClusterOK, 0, nil
	case ClusterExpire:
		l := m.lock(k)
		if !l.held || l.token != op.Token || l.renewed > op.Version {
			return ClusterNotOwner, 0, nil
		}
		return ClusterOK, 0, m.free(k)
	case ClusterRelease:
		l := m.lock(k)
		if !l.held || !l.orphan || l.token != op.Token {
			return ClusterNotOwner, 0, nil
		}
		return ClusterOK, 0, m.free(k)
	case ClusterReady:
		if r := m.row(by); r != nil {
			r.ready = true
		}
		return ClusterOK, 0, m.grant(masterKey)
	case ClusterWeight:
		if r := m.row(by); r != nil {
			r.weight = op.Weight
		}
		return ClusterOK, 0, nil
	case ClusterExit:
		return ClusterOK, 0, m.leave([]Proc{by}, true)
	}
	return ClusterOK, 0, nil
}

// remove removes an entry.
func (m *clusterModel) remove(k clusterKey, why ClusterOpKind) {
	m.changes = append(m.changes, clusterChange{k, m.index, why, m.maps[k].version, 0})
	delete(m.maps, k)
}

// free ends the holding of a lock.
func (m *clusterModel) free(k clusterKey) []ClusterGrant {
	l := m.locks[k]
	l.held, l.orphan, l.holder, l.keep = false, false, Nobody, false
	return m.grant(k)
}

// grant gives a free lock to the first in line.
func (m *clusterModel) grant(k clusterKey) []ClusterGrant {
	l := m.lock(k)
	if l.held {
		return nil
	}
	if k == masterKey {
		best := -1
		for i, r := range m.rows { // by age
			if r.ready && !r.observer && !r.gone && (best < 0 || r.weight > m.rows[best].weight) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		l.line = []clusterWait{{by: m.rows[best].proc}}
	}
	if len(l.line) == 0 {
		return nil
	}
	w := l.line[0]
	l.line = l.line[1:]
	l.held, l.holder, l.request, l.token, l.renewed, l.keep = true, w.by, w.request, m.index, m.index, w.keep
	return []ClusterGrant{{k.Map, k.Key, w.by, w.request, m.index}}
}

// leave takes members out of the table: in order, or lost.
func (m *clusterModel) leave(gone []Proc, inOrder bool) (grants []ClusterGrant) {
	is := func(p Proc) bool { return slices.Contains(gone, p) }
	keys := slices.SortedFunc(maps.Keys(m.locks), func(a, b clusterKey) int {
		return cmp.Or(cmp.Compare(a.Map, b.Map), cmp.Compare(a.Key, b.Key))
	})
	m.rows = slices.DeleteFunc(m.rows, func(r clusterRow) bool { return is(r.proc) })
	for _, k := range keys {
		l := m.locks[k]
		l.line = slices.DeleteFunc(l.line, func(w clusterWait) bool { return is(w.by) })
	}
	for _, k := range keys {
		l := m.locks[k]
		if !l.held || l.orphan || !is(l.holder) || l.keep {
			continue
		}
		if inOrder {
			grants = append(grants, m.free(k)...)
		} else {
			l.orphan = true
		}
	}
	type owned struct {
		clusterKey
		version uint64
		owner   Proc
	}
	var list []owned
	for k, e := range m.maps {
		if e.owner != Nobody && is(e.owner) {
			list = append(list, owned{k, e.version, e.owner})
		}
	}
	slices.SortFunc(list, func(a, b owned) int {
		return cmp.Or(cmp.Compare(slices.Index(gone, a.owner), slices.Index(gone, b.owner)), cmp.Compare(a.version, b.version))
	})
	for _, o := range list {
		m.remove(o.clusterKey, ClusterExit)
	}
	return grants
}

// establish begins a primary.
func (m *clusterModel) establish(index uint64, p *ClusterPrimary) []ClusterGrant {
	m.index = index
	var gone []Proc
	current := map[Proc]bool{}
	for _, e := range p.Members {
		if e.Current {
			current[e.Proc] = true
		}
	}
	for i := range m.rows {
		if !current[m.rows[i].proc] {
			gone = append(gone, m.rows[i].proc)
		}
		m.rows[i].ready = true
	}
	if len(gone) > 0 {
		m.leave(gone, false)
	}
	enter := slices.Clone(p.Members)
	if p.Founding {
		slices.SortStableFunc(enter, func(a, b ClusterMember) int { return cmp.Compare(a.Started, b.Started) })
	}
	for _, e := range enter {
		if r := m.row(e.Proc); r != nil {
			r.ready = r.ready || e.Current // it may have become complete, and its ring have ended before its Ready
		} else {
			m.rows = append(m.rows, clusterRow{proc: e.Proc, age: index, weight: e.Weight, ready: e.Current, observer: e.Observer})
		}
	}
	return m.grant(masterKey)
}

// replay does what counts of each chain in the model and compares the results: MP-5, MP-10, LK-1 to LK-3, LK-7 to
// LK-9, EL-3.
func (h *clusterHistory) replay() map[uint64]*clusterModel {
	all := map[uint64]*clusterModel{}
	for _, c := range h.order {
		if len(c.path) == 0 {
			continue
		}
		m := newClusterModel()
		if p := c.path[0].primary; p == nil || !p.Founding && !p.Forced {
			h.r.add("MP-5", c.path[0].record, "the chain does not begin with its founding")
			continue
		} else if !p.Founding {
			continue // Force goes on with a replica of another chain
		}
		all[c.id] = m
		tokens := map[clusterKey]uint64{}
		held := map[clusterKey]bool{}
		for _, n := range c.path {
			id := h.step(m, n)
			for _, g := range n.grants {
				k := clusterKey{g.Map, g.Key}
				if g.Token <= tokens[k] {
					h.r.add("LK-2", n.record, "the token does not rise")
				}
				tokens[k] = g.Token
				held[k] = true
			}
			if id {
				m.parted = true
				break // what follows would only repeat it
			}
		}
	}
	return all
}

// step does one step and reports whether the model and the replicas have parted.
func (h *clusterHistory) step(m *clusterModel, n *clusterNode) (parted bool) {
	if n.primary != nil {
		grants := m.establish(n.place.Index, n.primary)
		if !sameGrants(grants, n.grants) {
			h.grants(m, n, grants)
			return true
		}
		return false
	}
	if m.row(n.by) == nil && n.code == ClusterOK && n.op.Kind != ClusterExit {
		h.r.add("MP-5", n.record, "an operation of a member that is not in the table")
	}
	before := clusterLock{}
	if l := m.locks[clusterKey{n.op.Map, n.op.Key}]; l != nil {
		before = *l
	}
	code, version, grants := m.apply(n.place.Index, n.by, n.op)
	if !sameGrants(grants, n.grants) {
		h.grants(m, n, grants)
		return true
	}
	if code == n.code && (code != ClusterOK || version == n.version) || n.code == ClusterRefused {
		return false
	}
	id := "MP-5"
	switch n.op.Kind {
	case ClusterPut, ClusterDelete:
		switch {
		case code == ClusterLocked || code == ClusterNotOwner && before.token == n.op.Token:
			id = "LK-3"
		case code == ClusterNotOwner:
			id = "LK-7"
		case code == ClusterVersion:
			id = "MP-3"
		}
	case ClusterUnlock, ClusterExtend, ClusterCancel, ClusterExpire, ClusterRelease:
		id = "LK-9"
	case ClusterExpireEntry:
		id = "MP-11"
	}
	h.r.add(id, n.record, "should end with %q %d", clusterCodes[code], version)
	return true
}

func sameGrants(a, b []ClusterGrant) bool {
	if len(a) != len(b) {
		return false
	}
	for _, g := range a {
		if !slices.Contains(b, g) {
			return false
		}
	}
	return true
}

// grants says which property the grants of a step break.
func (h *clusterHistory) grants(m *clusterModel, n *clusterNode, want []ClusterGrant) {
	for _, g := range n.grants {
		if slices.Contains(want, g) {
			continue
		}
		k := clusterKey{g.Map, g.Key}
		l := m.lock(k)
		switch {
		case m.row(g.To) == nil:
			h.r.add("LK-8", n.record, "granted to a member that is not there")
		case k == masterKey:
			h.r.add("EL-3", n.record, "%s should be master", h.l.procName(l.holder))
		case l.held && l.token != g.Token:
			h.r.add("LK-1", n.record, "granted while %s holds it as %d", h.l.procName(l.holder), l.token)
		default:
			h.r.add("LK-9", n.record, "should not be granted, or to %s", h.l.procName(l.holder))
		}
		return
	}
	id := "LK-9"
	if want[0].Map == "" && want[0].Key == "" {
		id = "EL-3"
	}
	h.r.add(id, n.record, "should grant %s/%s to %s", want[0].Map, want[0].Key, h.l.procName(want[0].To))
}

// reads: MP-7, and MP-1 of linear reads. A read finds what the order has at the reader's place, and the reader's
// place has all that it wrote itself.
func (h *clusterHistory) reads(states map[uint64]*clusterModel) {
	type position struct {
		chain uint64
		clusterKey
	}
	lists := map[position][]clusterChange{}
	for chain, m := range states {
		for _, c := range m.changes {
			k := position{chain, c.clusterKey}
			lists[k] = append(lists[k], c)
		}
	}
	type mine struct {
		proc  Proc
		chain uint64
	}
	own := map[mine]uint64{}  // the highest index of its own writes that returned
	seen := map[mine]uint64{} // and of its reads
	linear := map[clusterCallKey]*ClusterOp{}
	for i := range h.l.Records {
		r := &h.l.Records[i]
		var op *ClusterOp
		id := "MP-7"
		switch r.Kind {
		case ClusterCalled:
			if r.Op.Kind == ClusterLinear {
				linear[clusterCallKey{r.Proc, r.Call}] = r.Op
			}
			continue
		case ClusterReturned:
			if r.Code != ClusterOK {
				continue
			}
			if op = linear[clusterCallKey{r.Proc, r.Call}]; op == nil {
				k := mine{r.Proc, r.Place.Chain}
				own[k] = max(own[k], r.Place.Index)
				continue
			}
			op, id = &ClusterOp{Map: op.Map, Key: op.Key, Value: r.Digest}, "MP-1"
		case ClusterRestored:
			delete(seen, mine{r.Proc, r.Place.Chain})
			continue
		case ClusterGot:
			op = r.Op
			k := mine{r.Proc, r.Place.Chain}
			if r.Place.Index < own[k] {
				h.r.add("MP-7", i, "does not see its own write at index %d", own[k])
			}
			if r.Place.Index < seen[k] {
				h.r.add("MP-7", i, "goes back from index %d", seen[k])
			}
			seen[k] = r.Place.Index
		default:
			continue
		}
		n := h.nodes[r.Place]
		if n == nil && !r.Place.IsZero() {
			h.r.add(id, i, "reads where nobody has counted")
			continue
		}
		if n == nil || !n.counts || states[r.Place.Chain] == nil || states[r.Place.Chain].parted {
			continue
		}
		list := lists[position{r.Place.Chain, clusterKey{op.Map, op.Key}}]
		from := r.Place.Index
		if id == "MP-1" {
			if from = h.least[i]; from > r.Place.Index {
				h.r.add(id, i, "answered at a place before index %d, which had been returned before it was called", from)
				continue
			}
			// It may have been answered at any place since its call.
		}
		version, value := found(list, from)
		ok := r.Version == version && op.Value == value
		for at, _ := changeAfter(list, from); !ok && at < len(list) && list[at].index <= r.Place.Index; at++ {
			version, value = found(list, list[at].index)
			ok = r.Version == version && op.Value == value
		}
		if !ok {
			h.r.add(id, i, "should find version %d", version)
		}
	}
}

// changeAfter is the position of the first change after an index.
func changeAfter(list []clusterChange, index uint64) (int, bool) {
	return slices.BinarySearchFunc(list, index+1, func(c clusterChange, index uint64) int { return cmp.Compare(c.index, index) })
}

// found is what a read of a key finds whose changes are in list, at an index.
func found(list []clusterChange, index uint64) (version, value uint64) {
	if at, _ := changeAfter(list, index); at > 0 && list[at-1].kind == ClusterPut {
		return list[at-1].version, list[at-1].value
	}
	return 0, 0
}

// watches: MP-8. Each watcher is given every change of its map once, in order, from its registration on.
func (h *clusterHistory) watches(states map[uint64]*clusterModel) {
	type watcher struct {
		proc Proc
		id   uint64
		name string
	}
	type cursor struct {
		chain uint64
		next  int
	}
	byChain := map[uint64]map[string][]clusterChange{}
	for chain, m := range states {
		byChain[chain] = map[string][]clusterChange{}
		for _, c := range m.changes {
			byChain[chain][c.Map] = append(byChain[chain][c.Map], c)
		}
	}
	at := map[watcher]*cursor{}
	for i := range h.l.Records {
		r := &h.l.Records[i]
		if r.Kind != ClusterWatched {
			continue
		}
		w := watcher{r.Proc, r.Call, r.Op.Map}
		if r.Op.Kind == ClusterReset {
			list := byChain[r.Place.Chain][r.Op.Map]
			next, _ := changeAfter(list, r.Place.Index)
			at[w] = &cursor{r.Place.Chain, next}
			continue
		}
		c := at[w]
		if c == nil {
			h.r.add("MP-8", i, "before the watcher was given what is there")
			continue
		}
		list := byChain[c.chain][r.Op.Map]
		if n := h.nodes[r.Before]; n == nil || !n.counts || states[c.chain] == nil {
			at[w] = &cursor{c.chain, len(list)} // of a history that was lost; a reset follows
			continue
		}
		if c.next >= len(list) {
			continue // the model has ended before
		}
		want := &list[c.next]
		c.next++
		if want.Key != r.Op.Key || want.kind != r.Op.Kind || want.version != r.Version {
			h.r.add("MP-8", i, "should be given %s %s, version %d", clusterOps[want.kind], want.Key, want.version)
			at[w] = &cursor{c.chain, len(list)}
		}
	}
}

// final: MP-2, MP-5, MP-10, MP-13. At the end every replica is at the last place of the last chain, and has what the
// order says.
func (h *clusterHistory) final(states map[uint64]*clusterModel) {
	type found struct {
		version, value uint64
	}
	has := map[Proc]map[clusterKey]found{}
	var first *ClusterRecord
	var at clock.Time
	for i := range h.l.Records {
		r := &h.l.Records[i]
		switch r.Kind {
		case ClusterHas:
			if has[r.Proc] == nil {
				has[r.Proc] = map[clusterKey]found{}
			}
			has[r.Proc][clusterKey{r.Op.Map, r.Op.Key}] = found{r.Version, r.Op.Value}
		case ClusterFinal:
			if first == nil {
				first, at = r, r.At
			} else if first.Place != r.Place || first.Digest != r.Digest {
				h.r.add("MP-13", i, "ends up elsewhere than %s, which is at %s since %v", h.l.procName(first.Proc), placeName(first.Place), at.Sub(0))
				continue
			}
			m, n := states[r.Place.Chain], h.nodes[r.Place]
			if m == nil || n == nil {
				if !r.Place.IsZero() && n == nil {
					h.r.add("MP-13", i, "at a place that nobody has counted")
				}
				continue
			}
			if m.index != r.Place.Index {
				continue // the model parted from the replicas
			}
			for k, e := range m.maps {
				if f := has[r.Proc][k]; f.version != e.version || f.value != e.value {
					id := "MP-2"
					if e.owner != Nobody {
						id = "MP-10"
					}
					h.r.add(id, i, "%s/%s has version %d, and should have %d", k.Map, k.Key, f.version, e.version)
				}
			}
			for k, f := range has[r.Proc] {
				if m.maps[k] == nil {
					h.r.add("MP-10", i, "%s/%s with version %d should be gone", k.Map, k.Key, f.version)
				}
			}
		}
	}
}
