package nack

// Stats counts what a Protocol did. All counters only grow, but Streams and Receivers.
type Stats struct {
	// Sending.
	Messages         uint64 // accepted by Offer and Commit
	MessageBytes     uint64 // payload
	Datagrams        uint64 // data datagrams sent, without repairs
	DatagramBytes    uint64 // of UDP payload
	Fragmented       uint64 // messages that did not fit one datagram
	BackPressure     uint64 // ErrWindow answers
	Blocked          uint64 // times that flow control stopped data
	RepairsMulticast uint64
	RepairsUnicast   uint64
	NaksReceived     uint64
	NaksTooLong      uint64 // datagrams asked for that are longer than what can leave since the interface's MTU was lowered
	NaksHeldOff      uint64 // datagrams asked for again within a round trip of their repair
	Heartbeats       uint64
	Starts           uint64
	StatusesReceived uint64
	Evictions        uint64
	Paced            uint64 // times that the pace began to follow what arrives at a receiver
	Stuck            uint64 // times that a receiver was not waited for any more: it asked for a datagram again and again

	// Sending under FEC and Hybrid.
	Blocks             uint64 // closed
	ParityDatagrams    uint64 // repair symbols sent without being asked for
	ParityAsked        uint64 // and those that a SymbolNak asked for
	ParityBytes        uint64 // of UDP payload, of both
	ParityDropped      uint64 // repair symbols that no buffer or no place in the queue was left for
	Unprotected        uint64 // datagrams that no block takes
	SymbolNaksReceived uint64

	// Receiving.
	DataReceived      uint64 // data frames accepted
	Delivered         uint64 // messages handed to Sink
	DeliveredBytes    uint64
	OwnDelivered      uint64 // of Delivered, own messages
	Held              uint64 // datagrams that had to wait for others
	Gaps              uint64 // runs of missing datagrams that were noticed
	Missed            uint64 // datagrams that did not arrive at first
	Gone              uint64 // datagrams given up
	TimedOut          uint64 // of them, those that were asked for in vain for Config.RepairTimeout
	Lost              uint64 // messages reported as lost
	Repaired          uint64 // missing datagrams that came
	Resent            uint64 // of them, those that came as they were and had not been left to their block
	NaksSent          uint64 // datagrams with a Nak frame
	NaksSuppressed    uint64 // gaps that another receiver asked for first
	StatusesSent      uint64
	HeartbeatsHeard   uint64
	Pauses            uint64 // times that Sink could not take a message
	AssembliesDropped uint64 // messages given up half put together: its sender was silent, and another message needed the memory
	LanesDiffer       uint64 // streams whose sender hashes over another number of lanes

	// Receiving under FEC and Hybrid.
	ParityReceived   uint64 // repair symbols that came
	ParityUnneeded   uint64 // of them, for blocks that miss nothing
	ParityRefused    uint64 // of them, late, doubled or bad
	Rebuilt          uint64 // datagrams that blocks gave back
	RebuiltOnDemand  uint64 // of them, those that took repair symbols that a SymbolNak asked for
	Overtaken        uint64 // datagrams that were taken for lost, and came late
	BlocksUnfinished uint64 // blocks forgotten with losses that they could not mend
	BlocksCorrupt    uint64 // blocks whose symbols did not fit each other
	SymbolNaksSent   uint64 // datagrams with a SymbolNak frame

	Drops [DropReasons]uint64 // frames refused, by reason

	StreamsRefused uint64 // streams turned away, since there was no room for them, each once while it is remembered

	Streams   uint64 // received now
	Receivers uint64 // known now, over all streams sent
}

// DropReason is why a frame was refused.
type DropReason int

// The reasons.
const (
	DropStale DropReason = iota
	DropWindow
	DropProtocol
	DropIncarnation
	DropImplausible
	DropNotSent
	DropStreams
	DropReceivers
	DropNoBuffer
	DropLane
	DropBarred
	DropReasons // their number
)

var dropNames = [DropReasons]string{"stale", "window", "protocol", "incarnation", "implausible", "not sent", "streams", "receivers", "no buffer", "lane", "barred"}

func (r DropReason) String() string {
	if r < 0 || r >= DropReasons {
		return "unknown"
	}
	return dropNames[r]
}

var dropErrors = [DropReasons]error{ErrStale, ErrWindow, ErrProtocol, ErrIncarnation, ErrImplausible, ErrNotSent, ErrStreams, ErrReceivers, ErrNoBuffer, ErrLane, ErrBarred}

// drop counts a refused frame and returns its error.
func (p *Protocol) drop(r DropReason) error {
	p.stats.Drops[r]++
	return dropErrors[r]
}
