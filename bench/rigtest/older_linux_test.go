package rigtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
)

// older are the commits whose libraries today's has to get on with: the last one before the protocols' faults were
// mended, and the last release before what is in flight was bounded. CI takes the first.
var older = [...]string{"094c402", "aea04fc"}

// A member of an older commit and one of this one are on one network that loses 2 % of the packets.
// Everything arrives at both, and once both are in a ring, no other view comes after the first second.
func TestOlderMember(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an older commit: make rig-test does that")
	}
	build(t, rig.Bridge, 2, rig.Options{Loss: 0.02}) // or skip, before the long part
	commits := older[:]
	if os.Getenv("CI") != "" {
		commits = commits[:1]
	}
	for _, commit := range commits {
		t.Run(commit, func(t *testing.T) { besideOlder(t, buildOlder(t, commit)) })
	}
}

func besideOlder(t *testing.T, program string) {
	for _, protocol := range []string{"nack", "hybrid", "totem"} {
		t.Run(protocol, func(t *testing.T) {
			const messages, pause = 150_000, 2 * time.Millisecond // three seconds, so that late views would be seen
			r := build(t, rig.Bridge, 2, rig.Options{Loss: 0.02})
			o := member.Order{URI: overUDP, Protocol: protocol, Members: 2, Messages: messages, Pause: pause}
			first := startProgram(t, r, 0, program, o)
			o.Number = 1
			second := start(t, r, 1, o)
			all := converse(t, []*proc.Child{first, second})
			naks := uint64(0)
			for i, d := range all {
				want := []uint64{messages, messages}
				if protocol != "totem" {
					want[i] = 0
				}
				if d.Error != "" || d.Wrong > 0 || d.Lost > 0 || !slices.Equal(d.Received, want) {
					t.Errorf("member %d: %+v, want %v", i, d, want)
				}
				if time.Duration(d.TalkMS)*time.Millisecond < 2*member.Settled {
					t.Errorf("member %d sent for %d ms only: no late view could be seen", i, d.TalkMS)
				}
				if protocol == "totem" && (d.Views == 0 || d.LateViews > 0) {
					t.Errorf("member %d: %d views, %d of them late", i, d.Views, d.LateViews)
				}
				naks += d.NAKs
				t.Logf("member %d: %d views, %d NAKs, %d repairs", i, d.Views, d.NAKs, d.Repairs)
			}
			if protocol == "totem" && all[0].Sequence != all[1].Sequence {
				t.Error("the two did not deliver the same sequence")
			}
			if protocol == "nack" && naks == 0 {
				t.Error("nothing was lost: the switch does not lose")
			}
		})
	}
}

// buildOlder builds package member against the library of an older commit, whose source comes from
// git. It skips where git does not have that commit: a shallow clone, or no clone.
func buildOlder(t *testing.T, commit string) string {
	t.Helper()
	const top = "../.."
	if out, err := exec.Command("git", "-C", top, "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("commit %s is not in this copy's history: %v %s", commit, err, out)
	}
	tree := t.TempDir()
	run := func(dir, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	archive := filepath.Join(tree, "older.tar")
	run(top, "git", "archive", "--format=tar", "-o", archive, commit)
	run(tree, "tar", "-xf", archive)
	// In a folder of the library's module, whichever others that commit has.
	const command = "package main\n\nimport \"github.com/activeblaze/blaze/beside/member\"\n\nfunc main() { member.Main() }\n"
	files := map[string]string{"beside/main.go": command}
	for _, name := range []string{"member.go", "talker.go"} {
		source, err := os.ReadFile(filepath.Join("member", name))
		if err != nil {
			t.Fatal(err)
		}
		files["beside/member/"+name] = string(source)
	}
	for file, text := range files {
		file = filepath.Join(tree, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(tree, "older")
	began := time.Now()
	run(tree, "go", "build", "-o", program, "./beside")
	t.Logf("commit %s is built, in %v", commit, time.Since(began).Round(time.Second))
	return program
}
