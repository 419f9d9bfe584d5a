package group_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/script"
	"github.com/activeblaze/blaze/sim"
	"github.com/activeblaze/blaze/wire"
)

var update = flag.Bool("update", false, "write what the scripts in testdata give as what they should give")

// TestMembershipScripts runs the scripts in testdata/membership. What comes of a step is what handlers are given
// of a member, who was given it, and how long after the begin of the step; and what members said of each other.
// Members are A, B, C … ; the next process on the same host is A'.
//
// Commands: start n; run 10ms; crash B; leave B; restart B; pause B; resume B; join B group; quit B group;
// cut B A (nothing that B sends reaches A); split A B | C D; mend; words C (Words that C sends are lost); verdict C B
// (C sends a verdict about B, of which it knows nothing).
func TestMembershipScripts(t *testing.T) {
	script.RunIn(t, "testdata/membership", *update, func(t *testing.T) script.Player { return newPlayer(t) })
}

type player struct {
	t       *testing.T
	c       *sim.GroupCluster
	began   clock.Time // of the step
	records int        // of the log that were shown
	said    []string   // who said what in this step, in order
	times   map[string]int
	last    uint64 // the send that was looked at last
	muted   int    // the member whose Words are lost, from 1
	d       wire.Datagram
}

func newPlayer(t *testing.T) *player {
	s := &player{t: t, c: sim.NewGroupCluster(t, 1), times: map[string]int{}}
	s.c.Prepare(sim.Link{Delay: 50 * time.Microsecond})
	s.c.Net.SetTap(s.tap)
	s.began = s.c.Net.Now()
	return s
}

// tap notes Words, once for each time that one is sent.
func (s *player) tap(f *sim.Flight) bool {
	if wire.Decode(f.Bytes, &s.d) != nil || s.d.Frames()[0].Kind != wire.FrameWord {
		return true
	}
	if f.ID != s.last {
		s.last = f.ID
		w := s.d.Frames()[0].Word()
		list := w.About()
		for a, ok := list.Next(); ok; a, ok = list.Next() {
			verb := [...]string{wire.AboutDoubt: "doubts", wire.AboutVouch: "vouches for", wire.AboutVerdict: "says as removed", wire.AboutLeft: "says as gone",
				wire.AboutLeave: "says farewell as"}[a.Kind]
			line := fmt.Sprintf("%s %s %s", s.host(f.From), verb, s.name(s.c.Log.ProcOf(a.ID)))
			if s.times[line]++; s.times[line] == 1 {
				s.said = append(s.said, line)
			}
		}
	}
	return s.muted != f.From+1
}

func (s *player) host(node int) string { return string(rune('A' + node)) }

func (s *player) name(p check.Proc) string {
	if p < 0 {
		return "?"
	}
	node, n := s.c.Log.Procs[p].Node, 0
	for i := range p {
		if s.c.Log.Procs[i].Node == node {
			n++
		}
	}
	return s.host(node) + strings.Repeat("'", n)
}

// event is one change, and who was given it.
type event struct {
	what        string
	by          []string
	first, last clock.Time
}

// Output implements script.Player.
func (s *player) Output() string {
	var events []*event
	for i := s.records; i < len(s.c.Log.Records); i++ {
		r := &s.c.Log.Records[i]
		what := s.name(r.Subject)
		switch r.Kind {
		case check.GroupStarted:
			what += " started"
		case check.GroupStopped:
			what += " stopped"
		case check.GroupFailed:
			what += " failed"
		case check.GroupJoined:
			what += " joined " + r.Group
		case check.GroupLeft:
			what += " left " + r.Group
		case check.GroupServed:
			what = "something, again"
		default:
			continue
		}
		if r.Incarnation > 0 {
			what += fmt.Sprintf(" (incarnation %d)", r.Incarnation)
		}
		at := slices.IndexFunc(events, func(e *event) bool { return e.what == what })
		if at < 0 {
			events, at = append(events, &event{what: what, first: r.At}), len(events)
		}
		e := events[at]
		e.by, e.last = append(e.by, s.name(r.Proc)), r.At
	}
	s.records = len(s.c.Log.Records)
	var lines []string
	for _, e := range events {
		slices.Sort(e.by)
		after := e.first.Sub(s.began).Round(100 * time.Microsecond).String()
		if last := e.last.Sub(s.began).Round(100 * time.Microsecond).String(); last != after {
			after += " to " + last
		}
		lines = append(lines, fmt.Sprintf("%s: %s, after %s", strings.Join(e.by, " "), e.what, after))
	}
	for _, line := range s.said {
		if n := s.times[line]; n > 1 {
			line += fmt.Sprintf(", %d times", n)
		}
		lines = append(lines, "("+line+")")
	}
	s.said, s.began = nil, s.c.Net.Now()
	clear(s.times)
	return strings.Join(lines, "\n")
}

// End implements script.Player: what the script left broken heals, and all tables are equal and right.
func (s *player) End() {
	s.c.Heal()
	s.c.Settle()
}

// Do implements script.Player.
func (s *player) Do(line string) {
	words := strings.Fields(line)
	node := func(i int) int { return int(words[i][0] - 'A') }
	now := s.c.Net.Now()
	switch words[0] {
	case "start":
		for range int(words[1][0] - '0') {
			s.c.Join()
		}
	case "run":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.For(d)
	case "crash":
		s.c.Crash(node(1))
	case "leave":
		s.c.Leave(node(1))
	case "restart":
		s.c.Restart(node(1))
	case "pause":
		s.c.Pause(node(1))
	case "resume":
		s.c.Resume(node(1))
	case "join":
		m := s.c.Members[node(1)]
		if err := m.Protocol.Join(now, words[2]); err != nil {
			s.t.Fatal(err)
		}
		m.Driver.Wake()
	case "quit":
		m := s.c.Members[node(1)]
		m.Protocol.Leave(now, words[2])
		m.Driver.Wake()
	case "cut":
		s.c.Net.Cut(node(1), node(2))
	case "split":
		var side []int
		for i := 1; words[i] != "|"; i++ {
			side = append(side, node(i))
		}
		s.c.Net.Partition(len(s.c.Members), side...)
	case "mend":
		s.c.Net.MendAll()
	case "words":
		s.muted = node(1) + 1
	case "verdict":
		s.c.Forged = true
		from, about := s.c.Members[node(1)], s.c.Members[node(2)]
		b := wire.AppendHeader(nil, wire.Header{Cluster: wire.ClusterHash("sim"), Transmitter: from.ID(), Incarnation: from.Protocol.Incarnation(), Stream: group.Stream})
		b = wire.AppendWord(b, []wire.About{{ID: about.ID(), Incarnation: about.Protocol.Incarnation(), Kind: wire.AboutVerdict}})
		wire.Seal(b)
		from.Driver.Inject(buf.Group, b)
	default:
		s.t.Fatalf("no command %q", line)
	}
}
