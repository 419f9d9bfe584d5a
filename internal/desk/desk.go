// Package desk is how a program that is no member of a cluster asks one that is: requests to the in-box "blaze.cluster",
// which every started ClusterChannel serves. A request and its reply are one JSON object each, in a raw payload. The
// command line asks so: it need not enter the cluster's ring for a single call.
package desk

import (
	"encoding/json"
	"time"
)

// Inbox is the reserved in-box.
const Inbox = "blaze.cluster"

// What can be asked for.
const (
	DoWho    = "who"    // Primary, Ready, Load
	DoStatus = "status" // Status
	DoMaps   = "maps"   // Names
	DoGet    = "get"    // Map, Key; Linear
	DoPut    = "put"    // Map, Key, Value, TTL
	DoCAS    = "cas"    // Map, Key, Value, Version, TTL
	DoDelete = "delete" // Map, Key
	DoList   = "list"   // Map, Prefix; or Session: the next page
	DoWatch  = "watch"  // Map, Prefix; or Session: what has happened since
	DoEnd    = "end"    // Session
	DoForce  = "force"  // ClusterChannel.Force
)

// Bounds.
const (
	MaxWithin   = time.Minute      // of a call's time at the member
	MaxPage     = 128 << 10        // bytes of keys and values in a reply, unless one entry alone is larger
	MaxNames    = 1000             // maps in a reply
	MaxSessions = 16               // lists and watches at a time
	SessionIdle = 10 * time.Second // after which one that nobody asked for ends
	MaxWaiting  = 10_000           // events of a watch that wait to be asked for
	MaxHeld     = 16 << 20         // bytes of their keys and values
	Overhead    = 64               // bytes of a reply's message besides its JSON
	PollWait    = time.Second      // how long a watch without news holds its request
)

// Request is what is asked.
type Request struct {
	Do      string        `json:"do"`
	Map     string        `json:"map,omitempty"`
	Key     string        `json:"key,omitempty"`
	Value   []byte        `json:"value,omitempty"`
	Version uint64        `json:"version,omitempty"`
	TTL     time.Duration `json:"ttl_ns,omitempty"`
	Linear  bool          `json:"linear,omitempty"`
	Prefix  string        `json:"prefix,omitempty"`
	Session uint64        `json:"session,omitempty"`
	Within  time.Duration `json:"within_ns,omitempty"` // how long the call may take; 0, or more than MaxWithin: MaxWithin
}

// Reply is the answer.
type Reply struct {
	Error string `json:"error,omitempty"` // one of the words below; empty: it is done
	Text  string `json:"text,omitempty"`  // what was wrong, for people

	Version uint64   `json:"version,omitempty"`
	Found   bool     `json:"found,omitempty"`
	Entry   Entry    `json:"entry,omitzero"`
	Entries []Entry  `json:"entries,omitempty"`
	Names   []string `json:"names,omitempty"`
	Events  []Event  `json:"events,omitempty"`
	Session uint64   `json:"session,omitempty"` // there is more

	Primary bool            `json:"primary,omitempty"`
	Ready   bool            `json:"ready,omitempty"` // in the primary, with a complete replica and a master
	Load    uint64          `json:"load,omitempty"`  // calls under way there
	Status  json.RawMessage `json:"status,omitempty"`
}

// Words of Reply.Error.
const (
	NoQuorum    = "noquorum"
	Locked      = "locked"
	NotOwner    = "notowner"
	Version     = "version"
	TooLarge    = "toolarge"
	Argument    = "argument"
	Unknown     = "unknown" // the outcome is not known
	Unsupported = "unsupported"
	TimeUp      = "time"
	Stopped     = "stopped" // the member stops: nothing happened
	Gone        = "gone"    // there is no such session (any more)
	Busy        = "busy"    // too many sessions, or requests
	Failed      = "failed"
)

// Entry is one entry of a map.
type Entry struct {
	Key     string    `json:"key"`
	Value   []byte    `json:"value"`
	Version uint64    `json:"version"`
	Owner   string    `json:"owner,omitempty"` // MemberID; of what goes with its owner
	Expires time.Time `json:"expires,omitzero"`
}

// Event is one change of a map.
type Event struct {
	Kind  string `json:"kind"` // as MapEventKind prints: "put"
	Entry Entry  `json:"entry,omitzero"`
	Old   uint64 `json:"old,omitempty"` // the version before
	By    string `json:"by,omitempty"`  // MemberID
}

// Encode is v as a payload.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("desk: " + err.Error()) // the types are this package's own
	}
	return b
}

// Decode reads a payload.
func Decode(b []byte, v any) error { return json.Unmarshal(b, v) }
