package lanes

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// inLane is a topic that hashes to lane, of lanes.
func inLane(lane, lanes int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint("t.", i); int(Of(name, lanes)) == lane {
			return name
		}
	}
}

func TestWanted(t *testing.T) {
	topic := func(lanes ...int) (patterns []string) {
		for _, l := range lanes {
			patterns = append(patterns, inLane(l, 8))
		}
		return patterns
	}
	for _, row := range []struct {
		name     string
		lanes    int
		first    bool
		patterns []string
		sends    []uint16
		below    []uint32 // of the lanes below lanes
	}{
		{"nothing", 8, false, nil, nil, nil},
		{"one topic", 8, false, topic(3), nil, []uint32{3}},
		{"the first and the last lane", 8, false, topic(7, 0), nil, []uint32{0, 7}},
		{"two topics of one lane", 8, false, []string{inLane(5, 8), inLane(5, 8) + ""}, nil, []uint32{5}},
		{"sends only", 8, false, nil, []uint16{6, 2}, []uint32{2, 6}},
		{"sends and subscribes", 8, false, topic(1), []uint16{4, 1}, []uint32{1, 4}},
		{"a ring, or a group", 8, true, nil, nil, []uint32{0}},
		{"a ring, or a group, and a topic", 8, true, topic(3), nil, []uint32{0, 3}},
		{"one element is open", 8, false, []string{"prices.*.bund"}, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7}},
		{"the end is open", 8, false, []string{"prices.>"}, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7}},
		{"everything", 8, false, []string{">"}, nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7}},
		{"one lane, and no interest", 1, false, nil, nil, nil},
		{"one lane, and a topic", 1, false, []string{"a"}, nil, []uint32{0}},
		{"no number of lanes is one", 0, false, []string{"a"}, nil, []uint32{0}},
		{"as many as there can be", 64, false, []string{inLane(63, 64)}, []uint16{31}, []uint32{31, 63}},
		{"sends where others hash", 8, false, nil, []uint16{9}, nil},
	} {
		w := NewWanted(row.lanes, row.first)
		for _, p := range row.patterns {
			w.Topic(p, 5)
			if w.Topic(p, 6) {
				t.Errorf("%s: %q is new twice", row.name, p)
			}
		}
		for _, l := range row.sends {
			w.Lane(l, 5)
			if w.Lane(l, 6) {
				t.Errorf("%s: lane %d is new twice", row.name, l)
			}
		}
		n := uint32(max(row.lanes, 1))
		want := slices.Clone(row.below)
		for l := n; l < 1<<16; l++ {
			want = append(want, l)
		}
		if len(want) == 1<<16 {
			want = nil
		}
		if got := expand(w.Ranges()); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v and all from %d on", row.name, got[:min(len(got), 70)], row.below, n)
		}
		for l := range uint32(1 << 16) {
			at, ok := w.Since(uint16(l))
			since := clock.Time(5)
			if l >= n || l == 0 && row.first {
				since = 0
			}
			if want := l >= n || slices.Contains(row.below, l); ok != want || ok && at != since {
				t.Errorf("%s: Since(%d) is %v, %v", row.name, l, at, ok)
			}
		}
		if grown := len(row.below) < int(n); w.All(7) != grown || w.All(8) || w.Ranges() != nil {
			t.Errorf("%s: not all afterwards", row.name)
		}
	}
}

// expand lists the lanes of ranges; nil stays nil.
func expand(ranges [][2]uint32) (lanes []uint32) {
	for _, r := range ranges {
		for l := r[0]; l <= r[1]; l++ {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// A subscription takes a bounded step on the engine's thread, whatever the wire's number of lanes: what
// the driver is given is short.
func TestRangesAreFew(t *testing.T) {
	for _, lanes := range []int{1, 2, 8, 64} {
		w := NewWanted(lanes, false)
		for l := 0; l < lanes; l += 2 {
			w.Lane(uint16(l), 1)
		}
		if n := len(w.Ranges()); n > lanes/2+1 {
			t.Errorf("%d lanes, every other one wanted: %d ranges", lanes, n)
		}
	}
	w := NewWanted(1<<16, false)
	if w.Lane(65535, 1); len(w.Ranges()) != 1 {
		t.Errorf("the last lane: %v", w.Ranges())
	}
}

func has(w *Wanted, lane uint16) bool {
	_, ok := w.Since(lane)
	return ok
}

// The driver is given the lanes once for each change, again after an error, and never without a Filter.
func TestListener(t *testing.T) {
	var set [][][2]uint32
	var answer error
	var differs []string
	l := NewListener(Filter{
		Set: func(ranges [][2]uint32) error { set = append(set, ranges); return answer },
		Differs: func(from wire.MemberID, lanes int, err error) {
			differs = append(differs, fmt.Sprint(from[0], lanes, err))
		},
	}, 8, false)
	l.Want([]string{inLane(3, 8)})
	is := func(times int, below ...uint32) {
		t.Helper()
		if len(set) != times {
			t.Fatalf("%d times, not %d", len(set), times)
		}
		if got := expand(set[times-1]); len(got) != len(below)+1<<16-8 || !slices.Equal(got[:len(below)], below) {
			t.Fatalf("%v, want %v and the rest", got[:8], below)
		}
	}
	if !has(l.wanted, 3) || len(set) > 0 {
		t.Fatal("what was subscribed to before")
	}
	answer = errors.New("no memory")
	if err := l.Topics(9, inLane(3, 8)); err != answer {
		t.Fatal(err)
	}
	is(1, 3)
	answer = nil
	if err := l.Topics(9, inLane(3, 8)); err != nil { // it is wanted, and yet the driver has not taken it
		t.Fatal(err)
	}
	is(2, 3)
	_ = l.Topics(9, inLane(3, 8))
	is(2, 3)
	_ = l.Topics(9, inLane(1, 8))
	is(3, 1, 3)
	_ = l.Topics(9, inLane(3, 8), inLane(6, 8))
	is(4, 1, 3, 6)
	_ = l.Lane(9, 4)
	_ = l.Lane(9, 4)
	is(5, 1, 3, 4, 6)
	others := l.Others(nil)
	others(wire.MemberID{9}, 4)
	others(wire.MemberID{8}, 2)
	if len(set) != 6 || set[5] != nil || len(differs) != 1 || differs[0] != "9 4 <nil>" {
		t.Errorf("set %d times, called %q", len(set), differs)
	}
	if _ = l.Topics(9, inLane(7, 8)); len(set) != 6 {
		t.Error("more than all")
	}

	none := NewListener(Filter{}, 8, false)
	none.Want([]string{"a"})
	if none != nil || none.Topics(9, "a") != nil || none.Lane(9, 3) != nil || none.Wanted() != nil || none.Others(nil) != nil {
		t.Error("without a filter nothing is filtered")
	}
}
