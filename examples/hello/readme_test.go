package main

import (
	"os"
	"strings"
	"testing"
)

// README.md shows this program: what a reader copies from there must compile.
func TestReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(source), "package main")
	if !ok {
		t.Fatal("main.go has no package clause")
	}
	if !strings.Contains(string(readme), "```go\npackage main"+program+"```\n") {
		t.Error("README.md shows another program than examples/hello/main.go: copy it from there")
	}
}
