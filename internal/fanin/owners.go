package fanin

import (
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
// Reading takes no lock: the map is replaced, never changed. That costs a copy for each new
// transmitter, and the bound limits what a flood of made-up ones can cost.
type owners struct {
	bound int // transmitters
	mu    sync.Mutex
	known atomic.Pointer[map[wire.MemberID]int]
}

// ownedEach is how many transmitters there may be for each engine besides those of its core's streams.
// So the cores run out of room first, and drop those that have been silent longest. A transmitter that
// is in no core is soon taken out of this table.
const ownedEach = 256

func newOwners(engines, streams int) *owners {
	o := &owners{bound: engines * (ownedEach + max(streams, ownedEach))}
	o.known.Store(new(map[wire.MemberID]int))
	return o
}

// of returns the engine that owns a transmitter; ok is false when none does.
func (o *owners) of(m wire.MemberID) (engine int, ok bool) {
	engine, ok = (*o.known.Load())[m]
	return engine, ok
}

// claim makes engine the owner of a transmitter, unless it has one, and returns the owner. ok is
// false when it has none and there is no room either.
func (o *owners) claim(m wire.MemberID, engine int) (owner int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := *o.known.Load()
	if owner, ok = known[m]; ok {
		return owner, true
	}
	if len(known) >= o.bound {
		return 0, false
	}
	next := make(map[wire.MemberID]int, len(known)+1)
	maps.Copy(next, known)
	next[m] = engine
	o.known.Store(&next)
	return engine, true
}

// release takes entries away. Only their owner calls it.
func (o *owners) release(gone []wire.MemberID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := maps.Clone(*o.known.Load())
	for _, m := range gone {
		delete(next, m)
	}
	o.known.Store(&next)
}
