package cluster

import (
	"slices"

	"github.com/activeblaze/blaze/wire"
)

// Quorum reports whether the voters whose seats are here are enough to go on. n is the largest ExpectedMembers, 0: dynamic.
// Of exactly half of a dynamic cluster's voters the half with the longest-serving one goes on. An empty set asks for nobody.
func Quorum(voters []wire.Voter, n uint32, here func(wire.Seat) bool) bool {
	if len(voters) == 0 {
		return true
	}
	h := count(voters, here)
	return 2*h > len(voters) || n == 0 && 2*h == len(voters) && here(voters[0].Seat)
}

// count is how many of the voters are here.
func count(voters []wire.Voter, here func(wire.Seat) bool) int {
	n := 0
	for i := range voters {
		if here(voters[i].Seat) {
			n++
		}
	}
	return n
}

// Seated is the voters after a member of p's ring has completed its replica: what Ready does, and an establishment for each
// current member. With N > 0 a member that is no voter takes a free seat, else that of a voter who is not in the ring, of
// the same name first. Where a voter has a disk, members without one never vote. voters stays as it is.
func Seated(voters []wire.Voter, p *wire.Primary, v wire.Voter) []wire.Voter {
	if i := slices.IndexFunc(voters, func(o wire.Voter) bool { return o.Seat == v.Seat }); i >= 0 {
		voters = slices.Clone(voters)
		voters[i] = v // a seat with a disk may have started again since, under another name
		return diskFirst(voters)
	}
	voters = diskFirst(append(slices.Clone(voters), v))
	if p.N == 0 || len(voters) <= int(p.N) {
		return voters
	}
	away := func(o wire.Voter) bool { return o.Seat != v.Seat && !slices.Contains(p.Seats, o.Seat) }
	i := slices.IndexFunc(voters, func(o wire.Voter) bool { return away(o) && o.Name == v.Name })
	if i < 0 {
		i = slices.IndexFunc(voters, away)
	}
	if i < 0 {
		i = len(voters) - 1 // no seat for v itself
	}
	return slices.Delete(voters, i, i+1)
}

// Unseated is the voters after the Exit of a seat. The last voter keeps its own. voters stays as it is.
func Unseated(voters []wire.Voter, seat wire.Seat) []wire.Voter {
	i := slices.IndexFunc(voters, func(v wire.Voter) bool { return v.Seat == seat })
	if i < 0 || len(voters) == 1 {
		return voters
	}
	return slices.Delete(slices.Clone(voters), i, i+1)
}

// diskFirst drops, where a voter has a disk, those without one. It may change voters.
func diskFirst(voters []wire.Voter) []wire.Voter {
	if !slices.ContainsFunc(voters, func(v wire.Voter) bool { return v.Disk }) {
		return voters
	}
	return slices.DeleteFunc(voters, func(v wire.Voter) bool { return !v.Disk })
}

func seated(voters []wire.Voter, seat wire.Seat) bool {
	return slices.ContainsFunc(voters, func(v wire.Voter) bool { return v.Seat == seat })
}
