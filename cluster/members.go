package cluster

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/wire"
)

// Member is one row of the member table.
type Member struct {
	ID                 wire.MemberID
	Seat               wire.Seat
	Name               string
	Started            uint64 // microseconds since 1970
	Age                uint64 // index of its entry
	Weight             int64
	Guard              uint64 // ns
	RulesMin, RulesMax uint32
	Ready              bool // its replica is complete
	Observer, Disk     bool
}

// MasterKey is the key, in the map without a name, that Unlock and Release name for the master.
const MasterKey = "master"

func ofMaster(op *wire.ClusterOp) bool { return len(op.Map) == 0 && string(op.Key) == MasterKey }

// row returns a member's row, or nil.
func (t *tables) row(id wire.MemberID) *Member {
	for i := range t.members {
		if t.members[i].ID == id {
			return &t.members[i]
		}
	}
	return nil
}

// establish is the member table's part of a new primary: members whose replica does not go on leave it, and all others of
// the ring enter it.
func (t *tables) establish(p *pass, o *wire.Opening) {
	t.maxValue, t.stateLimit = uint64(o.MaxValue), o.StateLimit
	stays := func(id wire.MemberID) *wire.OpeningMember {
		for i := range o.Members {
			if m := &o.Members[i]; m.Member == id && m.Current {
				return m
			}
		}
		return nil
	}
	var left []wire.MemberID
	rows := make([]Member, 0, len(o.Members))
	for _, row := range t.members {
		m := stays(row.ID)
		if m == nil {
			left = append(left, row.ID)
			continue
		}
		entered := rowOf(m)
		entered.Age, entered.Weight = row.Age, row.Weight
		rows = append(rows, entered)
		if !row.Ready {
			p.event(Event{Kind: EventReady, By: row.ID})
		}
	}
	t.members = rows
	for _, id := range left {
		p.event(Event{Kind: EventLeft, By: id})
	}
	for _, id := range left {
		t.gone(p, id, false)
		if t.master.Holder == id {
			t.orphanMaster(p)
		}
	}
	enter := make([]*wire.OpeningMember, 0, len(o.Members))
	for i := range o.Members {
		if t.row(o.Members[i].Member) == nil {
			enter = append(enter, &o.Members[i])
		}
	}
	slices.SortStableFunc(enter, func(a, b *wire.OpeningMember) int {
		if c := cmp.Compare(a.Started, b.Started); o.Founding && c != 0 {
			return c
		}
		return bytes.Compare(a.Member[:], b.Member[:])
	})
	for _, m := range enter {
		row := rowOf(m)
		row.Age = p.index
		t.members = append(t.members, row)
		p.event(Event{Kind: EventEntered, By: row.ID})
	}
	// All rows are there: what was written before a member that comes back entered is not its any more.
	room := MaxSweep
	for _, id := range left {
		room -= t.sweepSome(p, id, room)
	}
	t.elect(p)
}

func rowOf(m *wire.OpeningMember) Member {
	return Member{
		ID: m.Member, Seat: m.Seat, Name: m.Name, Started: m.Started, Weight: m.Weight, Guard: m.Guard,
		RulesMin: m.RulesMin, RulesMax: m.RulesMax, Ready: m.Current, Observer: m.Observer, Disk: m.Disk,
	}
}

// ready makes a learner a member with a complete replica, and gives it a seat.
func (t *tables) ready(p *pass, op *wire.ClusterOp) Code {
	row := t.row(p.by)
	if op.Seat != row.Seat {
		return CodeMalformed
	}
	if row.Ready {
		return CodeOK
	}
	row.Ready = true
	p.event(Event{Kind: EventReady, By: row.ID})
	t.seat(p, row)
	t.elect(p)
	return CodeOK
}

// seat gives a member that is ready a seat among the voters, if there is one for it (docs/cluster.md, who the voters are).
func (t *tables) seat(p *pass, row *Member) {
	if row.Observer || p.pos.rules < row.RulesMin || p.pos.rules > row.RulesMax {
		return
	}
	v := wire.Voter{Seat: row.Seat, Name: wire.ClusterHash(row.Name), Started: row.Started, Disk: row.Disk}
	p.vote(Seated(p.pos.voters, &p.pos.primary, v))
}

// exit ends the proposer's membership in order.
func (t *tables) exit(p *pass) Code {
	id := p.by
	at := slices.IndexFunc(t.members, func(m Member) bool { return m.ID == id })
	seat := t.members[at].Seat
	t.members = slices.Delete(t.members, at, at+1)
	p.event(Event{Kind: EventLeft, By: id})
	p.vote(Unseated(p.pos.voters, seat))
	t.gone(p, id, true)
	t.sweepSome(p, id, MaxSweep)
	if t.master.Holder == id && !t.master.Orphaned {
		t.vacate(p)
	}
	t.elect(p)
	return CodeOK
}

func (t *tables) weight(p *pass, w int64) Code {
	t.row(p.by).Weight = w
	p.event(Event{Kind: EventWeight, By: p.by})
	t.elect(p)
	return CodeOK
}

// rules puts the next rules in force, if every member supports them.
func (t *tables) rules(p *pass, v uint32) Code {
	old := slices.ContainsFunc(t.members, func(m Member) bool { return m.RulesMax < v })
	if v != p.pos.rules+1 || old {
		return CodeMalformed
	}
	p.pos.rules = v
	p.event(Event{Kind: EventRules})
	return CodeOK
}

// The master's lock. It has no line: every ready member but observers is in it.

// elect makes the heir master, where nobody is.
func (t *tables) elect(p *pass) {
	if t.master.Token != 0 {
		return
	}
	id := t.heir()
	if id == (wire.MemberID{}) {
		return
	}
	t.master = Held{Key: MasterKey, Holder: id, Token: p.index, Renewed: p.index}
	p.event(Event{Kind: EventMaster, By: id, Token: p.index})
}

// heir is the ready member of highest weight, then of smallest age, that is no observer; zero: none.
func (t *tables) heir() wire.MemberID {
	best := -1
	for i, m := range t.members {
		if m.Ready && !m.Observer && (best < 0 || m.Weight > t.members[best].Weight) {
			best = i
		}
	}
	if best < 0 {
		return wire.MemberID{}
	}
	return t.members[best].ID
}

// vacate ends the holding of the master's lock.
func (t *tables) vacate(p *pass) {
	p.event(Event{Kind: EventVacant, By: t.master.Holder, Token: t.master.Token})
	t.master = Held{}
}

func (t *tables) orphanMaster(p *pass) {
	if !t.master.Orphaned {
		t.master.Orphaned = true
		p.event(Event{Kind: EventUnseated, By: t.master.Holder, Token: t.master.Token})
	}
}

func (t *tables) abdicate(p *pass, token uint64) Code {
	if t.master.Token == 0 || t.master.Token != token || t.master.Holder != p.by || t.master.Orphaned {
		return CodeNotOwner
	}
	t.vacate(p)
	t.elect(p)
	return CodeOK
}

func (t *tables) releaseMaster(p *pass, token uint64) Code {
	if !t.master.Orphaned || t.master.Token != token {
		return CodeNotOwner
	}
	t.vacate(p)
	t.elect(p)
	return CodeOK
}

// Members is the member table, the longest-serving one first. The slice is lent until the next change.
func (s *State) Members() []Member { return s.tables.members }

// Member returns a member's row.
func (s *State) Member(id wire.MemberID) (Member, bool) {
	if row := s.tables.row(id); row != nil {
		return *row, true
	}
	return Member{}, false
}

// Leader is the ready member of smallest age that is no observer; zero: none.
func (s *State) Leader() wire.MemberID {
	for _, m := range s.tables.members {
		if m.Ready && !m.Observer {
			return m.ID
		}
	}
	return wire.MemberID{}
}

// Master is the lock whose holder is master, also while it is orphaned. It is in no map; its Key is MasterKey. ok is false
// while it is vacant.
func (s *State) Master() (h Held, ok bool) { return s.tables.master, s.tables.master.Token != 0 }

// Heir is who would be master if nobody was: the highest weight, then the smallest age. Zero: nobody can.
func (s *State) Heir() wire.MemberID { return s.tables.heir() }
