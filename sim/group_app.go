package sim

import (
	"errors"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// groupApp stands for the topics of a member of a group: it sends a message to all from time to time, and
// hands what it receives to a handler. It is an engine's protocol, without repair.
type groupApp struct {
	m      *GroupMember
	every  time.Duration // mean time between two messages; 0: none
	due    clock.Time
	number uint64
	heard  map[wire.MemberID]clock.Time
	barred map[wire.MemberID]bool
	queue  []wire.MemberID // senders of what waits for the handler
	busy   clock.Time      // the handler takes nothing before
}

var errGroupApp = errors.New("sim: from a member that is barred")

var groupAppStream = wire.NewStreamID(wire.BestEffort, 0)

func newGroupApp(m *GroupMember) *groupApp {
	return &groupApp{m: m, every: m.c.Data, heard: map[wire.MemberID]clock.Time{}, barred: map[wire.MemberID]bool{}}
}

// Step takes in one message.
func (a *groupApp) Step(now clock.Time, d *wire.Datagram, _ buf.Received) error {
	if a.barred[d.Transmitter] {
		return errGroupApp
	}
	a.heard[d.Transmitter] = now
	a.queue = append(a.queue, d.Transmitter)
	a.Deliver(now)
	return nil
}

// Deliver hands up what waits, unless the gate is closed or the handler is busy.
func (a *groupApp) Deliver(now clock.Time) (n int) {
	for len(a.queue) > 0 && !a.m.Protocol.Gated() && now >= a.busy {
		a.m.serve(now)
		if a.m.ends[a.queue[0]] {
			a.m.c.Log.Found("GR-7", "t=%v node %d is handed a message of %x after its end", now.Sub(0), a.m.Node, a.queue[0][:2])
		}
		a.queue = a.queue[1:]
		n++
		if a.m.rng.IntN(2000) == 0 {
			a.busy = now.Add(between(a.m.rng, 200*time.Millisecond))
		}
	}
	return n
}

// pending reports whether something of a member waits for the handler.
func (a *groupApp) pending(id wire.MemberID) bool {
	for _, q := range a.queue {
		if q == id {
			return true
		}
	}
	return false
}

// Deadline is when the next message is sent, or the handler is ready.
func (a *groupApp) Deadline() (at clock.Time, ok bool) {
	if a.every == 0 || a.m.leaving || a.m.c.finished {
		at, ok = 0, false
	} else {
		at, ok = a.due, true
	}
	return clock.Earlier(at, ok, a.busy, len(a.queue) > 0 && !a.m.Protocol.Gated())
}

// Tick does nothing: PollSend looks at the time.
func (a *groupApp) Tick(clock.Time) {}

// Flush does nothing.
func (a *groupApp) Flush(clock.Time) {}

// PollControl hands out nothing.
func (a *groupApp) PollControl(clock.Time) (s buf.Send, ok bool) { return s, false }

// PollSend hands out a message when it is due.
func (a *groupApp) PollSend(now clock.Time) (s buf.Send, ok bool) {
	if a.every == 0 || now < a.due || a.m.leaving || a.m.c.finished {
		return s, false
	}
	first := a.due == 0
	a.due = now.Add(time.Duration(a.m.rng.ExpFloat64() * float64(a.every)))
	if first {
		return s, false
	}
	b := a.m.pool.Get()
	if b == nil {
		return s, false
	}
	a.number++
	var w wire.DataWriter
	w.Begin(b.Mem(), a.m.Driver.Datagram(), wire.Header{Cluster: wire.ClusterHash("sim"), Transmitter: a.m.id, Stream: groupAppStream}, a.number, a.number)
	w.Add("t", wire.KindRaw, []byte{1})
	b.Set(w.Finish())
	return buf.Send{Buf: b, To: buf.Group}, true
}

// serve notes that something was handed to a handler.
func (m *GroupMember) serve(now clock.Time) {
	m.Served++
	if m.resumed {
		m.resumed = false
		m.c.Log.Add(check.GroupRecord{At: m.c.Net.Now(), Kind: check.GroupServed, Proc: m.Proc, Incarnation: m.Protocol.Incarnation()})
	}
}
