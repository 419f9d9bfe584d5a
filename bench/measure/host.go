package measure

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Circumstances fills in what r's host and build are.
func (r *Result) Circumstances() {
	r.Schema, r.Time, r.Module = ResultSchema, time.Now().UTC(), Module()
	r.Host, _ = os.Hostname()
	r.Kernel = kernel()
	r.CPUs = runtime.NumCPU()
	r.CPUModel = cpuModel()
	r.Go = runtime.Version()
	r.Commit = commit()
}

// cpuModel is the first model name of /proc/cpuinfo, where there is such a file.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Commit is the revision of this build; empty where it is not known.
func Commit() string { return commit() }

// Module is the version of the library that this program was built with: "(devel)" in its own repository.
func Module() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(b.Deps, &b.Main) {
			if m.Path == "github.com/activeblaze/blaze" && m.Version != "" && m.Replace == nil && m.Version != "v0.0.0" {
				return m.Version
			}
		}
	}
	return "(devel)"
}

// commit is the revision that the go command stamped into the build, or, since go run stamps
// none, that of the working directory.
func commit() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return workingCommit()
	}
	var rev, mark string
	for _, s := range bi.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			mark = "+"
		}
	}
	if rev == "" {
		return workingCommit()
	}
	return rev + mark
}

// workingCommit asks git, once, where there is one and a repository.
var workingCommit = sync.OnceValue(func() string {
	rev, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return ""
	}
	changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return ""
	}
	mark := ""
	if len(changes) > 0 {
		mark = "+"
	}
	return strings.TrimSpace(string(rev)) + mark
})
