// Package link is a client's half of a connection to held queues: which operations are under way, which holder they go to,
// what is sent again, and which messages the application has had. Link is a core without I/O, clock and goroutine.
//
// A Link sends its operations to one holder, several at a time, each with the connection's next counter. A holder that goes,
// or does not answer, is followed by the next one. There the Link first asks what the connection has in flight, for notices
// of the old holder may be lost; then it sends again what has no answer. The state machine applies each operation once.
//
// Each delivery of a message has a number of its own (held.Message.Delivery). A Link hands each one on once, however often
// it comes: by the answer, by an answer that is repeated, by a notice, or when it asks. It remembers a delivery until an
// operation that ends it, and all before that one, are answered. What an old holder still sends is told apart by the
// deliveries' order: at a new holder everything below the number that the state machine gave is known.
//
// A notice may be lost though its holder lives. Look asks what is in flight, beside what is under way, and hands on what
// did not arrive.
//
// What the Links of one process have to send leaves together, as batches: Outbound.
//
// When a connection has ended (its holders took the client for gone, or its chain was dropped for an older one), what was
// under way fails with ErrLost. A Commit that had been sent then fails with ErrInDoubt: it may have been applied. Nothing
// else does.
package link
