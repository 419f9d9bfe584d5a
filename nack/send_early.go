package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// A stream that waits for all of its receivers gives back what all have reported, but for the newest of that. Then
// datagrams are packed into buffers that are still in the processor's cache: a whole window of them never is. Where a
// receiver is known that the stream does not wait for, or was until lately, that one may need more: the whole window stays.
const (
	recent   = 256
	lateNeed = 30 * time.Second // after a receiver was evicted, or refused
)

// giveBack gives back what no receiver needs any more.
func (s *Sender) giveBack(now clock.Time) {
	f := &s.flow
	if !f.slowest || f.young || len(s.outcasts) > 0 || now < s.whole {
		return
	}
	if f.stale {
		f.update() // somebody may have ceased to be waited for
	}
	if f.waited == 0 || f.waited != len(s.receivers) {
		return
	}
	keep := uint64(recent)
	if s.encoding != nil {
		keep = max(keep, 2*uint64(s.encoding.source*s.encoding.stride))
	}
	for end := s.disposable(); s.first+keep < end; {
		s.drop()
	}
}
