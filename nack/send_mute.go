package nack

import "time"

// A receiver from which unicast does not get through is mute: its requests come, through the group, and its reports do
// not. The stream does not wait for it, and it is reported. A late report is no missing one: reports may stand behind a
// flood, or have become rare because the stream was idle, and a member that did not run for a while may read requests
// before the reports that came earlier. So only time counts in which this member ran, only requests that came through
// the group show something, and they have to go on coming for a while without anything by unicast.
type muteness struct {
	is     bool          // it is not waited for
	told   bool          // that was reported
	asked  bool          // a request came through the group since the last look
	looks  int           // looks before which one came, since unicast last came from it
	silent time.Duration // how long ago that is
}

// muteLooks is before how many looks, of evictionLooks in Config.Eviction, requests must have come.
const muteLooks = evictionLooks / 2

// asks notes a request. One that came by unicast shows that unicast gets through.
func (m *muteness) asks(byGroup bool) {
	if m.asked = byGroup; !byGroup {
		m.looks, m.silent = 0, 0
	}
}

// lookMute judges all receivers. It is called each lookEvery, but not after a time in which this member did not run.
func (s *Sender) lookMute() {
	for i := range s.receivers {
		r := &s.receivers[i]
		m := &r.mute
		m.silent += s.lookEvery()
		if !m.asked {
			continue
		}
		m.asked = false
		if m.looks++; m.looks >= muteLooks && m.silent >= s.p.cfg.Eviction && !m.told {
			m.is, m.told = true, true
			s.flow.stale = true
			s.p.event(ReceiverMute, r.member, r.endpoint, s.id)
		}
	}
}
