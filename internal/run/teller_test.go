package run

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// What is left of a long list of events leads to the same members in the same groups, and is legal for each of them.
func TestShorten(t *testing.T) {
	self := wire.MemberID{15: 255}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		type state struct {
			here   bool
			groups []string
		}
		step := func(s *state, e *telling) string {
			g := string(e.group)
			at, in := slices.BinarySearch(s.groups, g)
			switch {
			case e.kind == group.Started && !s.here:
				*s = state{here: true}
			case (e.kind == group.Stopped || e.kind == group.Failed) && s.here:
				*s = state{}
			case e.kind == group.JoinedGroup && s.here && !in:
				s.groups = slices.Insert(slices.Clone(s.groups), at, g)
			case e.kind == group.LeftGroup && s.here && in:
				s.groups = slices.Delete(slices.Clone(s.groups), at, at+1)
			default:
				return fmt.Sprintf("%v %q of a member that is here %t, in %q", e.kind, g, s.here, s.groups)
			}
			return ""
		}
		var before, now [5]state
		for i := range before {
			if rng.IntN(2) == 0 {
				before[i] = state{true, []string{"a"}}
			}
		}
		now = before
		var list []*telling
		for range rng.IntN(300) {
			i := rng.IntN(len(now))
			e := &telling{of: &snapshot{id: wire.MemberID{15: byte(i)}}}
			switch s := &now[i]; {
			case !s.here:
				e.kind = group.Started
			case rng.IntN(4) == 0:
				e.kind = group.Failed
			default:
				e.group = []byte{"ab"[rng.IntN(2)]}
				e.kind = group.JoinedGroup
				if slices.Contains(s.groups, string(e.group)) {
					e.kind = group.LeftGroup
				}
			}
			if why := step(&now[i], e); why != "" {
				t.Fatal(why)
			}
			list = append(list, e)
		}
		tell := &teller{self: self}
		short := tell.shorten(slices.Clone(list))
		if most := len(before) * (2 + 4); len(short) > most {
			t.Errorf("seed %d: %d of %d events are left", seed, len(short), len(list))
		}
		got := before
		for _, e := range short {
			if why := step(&got[e.of.id[15]], e); why != "" {
				t.Fatalf("seed %d: %s", seed, why)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(now) {
			t.Fatalf("seed %d: it leads to %v, not to %v", seed, got, now)
		}
	}
}
