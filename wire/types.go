package wire

import "errors"

// Errors of the decoder. They are bare sentinels: a flood of bad datagrams allocates nothing.
var (
	ErrMalformed = errors.New("wire: malformed datagram")        // not a protobuf message, or a required field is missing
	ErrRange     = errors.New("wire: field out of range")        // a count, length or number outside its bounds
	ErrVersion   = errors.New("wire: unknown version")           // a version that this build does not read
	ErrChecksum  = errors.New("wire: CRC-32C does not match")    // damaged on the way
	ErrTooLarge  = errors.New("wire: does not fit the datagram") // from the encoder
)

// Version is the wire version that this package writes and reads.
const Version = 1

// MemberID names one started channel: 16 random bytes.
type MemberID [16]byte

// StreamID names one stream of a member incarnation: its protocol and its lane.
type StreamID uint32

// Protocol is a reliability protocol as the wire names it.
type Protocol uint8

// The protocols. Zero is never sent.
const (
	BestEffort Protocol = 1
	NACK       Protocol = 2
	FEC        Protocol = 3
	Hybrid     Protocol = 4
	Totem      Protocol = 5
	Group      Protocol = 6 // membership and what goes from one member to another; not a protocol of topics

	// ClusterRing is a ring as Totem's is, whose members are those of a cluster; not a protocol of topics.
	ClusterRing Protocol = 7
)

// NewStreamID combines p and lane (0..65535).
func NewStreamID(p Protocol, lane uint16) StreamID { return StreamID(p)<<24 | StreamID(lane) }

// Protocol is the protocol that the stream is sent under.
func (s StreamID) Protocol() Protocol { return Protocol(s >> 24) }

// Lane is the stream's lane.
func (s StreamID) Lane() uint16 { return uint16(s) }

// Kind is what the payload of a message is.
type Kind uint8

// The kinds. Values above KindMessage are from newer members; they are delivered as they are.
const (
	KindRaw     Kind = 0
	KindMessage Kind = 1
)
