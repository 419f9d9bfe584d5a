package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
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
	Services    []string // in force
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
	Orphaned         uint64 // locks whose holder was lost, the master's included
	Released         uint64 // of them, those that the leader has freed since
	LostLocks        uint64 // of this member
	LinearReads      uint64
	Ignored          uint64 // messages that came twice, from the wrong ring or member, or made no sense
	HashMismatches   uint64
	Panics           uint64 // of Apply of services

	TokenGap time.Duration // the longest between two visits
	Sync     time.Duration // smoothed: from a hand-over to the disk until it is durable
}

// Status is this member's view of the cluster now.
func (c *Core) Status(now clock.Time) *Status {
	c.begin(now)
	s := &Status{
		Phase: c.phase, Primary: c.phase == Complete && now < c.until(), Ring: c.ring, Tried: c.tried,
		RulesMin: c.rules.min, RulesMax: c.rules.max, Durable: c.disk.durable, Committed: c.committed, Progress: c.progress(),
	}
	if c.diskError != nil {
		s.DiskError = c.diskError.Error()
	}
	for i := range c.tail {
		s.TailBytes += len(c.tail[i].batch)
	}
	if c.last != nil {
		s.Last = *c.last
	}
	if c.state != nil {
		z := c.state.Size()
		s.Index, s.Hash, s.Stage, s.Voters, s.Rules = c.state.Index(), c.state.Hash(), *c.state.Primary(), c.state.Voters(), c.state.Rules()
		s.StateBytes, s.Entries, s.Maps, s.Locks = z.Bytes, z.Entries, z.Maps, z.Locks
		if h, ok := c.state.Master(); ok && !h.Orphaned && s.Primary {
			s.Master = h.Holder
		}
		s.Leader, s.Services = c.state.Leader(), c.state.Services()
	}
	s.members(c)
	s.why(c)
	return s
}

// members lists the members of the ring.
func (s *Status) members(c *Core) {
	for i, id := range c.members {
		m := MemberStatus{ID: id}
		if i < len(c.ex.told) && c.ex.told[i] != nil {
			t := c.ex.told[i]
			m.Name, m.Seat, m.Weight, m.Observer, m.Disk = t.Name, t.Seat, t.Weight, t.Observer, t.Disk
		}
		if c.phase == Learning {
			m.Ready = c.ex.d.Members[i].Current // where the replica that is to come would have its row
		}
		if c.state != nil && (c.phase == Complete || c.phase == Learning) {
			if row, ok := c.state.Member(id); ok {
				m.Name, m.Seat, m.Weight, m.Age, m.Ready, m.Observer, m.Disk = row.Name, row.Seat, row.Weight, row.Age, row.Ready, row.Observer, row.Disk
			}
		}
		if i < len(c.disk.synced) {
			m.Durable = c.disk.synced[i]
		}
		m.Vote = seated(s.Voters, m.Seat)
		s.Members = append(s.Members, m)
	}
	for _, v := range s.Voters {
		if !slices.ContainsFunc(s.Members, func(m MemberStatus) bool { return m.Seat == v.Seat }) {
			s.Missing = append(s.Missing, v)
		}
	}
}

// why says in words what a primary needs, and why this member is not in one.
func (s *Status) why(c *Core) {
	voters := len(s.Voters)
	if s.Last.N > 0 {
		s.Need = fmt.Sprintf("%d of %d voters, %d members", voters/2+1, voters, s.Last.N/2+1)
	} else if voters > 0 {
		s.Need = fmt.Sprintf("%d of %d voters, or half of them with the longest-serving one", voters/2+1, voters)
	}
	switch {
	case c.failed:
		s.Phase, s.Why = Failed, "the disk failed: "+s.DiskError
	case c.why != "":
		s.Why = c.why
	case c.phase == Outside && c.ex.d != nil:
		d := c.ex.d
		s.Why, s.Missing = d.Why.String(), d.Missing
		if d.Why == WhyMembers {
			s.Why = fmt.Sprintf("%d members of the %d that are needed", d.Have, d.Need)
		}
	case c.phase == Claiming && !c.ex.sent && c.ex.d.Wait == WaitRejoin:
		s.Why, s.Missing = "waits for members that may come back", c.ex.d.Missing
	case c.phase == Claiming && !c.ex.sent && c.ex.d.Wait == WaitDiscovery:
		s.Why = "looks for other members before it founds a cluster"
	case c.phase == Complete && !s.Primary:
		s.Why = "the ring has not been heard of for longer than the guard time"
	case c.phase == Complete && s.Master == (wire.MemberID{}):
		s.Why = "no master yet"
	case c.phase == Complete:
		if m, ok := c.state.Member(c.cfg.Self); ok && !m.Ready {
			s.Why = "its replica is complete, and its seat is not given yet"
		}
	default:
		s.Why = c.phase.String()
	}
}
