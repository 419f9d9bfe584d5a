package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// Entry is one entry of a map. It is used by pointer only, and never changes.
type Entry = trie.Entry

// State is one replica: {primary, index, hash, rules, voters, members, maps, locks}. It changes by Apply, Refuse and Establish
// and by nothing else, and these depend on nothing but the state and their arguments without now: same inputs, same
// state. now is only noted, for what time asks for (Terms). Calls must not overlap.
type State struct {
	position
	events []Event
}

// NewState returns an empty replica, of no chain.
func NewState() *State { panic("not built yet") }

// Apply takes the next operation of the history, which member by proposed when its wall clock was at stamp, in
// microseconds since 1970. It takes an index whatever comes of it. op and what it points to are not kept.
func (s *State) Apply(now clock.Time, by wire.MemberID, stamp uint64, op *wire.ClusterOp) Result {
	panic("not built yet")
}

// Refuse takes a batch that does not parse, in its position: it takes an index and changes nothing else.
func (s *State) Refuse(by wire.MemberID, stamp uint64, raw []byte) Result { panic("not built yet") }

// Establish begins primary o.Primary, on a replica that is at o.End and o.Hash, or any at a founding.
func (s *State) Establish(now clock.Time, o *wire.Opening) { panic("not built yet") }

// Result is what became of one operation.
type Result struct {
	Index uint64
	Code  Code // CodeOK to CodeMalformed
	// Token is that of the lock that a Lock operation got at once; 0: it waits in the lock's line.
	Token uint64
}

// Events are the changes since the last call of ClearEvents, in their order. The slice is lent until then.
func (s *State) Events() []Event { return s.events }

// ClearEvents forgets the events.
func (s *State) ClearEvents() { clear(s.events); s.events = s.events[:0] }

// EventKind is what an Event is about.
type EventKind uint8

// The kinds. Of the first four, Map, Key, Old and New are set.
const (
	EventPut       EventKind = iota + 1 // By wrote New; Old is nil where the key was absent
	EventDeleted                        // By removed Old
	EventExpired                        // Old's TTL is over
	EventOwnerGone                      // Old's owner, By, left or was lost

	EventGranted  // By got the lock of Map and Key with Token, for its Lock operation Request, for Lease
	EventExtended // By holds it for Lease from here on
	EventReleased // By does not hold it any more: unlocked, cancelled, expired, left
	EventOrphaned // By, who was lost, does not hold it any more; it is not free before a Release

	EventMaster   // By is master, with Token
	EventVacant   // By is not master any more: it gave it up or left
	EventUnseated // By, who was master, was lost: nobody is master before a Release

	EventEntered // By entered the member table
	EventLeft    // By left it
	EventReady   // By's replica is complete
	EventWeight  // By's weight is another one
	EventVoters  // the voters are others
	EventRules   // the rules in force are others
)

// Event is one change of a State.
type Event struct {
	Kind  EventKind
	Index uint64
	By    wire.MemberID

	Map      string
	Key      string
	Old, New *Entry

	Request, Token uint64
	Lease          int64 // ns
}

// MapRoot is one map as it is now.
type MapRoot struct {
	Name string
	Root *trie.Root // nil: the map is empty
}

// Changed returns the maps that changed since its last call, as they are now. Their roots never change, and may be read by
// any goroutine. The slice is lent until the next call.
func (s *State) Changed() []MapRoot { panic("not built yet") }

// Maps returns all maps that are not empty, in order of name.
func (s *State) Maps() []MapRoot { panic("not built yet") }

// Get returns what the map holds for key, or nil.
func (s *State) Get(name, key []byte) *Entry { panic("not built yet") }

// Index is the position in the chain's history.
func (s *State) Index() uint64 { return s.index }

// Hash is that of the history up to Index.
func (s *State) Hash() uint64 { return s.hash }

// Digest is a hash of what the replica holds, however it came there: equal states have equal ones.
func (s *State) Digest() uint64 { panic("not built yet") }

// Primary is the last one that was established; its Epoch is 0 where there was none.
func (s *State) Primary() *wire.Primary { return &s.primary }

// Rules is the number of the rules in force.
func (s *State) Rules() uint32 { return s.rules }

// Voters are those in force, the longest-serving one first. The slice is never changed.
func (s *State) Voters() []wire.Voter { return s.voters }

// Members is the member table, the longest-serving one first. The slice is lent until the next change.
func (s *State) Members() []Member { panic("not built yet") }

// Member is one row of the member table.
type Member struct {
	ID                 wire.MemberID
	Seat               wire.Seat
	Name               string
	Started            uint64 // microseconds since 1970
	Age                uint64 // index of its entry
	Weight             int64
	Guard              uint64 // ns
	RulesMin, RulesMax uint32
	Ready              bool // its replica is complete
	Observer, Disk     bool
}

// Member returns a member's row.
func (s *State) Member(id wire.MemberID) (Member, bool) { panic("not built yet") }

// Leader is the ready member of smallest age that is no observer; zero: none.
func (s *State) Leader() wire.MemberID { panic("not built yet") }

// Master is the lock whose holder is master, in no map. Its Key is MasterKey.
func (s *State) Master() (h Held, ok bool) { panic("not built yet") }

// MasterKey is the key, in the map without a name, that Unlock and Release name for the master.
const MasterKey = "master"

// Heir is who would be master if nobody was: the highest weight, then the smallest age. Zero: nobody can.
func (s *State) Heir() wire.MemberID { panic("not built yet") }

// Held is a lock that is held, or orphaned.
type Held struct {
	Map, Key string
	Holder   wire.MemberID
	Request  uint64 // of the Lock operation
	Token    uint64
	Lease    int64  // ns; 0: none
	Renewed  uint64 // index of the grant, or of the last extension
	Keep     bool
	Orphaned bool
	Waiting  int // in line
}

// Held returns the lock of key in a map; ok is false where it is free.
func (s *State) Held(name, key []byte) (h Held, ok bool) { panic("not built yet") }

// HeldBy returns the locks that a member holds and that are not orphaned, in the order in which it asked for them; also that
// of the master.
func (s *State) HeldBy(id wire.MemberID) []Held { panic("not built yet") }

// Orphans returns all locks that wait for a Release, in the order in which they were orphaned.
func (s *State) Orphans() []Held { panic("not built yet") }

// Unswept returns a member that is gone and still owns entries: Sweep is due. ok is false where there is none.
func (s *State) Unswept() (id wire.MemberID, ok bool) { panic("not built yet") }

// Size is how large a State is.
type Size struct {
	Maps, Entries int
	Bytes         int64 // keys, values and 64 bytes an entry: what StateLimit bounds
	Locks, Waits  int   // held or orphaned; in line
}

// Size returns the present one.
func (s *State) Size() Size { panic("not built yet") }

type position struct {
	index, hash uint64
	primary     wire.Primary
	voters      []wire.Voter
	rules       uint32
}
