package held

import (
	"unicode/utf8"

	"github.com/activeblaze/blaze/internal/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Kind is what an operation does.
type Kind uint8

// The kinds of operations (wire/blaze.proto, JmsOperation). Those from KindBegin to KindList belong to a connection.
const (
	KindBegin       Kind = 1  // a connection begins, or turns to this holder, as its Limit-th; Name is its client id
	KindEnd         Kind = 2  // it ends: what it took is released, what it staged is dropped
	KindPut         Kind = 3  // Message into Queue
	KindStage       Kind = 4  // as Put, or as Publish with a Topic, and Numbers as in Settle, when the session commits
	KindCommit      Kind = 5  // of Session, with Numbers settled besides
	KindRollback    Kind = 6  // of Session: all that it took is released, those in Numbers as never seen
	KindConsume     Kind = 7  // Consumer of Queue, in Session
	KindCancel      Kind = 8  // Consumer ends; Numbers, that nobody has seen, are released
	KindTake        Kind = 9  // up to Limit messages for Consumer; FlagWait: the rest of them when they come
	KindStop        Kind = 10 // Consumer does not wait any longer
	KindSettle      Kind = 11 // Numbers of Session are done with
	KindRelease     Kind = 12 // Numbers of Session go back to their places; FlagUnseen: as if never delivered
	KindSubscribe   Kind = 13 // subscription Name of Topic, with Consumer unless that is 0
	KindUnsubscribe Kind = 14 // Name ends
	KindPublish     Kind = 15 // Message to all subscriptions that match Topic
	KindPart        Kind = 16 // Data of part After, of Limit bytes in all, for a message that is larger than an operation
	KindConfigure   Kind = 17 // Settings of Queue, which is made if need be; of all if Queue is empty
	KindDrop        Kind = 18 // Queue, which is empty, ends
	KindPurge       Kind = 19 // up to Limit messages of Queue, from the place After on, that match Selector go
	KindMove        Kind = 20 // the same go to the queue Name
	KindRetry       Kind = 21 // the same of a dead-letter queue go back to where they came from

	// Reads: they change nothing, and have no counter.
	KindAttach Kind = 22 // what the connection has in flight, behind the message After of Session
	KindFetch  Kind = 23 // bytes from After on of the message Numbers[0] of Session; with Queue: of the one at that place
	KindBrowse Kind = 24 // messages of Queue from the place After on that match Selector
	KindList   Kind = 25 // counters of queues with names above Name; FlagHolding: connections behind the After-th that have something in flight

	// Of holders themselves: a client's are refused.
	KindGone  Kind = 26 // the member To has left the group: its connections end
	KindMerge Kind = 27 // Message of a state that was dropped

	// KindBatch is a client's operations that leave together, one after the other as if each came alone: see MaxBatch.
	KindBatch Kind = 28
)

// reads reports whether an operation changes nothing.
func (k Kind) reads() bool { return k >= KindAttach && k <= KindList }

// Flags of an operation.
const (
	FlagWait      = 1 << 0 // Take: stay in line. Put, Stage, Publish: report when there is room
	FlagUnseen    = 1 << 1 // Release
	FlagNoLocal   = 1 << 2 // Consume, Subscribe
	FlagExclusive = 1 << 3 // Consume
	FlagDurable   = 1 << 4 // Subscribe: it stays when its consumers have gone
	FlagShared    = 1 << 5 // Subscribe: it may have several consumers
	FlagHeads     = 1 << 6 // Browse: without the messages' data
	FlagHolding   = 1 << 7 // List
)

// Op is one operation. What its kind does not need is zero. Slices and texts of an Op that was parsed are lent with the
// bytes.
type Op struct {
	Kind     Kind
	Conn     uint64   // the client's number of its connection; a client's next one is higher
	Counter  uint64   // of the connection's operations, from 1 on
	Low      uint64   // the client needs no answer below this counter any more
	Session  uint32   //
	Queue    []byte   // UTF-8, at most MaxName bytes
	Consumer uint64   // the client's number of it
	Message  Message  // where HasMessage
	Numbers  []uint64 // at most MaxNumbers
	Limit    uint64
	Flags    uint64
	Selector []byte
	Topic    []byte
	Name     []byte
	Settings *Settings
	Origin   Member // the client that the holder has it from; zero: the holder itself
	After    uint64
	To       Member
	Data     []byte
	Batch    [][]byte // operations, encoded; at most MaxBatch. Their Origin is that of the batch

	HasMessage bool
}

// Member is a MemberID.
type Member = [16]byte

// Settings are of one queue, or of all.
type Settings struct {
	Depth             uint64 // messages; 0: as the default
	Bytes             uint64 // 0: as the default
	MaxRedeliveries   int64  // 0: as the default; -1: no bound
	RedeliveryDelay   int64  // ms
	Doubling          bool   // each redelivery waits twice as long as the one before it, up to an hour
	DeadLetterExpired bool
	HolderDepth       uint64 // of all queues together
	HolderBytes       uint64 //
	NoAutoCreate      bool   // only queues that were configured exist
}

// Message is one message as operations, answers and snapshots have it.
type Message struct {
	ID         []byte // 24 bytes; empty: none
	Data       []byte // the encoding of a blaze.Message, JmsHeader included
	Priority   uint8  // 0..9
	Expires    int64  // ms since 1970 by the sender's clock; 0: never
	Due        int64  // ms since 1970: not to be delivered before; 0: at once
	Group      []byte // JMSXGroupID
	GroupSeq   int64  // JMSXGroupSeq
	Part       uint64 // of a put: Data is what was staged under this number
	Again      bool   // of a put: it may be there already
	Persistent bool

	// Of answers and snapshots.
	Count    uint32 // how often it was delivered, this time included
	Queue    []byte // where it comes from, of a dead letter; of a merge: where it goes
	Reason   Reason
	Number   uint64
	Consumer uint64 // that it is for
	Size     uint64 // bytes of data, where Data is not all of it
	Place    uint64 // in its queue
	Sender   Member // whose connection it came from
	From     uint64 // the number of that connection
	Session  uint32
	Delivery uint64 // of one in flight: no two deliveries have the same, and later ones have higher ones
}

// Reason is why a message is a dead letter.
type Reason uint8

// The reasons, as JMS_Blaze_Reason has them.
const (
	ReasonNone        Reason = 0
	ReasonRedelivered Reason = 1 // MaxRedeliveries
	ReasonExpired     Reason = 2
)

// String is the value of JMS_Blaze_Reason.
func (r Reason) String() string {
	switch r {
	case ReasonRedelivered:
		return "redelivered"
	case ReasonExpired:
		return "expired"
	}
	return ""
}

// Limits of an operation.
const (
	MaxName    = 512 // bytes of a name of a queue, subscription or client id
	MaxTopic   = 512
	MaxNumbers = 256
	MaxGroup   = 256 // bytes of JMSXGroupID
	// MaxBatch is how many operations one batch has. None of them may be a read, a Take that does not wait, or a batch: what
	// is answered with messages comes alone, so that the answer to a batch is short.
	MaxBatch = 64
	idLen    = 24
)

func appendBytes(dst []byte, field protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return append(pb.AppendLength(dst, field, len(b)), b...)
}

func appendNumber(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return pb.AppendVarint(dst, field, v)
}

func appendBool(dst []byte, field protowire.Number, v bool) []byte {
	if v {
		return pb.AppendVarint(dst, field, 1)
	}
	return dst
}

func appendMember(dst []byte, field protowire.Number, m Member) []byte {
	if m == (Member{}) {
		return dst
	}
	return append(pb.AppendLength(dst, field, len(m)), m[:]...)
}

// appendNested appends what body appends, as a field.
func appendNested(dst []byte, field protowire.Number, body func([]byte) []byte) []byte {
	// One byte is left for the length, and more where that turns out to be needed.
	at := len(dst) + protowire.SizeTag(field) + 1
	dst = body(append(protowire.AppendTag(dst, field, protowire.BytesType), 0))
	n := len(dst) - at
	if more := protowire.SizeVarint(uint64(n)) - 1; more > 0 {
		dst = append(dst, make([]byte, more)...)
		copy(dst[at+more:], dst[at:at+n])
	}
	protowire.AppendVarint(dst[:at-1], uint64(n))
	return dst
}

func appendNumbers(dst []byte, field protowire.Number, all []uint64) []byte {
	if len(all) == 0 {
		return dst
	}
	return appendNested(dst, field, func(b []byte) []byte {
		for _, v := range all {
			b = protowire.AppendVarint(b, v)
		}
		return b
	})
}

// Append appends the canonical encoding: fields in order, without those that are zero.
func (o *Op) Append(dst []byte) []byte {
	dst = appendNumber(dst, 1, uint64(o.Kind))
	dst = appendNumber(dst, 2, o.Conn)
	dst = appendNumber(dst, 3, o.Counter)
	dst = appendNumber(dst, 4, o.Low)
	dst = appendNumber(dst, 5, uint64(o.Session))
	dst = appendBytes(dst, 6, o.Queue)
	dst = appendNumber(dst, 7, o.Consumer)
	if o.HasMessage {
		dst = appendNested(dst, 8, o.Message.Append)
	}
	dst = appendNumbers(dst, 9, o.Numbers)
	dst = appendNumber(dst, 10, o.Limit)
	dst = appendNumber(dst, 11, o.Flags)
	dst = appendBytes(dst, 12, o.Selector)
	dst = appendBytes(dst, 13, o.Topic)
	dst = appendBytes(dst, 14, o.Name)
	if o.Settings != nil {
		dst = appendNested(dst, 15, o.Settings.Append)
	}
	dst = appendMember(dst, 16, o.Origin)
	dst = appendNumber(dst, 17, o.After)
	dst = appendMember(dst, 18, o.To)
	dst = appendBytes(dst, 19, o.Data)
	for _, b := range o.Batch {
		dst = append(pb.AppendLength(dst, 20, len(b)), b...)
	}
	return dst
}

// AppendBatch appends to a batch, which begins empty, an operation that may be in one (Batches).
func AppendBatch(batch, op []byte) []byte {
	if len(batch) == 0 {
		batch = pb.AppendVarint(batch, 1, uint64(KindBatch))
	}
	return append(pb.AppendLength(batch, 20, len(op)), op...)
}

// BatchOverhead is what AppendBatch adds to an operation, in bytes, at most.
const BatchOverhead = 2 + 5 + 2

// Batches reports whether an operation may be in a batch.
func (o *Op) Batches() bool {
	return !o.Kind.reads() && o.Kind != KindBatch && (o.Kind != KindTake || o.Flags&FlagWait != 0)
}

// Sign appends to op, an operation as a client sent it, the member that it came from: a holder does so before it
// proposes it. What the client may have written in its place does not count: of two such fields the last one holds.
func Sign(op []byte, from Member) []byte {
	return append(pb.AppendLength(op, 16, len(from)), from[:]...)
}

// Parse reads an operation in any layout and checks the bounds that all kinds have. It reports whether it is one.
func (o *Op) Parse(b []byte) bool {
	numbers, batch := o.Numbers[:0], o.Batch[:0]
	*o = Op{Numbers: numbers, Batch: batch}
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
				if f.Bits > 255 {
					return false
				}
				o.Kind = Kind(f.Bits)
			case 2:
				o.Conn = f.Bits
			case 3:
				o.Counter = f.Bits
			case 4:
				o.Low = f.Bits
			case 5:
				if f.Bits >= 1<<32 {
					return false
				}
				o.Session = uint32(f.Bits)
			case 7:
				o.Consumer = f.Bits
			case 10:
				o.Limit = f.Bits
			case 11:
				o.Flags = f.Bits
			case 17:
				o.After = f.Bits
			}
		case f.Type != protowire.BytesType:
		case f.Number == 6:
			o.Queue = f.Bytes
		case f.Number == 8:
			if o.HasMessage || !o.Message.Parse(f.Bytes) {
				return false
			}
			o.HasMessage = true
		case f.Number == 9:
			var ok bool
			if o.Numbers, ok = parseNumbers(o.Numbers, f.Bytes, MaxNumbers); !ok {
				return false
			}
		case f.Number == 12:
			o.Selector = f.Bytes
		case f.Number == 13:
			o.Topic = f.Bytes
		case f.Number == 14:
			o.Name = f.Bytes
		case f.Number == 15:
			o.Settings = &Settings{}
			if !o.Settings.Parse(f.Bytes) {
				return false
			}
		case f.Number == 16:
			if !parseMember(&o.Origin, f.Bytes) {
				return false
			}
		case f.Number == 18:
			if !parseMember(&o.To, f.Bytes) {
				return false
			}
		case f.Number == 19:
			o.Data = f.Bytes
		case f.Number == 20:
			if len(o.Batch) == MaxBatch {
				return false
			}
			o.Batch = append(o.Batch, f.Bytes)
		}
	}
	return o.Kind != 0 && validName(o.Queue) && validName(o.Name) && len(o.Topic) <= MaxTopic && utf8.Valid(o.Topic)
}

func validName(b []byte) bool { return len(b) <= MaxName && utf8.Valid(b) }

func parseMember(m *Member, b []byte) bool {
	if len(b) != len(m) {
		return false
	}
	*m = Member(b)
	return true
}

func parseNumbers(dst []uint64, b []byte, limit int) ([]uint64, bool) {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || len(dst) >= limit {
			return dst, false
		}
		dst, b = append(dst, v), b[n:]
	}
	return dst, true
}

// Bits of a message's flags.
const (
	messageAgain = 1 << iota
	messagePersistent
)

// Append appends the canonical encoding.
func (m *Message) Append(dst []byte) []byte {
	dst = appendBytes(dst, 1, m.ID)
	dst = appendBytes(dst, 2, m.Data)
	dst = appendNumber(dst, 3, uint64(m.Priority))
	dst = appendNumber(dst, 4, uint64(m.Expires))
	dst = appendNumber(dst, 5, uint64(m.Due))
	dst = appendBytes(dst, 6, m.Group)
	if m.GroupSeq != 0 {
		dst = pb.AppendSigned(dst, 7, uint64(m.GroupSeq))
	}
	dst = appendNumber(dst, 8, m.Part)
	flags := uint64(0)
	if m.Again {
		flags |= messageAgain
	}
	if m.Persistent {
		flags |= messagePersistent
	}
	dst = appendNumber(dst, 9, flags)
	dst = appendNumber(dst, 10, uint64(m.Count))
	dst = appendBytes(dst, 11, m.Queue)
	dst = appendNumber(dst, 12, uint64(m.Reason))
	dst = appendNumber(dst, 13, m.Number)
	dst = appendNumber(dst, 14, m.Consumer)
	dst = appendNumber(dst, 15, m.Size)
	dst = appendNumber(dst, 16, m.Place)
	dst = appendMember(dst, 17, m.Sender)
	dst = appendNumber(dst, 18, m.From)
	dst = appendNumber(dst, 19, uint64(m.Session))
	return appendNumber(dst, 20, m.Delivery)
}

// Parse reads a message in any layout, and checks it.
func (m *Message) Parse(b []byte) bool {
	*m = Message{}
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case f.Type == protowire.VarintType:
			switch f.Number {
			case 3:
				if f.Bits > 9 {
					return false
				}
				m.Priority = uint8(f.Bits)
			case 4:
				m.Expires = int64(f.Bits)
			case 5:
				m.Due = int64(f.Bits)
			case 7:
				m.GroupSeq = protowire.DecodeZigZag(f.Bits)
			case 8:
				m.Part = f.Bits
			case 9:
				m.Again, m.Persistent = f.Bits&messageAgain != 0, f.Bits&messagePersistent != 0
			case 10:
				m.Count = uint32(min(f.Bits, 1<<32-1))
			case 12:
				if f.Bits > 255 {
					return false
				}
				m.Reason = Reason(f.Bits)
			case 13:
				m.Number = f.Bits
			case 14:
				m.Consumer = f.Bits
			case 15:
				m.Size = f.Bits
			case 16:
				m.Place = f.Bits
			case 18:
				m.From = f.Bits
			case 19:
				m.Session = uint32(f.Bits)
			case 20:
				m.Delivery = f.Bits
			}
		case f.Type != protowire.BytesType:
		case f.Number == 1:
			m.ID = f.Bytes
		case f.Number == 2:
			m.Data = f.Bytes
		case f.Number == 6:
			m.Group = f.Bytes
		case f.Number == 11:
			m.Queue = f.Bytes
		case f.Number == 17:
			if !parseMember(&m.Sender, f.Bytes) {
				return false
			}
		}
	}
	return (len(m.ID) == 0 || len(m.ID) == idLen) && m.Expires >= 0 && m.Due >= 0 &&
		len(m.Group) <= MaxGroup && utf8.Valid(m.Group) && validName(m.Queue)
}

// Bits of the settings' flags.
const (
	settingsDoubling = 1 << iota
	settingsDeadLetterExpired
	settingsNoAutoCreate
)

// Append appends the canonical encoding.
func (s *Settings) Append(dst []byte) []byte {
	dst = appendNumber(dst, 1, s.Depth)
	dst = appendNumber(dst, 2, s.Bytes)
	if s.MaxRedeliveries != 0 {
		dst = pb.AppendSigned(dst, 3, uint64(s.MaxRedeliveries))
	}
	dst = appendNumber(dst, 4, uint64(s.RedeliveryDelay))
	flags := uint64(0)
	for i, set := range [...]bool{s.Doubling, s.DeadLetterExpired, s.NoAutoCreate} {
		if set {
			flags |= 1 << i
		}
	}
	dst = appendNumber(dst, 5, flags)
	dst = appendNumber(dst, 6, s.HolderDepth)
	return appendNumber(dst, 7, s.HolderBytes)
}

// maxRedeliveryDelay is an hour, in ms.
const maxRedeliveryDelay = 3_600_000

// Parse reads settings in any layout, and checks them.
func (s *Settings) Parse(b []byte) bool {
	*s = Settings{}
	for len(b) > 0 {
		f, n := pb.Next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if f.Type != protowire.VarintType {
			continue
		}
		switch f.Number {
		case 1:
			s.Depth = f.Bits
		case 2:
			s.Bytes = f.Bits
		case 3:
			s.MaxRedeliveries = protowire.DecodeZigZag(f.Bits)
		case 4:
			s.RedeliveryDelay = int64(f.Bits)
		case 5:
			s.Doubling = f.Bits&settingsDoubling != 0
			s.DeadLetterExpired = f.Bits&settingsDeadLetterExpired != 0
			s.NoAutoCreate = f.Bits&settingsNoAutoCreate != 0
		case 6:
			s.HolderDepth = f.Bits
		case 7:
			s.HolderBytes = f.Bits
		}
	}
	return s.MaxRedeliveries >= -1 && s.MaxRedeliveries <= 1_000_000 && s.RedeliveryDelay >= 0 &&
		s.RedeliveryDelay <= maxRedeliveryDelay && s.Depth < 1<<40 && s.Bytes < 1<<60 && s.HolderDepth < 1<<40 &&
		s.HolderBytes < 1<<60
}
