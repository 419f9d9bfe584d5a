package totem

import "time"

// Stats counts what a Protocol did. All counters only grow, but Members, Rotation and TokenLoss.
type Stats struct {
	Messages     uint64 `unit:"messages" help:"messages accepted by Offer, Claim and Broadcast" when:"with each message"`
	MessageBytes uint64 `unit:"bytes" help:"bytes of payload of Messages" when:"with each message"`
	Fragmented   uint64 `unit:"messages" help:"messages that did not fit one datagram" when:"with large messages"`
	BackPressure uint64 `unit:"times" help:"times that a message was refused, since the send queue was full" when:"the offered rate is above what the ring carries"`

	Datagrams      uint64 `unit:"datagrams" help:"data datagrams, sent for the first time" when:"with traffic"`
	DatagramBytes  uint64 `unit:"bytes" help:"bytes of UDP payload of Datagrams" when:"with traffic"`
	Retransmitted  uint64 `unit:"datagrams" help:"data datagrams sent again because the token asked for them" when:"loss"`
	RecoverySent   uint64 `unit:"datagrams" help:"data datagrams of an old ring, sent again while a new one forms" when:"a view changes under load"`
	Tokens         uint64 `unit:"tokens" help:"tokens forwarded" when:"always while the ring turns; slowly while the token rests"`
	TokensAgain    uint64 `unit:"tokens" help:"tokens sent again because no sign of their arrival came" when:"loss, or a successor that is off its CPU"`
	Joins          uint64 `unit:"datagrams" help:"Join datagrams sent" when:"a ring is formed"`
	DataReceived   uint64 `unit:"datagrams" help:"data datagrams accepted" when:"with traffic"`
	Requested      uint64 `unit:"datagrams" help:"datagrams that this member asked for on the token" when:"loss at this member"`
	Delivered      uint64 `unit:"messages" help:"messages delivered" when:"with each message"`
	DeliveredBytes uint64 `unit:"bytes" help:"bytes of payload of Delivered" when:"with each message"`
	OwnDelivered   uint64 `unit:"messages" help:"of Delivered: the member's own messages" when:"with each own message"`
	Lost           uint64 `unit:"messages" help:"messages reported as lost" when:"the network split, or members were excluded"`
	PartsDropped   uint64 `unit:"parts" help:"parts of messages whose other parts did not come" when:"a sender left in the middle of a large message"`
	Skipped        uint64 `unit:"datagrams" help:"datagrams that were not delivered because they may depend on lost ones" when:"a view changes after a loss that no remaining member could repair"`
	Pauses         uint64 `unit:"times" help:"times that a subscription could not take a message" when:"slow handlers; they slow the whole ring"`
	LoopGaps       uint64 `unit:"times" help:"times that the loop stood still for longer than half the token-loss time" when:"this thread is off the CPU: cores, EngineCPUs, Totem.Profile"`
	Holds          uint64 `unit:"times" help:"times that the token rested because nothing was to be sent" when:"an idle ring, with Backoff or Block"`
	Paced          uint64 `unit:"times" help:"times that what this member sends a token visit began to follow what arrives" when:"a link slower than the ring, or a short queue, is on the way: one in twenty of a member's datagrams and more were lost, and fewer at a lower pace"`
	HeldDown       uint64 `unit:"times" help:"times that a member was ignored for a while, because it makes rings break" when:"a member that sends and does not receive, or the reverse; two members that do not receive each other; a path that does not carry full datagrams"`
	Exclusions     uint64 `unit:"times" help:"times that the others went on without this member" when:"long pauses"`
	Impossible     uint64 `unit:"events" help:"events that the protocol rules out" when:"must stay 0: report it"`

	Views   uint64          `unit:"configurations" help:"regular configurations" when:"should stay where it is: members come and go, or the token is lost"`
	Entered [4]uint64       `unit:"times" help:"times that each state was entered" when:"with each view; gather alone: attempts that fail"`
	Reasons [Reasons]uint64 `unit:"times" help:"times that a state was entered, by reason" when:"with Entered; the reason that grows is the cause"`

	Drops [DropReasons]uint64 `unit:"datagrams" help:"datagrams refused, by reason" when:"stale and token: some are normal. foreign: another ring on this address. no buffer: MemoryBudget too small for the load. too long: a member of the ring has a larger mtu than this one. The rest: damaged or forged"`

	Members   uint64        `unit:"members" kind:"gauge" help:"members of the ring now" when:"no counter"`
	Rotation  time.Duration `unit:"ns" kind:"gauge" help:"measured time of one rotation of the token, without rests" when:"no counter: it sets the latency of agreed delivery"`
	TokenLoss time.Duration `unit:"ns" kind:"gauge" help:"time after which a token counts as lost, as it stands now" when:"no counter: it follows the measured rotation"`
}

// DropReason is why a datagram was refused.
type DropReason int

// The reasons.
const (
	DropFrames DropReason = iota
	DropStale
	DropForeign
	DropToken
	DropState
	DropRange
	DropMembers
	DropHeld
	DropNoBuffer
	DropFinished
	DropMalformed
	DropLong
	DropReasons // their number
)

var dropNames = [DropReasons]string{"frames", "stale", "foreign", "token", "state", "range", "members", "held", "no buffer", "finished", "malformed", "too long"}

func (r DropReason) String() string {
	if r < 0 || r >= DropReasons {
		return "unknown"
	}
	return dropNames[r]
}

var dropErrors = [DropReasons]error{ErrFrames, ErrStale, ErrForeign, ErrToken, ErrState, ErrRange, ErrMembers, ErrHeld, ErrNoBuffer, ErrFinished, ErrMalformed, ErrLong}

// drop counts a refused datagram and returns its error.
func (p *Protocol) drop(r DropReason) error {
	p.stats.Drops[r]++
	return dropErrors[r]
}

// Messages is the number of messages that were accepted.
func (p *Protocol) Messages() uint64 { return p.stats.Messages }

// Stats returns a copy of the counters.
func (p *Protocol) Stats() Stats {
	s := p.stats
	s.Members, s.Rotation, s.TokenLoss = uint64(p.memb.n), p.tok.rotation.mean, p.tokenLossTime()
	return s
}
