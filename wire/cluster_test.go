package wire

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

func testState() *ClusterState {
	p := Primary{Chain: Chain{Ring: testRing, Founded: 17}, Epoch: 3, Ring: testRing, Voters: []Voter{{Seat{1}, 7, 70, true}, {Seat{2}, 8, 80, false}}, N: 3, Seats: []Seat{{1}, {2}, {3}}}
	return &ClusterState{
		Ring: testRing, Seat: Seat{1}, Name: "gateway", Started: 5, Wall: 6,
		Last:   &p,
		Tried:  []Primary{p, p},
		Stages: []Stage{{Primary: p, End: 9, Hash: 10, Rules: 1, Voters: p.Voters, Between: []VoterSet{{8, p.Voters[:1]}, {9, nil}}}},
		Index:  9, Hash: 10, Certain: p.Voters, CertainIndex: 4,
		Expected: 3, Weight: -1, Guard: 200e6, RulesMin: 1, RulesMax: 2, Load: 12, MaxValue: 1 << 20, StateLimit: 4 << 30,
		Disk: true, Filled: true,
	}
}

func TestClusterStateRoundTrip(t *testing.T) {
	want := testState()
	b := AppendCluster(nil, KindState, want)
	kind, body, err := ParseCluster(b)
	var got ClusterState
	if err == nil {
		err = ParseClusterPart(body, &got)
	}
	if err != nil || kind != KindState || !reflect.DeepEqual(&got, want) {
		t.Fatalf("%v %v\n%+v\n%+v", kind, err, got, want)
	}
	var pb wirepb.ClusterMessage
	if err := proto.Unmarshal(b, &pb); err != nil {
		t.Fatal(err)
	}
	if m := marshal(&pb); !bytes.Equal(m, b) {
		t.Fatalf("generated code writes\n%x, not\n%x", m, b)
	}
}
