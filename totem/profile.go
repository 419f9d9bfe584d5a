package totem

import (
	"fmt"
	"time"
)

// Profile holds the timers of a ring (section 12). The zero value means Tuned.
type Profile struct {
	TokenRetransmit time.Duration // the longest wait before a token is sent again; it follows how soon earlier ones were seen to have arrived
	TokenLoss       time.Duration // the shortest wait after which the token is held lost
	Join            time.Duration // between two Joins
	Consensus       time.Duration // wait for the others' agreement
	Merge           time.Duration // between two words about the ring to other rings
	Hold            time.Duration // how long an idle ring's token rests; 0: not at all
	StuckRotations  int           // rotations without progress after which a member is put out of the ring
	StuckTime       time.Duration // and the least time for these
	IdleRotations   int           // idle rotations before the token is held
	Window          int           // datagrams that all members send in one rotation
	Personal        int           // datagrams that one member sends in one visit
	HoldDown        time.Duration // the longest time for which a member that makes rings break is ignored
}

// Tuned is for threads that are pinned on an ordinary host: the default. A visit's 50 datagrams
// leave in one or two system calls; with 20, three members on two processors reached two thirds
// of the rate.
func Tuned() Profile {
	return Profile{TokenRetransmit: 5 * time.Millisecond, TokenLoss: 50 * time.Millisecond, Join: 5 * time.Millisecond,
		Consensus: 80 * time.Millisecond, Merge: 100 * time.Millisecond,
		StuckRotations: 1000, StuckTime: 250 * time.Millisecond, IdleRotations: 30, Window: 160, Personal: 50, HoldDown: time.Minute}
}

// Isolated is for pinned, busy-polling threads on isolated cores, and one switch.
func Isolated() Profile {
	return Profile{TokenRetransmit: time.Millisecond, TokenLoss: 5 * time.Millisecond, Join: time.Millisecond,
		Consensus: 8 * time.Millisecond, Merge: 20 * time.Millisecond,
		StuckRotations: 400, StuckTime: 50 * time.Millisecond, IdleRotations: 4, Window: 80, Personal: 20, HoldDown: time.Minute}
}

// Shared is for virtual machines, CI and clouds.
func Shared() Profile {
	return Profile{TokenRetransmit: 100 * time.Millisecond, TokenLoss: time.Second, Join: 50 * time.Millisecond,
		Consensus: 1200 * time.Millisecond, Merge: 200 * time.Millisecond, Hold: 40 * time.Millisecond,
		StuckRotations: 2500, StuckTime: 2 * time.Second, IdleRotations: 30, Window: 50, Personal: 17, HoldDown: time.Minute}
}

// WithTokenLoss is p with all timers in proportion to another token-loss time.
func (p Profile) WithTokenLoss(d time.Duration) Profile {
	p = p.withDefaults()
	k := float64(d) / float64(p.TokenLoss)
	for _, t := range []*time.Duration{&p.TokenRetransmit, &p.TokenLoss, &p.Join, &p.Consensus, &p.Merge, &p.StuckTime} {
		*t = max(time.Duration(float64(*t)*k), time.Microsecond)
	}
	p.Hold = min(p.Hold, p.TokenRetransmit*4/5)
	return p
}

// withDefaults fills in what is zero, except Hold.
func (p Profile) withDefaults() Profile {
	d := Tuned()
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{{&p.TokenRetransmit, d.TokenRetransmit}, {&p.TokenLoss, d.TokenLoss}, {&p.Join, d.Join}, {&p.Consensus, d.Consensus},
		{&p.Merge, d.Merge}, {&p.StuckTime, d.StuckTime}, {&p.HoldDown, d.HoldDown}} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	for _, f := range []struct {
		v *int
		d int
	}{{&p.StuckRotations, d.StuckRotations}, {&p.IdleRotations, d.IdleRotations}, {&p.Window, d.Window}, {&p.Personal, d.Personal}} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	return p
}

// within is p with as many datagrams in a rotation as fit the room for them: more would be lost where
// they arrive. Every member has to send something, however small the room.
func (p Profile) within(room, datagram int) Profile {
	if room > 0 && datagram > 0 {
		p.Window = max(min(p.Window, room/datagram), MaxMembers)
		p.Personal = min(p.Personal, p.Window)
	}
	return p
}

// Validate judges the relations of section 12 and names the field that breaks one. Zero fields
// count with their defaults.
func (p Profile) Validate() error {
	p = p.withDefaults()
	switch {
	case p.TokenRetransmit < 0 || p.TokenLoss < 0 || p.Join < 0 || p.Consensus < 0 || p.Merge < 0 || p.Hold < 0 || p.StuckTime < 0 || p.HoldDown < 0:
		return fmt.Errorf("totem: Profile: a time is negative")
	case 10*p.TokenLoss < 42*p.TokenRetransmit:
		return fmt.Errorf("totem: Profile.TokenLoss is %v, less than 4.2 times TokenRetransmit (%v)", p.TokenLoss, p.TokenRetransmit)
	case 10*p.Consensus < 12*p.TokenLoss:
		return fmt.Errorf("totem: Profile.Consensus is %v, less than 1.2 times TokenLoss (%v)", p.Consensus, p.TokenLoss)
	case p.Consensus < 3*p.Join:
		return fmt.Errorf("totem: Profile.Consensus is %v, less than 3 times Join (%v)", p.Consensus, p.Join)
	case 10*p.Hold > 8*p.TokenRetransmit:
		return fmt.Errorf("totem: Profile.Hold is %v, more than 0.8 times TokenRetransmit (%v)", p.Hold, p.TokenRetransmit)
	case p.Window < 1 || p.Window > maxStore/2:
		return fmt.Errorf("totem: Profile.Window is %d, outside 1..%d", p.Window, maxStore/2)
	case p.Personal < 1 || p.Personal > p.Window:
		return fmt.Errorf("totem: Profile.Personal is %d, outside 1..Window (%d)", p.Personal, p.Window)
	case p.StuckRotations < 1 || p.IdleRotations < 1:
		return fmt.Errorf("totem: Profile: StuckRotations and IdleRotations are at least 1")
	}
	return nil
}
