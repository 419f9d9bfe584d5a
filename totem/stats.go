package totem

import "time"

// Stats counts what a Protocol did. All counters only grow, but Members, Rotation and TokenLoss.
type Stats struct {
	Messages     uint64 // accepted by Offer
	MessageBytes uint64 // payload
	Fragmented   uint64 // messages that did not fit one datagram
	BackPressure uint64 // ErrWindow answers

	Datagrams      uint64 // of data, sent for the first time
	DatagramBytes  uint64 // of UDP payload
	Retransmitted  uint64 // of data, sent again because the token asked for it
	RecoverySent   uint64 // of data of an old ring, sent in recovery
	Tokens         uint64 // forwarded
	TokensAgain    uint64 // sent again
	Joins          uint64
	DataReceived   uint64
	Requested      uint64 // numbers put on a token's list
	Delivered      uint64 // messages
	DeliveredBytes uint64
	OwnDelivered   uint64 // of Delivered, own messages
	Lost           uint64 // messages reported as lost
	PartsDropped   uint64 // parts of messages whose other parts did not come
	Skipped        uint64 // datagrams that were not delivered because they may depend on lost ones
	Pauses         uint64 // times that Sink could not take a message
	LoopGaps       uint64 // times that the loop stood still for longer than half the token-loss time
	Holds          uint64 // times that the token was held
	Paced          uint64 // times that the datagrams of a visit began to follow what arrives
	HeldDown       uint64 // times that a member was held down
	Exclusions     uint64
	Impossible     uint64 // things that cannot happen, and did

	Views   uint64 // regular configurations
	Entered [4]uint64
	Reasons [Reasons]uint64

	Drops [DropReasons]uint64 // datagrams refused, by reason

	Members   uint64        // of the ring
	Rotation  time.Duration // of the token, measured, without holds
	TokenLoss time.Duration // as it stands
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

// Stats returns a copy of the counters.
func (p *Protocol) Stats() Stats {
	s := p.stats
	s.Members, s.Rotation, s.TokenLoss = uint64(p.memb.n), p.tok.rotation.mean, p.tokenLossTime()
	return s
}
