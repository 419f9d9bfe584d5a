package measure

import (
	"encoding/json"
	"io"
)

// ClusterResult is a Result of the cluster workload. What a run does not measure is 0 or null.
type ClusterResult struct {
	Result
	Members  int    `json:"members"`  // processes that are members
	Writers  int    `json:"writers"`  // goroutines of all members together, each with one put under way
	Keys     int    `json:"keys"`     // entries that are written and read
	Readers  int    `json:"readers"`  // goroutines of one member
	DataDir  bool   `json:"data_dir"` // with disks, SyncQuorum
	Filesync int64  `json:"sync_ns"`  // of the disk: appending 4 KiB and syncing them, median
	Rules    uint32 `json:"rules"`
	Profile  string `json:"profile"` // of the ring's timers: lan, isolated, shared

	PutsPerSecond   float64      `json:"puts_per_s"`
	Put             *Percentiles `json:"put_ns"` // from the call; with a rate from when it was due
	RotationNS      float64      `json:"token_rotation_ns"`
	GetsPerSecond   float64      `json:"gets_per_s"`
	LinearPerSecond float64      `json:"linear_per_s"`
	Linear          *Percentiles `json:"linear_ns"`
	LockHandOffs    float64      `json:"lock_handoffs_per_s"`

	Kills         int       `json:"kills"`            // masters that were ended by SIGKILL
	Failover      *float64  `json:"failover_ms"`      // until all others have another master and the entries are gone; median
	LockFailover  *float64  `json:"lock_failover_ms"` // until the next in line has the lock; median
	Failovers     []float64 `json:"failovers_ms"`
	LockFailovers []float64 `json:"lock_failovers_ms"`

	Joined            int     `json:"join_entries"`           // entries that a joiner was given
	TransferPerSecond float64 `json:"transfer_entries_per_s"` // from its start on
	Ready             float64 `json:"ready_ms"`               // from its start on
	RingStall         float64 `json:"ring_stall_ms"`          // longest wait of a writer while the ring changed
	WriterStall       float64 `json:"writer_stall_ms"`        // and after that, until the joiner was ready

	Mismatches uint64 `json:"state_mismatches"` // replicas whose state was another one

	NATS *RivalPuts `json:"nats"` // the same puts by another system, where it was asked for and is installed

	CoreStats []string `json:"-"` // counters of each member
}

// RivalPuts is what writers measured that put entries into a replicated map of another system, each with one put under way.
type RivalPuts struct {
	Version   string       `json:"version"`
	PerSecond float64      `json:"puts_per_s"`
	Put       *Percentiles `json:"put_ns"` // from the call to its acknowledgement
}

// WriteJSON writes r as one indented JSON object and a line end.
func (r *ClusterResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
