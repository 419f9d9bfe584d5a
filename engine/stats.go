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
	Turns         uint64        `unit:"turns" help:"turns of the loop" when:"always"`
	BusyTurns     uint64        `unit:"turns" help:"turns that had work" when:"with traffic. Few of them beside many Turns: the loop spins"`
	Sleeps        uint64        `unit:"times" help:"times that the engine slept in the kernel" when:"an idle member, with Backoff or Block"`
	Received      uint64        `unit:"datagrams" help:"datagrams handed out by the driver" when:"with traffic; heartbeats and reports count too"`
	ReceivedBytes uint64        `unit:"bytes" help:"bytes of UDP payload of Received" when:"with traffic; heartbeats and reports count too"`
	Sent          uint64        `unit:"datagrams" help:"datagrams taken by the driver" when:"with traffic; heartbeats and reports count too"`
	SentBytes     uint64        `unit:"bytes" help:"bytes of UDP payload of Sent" when:"with traffic; heartbeats and reports count too"`
	SendErrors    uint64        `unit:"calls" help:"calls of Send that stopped short; what was not taken is offered again" when:"the socket's send buffer is full: normal under full load"`
	Predicted     uint64        `unit:"datagrams" help:"datagrams that matched the expected one (one message, of the topic and length of the one before), and were taken without being decoded" when:"with single messages of equal length; it is the fastest way"`
	General       uint64        `unit:"datagrams" help:"datagrams of another layout than ours, decoded the slow way" when:"members in other languages"`
	Trains        uint64        `unit:"packets" help:"packets that were several datagrams of a sender's segmentation offload, and were cut up here" when:"normal between udp and xdp members on virtual interfaces"`
	Drops         [Drops]uint64 `unit:"datagrams" help:"datagrams ignored before any protocol sees them, by reason" when:"own: normal where the kernel cannot filter own multicast. cluster: two applications share an address: harmless, costs time. malformed, range, version: foreign traffic on the port, a newer format, or an attack. checksum: bad hardware. protocol: a newer member. refused: the drops of the protocols have the reason"`
	LongestTurn   time.Duration `unit:"ns" kind:"gauge" help:"longest time between the starts of two turns of a busy engine" when:"preemption, too few cores, a blocking Inline handler, collector pauses"`
	LongTurns     uint64        `unit:"turns" help:"turns of 1 ms and more" when:"preemption, too few cores, a blocking Inline handler, collector pauses"`
}

func (s *Stats) noteTurn(d time.Duration) {
	if d > s.LongestTurn {
		s.LongestTurn = d
	}
	if d >= time.Millisecond {
		s.LongTurns++
	}
}
