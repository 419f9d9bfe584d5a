package wire

import "encoding/binary"

// Bounds of what a cluster's messages carry.
const (
	MaxTried          = 16              // primaries
	MaxStages         = 18              // of one replica: the first, that of the last established primary, and one for each that was tried
	MaxBetween        = 64              // sets of voters in one Stage
	MaxClusterEntries = 1 << 16         // in one ClusterFill or ClusterRecent
	MaxClusterOps     = 64              // in one ClusterBatch
	MaxMapName        = MaxName         // bytes of a map's name
	MaxKey            = 4096            // bytes of a key
	MaxClusterValue   = 16 << 20        // bytes of a value
	MaxTerm           = 86400e9         // ns of a TTL or a lease
	MaxTransfer       = 17 << 20        // bytes of a Transfer
	MaxCluster        = 16<<20 + 64<<10 // bytes of a ClusterMessage
	MaxServices       = 16              // of one member
)

// ClusterFill is recent history, from the operation after Index and Hash on.
type ClusterFill struct {
	Ring        RingID
	Chain       Chain
	Epoch       uint64
	Index, Hash uint64
	Last        bool // the last message of this fill
	Entries     []ClusterEntry
}

// ClusterEntry is one step of a history: a batch as it was delivered, or the opening of a primary.
type ClusterEntry struct {
	Index, Hash uint64   // after it; 0: not known
	Member      MemberID // whose batch it is; zeros with an opening
	Batch       []byte   // body of a ClusterBatch, or of one that was refused. Lent with the message
	Opening     *Opening // nil: a batch
}

// ClusterClaim says that the transmitter takes part in the primary that was judged.
type ClusterClaim struct{ Ring RingID }

// ClusterSynced says how far the transmitter's disk is.
type ClusterSynced struct{ Epoch, Index, Hash uint64 }

// ClusterCompared says what the services of a replica have answered up to Index: of an OpAnswers, or of an establishment.
type ClusterCompared struct {
	Epoch, Index, Hash uint64
	Answers            []uint64 // of each service in force, in ascending order of name; at most MaxServices
}

// ClusterForce is an operator's word that makes the members that are connected the primary.
type ClusterForce struct{ Ring RingID }

// ClusterFetch asks for a state from one place on, or for the operations that followed one. The answers are many; the
// same number again lets more of them come.
type ClusterFetch struct {
	Number      uint64 // of the question; the answers return it
	Chain       Chain
	Epoch       uint64 // of the primary that the learner follows
	Recent      bool   // the operations after Index and Hash, up to the cut of that primary; else a state
	Anew        bool   // of a cut that is made now
	Most        uint32 // answers to this number, those that came before included
	Part        uint32 // as of Cut.Part
	From        uint64 // place in the part, in the trie's order
	Index, Hash uint64 // of the cut that is continued, or of the learner's replica; 0: any cut
	Service     string // whose part it is, and From its offset in bytes; empty: Part is of the maps
}

// ClusterChunk answers with a range of the state at a cut.
type ClusterChunk struct {
	Number          uint64 // of the question
	Chain           Chain
	Epoch           uint64
	End             bool // the end of the part
	Last            bool // and of the state
	Gone            bool // there is no such cut here
	Part            uint32
	From, Next      uint64 // Next is where the next chunk of the part begins
	Index, Hash     uint64 // of the cut
	Entries, Digest uint64 // of the whole state at the cut
	Count           uint32 // entries in Data
	CRC             uint32 // PartChecksum of Data; ParseClusterPart does not compare it
	Data            []byte // lent with the message
	// Service is whose part it is; empty: of the maps. From and Next are offsets in it then, Entries is how many bytes it
	// has, and Digest is their hash.
	Service string
}

// ClusterRecent answers with operations, and openings, up to the cut.
type ClusterRecent struct {
	Number      uint64 // of the question
	Chain       Chain
	Epoch       uint64
	Last        bool   // the last one
	Gone        bool   // no such history here: ask for a state
	Index, Hash uint64 // of the cut
	Entries     []ClusterEntry
}

// The fields of each message. code writes them in order, or reads the one that the coder stands on.

func (m *ClusterState) code(c *coder) {
	c.ring(1, &m.Ring)
	self := OpeningMember{Seat: m.Seat, Name: m.Name, Started: m.Started, Weight: m.Weight, Guard: m.Guard,
		RulesMin: m.RulesMin, RulesMax: m.RulesMax, Disk: m.Disk, Observer: m.Observer, Services: m.Services}
	nest(c, 2, &self)
	m.Seat, m.Name, m.Started, m.Weight, m.Guard = self.Seat, self.Name, self.Started, self.Weight, self.Guard
	m.RulesMin, m.RulesMax, m.Disk, m.Observer, m.Services = self.RulesMin, self.RulesMax, self.Disk, self.Observer, self.Services
	c.fixed64(3, &m.Wall)
	nestOptional(c, 4, &m.Last)
	nestList(c, 5, &m.Tried, MaxTried)
	nestList(c, 6, &m.Stages, MaxStages)
	c.fixed64(7, &m.Index)
	c.fixed64(8, &m.Hash)
	c.voters(9, &m.Certain)
	c.fixed64(10, &m.CertainIndex)
	c.fixed32(11, &m.Expected)
	c.fixed32(12, &m.Load)
	c.fixed32(13, &m.MaxValue)
	c.fixed64(14, &m.StateLimit)
	c.flags(15, &m.Forced, &m.Filled)
}

func (m *OpeningMember) code(c *coder) {
	c.id(1, (*[16]byte)(&m.Member))
	c.id(2, (*[16]byte)(&m.Seat))
	c.text(3, &m.Name)
	c.fixed64(4, &m.Started)
	c.signed(5, &m.Weight)
	c.fixed64(6, &m.Guard)
	c.fixed32(7, &m.RulesMin)
	c.fixed32(8, &m.RulesMax)
	c.flags(9, &m.Disk, &m.Observer, &m.Current)
	c.texts(10, &m.Services, MaxServices)
	c.bound(m.RulesMin <= m.RulesMax && len(m.Name) <= MaxName)
}

func (m *Primary) code(c *coder) {
	c.chain(1, &m.Chain)
	c.fixed64(2, &m.Epoch)
	c.ring(3, &m.Ring)
	c.voters(4, &m.Voters)
	c.fixed32(5, &m.N)
	packed(c, 6, &m.Seats, 16, putSeat, getSeat)
}

func (m *Stage) code(c *coder) {
	nest(c, 1, &m.Primary)
	c.fixed64(2, &m.End)
	c.fixed64(3, &m.Hash)
	c.fixed32(4, &m.Rules)
	c.voters(5, &m.Voters)
	nestList(c, 6, &m.Between, MaxBetween)
}

func (m *VoterSet) code(c *coder) {
	c.fixed64(1, &m.Index)
	c.voters(2, &m.Voters)
}

func (m *ClusterFill) code(c *coder) {
	c.ring(1, &m.Ring)
	c.chain(2, &m.Chain)
	c.fixed64(3, &m.Epoch)
	c.fixed64(4, &m.Index)
	c.fixed64(5, &m.Hash)
	c.flags(6, &m.Last)
	nestList(c, 7, &m.Entries, MaxClusterEntries)
}

func (m *ClusterEntry) code(c *coder) {
	c.fixed64(1, &m.Index)
	c.fixed64(2, &m.Hash)
	c.id(3, (*[16]byte)(&m.Member))
	c.optionalBytes(4, &m.Batch)
	nestOptional(c, 5, &m.Opening)
	c.bound(m.Opening == nil || len(m.Batch) == 0 && m.Member == MemberID{})
}

func (m *Opening) code(c *coder) {
	nest(c, 1, &m.Primary)
	c.flags(2, &m.Founding)
	c.fixed64(3, &m.Base)
	c.fixed64(4, &m.End)
	c.fixed64(5, &m.Hash)
	c.fixed32(6, &m.Rules)
	c.fixed32(7, &m.MaxValue)
	c.fixed64(8, &m.StateLimit)
	nestList(c, 9, &m.Members, MaxRing)
}

func (m *ClusterClaim) code(c *coder) { c.ring(1, &m.Ring) }

func (m *ClusterSynced) code(c *coder) {
	c.fixed64(1, &m.Epoch)
	c.fixed64(2, &m.Index)
	c.fixed64(3, &m.Hash)
}

func (m *ClusterCompared) code(c *coder) {
	c.fixed64(1, &m.Epoch)
	c.fixed64(2, &m.Index)
	c.fixed64(3, &m.Hash)
	packed(c, 4, &m.Answers, 8, binary.LittleEndian.AppendUint64, getUint64)
}

func (m *ClusterForce) code(c *coder) { c.ring(1, &m.Ring) }

func (m *ClusterFetch) code(c *coder) {
	c.fixed64(1, &m.Number)
	c.chain(2, &m.Chain)
	c.fixed64(3, &m.Epoch)
	c.flags(4, &m.Recent, &m.Anew)
	c.fixed32(5, &m.Most)
	c.fixed32(6, &m.Part)
	c.fixed64(7, &m.From)
	c.fixed64(8, &m.Index)
	c.fixed64(9, &m.Hash)
	c.text(10, &m.Service)
	c.bound(len(m.Service) <= MaxName)
}

func (m *ClusterChunk) code(c *coder) {
	c.fixed64(1, &m.Number)
	c.chain(2, &m.Chain)
	c.fixed64(3, &m.Epoch)
	c.flags(4, &m.End, &m.Last, &m.Gone)
	c.fixed32(5, &m.Part)
	c.fixed64(6, &m.From)
	c.fixed64(7, &m.Next)
	c.fixed64(8, &m.Index)
	c.fixed64(9, &m.Hash)
	c.fixed64(10, &m.Entries)
	c.fixed64(11, &m.Digest)
	c.fixed32(12, &m.Count)
	c.fixed32(13, &m.CRC)
	c.optionalBytes(14, &m.Data)
	c.text(15, &m.Service)
	c.bound(len(m.Service) <= MaxName)
}

func (m *ClusterRecent) code(c *coder) {
	c.fixed64(1, &m.Number)
	c.chain(2, &m.Chain)
	c.fixed64(3, &m.Epoch)
	c.flags(4, &m.Last, &m.Gone)
	c.fixed64(5, &m.Index)
	c.fixed64(6, &m.Hash)
	nestList(c, 7, &m.Entries, MaxClusterEntries)
}

// Values of a list in one field.

const voterLen = 16 + 8 + 8 + 1

func putSeat(dst []byte, s Seat) []byte { return append(dst, s[:]...) }
func getSeat(b []byte) (Seat, bool)     { return Seat(b), true }

func getUint64(b []byte) (uint64, bool) { return binary.LittleEndian.Uint64(b), true }

func putVoter(dst []byte, v Voter) []byte {
	dst = binary.LittleEndian.AppendUint64(append(dst, v.Seat[:]...), v.Name)
	dst = binary.LittleEndian.AppendUint64(dst, v.Started)
	if v.Disk {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func getVoter(b []byte) (Voter, bool) {
	return Voter{Seat: Seat(b), Name: binary.LittleEndian.Uint64(b[16:]), Started: binary.LittleEndian.Uint64(b[24:]), Disk: b[32] == 1}, b[32] <= 1
}
