package selector

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "make testdata/golden.txt anew, after the model has agreed")

const (
	goldenFile      = "testdata/golden.txt"
	goldenMessages  = 20
	goldenSelectors = 500
)

// The verdicts on 10,000 pairs of a selector and a message, and the steps that they took, are those that were once
// found: on every platform, and in every version. A message is a line of names with kinds and values. A selector is a
// line of a verdict for each message, the steps of all together, and its text.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	file, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var messages []message
	pairs := 0
	for i, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		head, rest, _ := strings.Cut(line, "\t")
		switch head {
		case "#":
		case "message":
			messages = append(messages, readMessage(t, rest))
		default:
			steps, text, _ := strings.Cut(rest, "\t")
			source, err := strconv.Unquote(text)
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			s, err := Parse(source, JMS())
			if err != nil {
				t.Fatalf("line %d: %s: %v", i+1, source, err)
			}
			verdicts, total := verdictsOf(s, messages)
			if verdicts != head || strconv.Itoa(total) != steps {
				t.Errorf("line %d: %s\nis %s after %d steps,\nwas %s after %s", i+1, source, verdicts, total, head, steps)
			}
			pairs += len(head)
		}
	}
	if pairs != goldenMessages*goldenSelectors {
		t.Errorf("%d pairs", pairs)
	}
}

// verdictsOf is a letter for each message, and all steps together.
func verdictsOf(s *Selector, messages []message) (verdicts string, total int) {
	for _, m := range messages {
		v, steps := s.Eval(m)
		verdicts += string("FUT"[v])
		total += steps
	}
	return verdicts, total
}

func writeGolden(t *testing.T) {
	g := &generator{chance: 20261130}
	var out strings.Builder
	out.WriteString("#\tMade by go test ./selector -run TestGolden -update. See there.\n")
	for range goldenMessages {
		m := g.message()
		g.messages = append(g.messages, m)
		out.WriteString("message" + writtenMessage(m) + "\n")
	}
	for made := 0; made < goldenSelectors; {
		x := g.condition(g.intn(5))
		s, err := Parse(x.text, JMS())
		if err != nil {
			t.Fatalf("%s: %v", x.text, err)
		}
		for _, m := range g.messages {
			if got, _ := s.Eval(m); got != x.eval(m).(Truth) {
				t.Fatalf("%s on %v is %v, by the model %v", x.text, m, got, x.eval(m))
			}
		}
		verdicts, total := verdictsOf(s, g.messages)
		if len(x.text) > 200 || len(strings.Trim(verdicts, verdicts[:1])) == 0 && !g.one(10) {
			continue // what is alike for all messages shows little
		}
		fmt.Fprintf(&out, "%s\t%d\t%s\n", verdicts, total, strconv.Quote(x.text))
		made++
	}
	if err := os.WriteFile(goldenFile, []byte(out.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// writtenMessage is m for the file, in the order of its names.
func writtenMessage(m message) string {
	s := ""
	names := []string{}
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch v := m[name]; v.kind {
		case boolKind:
			s += fmt.Sprintf("\t%s bool %d", name, v.num)
		case intKind:
			s += fmt.Sprintf("\t%s int %d", name, v.int())
		case floatKind:
			s += fmt.Sprintf("\t%s float %s", name, strconv.FormatFloat(v.float(), 'x', -1, 64))
		case textKind:
			s += fmt.Sprintf("\t%s text %s", name, strconv.Quote(v.text))
		default:
			s += fmt.Sprintf("\t%s other -", name)
		}
	}
	return s
}

func readMessage(t *testing.T, line string) message {
	m := message{}
	for _, field := range strings.Split(line, "\t") {
		parts := strings.SplitN(field, " ", 3)
		if len(parts) != 3 {
			t.Fatalf("%q is no field of a message", field)
		}
		var err error
		v := Other()
		switch parts[1] {
		case "bool":
			v = Bool(parts[2] == "1")
		case "int":
			var i int64
			i, err = strconv.ParseInt(parts[2], 10, 64)
			v = Int(i)
		case "float":
			var f float64
			f, err = strconv.ParseFloat(parts[2], 64)
			v = Float(f)
		case "text":
			var s string
			s, err = strconv.Unquote(parts[2])
			v = Text(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		m[parts[0]] = v
	}
	return m
}
