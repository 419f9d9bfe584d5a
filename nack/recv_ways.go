package nack

import "github.com/activeblaze/blaze/clock"

// Multicast from a sender may be blocked while unicast passes: what is sent to the group does not come, and repairs and
// heartbeats that go to this member alone do. The first repair of a datagram goes to the group, so this member would wait
// in vain for each. When something came by unicast noGroupLeast times, nothing came through the group for
// Config.Eviction, and the stream went on meanwhile, that is reported, and all is asked for as if it were again: the
// sender answers that by unicast. What comes through the group ends it.
type ways struct {
	group  clock.Time // when something last came through the group; 0: never, there may be no group
	direct int        // datagrams that came by unicast since
	mark   uint64     // the highest datagram when the first of them came
	only   bool       // only unicast gets through
}

const noGroupLeast = 8

// cameByGroup notes that something came through the group.
func (w *ways) cameByGroup(now clock.Time) {
	if w.group = now; w.direct != 0 {
		w.direct, w.only = 0, false
	}
}

// cameDirect notes that something came by unicast.
func (s *stream) cameDirect(now clock.Time) {
	w := &s.ways
	if w.direct == 0 {
		w.mark = s.highest
	}
	if w.direct++; w.only || w.direct < noGroupLeast || w.group == 0 || !s.nack || s.highest <= w.mark || now.Sub(w.group) < s.p.cfg.Eviction {
		return
	}
	w.only = true
	s.event(StreamNoGroup)
}
