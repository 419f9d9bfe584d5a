package blaze

import (
	"fmt"

	"github.com/activeblaze/blaze/internal/core"

	"github.com/activeblaze/blaze/wire"
)

// Kind is what the payload of a Delivery is. Kinds above KindMessage are from newer members;
// they are delivered as they are.
type Kind uint8

// The kinds.
const (
	KindRaw     = Kind(wire.KindRaw)     // bytes, as given to Offer or Claim
	KindMessage = Kind(wire.KindMessage) // the encoding of a Message: UnmarshalBinary reads it
)

// String is "raw" or "message".
func (k Kind) String() string { return nameOf("Kind", []string{"raw", "message"}, k) }

// Delivery is one message as SubscribePayload's handlers see it.
type Delivery struct {
	Payload  []byte   // valid while the handler runs: copy to keep
	Kind     Kind     // what Payload is
	Topic    string   // the topic that it was sent on
	From     MemberID // the member that sent it
	Sequence uint64   // its number in its stream, from 1
	Received int64    // when its last datagram was taken from the network: CLOCK_MONOTONIC, ns
}

// Loss reports that the messages First to Last (inclusive) of one stream will never come. It comes in
// its place in the stream, to every subscription that could have matched: the topics of lost messages
// are not known.
type Loss struct {
	From   MemberID
	Stream uint32 // protocol and lane, as datagrams name them: different for each stream of one sender
	First  uint64 // message numbers, inclusive
	Last   uint64
	Reason LossReason
}

// String is for logs: "messages 7 to 9 of 3f2a… stream 0x2000000: unrepaired".
func (l Loss) String() string {
	return fmt.Sprintf("messages %d to %d of %v stream %#x: %v", l.First, l.Last, l.From, l.Stream, l.Reason)
}

// LossReason is why messages are lost.
type LossReason uint8

// The reasons.
const (
	LossUnrepaired   = LossReason(core.LossUnrepaired)   // BestEffort, FEC: nobody could be asked for it
	LossSenderGone   = LossReason(core.LossSenderGone)   // the sender left, failed or began a new stream
	LossRetention    = LossReason(core.LossRetention)    // the sender no longer holds it: Config.Window
	LossReset        = LossReason(core.LossReset)        // this receiver fell out of the window, or was evicted
	LossSlowConsumer = LossReason(core.LossSlowConsumer) // the subscription's queue was full (SlowConsumer Drop)
	LossMalformed    = LossReason(core.LossMalformed)    // it came, and could not be read or put together, or there was no memory to put it together
	LossRefused      = LossReason(core.LossRefused)      // Config.MaxStreams: nothing of the stream is received; First and Last are 0
	LossTimeout      = LossReason(core.LossTimeout)      // NACK, Hybrid: it was asked for in vain for Config.RepairTimeout, although its sender was there
)

// String names the reason in a few words: "sender gone".
func (r LossReason) String() string { return nameOf("LossReason", lossReasonNames, r) }

var lossReasonNames = []string{
	LossReason(0):    "unknown",
	LossUnrepaired:   "unrepaired",
	LossSenderGone:   "sender gone",
	LossRetention:    "no longer held by the sender",
	LossReset:        "receiver reset",
	LossSlowConsumer: "slow consumer",
	LossMalformed:    "malformed",
	LossRefused:      "stream refused",
	LossTimeout:      "asked for in vain",
}
