package check

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// clusterScript writes a log by hand: three members, in one chain, whose replicas it moves.
type clusterScript struct {
	answered map[Proc]uint64 // by a service, to the next operations
	l        *ClusterLog
	now      clock.Time
	at       [4]Place
	epoch    uint64
	index    uint64
	calls    uint64
}

const (
	scriptMap = "m"
	scriptKey = "k"
)

func newClusterScript() *clusterScript {
	s := &clusterScript{l: NewClusterLog(), now: 1, index: 10}
	s.l.Expected = 3
	for i := range 4 {
		s.l.Start(1, i, wire.MemberID{byte(i + 1)})
	}
	return s
}

func (s *clusterScript) add(r ClusterRecord) {
	s.now += clock.Time(time.Millisecond)
	if r.At == 0 {
		r.At = s.now
	}
	s.l.Add(r)
}

// next is the place after one more step of the members that stand at place at.
func (s *clusterScript) next(at Place, salt uint64) Place {
	s.index++
	chain := at.Chain
	if chain == 0 {
		chain = 7
	}
	return Place{Chain: chain, Index: s.index, Hash: at.Hash*31 + s.index + salt}
}

// establish has members current in a new primary; those of learn are in its ring too.
func (s *clusterScript) establish(current, learn []Proc, change ...func(*ClusterPrimary)) {
	s.epoch++
	before := s.at[current[0]]
	place := s.next(before, 0)
	p := &ClusterPrimary{Epoch: s.epoch, Ring: 100 + s.epoch, Founding: before.IsZero()}
	for q := range Proc(4) {
		cur := slices.Contains(current, q)
		if cur || slices.Contains(learn, q) {
			p.Members = append(p.Members, ClusterMember{Proc: q, Started: uint64(q), Current: cur})
			p.Seats = append(p.Seats, uint64(q))
		}
	}
	if !before.IsZero() {
		p.Before = []uint64{0, 1, 2}
	}
	for _, f := range change {
		f(p)
	}
	var grants []ClusterGrant
	if before.IsZero() {
		grants = []ClusterGrant{{To: current[0], Token: place.Index}}
	}
	for _, q := range current {
		s.add(ClusterRecord{Kind: ClusterEstablished, Proc: q, Before: s.at[q], Place: place, Epoch: p.Epoch, Primary: p, Grants: grants})
		s.at[q] = place
	}
}

// apply has everybody of who count one operation of by, and returns its place.
func (s *clusterScript) apply(who []Proc, by Proc, call uint64, op ClusterOp, code ClusterCode, grants ...ClusterGrant) Place {
	place := s.next(s.at[who[0]], op.Value)
	version := uint64(0)
	if code == ClusterOK && (op.Kind == ClusterPut || op.Kind == ClusterLock) {
		version = place.Index
	}
	for i := range grants {
		if grants[i].Token == 0 {
			grants[i].Token = place.Index
		}
	}
	for _, p := range who {
		r := ClusterRecord{Kind: ClusterApplied, Proc: p, By: by, Before: s.at[p], Place: place, Epoch: s.epoch, Op: &op, Code: code, Version: version, Grants: grants, Answer: s.answered[p]}
		if p == by {
			r.Call = call
		}
		s.add(r)
		s.at[p] = place
	}
	return place
}

func (s *clusterScript) call(p Proc, op ClusterOp) uint64 {
	s.calls++
	s.add(ClusterRecord{Kind: ClusterCalled, Proc: p, Call: s.calls, Op: &op})
	return s.calls
}

func (s *clusterScript) end(p Proc, call uint64, code ClusterCode, place Place) {
	s.add(ClusterRecord{Kind: ClusterReturned, Proc: p, Call: call, Code: code, Place: place, Version: place.Index})
}

// put has one member write, and everybody of who count it.
func (s *clusterScript) put(who []Proc, by Proc, op ClusterOp) Place {
	op.Kind, op.Map = ClusterPut, scriptMap
	if op.Key == "" {
		op.Key = scriptKey
	}
	call := s.call(by, op)
	place := s.apply(who, by, call, op, ClusterOK)
	s.end(by, call, ClusterOK, place)
	return place
}

func (s *clusterScript) lock(who []Proc, by Proc, request uint64) Place {
	op := ClusterOp{Kind: ClusterLock, Map: scriptMap, Key: scriptKey, Request: request, Lease: time.Second}
	return s.apply(who, by, 0, op, ClusterOK, ClusterGrant{scriptMap, scriptKey, by, request, 0})
}

func (s *clusterScript) holds(p Proc, token uint64, until clock.Time) {
	s.add(ClusterRecord{Kind: ClusterHolds, Proc: p, Place: s.at[p], Version: token, Until: until, Op: &ClusterOp{Map: scriptMap, Key: scriptKey}})
}

func (s *clusterScript) told(p Proc, token uint64) {
	s.add(ClusterRecord{Kind: ClusterTold, Proc: p, Version: token, Op: &ClusterOp{Map: scriptMap, Key: scriptKey}})
}

func (s *clusterScript) gives(p Proc, token uint64) {
	s.add(ClusterRecord{Kind: ClusterGives, Proc: p, Version: token, Op: &ClusterOp{Map: scriptMap, Key: scriptKey}})
}

// Each property is breached once, by hand, and found under its id.
func TestClustersFindsBreaches(t *testing.T) {
	all := []Proc{0, 1, 2}
	two := []Proc{0, 1}
	ms := func(n int) clock.Time { return clock.Time(n) * clock.Time(time.Millisecond) }
	key := ClusterOp{Map: scriptMap, Key: scriptKey}
	watched := func(s *clusterScript, p Proc, kind ClusterOpKind, place Place) {
		op := key
		op.Kind = kind
		s.add(ClusterRecord{Kind: ClusterWatched, Proc: p, Call: 1, Op: &op, Version: place.Index, Before: place, Place: place})
	}
	ends := func(s *clusterScript, p Proc, has ...ClusterRecord) {
		for _, h := range has {
			h.Kind, h.Proc, h.Place = ClusterHas, p, s.at[p]
			s.add(h)
		}
		s.add(ClusterRecord{Kind: ClusterFinal, Proc: p, Place: s.at[p]})
	}
	tests := []struct {
		name string
		want string // "": nothing
		run  func(s *clusterScript)
	}{
		{"as it should be", "", func(s *clusterScript) {
			a := s.put(all, 0, ClusterOp{Value: 1})
			s.establish(two, nil)
			b := s.put(two, 1, ClusterOp{Value: 2})
			s.add(ClusterRecord{Kind: ClusterFollowed, Proc: 2})
			s.establish(two, []Proc{2})
			s.add(ClusterRecord{Kind: ClusterRestored, Proc: 2, Before: s.at[2], Place: s.at[0]})
			s.at[2] = s.at[0]
			ready := s.apply(all, 2, 0, ClusterOp{Kind: ClusterReady}, ClusterOK)
			c := s.lock(all, 2, 9)
			s.holds(2, c.Index, s.now+ms(500))
			s.apply(all, 2, 0, ClusterOp{Kind: ClusterUnlock, Map: scriptMap, Key: scriptKey, Token: c.Index}, ClusterOK)
			s.gives(2, c.Index)
			for _, p := range all {
				ends(s, p, ClusterRecord{Version: b.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 2}})
			}
			_, _ = a, ready
		}},
		{"a write that comes before one that had returned", "MP-1", func(s *clusterScript) {
			call := s.call(0, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1})
			early := s.apply(all, 0, call, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1}, ClusterOK)
			s.put(all, 1, ClusterOp{Value: 2})
			read := s.call(2, ClusterOp{Kind: ClusterLinear, Map: scriptMap, Key: scriptKey})
			s.add(ClusterRecord{Kind: ClusterReturned, Proc: 2, Call: read, Place: early, Version: early.Index, Digest: 1})
		}},
		{"a linear read of an old value", "MP-1", func(s *clusterScript) {
			early := s.put(all, 0, ClusterOp{Value: 1})
			late := s.put(all, 0, ClusterOp{Value: 2})
			read := s.call(2, ClusterOp{Kind: ClusterLinear, Map: scriptMap, Key: scriptKey})
			s.add(ClusterRecord{Kind: ClusterReturned, Proc: 2, Call: read, Place: late, Version: early.Index, Digest: 1})
		}},
		{"an acknowledged write is not there at the end", "MP-2", func(s *clusterScript) {
			s.put(all, 0, ClusterOp{Value: 1})
			ends(s, 0)
		}},
		{"a value that nobody wrote", "MP-3", func(s *clusterScript) {
			s.apply(all, 0, 0, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 5}, ClusterOK)
		}},
		{"a write that was refused for want of a quorum counts", "MP-3", func(s *clusterScript) {
			op := ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1}
			call := s.call(0, op)
			s.end(0, call, ClusterNoQuorum, Place{})
			s.apply(all, 0, 0, op, ClusterOK)
		}},
		{"two histories", "MP-4", func(s *clusterScript) {
			call := s.call(0, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1})
			s.apply(two, 0, call, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1}, ClusterOK)
			s.index--
			call = s.call(2, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 2})
			s.apply([]Proc{2}, 2, call, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 2}, ClusterOK)
		}},
		{"two states at one place", "MP-4", func(s *clusterScript) {
			s.put(two, 0, ClusterOp{Value: 1})
			s.l.Records[len(s.l.Records)-2].Digest = 1
			s.l.Records[len(s.l.Records)-3].Digest = 2
		}},
		{"a result that does not follow", "MP-5", func(s *clusterScript) {
			s.apply(all, 0, 0, ClusterOp{Kind: ClusterDelete, Map: scriptMap, Key: scriptKey}, ClusterVersion)
		}},
		{"replicas give different results", "MP-5", func(s *clusterScript) {
			s.put(all, 0, ClusterOp{Value: 1})
			s.l.Records[len(s.l.Records)-2].Code = ClusterLocked
		}},
		{"answered without being counted", "MP-6", func(s *clusterScript) {
			call := s.call(0, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1})
			s.end(0, call, ClusterOK, s.at[0])
		}},
		{"no quorum where Primary is true", "MP-6", func(s *clusterScript) {
			s.add(ClusterRecord{Kind: ClusterServes, Proc: 0, Until: s.now + ms(100)})
			call := s.call(0, ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1})
			s.end(0, call, ClusterNoQuorum, Place{})
		}},
		{"a read goes back", "MP-7", func(s *clusterScript) {
			a := s.put(all, 0, ClusterOp{Value: 1})
			b := s.put(all, 0, ClusterOp{Value: 2})
			s.add(ClusterRecord{Kind: ClusterGot, Proc: 1, Place: b, Version: b.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 2}})
			s.add(ClusterRecord{Kind: ClusterGot, Proc: 1, Place: a, Version: a.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 1}})
		}},
		{"a read of what is not there", "MP-7", func(s *clusterScript) {
			s.put(all, 0, ClusterOp{Value: 1})
			s.add(ClusterRecord{Kind: ClusterGot, Proc: 1, Place: s.at[1], Op: &ClusterOp{Map: scriptMap, Key: scriptKey}})
		}},
		{"a member does not see its own write", "MP-7", func(s *clusterScript) {
			a := s.put(all, 0, ClusterOp{Value: 1})
			s.put(all, 0, ClusterOp{Value: 2})
			s.add(ClusterRecord{Kind: ClusterGot, Proc: 0, Place: a, Version: a.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 1}})
		}},
		{"a watcher misses a change", "MP-8", func(s *clusterScript) {
			watched(s, 1, ClusterReset, s.at[1])
			s.put(all, 0, ClusterOp{Value: 1})
			b := s.put(all, 0, ClusterOp{Value: 2})
			watched(s, 1, ClusterPut, b)
		}},
		{"a watcher is given a change twice", "MP-8", func(s *clusterScript) {
			watched(s, 1, ClusterReset, s.at[1])
			a := s.put(all, 0, ClusterOp{Value: 1})
			s.put(all, 0, ClusterOp{Value: 2})
			watched(s, 1, ClusterPut, a)
			watched(s, 1, ClusterPut, a)
		}},
		{"a joiner skips an operation", "MP-9", func(s *clusterScript) {
			s.put(two, 0, ClusterOp{Value: 1})
			s.at[2] = s.at[0]
			s.put(all, 0, ClusterOp{Value: 2})
		}},
		{"a joiner's state is nobody's", "MP-9", func(s *clusterScript) {
			s.add(ClusterRecord{Kind: ClusterRestored, Proc: 2, Place: Place{7, 99, 99}})
		}},
		{"an entry outlives its owner", "MP-10", func(s *clusterScript) {
			a := s.put(all, 2, ClusterOp{Value: 1, Owned: true})
			s.establish(two, nil)
			ends(s, 0, ClusterRecord{Version: a.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 1}})
		}},
		{"an entry goes while its owner is a member", "MP-10", func(s *clusterScript) {
			s.put(all, 0, ClusterOp{Value: 1, Owned: true})
			s.establish(two, nil)
			ends(s, 0)
		}},
		{"an entry expires early", "MP-11", func(s *clusterScript) {
			a := s.put(all, 0, ClusterOp{Value: 1, TTL: time.Second})
			s.apply(all, 0, 0, ClusterOp{Kind: ClusterExpireEntry, Map: scriptMap, Key: scriptKey, Version: a.Index}, ClusterOK)
		}},
		{"an acknowledged write is lost", "MP-12", func(s *clusterScript) {
			s.l.Disk = true
			s.put([]Proc{2}, 2, ClusterOp{Value: 1})
			s.establish(two, nil)
		}},
		{"a member keeps the minority's state", "MP-13", func(s *clusterScript) {
			a := s.put(all, 0, ClusterOp{Value: 1})
			b := s.put(two, 0, ClusterOp{Value: 2})
			ends(s, 0, ClusterRecord{Version: b.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 2}})
			ends(s, 2, ClusterRecord{Version: a.Index, Op: &ClusterOp{Map: scriptMap, Key: scriptKey, Value: 1}})
		}},
		{"an operation counts twice", "MP-15", func(s *clusterScript) {
			op := ClusterOp{Kind: ClusterPut, Map: scriptMap, Key: scriptKey, Value: 1}
			call := s.call(0, op)
			s.apply(all, 0, call, op, ClusterOK)
			s.apply(all, 0, call, op, ClusterOK)
		}},
		{"a service answers differently at one member", "MP-16", func(s *clusterScript) {
			op := ClusterOp{Kind: ClusterService, Value: 1}
			s.answered = map[Proc]uint64{0: 7, 1: 7, 2: 8}
			s.apply(all, 0, s.call(0, op), op, ClusterOK)
		}},
		{"a proposer is given another answer", "MP-16", func(s *clusterScript) {
			op := ClusterOp{Kind: ClusterService, Value: 1}
			s.answered = map[Proc]uint64{0: 7, 1: 7} // the third one only watches, and lacks it
			call := s.call(0, op)
			place := s.apply(all, 0, call, op, ClusterOK)
			s.add(ClusterRecord{Kind: ClusterReturned, Proc: 0, Call: call, Place: place, Answer: 8})
		}},
		{"an operation of a service counts twice", "MP-15", func(s *clusterScript) {
			op := ClusterOp{Kind: ClusterService, Value: 1}
			call := s.call(0, op)
			s.apply(all, 0, call, op, ClusterOK)
			s.apply(all, 0, call, op, ClusterOK)
		}},
		{"granted while somebody holds it", "LK-1", func(s *clusterScript) {
			s.lock(all, 0, 1)
			s.lock(all, 1, 1)
		}},
		{"a token goes back", "LK-2", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			op := ClusterOp{Kind: ClusterUnlock, Map: scriptMap, Key: scriptKey, Token: a.Index}
			s.apply(all, 0, 0, op, ClusterOK)
			op = ClusterOp{Kind: ClusterLock, Map: scriptMap, Key: scriptKey, Request: 2}
			s.apply(all, 1, 0, op, ClusterOK, ClusterGrant{scriptMap, scriptKey, 1, 2, a.Index - 1})
		}},
		{"an index goes back", "LK-2", func(s *clusterScript) {
			s.put(all, 0, ClusterOp{Value: 1})
			s.index -= 5
			s.put(all, 0, ClusterOp{Value: 2})
		}},
		{"a locked key is written", "LK-3", func(s *clusterScript) {
			s.lock(all, 0, 1)
			s.put(all, 1, ClusterOp{Value: 1})
		}},
		{"two hold it at a time", "LK-4", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.holds(0, a.Index, s.now+ms(900))
			s.holds(1, a.Index+1, s.now+ms(100))
		}},
		{"a deadline that counts from too late", "LK-5", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.holds(0, a.Index, s.now+ms(1010))
			s.gives(0, a.Index)
		}},
		{"Lost is closed late", "LK-6", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.holds(0, a.Index, s.now+ms(10))
			s.now += ms(20)
			s.told(0, a.Index)
		}},
		{"Lost is never closed", "LK-6", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.holds(0, a.Index, s.now+ms(10))
			s.now += ms(20)
			s.put(all, 0, ClusterOp{Value: 1, Key: "other"})
		}},
		{"a write with an old token", "LK-7", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.apply(all, 0, 0, ClusterOp{Kind: ClusterUnlock, Map: scriptMap, Key: scriptKey, Token: a.Index}, ClusterOK)
			s.lock(all, 1, 2)
			s.put(all, 0, ClusterOp{Value: 1, HasToken: true, Token: a.Index})
		}},
		{"granted to a member that is gone", "LK-8", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.apply(all, 2, 0, ClusterOp{Kind: ClusterLock, Map: scriptMap, Key: scriptKey, Request: 2}, ClusterQueued)
			s.establish(two, nil)
			s.apply(two, 0, 0, ClusterOp{Kind: ClusterUnlock, Map: scriptMap, Key: scriptKey, Token: a.Index}, ClusterOK, ClusterGrant{scriptMap, scriptKey, 2, 2, 0})
		}},
		{"released with an old token", "LK-9", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.apply(all, 1, 0, ClusterOp{Kind: ClusterUnlock, Map: scriptMap, Key: scriptKey, Token: a.Index - 1}, ClusterOK)
		}},
		{"not released at its holder's exit", "LK-9", func(s *clusterScript) {
			s.lock(all, 1, 1)
			s.apply(all, 2, 0, ClusterOp{Kind: ClusterLock, Map: scriptMap, Key: scriptKey, Request: 2}, ClusterQueued)
			s.apply(all, 1, 0, ClusterOp{Kind: ClusterExit}, ClusterOK)
		}},
		{"expired before its lease", "LK-9", func(s *clusterScript) {
			a := s.lock(all, 0, 1)
			s.apply(all, 1, 0, ClusterOp{Kind: ClusterExpire, Map: scriptMap, Key: scriptKey, Token: a.Index, Version: a.Index}, ClusterOK)
		}},
		{"two primaries of one epoch", "EL-1", func(s *clusterScript) {
			s.establish(two, nil)
			s.epoch--
			s.at[2].Hash++
			s.l.Records = append(s.l.Records, ClusterRecord{At: s.now, Kind: ClusterRestored, Proc: 2, Place: s.at[2]})
			s.establish([]Proc{2}, nil, func(p *ClusterPrimary) { p.Ring++ })
		}},
		{"a member counts on beside the others", "EL-1", func(s *clusterScript) {
			s.put([]Proc{2}, 2, ClusterOp{Value: 1})
			s.establish(two, nil)
		}},
		{"a primary without a quorum", "EL-2", func(s *clusterScript) {
			s.establish([]Proc{0}, nil)
		}},
		{"a primary that does not follow on the last one", "EL-2", func(s *clusterScript) {
			old := s.at[2]
			s.establish(two, nil)
			s.at[1] = old
			s.add(ClusterRecord{Kind: ClusterRestored, Proc: 1, Place: old})
			s.establish([]Proc{1, 2}, nil)
		}},
		{"the wrong master", "EL-3", func(s *clusterScript) {
			s.apply(all, 0, 0, ClusterOp{Kind: ClusterExit}, ClusterOK, ClusterGrant{To: 2})
		}},
		{"two masters at an instant", "EL-4", func(s *clusterScript) {
			s.add(ClusterRecord{Kind: ClusterMasters, Proc: 0, Place: s.at[0], Until: s.now + ms(50)})
			s.add(ClusterRecord{Kind: ClusterMasters, Proc: 1, Place: s.at[0], Until: s.now + ms(50)})
		}},
		{"one place, two masters named", "EL-5", func(s *clusterScript) {
			s.add(ClusterRecord{Kind: ClusterNames, Proc: 0, Place: s.at[0], Subject: 0})
			s.add(ClusterRecord{Kind: ClusterNames, Proc: 1, Place: s.at[0], Subject: 1})
		}},
		{"a majority's disks, and a chain of its own", "EL-6", func(s *clusterScript) {
			s.l.Disk = true
			s.at[3] = Place{}
			s.epoch = 0
			s.establish([]Proc{3}, nil)
			r := &s.l.Records[len(s.l.Records)-1]
			r.Place.Chain = 8
		}},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newClusterScript()
			s.establish(all, nil)
			tt.run(s)
			ids := IDs(Clusters(s.l))
			if tt.want == "" && len(ids) > 0 || tt.want != "" && !slices.Contains(ids, tt.want) {
				t.Errorf("found %v, want %q\n%s", ids, tt.want, Text(Clusters(s.l)))
			}
		})
		seen[tt.want] = true
	}
	for _, id := range []string{"MP-1", "MP-2", "MP-3", "MP-4", "MP-5", "MP-6", "MP-7", "MP-8", "MP-9", "MP-10", "MP-11", "MP-12", "MP-13", "MP-15", "MP-16",
		"LK-1", "LK-2", "LK-3", "LK-4", "LK-5", "LK-6", "LK-7", "LK-8", "LK-9", "EL-1", "EL-2", "EL-3", "EL-4", "EL-5", "EL-6"} {
		if !seen[id] {
			t.Errorf("no log breaches %s", id)
		}
	}
}
