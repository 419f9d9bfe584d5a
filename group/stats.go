package group

import "errors"

// Stats counts what a member of a group did.
type Stats struct {
	Members, Groups         uint64 // now; Groups: memberships of the others
	Tombstones, Unconfirmed uint64 // now

	BeatsSent, BeatsHeard     uint64
	HellosSent, HellosHeard   uint64
	TablesSent, Compares      uint64
	Changes                   uint64 // of the member's own record
	Suspected, Refuted        uint64
	VouchesSent, VouchesHeard uint64
	Vouched                   uint64 // kept a member that only others received of
	Removed, Left, Returned   uint64
	Excluded                  uint64 // others removed this member
	Stalls, LongestStall      uint64 // LongestStall in ns
	ClosestCall               uint64 // per mille of the time to a removal that a silence lasted which ended well
	GateNS                    uint64
	EventsHeld                uint64 // ends that waited for a full queue
	EventHoldNS               uint64 // the longest of these waits that is over

	Drops [DropReasons]uint64

	PairStats
}

// Drop is why a datagram, or what it asked for, was refused.
type Drop uint8

// The reasons.
const (
	DropStream      Drop = iota // not the stream of a group
	DropFrames                  // frames that a group datagram does not have, or none
	DropStale                   // from an incarnation that is over
	DropIncarnation             // an incarnation far above the one that is known
	DropRemoved                 // from a member that was removed; it is notified
	DropLeft                    // from a member that has left
	DropUnknown                 // from a member that is not known; its record is asked for
	DropForeign                 // for another member, or about one that may not be spoken for
	DropUnasked                 // an answer to nothing that was asked
	DropRate                    // more than is handled in the time
	DropFull                    // no room in the table
	DropUnconfirmed             // as many entries as may be have not answered a probe
	DropNoBuffer                // no buffer to send from
	DropOut                     // too many datagrams wait to be sent
	DropFinished                // the member has left itself
	DropReasons                 // their number
)

// Errors of Step, by Drop. They are bare sentinels: a flood of bad datagrams allocates nothing.
var dropErrors = [DropReasons]error{
	DropStream:      errors.New("group: not a stream of a group"),
	DropFrames:      errors.New("group: frames that do not belong there"),
	DropStale:       errors.New("group: from an incarnation that is over"),
	DropIncarnation: errors.New("group: incarnation out of range"),
	DropRemoved:     errors.New("group: from a member that was removed"),
	DropLeft:        errors.New("group: from a member that has left"),
	DropUnknown:     errors.New("group: from a member that is not known"),
	DropForeign:     errors.New("group: for or about another member"),
	DropUnasked:     errors.New("group: an answer to nothing that was asked"),
	DropRate:        errors.New("group: too many in a second"),
	DropFull:        errors.New("group: no room in the table"),
	DropUnconfirmed: errors.New("group: too many members that have not answered"),
	DropNoBuffer:    errors.New("group: no buffer to send from"),
	DropOut:         errors.New("group: too many datagrams wait"),
	DropFinished:    errors.New("group: this member has left"),
}

// Warning is what an operator should know of: FailureTimeout is short for this host or network.
type Warning uint8

// The warnings.
const (
	CloseCall Warning = iota // Stats.ClosestCall has reached 700
	LongStall                // this member stood still for half of FailureTimeout
	warnings
)

const closeCall = 700

func (p *Protocol) warn(w Warning) {
	if !p.warned[w] && p.cfg.Warn != nil {
		p.cfg.Warn(w)
	}
	p.warned[w] = true
}

func (p *Protocol) drop(why Drop) error {
	p.stats.Drops[why]++
	return dropErrors[why]
}

// Stats returns a copy of the counters.
func (p *Protocol) Stats() Stats {
	s := p.stats
	s.Members, s.Tombstones, s.Unconfirmed = uint64(len(p.table.order)+1), uint64(len(p.table.graves)), uint64(p.table.unconfirmed)
	for _, e := range p.table.order {
		s.Groups += uint64(e.groups)
	}
	s.PairStats = p.pairs.stats
	for _, q := range p.pairs.queueList {
		s.ItemsWaiting += uint64(q.waiting.len())
		s.ItemsOut += uint64(q.items - q.waiting.len())
	}
	return s
}
