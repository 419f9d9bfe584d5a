package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/local"
)

// inspecting is a shell in which programs show themselves, in a directory of their own.
func inspecting(t *testing.T) *shell {
	t.Helper()
	if !local.Supported {
		t.Skip("SKIPPED: this system has no sockets that tell whose a client is")
	}
	s := newShell(t)
	dir, err := os.MkdirTemp("", "blaze") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.env = append(s.env, "XDG_RUNTIME_DIR="+dir)
	return s
}

// there waits until the script's first program shows itself.
const there = `until blaze inspect >/dev/null 2>&1; do sleep 0.02; done; `

func TestInspect(t *testing.T) {
	t.Parallel()
	s := inspecting(t)
	out, stderr, status := s.run(`BLAZE_INSPECT=local blaze sub -q --name desk 'prices.>' >/dev/null & ` + there +
		`blaze pub -q --name feed --wait-receivers 1 --count 10 prices.acme x; blaze inspect; blaze inspect $!; echo PID $!; kill $!`)
	if status != 0 || strings.Count(out, "\n  prices.>  topic  0       4096  0 %   -       10 ") != 2 || strings.Count(out, "desk  ") != 2 {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
	out, stderr, _ = s.run(`BLAZE_INSPECT=local blaze sub -q --name desk 'prices.>' >/dev/null & ` + there + `blaze inspect --json; kill $!`)
	var v blaze.Inspection
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Channel.Name != "desk" || len(v.Subscriptions) != 1 || len(lines(out)) != 1 {
		t.Errorf("%v\n%s%s", err, out, stderr)
	}
}

// A member of a cluster shows itself to the others without being asked to.
func TestInspectMember(t *testing.T) {
	t.Parallel()
	s := inspecting(t)
	for _, c := range []struct{ args, want string }{{"ann", "ann"}, {"--all", "ann bob"}} {
		out, stderr, status := s.run(`blaze inbox -q --name ann >/dev/null & blaze inbox -q --name bob >/dev/null & blaze members --wait 2 >/dev/null; blaze inspect -q ` + c.args + `; kill $(jobs -p)`)
		if got := strings.Count(out, "  started  "); status != 0 || got != len(strings.Fields(c.want)) {
			t.Errorf("inspect %s: status %d\n%s%s", c.args, status, out, stderr)
		}
		for _, name := range strings.Fields(c.want) {
			if !strings.Contains("\n"+out, "\n"+name+"  ") {
				t.Errorf("inspect %s lacks %s:\n%s", c.args, name, out)
			}
		}
	}
}

// What a process wrote last is there after SIGKILL.
func TestInspectLast(t *testing.T) {
	t.Parallel()
	s := inspecting(t)
	out, stderr, status := s.run(`BLAZE_INSPECT=local blaze sub -q --name desk 'prices.>' >/dev/null & ` + there +
		`sleep 1.2; kill -KILL $!; wait $! 2>/dev/null; blaze inspect -q $!; echo $?; blaze inspect --last $!`)
	if status != 0 || !strings.HasPrefix(out, "3\ndesk  ") || !strings.Contains(out, " ago)\n") {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
}

func TestInspectMistakes(t *testing.T) {
	t.Parallel()
	s := inspecting(t)
	for _, c := range []struct {
		args   string
		status int
		say    string
	}{
		{"inspect", 3, "BLAZE_INSPECT=local"},
		{"inspect 999999", 3, "process 999999 shows no channel"},
		{"inspect --timeout 100ms nobody", 3, `no member "nobody"`},
		{"inspect a b", 2, `unexpected "b"`},
		{"inspect --all ann", 2, "--all is every member"},
		{"inspect --last ann", 2, "want a PID"},
		{"inspect --all", 3, "nobody else is in"},
		{"loss --last", 3, "no channel of this user"},
	} {
		out, stderr, status := s.run("blaze " + c.args)
		if status != c.status || out != "" || !strings.Contains(stderr, c.say) || len(lines(stderr)) != 1 {
			t.Errorf("%s: status %d\n%s%s", c.args, status, out, stderr)
		}
	}
}

// Losses are summed up by stream and reason.
func TestLossesOf(t *testing.T) {
	at := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	from := blaze.MemberRef{Member: blaze.MemberID{1}, Name: "feed"}
	v := &blaze.Inspection{Channel: blaze.ChannelInfo{ID: blaze.MemberID{2}, Name: "desk"}, Losses: []blaze.LossInfo{
		{At: at, From: from, Stream: 7, First: 1, Last: 10, Reason: "timed out"},
		{At: at.Add(time.Second), From: from, Stream: 7, First: 20, Last: 20, Reason: "timed out"},
		{At: at.Add(2 * time.Second), From: from, Stream: 7, First: 30, Last: 31, Reason: "slow consumer"},
		{At: at, From: from, Stream: 8, First: 5, Last: 5, Reason: "timed out"},
	}}
	all := lossesOf(v)
	if len(all) != 3 || all[0].Messages != 11 || all[0].Reports != 2 || !all[0].last.Equal(at.Add(time.Second)) || all[1].Messages != 2 || all[2].Stream != 8 {
		t.Errorf("%+v", all)
	}
}

func TestInspectJSON(t *testing.T) {
	t.Parallel()
	s := inspecting(t)
	out, stderr, status := s.run(`BLAZE_INSPECT=local blaze inbox -q --name desk >/dev/null & ` + there + `blaze inspect --json; kill $!`)
	var v map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 {
		t.Fatalf("%v, status %d\n%s%s", err, status, out, stderr)
	}
	for field := range v {
		v[field] = json.RawMessage("0") // what it holds is the library's: its own golden file has it
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "inspect", string(b)+"\n")
	out, stderr, status = s.run(`BLAZE_TEST_DROP=0.3 BLAZE_INSPECT=local blaze sub -q --name desk 'prices.>' >/dev/null & ` + there +
		`blaze pub -q --name feed --protocol besteffort --wait-receivers 1 --rate 2000 --count 400 prices.acme x; sleep 0.2; blaze loss --json; kill $!`)
	var row lossRow
	if err := json.Unmarshal([]byte(lines(out)[0]), &row); err != nil || row.Messages < 40 || row.Messages > 250 {
		t.Fatalf("%v, status %d\n%s%s", err, status, out, stderr)
	}
	row.Messages, row.Reports = 0, 0
	b, err = json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "loss", string(b)+"\n")
}
