package cluster

import (
	"time"

	"github.com/activeblaze/blaze/wire"
)

// Status is what one member knows of its cluster.
type Status struct {
	Phase   Phase
	Primary bool // in an established primary, with a complete replica
	Ring    wire.RingID

	Last    wire.Primary // the last established one that this member knows; its Epoch is 0: none
	Index   uint64       // of the replica
	Hash    uint64
	Stage   wire.Primary // the primary that the replica belongs to
	Voters  []wire.Voter // in force
	Missing []wire.Voter // of them, who is not in the ring
	Tried   []wire.Primary
	Need    string // what the quorum asks for, in words: "2 of 3 voters, 2 members"
	Why     string // why this member is not in a primary, or not ready; empty: it is

	Master      wire.MemberID
	Leader      wire.MemberID
	Members     []MemberStatus // of the ring; outside a primary as the exchange told
	Rules       uint32         // in force
	RulesMin    uint32         // that this build supports
	RulesMax    uint32
	TailBytes   int
	Progress    Progress // of this member's transfer, while it is a learner
	Durable     uint64   // index that the own disk has; 0 without one
	Committed   uint64
	DiskError   string
	StateBytes  int64
	Entries     int
	Maps, Locks int
}

// MemberStatus is one member.
type MemberStatus struct {
	ID       wire.MemberID
	Name     string
	Seat     wire.Seat
	Vote     bool // has a seat among the voters
	Weight   int64
	Age      uint64 // index of its entry into the member table; 0: it is not in it
	Ready    bool   // complete
	Observer bool
	Disk     bool
	Durable  uint64 // as its last Synced told
}

// Phase is what a Core is at.
type Phase uint8

// The phases.
const (
	Alone    Phase = iota // no ring yet
	Exchange              // State of all is collected
	Filling
	Claiming
	Outside // of a primary, until the next ring
	Learning
	Complete
	Failed // the disk, or unsupported
)

var phases = [...]string{"alone", "exchange", "filling", "claiming", "outside", "learning", "complete", "failed"}

// String names the phase: "claiming".
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return "unknown phase"
}

// Progress is how far a transfer has come.
type Progress struct {
	Entries, Of uint64
	Provider    wire.MemberID
	CatchingUp  bool
}

// Stats are counters since the start, but for the first line, which is as it is now.
type Stats struct {
	Primary                            bool
	Chain                              wire.Chain
	Epoch, Index, Hash, Committed      uint64
	Entries, Maps, Locks, Waits, Calls int
	Bytes                              int64

	Proposed         uint64 // operations that this member multicast, again ones included
	Applied          uint64 // operations of all members
	RefusedLocked    uint64 // applied operations that changed nothing, by reason
	RefusedOwner     uint64
	RefusedVersion   uint64
	RefusedLimit     uint64
	RefusedMalformed uint64
	Dropped          uint64 // operations delivered where they do not count
	Unknown          uint64 // calls that ended with an unknown outcome
	NoQuorum         uint64 // calls that ended without a quorum
	Establishments   uint64
	ClaimsOpen       uint64
	ClaimsFailed     uint64
	Fills            uint64 // that this member took
	Transfers        uint64 // that this member finished as a learner
	ChunksServed     uint64
	Overruns         uint64 // of the learner's buffer
	Grants           uint64
	Expired          uint64
	Orphaned         uint64
	Released         uint64 // of orphaned locks
	LostLocks        uint64 // of this member
	LinearReads      uint64
	Ignored          uint64 // messages that came twice, from the wrong ring or member, or made no sense
	HashMismatches   uint64

	TokenGap time.Duration // the longest between two visits
	Sync     time.Duration // smoothed: from a hand-over to the disk until it is durable
}
