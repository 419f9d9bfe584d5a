// Package docs has no code: its test holds the documents to what they speak of.
package docs

import (
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

// Every counter of Stats is explained in operations.md, under its own name.
func TestOperationsExplainsEveryCounter(t *testing.T) {
	text, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var look func(path string, s reflect.Type)
	look = func(path string, s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			if f.Type.Kind() == reflect.Struct && f.Name != "Buffers" {
				look(path+f.Name+".", f.Type)
				continue
			}
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				look(path+f.Name+".", f.Type.Elem())
			}
			if !strings.Contains(string(text), "`"+f.Name+"`") {
				t.Errorf("operations.md does not explain Stats.%s%s", path, f.Name)
			}
		}
	}
	look("", reflect.TypeFor[blaze.Stats]())
}

// documents calls f with the path and the text of every document of this repository.
func documents(t *testing.T, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata") {
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

// Every file that ARCHITECTURE.md names in the life of a message is there.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, life, _ := strings.Cut(string(text), "## The life of a message")
	life, _, ok := strings.Cut(life, "## Threads")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section on the life of a message")
	}
	for _, name := range regexp.MustCompile(`[a-z_/]+\.go\b`).FindAllString(life, -1) {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which is not there", name)
		}
	}
}
