package result

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Circumstances fills in what r's host and build are.
func (r *Run) Circumstances() {
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

// commit is the revision that the go command stamped into the build.
func commit() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
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
		return ""
	}
	return rev + mark
}
