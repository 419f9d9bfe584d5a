package blaze

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var updateCounters = flag.Bool("update-counters", false, "write docs/reference/counters.md anew")

// Every number of Stats has its description where it is declared, and no description says nothing.
func TestEveryNumberIsDescribed(t *testing.T) {
	var look func(in reflect.Type, path string)
	look = func(in reflect.Type, path string) {
		for i := range in.NumField() {
			f := in.Field(i)
			name, help, when := path+f.Name, f.Tag.Get("help"), f.Tag.Get("when")
			switch f.Type.Kind() {
			case reflect.String, reflect.Slice, reflect.Uint8: // words, Engines, Limits and the State
				continue
			case reflect.Struct:
				if help == "" {
					look(f.Type, name+".")
					continue
				}
			}
			if why := poor(f.Name, help, when); why != "" {
				t.Errorf("%s: %s", name, why)
			}
			if kind := f.Tag.Get("kind"); kind != "id" && f.Tag.Get("unit") == "" || kind != "" && kind != "gauge" && kind != "id" {
				t.Errorf("%s: kind %q and unit %q", name, kind, f.Tag.Get("unit"))
			}
		}
	}
	look(reflect.TypeFor[Stats](), "")
	look(reflect.TypeFor[ShardStats](), "Shard.")
}

func poor(name, help, when string) string {
	for _, text := range []string{help, when} {
		if text == "" || strings.EqualFold(strings.ReplaceAll(text, " ", ""), name) {
			return fmt.Sprintf("a text that says nothing: %q", text)
		}
		if strings.ContainsAny(text, "`*|") || strings.TrimSpace(text) != text {
			return fmt.Sprintf("a text with marks that belong to a document: %q", text)
		}
	}
	return ""
}

func TestPoor(t *testing.T) {
	for _, row := range []struct {
		help, when string
		poor       bool
	}{{"things", "with load", false}, {"DataReceived", "with load", true}, {"data received", "with load", true}, {"things", "", true}, {"", "x", true}, {"`A`", "x", true}} {
		if got := poor("DataReceived", row.help, row.when) != ""; got != row.poor {
			t.Errorf("poor(%q, %q) is %v", row.help, row.when, got)
		}
	}
}

// Names are stable paths: lower snake case, unique, sorted; times end in their unit.
func TestMetricNames(t *testing.T) {
	all := Metrics()
	ok := regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	for i, m := range all {
		if !ok.MatchString(m.Name) || strings.HasSuffix(m.Name, "_ns") != (m.Unit == "ns") || m.Kind != "counter" && m.Kind != "gauge" {
			t.Errorf("%+v", m)
		}
		if i > 0 && all[i-1].Name >= m.Name {
			t.Errorf("%s comes after %s", m.Name, all[i-1].Name)
		}
	}
	for _, name := range []string{"nack.missed", "nack.drops.no_buffer", "engine.longest_turn_ns", "group.gate_ns", "group.pair_bytes", "xdp.filter.no_socket", "cluster.ring.tokens", "cluster.entries", "buffers.free", "pauses", "totem.reasons.token_lost", "udp.recv_calls"} {
		if !slices.ContainsFunc(all, func(m Metric) bool { return m.Name == name }) {
			t.Errorf("there is no %s", name)
		}
	}
}

// filled is Stats in which every number is another one, but for what is nothing to compute with.
func filled() (s Stats, numbers int) {
	n := uint64(0)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Uint64:
			n++
			v.SetUint(n)
		case reflect.Int, reflect.Int64:
			n++
			v.SetInt(int64(n))
		case reflect.Bool:
			n++
			v.SetBool(true)
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).Tag.Get("kind") != "id" {
					fill(v.Field(i))
				}
			}
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		}
	}
	fill(reflect.ValueOf(&s).Elem())
	s.State, s.Transport, s.Mode = Started, "udp", "sockets"
	return s, int(n)
}

// All has each number once, and the JSON has it at the path that its name is.
func TestAllAndJSONAgree(t *testing.T) {
	s, numbers := filled()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for m, v := range s.All() {
		seen++
		at := any(root)
		for _, part := range strings.Split(m.Name, ".") {
			at = at.(map[string]any)[part]
		}
		if b, ok := at.(bool); ok && b {
			at = 1.0
		}
		if at != v {
			t.Errorf("%s is %v, and %v in JSON", m.Name, v, at)
		}
	}
	if seen != len(Metrics()) || seen != numbers {
		t.Errorf("%d numbers of %d", seen, numbers)
	}
	if root["state"] != "started" || root["engines"] != nil {
		t.Errorf("%v", root)
	}
}

// One engine is its own sum; several are listed beside the sum. Groups that this member has not are left out.
func TestStatsJSONLeavesOutWhatIsNotThere(t *testing.T) {
	var s Stats
	e := &EngineStats{}
	e.Nack.Drops[0] = 3
	s.add(e)
	text, _ := json.Marshal(s)
	if got := string(text); strings.Contains(got, "engines") || strings.Contains(got, "totem") || !strings.Contains(got, `"drops":{"stale":3,"window":0,`) {
		t.Errorf("%s", got)
	}
	s.add(e)
	s.Limits = []StreamLimit{{Stream: 7, By: LimitedByReceiver, Receiver: MemberID{1}}}
	text, _ = json.Marshal(s)
	var got struct {
		Nack    struct{ Drops struct{ Stale int } }
		Engines []struct {
			Nack struct{ Drops struct{ Stale int } }
		}
		Limits []struct{ By string }
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Nack.Drops.Stale != 6 || len(got.Engines) != 2 || got.Engines[1].Nack.Drops.Stale != 3 || got.Limits[0].By != "receiver" {
		t.Errorf("%v: %s", err, text)
	}
}

func TestStatsString(t *testing.T) {
	s := Stats{State: Started, Transport: "udp", Mode: "sockets", Pauses: 4}
	s.Engine.LongestTurn = 12 * time.Millisecond
	s.Nack.Missed, s.Nack.Drops[0] = 131, 7
	want := "channel  state started, transport udp, mode sockets, pauses 4\nengine   longest_turn 12ms\nnack     missed 131, drops.stale 7"
	if got := s.String(); got != want {
		t.Errorf("%s\nis not\n%s", got, want)
	}
	if got := fmt.Sprint(s); got != want {
		t.Errorf("printed: %s", got)
	}
	full, _ := filled()
	for _, line := range strings.Split(full.String(), "\n") {
		if len([]rune(line)) > 101 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
}

func TestStatsLogValue(t *testing.T) {
	var b strings.Builder
	s := Stats{State: Started}
	s.Nack.Drops[1], s.Engine.LongestTurn = 7, time.Second
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "stats", s)
	if got := b.String(); !strings.Contains(got, "stats.state=started stats.engine.longest_turn_ns=1s stats.nack.drops.window=7") || strings.Contains(got, "missed") {
		t.Errorf("%s", got)
	}
}

// docs/reference/counters.md is what Metrics says.
func TestCountersPage(t *testing.T) {
	const path = "docs/reference/counters.md"
	want := countersPage()
	if *updateCounters {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: go test . -run CountersPage -update-counters", path)
	}
}

// countersPage has a table for each group, in the order of Stats, with a row for each field.
func countersPage() string {
	var b strings.Builder
	b.WriteString(`# Counters

<!-- Made from the tags of the fields of Stats: go test . -run CountersPage -update-counters -->

` + "`Channel.Stats()`" + ` returns a copy of these numbers; they count from Start, those of udp and xdp from Init, and can be
read after Stop. The name is what ` + "`Metrics()`" + ` and the JSON of Stats call the number: ` + "`nack.missed`" + ` is ` + "`Nack.Missed`" + `
in Go. A counter only grows within one start. [operations.md](../operations.md#counters) says which to look at first.
`)
	titles := map[string]string{"": "Channel", "engine.": "Engine", "nack.": "BestEffort, NACK, FEC and Hybrid", "totem.": "Totem: the ring",
		"group.": "Group: members, messages between two of them, queues", "cluster.": "Cluster: the replicated state", "udp.": "UDP: sockets",
		"xdp.": "XDP: AF_XDP", "xdp.filter.": "XDP: the filter in the kernel", "shard.": "Shard: between several engines", "buffers.": "Buffers: packet memory"}
	var tables func(in reflect.Type, prefix string)
	tables = func(in reflect.Type, prefix string) {
		var rows strings.Builder
		var below []reflect.StructField
		var row func(in reflect.Type)
		row = func(in reflect.Type) {
			for i := range in.NumField() {
				f := in.Field(i)
				help, kind := f.Tag.Get("help"), f.Tag.Get("kind")
				switch {
				case help == "" && f.Type.Kind() == reflect.Struct && f.Anonymous:
					row(f.Type)
					continue
				case help == "" && f.Type.Kind() == reflect.Struct:
					below = append(below, f)
					continue
				case help == "":
					continue
				case kind == "":
					kind = "counter"
				}
				name := prefix + fieldName(f)
				if f.Type.Kind() == reflect.Array {
					var reasons []string
					for r := range f.Type.Len() {
						reasons = append(reasons, reasonName(in, f, r))
					}
					name, help = name+".REASON", help+": "+strings.Join(reasons, ", ")
				}
				fmt.Fprintf(&rows, "| `%s` | %s | %s | %s | %s |\n", name, kind, f.Tag.Get("unit"), help, f.Tag.Get("when"))
			}
		}
		row(in)
		if rows.Len() > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n| name | kind | unit | counts | grows |\n| --- | --- | --- | --- | --- |\n%s", titles[prefix], rows.String())
		}
		for _, f := range below {
			if f.Name == "Ring" { // of the cluster: as totem's
				b.WriteString("\n`cluster.ring` has the numbers of `totem`, of the ring that orders the cluster's operations.\n")
				continue
			}
			tables(f.Type, prefix+groupName(f))
		}
	}
	tables(reflect.TypeFor[Stats](), "")
	return b.String()
}
