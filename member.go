package blaze

import (
	"fmt"
	"net/netip"
	"time"
)

// View is a configuration of Totem's ring: who is a member, told in its place in the stream of
// messages.
type View struct {
	ID       ViewID
	Kind     ViewKind
	Members  []MemberID // in order of their ids
	Previous ViewID     // the regular view before this one; zero in a member's first
	Together []MemberID // those of Members that came here from Previous with this member
}

// ViewID names one ring. No two memberships ever share one. A transitional view bears the ID of
// the regular view that follows it.
type ViewID struct {
	Sequence       uint64 // rises with every view that a member installs
	Representative MemberID
}

// String is "sequence@representative".
func (v ViewID) String() string { return fmt.Sprintf("%d@%v", v.Sequence, v.Representative) }

// ViewKind tells the two kinds of views apart.
type ViewKind uint8

// The kinds of views.
const (
	ViewTransitional ViewKind = iota + 1 // those of the old view that go on together; ends the old view
	ViewRegular                          // the new membership
)

// String is "transitional" or "regular".
func (k ViewKind) String() string {
	return nameOf("ViewKind", []string{"unknown", "transitional", "regular"}, k)
}

// Member is what is known of one member of the cluster.
type Member struct {
	ID          MemberID
	Incarnation uint32         // counts up when the member learns that the others excluded it
	Name        string         // Config.Name; need not be unique
	Groups      []string       // sorted
	Addr        netip.AddrPort // its own unicast address
	Started     time.Time
}

// MemberEvent is one change of membership.
type MemberEvent struct {
	Kind   MemberEventKind
	Member Member
	Group  string // of MemberJoinedGroup and MemberLeftGroup
}

// MemberEventKind says what changed.
type MemberEventKind uint8

// The changes of membership.
const (
	MemberStarted     MemberEventKind = iota + 1
	MemberStopped                     // it said that it leaves
	MemberFailed                      // suspected, confirmed, removed
	MemberJoinedGroup                 // Group says which
	MemberLeftGroup
)

// String names the change: "started".
func (k MemberEventKind) String() string {
	return nameOf("MemberEventKind", []string{"unknown", "started", "stopped", "failed", "joined group", "left group"}, k)
}
