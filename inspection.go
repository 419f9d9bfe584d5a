package blaze

import (
	"net/netip"
	"time"
)

// InspectionSchema is Inspection.Schema of this version. It grows when a field changes its meaning; a field that is added
// does not change it.
const InspectionSchema = 1

// Inspection is the state of a channel as Inspect found it: every stream with its receivers, every subscription, and what
// else tells an operator who holds whom up. Its JSON is for tools: names do not change, times are RFC 3339, durations are
// integers of nanoseconds, ids are text. Where a member is known to be of a group its name stands beside its id.
type Inspection struct {
	Schema  int         `json:"schema"`
	At      time.Time   `json:"at"` // when it was begun
	Channel ChannelInfo `json:"channel"`

	Sending       []SendingInfo      `json:"sending"`        // each stream that this member sends
	Receiving     []ReceivingInfo    `json:"receiving"`      // each stream that it receives
	Ring          *RingInfo          `json:"ring,omitempty"` // where topics are sent under Totem
	Subscriptions []SubscriptionInfo `json:"subscriptions"`
	Engines       []EngineInfo       `json:"engines"`
	Losses        []LossInfo         `json:"losses"` // the last 256 of each engine, the oldest first

	Members []MemberInfo `json:"members,omitempty"` // of a GroupChannel
	Queues  []QueueInfo  `json:"queues,omitempty"`

	Maps        []MapInfo   `json:"maps,omitempty"` // of a ClusterChannel
	Locks       []LockInfo  `json:"locks,omitempty"`
	Master      *MasterInfo `json:"master,omitempty"`
	ClusterRing *RingInfo   `json:"cluster_ring,omitempty"` // that orders the cluster's operations

	Counters map[string]float64 `json:"counters"` // of Stats, those that are not zero, by Metric.Name
	LeftOut  LeftOutInfo        `json:"left_out,omitzero"`
}

// ChannelInfo is what a channel is, and where.
type ChannelInfo struct {
	Name      string    `json:"name"`
	Cluster   string    `json:"cluster"`
	ID        MemberID  `json:"id,omitzero"` // zero before the first Start
	State     string    `json:"state"`
	URI       string    `json:"uri"`
	Transport string    `json:"transport,omitempty"`
	Mode      string    `json:"mode,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	NoWay     string    `json:"no_way,omitempty"` // why nothing can leave at the moment
	Host      string    `json:"host"`
	Process   int       `json:"process"`
	Program   string    `json:"program"`
	Module    string    `json:"module_version"`
	Wire      int       `json:"wire_version"`
	Since     time.Time `json:"since,omitzero"` // of the last Start
}

// SendingInfo is a stream that this member sends. Of the ring's, under Totem, it has no numbers of datagrams and no
// receivers: Ring has its members.
type SendingInfo struct {
	Stream       uint32         `json:"stream"` // protocol and lane, as datagrams name them
	Protocol     Protocol       `json:"protocol"`
	Lane         int            `json:"lane"`
	NextDatagram uint64         `json:"next_datagram,omitempty"`
	NextMessage  uint64         `json:"next_message"`
	Rate         float64        `json:"rate"`             // messages a second, in the last second
	Window       uint64         `json:"window,omitempty"` // datagrams that are kept for repair, at most
	WindowUsed   uint64         `json:"window_used,omitempty"`
	Repairs      uint64         `json:"repairs"` // datagrams that were sent again
	RoundTrip    time.Duration  `json:"round_trip_ns,omitempty"`
	LimitedBy    string         `json:"limited_by"`        // longest of late: "application", "window", "receiver", "pace", "MaxRate"
	Blocked      float64        `json:"blocked"`           // share of the last second for which receivers held it back
	Slowest      *MemberRef     `json:"slowest,omitempty"` // the receiver that the stream waited for longest in the last second
	Receivers    []ReceiverInfo `json:"receivers"`         // Slowest first, then those furthest behind
}

// MemberRef names a member.
type MemberRef struct {
	Member  MemberID       `json:"member"`
	Name    string         `json:"name,omitempty"`
	Address netip.AddrPort `json:"address,omitzero"`
}

// ReceiverInfo is one receiver of a stream that this member sends, from its reports.
type ReceiverInfo struct {
	MemberRef
	Next      uint64        `json:"next"`                    // lowest datagram that it has not reported
	Behind    uint64        `json:"behind"`                  // datagrams that were sent and that it has not reported
	Limit     uint64        `json:"limit"`                   // it has room for datagrams below this one
	Room      uint64        `json:"room"`                    // bytes of its socket buffer
	RoundTrip time.Duration `json:"round_trip_ns,omitempty"` // smoothed
	Missed    uint64        `json:"missed"`                  // datagrams that did not come at first
	Gone      uint64        `json:"gone"`                    // datagrams that it has given up
	LastHeard time.Time     `json:"last_heard"`
	Waited    bool          `json:"waited_for"` // flow control waits for it
}

// ReceivingInfo is one stream that this member receives.
type ReceivingInfo struct {
	From      MemberRef     `json:"from"`
	Stream    uint32        `json:"stream"`
	Protocol  Protocol      `json:"protocol"`
	Lane      int           `json:"lane"`
	Engine    int           `json:"engine"`
	Next      uint64        `json:"next"`    // lowest datagram that is not delivered
	Highest   uint64        `json:"highest"` // the highest datagram that is known to exist; 0: none is
	Held      int           `json:"held"`    // datagrams that wait for others
	Missed    uint64        `json:"missed"`  // datagrams that did not come at first
	Repaired  uint64        `json:"repaired"`
	Gone      uint64        `json:"gone"` // datagrams that were given up
	LastHeard time.Time     `json:"last_heard"`
	Silent    bool          `json:"silent"`
	RepairP50 time.Duration `json:"repair_p50_ns,omitempty"` // from noticing that a datagram is missing until it came
	RepairP99 time.Duration `json:"repair_p99_ns,omitempty"`

	RepairTimes []TimeClass `json:"repair_times,omitempty"`
}

// TimeClass counts durations below a bound that are in no class before. Bounds rise; two for each doubling, from
// 1.024 µs on. Below is 0 in the last class, which has none.
type TimeClass struct {
	Below time.Duration `json:"below_ns"`
	Count uint64        `json:"count"`
}

// RingInfo is a ring of Totem as this member has it.
type RingInfo struct {
	State          string         `json:"state"` // "gather", "commit", "recovery", "operational"
	View           uint64         `json:"view"`  // ViewID.Sequence
	Representative MemberID       `json:"representative"`
	Members        []MemberRef    `json:"members"`
	Rotation       time.Duration  `json:"rotation_ns,omitempty"` // of the token, without rests
	TokenLoss      time.Duration  `json:"token_loss_ns"`         // after which the token counts as lost
	HeldDown       []HeldDownInfo `json:"held_down,omitempty"`   // members that are ignored for a while
	Reasons        []RingChange   `json:"reasons"`               // of the last changes of State, the oldest first
}

// HeldDownInfo is a member that a ring ignores for a while, because rings with it break.
type HeldDownInfo struct {
	MemberRef
	Left time.Duration `json:"left_ns"`
}

// RingChange is a state that a ring entered.
type RingChange struct {
	At     time.Time `json:"at"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
}

// SubscriptionInfo is one subscription, the handler of one in-box, or all consumers of one queue. Of in-boxes whose handler
// is Inline nothing is counted.
type SubscriptionInfo struct {
	Pattern  string        `json:"pattern"` // of an in-box or a queue: its name
	Kind     string        `json:"kind"`    // "topic", "inbox", "queue"
	Handlers int           `json:"handlers"`
	Inline   bool          `json:"inline"`          // its handler runs on the engines' threads: it has no queue
	Policy   SlowConsumer  `json:"policy"`          // Config.SlowConsumer
	Queued   int           `json:"queued"`          // messages
	Capacity int           `json:"capacity"`        // messages
	Full     float64       `json:"full"`            // share of the last second for which the queue was full
	Oldest   time.Duration `json:"oldest_ns"`       // since the oldest queued message came
	Taken    uint64        `json:"taken"`           // messages that the handler has returned from; Inline: in steps of 64
	Dropped  uint64        `json:"dropped"`         // messages that found the queue full, with SlowConsumer Drop
	P50      time.Duration `json:"handler_p50_ns"`  // how long the handler takes; one message in 64 is timed, of a queue each
	P99      time.Duration `json:"handler_p99_ns"`  //
	Times    []TimeClass   `json:"times,omitempty"` // the same
}

// EngineInfo is one engine.
type EngineInfo struct {
	Engine      int           `json:"engine"`
	CPU         int           `json:"cpu"`              // that its thread is pinned to; −1: none
	Thread      int           `json:"thread,omitempty"` // as the system numbers it
	Turns       float64       `json:"turns_per_second"` // since the Inspect before, or since Start
	LongestTurn time.Duration `json:"longest_turn_ns"`
	LongTurns   uint64        `json:"long_turns"` // of 1 ms and more
	Buffers     int           `json:"buffers"`
	BuffersFree int           `json:"buffers_free"`
}

// LossInfo is a loss that OnLoss reported.
type LossInfo struct {
	At     time.Time `json:"at"`
	From   MemberRef `json:"from"`
	Stream uint32    `json:"stream"`
	First  uint64    `json:"first"` // message numbers, inclusive
	Last   uint64    `json:"last"`
	Reason string    `json:"reason"`
}

// MemberInfo is one member of the group, this one included.
type MemberInfo struct {
	MemberRef
	Incarnation uint32    `json:"incarnation"`
	Since       time.Time `json:"since"`
	Groups      []string  `json:"groups,omitempty"`
}

// QueueInfo is one queue as this member sees it.
type QueueInfo struct {
	Name      string         `json:"name"`
	Waiting   int            `json:"waiting"`   // messages of this member that no consumer has
	Out       int            `json:"out"`       // messages of this member that a consumer has
	Consumers []ConsumerInfo `json:"consumers"` // that this member hands messages to
}

// ConsumerInfo is a member that takes from a queue.
type ConsumerInfo struct {
	MemberRef
	Handlers int `json:"handlers"`
	Out      int `json:"out"`     // messages of this member that it has
	Backlog  int `json:"backlog"` // messages that wait there for handlers, as it said last
}

// MapInfo is one replicated map.
type MapInfo struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
	Version uint64 `json:"version"` // the index of the history at which it last changed; 0: not since this member started
}

// LockInfo is one lock that is held.
type LockInfo struct {
	Map       string        `json:"map"`
	Key       string        `json:"key"`
	Owner     MemberRef     `json:"owner"`
	Token     uint64        `json:"token"`
	LeaseLeft time.Duration `json:"lease_left_ns"` // as this replica counts it; 0: it is over, or there is none
	Orphaned  bool          `json:"orphaned,omitempty"`
	Waiting   int           `json:"waiting"`           // Lock calls in line
	Waiters   []MemberRef   `json:"waiters,omitempty"` // whose they are: the first 16
}

// MasterInfo says whether this member is in the primary component, and who is master there.
type MasterInfo struct {
	Primary bool       `json:"primary"`
	Phase   string     `json:"phase"`
	Why     string     `json:"why,omitempty"` // it is not, or not ready
	Master  *MemberRef `json:"master,omitempty"`
	Epoch   uint64     `json:"epoch"`
	Index   uint64     `json:"index"`
}

// LeftOutInfo is how much an Inspection does not have, since there is more than it takes, or more than a message does.
type LeftOutInfo struct {
	Sending       int `json:"sending,omitempty"`
	Receivers     int `json:"receivers,omitempty"` // of streams that are not left out
	Receiving     int `json:"receiving,omitempty"`
	Subscriptions int `json:"subscriptions,omitempty"`
	Losses        int `json:"losses,omitempty"`
	Members       int `json:"members,omitempty"`
	Queues        int `json:"queues,omitempty"`
	Maps          int `json:"maps,omitempty"`
	Locks         int `json:"locks,omitempty"`
	Counters      int `json:"counters,omitempty"`
}
