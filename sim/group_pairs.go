package sim

import (
	"encoding/binary"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// GroupPairs has the members of a GroupCluster send to each other, one to one, and through one queue, and
// records it. Make it with AddPairs before Start.
type GroupPairs struct {
	Every time.Duration // mean time between two calls of one member
	Log   *check.PairLog

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
	open   map[uint64][]byte // payloads of calls that have not ended; nil: of a reply
}

const (
	groupInbox = "orders"
	groupQueue = "work"
)

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
	return x
}

// start is called as a process is made, before its Protocol.
func (x *GroupPairs) start(m *GroupMember, cfg *group.Config) {
	a := &groupCaller{x: x, m: m, open: map[uint64][]byte{}}
	a.proc = x.Log.Start(x.c.Net.Now(), m.Node, cfg.Self)
	x.callers = append(x.callers, a)
	cfg.Calls, cfg.MaxMessageSize, cfg.PairBuffers = a, 64<<10, 512
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
		now := x.c.Net.Now()
		a.p.HandleInbox(groupInbox, a)
		if a.p.HandleQueue(now, groupQueue, a, 2, 100, 1<<20) == nil {
			a.p.Consume(now, groupQueue, 2, 0)
		}
		m.Driver.Wake()
		a.load()
	})
}

// lives reports whether the process runs, and is not leaving.
func (a *groupCaller) lives() bool { return a.m.Protocol == a.p && a.p != nil && !a.m.leaving }

// Ended registers that a process has crashed or left.
func (x *GroupPairs) end(node int) {
	for _, a := range x.callers {
		if a.m.Node == node && x.Log.Procs[a.proc].Ended == 0 {
			x.Log.Add(check.PairRecord{At: x.c.Net.Now(), Kind: check.PairEnded, Proc: a.proc})
		}
	}
}

// load calls others from time to time.
func (a *groupCaller) load() {
	c := a.x.c
	c.Net.After(time.Duration(a.m.rng.ExpFloat64()*float64(a.x.Every)), func() {
		if !a.lives() || a.x.stopped {
			return
		}
		if !a.m.paused && len(a.open) < 2000 {
			a.call()
			a.m.Driver.Wake()
		}
		a.load()
	})
}

func (a *groupCaller) call() {
	now, rng := a.x.c.Net.Now(), a.m.rng
	to := a.x.callers[rng.IntN(len(a.x.callers))]
	a.number++
	payload := make([]byte, 16+rng.IntN(200))
	if rng.IntN(50) == 0 {
		payload = make([]byte, 5000)
	}
	binary.LittleEndian.PutUint64(payload, a.number)
	binary.LittleEndian.PutUint64(payload[8:], rng.Uint64())
	call := &group.Call{Number: a.number%8192 | a.number/8192<<16, To: to.m.id, Inbox: groupInbox, Payload: payload}
	if to.p != nil && to.m.Protocol != to.p {
		call.To = wire.MemberID{} // it is no more
	}
	a.open[call.Number] = payload
	r := check.PairRecord{At: now, Proc: a.proc, Peer: to.proc, Number: a.number, Hash: check.Hash(payload)}
	switch rng.IntN(4) {
	case 0:
		r.Kind = check.PairRequest
		a.x.Log.Add(r)
		a.p.Request(now, call)
	case 1:
		call.Inbox = groupQueue
		r.Kind, r.Peer = check.PairEnqueued, a.proc
		a.x.Log.Add(r)
		a.p.Enqueue(now, call)
	default:
		r.Kind = check.PairSend
		a.x.Log.Add(r)
		a.p.Send(now, call)
	}
}

// Ended takes the end of a call.
func (a *groupCaller) Ended(now clock.Time, e *group.End) {
	payload, ok := a.open[e.Call]
	if !ok {
		a.x.c.Log.Found("PP-4", "node %d: a call ended that is not open", a.m.Node)
		return
	}
	delete(a.open, e.Call)
	r := check.PairRecord{At: now, Proc: a.proc, Number: binary.LittleEndian.Uint64(payload), Kind: check.PairFailed}
	switch {
	case e.Why == group.Answered:
		if r.Kind = check.PairAnswered; a.m.Protocol == a.p && a.p.Gated() {
			a.x.c.Log.Found("GR-13", "t=%v node %d: a call ended well while the gate is closed", now.Sub(0), a.m.Node)
		}
		if e.Payload != nil {
			r.Hash = check.Hash(e.Payload)
		}
	case e.Why == group.Refused:
		r.Kind = check.PairRefused
	case e.Unknown:
		r.Kind = check.PairUnknown
	}
	a.x.Log.Add(r)
}

// Take is the in-box's handler.
func (a *groupCaller) Take(now clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	if a.m.rng.IntN(50) == 0 {
		return group.Wait, 0
	}
	a.begun(now, check.PairBegun, i.From, i.Payload, false)
	if i.Wanted {
		reply := binary.LittleEndian.AppendUint64(nil, a.m.rng.Uint64())
		a.x.Log.Add(check.PairRecord{At: now, Kind: check.PairReplied, Proc: a.proc, Peer: a.x.Log.ProcOf(i.From), Number: binary.LittleEndian.Uint64(i.Payload), Hash: check.Hash(reply)})
		if err := a.p.Reply(now, i.From, i.Call, i.Kind, reply); err != nil {
			a.x.c.Log.Found("PP-4", "node %d: a reply has no room: %v", a.m.Node, err)
		}
	}
	return group.Take, 0
}

func (a *groupCaller) begun(now clock.Time, kind check.PairKind, from wire.MemberID, payload []byte, marked bool) {
	if a.p.Gated() {
		a.x.c.Log.Found("GR-13", "t=%v node %d is handed something while the gate is closed", now.Sub(0), a.m.Node)
	}
	a.x.Log.Add(check.PairRecord{At: now, Kind: kind, Proc: a.proc, Peer: a.x.Log.ProcOf(from), Number: binary.LittleEndian.Uint64(payload), Hash: check.Hash(payload), Marked: marked})
}

// Begin is the queue's handler.
func (a *groupCaller) Begin(now clock.Time, w *group.Work) {
	a.begun(now, check.PairWorkBegun, w.From, w.Payload, w.Redelivered)
	from, call, attempt, number := w.From, w.Call, w.Attempt, binary.LittleEndian.Uint64(w.Payload)
	a.x.c.Net.After(between(a.m.rng, 3*time.Millisecond), func() {
		a.m.whenRuns(a.m.Proc, func() {
			if !a.lives() {
				return
			}
			now := a.x.c.Net.Now()
			a.x.Log.Add(check.PairRecord{At: now, Kind: check.PairWorkDone, Proc: a.proc, Peer: a.x.Log.ProcOf(from), Number: number})
			a.p.Done(now, groupQueue, from, call, attempt, wire.ResultHandled)
		})
	})
}

// Stop ends the calling.
func (x *GroupPairs) Stop() { x.stopped = true }

// Judge reports what is wrong with the record.
func (x *GroupPairs) Judge() []check.Violation {
	return append(check.Pairs(x.Log), check.Queues(x.Log)...)
}
