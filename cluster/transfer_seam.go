package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// What transfer.go is: it replaces these. See learn.go for what it calls: restored, caughtUp.

var _, _, _ = (*Core).restored, (*Core).caughtUp, (*history).after

// beginTransfer begins to fetch the state at the cut of c.last: c.ex.d says who is current, and c.ex.told what each has told.
func (c *Core) beginTransfer(now clock.Time) {}

// endTransfer stops it.
func (c *Core) endTransfer(now clock.Time) {}

// overrun begins it anew: operations since the cut were lost.
func (c *Core) overrun(now clock.Time) {}

func (c *Core) tickLearning(now clock.Time) {}

func (c *Core) nextLearning() (at clock.Time, ok bool) { return 0, false }

// TransferFrom takes a wire message Transfer of a member. False: there is no room for it now, or it is not taken from
// this member; the item is refused. It is lent.
func (c *Core) TransferFrom(now clock.Time, from wire.MemberID, payload []byte) (taken bool) {
	return false
}

// Work does a bounded part (100 µs or so) of what is long: to serve and take chunks, to apply what a learner has kept. more
// reports whether some is left for the next turn. The engine calls it once a turn in which no token waits.
func (c *Core) Work(now clock.Time) (more bool) {
	c.begin(now)
	return c.workLearning(now)
}

// progress is how far the transfer has come.
func (c *Core) progress() Progress { return Progress{} }
