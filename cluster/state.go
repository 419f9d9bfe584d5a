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
// state. now is only noted, for what time asks for (NextTerm). Calls must not overlap.
type State struct {
	position
	events []Event
	pass   pass
	tables *tables
	first  service // tables, as what it is to the rest

	services services // of the application
}

// position is where a replica is, and what is in force there.
type position struct {
	index, hash uint64
	primary     wire.Primary
	voters      []wire.Voter // replaced, never changed
	rules       uint32
}

// NewState returns an empty replica, of no chain.
func NewState() *State {
	s := &State{}
	s.setTables(newTables(wire.Chain{}))
	return s
}

func (s *State) setTables(t *tables) {
	if s.tables != nil {
		t.leave = s.tables.leave
	}
	s.tables, s.first, s.services.tables, t.services = t, t, t, &s.services
}

// Apply takes the next operation of the history, which member by proposed when its wall clock was at stamp, in
// microseconds since 1970. It takes an index whatever comes of it. op and what it points to are not kept.
func (s *State) Apply(now clock.Time, by wire.MemberID, stamp uint64, op *wire.ClusterOp) Result {
	s.advance(stamp)
	s.hash = hashOp(s.hash, s.index, by, op)
	p, before := s.begin(now, by), len(s.events)
	var r Result
	if op.Kind >= wire.OpService && op.Kind <= wire.OpServe && s.rules >= rulesOfServices {
		r = s.services.apply(p, op)
	} else {
		r = s.first.apply(p, op)
	}
	r.Index = s.index
	if op.Kind == wire.OpExit {
		s.services.left(p, before)
	}
	return r
}

// Refuse takes a batch that does not parse, in its position: it takes an index and changes nothing else.
func (s *State) Refuse(by wire.MemberID, stamp uint64, raw []byte) Result {
	s.refuse(by, stamp, raw)
	return Result{Index: s.index, Code: CodeMalformed}
}

// Establish begins primary o.Primary, on a replica that is at o.End and o.Hash; at a founding it begins with nothing.
func (s *State) Establish(now clock.Time, o *wire.Opening) {
	if o.Founding {
		s.setTables(newTables(o.Primary.Chain))
		s.index, s.hash, s.voters = 0, 0, nil
	}
	s.open(o)
	s.primary = o.Primary
	s.rules = o.Rules
	p := s.begin(now, wire.MemberID{})
	p.vote(o.Primary.Voters)
	before := len(s.events)
	s.first.establish(p, o)
	s.services.left(p, before)
	s.services.establish(p, o)
}

// advance takes the index of one operation.
func (p *position) advance(stamp uint64) { p.index = max(p.index+1, stampOf(stamp)) }

// open takes the place of an establishment.
func (p *position) open(o *wire.Opening) {
	p.index = max(p.index, stampOf(o.Base)) + 1
	h := trie.Mix(p.hash, p.index)
	h = hashRing(h, o.Primary.Chain.Ring)
	h = trie.Mix(h, o.Primary.Chain.Founded)
	h = trie.Mix(h, o.Primary.Epoch)
	p.hash = hashRing(h, o.Primary.Ring)
}

// refuse takes the place of a batch that does not parse.
func (p *position) refuse(by wire.MemberID, stamp uint64, raw []byte) {
	p.advance(stamp)
	h := trie.Mix(p.hash, p.index)
	p.hash = trie.Digest(trie.Digest(h, by[:]), raw)
}

// skip takes the places of a batch, and nothing else of it.
func (p *position) skip(by wire.MemberID, batch []byte) {
	b, err := wire.ParseBatch(batch)
	if err != nil {
		p.refuse(by, b.Stamp, batch)
		return
	}
	for it := b.Ops(); it.Step(); {
		p.advance(b.Stamp)
		p.hash = hashOp(p.hash, p.index, by, &it.ClusterOp)
	}
}

// stampOf is a number of microseconds since 1970, 0 where no clock can be there.
func stampOf(us uint64) uint64 {
	if us >= stampMax {
		return 0
	}
	return us
}

func (s *State) begin(now clock.Time, by wire.MemberID) *pass {
	s.pass = pass{now: now, index: s.index, by: by, pos: &s.position, out: &s.events}
	return &s.pass
}

// hashOp goes on with the history's hash over one operation.
func hashOp(h, index uint64, by wire.MemberID, op *wire.ClusterOp) uint64 {
	head := uint64(op.Kind)
	for i, b := range [...]bool{op.Compare, op.HasToken, op.RemoveOnExit, op.Try, op.Keep} {
		if b {
			head |= 1 << (8 + i)
		}
	}
	h = trie.Digest(trie.Mix(h, index), by[:])
	h = trie.Digest(trie.Mix(h, head), op.Map)
	h = trie.Digest(trie.Digest(h, op.Key), op.Value)
	h = trie.Mix(h^op.Version, op.Token)
	h = trie.Mix(h^op.Request, uint64(op.TTL))
	h = trie.Mix(h^uint64(op.Lease), uint64(op.Expires))
	h = trie.Digest(trie.Digest(h, op.Member[:]), op.Seat[:])
	return trie.Mix(h^uint64(op.Weight), uint64(op.Rules))
}

func hashRing(h uint64, r wire.RingID) uint64 { return trie.Mix(trie.Digest(h, r.Rep[:]), r.Seq) }

// Result is what became of one operation.
type Result struct {
	Index uint64
	Code  Code // CodeOK to CodeMalformed, or CodePanicked
	// Token is that of the lock that a Lock operation got at once; 0: it waits in the lock's line.
	Token uint64
}

// Events are the changes since the last call of ClearEvents, in their order. The slice is lent until then.
func (s *State) Events() []Event { return s.events }

// ClearEvents forgets the events.
func (s *State) ClearEvents() {
	clear(s.events)
	s.events = s.events[:0]
}

// EventKind is what an Event is about.
type EventKind uint8

// The kinds. Of the first four, Map, Old and New are set; of those about locks Map, Key, Request and Token.
const (
	EventPut       EventKind = iota + 1 // By wrote New; Old is nil where the key was absent
	EventDeleted                        // By removed Old
	EventExpired                        // Old's TTL is over
	EventOwnerGone                      // Old's owner, By, left or was lost

	EventGranted  // By got the lock with Token, for its Lock operation Request, for Lease
	EventExtended // By holds it for Lease from here on
	EventReleased // By does not hold it any more: unlocked, cancelled, expired, left
	EventOrphaned // By, who was lost, does not hold it any more; it is not free before a Release

	EventMaster   // By is master, with Token
	EventVacant   // By is not master any more: it gave it up or left
	EventUnseated // By, who was master, was lost: nobody is master before a Release

	EventEntered  // By entered the member table
	EventLeft     // By left it
	EventReady    // By's replica is complete
	EventWeight   // By's weight is another one
	EventVoters   // the voters in force are others
	EventRules    // the rules in force are others
	EventAnswers  // what the services have answered is to be compared, as By asked
	EventPanicked // the service that Key names has panicked, at this member at least
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

// Index is the position in the chain's history.
func (s *State) Index() uint64 { return s.index }

// Hash is that of the history up to Index.
func (s *State) Hash() uint64 { return s.hash }

// Digest is a hash of what the replica holds, however it came there: equal states have equal ones. Of services of the
// application it takes in their names and what they have answered.
func (s *State) Digest() uint64 { return s.first.cut(0, &s.position).digest() }

// Primary is the last one that was established; its Epoch is 0 where there was none.
func (s *State) Primary() *wire.Primary { return &s.primary }

// Rules is the number of the rules in force.
func (s *State) Rules() uint32 { return s.rules }

// Voters are those in force, the longest-serving one first. The slice is never changed.
func (s *State) Voters() []wire.Voter { return s.voters }

// Size is how large a State is.
type Size struct {
	Maps, Entries int
	Bytes         int64 // keys, values and 64 bytes an entry: what StateLimit bounds
	Locks, Waits  int   // held or orphaned; in line
}

// Size returns the present one.
func (s *State) Size() Size {
	t := s.tables
	return Size{len(t.maps), t.entries, t.bytes, t.held, len(t.waits) - t.held}
}
