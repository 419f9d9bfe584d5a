package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// GroupLog is the record of a run of members of a group, in the order in which it happened.
type GroupLog struct {
	processes
	Records []GroupRecord
	Healed  clock.Time // when the last fault had been undone; 0: never

	online []Violation
}

// GroupKind is what a GroupRecord is about.
type GroupKind uint8

// The kinds.
const (
	GroupStarted   GroupKind = iota + 1 // Proc's handlers were given the start of Subject
	GroupStopped                        // and that it left
	GroupFailed                         // and that it failed
	GroupJoined                         // and that it joined Group
	GroupLeft                           // and that it left Group
	GroupRemoved                        // Proc removed Subject from its table
	GroupPaused                         // Proc's turns stopped
	GroupResumed                        // and went on
	GroupServed                         // Proc handed something to a handler, for the first time since GroupResumed
	GroupEnded                          // Proc crashed, or left and closed
	GroupViewed                         // Proc's ring has a regular view, Ring, of Members
	GroupDelivered                      // Proc handed a message of Subject, of its ring, to a handler
	GroupForgotten                      // Proc removed Subject, whose start handlers were not given: no view had it yet
	GroupExcluded                       // Subject, which is Proc, was excluded, as its ring finds
)

var groupKinds = [...]string{"?", "is given the start of", "is given the leave of", "is given the failure of",
	"is given a join of", "is given a group leave of", "removes", "pauses", "resumes", "serves", "ends", "has a view of", "hands over a message of",
	"forgets", "was excluded by its ring:"}

// GroupRecord is one line of a GroupLog.
type GroupRecord struct {
	At          clock.Time
	Kind        GroupKind
	Proc        Proc
	Subject     Proc
	Incarnation uint32
	Group       string
	Ring        wire.RingID
	Members     []Proc
}

// NewGroupLog makes an empty log.
func NewGroupLog() *GroupLog { return &GroupLog{processes: newProcesses()} }

// Add appends a record.
func (l *GroupLog) Add(r GroupRecord) { l.Records = append(l.Records, r) }

// Ended records that p crashed, or left and closed.
func (l *GroupLog) Ended(at clock.Time, p Proc, crashed bool) {
	l.Procs[p].Ended, l.Procs[p].Crashed = at, crashed
	l.Add(GroupRecord{At: at, Kind: GroupEnded, Proc: p})
}

// Found notes a violation that the harness saw while the run went on.
func (l *GroupLog) Found(id, format string, args ...any) {
	if len(l.online) < plenty {
		l.online = append(l.online, Violation{ID: id, At: -1, Text: fmt.Sprintf(format, args...)})
	}
}

// String shows a record as one line for people.
func (l *GroupLog) String(i int) string {
	r := &l.Records[i]
	out := fmt.Sprintf("#%d t=%v %s %s", i, r.At.Sub(0), l.procName(r.Proc), groupKinds[r.Kind])
	switch r.Kind {
	case GroupPaused, GroupResumed, GroupEnded:
		return out
	case GroupViewed:
		for _, p := range r.Members {
			out += " " + l.procName(p)
		}
		return out + fmt.Sprintf(", number %d", r.Ring.Seq)
	case GroupServed:
		return out + fmt.Sprintf(" as incarnation %d", r.Incarnation)
	}
	return strings.TrimSpace(out + fmt.Sprintf(" %s incarnation %d %s", l.procName(r.Subject), r.Incarnation, r.Group))
}

// GroupRules is what a run may be judged by, besides what always holds.
type GroupRules struct {
	// Accurate: no member that runs may be reported as failed (GM-2).
	Accurate bool
	// Excused, where set, takes reports of subject by observer out of that.
	Excused func(observer, subject Proc) bool
	// Detection, if not 0, is the time within which each member removes one that crashed (GM-3).
	Detection time.Duration
	// Exclusion, if not 0: a member that stood still for so long was removed by all others that run. It
	// serves nothing before it was given its own failure (GR-13).
	Exclusion time.Duration
	// Ring, where set, reports which processes are in a ring too (GR-1 to GR-3, GR-5).
	Ring func(p Proc) bool
}

// Groups judges a run.
func Groups(l *GroupLog, rules GroupRules) []Violation {
	c := groupChecker{l: l, rules: rules, r: reports{log: l}}
	c.walk()
	c.views()
	c.detection()
	return append(c.r.done(), l.online...)
}

// GroupsOf returns the groups of subject as the handlers of observer were given them, and whether they were
// given its start and not its end.
func GroupsOf(l *GroupLog, observer, subject Proc) (groups []string, here bool) {
	for i := range l.Records {
		r := &l.Records[i]
		if r.Proc != observer || r.Subject != subject {
			continue
		}
		switch r.Kind {
		case GroupStarted:
			groups, here = nil, true
		case GroupStopped, GroupFailed:
			groups, here = nil, false
		case GroupJoined:
			groups = append(groups, r.Group)
		case GroupLeft:
			groups = slices.DeleteFunc(groups, func(g string) bool { return g == r.Group })
		}
	}
	slices.Sort(groups)
	return groups, here
}

type groupChecker struct {
	l     *GroupLog
	rules GroupRules
	r     reports
}

type ofPair struct{ observer, subject Proc }

// told is what handlers of one member were given of another one.
type told struct {
	here        bool
	ended       bool
	left        bool
	incarnation uint32 // with which it started, or the highest with which it ended
	groups      map[string]bool
}

type removal struct {
	at          clock.Time
	by          Proc
	incarnation uint32
}

func (c *groupChecker) walk() {
	state := map[ofPair]*told{}
	removed := map[Proc][]removal{} // by subject
	paused := map[Proc]clock.Time{}
	leftView, view := map[Proc]bool{}, map[Proc][]Proc{} // who was not in the next view of somebody, or was removed before it was in one
	excluded := map[Proc]uint32{}                        // one above the incarnation that everybody removed while it stood still
	for i := range c.l.Records {
		r := &c.l.Records[i]
		key := ofPair{r.Proc, r.Subject}
		s := state[key]
		if s == nil {
			s = &told{groups: map[string]bool{}}
			state[key] = s
		}
		switch r.Kind {
		case GroupStarted:
			switch {
			case r.Subject < 0:
				c.r.add("GR-4", i, "the start of a member that there never was")
			case s.here:
				c.r.add("GR-4", i, "started twice")
			case s.left:
				c.r.add("GR-4", i, "it had left")
			case s.ended && r.Incarnation <= s.incarnation:
				c.r.add("GR-4", i, "back with incarnation %d, after the end of %d", r.Incarnation, s.incarnation)
			}
			s.here, s.incarnation = true, r.Incarnation
			clear(s.groups)
			if r.Proc == r.Subject && s.ended {
				// GM-4: somebody had removed the incarnation before.
				ok := leftView[r.Subject] // with it whatever incarnation it had
				for _, m := range removed[r.Subject] {
					ok = ok || m.incarnation+1 == r.Incarnation
				}
				if !ok {
					c.r.add("GM-4", i, "nobody had removed incarnation %d", r.Incarnation-1)
				}
			}
		case GroupStopped, GroupFailed:
			if !s.here {
				c.r.add("GR-4", i, "an end without a start")
			}
			if r.Kind == GroupStopped && r.Subject >= 0 && (c.l.Procs[r.Subject].Ended == 0 || c.l.Procs[r.Subject].Crashed || c.l.Procs[r.Subject].Ended > r.At) {
				c.r.add("GR-4", i, "it had not left")
			}
			s.here, s.ended, s.left = false, true, r.Kind == GroupStopped
			s.incarnation = max(s.incarnation, r.Incarnation)
			if r.Kind == GroupFailed && r.Proc != r.Subject && c.rules.Accurate && r.Subject >= 0 &&
				(c.l.Procs[r.Subject].Ended == 0 || c.l.Procs[r.Subject].Ended > r.At) &&
				(c.rules.Excused == nil || !c.rules.Excused(r.Proc, r.Subject)) {
				c.r.add("GM-2", i, "it runs")
			}
			if r.Proc == r.Subject && r.Incarnation+1 >= excluded[r.Subject] {
				delete(excluded, r.Subject)
			}
		case GroupJoined:
			if !s.here || s.groups[r.Group] {
				c.r.add("GR-4", i, "it is not here, or was in the group already")
			}
			s.groups[r.Group] = true
		case GroupLeft:
			if !s.here || !s.groups[r.Group] {
				c.r.add("GR-4", i, "it is not here, or was not in the group")
			}
			delete(s.groups, r.Group)
		case GroupViewed:
			for _, p := range view[r.Proc] {
				leftView[p] = leftView[p] || !slices.Contains(r.Members, p)
			}
			view[r.Proc] = r.Members
		case GroupForgotten, GroupExcluded:
			leftView[r.Subject] = true
		case GroupRemoved:
			removed[r.Subject] = append(removed[r.Subject], removal{r.At, r.Proc, r.Incarnation})
		case GroupPaused:
			paused[r.Proc] = r.At
		case GroupResumed:
			if c.rules.Exclusion != 0 && r.At.Sub(paused[r.Proc]) >= c.rules.Exclusion {
				if n, ok := c.removedByAll(r.Proc, removed[r.Proc], paused[r.Proc], r.At); ok {
					excluded[r.Proc] = n + 1
				}
			}
		case GroupServed:
			if n := excluded[r.Proc]; n > 0 && r.Incarnation < n {
				c.r.add("GR-13", i, "all others had removed incarnation %d", n-1)
			}
		}
	}
}

// removedByAll returns the incarnation of p that all others that ran all the time removed from from to to.
func (c *groupChecker) removedByAll(p Proc, list []removal, from, to clock.Time) (incarnation uint32, ok bool) {
	for q := range c.l.Procs {
		o := &c.l.Procs[q]
		if Proc(q) == p || o.Started > from || o.Ended != 0 {
			continue
		}
		found := false
		for _, m := range list {
			if m.by == Proc(q) && m.at > from && m.at < to {
				found, incarnation = true, max(incarnation, m.incarnation)
			}
		}
		if !found {
			return 0, false
		}
		ok = true
	}
	return incarnation, ok
}

// detection: GM-3. Each member that was given a start reports the crash in time.
func (c *groupChecker) detection() {
	if c.rules.Detection == 0 {
		return
	}
	end := clock.Time(0)
	if n := len(c.l.Records); n > 0 {
		end = c.l.Records[n-1].At
	}
	for s := range c.l.Procs {
		crash := c.l.Procs[s].Ended
		if crash == 0 || !c.l.Procs[s].Crashed || end < crash.Add(c.rules.Detection) {
			continue
		}
		for o := range c.l.Procs {
			if o == s || c.l.Procs[o].Ended != 0 || c.l.Procs[o].Started > crash {
				continue
			}
			here, at := false, clock.Time(0)
			for i := range c.l.Records {
				r := &c.l.Records[i]
				if r.Proc != Proc(o) || r.Subject != Proc(s) {
					continue
				}
				switch r.Kind {
				case GroupStarted:
					here = true
				case GroupRemoved:
					here, at = false, r.At // handlers may be given it later
				}
			}
			switch {
			case here:
				c.r.add("GM-3", -1, "%s never notices the crash of %s", c.l.procName(Proc(o)), c.l.procName(Proc(s)))
			case at > crash.Add(c.rules.Detection):
				c.r.add("GM-3", -1, "%s notices the crash of %s after %v", c.l.procName(Proc(o)), c.l.procName(Proc(s)), at.Sub(crash))
			}
		}
	}
}

// Detections returns the times from each crash to the removals by all others.
func Detections(l *GroupLog) (list []time.Duration) {
	for i := range l.Records {
		r := &l.Records[i]
		if r.Kind == GroupRemoved && r.Subject >= 0 {
			if p := &l.Procs[r.Subject]; p.Crashed && p.Ended != 0 && p.Ended <= r.At {
				list = append(list, r.At.Sub(p.Ended))
			}
		}
	}
	return list
}
