package group

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/script"
	"github.com/activeblaze/blaze/wire"
)

// TestPairScripts runs the scripts in testdata/pairs. What comes of a step is what handlers are given, and how calls
// end. Datagrams take no time. A message is named by its text.
//
// Commands: start n; run 10ms; inbox B orders; send A B orders hello; request A B orders hello (each is answered with
// its text); consume B work; close B work; enqueue A work x; done B x; fail B x (its handler returns an error);
// deaf B; hear B; remove A B (A removes B); back A B (A takes B back); notice A B (A reads that B had removed it).
func TestPairScripts(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	script.RunIn(t, "testdata/pairs", update, func(t *testing.T) script.Player { return &pairPlayer{t: t, begun: map[string]Work{}} })
}

type pairPlayer struct {
	t     *testing.T
	r     *pairRig
	lines []string
	texts map[uint64]string // of calls, by member and number
	begun map[string]Work   // by member and text
	gone  map[string]*entry // by member and the one that it has removed
	dead  []uint64          // sessions that the other side declared dead, by member
}

func (s *pairPlayer) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *pairPlayer) start(n int) {
	s.r = newPairRig(s.t, n, 256)
	s.texts, s.gone, s.dead = map[uint64]string{}, map[string]*entry{}, make([]uint64, n)
	for i, m := range s.r.m {
		name := string(rune('A' + i))
		m.take = func(item *Item) (Verdict, wire.RefusalReason) {
			s.say("%s takes %s of %s", name, item.Payload, s.name(item.From))
			if item.Wanted {
				if err := m.p.Reply(s.r.now, item.From, item.Call, item.Kind, item.Payload); err != nil {
					s.t.Fatal(err)
				}
			}
			return Take, 0
		}
		m.begin = func(w *Work) {
			mark := ""
			if w.Redelivered {
				mark = ", marked"
			}
			s.say("%s begins %s of %s%s", name, w.Payload, s.name(w.From), mark)
			s.begun[name+string(w.Payload)] = *w
		}
		m.ended = func(e *End) {
			why := [...]string{Answered: "ended well", Refused: "was refused", Gone: "failed: no such member", Cancelled: "was cancelled", Closed: "failed: closed", NoReply: "has no reply"}[e.Why]
			if e.Why == Refused {
				why += ": " + [...]string{wire.RefusedNoHandler: "no handler", wire.RefusedNoRoom: "no room", wire.RefusedNotActive: "not active", wire.RefusedStopping: "stopping"}[e.Reason]
			}
			if e.Unknown {
				why += ", it may have arrived"
			}
			s.say("%s: %s %s", name, s.texts[uint64(i)<<32|e.Call], why)
		}
	}
}

func (s *pairPlayer) name(id wire.MemberID) string { return string(rune('A' - 1 + id[0])) }

// Output implements script.Player.
func (s *pairPlayer) Output() string {
	for i, m := range s.r.m {
		if n := m.p.pairs.stats.SessionsDead; n > s.dead[i] {
			s.say("(%s: a session was dead)", string(rune('A'+i)))
			s.dead[i] = n
		}
	}
	out := strings.Join(s.lines, "\n")
	s.lines = nil
	return out
}

// End implements script.Player: nothing is left to do.
func (s *pairPlayer) End() {
	for _, m := range s.r.m {
		if m.deaf {
			return // it is as if it had crashed
		}
	}
	s.r.idle()
}

// Do implements script.Player.
func (s *pairPlayer) Do(line string) {
	words := strings.Fields(line)
	at := func(i int) int { return int(words[i][0] - 'A') }
	member := func(i int) *duoMember { return s.r.m[at(i)] }
	if words[0] == "start" {
		s.start(int(words[1][0] - '0'))
		return
	}
	now := s.r.now
	call := func(from, to int, where, text string) *Call {
		c := s.r.call(from, to, where, []byte(text))
		s.texts[uint64(from)<<32|c.Number] = text
		return c
	}
	switch words[0] {
	case "run":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.r.pass(d, min(d, time.Millisecond))
		return
	case "inbox":
		member(1).p.HandleInbox(words[2], member(1))
	case "send":
		member(1).p.Send(now, call(at(1), at(2), words[3], words[4]))
	case "request":
		member(1).p.Request(now, call(at(1), at(2), words[3], words[4]))
	case "consume":
		m := member(1)
		if err := m.p.HandleQueue(now, words[2], m, 1, 10, 1<<20); err != nil {
			s.t.Fatal(err)
		}
		m.p.Consume(now, words[2], 1, 0)
		s.r.announce()
	case "close":
		member(1).p.CloseQueue(now, words[2])
		member(1).p.Consume(now, words[2], 0, 0)
		s.r.announce()
	case "enqueue":
		member(1).p.Enqueue(now, call(at(1), at(1), words[2], words[3]))
	case "done", "fail":
		w, ok := s.begun[words[1]+words[2]]
		if !ok {
			s.t.Fatalf("%s has not begun %s", words[1], words[2])
		}
		delete(s.begun, words[1]+words[2])
		result := wire.ResultHandled
		if words[0] == "fail" {
			result = wire.ResultError
		}
		member(1).p.Done(now, w.Queue, w.From, w.Call, w.Attempt, result)
	case "deaf", "hear":
		member(1).deaf = words[0] == "deaf"
	case "remove":
		m := member(1)
		e := m.p.find(member(2).p.cfg.Self)
		m.p.pairs.gone(now, e, failed)
		dropPairEntry(m.p, e)
		s.gone[words[1]+words[2]] = e
	case "back":
		e := s.gone[words[1]+words[2]]
		setPairEntry(member(1).p, &entry{id: e.id, endpoint: e.endpoint, record: e.record, lastSession: e.lastSession, floor: e.floor})
	case "notice":
		m := member(1)
		if e := m.p.find(member(2).p.cfg.Self); e != nil {
			m.p.pairs.removedThere(e, m.p.incarnation)
		}
		m.p.incarnation++
		for _, o := range s.r.m { // its next datagram says so
			if e := o.p.find(m.p.cfg.Self); e != nil {
				e.incarnation = m.p.incarnation
			}
		}
		for _, e := range m.p.table.order {
			m.p.pairs.returned(now, e)
		}
	default:
		s.t.Fatalf("no command %q", line)
	}
	s.r.exchange()
}
