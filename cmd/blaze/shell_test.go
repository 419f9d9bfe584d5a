package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/testnet"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMain makes the test program play blaze, for the scripts of the tests. BLAZE_TEST_DROP has it lose that
// share of the datagrams that it receives.
func TestMain(m *testing.M) {
	if os.Getenv("BLAZE_TEST_MAIN") != "" {
		adjust = func(cfg *blaze.Config) {
			cfg.FailureTimeout = failureTimeout
			if cfg.Window == 0 {
				cfg.Window = window
			}
			if drop, err := strconv.ParseFloat(os.Getenv("BLAZE_TEST_DROP"), 64); err == nil {
				hook.Set(cfg, hook.Options{Drop: drop, Seed: 1})
			}
		}
		main()
	}
	os.Exit(m.Run())
}

// failureTimeout is that of all members in the scripts. Many processes share few cores there, and one that stands still
// for a while is not to be excluded.
const failureTimeout = 2 * time.Second

// window is that of all members in the scripts, which start hundreds of them: most of what a short one takes is to map and
// touch the memory of its windows.
const window = 2 << 20

// shell runs scripts that use blaze, in a folder, on a port and in a cluster of their own.
type shell struct {
	t            *testing.T
	dir          string
	uri, cluster string
	env          []string
}

// needShell skips where there is no shell for the scripts.
func needShell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("SKIPPED: the scripts need bash: ", err)
	}
}

func newShell(t *testing.T) *shell {
	t.Helper()
	needShell(t)
	s := &shell{t: t, dir: t.TempDir()}
	s.uri, s.cluster = testnet.Loopback(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "blaze")); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "BLAZE_TEST_MAIN=1", "BLAZE_URI="+s.uri, "BLAZE_CLUSTER="+s.cluster,
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "COLUMNS=80", "LC_ALL=C.UTF-8")
	return s
}

// atEnd ends what a script leaves behind, and waits for it: the next one is to meet none of it.
const atEnd = `trap "trap '' TERM; kill -TERM 0; exec 3>&-; wait" EXIT
`

// run runs a script to its end.
func (s *shell) run(script string) (stdout, stderr string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", atEnd+script)
	ownGroup(cmd)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = time.Second
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	ended := cmd.Run()
	var exit *exec.ExitError
	if ended != nil && (!errors.As(ended, &exit) || ctx.Err() != nil) {
		s.t.Fatalf("%s\n%v\nstandard output:\n%s\nstandard error:\n%s", script, ended, &out, &err)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// want runs a script whose standard output and exit status are known.
func (s *shell) want(script, stdout string, status int) (stderr string) {
	s.t.Helper()
	out, errs, got := s.run(script)
	if out != stdout || got != status {
		s.t.Errorf("%s\nstatus %d, want %d\nstandard output:\n%swant:\n%sstandard error:\n%s", script, got, status, out, stdout, errs)
	}
	return errs
}

// start starts blaze, for a test that has to signal it.
func (s *shell) start(args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	s.t.Helper()
	cmd, stderr = exec.Command(os.Args[0], args...), new(bytes.Buffer)
	cmd.Env, cmd.Stderr = s.env, stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, stderr
}

// member is a member in this process.
func (s *shell) member() *blaze.Channel {
	s.t.Helper()
	c, err := blaze.NewChannel(blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, FailureTimeout: failureTimeout, Window: window, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Shutdown() })
	return c
}

var (
	ids   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}`)
	times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z`)
	spans = regexp.MustCompile(`("\w+_ns"):\d+`)
	addrs = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// normal has in place of what differs from run to run what it is. An id has a number, by its first use.
func normal(s string) string {
	known := map[string]int{}
	s = ids.ReplaceAllStringFunc(s, func(id string) string {
		if known[id] == 0 {
			known[id] = len(known) + 1
		}
		return fmt.Sprintf("ID-%d", known[id])
	})
	s = times.ReplaceAllString(s, "TIME")
	s = addrs.ReplaceAllString(s, "ADDRESS")
	return spans.ReplaceAllString(s, "$1:0")
}

// golden compares what a command printed with --json with testdata/NAME.json, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".json")
	got = normal(got)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: printed\n%swant\n%s", file, got, want)
	}
}

// lines splits what was printed.
func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }
