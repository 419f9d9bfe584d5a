package cluster

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Close begins the end (Stop): calls are answered with CodeClosed, no call returns a lock any more, and the member's Exit is
// proposed if it is in a primary. linger is how long Closed may stay false.
func (c *Core) Close(now clock.Time, linger time.Duration) {
	c.begin(now)
	if c.closing {
		return
	}
	c.closing, c.closeBy = true, now.Add(linger)
	c.endCalls(CodeClosed)
	for _, h := range c.held() { // not given back one by one: the Exit does that, but for those that are kept
		h.gone, h.owed = true, true
		delete(c.holds, h.number)
		c.lost = append(c.lost, h.number)
	}
	c.end(now)
}

// endCalls answers all calls: nothing is waited for any more. What they have proposed may happen.
func (c *Core) endCalls(code Code) {
	end := func(s *slot) {
		if s.call != nil {
			s.call.Proposed = s.proposed()
			s.call.Code = code
			delete(c.calls, s.number)
			c.done = append(c.done, s.call)
			s.call = nil // whoever comes to it in its place takes it back
		}
	}
	for _, s := range c.inLines() {
		if c.cfg.defect == lockInStop {
			continue
		}
		end(s)
		c.release(s)
	}
	for _, s := range c.uncommitted.empty() {
		end(s)
		c.release(s)
	}
	for i := range c.tail {
		for _, s := range c.tail[i].slots {
			end(s)
		}
	}
	for i := range c.learn.kept {
		for _, s := range c.learn.kept[i].slots {
			end(s)
		}
	}
	for _, s := range c.flight.items() {
		if c.cfg.defect != lockInStop || s.kind != CallLock {
			end(s)
		}
	}
	for _, s := range slices.Concat(c.again.empty(), c.queue.empty()) {
		end(s)
		c.release(s)
	}
	for _, s := range slices.Concat(c.linear.take(), c.waiting, c.forces) {
		end(s)
		c.release(s)
	}
	c.waiting, c.forces = nil, nil
}

// end goes on with the end, once Close has begun it.
func (c *Core) end(now clock.Time) {
	if !c.closing || c.exitDone {
		return
	}
	switch {
	case c.exited:
		c.exitDone = c.cfg.Store == nil || c.committed >= c.exitIndex
	case c.phase == Complete && !c.transitional && c.owns[exit] == 0:
		c.propose(exit, wire.ClusterOp{Kind: wire.OpExit})
	}
}

// Closed reports whether the end has been reached: the Exit was applied (with a disk: it is committed), was not needed, or
// linger is over. exited is false in the last case: to the others this start has crashed. A member whose disk has failed
// counts nothing any more: its Exit, where DiskFailed proposed one, is awaited until it is delivered.
func (c *Core) Closed() (closed, exited bool) {
	switch {
	case !c.closing:
		return false, false
	case c.exitDone, c.phase == Alone, c.phase == Outside && !(c.failed && c.owns[exit] > 0):
		return true, true
	}
	return c.now >= c.closeBy, false
}
