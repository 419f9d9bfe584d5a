//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup gives a script a process group of its own, so that what it leaves behind can be ended.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
