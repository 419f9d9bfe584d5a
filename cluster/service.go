package cluster

import (
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// service is one deterministic state machine of a replica: it is handed operations at their positions, and what it holds
// travels in parts. The maps, with their locks and the member table, are the first one (tables).
//
// What a service does depends on its state and on the arguments, and on nothing else: no clock (pass.now is only noted), no
// order of a Go map, no setting of this member.
type service interface {
	// apply does one operation.
	apply(p *pass, op *wire.ClusterOp) Result
	// establish begins a primary: members leave and enter.
	establish(p *pass, o *wire.Opening)
	// cut returns the service as it is now, in parts. pos travels with it.
	cut(now clock.Time, pos *position) serviceCut
}

// serviceCut is a service at one index. It never changes.
type serviceCut interface {
	// digest is a hash of all that the service holds: equal for equal states, however they came there.
	digest() uint64
	// entries is how many entries all parts have together.
	entries() uint64
	// parts is one more than the number of the last part.
	parts() int
	// part is Cut.Part.
	part(dst []byte, now clock.Time, part uint32, from uint64, limit int) (b []byte, count int, next uint64, end bool)
}

// pass is what one operation, or one establishment, is done with.
type pass struct {
	now   clock.Time // only noted, for terms
	index uint64
	by    wire.MemberID
	pos   *position // rules and voters are a service's to change
	out   *[]Event
}

// vote puts voters in force.
func (p *pass) vote(voters []wire.Voter) {
	if !slices.Equal(p.pos.voters, voters) {
		p.pos.voters = voters
		p.event(Event{Kind: EventVoters})
	}
}

func (p *pass) event(e Event) {
	e.Index = p.index
	*p.out = append(*p.out, e)
}
