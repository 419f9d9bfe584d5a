package wire

import "encoding/binary"

// Hello announces the transmitter, to all or to the member that asked.
type Hello struct {
	Ask     bool  // who is there?
	Attempt uint8 // of asking, from 0
	Nonce   uint64
	Record  Record // of the transmitter
}

const (
	helloHead    = 5 + 9
	helloAsk     = 1 << 0
	helloAttempt = 0xFF00 // bits of the flags
)

// HelloSize is the length in bytes of a hello frame whose record takes so many.
func HelloSize(record int) int {
	n := helloHead + 1 + varintLen(record) + record
	return 2 + varintLen(n) + n
}

var helloLayout = newLayout(func(*parts) bool { return true },
	flags(helloAsk|helloAttempt), // flags
	fixed64,                      // nonce
	inside,                       // record
).withNested(1, canonicalRecord, judgeRecord)

// AppendHello appends h as one frame, with these lists for its Record. It checks nothing: a receiver
// refuses values outside their bounds.
func AppendHello(dst []byte, h *Hello, lists RecordLists) []byte {
	record := RecordLen(len(h.Record.Name), len(lists))
	flags := uint32(h.Attempt) << 8
	if h.Ask {
		flags |= helloAsk
	}
	dst = appendLength(append(dst, 0xE2, 0x01), helloHead+1+varintLen(record)+record)
	dst = appendFixed32(dst, 1, flags)
	dst = appendFixed64(dst, 2, h.Nonce)
	return appendRecordField(dst, 3, &h.Record, lists)
}

// Hello reads a frame of kind FrameHello. Its Record is lent with the datagram.
func (f *Frame) Hello() Hello {
	b := f.head
	_ = b[helloHead-1]
	flags := binary.LittleEndian.Uint32(b[1:])
	h := Hello{Ask: flags&helloAsk != 0, Attempt: uint8(flags >> 8), Nonce: binary.LittleEndian.Uint64(b[6:])}
	lists := f.lists
	record, _ := nextMessage(&lists, 3)
	h.Record = readRecord(record, f.canonical)
	return h
}
