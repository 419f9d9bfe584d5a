// Package vectors writes and compares the files in wire/testdata that codecs of other languages read. It is for tests.
package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// List is one list of a file, an element a line, so that a diff shows what changed.
type List struct {
	Name  string
	Lines []json.RawMessage
}

// ListOf is the list of those elements.
func ListOf[E any](t *testing.T, name string, elements []E) List {
	t.Helper()
	l := List{Name: name}
	for _, e := range elements {
		line, err := Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		l.Lines = append(l.Lines, line)
	}
	return l
}

// Marshal is json.Marshal that leaves <, > and & as they are.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Compare holds the file to the lists, or writes it first. command is how it is written.
func Compare(t *testing.T, file, command string, write bool, lists ...List) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"format\": 1,\n\"about\": %q", "Written by "+command+"; see README.md here.")
	for _, l := range lists {
		fmt.Fprintf(&b, ",\n%q: [", l.Name)
		for i, line := range l.Lines {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
			b.Write(line)
		}
		b.WriteString("\n]")
	}
	b.WriteString("\n}\n")
	if !json.Valid(b.Bytes()) {
		t.Fatal("this is no JSON")
	}
	if write {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, b.Bytes()) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(b.String(), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s, line %d: %.300s\nnot %.300s\n(%s writes it anew)", file, i+1, g[i], w[i], command)
		}
	}
	t.Fatalf("%s has %d lines, not %d (%s writes it anew)", file, len(g), len(w), command)
}
