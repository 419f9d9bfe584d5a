package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// nameThread names the calling thread, which is locked to its goroutine, and returns its number. top -H shows the name.
// The name of the first thread is that of the process, and stays.
func nameThread(name string) (thread int) {
	thread = unix.Gettid()
	if name != "" && thread != unix.Getpid() {
		text := [16]byte{}
		copy(text[:15], name)
		for i, c := range text[:15] {
			if c != 0 && (c < ' ' || c > '~') {
				text[i] = '?' // it comes to terminals
			}
		}
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text[0])), 0, 0, 0)
	}
	return thread
}
