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
	Loss              float64       `json:"loss"` // share of the datagrams that it loses
	Seed              uint64        `json:"seed"` // of the losses
	Held              bool          `json:"held"` // it waits, initialized, for a command to start
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
	DoStats     = "stats"     // Stats, Transport, Mode, Socket, CPU, Switches, Sleeps
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

	Transport string `json:"transport,omitempty"` // of blaze.Stats, as Mode and Socket are
	Mode      string `json:"mode,omitempty"`
	Socket    string `json:"socket,omitempty"`
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
