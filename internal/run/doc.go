// Package run is the runtime of one start of a channel: the goroutines of its engines, the way of
// other goroutines to an engine's state, an application that turns the engine itself (an Invoker),
// and the end of it all.
//
// # Who may touch an engine
//
// Without an Invoker an engine's state belongs to its goroutine: others queue messages in the lanes'
// command rings, and post functions (Do). With an Invoker it belongs to whoever holds Run.mu: a
// goroutine takes it for one turn (Turn), for one message (Offer, Claim), or for one function (Do).
//
// Both ask one question: is the caller inside a turn of this engine? Then it is an Inline handler and
// has the engine already. Each engine has a word with the goroutine that is inside (worker.inside),
// written by that goroutine itself: for the whole of its life by an engine's own, for each turn by an
// Invoker's. It is compared with the caller's own number and never kept beyond the turn, so turning may
// pass from one goroutine to the next.
//
// # How a run ends
//
// In three steps, so that its owner can wait for handlers in between:
//
//	Refuse   from here on nothing is accepted: Offer and Claim return ErrClosed
//	Settle   waits until what was accepted is sent and reported received, and gives up the rest
//	End      announces that the member leaves, ends the engines, counts what was not sent, gives the memory back
//
// After End no call reaches the member: with an Invoker Run.ended, which is read under Run.mu, decides;
// without, the end of the engines' goroutines. Between Refuse and End a message is either sent or
// counted by End, and a claim is either committed or its Commit returns ErrClosed.
package run
