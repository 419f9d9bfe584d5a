package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The package table of ARCHITECTURE.md and the rules name the same folders, and all there are.
func TestPackageTable(t *testing.T) {
	root := os.DirFS("../..")
	text, err := fs.ReadFile(root, "ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range compareTable(t, root, string(text), Rules) {
		t.Error(problem)
	}
}

// A table that lacks a folder, has one too many, or lacks the folder of a rule.
func TestPackageTableProblems(t *testing.T) {
	files := fstest.MapFS{"nack/a.go": {}, "internal/x/a.go": {}, "cmd/tool/main.go": {}}
	rules := []Rule{{Dir: "nack"}, {Dir: "internal"}, {Dir: "cmd"}, {Dir: "later"}}
	table := func(rows ...string) string {
		return "text\n\n| package | is | start reading at |\n| --- | --- | --- |\n" + strings.Join(rows, "\n") + "\n\n| `other` | table |\n"
	}
	all := []string{"| `nack` | a core | |", "| `internal/x`, `cmd/tool` | two | a.go |"}
	for _, c := range []struct {
		name, text string
		rules      []Rule
		want       string
	}{
		{"as it should be", table(all...), rules, ""},
		{"a folder is missing", table(all[0], "| `cmd/tool` | | |"), rules, "internal/x is in no row"},
		{"a row too many", table(append(all, "| `gone` | | |")...), rules, "gone is no folder with Go code"},
		{"a folder without a rule", table(all...), rules[1:], "nack has no rule"},
		{"a rule without a row", table(all[1]), rules, "nack is in no row"},
		{"no table", "text", rules, "no package table"},
	} {
		got := compareTable(t, files, c.text, c.rules)
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

var quoted = regexp.MustCompile("`([^`]*)`")

// compareTable returns where the package table in text, the folders of files and the rules differ.
// A rule for a folder that is not there yet needs no row.
func compareTable(t *testing.T, files fs.FS, text string, rules []Rule) (problems []string) {
	t.Helper()
	_, table, ok := strings.Cut(text, "| package | is |")
	if !ok {
		return []string{"no package table"}
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for _, line := range strings.Split(table, "\n")[2:] {
		for _, m := range quoted.FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
			if m[1] == "blaze" {
				m[1] = "."
			}
			rows = append(rows, m[1])
		}
	}
	folders := map[string]bool{} // with Go code or a go.mod
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "testdata" || strings.HasPrefix(path.Base(name), ".") && name != ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") || path.Base(name) == "go.mod" {
			folders[path.Dir(name)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		has := false
		for f := range folders {
			has = has || within(f, row)
		}
		if !has {
			problems = append(problems, row+" is no folder with Go code")
		}
		if _, ok := ruleFor(row, rules); !ok {
			problems = append(problems, row+" has no rule")
		}
	}
	for f := range folders {
		if !slices.ContainsFunc(rows, func(row string) bool { return within(f, row) }) {
			problems = append(problems, f+" is in no row")
		}
	}
	for _, r := range rules {
		there := false
		for f := range folders {
			there = there || within(f, r.Dir)
		}
		if there && !slices.ContainsFunc(rows, func(row string) bool { return within(row, r.Dir) }) {
			problems = append(problems, r.Dir+" is in no row")
		}
	}
	return problems
}
