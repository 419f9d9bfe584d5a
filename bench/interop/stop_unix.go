//go:build unix

package main

import "syscall"

// hold has the process stand still, and let has it go on.
func (p *process) hold() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) let()  { _ = p.cmd.Process.Signal(syscall.SIGCONT) }
