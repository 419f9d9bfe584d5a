package wire

import (
	"encoding/binary"
	"math"
)

// Pair carries items from one member to one other, in order.
type Pair struct {
	To            MemberID // the member that it is for
	Session       uint32   // from 1; the transmitter gives each number to one pair once
	ToIncarnation uint32   // of To, as known when the session began
	Channel       Channel
	AckAtOnce     bool
	Number        uint64 // of this datagram in its channel, 1..2^64-2; without items: the next one
	Oldest        uint64 // the lowest number that has not been acknowledged, 1..Number
	Known         uint64 // the lowest item whose outcome the transmitter does not have yet, from 1
	FirstItem     uint64 // number of the first item, from 1; FirstItem+Count is at most 2^64-1
	Count         int    // items, 0..MaxItems; 0: a question for an acknowledgement, which takes no number

	lists []byte
}

// MaxItems is how many items a Pair has at most.
const MaxItems = 64

// Item is one message of a Pair, or a fragment of one, or a report about one. The slices are lent with the
// datagram.
type Item struct {
	Kind        ItemKind
	PayloadKind Kind   // 0..15
	Redelivered bool   // of queue items
	Fragment    bool   // Payload is a part of the whole
	Result      Result // of results
	Call        uint64 // the caller's number of the call; of a reply, result and cancel: of the call that it is about
	Attempt     uint32 // of queue items, results and cancels
	Backlog     uint32 // of results: messages that wait for the handlers of this queue there
	Service     uint32 // of results: µs that one call of a handler takes, smoothed
	Name        []byte // in-box or queue, UTF-8, 0..MaxName bytes; that of an earlier item where the wire leaves it out
	Offset      uint32 // of a fragment: bytes of payload before this part
	Size        uint32 // of a fragment: bytes of the whole payload; the part lies inside
	Payload     []byte // of a fragment: not empty
}

// ItemKind is what an item is, 0..15. Values that are not listed are from newer members.
type ItemKind uint8

// The kinds.
const (
	ItemSend         ItemKind = 1
	ItemRequest      ItemKind = 2
	ItemQueue        ItemKind = 3
	ItemQueueRequest ItemKind = 4
	ItemReply        ItemKind = 5
	ItemResult       ItemKind = 6
	ItemCancel       ItemKind = 7
	ItemRecord       ItemKind = 8 // the payload is a Record
	ItemNothing      ItemKind = 9
	ItemTransfer     ItemKind = 10 // the payload is a Transfer of a cluster
)

// Named reports whether an item of this kind is for an in-box or a queue.
func (k ItemKind) Named() bool { return k >= ItemSend && k <= ItemQueueRequest }

// Result is what became of a queue item, 0..15. Values that are not listed are from newer members.
type Result uint8

// The results.
const (
	ResultHandled  Result = 0
	ResultError    Result = 1
	ResultNoReply  Result = 2
	ResultReturned Result = 3 // no handler began it
)

const (
	pairHead = 18 + 3*5 + 4*9
	itemHead = 5 + 9

	// Bits of an item's head.
	itemRedelivered = 1 << 8
	itemFragment    = 1 << 9
	itemKnown       = 0xF | 0xF0 | itemRedelivered | itemFragment | 0xF000

	tagItem        = 9<<3 | typeBytes
	tagItemAttempt = 3<<3 | typeFixed32
	tagItemBacklog = 4<<3 | typeFixed32
	tagItemService = 5<<3 | typeFixed32
	tagItemName    = 6<<3 | typeBytes
	tagItemOffset  = 7<<3 | typeFixed32
	tagItemSize    = 8<<3 | typeFixed32
	tagItemPayload = 9<<3 | typeBytes
)

var pairLayout = newLayout(pairInRange,
	memberID,                   // to
	fixed32,                    // session
	fixed32,                    // to_incarnation
	flags(pairChannel|pairBit), // flags
	fixed64,                    // number
	fixed64,                    // oldest
	fixed64,                    // known
	fixed64,                    // first_item
	listed,                     // items
).withNested(MaxItems, canonicalItem, judgeItem)

// Pair reads a frame of kind FramePair. Its items are lent with the datagram.
func (f *Frame) Pair() Pair {
	p := loadPairFrame(&f.parts)
	p.lists = f.lists
	return p
}

func pairInRange(p *parts) bool {
	x := loadPairFrame(p)
	return x.Session >= 1 && x.Channel < Channels && x.Number >= 1 && x.Number < math.MaxUint64 &&
		x.Oldest >= 1 && x.Oldest <= x.Number && x.Known >= 1 && x.FirstItem >= 1 && x.FirstItem <= math.MaxUint64-uint64(x.Count)
}

func loadPairFrame(p *parts) Pair {
	b := p.head
	_ = b[pairHead-1]
	flags := binary.LittleEndian.Uint32(b[29:])
	return Pair{
		To:            MemberID(b[2:]),
		Session:       binary.LittleEndian.Uint32(b[19:]),
		ToIncarnation: binary.LittleEndian.Uint32(b[24:]),
		Channel:       Channel(flags & pairChannel),
		AckAtOnce:     flags&pairBit != 0,
		Number:        binary.LittleEndian.Uint64(b[34:]),
		Oldest:        binary.LittleEndian.Uint64(b[43:]),
		Known:         binary.LittleEndian.Uint64(b[52:]),
		FirstItem:     binary.LittleEndian.Uint64(b[61:]),
		Count:         int(p.count),
	}
}

// appendPairHead appends the head of p's body.
func appendPairHead(dst []byte, p *Pair) []byte {
	dst = appendMember(dst, 1, p.To)
	dst = appendFixed32(dst, 2, p.Session)
	dst = appendFixed32(dst, 3, p.ToIncarnation)
	dst = appendFixed32(dst, 4, pairFlags(p.Channel, p.AckAtOnce))
	dst = appendFixed64(dst, 5, p.Number)
	dst = appendFixed64(dst, 6, p.Oldest)
	dst = appendFixed64(dst, 7, p.Known)
	return appendFixed64(dst, 8, p.FirstItem)
}

// PairQuestionLen is the length in bytes of a pair frame without items.
const PairQuestionLen = 2 + 1 + pairHead

// AppendPairQuestion appends p as a frame without items. PairWriter writes those with items. It checks
// nothing: a receiver refuses values outside their bounds.
func AppendPairQuestion(dst []byte, p *Pair) []byte {
	return appendPairHead(append(dst, 0xBA, 0x01, pairHead), p)
}

// Items iterates over the items, without allocating.
func (p *Pair) Items() ItemIter { return ItemIter{rest: p.lists} }

// ItemIter is one walk over the items of a Pair:
//
//	it := pair.Items()
//	for it.Step() {
//		use(&it.Item)
//	}
type ItemIter struct {
	Item        // the current item
	rest []byte // fields of a Pair, from the next item on or earlier
	last []byte // the name of the last item whose kind is Named
}

// Step moves to the next item. It is false at the end.
func (it *ItemIter) Step() bool {
	b, ok := nextMessage(&it.rest, 9)
	if !ok {
		return false
	}
	it.Item = Item{}
	named, ok := it.load(b)
	if !ok {
		it.Item = Item{}
		if named, ok = it.scan(b); !ok {
			return false
		}
	}
	if it.Kind.Named() {
		if named {
			it.last = it.Name
		} else {
			it.Name = it.last
		}
	}
	return true
}

// scan reads an item that was checked before, in any layout. named reports whether it has a name.
func (i *Item) scan(b []byte) (named, ok bool) {
	named, err := scanItem(b, i)
	return named, err == nil
}

func (i *Item) setHead(head uint32) {
	i.Kind, i.PayloadKind = ItemKind(head&0xF), Kind(head>>4&0xF)
	i.Redelivered, i.Fragment = head&itemRedelivered != 0, head&itemFragment != 0
	i.Result = Result(head >> 12 & 0xF)
}

func (i *Item) head() uint32 {
	head := uint32(i.Kind)&0xF | uint32(i.PayloadKind)&0xF<<4 | uint32(i.Result)&0xF<<12
	if i.Redelivered {
		head |= itemRedelivered
	}
	if i.Fragment {
		head |= itemFragment
	}
	return head
}

// load reads a canonical item into an empty one; it is false for every other layout. It checks all but
// the characters of the name, and whether there has to be one.
func (i *Item) load(b []byte) (named, ok bool) {
	if len(b) < itemHead || b[0] != 1<<3|typeFixed32 || b[5] != 2<<3|typeFixed64 {
		return false, false
	}
	head := binary.LittleEndian.Uint32(b[1:])
	if head&^itemKnown != 0 {
		return false, false
	}
	i.setHead(head)
	i.Call = binary.LittleEndian.Uint64(b[6:])
	b = b[itemHead:]
	if b, ok = takeNumber(b, tagItemAttempt, &i.Attempt); !ok {
		return false, false
	}
	if b, ok = takeNumber(b, tagItemBacklog, &i.Backlog); !ok {
		return false, false
	}
	if b, ok = takeNumber(b, tagItemService, &i.Service); !ok {
		return false, false
	}
	if len(b) > 0 && b[0] == tagItemName {
		if i.Name, b, ok = canonicalBytes(b, 6); !ok || len(i.Name) > MaxName || len(i.Name) == 0 && !i.Kind.Named() {
			return false, false
		}
		named = true
	}
	if i.Fragment {
		if len(b) < 2*5 || b[0] != tagItemOffset || b[5] != tagItemSize {
			return false, false
		}
		i.Offset, i.Size = binary.LittleEndian.Uint32(b[1:]), binary.LittleEndian.Uint32(b[6:])
		b = b[2*5:]
	}
	if len(b) > 0 {
		if i.Payload, b, ok = canonicalBytes(b, 9); !ok || len(i.Payload) == 0 || len(b) > 0 {
			return false, false
		}
	}
	return named, i.inRange()
}

// takeNumber takes an optional number off the front of b. A zero that is written is not canonical.
func takeNumber(b []byte, tag byte, v *uint32) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return b, true
	}
	if len(b) < 5 {
		return nil, false
	}
	*v = binary.LittleEndian.Uint32(b[1:])
	return b[5:], *v != 0
}

func (i *Item) inRange() bool {
	return len(i.Name) <= MaxName &&
		(!i.Fragment || len(i.Payload) > 0 && uint64(i.Offset)+uint64(len(i.Payload)) <= uint64(i.Size))
}

// itemNamed is the state of the judges of items: there was a name that others may repeat.
const itemNamed = 1

func canonicalItem(b []byte, state uint32) (next uint32, ok bool) {
	var i Item
	named, ok := i.load(b)
	if !ok || !validText(i.Name) {
		return 0, false
	}
	return nameOf(&i, named, state)
}

// nameOf returns the state behind an item. It is not ok when the item lacks a name.
func nameOf(i *Item, named bool, state uint32) (next uint32, ok bool) {
	switch {
	case !i.Kind.Named():
		return state, true
	case named:
		return itemNamed, true
	}
	return state, state == itemNamed
}

func judgeItem(b []byte, state uint32) (uint32, error) {
	var i Item
	named, err := scanItem(b, &i)
	if err != nil {
		return 0, err
	}
	state, ok := nameOf(&i, named, state)
	if !ok {
		return 0, ErrMalformed
	}
	return state, nil
}

// scanItem reads an item in any layout into an empty one, and checks it. named reports whether it has a
// name.
func scanItem(b []byte, i *Item) (named bool, err error) {
	seen := uint32(0)
	s := scanner{rest: b}
	for s.next() {
		switch {
		case s.is(1, typeFixed32):
			i.setHead(uint32(s.value))
		case s.is(2, typeFixed64):
			i.Call = s.value
		case s.is(3, typeFixed32):
			i.Attempt = uint32(s.value)
		case s.is(4, typeFixed32):
			i.Backlog = uint32(s.value)
		case s.is(5, typeFixed32):
			i.Service = uint32(s.value)
		case s.is(6, typeBytes):
			if !validText(s.bytes) {
				return false, ErrMalformed
			}
			i.Name = s.bytes
		case s.is(7, typeFixed32):
			i.Offset = uint32(s.value)
		case s.is(8, typeFixed32):
			i.Size = uint32(s.value)
		case s.is(9, typeBytes):
			i.Payload = s.bytes
		default:
			continue
		}
		seen |= 1 << s.field
	}
	const required, part = 1<<1 | 1<<2, 1<<7 | 1<<8
	if s.bad || seen&required != required || i.Fragment && seen&part != part {
		return false, ErrMalformed
	}
	if !i.Fragment {
		i.Offset, i.Size = 0, 0 // which have no meaning here
	}
	if !i.inRange() {
		return false, ErrRange
	}
	return seen&(1<<6) != 0, nil
}
