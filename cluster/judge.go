package cluster

import (
	"github.com/activeblaze/blaze/wire"
)

// Told is the State that one member of a ring multicast.
type Told struct {
	Member wire.MemberID
	State  *wire.ClusterState
}

// Decision is what judge makes of the States of all members of a ring. Every member gets the same one.
type Decision struct {
	// OK: the ring may claim Opening.Primary. Otherwise its members stay outside a primary, and Why says why.
	OK  bool
	Why Why

	// Opening is what goes into the tail of a current member, and what State.Establish takes.
	Opening wire.Opening

	Wait Wait // before the claim is sent

	Members []Judged        // all of the ring, ascending by MemberID, as Opening.Members
	Current []wire.MemberID // who begins with a complete replica, ascending

	// Resumed is the primary whose end the new one begins with; nil at a founding, and where not OK.
	Resumed *wire.Primary
	// Open and Failed are the tried primaries of the deciding chain whose end is not known, and those of all chains that
	// are proven not to have been established. A member takes Failed from tried before it claims.
	Open, Failed []wire.Primary

	// Missing are the voters, of all sets that a quorum is asked of, whose seats are neither here nor taken over. Where not OK
	// they are those that would help.
	Missing []wire.Voter
	Taken   int // how many seats were taken over
	Need    int // N/2 + 1: how many members the ring must have; 1 with N = 0

	// Filler sends its recent history, from the operation after FillFrom on, to the members of the chain whose
	// replicas are not current. Zero: nobody needs it.
	Filler   wire.MemberID
	FillFrom uint64
}

// Judged is what was decided of one member.
type Judged struct {
	Told
	Current bool
	// Stages is how many of State.Stages stand. A member that is current drops of its tail what follows on them.
	Stages int
	// Seat is the voters' seat that it counts for: its own, or one that it takes over (Took). HasSeat is false without.
	Seat          wire.Seat
	HasSeat, Took bool
	Refused       bool // its State breaks a limit, and counts as that of an observer without a replica
	Unsupported   bool // its build does not support the rules in force: it does not vote and gets no state
}

// Wait says how long a member waits before it sends its Claim.
type Wait uint8

// The waits.
const (
	NoWait        Wait = iota
	WaitDiscovery      // until its start is Config.Discovery ago: it looks for others before it founds
	WaitRejoin         // Config.Rejoin from the decision on: others may be only slow
)

// Why says why a ring is no primary.
type Why uint8

// The reasons.
const (
	WhyNone      Why = iota
	WhyMembers       // fewer than N/2 + 1 members
	WhyObservers     // only observers, or nobody that could vote
	WhyReplica       // nobody has the replica that the last primary ended with
	WhyQuorum        // no quorum of the voters
	WhyRules         // there would be a quorum, but for members whose build does not support the rules in force
)
