package nack

// Stats counts what a Protocol did. All counters only grow, but Streams and Receivers.
type Stats struct {
	// Sending.
	Messages         uint64 `unit:"messages" help:"messages accepted by Offer, Claim and Broadcast" when:"with each message"`
	MessageBytes     uint64 `unit:"bytes" help:"bytes of payload of Messages" when:"with each message"`
	Datagrams        uint64 `unit:"datagrams" help:"data datagrams sent, without repairs" when:"with traffic. Messages / Datagrams shows how well packing works"`
	DatagramBytes    uint64 `unit:"bytes" help:"bytes of UDP payload of Datagrams" when:"with traffic"`
	Fragmented       uint64 `unit:"messages" help:"messages larger than one datagram" when:"with large messages"`
	BackPressure     uint64 `unit:"times" help:"times that a message was refused, since the window was full" when:"receivers are slower than the sender"`
	Blocked          uint64 `unit:"times" help:"times that flow control stopped data" when:"a receiver is full, or its room is small; after a second the log names it"`
	RepairsMulticast uint64 `unit:"datagrams" help:"datagrams sent again to all, at the first request" when:"loss at some receiver"`
	RepairsUnicast   uint64 `unit:"datagrams" help:"datagrams sent again to the receiver that repeats its request" when:"loss at some receiver"`
	NaksReceived     uint64 `unit:"datagrams" help:"datagrams with a NAK" when:"loss at some receiver"`
	NaksTooLong      uint64 `unit:"datagrams" help:"datagrams asked for again that are longer than what can leave now" when:"the interface's MTU was lowered: raise it again within RepairTimeout, or receivers lose them"`
	NaksHeldOff      uint64 `unit:"datagrams" help:"datagrams asked for again within a round trip of their repair" when:"normal with several receivers"`
	Heartbeats       uint64 `unit:"heartbeats" help:"heartbeats sent" when:"on quiet streams. With Starts at most the larger of 100 a second and a tenth of the datagrams, for each stream"`
	Starts           uint64 `unit:"datagrams" help:"datagrams sent that say where a stream begins" when:"a stream begins"`
	StatusesReceived uint64 `unit:"reports" help:"reports of receivers" when:"with traffic; 0 beside traffic: unicast to the sender is blocked"`
	Evictions        uint64 `unit:"receivers" help:"receivers that were dropped for silence, or for slowness (SlowestFor)" when:"a process was killed, paused or cut off; the log names those that were too slow"`
	Paced            uint64 `unit:"times" help:"times that the pace began to follow what arrives at a receiver" when:"a link slower than the sender, or a short queue, is on the way: more than three in ten bytes were lost"`
	Stuck            uint64 `unit:"times" help:"times that a receiver was not waited for any more" when:"it asked again and again for a datagram that was sent to it: full-sized datagrams do not pass, or nothing to that member does"`

	// Sending under FEC and Hybrid.
	Blocks             uint64 `unit:"blocks" help:"source blocks closed, full or short" when:"with traffic. Much more than Datagrams / k: bursts with pauses"`
	ParityDatagrams    uint64 `unit:"symbols" help:"repair symbols sent without being asked for" when:"receivers report more loss"`
	ParityAsked        uint64 `unit:"symbols" help:"repair symbols made because a receiver lacked them (Hybrid)" when:"loss beyond what blocks mend"`
	ParityBytes        uint64 `unit:"bytes" help:"bytes of UDP payload of ParityDatagrams and ParityAsked" when:"receivers report more loss. ParityBytes / DatagramBytes is the overhead"`
	ParityDropped      uint64 `unit:"symbols" help:"repair symbols that no buffer, or no place in the queue, was left for" when:"MaxRate too low for the load, or a pool that is used up"`
	Unprotected        uint64 `unit:"datagrams" help:"datagrams that no block takes" when:"must stay 0"`
	SymbolNaksReceived uint64 `unit:"datagrams" help:"datagrams that asked for repair symbols" when:"loss beyond what blocks mend"`

	// Receiving.
	DataReceived      uint64 `unit:"frames" help:"data frames accepted" when:"with traffic"`
	Delivered         uint64 `unit:"messages" help:"messages delivered" when:"with each message that a subscription takes"`
	DeliveredBytes    uint64 `unit:"bytes" help:"bytes of payload of Delivered" when:"with each message that a subscription takes"`
	OwnDelivered      uint64 `unit:"messages" help:"of Delivered: own messages" when:"with own messages that a subscription takes"`
	Held              uint64 `unit:"datagrams" help:"datagrams that waited for others" when:"reordering or loss"`
	Gaps              uint64 `unit:"gaps" help:"runs of missing datagrams" when:"loss or reordering on the way"`
	Missed            uint64 `unit:"datagrams" help:"datagrams that did not come at first" when:"loss or reordering on the way; less Overtaken it is what was really lost"`
	Gone              uint64 `unit:"datagrams" help:"datagrams given up" when:"BestEffort loss, sender gone, Fastest, or a window too small for an outage"`
	TimedOut          uint64 `unit:"datagrams" help:"of Gone: datagrams that were asked for in vain for RepairTimeout" when:"full-sized datagrams do not pass, or repairs do not"`
	Lost              uint64 `unit:"messages" help:"messages reported to OnLoss as lost" when:"BestEffort loss, sender gone, Fastest, or a window too small for an outage"`
	Repaired          uint64 `unit:"datagrams" help:"missing datagrams that came after all" when:"loss that was repaired"`
	Resent            uint64 `unit:"datagrams" help:"of Repaired: datagrams that came as they were, neither from their block nor late by themselves" when:"repaired by NAKs"`
	NaksSent          uint64 `unit:"datagrams" help:"datagrams with a NAK that were sent" when:"loss"`
	NaksSuppressed    uint64 `unit:"gaps" help:"gaps for which another receiver's NAK came first" when:"loss, in groups of several receivers"`
	StatusesSent      uint64 `unit:"reports" help:"reports sent" when:"with traffic, and slowly on idle streams"`
	HeartbeatsHeard   uint64 `unit:"heartbeats" help:"heartbeats received" when:"with traffic, and slowly on idle streams"`
	Pauses            uint64 `unit:"times" help:"times that a subscription could not take a message" when:"slow handlers"`
	AssembliesDropped uint64 `unit:"messages" help:"messages given up half put together, reported as a loss: another message needed the memory, and the sender was silent for FailureTimeout, or sent no part for ten times as long" when:"senders that died in large messages; many senders of large messages at a time: MaxMessageSize"`
	LanesDiffer       uint64 `unit:"streams" help:"streams whose sender hashes over another number of lanes" when:"Config.Lanes differs between members: works, and is probably not meant. With lanes=subscribed such a member makes this one receive all lanes"`

	// Receiving under FEC and Hybrid.
	ParityReceived   uint64 `unit:"symbols" help:"repair symbols that came" when:"with traffic"`
	ParityUnneeded   uint64 `unit:"symbols" help:"of ParityReceived: repair symbols for blocks that missed nothing" when:"with traffic; on a clean network nearly all are unneeded"`
	ParityRefused    uint64 `unit:"symbols" help:"of ParityReceived: repair symbols that were late, doubled or bad" when:"a few after each repair on demand are normal"`
	Rebuilt          uint64 `unit:"datagrams" help:"datagrams that blocks gave back" when:"loss"`
	RebuiltOnDemand  uint64 `unit:"datagrams" help:"of Rebuilt: datagrams that took repair symbols that a receiver had asked for" when:"loss beyond what blocks mend. With Resent it is what NAKs repaired; Rebuilt less this is what FEC did alone"`
	Overtaken        uint64 `unit:"datagrams" help:"datagrams that were taken for lost, and came late" when:"reordering on the way"`
	BlocksUnfinished uint64 `unit:"blocks" help:"blocks forgotten with losses that they could not mend" when:"loss beyond the repair symbols"`
	BlocksCorrupt    uint64 `unit:"blocks" help:"blocks whose symbols did not fit each other" when:"forged or damaged symbols; 0 otherwise"`
	SymbolNaksSent   uint64 `unit:"datagrams" help:"NAK datagrams that asked for repair symbols" when:"Hybrid under loss"`

	Drops [DropReasons]uint64 `unit:"frames" help:"frames refused, by reason" when:"stale (a duplicate): some are normal. window: beyond the reorder window. implausible, not sent: they contradict earlier datagrams, so faulty or forged. streams, receivers: a table is full, or many report who have not shown yet that they receive the stream: forged ones, for instance. no buffer: more waits for its turn than there is memory for (slow handlers). lane: Starts and heartbeats of unwanted lanes, normal with lanes=subscribed. barred: of a member that this one has removed"`

	StreamsRefused uint64 `unit:"streams" help:"streams that found no room and were reported, each once" when:"there are more than MaxStreams: raise it, or use fewer lanes"`

	Streams   uint64 `unit:"streams" kind:"gauge" help:"streams received now" when:"no counter. Near MaxStreams: raise it, or use fewer lanes"`
	Receivers uint64 `unit:"receivers" kind:"gauge" help:"receivers known now, summed over streams" when:"no counter: it follows who is there"`
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
