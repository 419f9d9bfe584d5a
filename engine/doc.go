// Package engine is the duty cycle: poll the driver, drain the application's commands, run the
// protocols' timers, flush. One Engine belongs to one thread, and everything that its Turn
// touches belongs to that thread too, so there is no lock on the way of a message.
//
// Turn is one cycle, and the only one there is: Run calls it in a loop on a thread of its own,
// the simulation calls it with virtual time, and an application that polls by itself
// (blaze.Config.Invoker) calls it between its own work.
//
// The engine is independent of drivers and protocols. It declares what it needs of them, Driver and
// Protocol, in terms of wire, buf and clock only, so that none of them imports it.
package engine
