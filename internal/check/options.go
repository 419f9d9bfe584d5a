package check

import "time"

// Options are what the checkers may expect of a run. The zero value is strict: nothing is
// evicted, no member joins late, nothing was reported lost.
type Options struct {
	// Bound is how long a message may take to be delivered everywhere once no fault is
	// injected any more: B(loss) of RM-11, and of RM-12 for the last one before a silence.
	Bound time.Duration
	// Flight is the longest that a datagram is on its way; it blurs what "before" means for
	// a receiver that joins (RM-7).
	Flight time.Duration
	// Eviction is how long a receiver or sender must have been unreachable before others may
	// give it up (RM-6). Zero means never.
	Eviction time.Duration
	// Fastest: senders do not wait for receivers, so that data may leave the
	// retransmit window before it is repaired (RM-6).
	Fastest bool
	// Evicts: senders evict receivers that are too slow, whose losses that explains (RM-6).
	Evicts bool
	// Behind: there are ways that not everything passes. A receiver that its sender does not wait for any more, and says so,
	// may lose something, and so may one that asked for it in vain for as long as it asks, while faults lasted (RM-6).
	Behind bool
	// Drop: subscriptions drop what they have no room for (RM-6, RM-14).
	Drop bool
	// Heavy: so much is lost that a sender may seem silent without a cause (RM-17).
	Heavy bool
}

// Safety runs the checkers of properties that hold at every prefix of a run.
func Safety(l *Log, o Options) []Violation {
	return join(RM1(l), RM2(l), RM3(l), RM4(l), RM5(l), RM6(l, o), RM7(l, o), RM13(l), RM16(l), RM17(l, o), RM18(l), RS8(l))
}

// Liveness runs the checkers of properties that need a stable period.
func Liveness(l *Log, o Options) []Violation {
	return join(RM11(l, o), RM12(l, o))
}

func join(lists ...[]Violation) (all []Violation) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
