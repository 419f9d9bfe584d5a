package groupmember

import (
	"encoding/json"
	"time"

	"github.com/activeblaze/blaze"
)

// Order is the first line of a member's input: what to be.
type Order struct {
	URI               string        `json:"uri"`
	Cluster           string        `json:"cluster"`
	Name              string        `json:"name"`
	Idle              blaze.Idle    `json:"idle"`
	Groups            []string      `json:"groups"` // that it joins before it starts
	HeartbeatInterval time.Duration `json:"heartbeat_interval"`
	FailureTimeout    time.Duration `json:"failure_timeout"`
	Loss              float64       `json:"loss"`                      // share of the datagrams that it loses
	Seed              uint64        `json:"seed"`                      // of the losses
	Held              bool          `json:"held"`                      // it waits, initialized, for a command to start
	Totem             bool          `json:"totem"`                     // its topics are sent under Totem
	Shared            *ClusterOrder `json:"cluster_channel,omitempty"` // it is a ClusterChannel
}

// ClusterOrder is what a member is besides that is a ClusterChannel.
type ClusterOrder struct {
	Expected int    `json:"expected"` // Config.ExpectedMembers
	Weight   int    `json:"weight"`
	Observer bool   `json:"observer"`
	DataDir  string `json:"data_dir"`

	Profile blaze.TotemProfile `json:"profile"` // Config.Totem.Profile: LAN
}

// Line is one line of a member's output.
type Line struct {
	Ready  *Ready  `json:"ready,omitempty"`
	Answer *Answer `json:"answer,omitempty"`
}

// Ready means that the member is there: initialized where it was to be held, else started.
type Ready struct {
	Error string `json:"error,omitempty"`
	ID    string `json:"id"`
}

// Command is a later line: what to do. Commands run side by side, but for those on topics.
type Command struct {
	ID uint64 `json:"id"` // of its answer
	Do string `json:"do"`

	Name      string        `json:"name,omitempty"`      // of a group, a topic, an in-box or a queue
	To        string        `json:"to,omitempty"`        // a member's id
	Members   []string      `json:"members,omitempty"`   // ids
	N         int           `json:"n,omitempty"`         // how many
	Keys      int           `json:"keys,omitempty"`      // of a map: how many different ones; 0: as many as N
	Parallel  int           `json:"parallel,omitempty"`  // calls that are under way at a time: 1
	Size      int           `json:"size,omitempty"`      // bytes
	For       time.Duration `json:"for,omitempty"`       // how long to go on, or to wait
	Every     time.Duration `json:"every,omitempty"`     // pause between two
	Work      time.Duration `json:"work,omitempty"`      // time that a handler takes
	File      string        `json:"file,omitempty"`      // where a consumer writes what it handles
	Exclusive bool          `json:"exclusive,omitempty"` // of a consumer
	Quiet     bool          `json:"quiet,omitempty"`     // not in the log
	Stamp     bool          `json:"stamp,omitempty"`     // what is published or sent has the time for its number, ns
}

// What a member can do.
const (
	DoStart     = "start"     // Start, and wait until Members are there: Self, Took
	DoStop      = "stop"      // Shutdown
	DoJoin      = "join"      // the group Name
	DoLeave     = "leave"     // the group Name
	DoMembers   = "members"   // the list: Members
	DoAwait     = "await"     // wait until N members are there
	DoFailed    = "failed"    // wait until the member To was reported failed: At
	DoLog       = "log"       // what handlers were given: Log
	DoSubscribe = "subscribe" // to the topic Name
	DoPublish   = "publish"   // on the topic Name, N messages of Size bytes or for the time For, one Every
	DoHandle    = "handle"    // the in-box Name: requests are answered with their own payload
	DoRequest   = "request"   // N requests, or for the time For, to the in-box Name of To: Count, Errors, Longest
	DoSend      = "send"      // the same with messages that want no reply
	DoConsume   = "consume"   // the queue Name
	DoEnqueue   = "enqueue"   // N messages in the queue Name
	// What only a ClusterChannel can do. To is the key, Name the map.
	DoReady    = "ready"     // wait until it is ready: Took
	DoPuts     = "puts"      // Parallel writers, each one put of Size bytes after the other, for the time For, or N in all; one each Every: Hist, Count, Longest
	DoGets     = "gets"      // Parallel readers of random keys of Keys, for the time For: Count
	DoLinear   = "linear"    // the same with GetLinear: Hist, Count
	DoJoined   = "joined"    // start a member that was held, and wait until it is ready: Started, Learning, At
	DoHandOffs = "hand-offs" // Parallel goroutines that lock and unlock the key To, for the time For: Count
	DoHold     = "hold"      // lock the key To, and put it in the map Name, to be removed on exit
	DoWaitLock = "wait lock" // lock the key To: At; it is unlocked then
	DoWaitGone = "wait gone" // wait until the key To is not in the map Name: At
	DoMaster   = "master"    // wait until there is a master which is none of Members: At, Self is it
	DoCluster  = "cluster"   // Status, Counters
	DoPutOne   = "put one"   // the key To with File as its value
	DoGetOne   = "get one"   // the key To, by GetLinear: Text is its value
	DoStats    = "stats"     // Stats, Transport, Mode, Socket, CPU, Switches, Sleeps
)

// Answer is what became of a command.
type Answer struct {
	ID    uint64 `json:"id"`
	Error string `json:"error,omitempty"`

	Self     string          `json:"self,omitempty"` // the member's id, of DoStart
	Members  []Member        `json:"members,omitempty"`
	Log      []Entry         `json:"log,omitempty"`
	At       int64           `json:"at,omitempty"`       // ns, of the clock that all processes share
	Took     time.Duration   `json:"took,omitempty"`     // the whole
	Longest  time.Duration   `json:"longest,omitempty"`  // of a call
	Count    uint64          `json:"count,omitempty"`    // calls that ended well
	Errors   []string        `json:"errors,omitempty"`   // of the others, the first few
	Failed   uint64          `json:"failed,omitempty"`   // calls that ended in an error
	CPU      time.Duration   `json:"cpu,omitempty"`      // processor time that the process has used
	Switches uint64          `json:"switches,omitempty"` // of proc.SelfSwitches
	Sleeps   uint64          `json:"sleeps,omitempty"`   // of the engine
	Stats    json.RawMessage `json:"stats,omitempty"`    // blaze.Stats.Group
	Status   json.RawMessage `json:"status,omitempty"`   // blaze.ClusterStatus
	Counters json.RawMessage `json:"counters,omitempty"` // blaze.Stats.Cluster
	Hist     []byte          `json:"hist,omitempty"`     // a measure.Histogram, ns
	Text     string          `json:"text,omitempty"`     // a value
	Started  int64           `json:"started,omitempty"`  // when Start was called, as At
	Learning int64           `json:"learning,omitempty"` // when the member was in the ring of a primary component, as At
	Slow     []Slow          `json:"slow,omitempty"`     // puts that took longer than SlowPut

	Transport string `json:"transport,omitempty"` // of blaze.Stats, as Mode and Socket are
	Mode      string `json:"mode,omitempty"`
	Socket    string `json:"socket,omitempty"`
}

// SlowPut is what a put takes longer than that is told by itself.
const SlowPut = 10 * time.Millisecond

// Slow is one such put.
type Slow struct {
	At   int64         `json:"at"` // when it was begun or due, ns
	Took time.Duration `json:"took"`
}

// Member is one of Members.
type Member struct {
	ID          string   `json:"id"`
	Incarnation uint32   `json:"incarnation"`
	Name        string   `json:"name"`
	Groups      []string `json:"groups"`
	Addr        string   `json:"addr"`
	Started     int64    `json:"started"` // ns since 1970
}

// Entry is one thing that a handler was given.
type Entry struct {
	Kind        string `json:"kind"` // of a MemberEvent, as its String; or "message" of a topic, "item" of an in-box
	ID          string `json:"id"`   // the member that it is about or from
	Incarnation uint32 `json:"incarnation,omitempty"`
	Name        string `json:"name,omitempty"`   // the member's, or the topic
	Group       string `json:"group,omitempty"`  // of an event
	Number      uint64 `json:"number,omitempty"` // of a message
	At          int64  `json:"at"`
}
