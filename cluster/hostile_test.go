package cluster

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// forge delivers a message at every member of the ring, as one of from.
func (r *rig) forge(from wire.MemberID, payload []byte) {
	for _, n := range r.nodes {
		if !n.dead && n.ring != nil {
			n.core.Deliver(r.now, &core.Delivery{From: from, Payload: payload, Received: r.now})
		}
	}
	for _, n := range r.nodes {
		n.core.Flush(r.now)
	}
}

func encoded(kind wire.ClusterKind, m any) []byte {
	switch m := m.(type) {
	case *wire.ClusterState:
		return wire.AppendCluster(nil, kind, m)
	case *wire.ClusterClaim:
		return wire.AppendCluster(nil, kind, m)
	case *wire.ClusterFill:
		return wire.AppendCluster(nil, kind, m)
	case *wire.ClusterSynced:
		return wire.AppendCluster(nil, kind, m)
	case *wire.ClusterForce:
		return wire.AppendCluster(nil, kind, m)
	}
	return nil
}

// What makes no sense changes nothing but a counter: forged messages of every kind, at every phase.
func TestHostileMessages(t *testing.T) {
	far := wire.Primary{Chain: wire.Chain{Founded: 1}, Epoch: 1 << 60, Seats: []wire.Seat{{1}}, Voters: []wire.Voter{{Seat: wire.Seat{9}}}}
	forgeries := func(ring wire.RingID) map[string][]byte {
		state := &wire.ClusterState{Ring: ring, Last: &far, Tried: []wire.Primary{far}, Index: math.MaxUint64 - 1, Hash: 1, CertainIndex: 5,
			RulesMin: 1, RulesMax: 1, MaxValue: 1, StateLimit: 1, Stages: []wire.Stage{{Primary: far, End: math.MaxUint64 - 1}}}
		return map[string][]byte{
			"a second State":         encoded(wire.KindState, state),
			"a State after the fill": encoded(wire.KindState, &wire.ClusterState{Ring: ring, Filled: true, RulesMin: 1, RulesMax: 1}),
			"a second Claim":         encoded(wire.KindClaim, &wire.ClusterClaim{Ring: ring}),
			"a Claim of no ring":     encoded(wire.KindClaim, &wire.ClusterClaim{}),
			"a Fill":                 encoded(wire.KindFill, &wire.ClusterFill{Ring: ring, Last: true, Entries: []wire.ClusterEntry{{Batch: []byte{1}}}}),
			"Synced of the future":   encoded(wire.KindSynced, &wire.ClusterSynced{Epoch: 1 << 50, Index: math.MaxUint64}),
			"Force in a primary":     encoded(wire.KindForce, &wire.ClusterForce{Ring: ring}),
			"nothing":                {},
			"rubbish":                {0xFF, 0xFF, 0xFF, 1, 2, 3},
			"an unknown kind":        {15 << 3, 0},
		}
	}
	for _, from := range []int{0, 2, -1} { // two members, and one that is not in the ring
		r := newRig(t, 3, all3)
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		id := wire.MemberID{0: 77}
		if from >= 0 {
			id = r.nodes[from].id
		}
		for name, m := range forgeries(r.nodes[0].ring.id) {
			before, index, digest := r.nodes[1].core.Stats(), r.nodes[1].core.State().Index(), r.nodes[1].core.State().Digest()
			r.forge(id, m)
			after := r.nodes[1].core.Stats()
			if strings.HasPrefix(name, "Synced") { // without a disk nobody listens
				continue
			}
			if after.Ignored != before.Ignored+1 {
				t.Errorf("%s from %d: Ignored rose by %d", name, from, after.Ignored-before.Ignored)
			}
			if s := r.nodes[1].core.State(); s.Index() != index || s.Digest() != digest || !r.nodes[1].pub.Primary {
				t.Errorf("%s from %d changed the state", name, from)
			}
		}
		if c := r.nodes[1].put("k", "v"); r.nodes[1].wait(c) != CodeOK {
			t.Error("nobody can write any more")
		}
		r.run(5 * time.Millisecond)
		r.same(0, 1, 2)
	}
}

// Operations of a member that break a rule take an index, change nothing, are counted, and name the member; all replicas agree.
func TestHostileOperations(t *testing.T) {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	batch := func(stamp uint64, ops ...wire.ClusterOp) []byte {
		var l wire.ClusterOps
		for i := range ops {
			l = l.Append(&ops[i], nil)
		}
		return wire.AppendBatch(nil, stamp, l)
	}
	put := wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Key: []byte("k"), Value: []byte("v")}
	longKey := put
	longKey.Key = make([]byte, wire.MaxKey+1)
	noMap, badMap, badTTL := put, put, put
	noMap.Map, badMap.Map, badTTL.TTL = nil, []byte{0xFF, 0xFE}, -5
	for name, m := range map[string][]byte{
		"no operation":          batch(1),
		"a kind of nothing":     batch(1, wire.ClusterOp{Kind: 200}),
		"65 operations":         batch(1, slices.Repeat([]wire.ClusterOp{put}, 65)...),
		"a long key":            batch(1, longKey),
		"no map":                batch(1, noMap),
		"a map that is no text": batch(1, badMap),
		"a negative TTL":        batch(1, badTTL),
		"Ready of another":      batch(1, wire.ClusterOp{Kind: wire.OpReady, Seat: wire.Seat{5}}),
		"rules of tomorrow":     batch(1, wire.ClusterOp{Kind: wire.OpRules, Rules: 900}),
		"a body of rubbish":     append([]byte{byte(wire.KindBatch)<<3 | 2, 5}, 1, 2, 3, 4, 5),
	} {
		n := r.nodes[1]
		n.core.blamed = 0
		before, digest, warned := n.core.Stats(), n.core.State().Digest(), len(n.warned)
		r.forge(r.nodes[0].id, m)
		after := n.core.Stats()
		if after.RefusedMalformed == before.RefusedMalformed {
			t.Errorf("%s: not refused: %+v", name, after)
		}
		if after.Index <= before.Index {
			t.Errorf("%s took no index", name)
		}
		if n.core.State().Size() != r.nodes[2].core.State().Size() || n.core.State().entries() != 0 {
			t.Errorf("%s changed the state (%x, %x)", name, digest, n.core.State().Digest())
		}
		if len(n.warned) == warned {
			t.Errorf("%s: nobody is named", name)
		}
		r.same(0, 1, 2)
	}
	// A stamp of the year 3000 raises indexes and nothing else; one near the end counts as none.
	n := r.nodes[1]
	year3000 := uint64(32503680000) * 1e6
	r.forge(r.nodes[0].id, batch(year3000, put))
	if n.core.State().Index() != year3000 {
		t.Errorf("index %d after a stamp of the year 3000", n.core.State().Index())
	}
	r.forge(r.nodes[0].id, batch(1<<63, put))
	if n.core.State().Index() != year3000+1 {
		t.Errorf("index %d after a stamp that cannot be", n.core.State().Index())
	}
	if c := n.put("k", "v"); n.wait(c) != CodeOK || c.Version <= year3000 {
		t.Errorf("a put after it: code %d, version %d", c.Code, c.Version)
	}
}

// A member that says a State of which a bound is broken, in the exchange itself, counts as an observer; the others go on.
func TestHostileState(t *testing.T) {
	for name, change := range map[string]func(*wire.ClusterState){
		"an index near the end":        func(s *wire.ClusterState) { s.Index, s.CertainIndex = math.MaxUint64, math.MaxUint64 },
		"rules the wrong way":          func(s *wire.ClusterState) { s.RulesMin, s.RulesMax = 5, 1 },
		"ExpectedMembers of a million": func(s *wire.ClusterState) { s.Expected = 1e6 },
		"17 claims":                    func(s *wire.ClusterState) { s.Tried = make([]wire.Primary, 17) },
		"an epoch from the future": func(s *wire.ClusterState) {
			s.Last = &wire.Primary{Chain: wire.Chain{Founded: 3}, Epoch: math.MaxUint64}
		},
	} {
		r := newRig(t, 3, all3)
		r.split([]int{0, 1, 2})
		for _, n := range r.nodes {
			for k, p := range n.pending {
				kind, body, err := wire.ParseCluster(p)
				if err != nil || kind != wire.KindState || n.i != 0 {
					continue
				}
				var s wire.ClusterState
				if wire.ParseClusterPart(body, &s) != nil {
					t.Fatal("a State of its own does not parse")
				}
				change(&s)
				n.pending[k] = wire.AppendCluster(nil, wire.KindState, &s)
			}
		}
		r.run(50 * time.Millisecond)
		a, b := r.nodes[1].core.Status(r.now), r.nodes[2].core.Status(r.now)
		if a.Primary != b.Primary || a.Phase != b.Phase || a.epoch() != b.epoch() {
			t.Errorf("%s: members 1 and 2 disagree: %v, %v", name, a.Phase, b.Phase)
		}
	}
}
