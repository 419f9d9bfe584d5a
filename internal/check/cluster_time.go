package check

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// belief is a stretch of time in which a process believes that it has something that only one may have.
type belief struct {
	proc     Proc
	chain    uint64
	token    uint64
	from, to clock.Time
	record   int // that began it
	open     bool
	told     clock.Time // when Lost was closed
	gave     bool       // it gave the lock up by itself
}

// exclusive reports beliefs that overlap. In several chains at a time each has its own (E1).
func (l *ClusterLog) exclusive(r *reports, id string, all []belief, what string) {
	slices.SortStableFunc(all, func(a, b belief) int { return int(min(max(a.from-b.from, -1), 1)) })
	for i := range all {
		for j := i - 1; j >= 0; j-- {
			a, b := &all[j], &all[i]
			if a.to > b.from && b.to > b.from && (a.proc != b.proc || a.token != b.token) && (a.chain == b.chain || l.Expected > 0 && l.Excused == "") {
				r.add(id, b.record, "%s, and %s does so until %v since record %d", what, l.procName(a.proc), a.to.Sub(0), a.record)
			}
		}
	}
}

// holders: LK-4, LK-6. Nobody holds a lock, by its own deadline, while somebody else does; and who has lost one is
// told by then.
func (l *ClusterLog) holders(r *reports) {
	type lock struct {
		proc  Proc
		name  string
		token uint64
	}
	by := map[string][]belief{}
	var names []string
	at := map[lock]int{}
	paused, resumed := map[Proc]bool{}, map[Proc]clock.Time{}
	end := clock.Time(0)
	late := func(b *belief, now clock.Time, p Proc) bool {
		const slack = clock.Time(time.Millisecond) // the turn that notices it
		return !b.gave && b.told == 0 && now > b.to+slack && !paused[p] && now > resumed[p]+slack
	}
	for i := range l.Records {
		c := &l.Records[i]
		end = max(end, c.At)
		key := lock{proc: c.Proc, token: c.Version}
		if c.Op != nil {
			key.name = c.Op.Map + "/" + c.Op.Key
		}
		switch c.Kind {
		case ClusterPaused:
			paused[c.Proc] = true
		case ClusterResumed:
			paused[c.Proc], resumed[c.Proc] = false, c.At
		case ClusterHolds:
			if by[key.name] == nil {
				names = append(names, key.name)
			}
			n, ok := at[key]
			if !ok {
				n = len(by[key.name])
				by[key.name] = append(by[key.name], belief{proc: c.Proc, chain: c.Place.Chain, token: c.Version, from: c.At, to: c.Until, record: i, open: true})
				at[key] = n
				continue
			}
			b := &by[key.name][n]
			if b.open && c.At > b.to && c.Until > c.At {
				r.add("LK-6", i, "held again, after its deadline at %v", b.to.Sub(0))
			}
			if b.open {
				if b.to = c.Until; c.Until < c.At {
					b.to = c.At
				}
			}
		case ClusterGives, ClusterTold:
			n, ok := at[key]
			if !ok {
				continue
			}
			b := &by[key.name][n]
			if c.Kind == ClusterTold {
				if late(b, c.At, c.Proc) {
					r.add("LK-6", i, "told at %v, its deadline was %v", c.At.Sub(0), b.to.Sub(0))
				}
				b.told = c.At
			} else {
				b.gave = true
			}
			if b.open {
				b.open, b.to = false, min(b.to, c.At)
			}
		case ClusterEnded:
			for k, n := range at {
				if k.proc == c.Proc {
					b := &by[k.name][n]
					if late(b, c.At, c.Proc) && !paused[c.Proc] {
						r.add("LK-6", b.record, "not told until its end at %v; its deadline was %v", c.At.Sub(0), b.to.Sub(0))
					}
					b.gave = true
					if b.open {
						b.open, b.to = false, min(b.to, c.At)
					}
				}
			}
		}
	}
	for _, name := range names {
		for i := range by[name] {
			if b := &by[name][i]; late(b, end, b.proc) {
				r.add("LK-6", b.record, "never told; its deadline was %v", b.to.Sub(0))
			}
		}
		l.exclusive(r, "LK-4", by[name], "holds it")
	}
}

// masters: EL-4. IsMaster is true at one member at most at any instant.
func (l *ClusterLog) masters(r *reports) {
	var all []belief
	at := map[Proc]int{}
	for i := range l.Records {
		c := &l.Records[i]
		switch c.Kind {
		case ClusterMasters:
			n, ok := at[c.Proc]
			switch {
			case c.Until <= c.At:
				if ok {
					all[n].to = min(all[n].to, c.At)
					delete(at, c.Proc)
				}
			case ok && all[n].to >= c.At && all[n].chain == c.Place.Chain:
				all[n].to = c.Until
			default:
				at[c.Proc] = len(all)
				all = append(all, belief{proc: c.Proc, chain: c.Place.Chain, token: c.Version, from: c.At, to: c.Until, record: i})
			}
		case ClusterEnded:
			if n, ok := at[c.Proc]; ok {
				all[n].to = min(all[n].to, c.At)
				delete(at, c.Proc)
			}
		}
	}
	l.exclusive(r, "EL-4", all, "is master")
}

// named: EL-5. At one place all name the same master.
func (l *ClusterLog) named(r *reports) {
	at := map[Place]Proc{}
	for i := range l.Records {
		if c := &l.Records[i]; c.Kind == ClusterNames && !c.Place.IsZero() {
			if p, ok := at[c.Place]; !ok {
				at[c.Place] = c.Subject
			} else if p != c.Subject {
				r.add("EL-5", i, "others name %s there", l.procName(p))
			}
		}
	}
}

// clusterTerm is one beginning of a lease: a grant, or an extension.
type clusterTerm struct {
	first clock.Time // when it was first counted anywhere
	lease time.Duration
}

type clusterLockName struct {
	chain    uint64
	Map, Key string
	token    uint64
}

// terms: LK-5, LK-9, MP-11. Nothing that has a term ends by it before its time, and no holder counts more.
func (h *clusterHistory) terms() {
	renewed := map[clusterLockName][]clusterTerm{}
	for _, c := range h.order {
		type asking struct {
			by      Proc
			request uint64
		}
		asked := map[asking]time.Duration{} // the lease of a Lock
		writes := map[uint64]*clusterNode{}
		for _, n := range c.path {
			if n.op != nil && n.op.Kind == ClusterLock {
				asked[asking{n.by, n.op.Request}] = n.op.Lease
			}
			for _, g := range n.grants {
				if d := asked[asking{g.To, g.Request}]; d > 0 {
					name := clusterLockName{c.id, g.Map, g.Key, g.Token}
					renewed[name] = append(renewed[name], clusterTerm{n.first, d})
				}
			}
			if n.op == nil || n.code != ClusterOK {
				continue
			}
			name := clusterLockName{c.id, n.op.Map, n.op.Key, n.op.Token}
			switch n.op.Kind {
			case ClusterExtend:
				renewed[name] = append(renewed[name], clusterTerm{n.first, n.op.Lease})
			case ClusterPut:
				if n.op.TTL > 0 {
					writes[n.version] = n
				}
			case ClusterExpire:
				list := renewed[name]
				if len(list) == 0 {
					continue
				}
				last := list[len(list)-1]
				if after := n.first.Sub(last.first); after < last.lease-h.l.drift(last.lease) {
					h.r.add("LK-9", n.record, "expired %v after it was granted or extended, and its lease is %v", after, last.lease)
				}
			case ClusterExpireEntry:
				w := writes[n.op.Version]
				if w == nil {
					continue
				}
				if after, d := n.first.Sub(w.first), w.op.TTL; after < d-h.l.drift(d) {
					h.r.add("MP-11", n.record, "expired %v after it was written, with a TTL of %v", after, d)
				}
			}
		}
	}
	for i := range h.l.Records {
		r := &h.l.Records[i]
		if r.Kind != ClusterHolds || r.Until <= r.At {
			continue
		}
		var most clock.Time
		for _, t := range renewed[clusterLockName{r.Place.Chain, r.Op.Map, r.Op.Key, r.Version}] {
			if t.first <= r.At {
				most = max(most, t.first.Add(t.lease-t.lease/64+h.l.drift(2*t.lease)))
			}
		}
		if most != 0 && r.Until > most {
			h.r.add("LK-5", i, "nobody may count on it after %v", most.Sub(0))
		}
	}
}
