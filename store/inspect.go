package store

import (
	"os"
	"path/filepath"
)

// Report says what a directory holds.
type Report struct {
	Seat      [16]byte
	Cluster   uint64 // hash of the cluster's name
	Lives     uint64 // how often it was opened
	FileBytes int64

	Quorum    []byte   // in the core's encoding; nil: none
	Tail      [][]byte // in the core's encoding
	Committed uint64   // at most; 0: none was written

	Base, BaseHash uint64 // of the snapshot; 0: none
	SnapshotBytes  int64
	End, EndHash   uint64 // of the log
	LogRecords     int
	LogBytes       int64
	Stale          int // records that count no more and are still to be removed
}

// Inspect reads and checks all of a directory that nobody has open. It writes nothing. Errors are *Error.
func Inspect(dir string) (Report, error) {
	r, err := inspect(dir)
	return r, explain(dir, err)
}

func inspect(dir string) (r Report, err error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err != nil {
		return r, err
	}
	c, err := check(dir, lockWait)
	if err != nil {
		return r, err
	}
	r = Report{
		Seat: c.seat, Cluster: c.cluster, Lives: c.lives, FileBytes: c.fileBytes, Committed: c.committedI,
		Base: c.base.index, BaseHash: c.base.hash, SnapshotBytes: c.snapBytes,
		End: c.end.index, EndHash: c.end.hash, LogRecords: c.logRecords, LogBytes: c.logBytes, Stale: c.stale,
	}
	b, err := openBolt(path, true, lockWait)
	if err != nil {
		return r, err
	}
	defer b.close()
	s := &Store{dir: dir, b: b, identity: c.identity, w: writer{head: c.head}}
	l, err := s.Load()
	if err != nil {
		return r, err
	}
	r.Quorum, r.Tail = l.Quorum, l.Tail
	return r, nil
}
