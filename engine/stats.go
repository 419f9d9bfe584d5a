package engine

import (
	"errors"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// Drop is a reason for which the engine ignores a datagram before any protocol sees it.
type Drop uint8

// The reasons. Each dropped datagram counts under exactly one.
const (
	DropOwn       Drop = iota // this member's own, heard back
	DropCluster               // of another cluster
	DropMalformed             // not a datagram, or a required field is missing
	DropRange                 // a field outside its bounds
	DropVersion               // of a version that this build does not speak
	DropChecksum              // damaged on the way
	DropProtocol              // of a protocol that this member does not run
	DropRefused               // a protocol refused it, and counts the reason itself
	Drops                     // how many reasons there are
)

var dropNames = [Drops]string{"own", "cluster", "malformed", "range", "version", "checksum", "protocol", "refused"}

func (d Drop) String() string { return dropNames[d] }

func dropOf(err error) Drop {
	switch {
	case errors.Is(err, wire.ErrChecksum):
		return DropChecksum
	case errors.Is(err, wire.ErrVersion):
		return DropVersion
	case errors.Is(err, wire.ErrRange):
		return DropRange
	}
	return DropMalformed
}

// Stats counts what an engine did since it was made.
type Stats struct {
	Turns, BusyTurns, Sleeps uint64
	Received, ReceivedBytes  uint64 // datagrams and bytes handed out by the driver
	Sent, SentBytes          uint64 // datagrams and bytes taken by the driver
	SendErrors               uint64 // calls of Driver.Send that reported an error
	Predicted                uint64 // datagrams that were just what was expected, and taken without being decoded
	General                  uint64 // datagrams of a foreign layout, decoded the general way
	Trains                   uint64 // packets that were several datagrams, and were cut up
	Drops                    [Drops]uint64
	LongestTurn              time.Duration // between the starts of two turns without idling
	LongTurns                uint64        // turns of a millisecond or more
}

func (s *Stats) noteTurn(d time.Duration) {
	if d > s.LongestTurn {
		s.LongestTurn = d
	}
	if d >= time.Millisecond {
		s.LongTurns++
	}
}
