package member

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/group"
)

// MaxSlots is how many calls of one kind may wait at a time: a call's number is its slot below MaxSlots, and from bit 16
// on a generation.
const MaxSlots = group.MaxCalls

const slotBlock = 1024

// Slot is what every call that waits has: its place in a table, and how its goroutine is woken. A call belongs to the
// goroutine that got it until it is begun, then to the engine until it has ended or the goroutine has left it.
type Slot struct {
	index  uint32
	next   atomic.Uint32 // in the list of free ones: index + 1; 0: none
	number uint64        // index and generation
	state  atomic.Uint32
	ended  chan struct{} // one token, when it has ended
}

// States of a call.
const (
	callFree    uint32 = iota
	callWaiting        // the goroutine that began it waits
	callEnded          // how it ended is there
	callLeft           // nobody waits any more
)

// Ended is given a token when the call has ended. One who has not taken it does so before Free.
func (s *Slot) Ended() <-chan struct{} { return s.ended }

// HasEnded reports whether the call has ended. The token of Ended is there then, or a moment later.
func (s *Slot) HasEnded() bool { return s.state.Load() == callEnded }

// Leave ends the waiting: the slot is given back when the call ends. It is false when the call has ended:
// the slot is the caller's then.
func (s *Slot) Leave() bool { return s.state.CompareAndSwap(callWaiting, callLeft) }

// Number is the call's number while it is begun.
func (s *Slot) Number() uint64 { return s.number }

// watched reports whether a goroutine waits for the end.
func (s *Slot) watched() bool { return s.state.Load() == callWaiting }

// end wakes the goroutine that waits. It is false when none does: the slot is to be freed then.
func (s *Slot) end() bool {
	if !s.state.CompareAndSwap(callWaiting, callEnded) {
		return false
	}
	s.ended <- struct{}{}
	return true
}

// slots is a table of calls, at most MaxSlots. It grows by blocks, and gives none back. Any goroutine may call its
// methods.
type slots[T any, P interface {
	*T
	slot() *Slot
}] struct {
	blocks [MaxSlots / slotBlock]atomic.Pointer[[slotBlock]T]
	free   atomic.Uint64 // the first free one: index + 1 in the lower 32 bits, and above a count against ABA

	mu   sync.Mutex
	made uint32 // blocks; guarded by mu
}

// get takes a free slot; nil: there is none.
func (t *slots[T, P]) get() P {
	for {
		head := t.free.Load()
		first := uint32(head)
		if first == 0 {
			if !t.grow() {
				return nil
			}
			continue
		}
		c := t.at(uint64(first - 1))
		s := c.slot()
		if t.free.CompareAndSwap(head, (head>>32+1)<<32|uint64(s.next.Load())) {
			s.number += MaxSlots
			return c
		}
	}
}

// put gives a slot back.
func (t *slots[T, P]) put(c P) {
	s := c.slot()
	s.state.Store(callFree)
	for {
		head := t.free.Load()
		s.next.Store(uint32(head))
		if t.free.CompareAndSwap(head, (head>>32+1)<<32|uint64(s.index+1)) {
			return
		}
	}
}

// at finds a call by its number.
func (t *slots[T, P]) at(number uint64) P {
	index := number % MaxSlots
	return &t.blocks[index/slotBlock].Load()[index%slotBlock]
}

// grow makes a block more, unless there is one free by now.
func (t *slots[T, P]) grow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if uint32(t.free.Load()) != 0 {
		return true
	}
	if t.made == MaxSlots/slotBlock {
		return false
	}
	b := new([slotBlock]T)
	t.blocks[t.made].Store(b)
	for i := range b {
		s := P(&b[i]).slot()
		s.index = t.made*slotBlock + uint32(i)
		s.number = uint64(s.index)
		s.ended = make(chan struct{}, 1)
	}
	t.made++
	for i := range b {
		t.put(&b[len(b)-1-i])
	}
	return true
}

// room is memory for what a call carries, which stays with its slot unless it is large.
type room []byte

// keptBytes bounds the memory that a slot keeps, each way. What is larger is made anew.
const keptBytes = 4 << 10

func (r *room) trim() {
	if cap(*r) > keptBytes {
		*r = nil
	}
}
