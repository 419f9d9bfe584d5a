// Package hook holds what blazebench needs to reach inside a channel and applications must
// not: it is internal, and every field is read once, at Init or Start.
package hook

import "time"

// Drop makes every channel that is initialised afterwards lose datagrams: each one that it
// receives, of whatever kind, with probability P (0..1), drawn from Seed. P = 0 loses none.
var Drop struct {
	P    float64
	Seed uint64
}

// Delay makes everything that such a channel receives come so much later.
var Delay time.Duration

// RepairNS, when set, is called on the engine's thread with the time in nanoseconds from
// noticing that a datagram was missing to its arrival, once for each that was repaired.
var RepairNS func(ns int64)

// Trace, when set, is told when datagrams pass the driver of a channel over xdp, on the engine's
// thread.
var Trace Tracer

// A Tracer takes the time of what it is told.
type Tracer interface {
	Sending()                  // the engine hands datagrams to the driver
	Kicking()                  // the driver has written them, and the kernel is next
	Took(n int, arrived int64) // the driver has handed out n datagrams; the first one's packet was seen by the filter then, CLOCK_MONOTONIC, ns, or 0
}
