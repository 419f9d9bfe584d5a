package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// NextTerm returns when the next lease or TTL of this replica ends by its own clock.
func (s *State) NextTerm() (at clock.Time, ok bool) { panic("not built yet") }

// EndedTerm returns an operation that asks to end what has lived for its term at now: Expire or ExpireEntry. It is the
// leader's to propose. It comes once again retry later, if the operation had no effect until then. ok is false where
// nothing has ended. The operation's slices are not to be changed.
func (s *State) EndedTerm(now clock.Time, retry clock.Time) (op wire.ClusterOp, ok bool) {
	panic("not built yet")
}
