package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// reordering learns how late datagrams come that were overtaken, as RACK does (RFC 8985, section 3.3.2), so that they
// are not taken for lost. While none was seen the wait is zero, and a gap is asked for at once.
type reordering struct {
	share float64       // of the gaps that close, those whose datagram was only late
	late  time.Duration // how late it came; it decays
}

// lateness is a datagram that was missing, and came after it had been asked for, or was rebuilt.
type lateness struct {
	stream  *stream
	number  uint64
	noticed clock.Time
}

// latenesses are the last of them, of all streams, by their numbers' low bits.
type latenesses [512]lateness

const (
	reorderGain  = 1.0 / 32
	reorderShare = 0.25 // with less, datagrams that came twice have another cause: several receivers asked
	reorderDecay = 64
	reorderMost  = 50 * time.Millisecond
)

// wait is how long a gap may still close by itself.
func (r *reordering) wait() time.Duration {
	if r.share < reorderShare {
		return 0
	}
	return r.late + r.late/4
}

// overtaken notes a datagram that came late and had not been lost.
func (r *reordering) overtaken(late time.Duration) {
	r.share += (1 - r.share) * reorderGain
	r.late = min(max(r.late-r.late/reorderDecay, late), reorderMost)
}

// lost notes a datagram that was not late.
func (r *reordering) lost() { r.share -= r.share * reorderGain }

// asked notes that datagram number, which was missing since noticed, came after it had been asked for, or was rebuilt: it
// was lost, unless it comes a second time.
func (r *reordering) asked(s *stream, number uint64, noticed clock.Time) {
	r.lost()
	s.p.late[number%uint64(len(s.p.late))] = lateness{s, number, noticed}
}

// again notes that datagram number came although it is here.
func (r *reordering) again(now clock.Time, s *stream, number uint64) {
	if l := &s.p.late[number%uint64(len(s.p.late))]; l.number == number && l.stream == s {
		l.stream = nil
		r.share += (1 - r.share) * reorderGain // and what asked took away
		r.overtaken(now.Sub(l.noticed))
	}
}
