package member

import (
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// witness is what a further engine has for the group's core, which the first one runs: when it last received
// something of each member, and of which removed members it still holds something.
type witness struct {
	mu   sync.Mutex
	last map[wire.MemberID]clock.Time // guarded by mu

	at   clock.Time      // when last was last written; the engine's own, as the next
	held []wire.MemberID // removed ones
}

// maxWitnessed is how many members a witness remembers, before it begins anew with those whose streams are there.
const maxWitnessed = nack.MaxStreams

// witnessEvery is how often last is written, by an engine that turns.
const witnessEvery = time.Millisecond

// note writes down what the engine has received. It is called in every turn of a further engine, after it has
// received. It accepts a unit without a witness.
func (u *unit) note(now clock.Time) {
	w := u.witness
	if w == nil {
		return
	}
	if now.Sub(w.at) >= witnessEvery {
		since := w.at
		w.at = now
		w.mu.Lock()
		if len(w.last) >= maxWitnessed {
			clear(w.last)
			since = 0
		}
		u.nack.EachHeard(func(id wire.MemberID, at clock.Time) {
			if at >= since && at > w.last[id] {
				w.last[id] = at
			}
		})
		w.mu.Unlock()
	}
	if len(w.held) > 0 {
		w.held = slices.DeleteFunc(w.held, func(id wire.MemberID) bool {
			if u.nack.Pending(id) {
				return false
			}
			u.released(id)
			return true
		})
	}
}

func (w *witness) heard(id wire.MemberID) clock.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[id]
}

// heard returns when something of a member was last received, by any engine. It is the group's Config.Heard, and
// the next three are others of its functions.
func (m *Member) heard(id wire.MemberID) clock.Time {
	at := m.units[0].nack.Heard(id)
	for _, u := range m.units[1:] {
		at = max(at, u.witness.heard(id))
	}
	return at
}

// forget bars a member at every engine.
func (m *Member) forget(now clock.Time, id wire.MemberID) {
	m.units[0].nack.Forget(now, id, true)
	for _, u := range m.units[1:] {
		m.group.busy[id]++
		u.engine.Post(func() {
			u.nack.Forget(u.engine.Now(), id, true)
			u.witness.held = append(u.witness.held, id) // the engine looks in this turn
		})
	}
}

// admit lifts the bar.
func (m *Member) admit(id wire.MemberID) {
	m.units[0].nack.Admit(m.Engine().Now(), id)
	for _, u := range m.units[1:] {
		u.engine.Post(func() { u.nack.Admit(u.engine.Now(), id) })
	}
}

// pending reports whether an engine may still hold something of a removed member.
func (m *Member) pending(id wire.MemberID) bool {
	return m.units[0].nack.Pending(id) || m.group.busy[id] > 0
}

// released takes in that a further engine holds nothing of a removed member any more. Any engine's thread may
// call it.
func (m *Member) released(id wire.MemberID) {
	m.Engine().Post(func() {
		if m.group.busy[id]--; m.group.busy[id] <= 0 {
			delete(m.group.busy, id)
		}
	})
}
