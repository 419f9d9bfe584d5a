// Package script runs the scripts in a package's testdata: a core, or a small ring of cores, driven
// step by step in virtual time. A script is a list of steps with an empty line between them. A step
// is some commands, a line of ----, and what comes of them. A line that begins with # is a remark.
package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Player runs the commands of one script.
type Player interface {
	// Do runs one command.
	Do(line string)
	// Output returns what came of the commands since the last call, one line for each event.
	Output() string
	// End is called after the last step.
	End()
}

// Run runs each script in testdata/*.txt with a Player of its own, as a test of its own. With update
// it writes what comes of the commands into the scripts.
func Run(t *testing.T, update bool, start func(t *testing.T) Player) {
	RunIn(t, "testdata", update, start)
}

// RunIn is Run for the scripts in another directory.
func RunIn(t *testing.T, dir string, update bool, start func(t *testing.T) Player) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { run(t, file, update, start(t)) })
	}
}

func run(t *testing.T, file string, update bool, p Player) {
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, step := range strings.Split(strings.TrimSpace(string(in)), "\n\n") {
		commands, want, _ := strings.Cut(step+"\n", "----\n")
		for line := range strings.Lines(commands) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				p.Do(line)
			}
		}
		got := p.Output()
		if want = strings.TrimSpace(want); got != want && !update {
			t.Errorf("%s, step %d:\n%sgot:\n%s\nwant:\n%s", file, i+1, commands, got, want)
		}
		out = append(out, strings.TrimSuffix(commands+"----\n"+got, "\n")+"\n")
	}
	p.End()
	if update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
