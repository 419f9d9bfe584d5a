package blaze

import (
	"net/netip"
	"time"
)

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

// MemberEventKind is the kind of a change.
type MemberEventKind uint8

// The changes of membership.
const (
	MemberStarted     MemberEventKind = iota + 1
	MemberStopped                     // it left
	MemberFailed                      // suspected, confirmed, removed
	MemberJoinedGroup                 // Group is its name
	MemberLeftGroup
)

// String names the change: "started".
func (k MemberEventKind) String() string {
	return nameOf("MemberEventKind", []string{"unknown", "started", "stopped", "failed", "joined group", "left group"}, k)
}
