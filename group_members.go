package blaze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/wire"
)

// Join makes this member one of group: a name of 1 to 255 bytes of UTF-8 (else ErrTopic). Names that begin with
// "blaze." are reserved (ErrArgument). It works in every state, and outlives Stop and Shutdown. Joining twice is no
// error. A member is in at most 16,384 groups, whose names fit 256 KiB together with those of its queues: ErrTooLarge.
func (g *GroupChannel) Join(group string) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	return g.join(group)
}

// join is Join without its checks of the name.
func (g *GroupChannel) join(group string) error {
	s := g.group
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearch(s.groups, group)
	if found {
		return nil
	}
	size := groupBytes(group)
	if len(s.groups) == wire.MaxGroups || s.bytes+size > maxRecordLists {
		return fmt.Errorf("%w: Join %s: this member is in %d groups, with %d bytes of names; at most %d and %d", ErrTooLarge,
			strconv.Quote(words.Abridged(group)), len(s.groups), s.bytes, wire.MaxGroups, maxRecordLists)
	}
	s.groups = slices.Insert(s.groups, at, strings.Clone(group))
	s.bytes += size
	g.command(member.CommandJoin, group)
	return nil
}

// Leave undoes Join. Leaving what was not joined is no error.
func (g *GroupChannel) Leave(group string) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	return g.leave(group)
}

// leave is Leave without its checks of the name.
func (g *GroupChannel) leave(group string) error {
	s := g.group
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearch(s.groups, group)
	if !found {
		return nil
	}
	s.groups = slices.Delete(s.groups, at, at+1)
	s.bytes -= groupBytes(group)
	g.command(member.CommandLeave, group)
	return nil
}

// maxRecordLists bounds what a member's groups and queues take in its record, bytes.
const maxRecordLists = wire.MaxRecord - 1024

// groupBytes is what a group takes in the record, at most.
func groupBytes(name string) int { return len(name) + 3 }

// checkName judges the name of a group or a queue.
func checkName(what, name string) error {
	switch {
	case name == "" || len(name) > wire.MaxName || !utf8.ValidString(name):
		return fmt.Errorf("%w: %s %s: must be valid UTF-8 of 1 to %d bytes", ErrTopic, what, strconv.Quote(words.Abridged(name)), wire.MaxName)
	case strings.HasPrefix(name, "blaze."):
		return fmt.Errorf("%w: %s %q: names that begin with \"blaze.\" are reserved", ErrArgument, what, name)
	}
	return nil
}

// mirror is the table of the start; nil while there is none.
func (g *GroupChannel) mirror() *run.Mirror {
	if st := g.run.Load(); st != nil {
		return st.Group().Mirror()
	}
	return nil
}

// Local is this member. It is there in every state; before the first Start it has no ID.
func (g *GroupChannel) Local() Member {
	id := g.ID()
	if m := g.mirror(); m != nil {
		if i := m.Get(wire.MemberID(id)); i != nil {
			return g.memberOf(i)
		}
	}
	s := g.group
	s.mu.Lock()
	defer s.mu.Unlock()
	local := Member{ID: id, Name: g.cfg.Load().Name, Groups: slices.Clone(s.groups)}
	if s.started != 0 {
		local.Started = time.Unix(0, int64(s.started))
	}
	return local
}

// memberOf makes a Member that is its caller's.
func (g *GroupChannel) memberOf(i *run.Info) Member {
	m := memberOf(i)
	if m.ID != g.ID() {
		m.Groups = slices.Clone(m.Groups)
		return m
	}
	s := g.group // what was joined is there at once
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Groups = slices.Clone(s.groups)
	return m
}

// memberOf makes a Member that shares its groups with others.
func memberOf(i *run.Info) Member {
	return Member{
		ID: MemberID(i.ID), Incarnation: i.Incarnation, Name: i.Name, Groups: slices.Clip(i.Groups),
		Addr: addrOf(i.Address), Started: time.Unix(0, int64(i.Started)),
	}
}

func (g *GroupChannel) membersOf(list []*run.Info) []Member {
	all := make([]Member, len(list))
	for n, i := range list {
		all[n] = g.memberOf(i)
	}
	return all
}

// Members are all members, this one included, ordered by ID. While the channel is not started there are none.
func (g *GroupChannel) Members() []Member {
	m := g.mirror()
	if m == nil {
		return nil
	}
	return g.membersOf(m.All(nil))
}

// MembersOf are the members of group, ordered by ID.
func (g *GroupChannel) MembersOf(group string) []Member {
	m := g.mirror()
	if m == nil {
		return nil
	}
	return g.membersOf(m.Of(group, nil))
}

// Member looks up a member by its ID.
func (g *GroupChannel) Member(id MemberID) (Member, bool) {
	if m := g.mirror(); m != nil {
		if i := m.Get(wire.MemberID(id)); i != nil {
			return g.memberOf(i), true
		}
	}
	return Member{}, false
}

// MemberNamed is the longest-serving member with this name.
func (g *GroupChannel) MemberNamed(name string) (Member, bool) {
	if m := g.mirror(); m != nil {
		if i := m.Named(name); i != nil {
			return g.memberOf(i), true
		}
	}
	return Member{}, false
}

// WaitMembers waits until n members are there, this one included: at most 1,024, else ErrArgument. It returns ErrState
// while the channel is not started, ErrClosed when it stops, and an error that wraps ctx's when that ends. An Inline
// handler cannot wait: ErrBackPressure.
func (g *GroupChannel) WaitMembers(ctx context.Context, n int) error {
	if n > group.MaxMembers {
		return fmt.Errorf("%w: WaitMembers %d: at most %d", ErrArgument, n, group.MaxMembers)
	}
	st := g.run.Load()
	if st == nil {
		return fmt.Errorf("%w: WaitMembers in state %v: Start first", ErrState, g.State())
	}
	m := st.Group().Mirror()
	err := st.Await(ctx, m, func() bool { return m.Len() >= n })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, run.ErrClosed):
		return fmt.Errorf("%w: WaitMembers %d: the channel has stopped", ErrClosed, n)
	case errors.Is(err, run.ErrOccupied):
		return fmt.Errorf("%w: WaitMembers %d in an Inline handler, which cannot wait: %d are there", ErrBackPressure, n, m.Len())
	}
	return fmt.Errorf("blaze: waiting for %d members, %d are there: %w", n, m.Len(), err)
}
