package cluster

import (
	"slices"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

func TestQuorum(t *testing.T) {
	for _, c := range []struct {
		voters string
		n      uint32
		here   string
		want   bool
	}{
		{"", 0, "", true}, // nobody is asked
		{"", 3, "", true},
		{"a", 0, "a", true},
		{"a", 0, "b", false},
		{"ab", 0, "a", true}, // the longest-serving one
		{"ab", 0, "b", false},
		{"ba", 0, "b", true},
		{"ab", 2, "a", false}, // no half is enough
		{"ab", 2, "ab", true},
		{"abc", 0, "bc", true},
		{"abc", 0, "a", false},
		{"abc", 3, "bc", true},
		{"abcd", 0, "ad", true},
		{"abcd", 0, "bc", false},
		{"abcd", 4, "abc", true},
		{"abcd", 4, "ab", false},
	} {
		here := func(seat wire.Seat) bool { return seated(voters(c.here), seat) }
		if got := Quorum(voters(c.voters), c.n, here); got != c.want {
			t.Errorf("%s of %s with N = %d: %v", c.here, c.voters, c.n, got)
		}
	}
}

// Two halves of one set are never both a quorum, whatever it is and however many are expected.
func TestQuorumOfTwoHalves(t *testing.T) {
	const all = "abcdefg"
	for size := 1; size <= len(all); size++ {
		set := voters(all[:size])
		for part := range 1 << size {
			in := func(seat wire.Seat) bool { return part>>(seat[0]-'a')&1 == 1 }
			for n := range uint32(9) {
				if Quorum(set, n, in) && Quorum(set, n, func(seat wire.Seat) bool { return !in(seat) }) {
					t.Fatalf("N = %d: part %b of %d and the rest of it", n, part, size)
				}
			}
		}
	}
}

func TestSeated(t *testing.T) {
	for _, c := range []struct {
		name         string
		voters       string
		n            uint32
		ring, member string
		want         string
	}{
		{"N = 0: one more", "ab", 0, "abc", "c", "abc"},
		{"N = 0: however many", "abcdef", 0, "abcdefg", "g", "abcdefg"},
		{"it has one", "abc", 3, "abc", "b", "abc"},
		{"a free one", "ab", 3, "abc", "c", "abc"},
		{"that of a voter that is away", "abc", 3, "bcd", "d", "bcd"},
		{"of its own name first", "abc", 3, "aC", "C", "abC"},
		{"none", "abc", 3, "abcd", "d", "abc"},
		{"a disk ends the vote of those without", "ab", 3, "abc", "c!", "c"},
		{"who has none gets no seat beside a disk", "a!", 3, "ab", "b", "a"},
		{"disks among themselves", "a!b!", 3, "abc", "c!", "abc"},
	} {
		before := voters(c.voters)
		p := prim(5, 50, c.voters, c.ring)
		p.N = c.n
		if got := names(Seated(before, &p, voters(c.member)[0])); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if !slices.Equal(before, voters(c.voters)) {
			t.Errorf("%s: the voters that were given have changed", c.name)
		}
	}
}

// A seat with a disk starts again under another name: the voters have the new one.
func TestSeatedAgain(t *testing.T) {
	p := prim(5, 50, "a!b!", "ab")
	v := voters("b!")[0]
	v.Name, v.Started = 77, 88
	if got := Seated(p.Voters, &p, v); got[1] != v || p.Voters[1] == v {
		t.Errorf("%+v", got)
	}
}

func TestUnseated(t *testing.T) {
	for _, c := range []struct{ voters, leaves, want string }{
		{"abc", "b", "ac"},
		{"abc", "d", "abc"},
		{"a", "a", "a"}, // the last one keeps it
		{"a", "b", "a"},
	} {
		before := voters(c.voters)
		if got := names(Unseated(before, voters(c.leaves)[0].Seat)); got != c.want {
			t.Errorf("%s leaves %s: %s", c.leaves, c.voters, got)
		}
		if names(before) != c.voters {
			t.Errorf("%s leaves %s: the voters that were given have changed", c.leaves, c.voters)
		}
	}
}
