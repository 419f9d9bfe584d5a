package abi

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze"
)

// Kind is what a handle names.
type Kind uint8

// The kinds of handles.
const (
	KindConfig Kind = iota + 1
	KindChannel
	KindPublisher
	KindClaim
	KindSubscription
	KindListener
	KindMessage
	KindCall
	KindMap
	KindLock
)

var kindNames = []string{"nothing", "settings", "a channel", "a publisher", "a claim", "a subscription", "a listener", "a message", "a call", "a map", "a lock"}

// String is the kind with its article: "a channel".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "nothing"
}

// A handle has, from its lowest bit, 24 bits of a slot's number, 8 bits of the kind, and 32 bits of the slot's generation.
// A slot's first generation is 1, so no handle is 0.
const (
	slotBits  = 24
	chunkBits = 12
	maxSlots  = 1 << slotBits
)

func kindOf(h uint64) Kind { return Kind(h >> slotBits) }

// closer is what a handle names. close is called once, by whoever takes the handle out of the table.
type closer interface{ close() error }

// entry is what a slot holds while its handle is open.
type entry struct {
	handle uint64
	value  closer
}

type slot struct {
	now        atomic.Pointer[entry]
	generation uint32 // of the present handle, or of the last one; guarded by table.mu
}

type chunk [1 << chunkBits]slot

// table finds what handles name. A look-up takes no lock.
type table struct {
	chunks [maxSlots >> chunkBits]atomic.Pointer[chunk]

	mu   sync.Mutex
	free []uint32 // slots that can be used again: the one that was closed first comes first
	used uint32   // slots that were ever used
	open int
}

var handles table

// minFree is how many closed slots wait before one of them is used again, so that a slot's generations do not run through.
const minFree = 1024

// add makes a handle.
func (t *table) add(k Kind, v closer) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var at uint32
	switch {
	case len(t.free) > minFree || t.used == maxSlots && len(t.free) > 0:
		at = t.free[0]
		t.free = t.free[1:]
	case t.used == maxSlots:
		return 0, fmt.Errorf("%w: %d handles are open, as many as there can be", blaze.ErrTooLarge, maxSlots)
	default:
		at = t.used
		t.used++
		if c := &t.chunks[at>>chunkBits]; c.Load() == nil {
			c.Store(new(chunk))
		}
	}
	s := t.slot(at)
	s.generation++
	if s.generation == 0 {
		s.generation = 1
	}
	h := uint64(s.generation)<<32 | uint64(k)<<slotBits | uint64(at)
	s.now.Store(&entry{h, v})
	t.open++
	return h, nil
}

func (t *table) slot(at uint32) *slot { return &t.chunks[at>>chunkBits].Load()[at&(1<<chunkBits-1)] }

// get returns what h names; nil: it is not open.
func (t *table) get(h uint64) closer {
	at := uint32(h) & (maxSlots - 1)
	c := t.chunks[at>>chunkBits].Load()
	if c == nil {
		return nil
	}
	if e := c[at&(1<<chunkBits-1)].now.Load(); e != nil && e.handle == h {
		return e.value
	}
	return nil
}

// remove closes the handle, and returns what it named; nil: somebody else did, or it was never open.
func (t *table) remove(h uint64) closer {
	v := t.get(h)
	if v == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := uint32(h) & (maxSlots - 1)
	s := t.slot(at)
	e := s.now.Load()
	if e == nil || e.handle != h {
		return nil
	}
	s.now.Store(nil)
	t.free = append(t.free, at)
	t.open--
	return e.value
}

// Open returns the number of handles that are open.
func Open() int {
	handles.mu.Lock()
	defer handles.mu.Unlock()
	return handles.open
}

// look returns what h names as a T.
func look[T closer](h uint64, want Kind) (v T, err error) {
	v, ok := handles.get(h).(T)
	if !ok {
		return v, badHandle(h, want)
	}
	return v, nil
}

func badHandle(h uint64, want Kind) error {
	switch k := kindOf(h); {
	case h == 0:
		return fmt.Errorf("%w: it is 0, and %v was wanted", ErrHandle, want)
	case k != want && handles.get(h) != nil:
		return fmt.Errorf("%w: it is that of %v, and %v was wanted", ErrHandle, k, want)
	case k == 0 || int(k) >= len(kindNames):
		return fmt.Errorf("%w: %#x was never one; %v was wanted", ErrHandle, h, want)
	}
	return fmt.Errorf("%w: %#x, of %v, was closed", ErrHandle, h, kindOf(h))
}

// Close closes whatever the handle names, as its kind says.
func Close(h uint64) error {
	v := handles.remove(h)
	if v == nil {
		if h == 0 {
			return fmt.Errorf("%w: it is 0", ErrHandle)
		}
		return fmt.Errorf("%w: %#x was closed before, or was never one", ErrHandle, h)
	}
	return v.close()
}
