package cluster

// Store is the disk of one replica (docs/cluster.md, 17). Package store implements it, and simulation does with a disk
// that loses what was not synced. The core calls it on the engine's thread. No method waits for the disk, and none
// keeps the bytes that it is given: it copies them. What becomes of them comes back through Core.Durable and
// Core.DiskFailed, which the store's owner calls on the engine's thread.
//
// What was handed over between two Flushes is one whole: after a crash all of it is there, or nothing. Wholes are
// written in their order, several in one transaction where they wait (group commit). Durable brings the ticket up to
// which wholes are on the disk, and the index that the disk's replica reaches. After a failure the store takes calls
// without effect.
type Store interface {
	// Append adds one record to the log: operations of one batch, or an establishment, in the core's encoding. index is
	// that of the record's last operation, and higher than that of the record before. hash is the history's hash after it.
	Append(index, hash uint64, record []byte)

	// Quorum replaces what this seat remembers about primaries: last, tried, the certain voters (in the core's encoding).
	Quorum(record []byte)

	// Tail replaces the tail. Each record is an operation's batch or an opening, in the core's encoding. None empties it.
	Tail(records [][]byte)

	// Committed notes up to which index a quorum's disks hold the history. It is written with the next whole, and needs none.
	Committed(index uint64)

	// Flush ends a whole and returns its ticket. Tickets rise by one, from 1. Without anything to write the ticket is that
	// of the last whole. hurry writes it at once, also where Sync is SyncInterval: a Claim, a Ready and an Exit wait for it.
	Flush(hurry bool) (ticket uint64)

	// Snapshot begins to write s, in pieces between the wholes, and reports whether it did. It does not while another one
	// is being written, unless s.Replace is set. When it is complete it is the base: the log up to it and the base
	// before it are removed.
	Snapshot(s Snapshot) bool
}

// Snapshot is a state on its way to the disk.
type Snapshot struct {
	Index, Hash uint64 // the state's

	// Next returns the next part of the state, nil after the last. The store's goroutine calls it, so it may read only
	// what nobody changes any more: a kept root. The store uses a part until the next call. A part has at most 16 MiB + 64 KiB.
	Next func() []byte

	// Replace begins another history: the replica came from another member. Records that are appended after the call
	// follow on this snapshot. Until it is complete the disk's replica stays the old one. Wholes are durable meanwhile as
	// ever, what they say of quorum and tail holds, and the index that comes with their ticket is 0. When it is complete the
	// index is the new history's. Replace ends a snapshot that is being written.
	Replace bool

	// Done is called on the store's goroutine when Next is not called any more: complete, replaced or failed. It may be nil.
	Done func()
}

// snapshotLogBytes and snapshotLogOps say when a core writes a snapshot: this much log since the one before.
const (
	snapshotLogBytes = 64 << 20
	snapshotLogOps   = 1_000_000
)

// Recovered is what a store found on its disk, for Config. A store that is new gives a Recovered with nothing but Seat.
// Its functions read the disk, and are called before the core takes its first event, on one goroutine.
type Recovered struct {
	Seat      [16]byte // a wire.Seat, drawn when the directory was made
	Quorum    []byte   // as Quorum was given it; nil: never
	Tail      [][]byte // as Tail was given it
	Committed uint64   // the last one that was written, at most: later ones may have been lost

	Base, BaseHash uint64 // index and hash of the snapshot; 0: none, the log begins with the history
	End, EndHash   uint64 // index and hash after the log's last record; Base and BaseHash where the log is empty

	// Parts calls f with each part of the snapshot, in the order of Next. It ends with f's error, or with one that names
	// the damaged record.
	Parts func(f func(part []byte) error) error

	// Log calls f with each record after the snapshot, in the order of Append. It ends as Parts does.
	Log func(f func(index, hash uint64, record []byte) error) error
}
