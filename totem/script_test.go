package totem_test

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/script"
	"github.com/activeblaze/blaze/sim"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

var update = flag.Bool("update", false, "write what the scripts in testdata give as what they should give")

// TestScripts runs the scripts in testdata. What comes of a step is what members
// deliver, views and messages, and what the protocol did that it does not do in an ordinary rotation.
// Members are A, B, C … in the order of their ids; message B2 is B's second.
//
// Commands: start n; join; send B 3 [safe] [large]; run 10ms; settle (until there is one ring,
// and how long that took); lose token|data|commit|join n (the next n copies); until C Recovery
// [500ms] (run until C is in that state); crash B; restart B; leave B; pause B; resume B;
// split A B | C D; mend; safe [none]; profile tuned|hold.
func TestScripts(t *testing.T) {
	script.Run(t, *update, func(t *testing.T) script.Player { return newPlayer(t) })
}

// player is a small ring that a script drives.
type player struct {
	t      *testing.T
	c      *sim.RingCluster
	starts []byte
	lines  []string
	runs   map[int][]string // messages that a member was handed in a row
	stats  map[int]totem.Stats
	lose   map[wire.FrameKind]int
	d      wire.Datagram
}

func newPlayer(t *testing.T) *player {
	s := &player{t: t, c: sim.NewRingCluster(t, 1), runs: map[int][]string{}, stats: map[int]totem.Stats{}, lose: map[wire.FrameKind]int{}}
	s.c.Load.Every = -1
	s.c.Ident = func(node int) wire.MemberID {
		for len(s.starts) <= node {
			s.starts = append(s.starts, 0)
		}
		s.starts[node]++
		return wire.MemberID{byte('A' + node), s.starts[node]}
	}
	s.c.Heard = s.heard
	s.c.Prepare(sim.Faults{Delay: 50 * time.Microsecond})
	s.c.Net.SetTap(func(f *sim.Flight) bool {
		if wire.Decode(f.Bytes, &s.d) == nil && len(s.d.Frames()) > 0 {
			if k := s.d.Frames()[0].Kind; s.lose[k] > 0 {
				s.lose[k]--
				return false
			}
		}
		return true
	})
	return s
}

// name is a member's letter; after a restart it has a mark for each.
func name(id wire.MemberID) string { return string(id[:1]) + strings.Repeat("'", int(id[1])-1) }

func (s *player) heard(node int, what any) {
	switch v := what.(type) {
	case *core.Delivery:
		s.runs[node] = append(s.runs[node], fmt.Sprintf("%s%d", name(v.From), v.Sequence))
	case totem.View:
		s.flushRun(node)
		var members []string
		for _, m := range v.Members {
			members = append(members, name(m))
		}
		line := fmt.Sprintf("%s: %v %s", name(s.c.Members[node].ID()), v.Kind, strings.Join(members, " "))
		if v.Incarnation > 0 {
			line += fmt.Sprintf(" (incarnation %d)", v.Incarnation)
		}
		s.lines = append(s.lines, line)
	}
}

func (s *player) flushRun(node int) {
	if run := s.runs[node]; len(run) > 0 {
		s.lines = append(s.lines, fmt.Sprintf("%s: %s", name(s.c.Members[node].ID()), strings.Join(run, " ")))
		s.runs[node] = nil
	}
}

// Output implements script.Player: what was delivered, with what was unusual.
func (s *player) Output() string {
	for node, m := range s.c.Members {
		s.flushRun(node)
		if !m.Alive() {
			continue
		}
		now, was := m.Protocol.Stats(), s.stats[node]
		s.stats[node] = now
		var notes []string
		for _, n := range []struct {
			name string
			n    int
		}{
			{"asked for", int(now.Requested) - int(was.Requested)}, {"sent again", int(now.Retransmitted) - int(was.Retransmitted)},
			{"recovered", int(now.RecoverySent) - int(was.RecoverySent)}, {"tokens again", int(now.TokensAgain) - int(was.TokensAgain)},
			{"lost", int(now.Lost) - int(was.Lost)}, {"skipped", int(now.Skipped) - int(was.Skipped)},
		} {
			if n.n > 0 {
				notes = append(notes, fmt.Sprintf("%s %d", n.name, n.n))
			}
		}
		if len(notes) > 0 {
			s.lines = append(s.lines, fmt.Sprintf("%s: (%s)", name(m.ID()), strings.Join(notes, ", ")))
		}
	}
	out := strings.Join(s.lines, "\n")
	s.lines = nil
	return out
}

var frameKinds = map[string]wire.FrameKind{"token": wire.FrameToken, "data": wire.FrameData, "commit": wire.FrameCommit, "join": wire.FrameJoin}

var states = map[string]totem.State{"Gather": totem.Gather, "Commit": totem.Commit, "Recovery": totem.Recovery, "Operational": totem.Operational}

// End implements script.Player: what the script left broken heals.
func (s *player) End() {
	s.c.Heal()
	s.c.Settle(2 * time.Second)
}

// Do implements script.Player.
func (s *player) Do(line string) {
	words := strings.Fields(line)
	number := func(i int) int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	duration := func(i int) time.Duration {
		d, err := time.ParseDuration(words[i])
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		return d
	}
	node := func(i int) int { return int(words[i][0] - 'A') }
	switch words[0] {
	case "profile":
		if words[1] == "hold" {
			s.c.Profile.Hold = time.Millisecond
		}
	case "start":
		for range number(1) {
			s.c.Join()
		}
	case "join":
		s.c.Join()
	case "send":
		m := s.c.Members[node(1)]
		s.c.Load.Large = 0
		if words[len(words)-1] == "large" {
			s.c.Load.Large = 1
		}
		for range number(2) {
			m.Send(len(words) > 3 && words[3] == "safe")
		}
	case "run":
		s.c.For(duration(1))
	case "settle":
		from := s.c.Net.Now()
		if !s.c.Net.RunUntil(from.Add(5*time.Second), s.c.OneRing) {
			s.t.Fatal("no ring")
		}
		took := s.c.Net.Now().Sub(from)
		s.c.For(5 * time.Millisecond)
		s.lines = append(s.lines, fmt.Sprintf("one ring after %v", took.Round(time.Millisecond)))
	case "lose":
		s.lose[frameKinds[words[1]]] = number(2)
	case "until":
		m, st := s.c.Members[node(1)], states[words[2]]
		if !s.c.Net.RunUntil(s.c.Net.Now().Add(time.Second), func() bool { return m.Protocol.State() == st }) {
			s.t.Fatalf("%s: not within a second", line)
		}
	case "crash":
		s.c.Crash(node(1))
		s.stats[node(1)] = totem.Stats{}
	case "restart":
		s.c.Restart(node(1))
	case "leave":
		s.c.Leave(node(1))
		s.stats[node(1)] = totem.Stats{}
	case "pause":
		s.c.Pause(node(1))
	case "resume":
		s.c.Resume(node(1))
	case "split":
		side := 0
		sides := make([]int, len(s.c.Members))
		for i := range words[1:] {
			if words[i+1] == "|" {
				side++
			} else {
				sides[node(i+1)] = side
			}
		}
		for i := range sides {
			for j := range sides {
				if sides[i] != sides[j] {
					s.c.Net.Cut(i, j)
				}
			}
		}
	case "mend":
		s.c.Net.MendAll()
	default:
		s.t.Fatalf("unknown command: %s", line)
	}
}
