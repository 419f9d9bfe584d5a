package group

import (
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// mapSlot is what an entry of a map takes besides its key and value, about, with half of the map free.
const mapSlot = 2 * (int(unsafe.Sizeof(wire.MemberID{})) + int(unsafe.Sizeof(uintptr(0))) + 2)

// placeSlot is that of the map from endpoints.
const placeSlot = 2 * (int(unsafe.Sizeof(buf.Endpoint(0))) + int(unsafe.Sizeof(0)) + 2)

// Bytes is what a member of a group takes besides buffers of the pool, at most: its tables, the records of all
// members, the calls that wait, and large messages that are being put together.
func Bytes(maxMessageSize int) int64 {
	const (
		pairSize  = int64(unsafe.Sizeof(pair{})) + int64(wire.Channels)*(int64(unsafe.Sizeof(sending{}))+int64(unsafe.Sizeof(receiving{})))
		entries   = MaxMembers * (int64(unsafe.Sizeof(entry{})) + pairSize + int64(mapSlot+placeSlot) + 2*8) // two pointers: by age, and by deadline
		tombs     = MaxTombstones * (int64(unsafe.Sizeof(tombstone{})) + int64(mapSlot) + 8)
		waiting   = MaxCalls * int64(unsafe.Sizeof(call{}))
		datagrams = DefaultBuffers * int64(unsafe.Sizeof(slot{})) * 2 // tables grow by doubling
	)
	return entries + tombs + waiting + datagrams + MaxRecords + 2*wire.MaxRecord + maxParts*int64(max(maxMessageSize, maxRecord))
}
