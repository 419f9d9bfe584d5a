package check

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// doctored is a log of three members that run, and what a test writes into it.
func doctored(records ...GroupRecord) *GroupLog {
	l := NewGroupLog()
	for i := range 3 {
		l.Start(1, i, wire.MemberID{byte(i + 1)})
		l.Add(GroupRecord{At: 1, Kind: GroupStarted, Proc: Proc(i), Subject: Proc(i)})
	}
	for i, r := range records {
		if r.At == 0 {
			r.At = clock.Time(10 + i)
		}
		if r.Kind == GroupEnded {
			l.Ended(r.At, r.Proc, r.Group == "crash")
			continue
		}
		l.Add(r)
	}
	return l
}

// Each property is breached once, and found under its id.
func TestGroupsFindsBreaches(t *testing.T) {
	start := GroupRecord{Kind: GroupStarted, Proc: 0, Subject: 1}
	fail := GroupRecord{Kind: GroupFailed, Proc: 0, Subject: 1}
	stop := GroupRecord{Kind: GroupStopped, Proc: 0, Subject: 1}
	join := GroupRecord{Kind: GroupJoined, Proc: 0, Subject: 1, Group: "g"}
	leave := GroupRecord{Kind: GroupLeft, Proc: 0, Subject: 1, Group: "g"}
	back := GroupRecord{Kind: GroupStarted, Proc: 0, Subject: 1, Incarnation: 1}
	ended := GroupRecord{Kind: GroupEnded, Proc: 1}
	ownFail := GroupRecord{Kind: GroupFailed, Proc: 1, Subject: 1}
	ownBack := GroupRecord{Kind: GroupStarted, Proc: 1, Subject: 1, Incarnation: 1}
	removed := GroupRecord{Kind: GroupRemoved, Proc: 0, Subject: 1}
	crash := GroupRecord{At: 100, Kind: GroupEnded, Proc: 1, Group: "crash"}
	last := GroupRecord{At: clock.Time(time.Second), Kind: GroupPaused, Proc: 2}
	paused := []GroupRecord{{At: 10, Kind: GroupPaused, Proc: 1}, {At: 20, Kind: GroupRemoved, Proc: 0, Subject: 1},
		{At: 20, Kind: GroupRemoved, Proc: 2, Subject: 1}, {At: 2000, Kind: GroupResumed, Proc: 1}}
	served := GroupRecord{At: 2001, Kind: GroupServed, Proc: 1}

	tests := []struct {
		name  string
		log   *GroupLog
		rules GroupRules
		want  string // "": nothing
	}{
		{"as it should be", doctored(start, join, leave, fail, back, join), GroupRules{}, ""},
		{"started twice", doctored(start, start), GroupRules{}, "GR-4"},
		{"a member that never was", doctored(GroupRecord{Kind: GroupStarted, Proc: 0, Subject: Nobody}), GroupRules{}, "GR-4"},
		{"an end without a start", doctored(fail), GroupRules{}, "GR-4"},
		{"back with the same incarnation", doctored(start, fail, start), GroupRules{}, "GR-4"},
		{"back after it left", doctored(start, ended, stop, back), GroupRules{}, "GR-4"},
		{"stopped, and runs", doctored(start, stop), GroupRules{}, "GR-4"},
		{"stopped, and left", doctored(start, ended, stop), GroupRules{}, ""},
		{"joined twice", doctored(start, join, join), GroupRules{}, "GR-4"},
		{"joined before it started", doctored(join), GroupRules{}, "GR-4"},
		{"left a group without having joined", doctored(start, leave), GroupRules{}, "GR-4"},
		{"fails and runs", doctored(start, fail), GroupRules{Accurate: true}, "GM-2"},
		{"fails and runs, excused", doctored(start, fail), GroupRules{Accurate: true, Excused: func(o, s Proc) bool { return o == 0 && s == 1 }}, ""},
		{"fails and crashed", doctored(start, crash, GroupRecord{At: 200, Kind: GroupFailed, Proc: 0, Subject: 1}), GroupRules{Accurate: true}, ""},
		{"a new incarnation for nothing", doctored(ownFail, ownBack), GroupRules{}, "GM-4"},
		{"a new incarnation after a removal", doctored(removed, ownFail, ownBack), GroupRules{}, ""},
		{"a crash is never noticed", doctored(start, crash, last), GroupRules{Detection: 50}, "GM-3"},
		{"a crash is noticed late", doctored(start, crash, GroupRecord{At: 200, Kind: GroupRemoved, Proc: 0, Subject: 1}, last), GroupRules{Detection: 50}, "GM-3"},
		{"a crash is noticed in time", doctored(start, crash, GroupRecord{At: 150, Kind: GroupRemoved, Proc: 0, Subject: 1}, last), GroupRules{Detection: 50}, ""},
		{"serves after a pause", doctored(append(slices.Clone(paused), served)...), GroupRules{Exclusion: 1000}, "GR-13"},
		{"reports itself, then serves", doctored(append(slices.Clone(paused), GroupRecord{At: 2000, Kind: GroupFailed, Proc: 1, Subject: 1},
			GroupRecord{At: 2000, Kind: GroupStarted, Proc: 1, Subject: 1, Incarnation: 1}, served)...), GroupRules{Exclusion: 1000}, ""},
		{"only one had removed it", doctored(append(slices.Delete(slices.Clone(paused), 2, 3), served)...), GroupRules{Exclusion: 1000}, ""},
	}
	for _, c := range tests {
		got := Groups(c.log, c.rules)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %s", c.name, Text(got))
		case c.want != "" && !slices.Contains(IDs(got), c.want):
			t.Errorf("%s: %v, want %s", c.name, IDs(got), c.want)
		}
	}
}
