package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// GroupPairs has the members of a GroupCluster send to each other, one to one and through queues, and
// records it. Make it with AddPairs, and set its fields before Start.
type GroupPairs struct {
	Every   time.Duration // mean time between two calls of one member
	Failing float64       // share of items that handlers return an error for
	Cancel  float64       // share of calls that are given up after up to 5ms
	Moving  time.Duration // mean time between two changes of what a member consumes; 0: it consumes all the time
	Large   float64       // share of messages that need several datagrams
	Buffers int           // of all pairs of a member; zero means 512
	Log     *check.PairLog

	c       *GroupCluster
	callers []*groupCaller // by start
	stopped bool
}

// groupCaller is the application of one process.
type groupCaller struct {
	x      *GroupPairs
	m      *GroupMember
	p      *group.Protocol
	proc   check.Proc
	number uint64
	open   map[uint64]groupOpen
	works  [2]bool // it consumes these queues
	inside int     // handlers of queues that are at work
	going  bool    // it has begun to leave
}

// groupOpen is a call that has not ended.
type groupOpen struct {
	payload []byte
	reply   bool
}

const groupInbox = "orders"

// The second queue has an exclusive consumer.
var groupQueues = [2]string{"work", "solo"}

// AddPairs has the members of c call each other.
func AddPairs(c *GroupCluster, every time.Duration) *GroupPairs {
	x := &GroupPairs{Every: every, Log: check.NewPairLog(), c: c}
	change := c.Change
	c.Change = func(node int, cfg *group.Config) {
		if change != nil {
			change(node, cfg)
		}
		x.start(c.Members[node], cfg)
	}
	c.Ending = x.end
	return x
}

// start is called as a process is made, before its Protocol.
func (x *GroupPairs) start(m *GroupMember, cfg *group.Config) {
	a := &groupCaller{x: x, m: m, open: map[uint64]groupOpen{}}
	a.proc = x.Log.Start(x.c.Net.Now(), m.Node, cfg.Self)
	x.callers = append(x.callers, a)
	if cfg.PairBuffers = x.Buffers; x.Buffers == 0 {
		cfg.PairBuffers = 512
	}
	cfg.Calls, cfg.MaxMessageSize = a, 64<<10
	mirror, self := cfg.Mirror, cfg.Self
	cfg.Mirror = func(now clock.Time, ch *group.Change) {
		if ch.ID != self && (ch.Kind == group.Failed || ch.Kind == group.Stopped) {
			x.Log.Add(check.PairRecord{At: now, Kind: check.PairRemoved, Proc: a.proc, Peer: x.Log.ProcOf(ch.ID)})
		}
		if mirror != nil {
			mirror(now, ch)
		}
	}
	x.c.Net.After(0, func() {
		a.p = m.Protocol
		a.p.HandleInbox(groupInbox, a)
		for i := range groupQueues {
			a.consume(i, true)
		}
		m.Driver.Wake()
		a.load()
		a.move()
	})
}

// lives reports whether the process runs, and is not leaving.
func (a *groupCaller) lives() bool { return a.m.Protocol == a.p && a.p != nil && !a.m.leaving }

// end notes that a process crashes or leaves.
func (x *GroupPairs) end(node int) {
	for _, a := range x.callers {
		if a.m.Node == node && x.Log.Procs[a.proc].Ended == 0 {
			x.Log.Add(check.PairRecord{At: x.c.Net.Now(), Kind: check.PairEnded, Proc: a.proc})
		}
	}
}

// Leave has the process of a node end in order: its calls are given up, its handlers finish, what no handler
// has begun goes back, and what is under way arrives, if that takes no longer than linger.
func (x *GroupPairs) Leave(node int, linger time.Duration) {
	for _, a := range x.callers {
		if a.m.Node == node && a.lives() && !a.going {
			a.going = true
			a.whenRuns(func() { a.leave(linger) })
		}
	}
}

func (a *groupCaller) leave(linger time.Duration) {
	now := a.x.c.Net.Now()
	for number := uint64(0); number < group.MaxCalls; number++ { // in order of slots: a map's order is random
		for generation := uint64(0); generation <= a.number/8192; generation++ {
			if _, ok := a.open[number|generation<<16]; ok {
				a.p.Cancel(now, number|generation<<16)
			}
		}
		if number == 8192 {
			break
		}
	}
	for i := range groupQueues {
		a.consume(i, false)
	}
	end := now.Add(linger)
	var wait func()
	wait = func() {
		a.whenRuns(func() {
			if now := a.x.c.Net.Now(); now < end && (a.inside > 0 || !a.p.Quiet()) {
				a.x.c.Net.After(100*time.Microsecond, wait)
				return
			}
			a.x.c.Leave(a.m.Node)
		})
	}
	wait()
}

// whenRuns calls f as soon as the process does not stand still, unless it has ended.
func (a *groupCaller) whenRuns(f func()) {
	a.m.whenRuns(a.m.Proc, func() {
		if a.lives() {
			f()
		}
	})
}

// load calls others from time to time.
func (a *groupCaller) load() {
	c := a.x.c
	c.Net.After(time.Duration(a.m.rng.ExpFloat64()*float64(a.x.Every)), func() {
		if !a.lives() || a.x.stopped {
			return
		}
		if !a.m.paused && !a.going && len(a.open) < 2000 {
			a.call()
			a.m.Driver.Wake()
		}
		a.load()
	})
}

// move begins and ends consuming from time to time.
func (a *groupCaller) move() {
	if a.x.Moving == 0 {
		return
	}
	a.x.c.Net.After(time.Duration(a.m.rng.ExpFloat64()*float64(a.x.Moving)), func() {
		if !a.lives() {
			return
		}
		i := a.m.rng.IntN(2)
		a.whenRuns(func() {
			if !a.going && !a.x.stopped {
				a.consume(i, !a.works[i])
				a.m.Driver.Wake()
			}
		})
		if !a.x.stopped {
			a.move()
		}
	})
}

// consume begins or ends the consuming of a queue.
func (a *groupCaller) consume(i int, on bool) {
	if a.works[i] == on {
		return
	}
	now, queue := a.x.c.Net.Now(), groupQueues[i]
	if !on {
		a.works[i] = false
		a.p.CloseQueue(now, queue)
		a.p.Consume(now, queue, 0, 0)
		return
	}
	handlers, rank := 2, uint32(0)
	if i == 1 {
		handlers, rank = 1, a.p.NextRank(queue)
	}
	if a.p.HandleQueue(now, queue, &groupWorker{a, i}, handlers, 100, 1<<20) == nil { // else its handlers are at work still
		a.works[i] = true
		a.p.Consume(now, queue, uint32(handlers), rank)
	}
}

func (a *groupCaller) call() {
	now, rng := a.x.c.Net.Now(), a.m.rng
	to := a.x.callers[rng.IntN(len(a.x.callers))]
	payload := make([]byte, 16+rng.IntN(200))
	if chance(rng, a.x.Large) {
		payload = make([]byte, 2000+rng.IntN(20_000))
	}
	call := a.begin(to.m.id, payload)
	binary.LittleEndian.PutUint64(payload, a.number)
	binary.LittleEndian.PutUint64(payload[8:], rng.Uint64())
	if to.p != nil && to.m.Protocol != to.p {
		call.To = wire.MemberID{} // it is no more
	}
	r := check.PairRecord{At: now, Proc: a.proc, Peer: to.proc, Number: a.number, Hash: check.Hash(payload)}
	draw := rng.IntN(6)
	if draw <= 2 {
		call.Inbox, r.Peer = groupQueues[draw%2], a.proc
	}
	kind, begin := check.PairSend, a.p.Send
	switch draw {
	case 0, 1:
		kind, begin = check.PairEnqueued, a.p.Enqueue
	case 2:
		kind, begin = check.PairQueueRequest, a.p.RequestQueue
	case 3:
		kind, begin = check.PairRequest, a.p.Request
	}
	r.Kind = kind
	a.x.Log.Add(r)
	number := call.Number
	begin(now, call)
	if chance(rng, a.x.Cancel) {
		a.x.c.Net.After(between(rng, 5*time.Millisecond), func() {
			a.whenRuns(func() {
				a.p.Cancel(a.x.c.Net.Now(), number)
				a.m.Driver.Wake()
			})
		})
	}
}

// begin makes a call.
func (a *groupCaller) begin(to wire.MemberID, payload []byte) *group.Call {
	a.number++
	call := &group.Call{Number: a.number%8192 | a.number/8192<<16, To: to, Inbox: groupInbox, Payload: payload}
	a.open[call.Number] = groupOpen{payload: payload}
	return call
}

// Ended takes the end of a call.
func (a *groupCaller) Ended(now clock.Time, e *group.End) {
	open, ok := a.open[e.Call]
	if !ok {
		a.x.c.Log.Found("PP-4", "node %d: a call ended that is not open", a.m.Node)
		return
	}
	delete(a.open, e.Call)
	if open.reply {
		return
	}
	r := check.PairRecord{At: now, Proc: a.proc, Number: binary.LittleEndian.Uint64(open.payload), Kind: check.PairFailed}
	switch {
	case e.Why == group.Answered || e.Why == group.NoReply:
		if r.Kind = check.PairAnswered; e.Why == group.NoReply {
			r.Kind = check.PairNoReply
		}
		if a.m.Protocol == a.p && a.p.Gated() {
			a.x.c.Log.Found("GR-13", "t=%v node %d: a call ended well while the gate is closed", now.Sub(0), a.m.Node)
		}
		if e.Payload != nil {
			r.Hash = check.Hash(e.Payload)
		}
	case e.Why == group.Cancelled:
		r.Kind = check.PairCancelled
	case e.Unknown:
		r.Kind = check.PairUnknown
	case e.Why == group.Refused:
		r.Kind = check.PairRefused
	}
	a.x.Log.Add(r)
}

// Take is the in-box's handler.
func (a *groupCaller) Take(now clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	if len(i.Payload) < 16 { // a forgery
		return group.Take, 0
	}
	switch a.m.rng.IntN(100) {
	case 0, 1:
		return group.Wait, 0
	case 2:
		return group.Refuse, wire.RefusedNoRoom
	}
	a.begun(now, check.PairRecord{Kind: check.PairBegun}, i.From, i.Payload)
	if i.Wanted {
		reply := a.reply(now, i.From, i.Payload)
		if a.p.Reply(now, i.From, i.Call, i.Kind, reply) != nil {
			a.p.ReplyCall(now, a.beginReply(i.From, reply), i.Call)
		}
	}
	return group.Take, 0
}

// reply makes the reply to a message, and notes it.
func (a *groupCaller) reply(now clock.Time, to wire.MemberID, message []byte) []byte {
	reply := binary.LittleEndian.AppendUint64(make([]byte, 0, 8), a.m.rng.Uint64())
	a.x.Log.Add(check.PairRecord{At: now, Kind: check.PairReplied, Proc: a.proc, Peer: a.x.Log.ProcOf(to), Number: binary.LittleEndian.Uint64(message), Hash: check.Hash(reply)})
	return reply
}

func (a *groupCaller) beginReply(to wire.MemberID, reply []byte) *group.Call {
	call := a.begin(to, reply)
	a.open[call.Number] = groupOpen{payload: reply, reply: true}
	return call
}

func (a *groupCaller) begun(now clock.Time, r check.PairRecord, from wire.MemberID, payload []byte) {
	if a.p.Gated() {
		a.x.c.Log.Found("GR-13", "t=%v node %d is handed something while the gate is closed", now.Sub(0), a.m.Node)
	}
	r.At, r.Proc, r.Peer, r.Number, r.Hash = now, a.proc, a.x.Log.ProcOf(from), binary.LittleEndian.Uint64(payload), check.Hash(payload)
	a.x.Log.Add(r)
}

// groupWorker is a queue's handler.
type groupWorker struct {
	*groupCaller
	queue int
}

// Begin begins an item.
func (a *groupWorker) Begin(now clock.Time, w *group.Work) {
	if len(w.Payload) < 16 { // a forgery
		a.p.Done(now, groupQueues[a.queue], w.From, w.Call, w.Attempt, wire.ResultHandled)
		return
	}
	a.begun(now, check.PairRecord{Kind: check.PairWorkBegun, Marked: w.Redelivered, Alone: a.queue == 1}, w.From, w.Payload)
	from, call, attempt, wanted, number := w.From, w.Call, w.Attempt, w.Wanted, binary.LittleEndian.Uint64(w.Payload)
	message := append([]byte(nil), w.Payload[:8]...)
	a.inside++
	a.x.c.Net.After(between(a.m.rng, 3*time.Millisecond), func() {
		a.whenRuns(func() {
			now := a.x.c.Net.Now()
			kind, result := check.PairWorkDone, wire.ResultHandled
			switch {
			case chance(a.m.rng, a.x.Failing):
				kind, result = check.PairWorkFailed, wire.ResultError
			case wanted && a.m.rng.IntN(10) > 0:
				reply := a.reply(now, from, message)
				a.p.ReplyCall(now, a.beginReply(from, reply), call)
			}
			a.inside--
			a.x.Log.Add(check.PairRecord{At: now, Kind: kind, Proc: a.proc, Peer: a.x.Log.ProcOf(from), Number: number})
			a.p.Done(now, groupQueues[a.queue], from, call, attempt, result)
		})
	})
}

// Stop ends the calling, and has everybody consume.
func (x *GroupPairs) Stop() {
	x.stopped = true
	for _, a := range x.callers {
		var all func()
		all = func() {
			a.whenRuns(func() {
				if a.going {
					return
				}
				for i := range groupQueues {
					if a.consume(i, true); !a.works[i] {
						x.c.Net.After(time.Millisecond, all)
					}
				}
				a.m.Driver.Wake()
			})
		}
		all()
	}
}

// Judge reports what is wrong with the record. The pairs are idle.
func (x *GroupPairs) Judge() []check.Violation {
	vs := append(check.Pairs(x.Log), check.Queues(x.Log)...)
	vs = append(vs, check.Exclusive(x.Log)...)
	found := func(id, format string, args ...any) {
		vs = append(vs, check.Violation{ID: id, At: -1, Text: fmt.Sprintf(format, args...)})
	}
	for _, a := range x.callers {
		if !a.lives() {
			continue
		}
		s := a.p.Stats()
		if ended := s.Handled - s.HandledLate + s.ItemsFailed + s.ItemsReturned + s.ItemsRefused + s.ItemsLost + s.ItemsWithdrawn + s.ItemsOut; s.Assigned != ended {
			found("RS-7", "node %d: %d items were handed out, of which %d are accounted for: %+v", a.m.Node, s.Assigned, ended, s.PairStats)
		}
		if len(a.open) > 0 || s.CallsOpen > 0 || s.ItemsOut+s.ItemsWaiting > 0 {
			found("PP-4", "node %d: %d calls are open, the core has %d, %d items", a.m.Node, len(a.open), s.CallsOpen, s.ItemsOut+s.ItemsWaiting)
		}
		if a.p.PairBuffersHeld() > 0 {
			found("PP-5", "node %d: idle pairs hold %d buffers", a.m.Node, a.p.PairBuffersHeld())
		}
	}
	return vs
}

// datagrams is how many datagrams of pairs all processes have sent.
func (x *GroupPairs) datagrams() (n uint64) {
	for _, a := range x.callers {
		if a.lives() {
			s := a.p.Stats()
			n += s.PairDatagrams + s.AcksSent + s.PairQuestions
		}
	}
	return n
}

// Pairs is a whole run of members that call each other, with faults. gentle: there are crashes and orderly ends
// only, so that nobody is removed who lives. It returns what is wrong with the record.
func (c *GroupCluster) Pairs(gentle bool) []check.Violation {
	rng := rand.New(rand.NewPCG(c.Seed, 0x70616972))
	pick := func(of ...float64) float64 { return of[rng.IntN(len(of))] }
	x := AddPairs(c, 2*time.Millisecond)
	x.Failing, x.Cancel, x.Large = pick(0, 0.05), pick(0, 0.05), pick(0, 0.05)
	x.Buffers = []int{64, 512}[rng.IntN(2)]
	if rng.IntN(2) == 0 {
		x.Moving = 50 * time.Millisecond
	}
	n := 3 + rng.IntN(4)
	c.Start(n, Link{Delay: 20 * time.Microsecond, Jitter: 20 * time.Microsecond, Loss: pick(0, 0.02, 0.2),
		Duplicate: pick(0, 0.1), Reorder: pick(0, 0.05, 0.3), ReorderBy: 30 * time.Millisecond})
	c.For(100 * time.Millisecond)
	for range rng.IntN(6) {
		x.fault(rng, rng.IntN(n), gentle)
		c.For(between(rng, 200*time.Millisecond))
	}
	c.Heal()
	c.For(time.Second)
	x.Stop()
	c.For(3 * time.Second)
	before := x.datagrams()
	c.For(time.Second)
	found := x.Judge()
	if sent := x.datagrams() - before; sent > 0 {
		found = append(found, check.Violation{ID: "PP-5", At: -1, Text: fmt.Sprintf("%d datagrams of idle pairs", sent)})
	}
	return found
}

// fault begins a fault of a node, and ends it.
func (x *GroupPairs) fault(rng *rand.Rand, node int, gentle bool) {
	c := x.c
	kind := rng.IntN(4)
	if gentle {
		kind %= 2
	}
	if kind == 0 && c.Members[node].leaving {
		kind = 1
	}
	switch kind {
	case 0:
		c.Crash(node)
		c.For(between(rng, 200*time.Millisecond))
		c.Restart(node)
	case 1:
		x.Leave(node, between(rng, 50*time.Millisecond))
		c.For(between(rng, 200*time.Millisecond))
		c.Restart(node)
	case 2:
		c.Pause(node)
		c.For(between(rng, 300*time.Millisecond))
		c.Resume(node)
	case 3:
		for i := range c.Members {
			if i != node && rng.IntN(4) > 0 {
				c.Net.Cut(node, i)
				c.Net.Cut(i, node)
			}
		}
		c.For(between(rng, 300*time.Millisecond))
		c.Net.MendAll()
	}
}
