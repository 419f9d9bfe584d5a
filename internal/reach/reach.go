// Package reach is how packages of this module that stand above the root package reach what applications must not: the
// header of a Message, and names of in-boxes and groups that are reserved. It is internal, and the root package puts its
// functions here before main.
package reach

import "context"

// Functions are what the root package has to offer. Types of the root package are any here: this package cannot import
// it.
type Functions struct {
	// Header returns field 8 of a *blaze.Message, shared with it; nil: it has none. SetHeader makes b itself that field.
	Header    func(message any) []byte
	SetHeader func(message any, b []byte)

	// HasObject reports whether the body of a *blaze.Message is a protobuf message, of whatever type.
	HasObject func(message any) bool

	// HandleInbox, Join and Leave are those of a *blaze.GroupChannel, for names that begin with "blaze." too. The types of
	// the handler and of the result are the method's own.
	HandleInbox func(channel any, inbox string, h any) (subscription any, err error)
	Join        func(channel any, group string) error
	Leave       func(channel any, group string) error

	// Enqueue begins what GroupChannel.Enqueue does, and returns once the *blaze.Message has its place among those of
	// this member. finish, which must be called once, waits for its end.
	Enqueue func(ctx context.Context, channel any, queue string, message any) (finish func(context.Context) error, err error)

	// Propose and Request are those of a *blaze.ClusterChannel and, as RequestPayload, of a *blaze.GroupChannel, in two
	// steps as Enqueue: what one goroutine begins is applied, and arrives, in that order.
	Propose func(ctx context.Context, channel any, service string, op []byte) (finish func(context.Context) ([]byte, error), err error)
	Request func(ctx context.Context, channel any, to [16]byte, inbox string, payload []byte) (finish func(context.Context) ([]byte, error), err error)

	// Serve is HandleCalls of a *blaze.GroupChannel with Inline, for names that begin with "blaze." too.
	Serve func(channel any, inbox string, h func(*Item)) (subscription any, err error)

	// ProposeThen, RequestThen and SendThen begin a Propose of a *blaze.ClusterChannel, and a Request or SendInbox of raw bytes
	// of a *blaze.GroupChannel, that no goroutine waits for. They copy what they are given, and never wait: with
	// blaze.ErrBackPressure there is no room now. What one goroutine begins keeps its order. then is called once, unless the
	// channel stops before, with the outcome, on the engine's thread: it must not wait, and of the functions here it may call
	// Reply, those with Then, and, inside of then of ProposeThen, not ProposeThen. An answer is the callee's; a reply is lent.
	// here: the caller is a handler of Serve.
	ProposeThen func(channel any, here bool, service string, op []byte, then func(answer []byte, err error)) error
	RequestThen func(channel any, to [16]byte, inbox string, payload []byte, then func(reply []byte, err error)) error
	SendThen    func(channel any, to [16]byte, inbox string, payload []byte, then func(err error)) error
}

// Item is what a handler of Serve is given.
type Item struct {
	From    [16]byte
	Payload []byte // lent while the handler runs
	Raw     bool   // the payload is no Message
	Asked   Asked  // where Wanted
	Wanted  bool   // a reply
}

// Asked is a request that was taken, and that waits for its reply.
type Asked struct {
	To    [16]byte
	Call  uint64
	Reply func(a *Asked, payload []byte) error // any goroutine may call it, once. It copies, and never waits
	Start any                                  // of the channel that it came to
}

// Blaze is what the root package has put here.
var Blaze Functions
