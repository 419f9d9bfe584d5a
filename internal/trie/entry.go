package trie

import (
	"unsafe"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Entry is one key of a map and what it holds. It is one block of memory without pointers: a header, what only some
// entries have (More), the key, the value. It never changes, so any goroutine may read it, and a key or value that it
// returned stays valid.
type Entry struct {
	version  uint64
	hash     uint64
	digest   uint64
	valueLen uint32
	keyLen   uint16
	more     bool
	_        bool
	// More, where more is set; then the key; then the value.
}

// More is what only some entries have.
type More struct {
	Owner   wire.MemberID // the entry goes when this member does; zero: it stays
	TTL     int64         // ns; 0: it does not expire
	Expires int64         // ns since 1970 by the writer's wall clock: information, and nothing is decided by it
	Began   clock.Time    // when this replica counts the TTL from. It is no part of the state
}

const (
	headerSize = unsafe.Sizeof(Entry{})
	moreSize   = unsafe.Sizeof(More{})
)

// NewEntry returns an entry with copies of key and value, in one allocation. A key has at most 65,535 bytes; hash is its
// Seed.Hash.
func NewEntry(hash uint64, key, value []byte, version uint64, more More) *Entry {
	head := headerSize
	has := more != More{}
	if has {
		head += moreSize
	}
	// Blocks of this size are aligned to 8 bytes, and nothing in them is a pointer.
	block := make([]byte, int(head)+max(1, len(key)+len(value)))
	e := (*Entry)(unsafe.Pointer(unsafe.SliceData(block)))
	e.version, e.keyLen, e.valueLen, e.more = version, uint16(len(key)), uint32(len(value)), has
	if has {
		*e.extra() = more
	}
	copy(block[head:], key)
	copy(block[int(head)+len(key):], value)
	e.hash = hash
	e.digest = e.sum()
	return e
}

// Key is the entry's key. It stays valid.
func (e *Entry) Key() string { return unsafe.String(e.data(), int(e.keyLen)) }

// Value is what the key holds, shared with the map: it must not be changed. An empty value is not nil.
func (e *Entry) Value() []byte {
	n := int(e.valueLen)
	if n == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e.data()), int(e.keyLen))), n)[:n:n]
}

// Version is the index of the operation that wrote the entry.
func (e *Entry) Version() uint64 { return e.version }

// Hash is the entry's place in the trie's order.
func (e *Entry) Hash() uint64 { return e.hash }

// Digest is a hash of all that replicas hold alike of the entry.
func (e *Entry) Digest() uint64 { return e.digest }

// Size is the bytes of key and value.
func (e *Entry) Size() int { return int(e.keyLen) + int(e.valueLen) }

// More is what only some entries have; its zero value otherwise.
func (e *Entry) More() More {
	if !e.more {
		return More{}
	}
	return *e.extra()
}

// Owner is the member that the entry goes with; zero: none.
func (e *Entry) Owner() wire.MemberID {
	if !e.more {
		return wire.MemberID{}
	}
	return e.extra().Owner
}

// Expires is in ns since 1970, by the writer's wall clock; 0: the entry does not expire.
func (e *Entry) Expires() int64 {
	if !e.more {
		return 0
	}
	return e.extra().Expires
}

func (e *Entry) extra() *More { return (*More)(unsafe.Add(unsafe.Pointer(e), headerSize)) }

func (e *Entry) data() *byte {
	head := headerSize
	if e.more {
		head += moreSize
	}
	return (*byte)(unsafe.Add(unsafe.Pointer(e), head))
}

// Shift moves Began by d. Only an entry that nobody else has seen yet may be changed so.
func (e *Entry) Shift(d clock.Time) {
	if e.more {
		e.extra().Began += d
	}
}

// sum is the digest: over key, value, version and More without Began.
func (e *Entry) sum() uint64 {
	h := mix(e.version, uint64(e.keyLen)<<32|uint64(e.valueLen))
	if e.more {
		m := e.extra()
		h = digest(h, m.Owner[:])
		h = mix(h^uint64(m.TTL), uint64(m.Expires))
	}
	return digest(h, unsafe.Slice(e.data(), e.Size()))
}
