package jmstest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kind is what an entry of a journal is about.
type kind string

const (
	begun        kind = "begun"        // N of Who is about to be sent
	acknowledged kind = "acknowledged" // its Send has returned nil, or the Commit after it
	got          kind = "got"          // By has received it
	settled      kind = "settled"      // and its acknowledgement, or Commit, has returned nil
	over         kind = "over"         // a connection of Who has ended: Text
)

// entry is a line of a journal.
type entry struct {
	Kind        kind
	Who         string `json:",omitempty"` // the sender: one connection of a producer
	N           int    `json:",omitempty"` // of its messages, from 1
	Priority    int    `json:",omitempty"`
	By          string `json:",omitempty"` // the consumer: one connection of it
	Redelivered bool   `json:",omitempty"`
	Count       int    `json:",omitempty"` // JMSXDeliveryCount
	Text        string `json:",omitempty"`
}

// readJournals reads all journals of a folder. Each one's entries are in its order.
func readJournals(t *testing.T, dir string) (all []entry) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break // the end, or a line that a SIGKILL has cut: what it is about has not gone on
			}
			var e entry
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			all = append(all, e)
		}
		_ = f.Close()
	}
	return all
}

// message names a message.
type message struct {
	sender string
	n      int
}

func (m message) String() string { return fmt.Sprintf("%s %d", m.sender, m.n) }

// verdict is what journals show.
type verdict struct {
	sent, received, redelivered, doubtful, settled int
	ends                                           []string // of connections
	wrong                                          []string
}

func (v *verdict) String() string {
	return fmt.Sprintf("%d messages acknowledged, %d received, %d of them by redeliveries, %d in doubt, %d settled for sure; %d connections ended",
		v.sent, v.received, v.redelivered, v.doubtful, v.settled, len(v.ends))
}

// judge holds that every message whose Send has returned nil was received; that no message was received twice unmarked, nor
// marked without a count; that none was settled twice, or comes after it was settled; that each consumer has those of one sender and priority in their
// order, redelivered ones aside; and that nothing was received that nobody sent.
func judge(entries []entry) *verdict {
	v := &verdict{}
	type story struct {
		begun, sent, got, unmarked, settled int
		count, final                        int // highest delivery count; that of the receipt that was settled
	}
	all := map[message]*story{}
	of := func(e *entry) *story {
		m := message{e.Who, e.N}
		if all[m] == nil {
			all[m] = &story{}
		}
		return all[m]
	}
	type line struct {
		by, who  string
		priority int
	}
	last := map[line]int{}
	bad := func(format string, args ...any) { v.wrong = append(v.wrong, fmt.Sprintf(format, args...)) }
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case begun:
			of(e).begun++
		case acknowledged:
			of(e).sent++
			v.sent++
		case settled:
			s := of(e)
			s.settled++
			s.final = max(s.final, e.Count)
			v.settled++
		case over:
			v.ends = append(v.ends, e.Who+": "+e.Text)
		case got:
			s := of(e)
			s.got++
			s.count = max(s.count, e.Count)
			if e.Redelivered != (e.Count > 1) {
				bad("%v comes to %s with count %d, marked redelivered %v", message{e.Who, e.N}, e.By, e.Count, e.Redelivered)
			}
			if e.Redelivered {
				v.redelivered++
				continue
			}
			s.unmarked++
			at := line{e.By, e.Who, e.Priority}
			if e.N <= last[at] {
				bad("%v comes to %s behind %d", message{e.Who, e.N}, e.By, last[at])
			}
			last[at] = e.N
		}
	}
	lost := map[string][]int{}
	for m, s := range all {
		switch {
		case s.begun == 0:
			bad("%v was received, and nobody has sent it", m)
		case s.sent > 0 && s.got == 0:
			lost[m.sender] = append(lost[m.sender], m.n)
		case s.unmarked > 1:
			bad("%v comes %d times unmarked", m, s.unmarked)
		case s.settled > 1:
			bad("%v was settled %d times", m, s.settled)
		case s.settled > 0 && s.count > s.final:
			bad("%v was settled at its delivery %d, and comes again as delivery %d", m, s.final, s.count)
		}
		if s.begun > s.sent {
			v.doubtful++
		}
		if s.got > 0 {
			v.received++
		}
	}
	for sender, numbers := range lost {
		slices.Sort(numbers)
		bad("of %s %d messages are lost: %v", sender, len(numbers), numbers)
	}
	slices.SortFunc(v.wrong, func(a, b string) int { return cmp.Compare(a, b) })
	return v
}

// report fails the test for what is wrong.
func (v *verdict) report(t *testing.T) {
	t.Helper()
	t.Log(v)
	for i, text := range v.wrong {
		if i == 10 {
			t.Errorf("and %d things more are wrong", len(v.wrong)-i)
			break
		}
		t.Error(text)
	}
}

// What judge is for shows in journals made by hand, each with one thing wrong.
func TestJudge(t *testing.T) {
	send := func(n int) []entry {
		return []entry{{Kind: begun, Who: "s", N: n, Priority: 4}, {Kind: acknowledged, Who: "s", N: n, Priority: 4}}
	}
	get := func(by string, n, count int) []entry {
		return []entry{{Kind: got, Who: "s", N: n, Priority: 4, By: by, Count: count, Redelivered: count > 1}}
	}
	done := func(by string, n, count int) []entry {
		return []entry{{Kind: settled, Who: "s", N: n, By: by, Count: count}}
	}
	for _, row := range []struct {
		name  string
		all   [][]entry
		wrong string // "": nothing
	}{
		{"all is well", [][]entry{send(1), send(2), get("a", 1, 1), get("a", 2, 1), done("a", 1, 1), done("a", 2, 1)}, ""},
		{"redelivered", [][]entry{send(1), send(2), get("a", 2, 1), get("b", 1, 2), get("a", 1, 3), done("a", 1, 3)}, ""},
		{"in doubt, and not there", [][]entry{send(1)[:1]}, ""},
		{"in doubt, and there", [][]entry{send(1)[:1], get("a", 1, 1)}, ""},
		{"two consumers", [][]entry{send(1), send(2), get("a", 2, 1), get("b", 1, 1)}, ""},
		{"lost", [][]entry{send(1), send(2), get("a", 1, 1)}, "of s 1 messages are lost: [2]"},
		{"twice", [][]entry{send(1), get("a", 1, 1), get("b", 1, 1)}, "s 1 comes 2 times unmarked"},
		{"behind", [][]entry{send(1), send(2), get("a", 2, 1), get("a", 1, 1)}, "s 1 comes to a behind 2"},
		{"settled twice", [][]entry{send(1), get("a", 1, 1), get("b", 1, 2), done("a", 1, 1), done("b", 1, 2)}, "s 1 was settled 2 times"},
		{"again after it was settled", [][]entry{send(1), get("a", 1, 1), get("b", 1, 2), done("a", 1, 1)}, "s 1 was settled at its delivery 1, and comes again as delivery 2"},
		{"invented", [][]entry{get("a", 1, 1)}, "s 1 was received, and nobody has sent it"},
		{"marked without a count", [][]entry{send(1), {{Kind: got, Who: "s", N: 1, By: "a", Count: 1, Redelivered: true}}}, "s 1 comes to a with count 1, marked redelivered true"},
	} {
		if have := strings.Join(judge(slices.Concat(row.all...)).wrong, "; "); have != row.wrong {
			t.Errorf("%s: %q, want %q", row.name, have, row.wrong)
		}
	}
}
