package core

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Delivery is one message as a protocol core hands it up. All slices are lent: they are valid
// until the call that lends them returns.
type Delivery struct {
	From     wire.MemberID
	Stream   wire.StreamID
	Sequence uint64 // message number in its stream, from 1
	Kind     wire.Kind
	Topic    []byte
	Payload  []byte

	// Received is set by a ring: when this member received the datagram with the end of the message. Of an own
	// message it is when it got its number, and of a recovered one when it was recovered.
	Received clock.Time
}

// Loss tells that messages First..Last (inclusive) of a stream will never come.
type Loss struct {
	From        wire.MemberID
	Stream      wire.StreamID
	First, Last uint64
	Reason      LossReason
}

// LossReason says why messages are gone.
type LossReason uint8

// The reasons.
const (
	LossUnrepaired   LossReason = iota + 1 // BestEffort and FEC: nobody was asked for it, or nobody could be
	LossSenderGone                         // the sender left, failed or started a new stream before it was repaired
	LossRetention                          // the sender no longer holds it
	LossReset                              // this receiver fell out of the window, or was evicted
	LossSlowConsumer                       // the subscription's queue was full (SlowConsumer Drop)
	LossMalformed                          // it came, and could not be read or put together, or there was no memory to put it together
	LossRefused                            // there is no room for the stream: First and Last are 0
	LossTimeout                            // it was asked for in vain for RepairTimeout, although its sender was there
)
