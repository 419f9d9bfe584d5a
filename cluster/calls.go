package cluster

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Call begins a call. Its Done comes in a later input, Flush mostly, and exactly once, unless Cancel comes first.
// False: MaxUnderway calls are under way; nothing has changed, and there is room after a Done.
func (c *Core) Call(now clock.Time, call *Call) bool {
	c.begin(now)
	if len(c.calls) >= MaxUnderway {
		return false
	}
	call.Code, call.Version, call.Token, call.Deadline, call.Entry, call.Proposed, call.Answer = CodeOK, 0, 0, 0, nil, false, nil
	s := c.take()
	s.call, s.kind, s.number = call, call.Kind, call.Number
	c.calls[call.Number] = s
	if call.Kind == CallUnlock || call.Kind == CallExtend {
		if s.hold = c.holds[call.Lock]; s.hold == nil {
			c.answer(s, CodeNotOwner)
			return true
		}
		if call.Kind == CallUnlock {
			delete(c.holds, call.Lock) // it is given up, whatever comes of the call
		}
	}
	switch {
	case c.closing:
		c.answer(s, CodeClosed)
	case c.failed, call.Kind == CallReady && c.failure != CodeOK:
		c.answer(s, c.failure)
	case call.Kind == CallReady:
		s.place = asking
		c.waiting = append(c.waiting, s)
	case c.phase == Outside && call.Kind != CallForce:
		c.refuse(s)
	case call.Kind == CallForce:
		s.place = asking
		c.callForce(s)
	case call.Kind == CallLinear:
		s.place = asking
		c.linear.waiting = append(c.linear.waiting, s)
	default:
		s.place = queued
		c.queue.push(s)
	}
	return true
}

// Cancel gives up a call whose ctx has ended: no Done comes for it, and the caller may use it again. proposed reports whether it
// may have happened, or may yet. ok is false where no such call is under way.
func (c *Core) Cancel(now clock.Time, number uint64) (proposed, ok bool) {
	c.begin(now)
	s := c.calls[number]
	if s == nil {
		return false, false
	}
	proposed = s.proposed()
	delete(c.calls, number)
	c.abandon(s)
	s.call = nil // whoever comes to it in its place takes it back
	switch s.place {
	case inLine:
		c.release(s)
	case asking:
		c.forget(s)
	case queued:
		if c.given++; c.given > 64 && c.given > c.queue.len()/2 {
			c.compact()
		}
	}
	return proposed, true
}

// forget takes out what only asked.
func (c *Core) forget(s *slot) {
	is := func(o *slot) bool { return o == s }
	c.waiting = slices.DeleteFunc(c.waiting, is)
	c.forces = slices.DeleteFunc(c.forces, is)
	c.linear.waiting = slices.DeleteFunc(c.linear.waiting, is)
	for i := range c.linear.rounds {
		c.linear.rounds[i].slots = slices.DeleteFunc(c.linear.rounds[i].slots, is)
	}
	c.release(s)
}

// compact takes out of the queue those whose callers have given up.
func (c *Core) compact() {
	c.given = 0
	for _, s := range c.queue.empty() {
		if s.call == nil {
			c.release(s)
		} else {
			c.queue.push(s)
		}
	}
}

// abandon makes good for a call that ends without a result that its caller learns of: the lock that it got, or may yet get, or
// was to release, is owed.
func (c *Core) abandon(s *slot) {
	if s.call == nil || c.exited {
		return
	}
	switch {
	case (s.kind == CallLock || s.kind == CallUnlock) && s.hold != nil:
		c.owe(s.hold)
	case s.kind == CallLock && s.request != 0 && s.place >= offered:
		c.propose(owed, wire.ClusterOp{Kind: wire.OpCancel, Map: bytes.Clone(s.call.Op.Map), Key: bytes.Clone(s.call.Op.Key), Request: s.request})
	}
}

// propose queues one of the core's own operations. They go before those of calls.
func (c *Core) propose(own ownKind, op wire.ClusterOp) {
	s := c.take()
	s.own, s.op, s.place = own, op, queued
	c.own.push(s)
	c.owns[own]++
}

// answer ends the call of a slot, if somebody still waits for it, and takes the slot back.
func (c *Core) answer(s *slot, code Code) {
	if s.own != notOwn {
		c.owns[s.own]--
	}
	if s.call != nil {
		switch code {
		case CodeUnknown:
			c.stats.Unknown++
		case CodeNoQuorum:
			c.stats.NoQuorum++
		}
		s.call.Code = code
		delete(c.calls, s.number)
		c.done = append(c.done, s.call)
	}
	c.release(s)
}

// refuse ends a slot that did not happen and never will. What is owed waits for the next primary.
func (c *Core) refuse(s *slot) {
	if s.own == owed {
		s.place = queued
		c.own.push(s)
		return
	}
	c.abandon(s)
	switch {
	case s.once:
		c.answer(s, CodeUnknown)
	case c.failure != CodeOK:
		c.answer(s, c.failure)
	default:
		c.answer(s, CodeNoQuorum)
	}
}

// giveUp ends slots whose outcome this member does not learn. What is owed is proposed again: it may be counted twice.
func (c *Core) giveUp(slots []*slot, code Code) {
	for _, s := range slots {
		if s.own == owed {
			s.place = queued
			c.own.push(s)
			continue
		}
		c.abandon(s)
		c.answer(s, code)
	}
}

// dropped takes back the slots of an own batch that everybody has dropped: it never counts, so it is proposed again.
func (c *Core) dropped(slots []*slot) {
	c.stats.Dropped += uint64(len(slots))
	if c.phase == Outside {
		for _, s := range slots {
			c.refuse(s)
		}
		return
	}
	calls, own := slots[:0], []*slot(nil)
	for _, s := range slots {
		switch {
		case s.own == owed || s.own == exit:
			s.place = queued
			own = append(own, s)
		case s.own != notOwn || s.call == nil:
			c.answer(s, CodeNoQuorum)
		default:
			if s.request != 0 {
				delete(c.requests, s.request)
				s.request = 0
			}
			s.place = queued
			calls = append(calls, s)
		}
	}
	for _, s := range calls {
		c.again.push(s)
	}
	for _, s := range own {
		c.own.push(s)
	}
}

// outside ends all calls that need a primary: there is none here, or this replica has to learn what the primary holds.
// Those that were not proposed wait where learning is set.
func (c *Core) outside(now clock.Time, learning bool) {
	for _, s := range c.inLines() {
		c.giveUp([]*slot{s}, CodeUnknown)
	}
	c.giveUp(c.uncommitted.empty(), CodeUnknown)
	for i := range c.tail {
		c.giveUp(c.tail[i].slots, CodeUnknown)
		c.tail[i].slots = nil
	}
	if learning {
		return
	}
	for _, s := range slices.Concat(c.again.empty(), c.queue.empty()) {
		c.refuse(s)
	}
	for _, s := range c.own.empty() {
		c.refuse(s)
	}
	for _, s := range c.linear.take() {
		c.refuse(s)
	}
}

// refuseAll ends all calls that need a primary, and those of Force: there is none here.
func (c *Core) refuseAll(now clock.Time) {
	c.outside(now, false)
	for _, s := range c.forces {
		c.refuse(s)
	}
	c.forces = c.forces[:0]
}

// inLines are the Lock calls that wait for a grant, in order.
func (c *Core) inLines() []*slot {
	var list []*slot
	for _, s := range c.requests {
		if s.place == inLine {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *slot) int { return cmp.Compare(a.request, b.request) })
	return list
}

// pack offers what waits to the ring, as many operations in one message as fit a datagram.
func (c *Core) pack(now clock.Time) {
	ready := c.phase == Complete || c.phase == Learning && c.closing // of a learner only its Exit
	if !ready || c.transitional || len(c.out) > 0 || c.exited {
		return
	}
	for {
		n, last := 0, []byte(nil)
		c.ops, c.packed = c.ops[:0], c.packed[:0]
		for n < wire.MaxClusterOps {
			s := c.peek()
			if s == nil {
				break
			}
			op, code := c.operation(now, s)
			if code != CodeOK {
				c.poll()
				c.answer(s, code)
				continue
			}
			if size := op.Size(last); n > 0 && wire.ClusterBatchOverhead+len(c.ops)+size > c.cfg.Datagram {
				break
			}
			c.ops = c.ops.Append(op, last)
			if op.Kind.Mapped() {
				last = op.Map
			}
			c.packed = append(c.packed, c.poll())
			n++
		}
		if n == 0 {
			return
		}
		c.buf = wire.AppendBatch(c.buf[:0], c.stamp(now), c.ops)
		if err := c.cfg.Ring.Offer(now, c.buf, true); err != nil {
			c.unpoll()
			return
		}
		for _, s := range c.packed {
			s.place = offered
			c.flight.push(s)
		}
		if c.counted > 1024 && c.counted > len(c.counts)/2 {
			c.counts, c.counted = c.counts[:copy(c.counts, c.counts[c.counted:])], 0
		}
		c.counts = append(c.counts, n)
		c.stats.Proposed += uint64(n)
		c.load.add(now, n)
	}
}

// peek is the slot that is proposed next, nil: none. Slots whose callers have given up are taken back.
func (c *Core) peek() *slot {
	if c.own.len() > 0 {
		return c.own.first()
	}
	for _, q := range [...]*queue{&c.again, &c.queue} {
		for q.len() > 0 {
			if s := q.first(); s.call != nil {
				return s
			}
			c.release(q.pop())
		}
	}
	return nil
}

// poll takes out what peek has shown.
func (c *Core) poll() *slot {
	for _, q := range [...]*queue{&c.own, &c.again} {
		if q.len() > 0 {
			return q.pop()
		}
	}
	return c.queue.pop()
}

// unpoll puts back what was packed and could not be offered.
func (c *Core) unpoll() {
	i := 0
	for i < len(c.packed) && c.packed[i].own != notOwn {
		i++
	}
	c.again.again(c.packed[i:])
	c.own.again(c.packed[:i])
}

// operation is what a slot proposes now. Any other code than CodeOK ends it.
func (c *Core) operation(now clock.Time, s *slot) (*wire.ClusterOp, Code) {
	if s.own != notOwn {
		return &s.op, CodeOK
	}
	op := &s.call.Op
	switch s.kind {
	case CallLock:
		if s.request == 0 {
			c.request++
			s.request = c.request
			c.requests[s.request] = s
		}
		op.Kind, op.Request = wire.OpLock, s.request
	case CallUnlock:
		op.Kind, op.Map, op.Key, op.Token = wire.OpUnlock, s.hold.name, s.hold.key, s.hold.token
	case CallExtend:
		h := s.hold
		if h.gone {
			return nil, CodeNotOwner
		}
		op.Kind, op.Map, op.Key, op.Token = wire.OpExtend, h.name, h.key, h.token
		// The leader may count from it before this member learns of it, so a shorter lease is one from here on.
		h.deadline, c.firstEnd = min(h.deadline, ends(now, op.Lease)), 0
	default:
		if s.call.Lock != 0 {
			h := c.holds[s.call.Lock]
			if h == nil {
				return nil, CodeNotOwner
			}
			op.HasToken, op.Token = true, h.token
		}
		if op.Kind == wire.OpService && c.state.services.find(op.Key) == nil {
			return nil, CodeUnsupported
		}
	}
	return op, CodeOK
}

// landed takes the slots of an own batch that was delivered out of flight. Nobody else's has any.
func (c *Core) landed(by wire.MemberID) []*slot {
	if by != c.cfg.Self || c.counted == len(c.counts) {
		return nil
	}
	n := c.counts[c.counted]
	if c.counted++; c.counted == len(c.counts) {
		c.counts, c.counted = c.counts[:0], 0
	}
	slots := c.landing[:0]
	for range n {
		slots = append(slots, c.flight.pop())
	}
	c.landing = slots
	return slots
}

// result takes what became of an own operation that was counted.
func (c *Core) result(now, received clock.Time, s *slot, op *wire.ClusterOp, r Result) {
	s.index, s.code = r.Index, r.Code
	if op.Kind == wire.OpService && s.call != nil && r.Code == CodeOK {
		s.answer = bytes.Clone(c.state.services.answer)
	}
	if s.own != notOwn {
		c.ownResult(now, s)
		return
	}
	if s.kind == CallLock && r.Code == CodeOK {
		switch {
		case s.call == nil: // a Cancel follows
			c.release(s)
		case s.hold == nil:
			s.place = inLine
		default:
			s.index = max(s.index, s.hold.index)
			c.settle(now, s)
		}
		return
	}
	if s.kind == CallExtend && r.Code == CodeOK {
		s.until = ends(received, op.Lease)
	}
	c.settle(now, s)
}

// ownResult takes what became of one of the core's own operations.
func (c *Core) ownResult(now clock.Time, s *slot) {
	if s.own == exit {
		c.exited, c.exitIndex = true, s.index
	}
	c.answer(s, s.code)
}

// settle ends a slot that has its result, when its index is committed.
func (c *Core) settle(now clock.Time, s *slot) {
	if c.joining { // the tail: what comes after it may take back what it gives
		s.place = counted
		c.uncommitted.push(s)
		return
	}
	if c.cfg.Store != nil && !c.cfg.Interval && s.index > c.committed && !(s.call != nil && s.call.Unsynced) {
		if d := c.cfg.defect; d != answerBeforeQuorum && !(d == lockBeforeCommit && s.kind == CallLock) && !(d == linearBeforeDisk && s.kind == CallLinear) {
			s.place = counted
			c.uncommitted.push(s)
			return
		}
	}
	c.finish(now, s)
}

// finish ends a slot with its result.
func (c *Core) finish(now clock.Time, s *slot) {
	if s.call == nil {
		c.release(s)
		return
	}
	switch {
	case s.code != CodeOK:
		if s.kind == CallExtend && s.code == CodeNotOwner {
			c.lose(now, s.hold)
		}
	case s.kind == CallLock:
		c.handOut(now, s)
		return
	case s.kind == CallExtend:
		h := s.hold
		if h.gone {
			s.code = CodeNotOwner
			break
		}
		h.deadline, c.firstEnd = s.until, 0
		s.call.Token, s.call.Deadline = h.token, h.deadline
	case s.kind == CallOp:
		s.call.Version, s.call.Answer = s.index, s.answer
		if s.call.Op.Kind == wire.OpWeight {
			c.weight = s.call.Op.Weight
		}
	}
	c.answer(s, s.code)
}

// commit notes that everything up to index is certain, and ends what has waited for it.
func (c *Core) commit(now clock.Time, index uint64) {
	if index > c.committed {
		i := 0
		for i < len(c.doubtful) && c.doubtful[i].Index <= index {
			c.certain.Voters = c.doubtful[i].Voters
			i++
		}
		c.doubtful = slices.Clone(c.doubtful[i:])
		c.committed, c.certain.Index = index, index
	}
	if c.uncommitted.len() == 0 {
		return
	}
	// Results come in the order of their indexes, but for grants, which may be of a later one than the call's.
	kept := c.uncommitted.items()[:0]
	list := c.uncommitted.empty()
	for _, s := range list {
		if s.index > index {
			kept = append(kept, s)
			continue
		}
		c.finish(now, s)
	}
	for _, s := range kept {
		c.uncommitted.push(s)
	}
}

// load is how many operations were proposed in the last second.
type load struct {
	since       clock.Time
	count, last int
}

func (l *load) add(now clock.Time, n int) {
	l.turn(now)
	l.count += n
}

func (l *load) turn(now clock.Time) {
	switch d := now.Sub(l.since); {
	case d >= 2*time.Second:
		l.since, l.last, l.count = now, 0, 0
	case d >= time.Second:
		l.since, l.last, l.count = now, l.count, 0
	}
}

func (l *load) get(now clock.Time) uint32 {
	l.turn(now)
	return uint32(max(l.last, l.count))
}
