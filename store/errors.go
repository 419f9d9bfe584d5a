package store

import (
	"errors"
	"fmt"
)

// What is wrong with a directory. An *Error is one of them for errors.Is.
var (
	ErrInUse   = errors.New("in use")                                        // another process or channel has it open
	ErrCluster = errors.New("of another cluster")                            // Options.Cluster is not the one that it was made for
	ErrAccess  = errors.New("not usable")                                    // it cannot be read, written or made
	ErrFull    = errors.New("disk full")                                     // no room, or a quota
	ErrFormat  = errors.New("of another version")                            // a format that this build does not have
	ErrDamaged = errors.New("damaged")                                       // a record that was on the disk is not what it was
	ErrFailed  = errors.New("the disk failed")                               // a write or a sync did, while the store was open
	ErrBehind  = errors.New("the disk is too slow: a gigabyte waits for it") // counts as a failure
)

// Error names the directory, what is wrong with it, and what to do.
type Error struct {
	Dir    string
	Kind   error  // one of the above
	What   string // the record, the call; may be empty
	Cause  error  // from the operating system or bbolt; may be nil
	Remedy string // what the operator can do
}

// Error is one line.
func (e *Error) Error() string {
	s := fmt.Sprintf("DataDir %s is %v", e.Dir, e.Kind)
	if e.Kind == ErrFailed || e.Kind == ErrBehind {
		s = fmt.Sprintf("DataDir %s: %v", e.Dir, e.Kind)
	}
	if e.What != "" {
		s += ": " + e.What
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	if e.Remedy != "" {
		s += " (" + e.Remedy + ")"
	}
	return s
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// The remedies.
const (
	remedyInUse   = "one process and one channel at a time: stop the other one, or give this member a directory of its own"
	remedyCluster = "each cluster has its own directory: set Config.DataDir or Config.Cluster"
	remedyAccess  = "make it a directory that this user may read, write and create files in"
	remedyFull    = "make room, then start again: nothing is lost"
	remedyFormat  = "start the build that wrote it, or move the directory away and start with an empty one"
	remedyDamaged = "this seat has lost what it had promised to hold: move the directory away and start with an empty one, " +
		"as a new seat that gets the state from the others; a quorum of the remaining seats must be there"
	remedyFailed = "look at the disk, then start again: what was acknowledged is there or on a quorum of the others"
)

// damage is a record that is not what it was. Open adds the directory.
type damage struct{ what string }

// Error is the record, and what is wrong with it.
func (d *damage) Error() string { return d.what }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }
