package cluster

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Core is one member's part of a cluster. See the package.
type Core struct {
	cfg   Config
	state *State
}

// New returns a Core that has heard of no ring yet. A Config that breaks its own rules panics: the root package has
// checked what applications give.
func New(cfg Config) *Core {
	return &Core{cfg: cfg}
}

// Transitional takes the transitional configuration of the ring that ends: what is delivered from here on to the next
// Regular went only to those members for certain.
func (c *Core) Transitional(now clock.Time, old wire.RingID, members []wire.MemberID) {}

// Regular takes a new ring with its members, ascending; the Core keeps the slice.
func (c *Core) Regular(now clock.Time, ring wire.RingID, members []wire.MemberID) {}

// Deliver takes one message of the ring in its place. What d points to is lent.
func (c *Core) Deliver(now clock.Time, d *core.Delivery) {}

// Visit is totem's Config.Visit: an accepted token, before what it lets be delivered.
func (c *Core) Visit(now, confirmed clock.Time, high uint64) {}

// Full says that the ring has refused this member because it has as many members as a ring can have.
func (c *Core) Full(now clock.Time) {}

// TransferFrom takes a wire message Transfer of a member. False: there is no room for it now, or it is not taken from
// this member; the item is refused. It is lent.
func (c *Core) TransferFrom(now clock.Time, from wire.MemberID, payload []byte) (taken bool) {
	return false
}

// Call begins a call. Its Done comes in a later input, Flush mostly, and exactly once, unless Cancel comes first.
// False: MaxUnderway calls are under way; nothing has changed, and there is room after a Done.
func (c *Core) Call(now clock.Time, call *Call) bool { return false }

// Cancel gives up a call whose ctx has ended: no Done comes for it, and the caller may use it again. proposed reports whether it
// may have happened, or may yet. ok is false where no such call is under way.
func (c *Core) Cancel(now clock.Time, number uint64) (proposed, ok bool) { return false, false }

// Close begins the end (Stop): calls are answered with CodeClosed, no call returns a lock any more, and the member's Exit is
// proposed if it is in a primary. linger is how long Closed may stay false.
func (c *Core) Close(now clock.Time, linger time.Duration) {}

// Closed reports whether the end has been reached: the Exit was applied (with a disk: it is committed), was not needed, or
// linger is over. exited is false in the last case: to the others this start has crashed.
func (c *Core) Closed() (closed, exited bool) { return false, false }

// Durable says that the disk has everything up to a ticket of Store.Flush.
func (c *Core) Durable(now clock.Time, ticket uint64) {}

// DiskFailed ends this member's part for good: the store has failed. Get goes on.
func (c *Core) DiskFailed(now clock.Time, err error) {}

// Tick fires what is due at or before now.
func (c *Core) Tick(now clock.Time) {}

// Deadline is when Tick is next needed; ok is false where nothing is pending.
func (c *Core) Deadline() (at clock.Time, ok bool) { return 0, false }

// Work does a bounded part (100 µs or so) of what is long: to serve and take chunks, to apply what a learner has kept. more
// reports whether some is left for the next turn. The engine calls it once a turn in which no token waits.
func (c *Core) Work(now clock.Time) (more bool) { return false }

// Flush ends a turn: it packs the operations that wait and offers them, publishes what the turn has changed, and then ends the
// calls that were answered.
func (c *Core) Flush(now clock.Time) {}

// Status is this member's view of the cluster now.
func (c *Core) Status(now clock.Time) *Status { return nil }

// Stats are the Core's counters since it began. It is called on the engine's thread.
func (c *Core) Stats() Stats { return Stats{TokenGap: c.cfg.Guard} }

// State is the replica as the last Flush published it; nil before the first.
func (c *Core) State() *State { return c.state }
