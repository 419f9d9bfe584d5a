package fanin

import (
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/wire"
)

// owners is the table of which engine of this member has the streams of each transmitter. A stream
// may have one receiver only: two would deliver it twice. Three rules ensure that:
//
//   - An entry never changes. It is made under the lock: if two engines receive from a new
//     transmitter at the same time, one becomes the owner and the other one sees it.
//   - Only the owner steps what a transmitter sends about its streams.
//   - Only the owner takes an entry away, and only when its core holds nothing of the transmitter.
//     What comes then begins a stream anew, with one engine just as with several.
//
// Reading takes no lock: maps are replaced, never changed. Each one holds a part of the transmitters,
// so a new one costs a small copy, and a flood of made-up ones costs no more for each.
type owners struct {
	bound int // transmitters
	mu    sync.Mutex
	count int // guarded by mu
	known [ownerParts]atomic.Pointer[map[wire.MemberID]int]
}

const (
	// ownedEach is how many transmitters there may be for each stream that the cores receive. So the
	// cores run out of room first, and drop those that have been silent longest. A transmitter that is
	// in no core is soon taken out of this table.
	ownedEach = 2

	ownerParts = 256
	// crowded is how many times its fair share one part may hold, and how many it may hold at least.
	crowded = 8
)

func newOwners(engines, streams int) *owners {
	o := &owners{bound: engines * streams * ownedEach}
	for i := range o.known {
		o.known[i].Store(new(map[wire.MemberID]int))
	}
	return o
}

// part returns the map that a transmitter belongs in.
func (o *owners) part(m *wire.MemberID) *atomic.Pointer[map[wire.MemberID]int] {
	h := binary.LittleEndian.Uint64(m[:8]) ^ binary.LittleEndian.Uint64(m[8:])
	h ^= h >> 32
	h ^= h >> 16
	return &o.known[(h^h>>8)%ownerParts]
}

// of returns the engine that owns a transmitter; ok is false when none does.
func (o *owners) of(m wire.MemberID) (engine int, ok bool) {
	engine, ok = (*o.part(&m).Load())[m]
	return engine, ok
}

// claim makes engine the owner of a transmitter, unless it has one, and returns the owner. ok is
// false when it has none and there is no room either.
func (o *owners) claim(m wire.MemberID, engine int) (owner int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	part := o.part(&m)
	known := *part.Load()
	if owner, ok = known[m]; ok {
		return owner, true
	}
	if o.count >= o.bound || len(known) >= crowded*max(o.bound/ownerParts, 1) {
		return 0, false
	}
	next := make(map[wire.MemberID]int, len(known)+1)
	maps.Copy(next, known)
	next[m] = engine
	part.Store(&next)
	o.count++
	return engine, true
}

// release takes entries away. Only their owner calls it.
func (o *owners) release(gone []wire.MemberID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range gone {
		part := o.part(&m)
		next := maps.Clone(*part.Load())
		o.count -= len(next)
		delete(next, m)
		o.count += len(next)
		part.Store(&next)
	}
}
