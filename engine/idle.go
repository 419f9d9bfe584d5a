package engine

import "time"

// Idle is what the loop does when a turn found nothing to do.
type Idle uint8

// The idle strategies. In all of them a turn that did work is followed by another at once.
const (
	// Backoff spins, then yields the processor, then sleeps like Block. It reacts within
	// about a microsecond to what comes within SpinFor of the last work. Where others want the
	// processor too it does not spin; Waiter tells more.
	Backoff Idle = iota
	// BusySpin never gives the processor away. It wants a core for each engine.
	BusySpin
	// Block sleeps in the kernel at once. A datagram, a command or a protocol's deadline
	// wakes it.
	Block
)

const (
	// SpinFor is how long Backoff spins after the last turn that did work.
	SpinFor = 20 * time.Microsecond
	// YieldFor is how long it then yields before it sleeps. On a host with fewer cores than
	// engines the yields are what lets the other member answer.
	YieldFor = 100 * time.Microsecond
)
