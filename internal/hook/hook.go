// Package hook holds what measurements and tests need to reach inside a channel and applications
// must not. It is internal, so only this repository's modules can give a channel such options.
package hook

import "time"

// Options change how a channel receives, and report what happens in it. The zero value does neither.
type Options struct {
	// Drop makes the channel lose each datagram that it receives, of whatever kind, with this
	// probability (0..1), drawn from Seed.
	Drop float64
	Seed uint64

	// Delay makes everything that the channel receives come so much later.
	Delay time.Duration

	// RepairNS, when set, is called on the engine's thread with the time in nanoseconds from
	// noticing that a datagram was missing to its arrival, once for each that was repaired.
	RepairNS func(ns int64)

	// Trace, when set, is called on the engine's thread when datagrams pass the driver of a
	// channel over xdp.
	Trace Tracer
}

// A Tracer takes the time of its calls.
type Tracer interface {
	Sending()                  // the engine hands datagrams to the driver
	Kicking()                  // the driver has written them, and the kernel is next
	Took(n int, arrived int64) // the driver has handed out n datagrams; the filter saw the first one's packet then, CLOCK_MONOTONIC, ns, or 0
}

var set func(config any, o Options)

// Install names the function that puts o into a *blaze.Config. The root package calls it once, before main.
func Install(f func(config any, o Options)) { set = f }

// Set gives the channels that are made from config, a *blaze.Config, these options. They stay in
// copies of the Config.
func Set(config any, o Options) { set(config, o) }
