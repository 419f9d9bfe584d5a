package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/commands.md has a table for each golden file, and each has just the fields of the other.
func TestFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page2, _ := strings.Cut(string(page), "\n## JSON\n")
	sections := strings.Split(page2, "\n### ")
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")
	documented := func(section string) map[string]bool {
		fields := map[string]bool{}
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			fields[m[1]] = true
		}
		return fields
	}
	message := documented(sections[0])
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(sections)-1 {
		t.Errorf("%d golden files, and %d sections of docs/commands.md: %v", len(files), len(sections)-1, err)
	}
	for _, section := range sections[1:] {
		title, text, _ := strings.Cut(section, "\n")
		golden, err := os.ReadFile("testdata/" + strings.ReplaceAll(strings.ReplaceAll(title, " --", "-"), " ", "-") + ".json")
		if err != nil {
			t.Error(err)
			continue
		}
		printed := map[string]bool{}
		for _, line := range lines(string(golden)) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil {
				t.Errorf("%s: %v", title, err)
			}
			for field := range object {
				printed[field] = true
			}
		}
		fields := documented(text)
		for field := range printed {
			if !fields[field] && !(printed["kind"] && message[field]) {
				t.Errorf("docs/commands.md, %s, lacks %q", title, field)
			}
		}
		for field := range fields {
			if !printed[field] {
				t.Errorf("docs/commands.md, %s, has %q, which no golden file has", title, field)
			}
		}
	}
}

// The statuses of the page are those of the code.
func TestStatusesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("exit.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^\tstatus\w+ += (\d+)`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 8 {
		t.Errorf("only %d statuses found in exit.go", len(codes))
	}
	for _, code := range codes {
		if !strings.Contains(string(page), "\n| "+code[1]+" | ") || !regexp.MustCompile(`(?m)(^  |  | )`+code[1]+` [a-z]`).MatchString(statuses) {
			t.Errorf("status %s is not in docs/commands.md and the help", code[1])
		}
	}
}
