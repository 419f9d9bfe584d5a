package check

import (
	"fmt"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// RingLog is the record of a run of ring members, in the order in which it happened.
type RingLog struct {
	processes
	Records []RingRecord
	Healed  clock.Time // when the last fault had been undone; 0: never

	stays   [][stayed]stay           // by process: the last rings in which it was operational, the last one first
	sent    [][]int32                // positions of the RingSent records, by process and message number - 1
	tokens  map[wire.RingID]uint64   // the last token_seq that was accepted
	online  map[string][]Violation   // found while the run went on
	numbers map[wire.RingID][]number // what was sequenced, by ring

	wire []ringBytes // by second

	settled      int // Records from here on are after Settle
	settledAt    clock.Time
	agreed, safe time.Duration
}

// number is one datagram that got its place in a ring.
type number struct {
	seq      uint64
	first    uint64 // its first message
	position uint64 // delivered at the sender at that time
	count    int32  // messages; 0: a part
	part     int32
	proc     Proc
	safe     bool
}

// RingKind is what a RingRecord is about.
type RingKind uint8

// The kinds.
const (
	RingSent      RingKind = iota + 1 // Proc's message Number was accepted
	RingDelivered                     // Proc was handed message Number of From; Ring and Seq are where it was ordered
	RingHanded                        // Proc begins to hand over datagram Seq of Ring
	RingView                          // Proc was given a configuration
	RingLeft                          // Proc left Operational
	RingLost                          // Proc was given the loss of a message of From, which was ordered elsewhere
	RingEnded                         // Proc crashed, or left and closed
)

var ringKinds = [...]string{"?", "sent", "delivered", "handed", "view", "left the ring", "lost", "ended"}

// RingRecord is one line of a RingLog.
type RingRecord struct {
	At      clock.Time
	Ring    wire.RingID
	Old     wire.RingID // of a view
	Seq     uint64
	Number  uint64
	Hash    uint64
	Members []wire.MemberID // of a view
	Proc    Proc
	From    Proc
	Length  int32
	Kind    RingKind
	Regular bool       // of a view
	Got     clock.Time // of a RingDelivered: when Proc received it
	Safe    bool       // of a RingSent
}

// NewRingLog makes an empty log.
func NewRingLog() *RingLog {
	return &RingLog{processes: newProcesses(), tokens: map[wire.RingID]uint64{}, online: map[string][]Violation{}, numbers: map[wire.RingID][]number{}}
}

// Start registers a process that begins at time at.
func (l *RingLog) Start(at clock.Time, node int, member wire.MemberID) Proc {
	l.sent = append(l.sent, nil)
	l.stays = append(l.stays, [stayed]stay{})
	return l.processes.Start(at, node, member)
}

// Next is the number of p's next message.
func (l *RingLog) Next(p Proc) uint64 { return uint64(len(l.sent[p])) + 1 }

// Sent records that the library accepted payload as p's next message.
func (l *RingLog) Sent(at clock.Time, p Proc, payload []byte, safe bool) {
	l.sent[p] = append(l.sent[p], int32(len(l.Records)))
	l.add(RingRecord{At: at, Kind: RingSent, Proc: p, Number: uint64(len(l.sent[p])), Hash: Hash(payload), Length: int32(len(payload)), Safe: safe})
}

// Delivered records that p was handed a message of datagram seq of a ring. It returns its hash.
func (l *RingLog) Delivered(at clock.Time, p Proc, m *core.Delivery, ring wire.RingID, seq uint64) uint64 {
	h := Hash(m.Payload)
	l.add(RingRecord{At: at, Kind: RingDelivered, Proc: p, From: l.ProcOf(m.From), Number: m.Sequence, Hash: h, Length: int32(len(m.Payload)), Ring: ring, Seq: seq, Got: m.Received})
	return h
}

// Handed records that p begins to hand over a datagram.
func (l *RingLog) Handed(at clock.Time, p Proc, ring wire.RingID, seq uint64) {
	l.add(RingRecord{At: at, Kind: RingHanded, Proc: p, Ring: ring, Seq: seq})
}

// Lost records that the loss of messages that were ordered elsewhere was reported to p.
func (l *RingLog) Lost(at clock.Time, p Proc, from wire.MemberID, first uint64) {
	l.add(RingRecord{At: at, Kind: RingLost, Proc: p, From: l.ProcOf(from), Number: first})
}

// View records a configuration.
func (l *RingLog) View(at clock.Time, p Proc, regular bool, ring, old wire.RingID, members []wire.MemberID) {
	if regular {
		s := &l.stays[p]
		copy(s[1:], s[:])
		s[0] = stay{ring: ring}
		for _, m := range members {
			s[0].members = append(s[0].members, l.ProcOf(m))
		}
	}
	l.add(RingRecord{At: at, Kind: RingView, Proc: p, Regular: regular, Ring: ring, Old: old, Members: members})
}

// Left records that p left Operational.
func (l *RingLog) Left(at clock.Time, p Proc, ring wire.RingID) {
	l.leaves(at, p)
	l.add(RingRecord{At: at, Kind: RingLeft, Proc: p, Ring: ring})
}

// Ended records that p crashed, or left and closed.
func (l *RingLog) Ended(at clock.Time, p Proc, crashed bool) {
	l.Procs[p].Ended, l.Procs[p].Crashed = at, crashed
	l.leaves(at, p)
	l.add(RingRecord{At: at, Kind: RingEnded, Proc: p})
}

// Sequenced records that datagram seq of a ring is p's: count messages from first on, or part
// part of message first. position is what p had delivered of the ring.
func (l *RingLog) Sequenced(p Proc, ring wire.RingID, seq, first uint64, count, part int, safe bool, position uint64) {
	l.numbers[ring] = append(l.numbers[ring], number{seq: seq, first: first, position: position, count: int32(count), part: int32(part), proc: p, safe: safe})
}

// stay is one ring in which a process was operational, until it left.
type stay struct {
	ring    wire.RingID
	members []Proc
	left    clock.Time // 0: it is in it
}

// stayed is how many rings are remembered.
const stayed = 4

func (l *RingLog) leaves(at clock.Time, p Proc) {
	if s := &l.stays[p][0]; s.left == 0 {
		s.left = at
	}
}

// Visit notes that p accepted a token, and that every member of the ring was operational in it at confirmed or later:
// TO-25.
func (l *RingLog) Visit(p Proc, ring wire.RingID, confirmed clock.Time) {
	own := &l.stays[p][0]
	if own.ring != ring || own.left != 0 {
		l.Found("TO-25", "%s is given a token of ring %s, in which it is not operational", l.procName(p), ringName(ring))
		return
	}
	if confirmed == 0 {
		return
	}
next:
	for _, o := range own.members {
		for i := range l.stays[o] {
			if s := &l.stays[o][i]; s.ring == ring && (s.left == 0 || s.left >= confirmed) {
				continue next
			}
		}
		l.Found("TO-25", "%s is told that all were in ring %s at %v, and %s was not", l.procName(p), ringName(ring), confirmed.Sub(0), l.procName(o))
	}
}

// Token notes that p accepted a token: TO-17. Each token_seq of a ring is accepted once, and one
// after the other.
func (l *RingLog) Token(p Proc, ring wire.RingID, seq uint64) {
	last, ok := l.tokens[ring]
	if ok && seq != last+1 || !ok && seq != 0 {
		l.Found("TO-17", "%s accepts token %d of ring %s, after token %d", l.procName(p), seq, ringName(ring), last)
	}
	l.tokens[ring] = seq
}

// RingWay is how a datagram of data leaves a member.
type RingWay int

// The ways.
const (
	RingFresh     RingWay = iota // for the first time
	RingAgain                    // because the token asked for it
	RingRecovered                // as one of an old ring, in recovery or again after it
	ringWays
)

// ringBytes is what all members sent in one second, bytes of UDP payload.
type ringBytes [ringWays]int

// Wire records that a datagram of data leaves a member.
func (l *RingLog) Wire(at clock.Time, way RingWay, bytes int) {
	second := int(at / clock.Time(time.Second))
	for len(l.wire) <= second {
		l.wire = append(l.wire, ringBytes{})
	}
	l.wire[second][way] += bytes
}

// Found notes a violation that the harness saw while the run went on.
func (l *RingLog) Found(id, format string, args ...any) {
	if len(l.online[id]) < plenty {
		l.online[id] = append(l.online[id], Violation{ID: id, At: -1, Text: fmt.Sprintf(format, args...)})
	}
}

func (l *RingLog) add(r RingRecord) { l.Records = append(l.Records, r) }

func (l *RingLog) message(p Proc, n uint64) *RingRecord {
	if p < 0 || n == 0 || n > uint64(len(l.sent[p])) {
		return nil
	}
	return &l.Records[l.sent[p][n-1]]
}

func ringName(r wire.RingID) string { return fmt.Sprintf("%x/%d", r.Rep[:2], r.Seq) }

// String shows a record as one line for people.
func (l *RingLog) String(i int) string {
	r := &l.Records[i]
	out := fmt.Sprintf("#%d t=%v %s %s", i, r.At.Sub(0), l.procName(r.Proc), ringKinds[r.Kind])
	switch r.Kind {
	case RingSent:
		out += fmt.Sprintf(" %d", r.Number)
	case RingDelivered:
		out += fmt.Sprintf(" %s:%d as %s:%d", l.procName(r.From), r.Number, ringName(r.Ring), r.Seq)
	case RingHanded:
		out += fmt.Sprintf(" %s:%d", ringName(r.Ring), r.Seq)
	case RingLost:
		out += fmt.Sprintf(" %s:%d", l.procName(r.From), r.Number)
	case RingView:
		kind := "transitional"
		if r.Regular {
			kind = "regular"
		}
		out += fmt.Sprintf(" %s %s from %s:", kind, ringName(r.Ring), ringName(r.Old))
		for _, m := range r.Members {
			out += " " + l.procName(l.ProcOf(m))
		}
	}
	return out
}

// Rings counts the rings that were installed.
func (l *RingLog) Rings() int {
	ids := map[wire.RingID]bool{}
	for i := range l.Records {
		if r := &l.Records[i]; r.Kind == RingView && r.Regular {
			ids[r.Ring] = true
		}
	}
	return len(ids)
}

// Online returns what Found has noted under one id.
func (l *RingLog) Online(id string) []Violation { return l.online[id] }
