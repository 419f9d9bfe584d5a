package cluster

import (
	"encoding/json"
	goflag "flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutate = goflag.Bool("mutate", false, "run TestMutations")

// A mutation is one line of testdata/judge_mutations.txt: what it leaves out, the file, the text that goes, the text that
// comes.
func mutations(t *testing.T) [][4]string {
	text, err := os.ReadFile("testdata/judge_mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list [][4]string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, " ;; ")
		if len(parts) != 4 {
			t.Fatalf("no mutation: %s", line)
		}
		list = append(list, [4]string(parts))
	}
	return list
}

// Each mutation still fits the sources: its text stands there once.
func TestMutationsFit(t *testing.T) {
	for _, m := range mutations(t) {
		source, err := os.ReadFile(m[1])
		if err != nil || strings.Count(string(source), m[2]) != 1 {
			t.Errorf("%s: %q stands %d times in %s (%v)", m[0], m[2], strings.Count(string(source), m[2]), m[1], err)
		}
	}
}

// The tables of judge and of the quorums fail with every mutation: no rule of them is without a row.
func TestMutations(t *testing.T) {
	if !*mutate {
		t.Skip("builds the package once for each mutation, some minutes in all: go test -run TestMutations -mutate ./cluster")
	}
	for _, m := range mutations(t) {
		t.Run(m[0], func(t *testing.T) {
			source, err := os.ReadFile(m[1])
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, m[1])
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), m[2], m[3], 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			here, err := filepath.Abs(m[1])
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {here: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "test", "-short", "-vet=off", "-count=1", "-overlay", file, "-run", "^Test(Judge|Quorum|QuorumOfTwoHalves|Seated|SeatedAgain|Unseated)$", ".")
			out, err := cmd.CombinedOutput()
			switch {
			case err == nil:
				t.Error("no table fails")
			case !strings.Contains(string(out), "--- FAIL"):
				t.Errorf("the mutation does not build: %s", out)
			}
		})
	}
}
