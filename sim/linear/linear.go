// Package linear judges whether what clients of a simulated cluster called and were answered is linearizable: MP-1 of
// docs/invariants.md. Puts, compare-and-puts, deletes, linear reads and locks of one key, in one chain of primaries, are one
// history. A call whose outcome is not known, and that was counted, may have taken effect at any time after it began.
package linear

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/anishathalye/porcupine"
)

// Result is what Check found.
type Result struct {
	Histories  int
	Operations int
	Longest    int      // operations of one history
	Plain      int      // histories that porcupine did not decide by the replicas' order
	Witnessed  int      // of these, histories whose order witness found
	Illegal    []string // histories that are not linearizable
	Undecided  []string // that were not decided in time
}

type name struct {
	chain    uint64
	Map, Key string
}

// input is an operation, with what it returned.
type operation struct {
	op      check.ClusterOp
	code    check.ClusterCode
	version uint64 // returned
	value   uint64 // of a read
	index   uint64 // twice that at which the replicas counted it, and one more for a grant, which another operation may bring; 0: not known, as of reads
	rank    int    // among those that have an index, from 1; 0: it has none
}

// state is one key.
type state struct {
	version, value uint64 // version 0: it is not there
	floor          uint64 // no later write or grant has this number or a lower one
	holder         uint64 // token; 0: free
	gone           bool   // the holder's lock is not its own any more: it expired, or is orphaned
	mortal         bool   // the entry may go by itself
	rank           int    // of the last operation that has one, in the ordered model
}

// model is the specification. ordered admits only the order of the replicas' indexes: a history that it finds legal is
// linearizable, and is decided at once; any other one is asked of the plain model.
var model, ordered = newModel(false), newModel(true)

func newModel(indexed bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, _ any) (bool, any) {
			before, o := s.(state), in.(*operation)
			if indexed && o.rank != 0 {
				if o.rank != before.rank+1 {
					return false, before
				}
				before.rank = o.rank
			}
			ok, next := step(before, o)
			return ok, next
		},
		DescribeOperation: func(in, _ any) string {
			o := in.(*operation)
			return fmt.Sprintf("%v: code %d version %d", &o.op, o.code, o.version)
		},
	}
}

// step is the sequential specification. What happens by itself (a lock that expires, an entry whose time or
// owner ends) is taken to have happened as soon as a result needs it: it cannot be undone, so nothing is missed.
func step(s state, o *operation) (bool, state) {
	op := &o.op
	switch op.Kind {
	case check.ClusterPut, check.ClusterDelete:
		switch o.code {
		case check.ClusterLocked:
			return !op.HasToken && s.holder != 0, s
		case check.ClusterNotOwner:
			if s.holder == op.Token {
				s.gone = true
			}
			return op.HasToken, s
		}
		if op.HasToken {
			if s.holder != op.Token || s.gone {
				return false, s
			}
		} else {
			s.holder = 0
		}
		if o.code == check.ClusterVersion {
			if s.version == op.Version && s.mortal {
				s.version, s.value, s.mortal = 0, 0, false
			}
			return op.Compare && s.version != op.Version, s
		}
		if op.Compare && s.version != op.Version {
			if !s.mortal || op.Version != 0 {
				return false, s
			}
		}
		if op.Kind == check.ClusterDelete {
			s.version, s.value, s.mortal = 0, 0, false
			return true, s
		}
		if o.version <= s.floor {
			return false, s
		}
		s.version, s.value, s.floor, s.mortal = o.version, op.Value, o.version, op.TTL > 0 || op.Owned
		return true, s
	case check.ClusterLinear:
		if o.version == 0 && s.mortal {
			s.version, s.value, s.mortal = 0, 0, false
		}
		return s.version == o.version && s.value == o.value, s
	case check.ClusterLock:
		if o.code == check.ClusterLocked {
			return s.holder != 0, s
		}
		if o.version <= s.floor {
			return false, s
		}
		s.holder, s.floor, s.gone = o.version, o.version, false
		return true, s
	case check.ClusterUnlock, check.ClusterExtend:
		if o.code == check.ClusterNotOwner {
			if s.holder == op.Token && op.Kind == check.ClusterUnlock {
				s.gone = true // of an extension the member may have found that by its own clock
			}
			return true, s
		}
		if s.holder != op.Token || s.gone {
			return false, s
		}
		if op.Kind == check.ClusterUnlock {
			s.holder = 0
		}
		return true, s
	}
	return true, s
}

// Check decides every history of a run.
func Check(l *check.ClusterLog, patience time.Duration) (r Result) {
	histories := Histories(l)
	names := make([]name, 0, len(histories))
	for n := range histories {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.chain, b.chain), cmp.Compare(a.Map, b.Map), cmp.Compare(a.Key, b.Key))
	})
	for _, n := range names {
		ops := histories[n]
		r.Histories++
		r.Operations += len(ops)
		r.Longest = max(r.Longest, len(ops))
		text := fmt.Sprintf("%s/%s in chain %x, %d operations", n.Map, n.Key, n.chain&0xffff, len(ops))
		if porcupine.CheckOperationsTimeout(ordered, ops, patience/10) == porcupine.Ok {
			continue
		}
		r.Plain++
		if witness(ops) {
			r.Witnessed++
			continue
		}
		switch porcupine.CheckOperationsTimeout(model, ops, patience) {
		case porcupine.Illegal:
			r.Illegal = append(r.Illegal, text)
		case porcupine.Unknown:
			r.Undecided = append(r.Undecided, text)
		}
	}
	return r
}

// witness looks for one order of a history that the specification admits: that of the replicas' indexes, with everything
// else as early as it may be. An order that it finds proves that the history is linearizable. Where there are many
// reads it finds one at once that a search does not come to.
func witness(ops []porcupine.Operation) bool {
	in := func(o *porcupine.Operation) *operation { return o.Input.(*operation) }
	var ranked, free []*porcupine.Operation
	for i := range ops {
		if o := &ops[i]; in(o).rank != 0 {
			ranked = append(ranked, o)
		} else {
			free = append(free, o)
		}
	}
	slices.SortFunc(ranked, func(a, b *porcupine.Operation) int { return cmp.Compare(in(a).rank, in(b).rank) })
	slices.SortFunc(free, func(a, b *porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	states := make([]state, len(ranked)+1) // after so many of ranked
	for i, o := range ranked {
		ok, next := step(states[i], in(o))
		if !ok {
			return false
		}
		states[i+1] = next
	}
	// Between two of ranked there are two places: before and after an entry went by itself, if it may have.
	fits := func(at int, o *porcupine.Operation) bool {
		now := states[at/2]
		if at%2 == 1 {
			if !mayGo(states, ranked, at/2) {
				return false
			}
			now = now.without()
		}
		ok, next := step(now, in(o))
		return ok && next == now
	}
	places := make([][]*porcupine.Operation, 2*len(states)) // what is put there
	place := map[*porcupine.Operation]int{}
	for n, o := range free {
		at := 0
		for i := len(ranked); i > 0; i-- {
			if ranked[i-1].Return < o.Call {
				at = 2 * i
				break
			}
		}
		for _, before := range free[:n] {
			if before.Return < o.Call {
				at = max(at, place[before])
			}
		}
		for at < len(places) && !fits(at, o) {
			at++
		}
		if at == len(places) {
			return false
		}
		place[o] = at
		places[at] = append(places[at], o)
	}
	var order []*porcupine.Operation
	for at := range places {
		order = append(order, places[at]...)
		if at%2 == 1 && at/2 < len(ranked) {
			order = append(order, ranked[at/2])
		}
	}
	return admits(order)
}

// without is a state whose entry has gone by itself.
func (s state) without() state {
	s.version, s.value, s.mortal = 0, 0, false
	return s
}

// mayGo reports whether the entry may have gone by itself after so many of ranked: what follows does not need it.
func mayGo(states []state, ranked []*porcupine.Operation, at int) bool {
	if !states[at].mortal {
		return false
	}
	now := states[at].without()
	for ; at < len(ranked) && now != states[at]; at++ {
		ok, next := step(now, ranked[at].Input.(*operation))
		if !ok {
			return false
		}
		now = next
	}
	return true
}

// admits reports whether an order is one that the specification admits, and that no two operations contradict of which one
// had returned before the other was called.
func admits(order []*porcupine.Operation) bool {
	now, called := state{}, int64(-1)
	for _, o := range order {
		ok, next := step(now, o.Input.(*operation))
		if !ok || o.Return < called {
			return false
		}
		now, called = next, max(called, o.Call)
	}
	return true
}

// Histories returns the operations by chain and key. Their times are positions in the log.
func Histories(l *check.ClusterLog) map[name][]porcupine.Operation {
	type key struct {
		proc check.Proc
		call uint64
	}
	type request struct {
		proc   check.Proc
		number uint64
	}
	type fate struct {
		called, returned int
		applied          int // the first record of it, where it was counted; -1: none
	}
	type granted struct {
		name
		token uint64
	}
	counts := l.Counting()
	fates := map[key]*fate{}
	var order []*fate
	values := map[uint64]*fate{}
	requests := map[request]*fate{}
	grants := map[granted]request{}
	var tokens []granted // in the order of the log
	// Deletes have no value that names them: those whose members did not count them themselves are known by their places, and -1
	// by their calls.
	deletes := map[check.Place]int{}
	for i := range l.Records {
		r := &l.Records[i]
		switch r.Kind {
		case check.ClusterCalled:
			f := &fate{called: i, returned: -1, applied: -1}
			fates[key{r.Proc, r.Call}] = f
			order = append(order, f)
			if r.Op.Value != 0 {
				values[r.Op.Value] = f
			}
		case check.ClusterReturned:
			if f := fates[key{r.Proc, r.Call}]; f != nil {
				f.returned = i
			}
		case check.ClusterApplied, check.ClusterEstablished:
			if !counts(r.Place) {
				continue
			}
			for _, g := range r.Grants {
				k := granted{name{r.Place.Chain, g.Map, g.Key}, g.Token}
				if _, ok := grants[k]; !ok {
					grants[k] = request{g.To, g.Request}
					tokens = append(tokens, k)
				}
			}
			if r.Op == nil {
				continue
			}
			f := values[r.Op.Value]
			if r.Op.Value == 0 {
				f = nil
				if r.By == r.Proc && r.Call != 0 {
					f = fates[key{r.Proc, r.Call}]
				}
			}
			if f == nil {
				if r.Op.Kind == check.ClusterDelete && r.Code == check.ClusterOK && deletes[r.Place] == 0 {
					deletes[r.Place] = i
				}
				continue
			}
			if r.Op.Kind == check.ClusterDelete {
				deletes[r.Place] = -1
			}
			if f.applied < 0 {
				f.applied = i
			}
			if r.Op.Kind == check.ClusterLock {
				requests[request{r.By, r.Op.Request}] = f
			}
		}
	}
	all := map[name][]porcupine.Operation{}
	add := func(n name, call int, end int64, o *operation) {
		all[n] = append(all[n], porcupine.Operation{ClientId: len(all[n]), Input: o, Call: int64(call), Return: end})
	}
	for _, f := range order {
		if l.Records[f.called].Op.Kind == check.ClusterService {
			continue // of one object, in the order that check.Clusters judges
		}
		o := &operation{op: *l.Records[f.called].Op}
		n := name{0, o.op.Map, o.op.Key}
		if f.returned >= 0 {
			r := &l.Records[f.returned]
			if r.Code <= check.ClusterVersion && !r.Place.IsZero() {
				o.code, o.version, o.value = r.Code, r.Version, r.Digest
				n.chain = r.Place.Chain
				switch {
				case o.op.Kind == check.ClusterLinear:
				case o.op.Kind == check.ClusterExtend && r.Code == check.ClusterNotOwner:
					// It may have been counted: its member has lost the lock by its own clock since.
				case o.op.Kind == check.ClusterLock && r.Code == check.ClusterOK:
					o.index = 2*r.Version + 1
					delete(grants, granted{n, r.Version})
				default:
					o.index = 2 * r.Place.Index
				}
				add(n, f.called, int64(f.returned), o)
				continue
			}
			if r.Code != check.ClusterUnknown {
				continue // it did not happen
			}
		}
		if f.applied >= 0 && o.op.Kind != check.ClusterLock {
			r := &l.Records[f.applied]
			n.chain = r.Place.Chain
			o.code, o.version, o.index = r.Code, r.Version, 2*r.Place.Index
			add(n, f.called, math.MaxInt64, o)
		}
	}
	for _, i := range slices.Sorted(maps.Values(deletes)) {
		if i >= 0 {
			r := &l.Records[i]
			add(name{r.Place.Chain, r.Op.Map, r.Op.Key}, 0, math.MaxInt64, &operation{op: *r.Op, index: 2 * r.Place.Index})
		}
	}
	for _, k := range tokens { // those that no call has returned: given up, or given back
		by, ok := grants[k]
		if !ok || k.Map == "" {
			continue
		}
		called := 0
		if f := requests[by]; f != nil {
			called = f.called
		}
		add(k.name, called, math.MaxInt64, &operation{
			op: check.ClusterOp{Kind: check.ClusterLock, Map: k.Map, Key: k.Key}, version: k.token, index: 2*k.token + 1,
		})
	}
	for _, ops := range all {
		var list []*operation
		for i := range ops {
			if o := ops[i].Input.(*operation); o.index != 0 {
				list = append(list, o)
			}
		}
		slices.SortFunc(list, func(a, b *operation) int { return cmp.Compare(a.index, b.index) })
		for i, o := range list {
			o.rank = i + 1
		}
	}
	return all
}
