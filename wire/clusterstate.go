package wire

// Seat is who votes: the MemberID of a start that has no disk; 16 random bytes in the DataDir of one that has.
type Seat [16]byte

// Chain names a sequence of primaries that follow on one founding. The zero Chain is none.
type Chain struct {
	Ring    RingID // in which it was founded
	Founded uint64 // microseconds since 1970; of two chains the one founded first is the older one
}

// Voter is a seat that a quorum is counted from.
type Voter struct {
	Seat    Seat
	Name    uint64 // ClusterHash of the member's name
	Started uint64 // microseconds since 1970, of the start that got the seat
	Disk    bool   // its member has a DataDir
}

// Primary is one primary component of a chain.
type Primary struct {
	Chain  Chain
	Epoch  uint64 // rises along the chain; zero in no Primary but the zero one
	Ring   RingID
	Voters []Voter // the longest-serving one first
	N      uint32  // the largest ExpectedMembers of its members; 0: dynamic
	Seats  []Seat  // of all members of its ring
}

// VoterSet is the voters that were in force from an index on.
type VoterSet struct {
	Index  uint64
	Voters []Voter // the longest-serving one first
}

// Stage is how far a replica, with its tail, has come: all that counts up to the end of one primary.
type Stage struct {
	Primary   Primary
	End, Hash uint64     // index and history hash there
	Rules     uint32     // in force at the end
	Voters    []Voter    // in force at the end
	Between   []VoterSet // every one that began in this stage after ClusterState.CertainIndex, ascending by index
}

// ClusterState is what one member of a ring says of itself in the exchange. Its sender is the message's.
type ClusterState struct {
	Ring    RingID // in another one it is ignored
	Seat    Seat
	Name    string
	Started uint64 // microseconds since 1970
	Wall    uint64 // microseconds since 1970, when it was sent; 2^62 and more count as 0

	Last   *Primary  // the last established primary that it knows; nil: it never was in one
	Tried  []Primary // claimed, and it does not know whether they were established; oldest first, at most 16
	Stages []Stage   // of its replica; the first one without an opening of the tail, each other one through one more

	// Of the replica without its tail. A member without one, or whose transfer is not complete, leaves them at zero.
	Index, Hash  uint64
	Certain      []Voter // the voters at CertainIndex
	CertainIndex uint64  // all up to it is certain: without a disk Index, with one what is committed

	Expected           uint32 // ExpectedMembers
	Weight             int64  // MasterWeight
	Guard              uint64 // ns
	RulesMin, RulesMax uint32 // that its build supports
	Load               uint32 // operations that it proposed in the last second
	MaxValue           uint32 // bytes: its Config.MaxMessageSize, at most 16 MiB
	StateLimit         uint64 // bytes

	Services []string // that it has, ascending

	Disk     bool
	Observer bool
	Forced   bool // sent for a Force
	Filled   bool // the second one of its ring, after a fill
}

// Opening is what a primary begins with: all that a replica needs to establish it.
type Opening struct {
	Primary    Primary
	Founding   bool   // the first one of its chain: it begins with an empty replica
	Base       uint64 // the establishment has index max(index, Base) + 1
	End, Hash  uint64 // of the history that it continues; zero at a founding
	Rules      uint32 // in force
	MaxValue   uint32 // bytes, the smallest one
	StateLimit uint64 // bytes, the smallest one
	Members    []OpeningMember
}

// OpeningMember is one member of a primary's ring.
type OpeningMember struct {
	Member             MemberID // ascending
	Seat               Seat
	Name               string
	Started            uint64 // microseconds since 1970
	Weight             int64
	Guard              uint64 // ns
	RulesMin, RulesMax uint32
	Disk               bool
	Observer           bool
	Services           []string // that it has, ascending
	Current            bool     // its replica is one that the primary begins with
}
