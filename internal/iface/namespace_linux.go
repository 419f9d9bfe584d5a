package iface

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is the network namespace in which a socket was made.
type Namespace struct{ dev, ino uint64 }

// Here is the namespace of the calling thread.
func Here() (n Namespace) {
	var s unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &s) == nil { // no /proc: then there is hardly another namespace either
		n = Namespace{uint64(s.Dev), s.Ino}
	}
	return n
}

// Do runs f on a thread that is in the namespace; fd is a socket that is in it. In a program whose threads are all in one
// namespace, as nearly all are, that takes no privilege.
func (n Namespace) Do(fd int, f func() error) (err error) {
	runtime.LockOSThread()
	if Here() == n {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return fmt.Errorf("find the network namespace: %w", err)
	}
	defer unix.Close(ns)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		err = f()
	}()
	<-done
	return err
}
