package wire

import (
	"encoding/binary"
	"math"
)

// Commit is the commit token: it goes twice around the members of a ring that is to be formed.
// The first time each fills its entry in.
type Commit struct {
	Ring    RingID
	Index   uint32        // entries that are filled in, at most the number of entries
	Rings   OldRings      // the members' old rings, 1..MaxRing of them
	Entries CommitEntries // 1..MaxRing members; the first is Ring.Rep
}

// CommitEntry is the part of a Commit about one member.
type CommitEntry struct {
	ID       MemberID
	Old      uint8 // the member's old ring: its place in Rings
	Filled   bool
	Received bool   // it has all messages that were recovered in an earlier attempt
	Aru      uint64 // all received up to, on the old ring; at most High
	High     uint64 // highest number known on the old ring, at most 2^64-2
	Bound    uint64 // highest number delivered or known to be stable on the old ring, at most Aru
}

// CommitMax is the length of the longest commit frame in bytes.
const (
	CommitMax = 4 + commitHead + 2*3 + MaxRing*(oldRingLen+commitEntryLen)

	commitHead     = 18 + 9 + 5
	oldRingLen     = memberLen + 8
	commitEntryLen = memberLen + 2 + 3*8
)

// OldRings is a list of RingIDs as it lies on the wire: 24 bytes each.
type OldRings []byte

// Len is the number of rings.
func (r OldRings) Len() int { return len(r) / oldRingLen }

// At is ring i.
func (r OldRings) At(i int) RingID {
	b := r[i*oldRingLen:]
	return RingID{Rep: MemberID(b), Seq: binary.LittleEndian.Uint64(b[memberLen:])}
}

// Append appends id.
func (r OldRings) Append(id RingID) OldRings {
	return binary.LittleEndian.AppendUint64(append(r, id.Rep[:]...), id.Seq)
}

// CommitEntries is a list of CommitEntry as it lies on the wire: 42 bytes each.
type CommitEntries []byte

// Bits of an entry's flags.
const (
	entryFilled   = 1 << 0
	entryReceived = 1 << 1
)

// Len is the number of entries.
func (c CommitEntries) Len() int { return len(c) / commitEntryLen }

// At is entry i.
func (c CommitEntries) At(i int) CommitEntry {
	b := c[i*commitEntryLen:][:commitEntryLen]
	return CommitEntry{
		ID: MemberID(b), Old: b[16], Filled: b[17]&entryFilled != 0, Received: b[17]&entryReceived != 0,
		Aru:   binary.LittleEndian.Uint64(b[18:]),
		High:  binary.LittleEndian.Uint64(b[26:]),
		Bound: binary.LittleEndian.Uint64(b[34:]),
	}
}

// Append appends e.
func (c CommitEntries) Append(e CommitEntry) CommitEntries {
	flags := byte(0)
	if e.Filled {
		flags |= entryFilled
	}
	if e.Received {
		flags |= entryReceived
	}
	c = append(append(c, e.ID[:]...), e.Old, flags)
	c = binary.LittleEndian.AppendUint64(c, e.Aru)
	c = binary.LittleEndian.AppendUint64(c, e.High)
	return binary.LittleEndian.AppendUint64(c, e.Bound)
}

var commitLayout = newLayout(commitInRange,
	memberID, // rep
	fixed64,  // ring_seq
	fixed32,  // index
	blob,     // rings
	blob,     // entries
)

// AppendCommit appends c as one frame. It checks nothing.
func AppendCommit(dst []byte, c *Commit) []byte {
	n := commitHead + 2 + varintLen(len(c.Rings)) + len(c.Rings) + varintLen(len(c.Entries)) + len(c.Entries)
	dst = appendLength(append(dst, 0xAA, 0x01), n)
	dst = appendMember(dst, 1, c.Ring.Rep)
	dst = appendFixed64(dst, 2, c.Ring.Seq)
	dst = appendFixed32(dst, 3, c.Index)
	dst = appendBytes(dst, 4, c.Rings)
	return appendBytes(dst, 5, c.Entries)
}

// Commit reads a frame of kind FrameCommit. Its lists are lent with the datagram.
func (f *Frame) Commit() Commit { return loadCommit(&f.parts) }

func commitInRange(p *parts) bool {
	c := loadCommit(p)
	rings, n := c.Rings.Len(), c.Entries.Len()
	if c.Ring.Seq < 1 || c.Ring.Seq > MaxRingSeq || int64(c.Index) > int64(n) || n < 1 || n > MaxRing || rings < 1 || rings > MaxRing ||
		len(c.Entries)%commitEntryLen != 0 || len(c.Rings)%oldRingLen != 0 || !ascending(c.Entries, commitEntryLen) {
		return false
	}
	for i := range rings {
		if seq := c.Rings.At(i).Seq; seq < 1 || seq > MaxRingSeq {
			return false
		}
	}
	for i := range n {
		e := c.Entries.At(i)
		if int(e.Old) >= rings || e.Bound > e.Aru || e.Aru > e.High || e.High == math.MaxUint64 {
			return false
		}
	}
	return c.Entries.At(0).ID == c.Ring.Rep
}

func loadCommit(p *parts) Commit {
	b := p.head
	_ = b[commitHead-1]
	return Commit{
		Ring:    RingID{Rep: MemberID(b[2:]), Seq: binary.LittleEndian.Uint64(b[19:])},
		Index:   binary.LittleEndian.Uint32(b[28:]),
		Rings:   p.bytes[0],
		Entries: p.bytes[1],
	}
}
