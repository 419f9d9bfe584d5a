package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Stream is one stream of a Proc. It is an index into Log.Streams; Unknown is none of them.
type Stream int32

// Unknown is the stream of a delivery that was never opened.
const Unknown Stream = -1

// StreamInfo describes a Stream.
type StreamInfo struct {
	Sender  Proc
	ID      wire.StreamID
	Opened  clock.Time
	Emitted uint64  // highest datagram number seen on the wire, where that is watched
	sent    []int32 // positions of the Sent records, by message number - 1
}

// Reliable reports whether the stream's protocol promises delivery.
func (s *StreamInfo) Reliable() bool {
	p := s.ID.Protocol()
	return p != wire.BestEffort && p != wire.FEC
}

// Kind is what a Record is about.
type Kind uint8

// The kinds. The first group is what happened at the members' public edge, the second what they
// reported of streams, the third which faults were injected, the fourth what was seen on the wire.
const (
	Sent      Kind = iota + 1 // Proc's message First of Stream was accepted
	Delivered                 // Proc was handed message First of Stream
	Gap                       // Proc was given the loss of messages First..Last of Stream
	Stopped                   // Proc left and closed
	Opened                    // Proc opened Stream

	StreamStarted   // Proc receives Stream
	StreamSilent    // and nothing comes from its sender
	StreamResumed   // and something came after that
	StreamLeft      // and receives it no more
	StreamRefused   // Proc has no room for Stream
	ReceiverJoined  // Peer receives Proc's Stream
	ReceiverLeft    // and has left
	ReceiverEvicted // and was silent for too long
	ReceiverBehind  // and is not waited for: what is sent to it does not arrive, or its reports do not
	LostWhole       // Proc was given the loss of all of Stream, which was refused

	Crash    // Proc ended without a farewell
	Pause    // Proc's turns stopped
	Resume   // and went on
	Cut      // nothing from Proc reaches Peer any more
	Mend     // and now it does again
	Healed   // no fault is injected from here on
	Finished // the run ends here

	NakSent    // Proc put a NAK datagram on the wire
	DataSent   // Proc sent datagram First of Stream for the first time; Last is the highest message number in it
	RepairSent // Proc sent datagram First of Stream again; Length is its size
	ParitySent // Proc sent a repair symbol of Stream; Length is the datagram's size
	CopyLost   // the copy to Proc of datagram First of Stream was lost; Length 1: of a repair
	BeatSent   // Proc sent a heartbeat about Stream
)

var kindNames = [...]string{"?", "sent", "delivered", "gap", "stopped", "opened",
	"started", "silent", "resumed", "left", "refused", "receiver joined", "receiver left", "receiver evicted", "receiver behind", "lost whole", "crash", "pause", "resume",
	"cut", "mend", "healed", "finished", "nak", "data", "repair", "parity", "lost", "heartbeat"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Record is one line of a Log.
type Record struct {
	At          clock.Time
	First, Last uint64
	Hash        uint64 // of the payload
	Proc        Proc
	Peer        Proc
	Stream      Stream
	Length      int32
	Kind        Kind
	Reason      core.LossReason
}

// Log is the record of a run, in the order in which it happened.
type Log struct {
	processes
	Streams []StreamInfo
	Records []Record

	streams map[streamKey]Stream
}

type streamKey struct {
	sender Proc
	id     wire.StreamID
}

// NewLog makes an empty log.
func NewLog() *Log {
	return &Log{processes: newProcesses(), streams: map[streamKey]Stream{}}
}

// Open registers that p sends a stream from time at on. Doing it again changes nothing.
func (l *Log) Open(at clock.Time, p Proc, id wire.StreamID) Stream {
	key := streamKey{p, id}
	if s, ok := l.streams[key]; ok {
		return s
	}
	s := Stream(len(l.Streams))
	l.Streams = append(l.Streams, StreamInfo{Sender: p, ID: id, Opened: at})
	l.streams[key] = s
	l.add(Record{At: at, Kind: Opened, Proc: p, Stream: s})
	return s
}

// Find returns the stream that a member sends, or Unknown.
func (l *Log) Find(member wire.MemberID, id wire.StreamID) Stream {
	if s, ok := l.streams[streamKey{l.ProcOf(member), id}]; ok {
		return s
	}
	return Unknown
}

// Next is the number that the next message of s will have.
func (l *Log) Next(s Stream) uint64 { return uint64(len(l.Streams[s].sent)) + 1 }

// Sent records that the library accepted payload as the next message of s.
func (l *Log) Sent(at clock.Time, s Stream, payload []byte) {
	n := l.Next(s)
	st := &l.Streams[s]
	st.sent = append(st.sent, int32(len(l.Records)))
	l.add(Record{At: at, Kind: Sent, Proc: st.Sender, Stream: s, First: n, Last: n, Length: int32(len(payload)), Hash: Hash(payload)})
}

// Delivered records that p was handed a message. It returns the payload's hash.
func (l *Log) Delivered(at clock.Time, p Proc, m *core.Delivery) uint64 {
	h := Hash(m.Payload)
	l.add(Record{At: at, Kind: Delivered, Proc: p, Stream: l.Find(m.From, m.Stream), First: m.Sequence, Last: m.Sequence,
		Length: int32(len(m.Payload)), Hash: h})
	return h
}

// Gap records that a loss was reported to p.
func (l *Log) Gap(at clock.Time, p Proc, g *core.Loss) {
	if g.Reason == core.LossRefused && g.First == 0 && g.Last == 0 {
		l.add(Record{At: at, Kind: LostWhole, Proc: p, Stream: l.Find(g.From, g.Stream), Reason: g.Reason})
		return
	}
	l.add(Record{At: at, Kind: Gap, Proc: p, Stream: l.Find(g.From, g.Stream), First: g.First, Last: g.Last, Reason: g.Reason})
}

// Stream records an event of a stream that p receives, k: StreamStarted to StreamRefused.
func (l *Log) Stream(at clock.Time, k Kind, p Proc, from wire.MemberID, id wire.StreamID) {
	l.add(Record{At: at, Kind: k, Proc: p, Peer: l.ProcOf(from), Stream: l.Find(from, id)})
}

// Receiver records an event of a receiver of p's stream, k: ReceiverJoined to ReceiverEvicted.
func (l *Log) Receiver(at clock.Time, k Kind, p Proc, member wire.MemberID, id wire.StreamID) {
	l.add(Record{At: at, Kind: k, Proc: p, Peer: l.ProcOf(member), Stream: l.Find(l.Procs[p].Member, id)})
}

// Stop records that p left and closed.
func (l *Log) Stop(at clock.Time, p Proc) {
	l.Procs[p].Ended = at
	l.add(Record{At: at, Kind: Stopped, Proc: p, Stream: Unknown})
}

// Crash records that p ended without a farewell.
func (l *Log) Crash(at clock.Time, p Proc) {
	l.Procs[p].Ended, l.Procs[p].Crashed = at, true
	l.add(Record{At: at, Kind: Crash, Proc: p, Stream: Unknown})
}

// Fault records any of Pause, Resume, Cut, Mend, Healed and Finished; peer is Cut's and Mend's.
func (l *Log) Fault(at clock.Time, k Kind, p, peer Proc) {
	l.add(Record{At: at, Kind: k, Proc: p, Peer: peer, Stream: Unknown})
}

// Wire records what was seen on the wire: NakSent, RepairSent, ParitySent, CopyLost, BeatSent.
func (l *Log) Wire(at clock.Time, k Kind, p Proc, s Stream, number uint64, length int) {
	l.add(Record{At: at, Kind: k, Proc: p, Stream: s, First: number, Last: number, Length: int32(length)})
}

// Emitted records that datagram number of s left for the first time; last is the highest
// message number in it.
func (l *Log) Emitted(at clock.Time, s Stream, number, last uint64, length int) {
	st := &l.Streams[s]
	st.Emitted = max(st.Emitted, number)
	l.add(Record{At: at, Kind: DataSent, Proc: st.Sender, Stream: s, First: number, Last: last, Length: int32(length)})
}

// Only returns a copy of l with one stream and no other, for runs in which other streams were spoilt
// on purpose.
func (l *Log) Only(s Stream) *Log {
	o := NewLog()
	o.processes = processes{slices.Clone(l.Procs), maps.Clone(l.byMember)}
	o.Streams = append(o.Streams, l.Streams...)
	for i := range o.Streams {
		o.Streams[i].sent = nil
	}
	o.streams = l.streams
	for i := range l.Records {
		r := l.Records[i]
		if r.Stream != s && !(r.Stream == Unknown && r.Kind != Delivered && r.Kind != Gap) {
			continue
		}
		if r.Kind == Sent {
			o.Streams[s].sent = append(o.Streams[s].sent, int32(len(o.Records)))
		}
		o.add(r)
	}
	return o
}

func (l *Log) add(r Record) { l.Records = append(l.Records, r) }

// End is the time of the last record.
func (l *Log) End() clock.Time {
	if len(l.Records) == 0 {
		return 0
	}
	return l.Records[len(l.Records)-1].At
}

// message returns the Sent record of message n of s.
func (l *Log) message(s Stream, n uint64) (*Record, bool) {
	if s < 0 || int(s) >= len(l.Streams) || n == 0 || n > uint64(len(l.Streams[s].sent)) {
		return nil, false
	}
	return &l.Records[l.Streams[s].sent[n-1]], true
}

// String shows a record as one line for people.
func (l *Log) String(i int) string {
	r := &l.Records[i]
	out := fmt.Sprintf("#%d t=%v %s %s", i, r.At.Sub(0), l.procName(r.Proc), r.Kind)
	if r.Stream != Unknown {
		out += " " + l.streamName(r.Stream)
	}
	switch {
	case r.Kind == Cut || r.Kind == Mend || r.Kind >= ReceiverJoined && r.Kind <= ReceiverEvicted:
		out += " " + l.procName(r.Peer)
	case r.First == r.Last && r.First != 0:
		out += fmt.Sprintf(" %d", r.First)
	case r.First != 0:
		out += fmt.Sprintf(" %d..%d", r.First, r.Last)
	}
	if r.Reason != 0 {
		out += " " + reasonName(r.Reason)
	}
	return out
}

func (l *Log) streamName(s Stream) string {
	if s == Unknown {
		return "unknown stream"
	}
	i := &l.Streams[s]
	return fmt.Sprintf("%s/%d:%d", l.procName(i.Sender), i.ID.Protocol(), i.ID.Lane())
}

func reasonName(r core.LossReason) string {
	switch r {
	case core.LossUnrepaired:
		return "unrepaired"
	case core.LossSenderGone:
		return "sender gone"
	case core.LossRetention:
		return "beyond retention"
	case core.LossReset:
		return "receiver reset"
	case core.LossSlowConsumer:
		return "slow consumer"
	case core.LossMalformed:
		return "malformed"
	case core.LossRefused:
		return "refused"
	case core.LossTimeout:
		return "timeout"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}
