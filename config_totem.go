package blaze

import (
	"time"

	"github.com/activeblaze/blaze/totem"
)

const (
	// blockHold is how long an idle ring's token rests with Block, unless the profile has a hold: each
	// wake-up costs a hundred microseconds of CPU, the runtime's own share included. No message waits
	// for the end of the hold: a member that has one to send ends it. blockRetransmit leaves room for
	// the hold, and for four tokens within the token-loss time.
	blockHold       = 9200 * time.Microsecond
	blockRetransmit = 11500 * time.Microsecond

	// backoffRotations is how many idle rotations there are with Backoff before the token rests. It
	// is some ten milliseconds: to wake a ring that sleeps takes longer than a rotation of one
	// that spins, and a ring with a message now and then should not sleep between them.
	backoffRotations = 500
)

// profile returns the ring's timers. With BusySpin the token always goes round. With Backoff and Block
// it rests while the ring is idle, and the members sleep in the kernel.
func (t TotemConfig) profile(idle Idle) totem.Profile {
	p := totem.Tuned()
	switch t.Profile {
	case Isolated:
		p = totem.Isolated()
	case Shared:
		p = totem.Shared()
	default:
		if idle == Block {
			p.TokenRetransmit, p.Hold = blockRetransmit, blockHold
		}
	}
	if t.TokenLoss > 0 {
		p = p.WithTokenLoss(t.TokenLoss)
	}
	switch {
	case t.Hold > 0:
		p.Hold = t.Hold
	case idle == BusySpin:
		p.Hold = 0
	case p.Hold == 0:
		p.Hold = longestHold(p)
	}
	if idle == Backoff {
		p.IdleRotations = backoffRotations
	}
	return p
}

// longestHold is how long a token may rest: its sender must not take it for lost meanwhile.
func longestHold(p totem.Profile) time.Duration { return p.TokenRetransmit * 4 / 5 }
