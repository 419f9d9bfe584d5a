package cluster

import "github.com/activeblaze/blaze/wire"

// Quorum reports whether the voters whose seats are here are enough to go on. n is the largest ExpectedMembers, 0: dynamic.
// Of exactly half of a dynamic cluster's voters the half with the longest-serving one goes on. An empty set asks for nobody.
func Quorum(voters []wire.Voter, n uint32, here func(wire.Seat) bool) bool {
	if len(voters) == 0 {
		return true
	}
	h := 0
	for i := range voters {
		if here(voters[i].Seat) {
			h++
		}
	}
	return 2*h > len(voters) || n == 0 && 2*h == len(voters) && here(voters[0].Seat)
}
