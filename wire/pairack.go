package wire

import (
	"encoding/binary"
	"math"
)

// PairAck acknowledges one channel of a pair.
type PairAck struct {
	To      MemberID // the member whose datagrams it is about
	Session uint32   // theirs, from 1
	Channel Channel
	Dead    bool     // this session is dead here, begin another
	Next    uint64   // lowest datagram not received, from 1
	Held    uint64   // bit i: datagram Next+1+i is here
	Taken   uint64   // one above the last item that was taken or refused, from 1
	Limit   uint64   // there is room for datagrams below this one; Next or more
	Delay   uint32   // µs that this acknowledgement was kept back
	Refused Refusals // at most MaxRefused items, strictly ascending
}

// Channel is one of the channels of a pair. Each has its own order, window and acknowledgements.
type Channel uint8

// The channels.
const (
	ChannelAnswers Channel = 0 // replies, results, records
	ChannelInboxes Channel = 1
	ChannelQueues  Channel = 2
	Channels               = 3 // their number
)

// Refusal is one item that the receiver did not take.
type Refusal struct {
	Item   uint64 // its number, from 1
	Reason RefusalReason
}

// RefusalReason is why an item was refused: 1 or more. Values that are not listed are from newer
// members.
type RefusalReason uint32

// The reasons.
const (
	RefusedNoHandler RefusalReason = 1
	RefusedNoRoom    RefusalReason = 2
	RefusedNotActive RefusalReason = 3 // not the active one of exclusive consumers
	RefusedStopping  RefusalReason = 4
	RefusedKind      RefusalReason = 5 // an item of a kind that the receiver has no code for
)

// MaxRefused is how many refused items a PairAck has at most.
const MaxRefused = 64

// Refusals is a list of refused items as it lies on the wire: 12 bytes each, ascending by number.
type Refusals []byte

const refusalLen = 8 + 4

// Len is the number of items.
func (r Refusals) Len() int { return len(r) / refusalLen }

// At is refused item i.
func (r Refusals) At(i int) Refusal {
	b := r[i*refusalLen:][:refusalLen]
	return Refusal{binary.LittleEndian.Uint64(b), RefusalReason(binary.LittleEndian.Uint32(b[8:]))}
}

// Append appends a refused item.
func (r Refusals) Append(x Refusal) Refusals {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(r, x.Item), uint32(x.Reason))
}

func (r Refusals) valid() bool {
	if len(r)%refusalLen != 0 || r.Len() > MaxRefused {
		return false
	}
	last := uint64(0)
	for i := range r.Len() {
		x := r.At(i)
		if x.Item <= last || x.Item == math.MaxUint64 || x.Reason == 0 {
			return false
		}
		last = x.Item
	}
	return true
}

// PairAckMax is the length of the longest pair ack frame in bytes.
const (
	PairAckMax = 4 + pairAckHead + 3 + MaxRefused*refusalLen

	pairAckHead = 18 + 2*5 + 4*9 + 5
)

// Bits of the flags of Pair and PairAck.
const (
	pairChannel = 1<<0 | 1<<1
	pairBit     = 1 << 2 // Pair: acknowledge at once; PairAck: dead
)

var pairAckLayout = newLayout(pairAckInRange,
	memberID,                   // to
	fixed32,                    // session
	flags(pairChannel|pairBit), // flags
	fixed64,                    // next
	fixed64,                    // held
	fixed64,                    // taken
	fixed64,                    // limit
	fixed32,                    // delay
	optional(blob),             // refused
)

// PairAckSize is the length in bytes of a pair ack frame that names so many refused items.
func PairAckSize(refused int) int {
	n := pairAckHead
	if refused > 0 {
		n += 1 + varintLen(refused*refusalLen) + refused*refusalLen
	}
	return 2 + varintLen(n) + n
}

// AppendPairAck appends a as one frame. It checks nothing: a receiver refuses values outside their
// bounds.
func AppendPairAck(dst []byte, a *PairAck) []byte {
	n := pairAckHead
	if len(a.Refused) > 0 {
		n += 1 + varintLen(len(a.Refused)) + len(a.Refused)
	}
	dst = appendLength(append(dst, 0xD2, 0x01), n)
	dst = appendMember(dst, 1, a.To)
	dst = appendFixed32(dst, 2, a.Session)
	dst = appendFixed32(dst, 3, pairFlags(a.Channel, a.Dead))
	dst = appendFixed64(dst, 4, a.Next)
	dst = appendFixed64(dst, 5, a.Held)
	dst = appendFixed64(dst, 6, a.Taken)
	dst = appendFixed64(dst, 7, a.Limit)
	dst = appendFixed32(dst, 8, a.Delay)
	if len(a.Refused) > 0 {
		dst = appendBytes(dst, 9, a.Refused)
	}
	return dst
}

// pairFlags makes the flags of a Pair or a PairAck.
func pairFlags(c Channel, bit bool) uint32 {
	if bit {
		return uint32(c)&pairChannel | pairBit
	}
	return uint32(c) & pairChannel
}

// PairAck reads a frame of kind FramePairAck. Its list is lent with the datagram.
func (f *Frame) PairAck() PairAck { return loadPairAck(&f.parts) }

func pairAckInRange(p *parts) bool {
	a := loadPairAck(p)
	return a.Session >= 1 && a.Channel < Channels && a.Next >= 1 && a.Taken >= 1 && a.Limit >= a.Next && a.Refused.valid()
}

func loadPairAck(p *parts) PairAck {
	b := p.head
	_ = b[pairAckHead-1]
	flags := binary.LittleEndian.Uint32(b[24:])
	return PairAck{
		To:      MemberID(b[2:]),
		Session: binary.LittleEndian.Uint32(b[19:]),
		Channel: Channel(flags & pairChannel),
		Dead:    flags&pairBit != 0,
		Next:    binary.LittleEndian.Uint64(b[29:]),
		Held:    binary.LittleEndian.Uint64(b[38:]),
		Taken:   binary.LittleEndian.Uint64(b[47:]),
		Limit:   binary.LittleEndian.Uint64(b[56:]),
		Delay:   binary.LittleEndian.Uint32(b[65:]),
		Refused: p.bytes[0],
	}
}
