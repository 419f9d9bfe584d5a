//go:build !amd64 && !arm64 && !riscv64

package gid

import (
	"bytes"
	"runtime"
	"strconv"
)

// current reads the goroutine's number from the first line of its stack trace.
func current() uint64 {
	var buf [64]byte
	b := buf[:runtime.Stack(buf[:], false)] // "goroutine 18 [running]:…"
	b = bytes.TrimPrefix(b, []byte("goroutine "))
	n, err := strconv.ParseUint(string(b[:max(bytes.IndexByte(b, ' '), 0)]), 10, 64)
	if err != nil {
		panic("gid: a stack trace of an unknown form")
	}
	return n
}
