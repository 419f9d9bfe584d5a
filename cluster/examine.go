package cluster

import (
	"github.com/activeblaze/blaze/clock"
)

// Examine counts again what a disk holds, as New does, and returns what a member would begin with. The error names what
// does not fit.
func Examine(r *Recovered) (*Status, error) {
	c := New(Config{Ring: unattached{}, Sink: unattached{}, Datagram: 1, Store: unattached{}, Recovered: r, Observer: true})
	return c.Status(0), c.diskError
}

// unattached is the surroundings of a Core that nobody steps.
type unattached struct{}

func (unattached) Offer(clock.Time, []byte, bool) error { return nil }
func (unattached) Hurry()                               {}
func (unattached) Delivered() uint64                    { return 0 }

func (unattached) Publish(clock.Time, *Publication) {}
func (unattached) Done(clock.Time, *Call)           {}
func (unattached) Lost(clock.Time, uint64)          {}
func (unattached) Warn(clock.Time, *Warning)        {}

func (unattached) Append(uint64, uint64, []byte) {}
func (unattached) Quorum([]byte)                 {}
func (unattached) Tail([][]byte)                 {}
func (unattached) Committed(uint64)              {}
func (unattached) Flush(bool) uint64             { return 0 }
func (unattached) Snapshot(Snapshot) bool        { return false }
