//go:build !linux

package proc

import "syscall"

// attributes asks for nothing: here the end of its standard input means for a child that its parent
// is gone.
func attributes() *syscall.SysProcAttr { return nil }
