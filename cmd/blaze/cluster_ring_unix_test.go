//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// What holds the lock is asked to end when the lock is lost: here its process was stopped for longer than the lease.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.clusterOf(1, 1)
	cmd, stderr := s.start("lock", "m", "job", "--lease", "200ms", "--", "sh", "-c", "cd "+s.dir+"; trap 'echo asked >asked; exit 0' TERM; touch in; while :; do sleep 0.01; done")
	s.run(`until test -e in; do sleep 0.01; done`)
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	s.want(`blaze lock m job -q -- echo mine`, "mine\n", 0)
	_ = cmd.Process.Signal(syscall.SIGCONT)
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != statusFailed || !strings.Contains(stderr.String(), "was lost") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if _, err := os.Stat(s.dir + "/asked"); err != nil {
		t.Error("the command was not asked to end: ", err)
	}
}
