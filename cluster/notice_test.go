package cluster

import (
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// Replicas differ that have come equally far by other ways. What is in tails may be another: each part of a ring that
// broke was handed over its own messages.
func TestDiffer(t *testing.T) {
	state := func(index, end, hash, epoch uint64, stages int) *wire.ClusterState {
		s := &wire.ClusterState{Index: index}
		for i := range stages {
			s.Stages = append(s.Stages, wire.Stage{Primary: wire.Primary{Epoch: epoch + uint64(i)}, End: end, Hash: hash})
		}
		return s
	}
	for _, c := range []struct {
		name string
		a, b *wire.ClusterState
		want bool
	}{
		{"equal", state(10, 10, 1, 1, 1), state(10, 10, 1, 1, 1), false},
		{"two histories", state(10, 10, 1, 1, 1), state(10, 10, 2, 1, 1), true},
		{"not equally far", state(10, 10, 1, 1, 1), state(11, 11, 2, 1, 1), false},
		{"two primaries", state(10, 10, 1, 1, 1), state(10, 10, 2, 2, 1), false},
		{"two tails", state(5, 10, 1, 1, 1), state(5, 10, 2, 1, 1), false},
		{"a tail and a replica", state(5, 10, 1, 1, 1), state(10, 10, 2, 1, 1), false},
		{"an open claim", state(10, 10, 1, 1, 2), state(10, 10, 2, 1, 2), false},
		{"none", state(0, 0, 0, 0, 0), state(10, 10, 2, 1, 1), false},
	} {
		if differ(c.a, c.b) != c.want || differ(c.b, c.a) != c.want {
			t.Errorf("%s: want %v", c.name, c.want)
		}
	}
}
