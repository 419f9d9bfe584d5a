package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// loadError says why the kernel did not take the program or a map.
func loadError(err error, askLength bool) error {
	var rejected *ebpf.VerifierError
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !errors.As(err, &rejected):
		return privilegeError("to load the XDP filter", err)
	case errors.Is(err, unix.ENOSYS):
		return &FeatureError{Feature: "the bpf system call (CONFIG_BPF_SYSCALL)", Since: "5.9", Err: err}
	case errors.Is(err, ebpf.ErrNotSupported):
		return &FeatureError{Feature: "the XDP filter (AF_XDP, mapped arrays; CONFIG_XDP_SOCKETS)", Since: "5.9", Err: err}
	case askLength && errors.Is(features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen), ebpf.ErrNotSupported):
		return &PrivilegeError{What: "to load the XDP filter before Linux 5.18", Missing: []string{"CAP_PERFMON"}, Err: err}
	}
	return fmt.Errorf("bpf: load the XDP filter: %w", err)
}

// privilegeError finds out which capabilities are missing. With that answer the error says no
// more than the kernel did: guesses about limits would only mislead.
func privilegeError(what string, err error) error {
	names := missing()
	if len(names) > 0 {
		err = unix.EPERM
	}
	return &PrivilegeError{What: what, Missing: names, Err: err}
}

// missing names the capabilities that loading and attaching need and the calling thread lacks.
func missing() (names []string) {
	if !capable(unix.CAP_BPF) {
		names = append(names, "CAP_BPF")
	}
	if !capable(unix.CAP_NET_ADMIN) {
		names = append(names, "CAP_NET_ADMIN")
	}
	return names
}

// capable reports whether the calling thread has the capability, or CAP_SYS_ADMIN, which
// stands for all that are asked for here: they were split off it in Linux 5.8.
func capable(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // 32 capabilities each
	if unix.Capget(&header, &data[0]) != nil {
		return true // unknown: the kernel's answer decides
	}
	has := func(c uint) bool { return data[c/32].Effective>>(c%32)&1 != 0 }
	return has(capability) || has(unix.CAP_SYS_ADMIN)
}

// raiseMemlock lifts the limit of locked memory, which kernels before 5.11 count maps against:
// a few pages here. It reports whether it changed anything. Since 5.11 the limit has no part in
// this and stays as it is, because it is the application's.
func raiseMemlock() bool {
	if after511() {
		return false
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil || limit.Cur == unix.RLIM_INFINITY {
		return false
	}
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}) == nil
}

func after511() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return true
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 5 || major == 5 && minor >= 11
}

// loadDescriptors is more than what Load has open at any moment.
const loadDescriptors = 12

// reserve makes sure that so many descriptors can be opened. The library below takes a lack of them for a kernel that lacks
// a feature, and remembers that for the life of the process.
func reserve(n int) (err error) {
	fds := make([]int, 0, n)
	for range n {
		fd, e := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if e != nil {
			err = fmt.Errorf("bpf: load the XDP filter: %d descriptors are left of the %d that it takes; raise the limit (ulimit -n): %w", len(fds), n, e)
			break
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	return err
}
