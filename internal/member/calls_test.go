package member

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/activeblaze/blaze/group"
)

// A slot has one owner at a time, and a number of its own each time.
func TestCallsHaveOneOwner(t *testing.T) {
	var calls Calls
	var owned [group.MaxCalls]atomic.Bool
	var numbers sync.Map
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var mine []*Call
			for i := range 5000 {
				c := calls.Get()
				if c == nil {
					t.Error("no slot")
					return
				}
				if owned[c.index].Swap(true) {
					t.Errorf("slot %d has two owners", c.index)
				}
				if _, twice := numbers.LoadOrStore(c.Number(), nil); twice || c.Number()%group.MaxCalls != uint64(c.index) {
					t.Errorf("number %d of slot %d", c.Number(), c.index)
				}
				mine = append(mine, c)
				for len(mine) > i%7 {
					c := mine[0]
					mine = mine[1:]
					owned[c.index].Store(false)
					calls.Free(c)
				}
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	if calls.slots.made != 1 {
		t.Errorf("%d blocks were made for a few calls at a time", calls.slots.made)
	}
}

// There are MaxCalls of them, made as they are needed, and a slot is free again after Free.
func TestCallsHaveABound(t *testing.T) {
	var calls Calls
	var all []*Call
	for c := calls.Get(); c != nil; c = calls.Get() {
		all = append(all, c)
	}
	if len(all) != group.MaxCalls {
		t.Fatalf("%d slots, want %d", len(all), group.MaxCalls)
	}
	number := all[7].Number()
	calls.Free(all[7])
	if c := calls.Get(); c != all[7] || c.Number() != number+group.MaxCalls {
		t.Errorf("the slot that was freed is not the next, or has its old number")
	}
	if calls.Get() != nil {
		t.Error("one more than there are")
	}
}

// One who has left a call has its slot given back when it ends; one who has not has the outcome, a copy.
func TestCallEnds(t *testing.T) {
	var calls Calls
	left, waited := calls.Get(), calls.Get()
	for _, c := range []*Call{left, waited} {
		c.state.Store(callWaiting)
	}
	if !left.Leave() {
		t.Fatal("a call that waits cannot be left")
	}
	reply := []byte("reply")
	for _, c := range []*Call{left, waited} {
		calls.Ended(1, &group.End{Call: c.Number(), Why: group.Answered, Payload: reply})
	}
	reply[0] = 'x'
	if calls.Get() != left {
		t.Error("the slot that was left is not free")
	}
	<-waited.Ended()
	if !waited.HasEnded() || waited.Leave() || waited.End.Why != group.Answered || string(waited.End.Payload) != "reply" {
		t.Errorf("end: %+v", waited.End)
	}
}
