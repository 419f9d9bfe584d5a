// Package docs has no code: its test holds the documents to what they speak of.
package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/activeblaze/blaze"
)

const root = ".."

// documents calls f with the path and the text of every document of this repository.
func documents(t *testing.T, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || e.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			f(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// columns is where a line of prose ends at the latest.
const columns = 120

// Prose ends at column 120, so that a terminal and a diff show all of it. Tables, code, and what a
// program writes between two marks may be wider.
func TestLinesEnd(t *testing.T) {
	documents(t, func(path, text string) {
		for _, n := range longLines(text) {
			t.Errorf("%s, line %d is longer than %d columns", path, n, columns)
		}
	})
}

// longLines returns the numbers of the lines of prose in text that are too long.
func longLines(text string) (numbers []int) {
	fenced, written := false, false
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			fenced = !fenced
		case strings.HasPrefix(trimmed, "<!--"):
			written = strings.Contains(trimmed, ": begin")
		case fenced, written, strings.HasPrefix(trimmed, "|"), strings.HasPrefix(line, "    "):
		case utf8.RuneCountInString(line) > columns:
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", columns+1)
	lines := []string{
		long[1:], // just fits
		long,     // 2
		"| " + long, "```", long, "```",
		long, // 7
		"    " + long,
		"<!-- figures: begin -->", long, "<!-- figures: end -->",
		"- " + long,                    // 12
		strings.Repeat("→", columns),   // columns, not bytes
		strings.Repeat("→", columns+1), // 14
	}
	if got, want := longLines(strings.Join(lines, "\n")), []int{2, 7, 12, 14}; !slices.Equal(got, want) {
		t.Errorf("long are %v, want %v", got, want)
	}
}

// A link from one document to another file of this repository leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	found := 0
	documents(t, func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	})
	if found == 0 {
		t.Error("no links found: the pattern is wrong")
	}
}

// Every file that ARCHITECTURE.md names is there: in the table of packages in a folder of its row,
// elsewhere from the root.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`[a-z0-9_/]+\.go\b`)
	folder := regexp.MustCompile("`([a-z0-9/]+)`")
	found := 0
	for i, line := range strings.Split(string(text), "\n") {
		folders := []string{"."}
		// A row of the table of packages begins with their names, and ends with the files to read first.
		if cells := strings.Split(line, " | "); len(cells) == 3 && strings.HasPrefix(line, "| `") {
			folders = nil
			for _, m := range folder.FindAllStringSubmatch(cells[0], -1) {
				if m[1] == "blaze" {
					m[1] = "."
				}
				folders = append(folders, m[1])
			}
		}
		for _, name := range file.FindAllString(line, -1) {
			found++
			if !slices.ContainsFunc(folders, func(dir string) bool {
				_, err := os.Stat(filepath.Join(root, dir, name))
				return err == nil
			}) {
				t.Errorf("ARCHITECTURE.md, line %d, names %s, which is not there", i+1, name)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d names of files found: the pattern is wrong", found)
	}
}

// The script that ARCHITECTURE.md explains is the beginning of the one in the folder, with remarks.
func TestArchitectureShowsAScript(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(text), "## Read a script")
	_, shown, _ = strings.Cut(shown, "```\n")
	shown, _, ok := strings.Cut(shown, "```\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md shows no script")
	}
	script, err := os.ReadFile(filepath.Join(root, "nack", "testdata", "receiver-gap.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var plain strings.Builder
	for line := range strings.Lines(shown) {
		line, _, _ = strings.Cut(line, "   ") // a remark begins after three spaces
		plain.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	if !strings.HasPrefix(string(script), plain.String()) {
		t.Errorf("nack/testdata/receiver-gap.txt does not begin with\n%s", plain.String())
	}
}

// The page of the API has a row for each field of Config, and names each sentinel.
func TestAPIPageIsComplete(t *testing.T) {
	text, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for f := range reflect.TypeFor[blaze.Config]().Fields() {
		if f.IsExported() && !strings.Contains(page, "\n| "+f.Name+" | ") {
			t.Errorf("api.md has no row for Config.%s", f.Name)
		}
	}
	source, err := os.ReadFile(filepath.Join(root, "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, named, _ := strings.Cut(page, "Sentinels for errors.Is:")
	sentinels := regexp.MustCompile(`(?m)^\t(Err[A-Za-z]+) += errors\.New`).FindAllStringSubmatch(string(source), -1)
	for _, m := range sentinels {
		if !regexp.MustCompile(m[1] + `\b`).MatchString(named) {
			t.Errorf("api.md does not name %s", m[1])
		}
	}
	if len(sentinels) < 10 {
		t.Errorf("only %d sentinels found in errors.go: the pattern is wrong", len(sentinels))
	}
}

// A test, benchmark or fuzz target that a document names is there. A name may be the beginning of
// several, as in -run.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z]\w*)\(`)
	var tests []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			tests = append(tests, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w+`)
	found := 0
	documents(t, func(path, text string) {
		for _, name := range named.FindAllString(text, -1) {
			found++
			if !slices.ContainsFunc(tests, func(s string) bool { return strings.HasPrefix(s, name) }) {
				t.Errorf("%s names %s, which is not there", path, name)
			}
		}
	})
	if found == 0 {
		t.Error("no names of tests found: the pattern is wrong")
	}
}

// protocol.md names every script of behaviour.json, and no other.
func TestProtocolNamesEveryScript(t *testing.T) {
	text, err := os.ReadFile("protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := os.ReadFile(filepath.Join(root, "wire", "testdata", "behaviour.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Scripts []struct{ Name string } }
	if err := json.Unmarshal(vectors, &all); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, s := range all.Scripts {
		there[s.Name] = true
		if !strings.Contains(string(text), "*"+s.Name+"*") {
			t.Errorf("no rule of protocol.md is held by the script %q", s.Name)
		}
	}
	named := regexp.MustCompile(`\*((?:receiver|sender): [^*]+)\*`).FindAllStringSubmatch(string(text), -1)
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("protocol.md names the script %q, which is not there", m[1])
		}
	}
	if len(named) < 40 {
		t.Errorf("only %d scripts are named: the pattern is wrong", len(named))
	}
}
