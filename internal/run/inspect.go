package run

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// Picture is the state of a run, copied on its engines' threads. Nobody else has it.
type Picture struct {
	At          clock.Time
	Sending     []SendingView
	Ring        *totem.RingView // of topics; nil: there is none
	ClusterRing *totem.RingView // of the cluster
	Queues      []group.QueueView
	Locks       []cluster.LockView
	LocksHeld   int // of which Locks has at most MostLocks
	Engines     []EngineView
}

// SendingView is a stream that this member sends. Of the ring's it has no receivers.
type SendingView struct {
	nack.SenderView
	Rate      float64 // messages a second, in the last second that was looked at
	Blocked   float64 // share of that second for which receivers held the stream back
	Receivers []nack.ReceiverView
}

// EngineView is one engine, and what it receives.
type EngineView struct {
	Stats     engine.Stats
	CPU       int // that its thread is pinned to; negative: none
	Thread    int // as the system numbers it; 0: none of its own, or not known
	Receiving []nack.StreamView
	Losses    []member.LossView
}

const (
	// receiverPiece is how many receivers are copied in one turn.
	receiverPiece = 128
	// MostLocks is how many locks a Picture has.
	MostLocks = 1024
	// lockPiece is how many of them are copied in one turn, with their lines.
	lockPiece = 16
)

// Look has the engines copy their state, in pieces: one stream a turn, or so many receivers as take no longer. It
// returns ErrClosed when the run ends meanwhile. No engine's handler may call it.
func (r *Run) Look() (*Picture, error) {
	p := &Picture{Engines: make([]EngineView, len(r.workers))}
	err := r.once(0, func() {
		now := engine.Now()
		p.At = now
		if t := r.member.Totem(); t != nil {
			p.Ring = t.Look(now)
		}
		if t := r.member.Cluster(); t != nil {
			p.ClusterRing = t.Look(now)
		}
	})
	for _, part := range []func(*Picture) error{r.lookSending, r.lookQueues, r.lookLocks} {
		if err == nil {
			err = part(p)
		}
	}
	for i := range r.workers {
		if err == nil {
			err = r.lookEngine(i, &p.Engines[i])
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// pieces calls step on an engine's thread, once in a turn, while there is more. step returns how many rows it has copied.
func (r *Run) pieces(i int, piece func() (rows int, more bool)) error {
	step := func() bool {
		rows, more := piece()
		if r.looked != nil {
			r.looked(rows)
		}
		return more
	}
	if r.invoker {
		for more := true; more; {
			if err := r.DoAt(i, func() { more = step() }); err != nil {
				return err
			}
		}
		return nil
	}
	w, done := r.workers[i], make(chan struct{})
	var next func()
	next = func() {
		if step() {
			w.engine.Post(next)
		} else {
			close(done)
		}
	}
	w.engine.Post(next)
	select {
	case <-done:
		return nil
	case <-w.ended:
		return ErrClosed
	}
}

// once calls f on an engine's thread, for a row.
func (r *Run) once(i int, f func()) error {
	return r.pieces(i, func() (int, bool) {
		f()
		return 1, false
	})
}

// count calls f on an engine's thread.
func (r *Run) count(i int, f func() int) (n int, err error) {
	err = r.once(i, func() { n = f() })
	return n, err
}

// each calls f for n-1 down to 0 on an engine's thread, once in a turn.
func (r *Run) each(i, n int, f func(at int)) error {
	if n == 0 {
		return nil
	}
	return r.pieces(i, func() (int, bool) {
		n--
		f(n)
		return 1, n > 0
	})
}

func (r *Run) lookSending(p *Picture) error {
	core := r.member.NackAt(0)
	n, err := r.count(0, core.Sending)
	if err != nil {
		return err
	}
	for i := range n {
		var v SendingView
		ok := false
		err := r.once(0, func() {
			if v.SenderView, ok = core.LookSender(engine.Now(), i); ok {
				v.Rate, v.Blocked = r.watch.lately(v.Stream)
			}
		})
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if v.Receivers, err = r.lookReceivers(core, i, v.Listed); err != nil {
			return err
		}
		p.Sending = append(p.Sending, v)
	}
	if p.Ring != nil {
		v := SendingView{}
		v.Stream, v.Message, v.Messages = totem.Stream, p.Ring.Sent+1, p.Ring.Sent
		open := false
		err := r.once(0, func() {
			for _, l := range r.member.Lanes() {
				if l.ID == totem.Stream {
					open, v.Limited = true, l.Limited(engine.Now())
				}
			}
			v.Rate, v.Blocked = r.watch.lately(totem.Stream)
		})
		if err != nil {
			return err
		}
		if open {
			p.Sending = append(p.Sending, v)
		}
	}
	return nil
}

// lookReceivers copies the receivers of a stream that had n of them.
func (r *Run) lookReceivers(core *nack.Protocol, stream, n int) ([]nack.ReceiverView, error) {
	all := make([]nack.ReceiverView, n)
	if n == 0 {
		return all, nil
	}
	got, before := 0, n
	err := r.pieces(0, func() (int, bool) {
		into := all[got:min(got+receiverPiece, n)]
		k := core.LookReceivers(stream, before, into)
		got, before = got+k, before-k
		return k, k == len(into) && got < n
	})
	all = all[:got]
	slices.Reverse(all)
	seen := make(map[wire.MemberID]bool, got) // one that took the place of another may have come twice
	return slices.DeleteFunc(all, func(v nack.ReceiverView) bool {
		twice := seen[v.Member]
		seen[v.Member] = true
		return twice
	}), err
}

func (r *Run) lookQueues(p *Picture) error {
	if r.group == nil {
		return nil
	}
	core := r.member.Group()
	n, err := r.count(0, core.Queues)
	if err != nil {
		return err
	}
	p.Queues = make([]group.QueueView, 0, n)
	return r.each(0, n, func(i int) {
		if v, ok := core.LookQueue(i); ok && len(p.Queues) < cap(p.Queues) {
			p.Queues = append(p.Queues, v)
		}
	})
}

func (r *Run) lookLocks(p *Picture) error {
	if r.cluster == nil {
		return nil
	}
	found := make([]cluster.LockRef, 0, MostLocks)
	at := 0
	if err := r.once(0, func() { found, p.LocksHeld = r.cluster.core().LookLocks(found) }); err != nil || len(found) == 0 {
		return err
	}
	p.Locks = make([]cluster.LockView, 0, len(found))
	return r.pieces(0, func() (int, bool) {
		from := at
		for end := min(at+lockPiece, len(found)); at < end; at++ {
			if v, ok := found[at].Look(engine.Now()); ok {
				p.Locks = append(p.Locks, v)
			}
		}
		return at - from, at < len(found)
	})
}

func (r *Run) lookEngine(i int, v *EngineView) error {
	core := r.member.NackAt(i)
	n, err := r.count(i, core.Receiving)
	if err != nil {
		return err
	}
	v.Receiving = make([]nack.StreamView, 0, n)
	e := r.workers[i].engine
	err = r.each(i, n, func(at int) {
		s, ok := core.LookStream(at)
		if last := len(v.Receiving) - 1; ok && last+1 < cap(v.Receiving) && (last < 0 || v.Receiving[last].From != s.From || v.Receiving[last].Stream != s.Stream) {
			v.Receiving = append(v.Receiving, s)
		}
	})
	if err != nil {
		return err
	}
	slices.Reverse(v.Receiving)
	v.CPU, v.Thread = e.CPU(), e.Thread()
	return r.once(i, func() { v.Stats, v.Losses = e.Stats(), r.member.LookLosses(i) })
}

// ConsumedView is a queue that this member consumes from.
type ConsumedView struct {
	Name     string
	Handlers int
	Waiting  int        // items that no handler has begun
	Times    core.Times // how long the handlers took for each item
}

// Look copies what the consumers of each queue do. On nil there are none. Any goroutine may call it.
func (hs *Handlers) Look() (all []ConsumedView) {
	if hs == nil {
		return nil
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, q := range hs.queues {
		v := ConsumedView{Name: q.name, Handlers: len(q.consumers)}
		if q.works != nil {
			v.Waiting = q.works.Len()
		}
		for _, k := range q.consumers {
			for class, n := range k.worker.Times() {
				v.Times[class] += n
			}
		}
		all = append(all, v)
	}
	return all
}

// lately is how many messages a second a lane took, and the share of time for which receivers held it back, as the
// watch last looked. It belongs to the first engine.
func (w *watch) lately(id wire.StreamID) (rate, blocked float64) {
	for l, s := range w.lanes {
		if l.ID == id {
			return s.rate, s.blocked
		}
	}
	return 0, 0
}

// measure notes what a lane did since the last look.
func (s *heldLane) measure(elapsed time.Duration, taken uint64, held time.Duration) {
	if elapsed <= 0 {
		return
	}
	s.rate, s.blocked = float64(taken-s.taken)/elapsed.Seconds(), min(float64(held)/float64(elapsed), 1)
	s.taken = taken
}
