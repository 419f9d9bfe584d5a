package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/wire"
)

// ClusterCall is one call to the core of a cluster that waits: a slot of ClusterCalls.
type ClusterCall struct {
	Slot
	Call cluster.Call // its Number is the slot's

	// Cancelled: it was cancelled before it had a result. Call.Proposed says whether it may have happened.
	Cancelled bool

	// Result is what its owner puts there before End.
	Result any

	// Then is called with a call that has ended and that nobody waits for, on the first engine's thread, outside of the core.
	// It must not wait.
	Then func(*ClusterCall)

	out room // of what Call.Op points to
}

func (c *ClusterCall) slot() *Slot { return &c.Slot }

// Name has the call be about a key of a map. Copies of these stay with the slot until the call has ended.
func (c *ClusterCall) Name(name, key string, value []byte) {
	c.out = append(append(append(c.out[:0], name...), key...), value...)
	n := len(name)
	op := &c.Call.Op
	op.Map, op.Key = c.out[:n:n], c.out[n:n+len(key):n+len(key)]
	if value != nil {
		op.Value = c.out[n+len(key):]
	}
}

// ClusterCalls are the calls of a member's application to its cluster's core, at most MaxSlots.
type ClusterCalls struct {
	slots slots[ClusterCall, *ClusterCall]
	late  []uint64 // begun, and the core has no room for them; the first engine's
}

// Get takes a free slot; nil: there is none. Any goroutine may call it.
func (t *ClusterCalls) Get() *ClusterCall {
	c := t.slots.get()
	if c != nil {
		c.Call = cluster.Call{Number: c.number}
		c.Cancelled = false
	}
	return c
}

// Free gives a slot back that nobody waits for any more. Any goroutine may call it.
func (t *ClusterCalls) Free(c *ClusterCall) {
	c.Call, c.Result, c.Then = cluster.Call{}, nil, nil
	c.out.trim()
	t.slots.put(c)
}

// BeginClusterCall leaves a call for the first engine, which is to be woken then; false: the command ring is full, or
// closed.
func (m *Member) BeginClusterCall(c *ClusterCall) bool {
	return m.begin(&c.Slot, commandClusterBegin, callWaiting)
}

// BeginClusterCallUnwatched is BeginClusterCall of a call that nobody waits for.
func (m *Member) BeginClusterCallUnwatched(c *ClusterCall) bool {
	return m.begin(&c.Slot, commandClusterBegin, callLeft)
}

// CancelClusterCall has a call that was begun end soon.
func (m *Member) CancelClusterCall(number uint64) bool {
	return m.Command(commandClusterCancel, number, wire.MemberID{}, "", nil)
}

// Command carries out a command that is about a ClusterCall. It is false where it is about something else. It belongs to the
// first engine's thread, as the rest.
func (t *ClusterCalls) Command(now clock.Time, core *cluster.Core, cmd *Command) bool {
	switch cmd.Kind {
	case commandClusterBegin:
		if len(t.late) > 0 || !core.Call(now, &t.slots.at(cmd.Call).Call) {
			t.late = append(t.late, cmd.Call)
		}
	case commandClusterCancel:
		c := t.slots.at(cmd.Call)
		for i, late := range t.late {
			if late == cmd.Call {
				t.late = append(t.late[:i], t.late[i+1:]...)
				c.Cancelled = true
				t.End(c)
				return true
			}
		}
		if proposed, ok := core.Cancel(now, cmd.Call); ok {
			c.Cancelled, c.Call.Proposed = true, proposed
			t.End(c)
		}
	default:
		return false
	}
	return true
}

// Begin begins a call that nobody waits for.
func (t *ClusterCalls) Begin(now clock.Time, core *cluster.Core, c *ClusterCall) {
	c.state.Store(callLeft)
	if len(t.late) > 0 || !core.Call(now, &c.Call) {
		t.late = append(t.late, c.number)
	}
}

// Of finds the call that has ended.
func (t *ClusterCalls) Of(call *cluster.Call) *ClusterCall { return t.slots.at(call.Number) }

// End wakes who waits for a call. watched is false when nobody does: the slot is free then.
func (t *ClusterCalls) End(c *ClusterCall) (watched bool) {
	if watched = c.end(); !watched {
		if c.Then != nil {
			c.Then(c)
		}
		t.Free(c)
	}
	return watched
}

// Late reports whether something waits for room in the core.
func (t *ClusterCalls) Late() bool { return len(t.late) > 0 }

// Retry begins what the core had no room for. It is called when a call has ended, outside of the core.
func (t *ClusterCalls) Retry(now clock.Time, core *cluster.Core) {
	for len(t.late) > 0 && core.Call(now, &t.slots.at(t.late[0]).Call) {
		t.late = t.late[1:]
	}
}
