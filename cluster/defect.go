package cluster

// defect is a rule that is left out on purpose, so that the checkers can show that they notice (docs/cluster.md, rules
// that must not be dropped). Only tests set one.
type defect uint8

const (
	none                   defect = iota
	oneRound                      // nobody else's claims are waited for
	openIsEstablished             // all claims in the transition count as established
	openForgotten                 // open primaries are not remembered as such
	openingNotInTail              // openings are not put into the tail
	nothingFails                  // nothing is ever found to have failed
	lastVotersOnly                // the quorum is asked of the last voters only, not of every set
	bothHalves                    // N = 0: both halves go on
	tailDropped                   // the tail is dropped at a view change
	tailNotCounted                // the tail is kept, and not counted in stages
	answersInTransition           // answers are given to what was delivered in the transition
	tailProposedAgain             // what is in a tail is proposed again
	earlyCounts                   // operations before the establishment count
	presentSnapshot               // the snapshot is the provider's present state, not the cut
	oneVisit                      // one token visit is enough for GetLinear
	lostFreeAtOnce                // locks of a lost member are free at once
	releaseAtOnce                 // Release does not wait for the guard time
	lostIgnoresConfirmed          // Lost does not watch confirmed
	leaseFromDelivery             // the lease counts from the holder's delivery
	lockInStop                    // a lock may be handed out while Stop runs
	locksNotCompared              // a holder keeps its locks over an establishment that took them away
	waitsStay                     // waits of a lost member stay in line
	noClockInIndex                // indexes do not rise with clocks
	stampsAtEstablishments        // stamps only at establishments
	claimBeforeDisk               // the claim is sent before the disk has it
	answerBeforeQuorum            // acknowledged before a quorum's disks have it
	linearBeforeDisk              // GetLinear does not wait for the disks
	lockBeforeCommit              // a lock is handed out before its grant is committed
)

// What only defects do.

// answerEarly answers what was delivered in the transition.
func (c *Core) answerEarly(slots []*slot) {
	for _, s := range slots {
		if s.call != nil && s.kind == CallOp {
			s.call.Version = c.state.Index() + 1
			s.call.Code = CodeOK
			delete(c.calls, s.number)
			c.done = append(c.done, s.call)
			s.call = nil
		}
	}
}

// proposeTail proposes again what is in the tail.
func (c *Core) proposeTail() {
	for i := range c.tail {
		for _, s := range c.tail[i].slots {
			if s.call != nil && s.kind == CallOp {
				o := c.take()
				*o = slot{call: s.call, number: s.number, kind: s.kind, place: queued}
				c.calls[s.number] = o
				s.call = nil
				c.queue.push(o)
			}
		}
	}
}
