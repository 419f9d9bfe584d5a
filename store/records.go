package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The file holds five buckets. Every value begins with a CRC-32C over the bucket's letter, the key and the rest of the
// value, since bbolt checks nothing but its two meta pages. Numbers in keys are big-endian, so that keys have their order;
// numbers in values are little-endian.
//
//	meta    seat  crc, format, cluster's hash, the seat's id
//	        head  crc, what else there is: see head
//	quorum  last       crc, what the core remembers about primaries
//	        committed  crc, index
//	tail    number                crc, record
//	log     generation, index     crc, index and hash before it, hash after it, record
//	snap    number, piece         crc, whether the part goes on in the next piece, bytes
//
// A generation of the log ends with a snapshot that replaces the history. The head says which generation and which
// snapshot count; what belongs to others is removed little by little.
var (
	bucketMeta   = []byte("meta")
	bucketQuorum = []byte("quorum")
	bucketTail   = []byte("tail")
	bucketLog    = []byte("log")
	bucketSnap   = []byte("snap")

	buckets = [][]byte{bucketLog, bucketMeta, bucketQuorum, bucketSnap, bucketTail} // in bbolt's order

	keySeat      = []byte("seat")
	keyHead      = []byte("head")
	keyLast      = []byte("last")
	keyCommitted = []byte("committed")
)

const (
	format     = 1
	crcBytes   = 4
	logHeader  = crcBytes + 24 // the index and hash before, the hash after
	snapHeader = crcBytes + 1
	pieceBytes = 256 << 10 // of a snapshot in one commit
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a record: the bucket's first letter, the key, and the value behind its CRC.
func checksum(bucket, key, rest []byte) uint32 {
	c := crc32.Update(0, castagnoli, bucket[:1])
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, rest)
}

// seal writes the CRC into the first four bytes of value.
func seal(bucket, key, value []byte) []byte {
	binary.LittleEndian.PutUint32(value, checksum(bucket, key, value[crcBytes:]))
	return value
}

// open checks value's CRC and returns what is behind it. It fails where that is shorter than min.
func open(bucket, key, value []byte, min int) ([]byte, error) {
	if len(value) < crcBytes+min {
		return nil, damaged("record %s has %d bytes", name(bucket, key), len(value))
	}
	if binary.LittleEndian.Uint32(value) != checksum(bucket, key, value[crcBytes:]) {
		return nil, damaged("record %s: its CRC-32C is wrong", name(bucket, key))
	}
	return value[crcBytes:], nil
}

// name is a record's name for people.
func name(bucket, key []byte) string {
	switch {
	case string(bucket) == "log" && len(key) == logKeyBytes:
		g, i := splitLogKey(key)
		return fmt.Sprintf("log %d (generation %d)", i, g)
	case string(bucket) == "snap" && len(key) == snapKeyBytes:
		s, p := splitSnapKey(key)
		return fmt.Sprintf("snap %d, piece %d", s, p)
	case string(bucket) == "tail" && len(key) == 4:
		return fmt.Sprintf("tail %d", binary.BigEndian.Uint32(key))
	case string(bucket) == "meta" || string(bucket) == "quorum":
		return fmt.Sprintf("%s %q", bucket, key)
	}
	return fmt.Sprintf("%s %x", bucket, key)
}

const (
	logKeyBytes  = 12
	snapKeyBytes = 12
)

func logKey(generation uint32, index uint64) []byte {
	k := make([]byte, logKeyBytes)
	binary.BigEndian.PutUint32(k, generation)
	binary.BigEndian.PutUint64(k[4:], index)
	return k
}

func splitLogKey(k []byte) (generation uint32, index uint64) {
	return binary.BigEndian.Uint32(k), binary.BigEndian.Uint64(k[4:])
}

func snapKey(snap uint64, piece uint32) []byte {
	k := make([]byte, snapKeyBytes)
	binary.BigEndian.PutUint64(k, snap)
	binary.BigEndian.PutUint32(k[8:], piece)
	return k
}

func splitSnapKey(k []byte) (snap uint64, piece uint32) {
	return binary.BigEndian.Uint64(k), binary.BigEndian.Uint32(k[8:])
}

func tailKey(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// point is a place in a history.
type point struct{ index, hash uint64 }

// head says what counts. It is written in every transaction.
type head struct {
	generation uint32 // of the log
	next       uint32 // generations are below it
	snap       uint64 // the base; 0: none
	nextSnap   uint64 // numbers of snapshots are below it
	pieces     uint32 // of the base
	tail       uint32 // records
	base, end  point  // of the snapshot; after the log's last record
	lives      uint64 // how often the directory was opened to be written
	quorum     bool   // there is a record `last`
	committed  bool   // there is a record `committed`
}

const headBytes = 4 + 4 + 8 + 8 + 4 + 4 + 16 + 16 + 8 + 1

func (h *head) append(v []byte) []byte {
	le := binary.LittleEndian
	v = le.AppendUint32(v, h.generation)
	v = le.AppendUint32(v, h.next)
	v = le.AppendUint64(v, h.snap)
	v = le.AppendUint64(v, h.nextSnap)
	v = le.AppendUint32(v, h.pieces)
	v = le.AppendUint32(v, h.tail)
	v = le.AppendUint64(v, h.base.index)
	v = le.AppendUint64(v, h.base.hash)
	v = le.AppendUint64(v, h.end.index)
	v = le.AppendUint64(v, h.end.hash)
	v = le.AppendUint64(v, h.lives)
	flags := byte(0)
	if h.quorum {
		flags |= 1
	}
	if h.committed {
		flags |= 2
	}
	return append(v, flags)
}

func parseHead(b []byte) head {
	le := binary.LittleEndian
	return head{
		generation: le.Uint32(b), next: le.Uint32(b[4:]),
		snap: le.Uint64(b[8:]), nextSnap: le.Uint64(b[16:]),
		pieces: le.Uint32(b[24:]), tail: le.Uint32(b[28:]),
		base: point{le.Uint64(b[32:]), le.Uint64(b[40:])}, end: point{le.Uint64(b[48:]), le.Uint64(b[56:])},
		lives: le.Uint64(b[64:]), quorum: b[72]&1 != 0, committed: b[72]&2 != 0,
	}
}

// identity is the record meta "seat".
type identity struct {
	format  uint32
	cluster uint64
	seat    [16]byte
}

const identityBytes = 4 + 8 + 16

func (d *identity) append(v []byte) []byte {
	v = binary.LittleEndian.AppendUint32(v, d.format)
	v = binary.LittleEndian.AppendUint64(v, d.cluster)
	return append(v, d.seat[:]...)
}

func parseIdentity(b []byte) (d identity) {
	d.format, d.cluster = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
	copy(d.seat[:], b[12:])
	return d
}
