package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Cut is a State at one index, for learners and for the disk. It never changes, and any goroutine may read it. It costs
// what the State replaces while it is kept.
//
// It is read in parts: part 0 of it is what is in no map, with the maps' names; part 1 + i is map i of part 0, in ranges of
// the trie's order.
type Cut struct {
	Index, Hash uint64
	Primary     wire.Primary
	Entries     uint64 // in all maps
	Digest      uint64 // State.Digest
}

// Cut returns the State as it is now.
func (s *State) Cut(now clock.Time) *Cut { panic("not built yet") }

// Maps is how many maps there are.
func (c *Cut) Maps() int { panic("not built yet") }

// Part appends to dst a range of a part, of about limit bytes and at least one entry, from place from on; place 0 is its
// begin. next is where the rest begins; end says that there is none. What has a term carries how much of it has elapsed at
// now. count is how many entries were appended. An unknown part is empty.
func (c *Cut) Part(dst []byte, now clock.Time, part uint32, from uint64, limit int) (b []byte, count int, next uint64, end bool) {
	panic("not built yet")
}

// Builder makes a State from the parts of a Cut: all of part 0 in order first, then all others in any order.
type Builder struct{}

// NewBuilder returns an empty one.
func NewBuilder() *Builder { panic("not built yet") }

// Add takes one range of a part, as Part returned it. It fails with wire.ErrMalformed or wire.ErrRange; then the Builder is
// of no further use.
func (b *Builder) Add(now clock.Time, part uint32, range_ []byte) error { panic("not built yet") }

// Maps is how many maps there are; it is known when part 0 was added.
func (b *Builder) Maps() int { panic("not built yet") }

// Entries is how many entries were added.
func (b *Builder) Entries() uint64 { panic("not built yet") }

// State returns the finished State. It fails with ErrDigest where it is not that of the Cut with this digest.
func (b *Builder) State(digest uint64) (*State, error) { panic("not built yet") }
