package proc

import "syscall"

// attributes has the kernel kill the child when the thread that started it dies.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
