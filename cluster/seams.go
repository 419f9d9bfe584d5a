package cluster

// The types of the replicated state that the core's surface names. Whoever writes them takes them out of here.

// State is one replica.
type State struct{}

// Event is one change of a map.
type Event struct{}

// Entry is one entry of a map.
type Entry struct{}
