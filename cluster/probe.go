package cluster

import "github.com/activeblaze/blaze/wire"

// Probe is one step of a Core's replica, for simulation and tests: Config.Probe is nil elsewhere, and then nothing of this
// is made. What it points to is lent for the call. It is called right after the step, before the next one.
type Probe struct {
	Kind  ProbeKind
	Chain wire.Chain
	Epoch uint64 // of the primary in which it counts
	// Index and Hash of the replica's history after the step.
	Index, Hash uint64

	// Of ProbeApplied: the operation, whose it is, what became of it, and the Number of the Call where it is this member's own
	// one, also where it was given up; 0: it is not.
	By     wire.MemberID
	Op     *wire.ClusterOp // nil: it did not parse
	Code   Code
	Result uint64 // the version of a write; the token of a lock that was granted at once
	Call   uint64
	Answer []byte // of a service; lent

	// Of ProbeApplied and ProbeEstablished: the locks that it granted.
	Grants []ProbeGrant

	Opening *wire.Opening // of ProbeEstablished, ProbeFollowed, ProbeClaimed, ProbeOpen, ProbeFailed
	Voters  []wire.Voter  // of ProbeEstablished: those that the replica had before it
}

// ProbeGrant is a lock that changed hands.
type ProbeGrant struct {
	Map, Key string // both empty: the master's
	To       wire.MemberID
	Request  uint64
	Token    uint64
}

// ProbeKind says what a Probe is about.
type ProbeKind uint8

// The kinds.
const (
	ProbeApplied     ProbeKind = iota + 1 // the replica counted one operation
	ProbeEstablished                      // the replica begins an established primary
	ProbeFollowed                         // a primary was established whose beginning the replica does not have: it learns
	ProbeRestored                         // the replica was replaced: by a snapshot, when all of it is there, or by what New found on the disk
	ProbeClaimed                          // this member sends its Claim
	ProbeOpen                             // the claim is left open
	ProbeFailed                           // the claim failed
)
