// Package held is the queues of the JMS-style API as a deterministic state machine: what holders keep of queues,
// subscriptions, connections and transactions. Machine is a core without I/O, clock and goroutine. A cluster gives it
// operations in one order, at every holder, and every holder comes to the same state and the same answers, byte for byte.
//
// # Operations
//
// A client sends an Op to a holder, which adds the client's name (Sign) and proposes it. The Answer comes back by the
// holder that proposed it. What a holder reports to its clients because of somebody else's operation, as a message for a
// consumer that waits, is a Notice.
//
// A connection numbers its operations. Each is applied once: an operation that comes again is answered from memory, one
// that comes too early is answered CodeGap, and nothing is done. A client may have MaxWindow of them under way, and says
// with each one (Op.Low) which answers it needs no more. A connection that has ended, by its own word or because its member
// is gone, does not come back: a client's numbers of connections only go up.
//
// # Where a message is
//
//	staged --commit--> delayed --Tick--> ready --take--> in flight --settle--> (gone)
//	                                     ready <--release-- in flight
//
// A ready message has a place: priority, and order of arrival within one. It keeps its number until it is gone, so what is
// released goes back to its old place. A message that was released too often, or that expired where that is asked for, goes
// to the queue DLQ.name.
//
// A consumer has a position: all that lies before it was looked at and is not for this consumer, whose selector does not
// change. So it looks at each message once. What is put or released before the position of consumers is shown to them, or
// moves their position back.
//
// # Bounded work
//
// An operation does at most about MaxSteps steps of selectors and of other work; what is left goes on at the next Ticks,
// which Next asks for: the walk of a consumer along a queue, publications to many subscriptions, the end of a connection
// that has much in flight, messages that expire together. Only a commit does all of its work at once: up to MaxStaged
// operations.
//
// # Times
//
// Times are the wall clock's at the cluster's leader, by Tick, with a resolution of Resolution. Between Ticks no time
// passes.
package held
