package group

import "errors"

// Stats counts what a member of a group did.
type Stats struct {
	Members     uint64 `unit:"members" kind:"gauge" help:"members in the table, this one included" when:"no counter: it follows who is there"`
	Groups      uint64 `unit:"memberships" kind:"gauge" help:"memberships of the others in groups" when:"no counter: it follows who is there"`
	Tombstones  uint64 `unit:"members" kind:"gauge" help:"members that were here, and are remembered for an hour" when:"members that fail or leave"`
	Unconfirmed uint64 `unit:"members" kind:"gauge" help:"members that have not answered a probe yet" when:"for a moment after a start. Many for long: forged members"`

	BeatsSent    uint64 `unit:"heartbeats" help:"heartbeats sent" when:"always"`
	BeatsHeard   uint64 `unit:"heartbeats" help:"heartbeats received" when:"always. It stands still beside Members above 1: nothing arrives"`
	HellosSent   uint64 `unit:"announcements" help:"announcements sent" when:"members start; groups and queues change"`
	HellosHeard  uint64 `unit:"announcements" help:"announcements received" when:"members start; groups and queues change"`
	TablesSent   uint64 `unit:"tables" help:"whole tables that were sent to newcomers" when:"members start, in groups of more than eight"`
	Compares     uint64 `unit:"tables" help:"tables compared with another member's, since the digests differed" when:"loss of announcements, and after a network was split"`
	Changes      uint64 `unit:"changes" help:"changes of this member's own groups and queues" when:"Join, Leave, Consume"`
	Suspected    uint64 `unit:"members" help:"members that fell silent for 0.45 of FailureTimeout" when:"pauses, loss"`
	Refuted      uint64 `unit:"members" help:"of Suspected: members that turned out to be there" when:"pauses, loss. Many: FailureTimeout is tight for this host or network"`
	VouchesSent  uint64 `unit:"answers" help:"answers sent that a suspected member was received of" when:"pauses, loss"`
	VouchesHeard uint64 `unit:"answers" help:"answers received that a suspected member was received of" when:"pauses, loss"`
	Vouched      uint64 `unit:"times" help:"times that a member was kept which others receive of and this one does not" when:"one direction of a link is broken"`
	Removed      uint64 `unit:"members" help:"members that failed" when:"members fail. Removed and then Returned: they stood still, or the network was split"`
	Left         uint64 `unit:"members" help:"members that left by Stop" when:"members stop"`
	Returned     uint64 `unit:"members" help:"members that are back after they were removed" when:"members stood still, or the network was split"`
	Excluded     uint64 `unit:"times" help:"times that others had removed this member" when:"it stood still, or was cut off"`
	Stalls       uint64 `unit:"times" help:"times that this member's loop stood still for a quarter of FailureTimeout or more" when:"preemption, too few cores, a blocking Inline handler, a suspended host; with Invoker turns that come too late"`
	LongestStall uint64 `unit:"ns" kind:"gauge" help:"longest time for which this member's loop stood still" when:"preemption, too few cores, a blocking Inline handler, a suspended host; with Invoker turns that come too late"`
	ClosestCall  uint64 `unit:"per mille" kind:"gauge" help:"longest silence of a member that ended well, in thousandths of the time to its removal" when:"pauses and loss: near 1,000 the next pause removes a member"`
	GateNS       uint64 `unit:"ns" help:"time for which nothing was handed to handlers, since others might have removed this member" when:"Stalls of three quarters of FailureTimeout and more"`
	EventsHeld   uint64 `unit:"ends" help:"ends of members that waited for what handlers had not begun yet" when:"a handler was slow while a member failed; the log names one that does not return"`
	EventHoldNS  uint64 `unit:"ns" kind:"gauge" help:"longest wait of EventsHeld that is over" when:"a handler was slow while a member failed"`

	Drops [DropReasons]uint64 `unit:"datagrams" help:"group datagrams refused, by reason" when:"removed, left: of members that are gone, normal for a while. unknown: of a member whose announcement was lost. stale, unasked: some are normal. full, unconfirmed: more members than the table takes. no buffer, out: more is to be sent than leaves. The rest: damaged or forged"`

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

var dropNames = [DropReasons]string{
	"stream", "frames", "stale", "incarnation", "removed", "left", "unknown", "foreign", "unasked", "rate", "full",
	"unconfirmed", "no buffer", "out", "finished",
}

// String is the reason in a word or two.
func (d Drop) String() string {
	if d >= DropReasons {
		return "unknown"
	}
	return dropNames[d]
}

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
