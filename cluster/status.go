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
	Primary   bool       `unit:"boolean" kind:"gauge" help:"1 while this member is in the primary component with a complete replica, else 0" when:"no counter. 0 for long: members are missing; Status().Need and Why say which"`
	Chain     wire.Chain `kind:"id" help:"founding of the cluster" when:"no counter: another one, and the state is that of another cluster"`
	Epoch     uint64     `unit:"components" kind:"gauge" help:"number of the primary component" when:"members come and go"`
	Index     uint64     `unit:"operations" kind:"gauge" help:"how far the replica is in the history" when:"with each operation, and with time"`
	Hash      uint64     `kind:"id" help:"hash of the history up to Index" when:"with each operation. Members at one Index have one Hash"`
	Committed uint64     `unit:"operations" kind:"gauge" help:"with DataDir: index that a quorum of disks has" when:"with each write"`
	Entries   int        `unit:"entries" kind:"gauge" help:"entries of the state" when:"no counter: it follows the application"`
	Maps      int        `unit:"maps" kind:"gauge" help:"maps of the state" when:"no counter: it follows the application"`
	Locks     int        `unit:"locks" kind:"gauge" help:"locks that are held" when:"no counter: it follows the application"`
	Waits     int        `unit:"waits" kind:"gauge" help:"waits in line for locks" when:"no counter: it follows the application"`
	Calls     int        `unit:"calls" kind:"gauge" help:"calls that wait now" when:"no counter. Many for long: no quorum is near, or lines of locks are long"`
	Bytes     int64      `unit:"bytes" kind:"gauge" help:"bytes of the state, as StateLimit counts them" when:"no counter: it follows the application"`

	Proposed         uint64 `unit:"operations" help:"operations that this member sent, also those that it sent again" when:"with its writes and locks"`
	Applied          uint64 `unit:"operations" help:"operations of all members that this replica has applied" when:"with all writes and locks"`
	RefusedLocked    uint64 `unit:"operations" help:"of Applied: operations that changed nothing, since another holds the lock" when:"members that contend"`
	RefusedOwner     uint64 `unit:"operations" help:"of Applied: operations that changed nothing, since the lock is not the proposer's" when:"locks that were lost"`
	RefusedVersion   uint64 `unit:"operations" help:"of Applied: operations that changed nothing, since the version is another one" when:"members that contend"`
	RefusedLimit     uint64 `unit:"operations" help:"of Applied: operations that changed nothing, since they exceed a limit" when:"StateLimit or MaxMessageSize"`
	RefusedMalformed uint64 `unit:"operations" help:"of Applied: operations that changed nothing, since they are broken" when:"must stay 0: report it"`
	Dropped          uint64 `unit:"operations" help:"operations that came where they do not count, and were sent again or given up" when:"the primary component changes under load"`
	Unknown          uint64 `unit:"calls" help:"calls that ended with an unknown outcome" when:"this member left the primary component"`
	NoQuorum         uint64 `unit:"calls" help:"calls that ended without a quorum" when:"this member is outside of the primary component"`
	Establishments   uint64 `unit:"components" help:"primary components that this member has seen begin" when:"members come and go"`
	ClaimsOpen       uint64 `unit:"attempts" help:"attempts at a primary component of which this member cannot say whether they came to be" when:"the ring breaks while members agree"`
	ClaimsFailed     uint64 `unit:"attempts" help:"attempts at a primary component that failed" when:"the ring breaks while members agree"`
	Fills            uint64 `unit:"times" help:"times that this member was given the few operations that it lacked" when:"members come back after a moment"`
	Transfers        uint64 `unit:"states" help:"states that this member was given" when:"this member starts, or comes back"`
	ChunksServed     uint64 `unit:"parts" help:"parts of states that this member gave to others" when:"members start"`
	Overruns         uint64 `unit:"times" help:"times that a state's transfer began anew, since too many operations came meanwhile" when:"writers are faster than the transfer"`
	Grants           uint64 `unit:"locks" help:"locks granted to anybody" when:"with locks"`
	Expired          uint64 `unit:"locks" help:"of Grants: locks whose lease ended" when:"holders that do not extend or unlock in time"`
	Orphaned         uint64 `unit:"locks" help:"locks of members that were lost" when:"members fail"`
	Released         uint64 `unit:"locks" help:"of Orphaned: locks that were released a moment later" when:"members fail"`
	LostLocks        uint64 `unit:"locks" help:"locks that this member held, and lost" when:"its lease was over, it stood still, or it left the primary component"`
	LinearReads      uint64 `unit:"calls" help:"calls of GetLinear" when:"with such calls"`
	Ignored          uint64 `unit:"messages" help:"messages of the ring that came twice, for another ring, or made no sense" when:"a few when the ring changes under load; many: report it"`
	HashMismatches   uint64 `unit:"times" help:"times that this replica was dropped, since it differed from the others" when:"must stay 0: report it"`
	Panics           uint64 `unit:"times" help:"times that a service panicked here" when:"must stay 0: the log has the stack"`

	TokenGap time.Duration `unit:"ns" kind:"gauge" help:"longest time between two visits of the token" when:"members that stand still; locks are lost when it exceeds four times the TokenLoss"`
	Sync     time.Duration `unit:"ns" kind:"gauge" help:"with DataDir: time that the disk takes to make a hand-over durable, smoothed" when:"a slow disk"`
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
