package archtest

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The module as it stands keeps to the architecture.
func TestArchitecture(t *testing.T) {
	const root = "../.."
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil || !strings.HasPrefix(string(mod), "module "+Module+"\n") {
		t.Fatalf("%s is not the root of %s: %v", root, Module, err)
	}
	found, err := Check(os.DirFS(root), Rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		if !slices.ContainsFunc(Exceptions, func(e Exception) bool { return e.File == v.File && e.What == v.What }) {
			t.Error(v)
		}
	}
}

// Each row plants one file; want is what the checker must say of it, "" for nothing.
func TestCheck(t *testing.T) {
	const m = Module
	for _, c := range []struct {
		name, file, source string
		want               string // line, what and the beginning of why
	}{
		// Rule 4: arrows point down.
		{"a core uses the wire", "nack/a.go", `import _ "` + m + `/wire"`, ""},
		{"below it too", "nack/a.go", `import _ "` + m + `/wire/wirepb"`, ""},
		{"and the block code", "nack/a.go", `import _ "` + m + `/fec"`, ""},
		{"but the block code no core", "fec/a.go", `import _ "` + m + `/nack"`, "2 " + m + "/nack fec may use only"},
		{"cluster stands on trie", "cluster/a.go", `import _ "` + m + `/internal/trie"`, ""},
		{"group not on cluster", "group/a.go", `import _ "` + m + `/cluster"`, "2 " + m + "/cluster group may use only"},
		{"selectors stand alone", "selector/a.go", `import _ "` + m + `/wire"`, "2 " + m + "/wire selector may use only nothing"},
		{"a core uses no engine", "totem/a.go", `import _ "` + m + `/engine"`, "2 " + m + "/engine totem may use only"},
		{"a core uses no driver", "nack/a.go", `import _ "` + m + `/udp"`, "2 " + m + "/udp nack may use only"},
		{"the bottom uses nothing", "wire/a.go", `import _ "` + m + `/buf"`, "2 " + m + "/buf wire may use only nothing"},
		{"nothing below uses the root", "sim/a.go", `import _ "` + m + `"`, "2 " + m + " sim may use only"},
		{"but programs do", "cmd/x/a.go", `import _ "` + m + `"`, ""},
		{"and benchmarks", "bench/x/a.go", `import _ "` + m + `"`, ""},
		{"the root uses the parts", "a.go", `import _ "` + m + `/internal/member"`, ""},
		{"but no benchmarks", "a.go", `import _ "` + m + `/bench/hist"`, "2 " + m + "/bench/hist . may use only"},
		{"a name that only begins alike", "nack/a.go", `import _ "` + m + `/wireless"`, "2 " + m + "/wireless nack may use only"},
		{"a folder below has its folder's rule", "nack/x/a.go", `import _ "` + m + `/engine"`, "2 " + m + "/engine nack may use only"},
		{"small tools use each other", "internal/x/a.go", `import _ "` + m + `/internal/gid"`, ""},
		{"but nothing that has a rule of its own", "internal/x/a.go", `import _ "` + m + `/internal/member"`, "2 " + m + "/internal/member internal may use only"},
		{"a folder without a rule", "new/a.go", ``, "1  new has no rule"},

		// Rule 3: the engine uses interfaces only, and no package has to import it.
		{"the engine uses no core", "engine/a.go", `import _ "` + m + `/nack"`, "2 " + m + "/nack engine may use only"},
		{"the engine uses no driver", "engine/a.go", `import _ "` + m + `/udp"`, "2 " + m + "/udp engine may use only"},
		{"a driver uses no engine", "udp/a.go", `import _ "` + m + `/engine"`, "2 " + m + "/engine udp may use only"},
		{"a driver uses no core", "xdp/a.go", `import _ "` + m + `/nack"`, "2 " + m + "/nack xdp may use only"},
		{"a driver uses no other driver", "xdp/a.go", `import _ "` + m + `/udp"`, "2 " + m + "/udp xdp may use only"},
		{"the filter belongs to its driver", "xdp/a.go", `import _ "` + m + `/bpf"`, ""},

		// Rule 1: cores are state machines without I/O.
		{"no sockets", "nack/a.go", `import _ "net/netip"`, "2 net/netip nack is a core"},
		{"no files", "group/a.go", `import _ "os"`, "2 os group is a core"},
		{"no locks", "cluster/a.go", `import _ "sync"`, "2 sync cluster is a core"},
		{"no system calls", "fec/a.go", `import _ "golang.org/x/sys/unix"`, "2 golang.org/x/sys/unix fec is a core"},
		{"no goroutines", "totem/a.go", "func f() {\n\tgo f()\n}", "3 go totem is a core"},
		{"no timers", "nack/a.go", "import \"time\"\nvar _ = time.NewTimer(0)", "3 time.NewTimer nack sets no timers"},
		{"durations are fine", "nack/a.go", "import \"time\"\nvar _ = 2 * time.Second", ""},
		{"chance from a seed", "nack/a.go", "import \"math/rand/v2\"\nvar _ = rand.New(rand.NewPCG(1, 2)).IntN(3)", ""},
		{"and from nowhere else", "nack/a.go", "import \"math/rand/v2\"\nvar _ = rand.IntN(3)", "3 rand.IntN nack draws"},
		{"neither in simulation", "sim/a.go", `import _ "crypto/rand"`, "2 crypto/rand sim draws"},
		{"others may do all that", "udp/a.go", "import _ \"net\"\nfunc f() {\n\tgo f()\n}", ""},

		// Rule 8: time is an argument.
		{"no clock in a core", "nack/a.go", "import \"time\"\nvar _ = time.Now()", "3 time.Now time is an argument"},
		{"by another name neither", "nack/a.go", "import t \"time\"\nvar _ = t.Since(t.Time{})", "3 time.Since time is an argument"},
		{"nor as a value", "sim/a.go", "import \"time\"\nvar now = time.Now", "3 time.Now time is an argument"},
		{"nor hidden", "nack/a.go", "import . \"time\"\nvar _ = Now()", "2 time an import with a dot"},
		{"nor in the root", "a.go", "import \"time\"\nvar _ = time.Until(time.Time{})", "3 time.Until time is an argument"},
		{"the engine has one", "engine/a.go", "import \"time\"\nvar _ = time.Now()", ""},
		{"and drivers", "udp/a.go", "import \"time\"\nvar _ = time.Now()", ""},
		{"another package's Now is none", "nack/a.go", "import time \"strings\"\nvar _ = time.Now()", ""},

		// What is not judged.
		{"tests", "nack/a_test.go", `import _ "` + m + `/engine"`, ""},
		{"test data", "nack/testdata/a.go", `import _ "` + m + `/engine"`, ""},
		{"code for other systems is", "nack/a_windows.go", `import _ "` + m + `/engine"`, "2 " + m + "/engine nack may use only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := Check(fstest.MapFS{c.file: {Data: []byte("package p\n" + c.source + "\n")}}, Rules)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(found) != 0 {
					t.Errorf("%s is fine, the checker says: %v", c.file, found)
				}
				return
			}
			line, rest, _ := strings.Cut(c.want, " ")
			what, why, _ := strings.Cut(rest, " ")
			if len(found) != 1 || found[0].File != c.file || line != string(rune('0'+found[0].Line)) ||
				found[0].What != what || !strings.HasPrefix(found[0].Why, why) {
				t.Errorf("want %s:%s: %s: %s…\ngot  %v", c.file, line, what, why, found)
			}
		})
	}
}

func TestCheckOtherModules(t *testing.T) {
	found, err := Check(fstest.MapFS{
		"bench/rival/go.mod": {Data: []byte("module rival\n")},
		"bench/rival/a.go":   {Data: []byte("not Go")},
		"tools/go.mod":       {Data: []byte("// Tools.\nmodule " + Module + "/tools\n")},
		"tools/a.go":         {Data: []byte("package p\nimport _ \"" + Module + "/wire\"\n")},
	}, Rules)
	if err != nil || len(found) != 1 || found[0].File != "tools/a.go" {
		t.Errorf("the workspace's module tools is judged, another's is not: %v, %v", found, err)
	}
}

// What an application links is exactly what rules.go lists. The workspace is left out, since it
// lifts versions for all its modules together.
func TestLinked(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	list.Dir = "../.."
	list.Env = append(os.Environ(), "GOWORK=off", "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("%v: %s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	got = slices.Compact(got)
	if want := slices.Sorted(slices.Values(Linked)); !slices.Equal(got, want) {
		t.Errorf("the root links %q,\nrules.go lists   %q", got, want)
	}
}

func TestCheckTellsOfBrokenFiles(t *testing.T) {
	if _, err := Check(fstest.MapFS{"nack/a.go": {Data: []byte("not Go")}}, Rules); err == nil {
		t.Error("a file that does not parse went unnoticed")
	}
}

// The table itself: every folder once, and only folders that have a rule are used.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules {
		if seen[r.Dir] {
			t.Errorf("two rules for %s", r.Dir)
		}
		seen[r.Dir] = true
		for _, use := range r.Uses {
			if _, ok := ruleFor(use, Rules); !ok {
				t.Errorf("%s uses %s, which has no rule", r.Dir, use)
			}
		}
	}
}
