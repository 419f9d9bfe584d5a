package totem

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// RingView is a ring as one member has it now.
type RingView struct {
	State     State
	Ring      wire.RingID // the last that was installed, or the one that is being formed
	Members   []wire.MemberID
	Rotation  time.Duration // of the token, measured, without rests; 0: not measured
	TokenLoss time.Duration // as it stands
	HeldDown  []HeldView
	Entered   []EnteredView // the last states, the oldest first
	Sent      uint64        // messages that this member has offered
}

// HeldView is a member that is ignored for a while.
type HeldView struct {
	Member wire.MemberID
	Left   time.Duration
}

// EnteredView is a state that was entered.
type EnteredView struct {
	At     clock.Time
	State  State
	Reason Reason
}

// keptEntries is how many of the last states are remembered.
const keptEntries = 8

// entries are the last states that were entered, in turn.
type entries struct {
	list [keptEntries]EnteredView
	n    int
}

func (e *entries) note(at clock.Time, s State, why Reason) {
	e.list[e.n%keptEntries] = EnteredView{at, s, why}
	e.n++
}

// Look copies the state of the ring: at most MaxMembers members and as many that are held down.
func (p *Protocol) Look(now clock.Time) *RingView {
	v := &RingView{State: p.state, Ring: p.cur.id, Rotation: p.tok.rotation.mean, TokenLoss: p.tokenLossTime(), Sent: p.stats.Messages}
	v.Members = append(v.Members, p.memb.list()...)
	for i := range p.holds.list {
		if h := &p.holds.list[i]; h.id != (wire.MemberID{}) && h.runs(p, now) {
			v.HeldDown = append(v.HeldDown, HeldView{h.id, h.until.Sub(now)})
		}
	}
	for i := max(0, p.entered.n-keptEntries); i < p.entered.n; i++ {
		v.Entered = append(v.Entered, p.entered.list[i%keptEntries])
	}
	return v
}
