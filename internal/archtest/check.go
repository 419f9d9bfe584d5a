package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Violation is one place where the source leaves the rules.
type Violation struct {
	File string // from the module's root
	Line int
	What string // what was used: an import path, "time.Now", "go"; "" when the folder has no rule
	Why  string // the rule that forbids it
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", v.File, v.Line, v.What, v.Why)
}

// Check reads every Go file below the root of module, for all platforms and build tags but without
// tests, and returns what is against rules. It reads the workspace's other modules too, and no build
// cache and no network. An error means that a file could not be read or parsed.
func Check(module fs.FS, rules []Rule) ([]Violation, error) {
	var found []Violation
	err := fs.WalkDir(module, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(module, file)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(module, file)
		if err != nil {
			return err
		}
		more, err := checkFile(file, source, rules)
		found = append(found, more...)
		return err
	})
	return found, err
}

// skip leaves out what the go command leaves out of the workspace too, and what belongs to others.
func skip(module fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	mod, err := fs.ReadFile(module, path.Join(dir, "go.mod"))
	if err == nil && !bytes.Contains(append([]byte("\n"), mod...), []byte("\nmodule "+Module+"/"+dir+"\n")) {
		return fs.SkipDir // a module of another repository
	}
	return nil
}

// checkFile judges one file.
func checkFile(file string, source []byte, rules []Rule) ([]Violation, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(file)
	rule, ok := ruleFor(dir, rules)
	if !ok {
		return []Violation{{File: file, Line: 1, Why: dir + " has no rule: say in internal/archtest/rules.go what it may use"}}, nil
	}
	var found []Violation
	report := func(at token.Pos, what, why string) {
		found = append(found, Violation{file, files.Position(at).Line, what, why})
	}
	packages := map[string]string{} // names in this file of the packages whose functions matter
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := importForbidden(rule, imported, rules); why != "" {
			report(spec.Pos(), imported, why)
		}
		name := ""
		switch imported {
		case "time":
			name = "time"
		case "math/rand", "math/rand/v2":
			name = "rand"
		default:
			continue
		}
		if spec.Name != nil {
			if spec.Name.Name == "." {
				report(spec.Pos(), imported, "an import with a dot hides what is used")
			}
			packages[spec.Name.Name] = name
		} else {
			packages[name] = name
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if rule.Core {
				report(n.Pos(), "go", rule.Dir+" is a core: it starts no goroutine")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && packages[x.Name] != "" {
				what := packages[x.Name] + "." + n.Sel.Name
				if why := useForbidden(rule, what); why != "" {
					report(n.Pos(), what, why)
				}
			}
		}
		return true
	})
	return found, nil
}

// ruleFor is the rule of the nearest folder above dir, or of dir itself. The root's rule is
// for the root alone.
func ruleFor(dir string, rules []Rule) (Rule, bool) {
	for d := dir; ; d = path.Dir(d) {
		for _, r := range rules {
			if r.Dir == d && (d != "." || dir == ".") {
				return r, true
			}
		}
		if d == "." {
			return Rule{}, false
		}
	}
}

// importForbidden is why rule forbids an import; "" when it does not.
func importForbidden(rule Rule, imported string, rules []Rule) string {
	if imported == Module || strings.HasPrefix(imported, Module+"/") {
		dir := path.Clean("." + strings.TrimPrefix(imported, Module))
		if own, ok := ruleFor(dir, rules); ok && own.Dir == rule.Dir {
			return "" // itself, or a folder that the same rule is for
		}
		for _, use := range rule.Uses {
			if use == "." || within(dir, use) {
				return ""
			}
		}
		return fmt.Sprintf("%s may use only %s of this module", rule.Dir, list(rule.Uses))
	}
	if rule.Core && slices.ContainsFunc(coreImports, func(c string) bool { return within(imported, c) }) {
		return rule.Dir + " is a core: a state machine without I/O, locks, waiting and logs"
	}
	if (rule.Core || rule.Seeded) && imported == "crypto/rand" {
		return rule.Dir + " draws random numbers only from a seeded *rand.Rand"
	}
	return ""
}

// useForbidden is why rule forbids the use of what, a name of package time or rand.
func useForbidden(rule Rule, what string) string {
	switch what {
	case "time.Now", "time.Since", "time.Until":
		if !rule.Clock {
			return "time is an argument: only the engine's loop, drivers and programs read a clock"
		}
	case "time.After", "time.AfterFunc", "time.NewTicker", "time.NewTimer", "time.Sleep", "time.Tick":
		if rule.Core || rule.Seeded {
			return rule.Dir + " sets no timers: it says when it wants to be called"
		}
	case "rand.Rand", "rand.Source", "rand.Zipf", "rand.PCG", "rand.ChaCha8",
		"rand.New", "rand.NewSource", "rand.NewZipf", "rand.NewPCG", "rand.NewChaCha8":
	default:
		if strings.HasPrefix(what, "rand.") && (rule.Core || rule.Seeded) {
			return rule.Dir + " draws random numbers only from a seeded *rand.Rand"
		}
	}
	return ""
}

// within reports whether p is dir or lies below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func list(dirs []string) string {
	if len(dirs) == 0 {
		return "nothing"
	}
	return strings.Join(dirs, ", ")
}
