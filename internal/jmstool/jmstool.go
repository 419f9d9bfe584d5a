// Package jmstool is how the command blaze reaches what package jms does not offer to applications: the work of an
// operator. It is internal, and package jms puts its functions here before main.
package jmstool

import "context"

// Group is the group that all holders of queues are members of.
const Group = "blaze.jms"

// Do is what is done with messages that wait in a queue.
type Do uint8

// What can be done.
const (
	Purge Do = iota // they go
	Move            // they go to another queue
	Retry           // dead letters go back to where they came from, as if they had not been delivered
)

// Sift is work on the messages of a queue, in the order in which they would be delivered.
type Sift struct {
	Do       Do
	Queue    string
	Selector string // empty: all
	To       string // of Move
	Limit    int    // messages that may still be worked on; 0: any number
	Place    uint64 // where to go on

	Done int  // messages that were purged, moved or retried, of all steps
	More bool // there is another step to do
}

// Functions are what package jms has to offer. Types of package jms, and of the root package, are any here: this package
// cannot import them.
type Functions struct {
	// Open is CreateContext of a *jms.ConnectionFactory, with AutoAcknowledge. To become a holder it waits for as long as
	// ctx lasts. The result is a *jms.Context.
	Open func(ctx context.Context, factory any) (context any, err error)

	// Sift does one step of Sift with a *jms.Context that is connected to holders. What comes back is the work as it goes on,
	// with what was done counted.
	Sift func(ctx context.Context, context any, work Sift) (Sift, error)

	// Channel is the *blaze.GroupChannel that a *jms.Context uses.
	Channel func(context any) (channel any)

	// Holder is the member that the connection of a *jms.Context uses as its holder; ok is false where it uses none.
	Holder func(context any) (id [16]byte, ok bool)
}

// JMS is what package jms has put here.
var JMS Functions
