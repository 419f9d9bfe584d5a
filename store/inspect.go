package store

import (
	"os"
	"path/filepath"

	"github.com/activeblaze/blaze/cluster"
)

// Report says what a directory holds.
type Report struct {
	Seat      [16]byte
	Cluster   uint64 // hash of the cluster's name
	Lives     uint64 // how often it was opened
	FileBytes int64

	TailRecords int
	Committed   uint64 // at most; 0: none was written

	Base, BaseHash uint64 // of the snapshot; 0: none
	SnapshotBytes  int64
	End, EndHash   uint64 // of the log
	LogRecords     int
	LogBytes       int64
	Stale          int // records that count no more and are still to be removed
}

// Inspect reads and checks all of a directory that nobody has open. It writes nothing. Errors are *Error. f, which may be
// nil, is given what a core would begin with, and may use it until it returns; its error is Inspect's.
func Inspect(dir string, f func(*cluster.Recovered) error) (r Report, err error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err != nil {
		return r, explain(dir, err)
	}
	c, err := check(dir, lockWait)
	if err != nil {
		return r, explain(dir, err)
	}
	r = Report{
		Seat: c.seat, Cluster: c.cluster, Lives: c.lives, FileBytes: c.fileBytes, TailRecords: int(c.tail), Committed: c.committedI,
		Base: c.base.index, BaseHash: c.base.hash, SnapshotBytes: c.snapBytes,
		End: c.end.index, EndHash: c.end.hash, LogRecords: c.logRecords, LogBytes: c.logBytes, Stale: c.stale,
	}
	if f == nil {
		return r, nil
	}
	b, err := openBolt(path, true, lockWait)
	if err != nil {
		return r, explain(dir, err)
	}
	defer b.close()
	l, err := (&Store{dir: dir, b: b, identity: c.identity, w: writer{head: c.head}}).Load()
	if err != nil {
		return r, err
	}
	return r, f(l)
}
