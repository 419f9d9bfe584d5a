package held

import (
	"github.com/activeblaze/blaze/internal/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Code is the outcome of an operation.
type Code uint8

// The codes (wire/blaze.proto, JmsAnswer).
const (
	CodeOK             Code = 0
	CodeGap            Code = 1  // an operation before this one is missing: Next is its counter. Nothing was done
	CodeForgotten      Code = 2  // it was applied, and its answer is remembered no longer
	CodeNoConnection   Code = 3  // the connection was not begun, has ended, or is another client's
	CodeMalformed      Code = 4  // not an operation, or one that its kind does not allow
	CodeQueueFull      Code = 5  // of messages or bytes. With FlagWait a notice follows when there is room
	CodeHolderFull     Code = 6  // all queues together are
	CodeNoQueue        Code = 7  // there is no such queue, and none is made by naming it
	CodeNoConsumer     Code = 8  // the connection has no such consumer
	CodeNotHeld        Code = 9  // some of the numbers are not in flight in this session; the others were done with
	CodeSelector       Code = 10 // the selector is wrong; Detail says where
	CodeInUse          Code = 11 // the subscription, queue or consumer is in use
	CodeTooMany        Code = 12 // a bound of connections, consumers, queues, subscriptions or staged operations
	CodeTooLarge       Code = 13 // the message is larger than the queue, or than the parts that are staged
	CodeLater          Code = 14 // the consumer waits; notices follow
	CodeNoSubscription Code = 15 // there is none of this name
	CodeForged         Code = 16 // a client must not do this
)

// Answer is what an operation comes to.
type Answer struct {
	Code     Code
	Counter  uint64    // of the operation
	Next     uint64    // of a gap: the counter that is due; of a read, or a purge: the place to go on from
	Messages []Message // that were taken, are in flight, or were found
	Detail   string
	Value    uint64       // how many were purged, moved or retried; of a part: its bytes so far; of an attach or a rollback: the next Delivery
	Queues   []QueueStats // of KindList
	Holding  []Holding    // of KindList with FlagHolding
	More     bool         // of a read, a purge or a rollback: it did not come to the end
	Answers  [][]byte     // of a batch, when Code is OK: of each of its operations, encoded, in their order
}

// Append appends the canonical encoding.
func (a *Answer) Append(dst []byte) []byte {
	dst = appendNumber(dst, 1, uint64(a.Code))
	dst = appendNumber(dst, 2, a.Counter)
	dst = appendNumber(dst, 3, a.Next)
	for i := range a.Messages {
		dst = appendNested(dst, 4, a.Messages[i].Append)
	}
	dst = appendBytes(dst, 5, []byte(a.Detail))
	dst = appendNumber(dst, 6, a.Value)
	for i := range a.Queues {
		dst = appendNested(dst, 7, a.Queues[i].Append)
	}
	dst = appendBool(dst, 8, a.More)
	for i := range a.Holding {
		dst = appendNested(dst, 9, a.Holding[i].Append)
	}
	for _, b := range a.Answers {
		dst = append(pb.AppendLength(dst, 10, len(b)), b...)
	}
	return dst
}

// Parse reads an answer in any layout. The slices are lent with b.
func (a *Answer) Parse(b []byte) bool {
	*a = Answer{}
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case f.Type == protowire.VarintType:
			switch f.Number {
			case 1:
				a.Code = Code(min(f.Bits, 255))
			case 2:
				a.Counter = f.Bits
			case 3:
				a.Next = f.Bits
			case 6:
				a.Value = f.Bits
			case 8:
				a.More = f.Bits != 0
			}
		case f.Type != protowire.BytesType:
		case f.Number == 4:
			var m Message
			if !m.Parse(f.Bytes) {
				return false
			}
			a.Messages = append(a.Messages, m)
		case f.Number == 5:
			a.Detail = string(f.Bytes)
		case f.Number == 7:
			var q QueueStats
			if !q.Parse(f.Bytes) {
				return false
			}
			a.Queues = append(a.Queues, q)
		case f.Number == 9:
			var h Holding
			if !h.Parse(f.Bytes) {
				return false
			}
			a.Holding = append(a.Holding, h)
		case f.Number == 10:
			a.Answers = append(a.Answers, f.Bytes)
		}
	}
	return true
}

// NoticeKind is what a notice is about.
type NoticeKind uint8

// The kinds of notices (wire/blaze.proto, JmsNotice).
const (
	NoticeMessage NoticeKind = 1 // Messages for a consumer that waited
	NoticeNone    NoticeKind = 2 // a Take that does not wait has looked at the whole queue: there is nothing more
	NoticeRoom    NoticeKind = 3 // Queue has room again
	NoticeEnded   NoticeKind = 4 // the connection has ended
)

// Notice is what a client's holder reports to it because of somebody else's operation.
type Notice struct {
	To       Member // the client
	Conn     uint64
	Kind     NoticeKind
	Consumer uint64
	Counter  uint64 // of NoticeNone: of the Take
	Queue    string
	Messages []Message
}

// Append appends the canonical encoding.
func (n *Notice) Append(dst []byte) []byte {
	dst = appendMember(dst, 1, n.To)
	dst = appendNumber(dst, 2, n.Conn)
	dst = appendNumber(dst, 3, uint64(n.Kind))
	dst = appendNumber(dst, 4, n.Consumer)
	dst = appendNumber(dst, 5, n.Counter)
	dst = appendBytes(dst, 6, []byte(n.Queue))
	for i := range n.Messages {
		dst = appendNested(dst, 7, n.Messages[i].Append)
	}
	return dst
}

// Parse reads a notice in any layout. The messages are lent with b.
func (n *Notice) Parse(b []byte) bool {
	*n = Notice{}
	for len(b) > 0 {
		f, size := pb.Next(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		switch {
		case f.Type == protowire.VarintType:
			switch f.Number {
			case 2:
				n.Conn = f.Bits
			case 3:
				n.Kind = NoticeKind(min(f.Bits, 255))
			case 4:
				n.Consumer = f.Bits
			case 5:
				n.Counter = f.Bits
			}
		case f.Type != protowire.BytesType:
		case f.Number == 1:
			if !parseMember(&n.To, f.Bytes) {
				return false
			}
		case f.Number == 6:
			n.Queue = string(f.Bytes)
		case f.Number == 7:
			var m Message
			if !m.Parse(f.Bytes) {
				return false
			}
			n.Messages = append(n.Messages, m)
		}
	}
	return true
}

// AppendNotice appends a notice to those that travel together: a JmsNotices.
func AppendNotice(dst []byte, n *Notice) []byte { return appendNested(dst, 1, n.Append) }

// ParseNotices reads notices that travel together, and calls each with them in order. It reports whether all of it can be
// read; those before what cannot be were handed on. The messages are lent with b.
func ParseNotices(b []byte, each func(*Notice)) bool {
	any := false
	for len(b) > 0 {
		f, size := pb.Next(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		if f.Type != protowire.BytesType || f.Number != 1 {
			continue
		}
		var n Notice
		if !n.Parse(f.Bytes) {
			return false
		}
		any = true
		each(&n)
	}
	return any
}

// QueueStats are one queue's counters.
type QueueStats struct {
	Name        string
	Depth       uint64 // messages that wait, delayed ones included
	Bytes       uint64 // of those and of the ones in flight and staged
	InFlight    uint64
	Delayed     uint64 // of Depth
	Staged      uint64
	Put         uint64
	Taken       uint64
	Settled     uint64
	Redelivered uint64 // times that a message went back to its place after it may have been seen
	Expired     uint64
	Dead        uint64 // that went to the dead-letter queue
	Oldest      int64  // the earliest JMSTimestamp of those at the heads of the priorities; 0: none waits
	Consumers   uint64
	Waiting     uint64 // consumers in line
	Removed     uint64 // that were purged, moved or retried
	Topic       string // of a subscription
}

func (q *QueueStats) numbers() [15]*uint64 {
	return [...]*uint64{&q.Depth, &q.Bytes, &q.InFlight, &q.Delayed, &q.Staged, &q.Put, &q.Taken, &q.Settled, &q.Redelivered,
		&q.Expired, &q.Dead, nil, &q.Consumers, &q.Waiting, &q.Removed}
}

// Append appends the canonical encoding.
func (q *QueueStats) Append(dst []byte) []byte {
	dst = appendBytes(dst, 1, []byte(q.Name))
	for i, p := range q.numbers() {
		v := uint64(q.Oldest)
		if p != nil {
			v = *p
		}
		dst = appendNumber(dst, protowire.Number(2+i), v)
	}
	return appendBytes(dst, 17, []byte(q.Topic))
}

// Parse reads counters in any layout.
func (q *QueueStats) Parse(b []byte) bool {
	*q = QueueStats{}
	numbers := q.numbers()
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch i := int(f.Number) - 2; {
		case f.Type == protowire.BytesType && f.Number == 1:
			q.Name = string(f.Bytes)
		case f.Type == protowire.BytesType && f.Number == 17:
			q.Topic = string(f.Bytes)
		case f.Type != protowire.VarintType || i < 0 || i >= len(numbers):
		case numbers[i] == nil:
			q.Oldest = int64(f.Bits)
		default:
			*numbers[i] = f.Bits
		}
	}
	return true
}

// Holding is a connection that has messages in flight.
type Holding struct {
	Member   Member
	Client   string   // its client id
	InFlight uint64   // messages
	Since    int64    // ms since 1970: it has neither settled nor released one since, or had none before
	Queues   []string // of its consumers, each once, in order
}

// Append appends the canonical encoding.
func (h *Holding) Append(dst []byte) []byte {
	dst = appendMember(dst, 1, h.Member)
	dst = appendBytes(dst, 2, []byte(h.Client))
	dst = appendNumber(dst, 3, h.InFlight)
	dst = appendNumber(dst, 4, uint64(h.Since))
	for _, q := range h.Queues {
		dst = append(pb.AppendLength(dst, 5, len(q)), q...)
	}
	return dst
}

// Parse reads one in any layout.
func (h *Holding) Parse(b []byte) bool {
	*h = Holding{}
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case f.Type == protowire.VarintType && f.Number == 3:
			h.InFlight = f.Bits
		case f.Type == protowire.VarintType && f.Number == 4:
			h.Since = int64(f.Bits)
		case f.Type != protowire.BytesType:
		case f.Number == 1:
			if copy(h.Member[:], f.Bytes) != len(h.Member) || len(f.Bytes) != len(h.Member) {
				return false
			}
		case f.Number == 2:
			h.Client = string(f.Bytes)
		case f.Number == 5:
			h.Queues = append(h.Queues, string(f.Bytes))
		}
	}
	return true
}
