package blaze

import (
	"time"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// ClusterStatus is what one member knows of its cluster, for people.
type ClusterStatus struct {
	Phase   string // "exchange", "outside", "learning", "complete" …
	Primary bool   // in the primary component, with a complete replica
	Why     string // why it is not, or not ready; empty: it is
	Need    string // what a quorum asks for: "2 of 3 voters, 2 members"

	Ring    ViewID
	Chain   ViewID    // the ring in which the cluster was founded; zero: none is known
	Founded time.Time // when
	Epoch   uint64    // of the last primary component that this member knows
	Index   uint64    // how far its replica is in the history
	Hash    uint64    // of the history up to there; equal at all members at equal Index

	Master, Leader MemberID
	Members        []ClusterMember // of the ring
	Voters         []ClusterVoter  // that a quorum is counted from
	Tried          int             // primary components that were begun, and of which it is open whether they came to be

	Rules, RulesMin, RulesMax uint32 // in force, and those of this build

	Learned, ToLearn uint64   // entries of the state that this member is given now; ToLearn is 0 where it is not
	Provider         MemberID // the member that gives them

	Durable, Committed uint64 // indexes: on this member's disk, and on those of a quorum; 0 without DataDir
	DiskError          string

	Services             []string // in force, ascending
	Maps, Entries, Locks int
	Bytes                int64 // of the state, as Config.StateLimit counts them
}

// ClusterMember is one member of a cluster's ring.
type ClusterMember struct {
	ID       MemberID
	Name     string
	Seat     Seat
	Vote     bool   // a quorum is counted from it
	Ready    bool   // its replica is complete; else it is given the state
	Age      uint64 // the index at which it entered: the smallest is the longest-serving; 0: it has not entered
	Weight   int
	Observer bool
	Disk     bool
	Durable  uint64 // the index that its disk has
}

// ClusterVoter is one voter.
type ClusterVoter struct {
	Seat    Seat
	Name    string // empty where it is not known
	Missing bool   // it is not in the ring
}

// ClusterStats are the counters of a ClusterChannel.
type ClusterStats struct {
	cluster.Stats
	WatchOverruns uint64      `unit:"times" help:"times that a handler of Watch was too slow, and began anew with MapReset" when:"slow handlers; the log names the map"`
	Ring          totem.Stats // of the ring that orders the cluster's operations
}

// clusterStats reads the counters on the first engine's thread.
func (c *Channel) clusterStats(st *start) (s ClusterStats) {
	if c.cluster != nil {
		s = ClusterStats{st.ClusterStats(), c.cluster.replica.Overruns(), st.Member().Cluster().Stats()}
	}
	return s
}

// Seat names who votes: a start of a member, or its DataDir.
type Seat [16]byte

// String is the seat in hexadecimal.
func (s Seat) String() string { return MemberID(s).String() }

// Status is this member's view of its cluster now; its zero value while the channel is not started. It asks the engine's
// thread, as Stats does.
func (c *ClusterChannel) Status() ClusterStatus {
	st := c.run.Load()
	if st == nil {
		return ClusterStatus{Phase: c.State().String()}
	}
	s := st.Status()
	if s == nil {
		return ClusterStatus{Phase: Stopped.String()}
	}
	return statusOf(s)
}

func statusOf(s *cluster.Status) ClusterStatus {
	out := ClusterStatus{
		Phase: s.Phase.String(), Primary: s.Primary, Why: s.Why, Need: s.Need,
		Ring: viewID(s.Ring), Chain: viewID(s.Last.Chain.Ring), Epoch: s.Last.Epoch, Index: s.Index, Hash: s.Hash,
		Master: MemberID(s.Master), Leader: MemberID(s.Leader), Tried: len(s.Tried),
		Rules: s.Rules, RulesMin: s.RulesMin, RulesMax: s.RulesMax,
		Learned: s.Progress.Entries, ToLearn: s.Progress.Of, Provider: MemberID(s.Progress.Provider),
		Durable: s.Durable, Committed: s.Committed, DiskError: s.DiskError, Services: s.Services,
		Maps: s.Maps, Entries: s.Entries, Locks: s.Locks, Bytes: s.StateBytes,
	}
	if s.Last.Epoch != 0 {
		out.Founded = time.UnixMicro(int64(s.Last.Chain.Founded))
	}
	names := map[wire.Seat]string{}
	for _, m := range s.Members {
		names[m.Seat] = m.Name
		out.Members = append(out.Members, ClusterMember{ID: MemberID(m.ID), Name: m.Name, Seat: Seat(m.Seat), Vote: m.Vote, Ready: m.Ready,
			Age: m.Age, Weight: int(m.Weight), Observer: m.Observer, Disk: m.Disk, Durable: m.Durable})
	}
	missing := map[wire.Seat]bool{}
	for _, v := range s.Missing {
		missing[v.Seat] = true
	}
	for _, v := range s.Voters {
		out.Voters = append(out.Voters, ClusterVoter{Seat: Seat(v.Seat), Name: names[v.Seat], Missing: missing[v.Seat]})
	}
	return out
}

func viewID(r wire.RingID) ViewID {
	return ViewID{Sequence: uint64(r.Seq), Representative: MemberID(r.Rep)}
}
