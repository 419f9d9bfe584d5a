package run

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/internal/member"
)

// worksAhead is how many items the handlers of a queue are given ahead.
const worksAhead = 16

// settleResults is how long a stop waits at least until results and replies have arrived.
const settleResults = 20 * time.Millisecond

// serving is what a run has of Handlers: those that its core has. Fields without a remark belong to the first engine's
// thread, once it turns.
type serving struct {
	r        *Run
	hs       *Handlers
	items    int // of each queue that no handler has begun, at most
	bytes    int // and their bytes
	stopping atomic.Bool
	inboxes  map[string]group.InboxHandler // that the core has
	queues   map[string]*appliedQueue      // that the core has
	running  bool                          // the engine turns: see retry
	retrying bool
}

// appliedQueue is a queue as the core has it.
type appliedQueue struct {
	exclusive bool
	rank      uint32 // 0: not announced as exclusive
	works     *intake.Works
}

// begin gives the core the handlers that there are.
func (s *serving) begin(now clock.Time, core *group.Protocol) {
	hs := s.hs
	hs.mu.Lock()
	var inboxes, queues []string
	for name := range hs.inboxes {
		inboxes = append(inboxes, name)
	}
	for name := range hs.queues {
		queues = append(queues, name)
	}
	hs.mu.Unlock()
	slices.Sort(inboxes) // maps are walked over in any order
	slices.Sort(queues)
	for _, name := range inboxes {
		s.applyInbox(core, name)
	}
	for _, name := range queues {
		_ = s.applyQueue(now, core, name)
	}
}

// applyInbox has the core have the handler of an in-box that there is.
func (s *serving) applyInbox(core *group.Protocol, name string) {
	if s.stopping.Load() {
		return
	}
	s.hs.mu.Lock()
	h := s.hs.inboxes[name]
	s.hs.mu.Unlock()
	if s.inboxes[name] == h {
		return
	}
	if s.inboxes[name] != nil {
		core.CloseInbox(name)
		delete(s.inboxes, name)
	}
	if h != nil {
		if b, ok := h.(Bound); ok {
			b.Bind(core)
		}
		_ = core.HandleInbox(name, h) // it has none
		s.inboxes[name] = h
	}
}

// works is where the items of a queue lie in this start. It is called with the lock of handlers.
func (s *serving) works(q *queue) *intake.Works {
	if q.start != s {
		q.works, q.start = intake.NewWorks(worksAhead+len(q.consumers), engine.Now, s.done), s
	}
	return q.works
}

func (s *serving) done(d *member.Done) { s.r.Done(d) }

// applyQueue has the core follow the consumers of a queue. It fails when the record has no room for its name.
func (s *serving) applyQueue(now clock.Time, core *group.Protocol, name string) error {
	n, exclusive := 0, false
	var works *intake.Works
	s.hs.mu.Lock()
	if q := s.hs.queues[name]; q != nil && !s.stopping.Load() {
		var list []*Consumer
		list, exclusive = q.atWork()
		n, works = len(list), s.works(q)
	}
	s.hs.mu.Unlock()
	a := s.queues[name]
	if a != nil && (n == 0 || a.works != works) {
		s.close(now, core, name)
		a = nil
	}
	if n == 0 {
		return nil
	}
	if a == nil {
		a = &appliedQueue{works: works}
		s.queues[name] = a
		_ = core.HandleQueue(now, name, works, n, s.items, s.bytes) // it is not open
	}
	works.Hold(core.Gated())
	works.Grow(n + worksAhead)
	ahead := worksAhead
	if exclusive {
		ahead = 0
	}
	core.Handlers(now, name, n, ahead)
	if a.exclusive = exclusive; !exclusive {
		a.rank = 0
	} else if a.rank == 0 {
		if !core.Joined(now) { // the ranks of the others are not known yet
			s.retry()
			return nil
		}
		a.rank = core.NextRank(name)
	}
	if err := core.Consume(now, name, uint32(n), a.rank); err != nil {
		s.close(now, core, name)
		return err
	}
	return nil
}

func (s *serving) close(now clock.Time, core *group.Protocol, name string) {
	core.CloseQueue(now, name)
	_ = core.Consume(now, name, 0, 0) // which only fails with handlers
	delete(s.queues, name)
}

// retry has the exclusive queues announced that are not, a little later.
func (s *serving) retry() {
	if s.retrying || !s.running { // serveQueues comes here again
		return
	}
	s.retrying = true
	time.AfterFunc(retryJoined, func() {
		s.r.engine.Post(func() {
			if s.retrying = false; s.stopping.Load() {
				return
			}
			for name, a := range s.queues {
				if a.exclusive && a.rank == 0 {
					_ = s.applyQueue(s.r.Now(), s.r.member.Group(), name)
				}
			}
		})
	})
}

// retryJoined is how often it is looked whether the table is complete after a start.
const retryJoined = 5 * time.Millisecond

// gate has work queues give out nothing while the gate is closed.
func (s *serving) gate(closed bool) {
	for _, a := range s.queues {
		a.works.Hold(closed)
	}
}

// stop closes all in-boxes and queues of the core: what no handler has begun goes back to its senders, and what this
// member enqueued and no consumer has is not handed out any more.
func (s *serving) stop() {
	s.stopping.Store(true)
	_ = s.r.Do(func() {
		core, now := s.r.member.Group(), s.r.Now()
		core.CloseWaiting(now)
		for name := range s.inboxes {
			core.CloseInbox(name)
		}
		for name := range s.queues {
			core.CloseQueue(now, name)
			_ = core.Consume(now, name, 0, 0)
		}
	})
}
