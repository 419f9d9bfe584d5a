// Package jmstool is how the command blaze reaches what package jms does not offer to applications: the work of an
// operator. It is internal, and package jms puts its functions here before main.
package jmstool

import "context"

// Group is the group that all holders of queues are members of.
const Group = "blaze.jms"

// Functions are what package jms has to offer. Types of package jms, and of the root package, are any here: this package
// cannot import them.
type Functions struct {
	// Open is CreateContext of a *jms.ConnectionFactory, with AutoAcknowledge. To become a holder it waits for as long as
	// ctx lasts. The result is a *jms.Context.
	Open func(ctx context.Context, factory any) (context any, err error)

	// Channel is the *blaze.GroupChannel that a *jms.Context uses.
	Channel func(context any) (channel any)
}

// JMS is what package jms has put here.
var JMS Functions
