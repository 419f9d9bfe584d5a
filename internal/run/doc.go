// Package run is the runtime of one start of a channel: the goroutines of its engines, the way of
// other goroutines to an engine's state, an application that turns the engine itself (an Invoker),
// and the end of it all.
package run
