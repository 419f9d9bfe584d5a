package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// sender is the sending side of a lane, whatever its protocol. Its errors are package nack's:
// ErrWindow, ErrTooLarge, ErrClaimed and ErrClosed.
type sender interface {
	Offer(now clock.Time, topic string, kind wire.Kind, payload []byte, safe bool) error
	// Claim lends room in the datagram itself. ErrTooLarge means that there is none to be had
	// in that way, and that the message is to be offered.
	Claim(now clock.Time, topic string, kind wire.Kind, n int) ([]byte, error)
	Commit()
	Abort()
	// Receivers is the number of other members that receive the lane.
	Receivers() int
	// Acknowledged reports whether all receivers have everything.
	Acknowledged() bool
	// Limited is what keeps the lane's rate from being higher.
	Limited(now clock.Time) core.Limited
	// Limiting is the receiver that holds the lane back now; ok is false when none does.
	Limiting() (l nack.Limit, ok bool)
	// Slowest is the receiver that held the lane back longest since Reckon, or would be the first to do so.
	Slowest(now clock.Time) (l nack.Limit, ok bool)
	// Reckon begins to count anew for Slowest.
	Reckon(now clock.Time)
	// Messages is the number of messages that were accepted.
	Messages() uint64
	// Unsent is the number of messages that were accepted and have not left, in whole or in part.
	Unsent() uint64
}

// nackSender is a lane under NACK, BestEffort, FEC or Hybrid.
type nackSender struct{ *nack.Sender }

func (s nackSender) Offer(now clock.Time, topic string, kind wire.Kind, payload []byte, _ bool) error {
	return s.Sender.Offer(now, topic, kind, payload)
}

// totemSender is this member's part in the ring.
type totemSender struct {
	p      *totem.Protocol
	others *int // in the last regular view
}

func (s totemSender) Offer(now clock.Time, topic string, kind wire.Kind, payload []byte, safe bool) error {
	switch err := s.p.Offer(now, topic, kind, payload, safe); err {
	case totem.ErrWindow:
		return nack.ErrWindow
	case totem.ErrTooLarge:
		return nack.ErrTooLarge
	case totem.ErrClosed:
		return nack.ErrClosed
	default:
		return err
	}
}

func (s totemSender) Claim(clock.Time, string, wire.Kind, int) ([]byte, error) {
	return nil, nack.ErrTooLarge
}
func (s totemSender) Commit()                             {}
func (s totemSender) Abort()                              {}
func (s totemSender) Acknowledged() bool                  { return s.p.Acknowledged() }
func (s totemSender) Messages() uint64                    { return s.p.Messages() }
func (s totemSender) Unsent() uint64                      { return s.p.Unsent() }
func (s totemSender) Limiting() (l nack.Limit, ok bool)   { return l, false }
func (s totemSender) Reckon(clock.Time)                   {}
func (s totemSender) Limited(now clock.Time) core.Limited { return s.p.Limited(now) }
func (s totemSender) Receivers() int                      { return *s.others }

// Slowest is the member that holds the ring back.
func (s totemSender) Slowest(now clock.Time) (l nack.Limit, ok bool) {
	m := s.p.Limited(now)
	return nack.Limit{Member: m.Member, Endpoint: m.Endpoint, Behind: m.Behind}, m.Member != (wire.MemberID{})
}
