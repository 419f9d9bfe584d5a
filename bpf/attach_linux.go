package bpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Attach makes the interface run the program, in the given mode and no other. The interface is
// looked up in the network namespace of the calling thread. Where another program is, in
// whatever mode, it is left alone and the error is a *ForeignError. A *FeatureError means that
// the driver cannot do it in this mode, or that the kernel is too old; other errors in native
// mode mostly mean that the driver does not like the interface's MTU or queues.
func (f *Filter) Attach(ifindex int, mode Mode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	var flags link.XDPAttachFlags
	switch mode {
	case Native:
		flags = link.XDPDriverMode
	case Generic:
		flags = link.XDPGenericMode
	default:
		return fmt.Errorf("%w: %v", ErrConfig, mode)
	}
	if f.link != nil {
		if on := f.attachedTo(); on != 0 {
			return fmt.Errorf("%w: to interface %s", ErrAttached, interfaceName(on))
		}
		f.detach() // the interface was removed, and the link is an empty shell
	}
	if _, err := net.InterfaceByIndex(ifindex); err != nil { // the kernel only says EINVAL
		return fmt.Errorf("bpf: attach to interface %s: %w", interfaceName(ifindex), unix.ENODEV)
	}
	// The kernel refuses a link where a program is, whoever put it there and however; to
	// look first only makes for a better error.
	if err := foreign(ifindex, nil); err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: f.objects.BlazeFilter, Interface: ifindex, Flags: flags})
	if err != nil {
		return attachError(ifindex, mode, err)
	}
	f.link = l
	return nil
}

func (f *Filter) detach() error {
	if f.link == nil {
		return nil
	}
	err := f.link.Close()
	f.link = nil
	if err != nil {
		return fmt.Errorf("bpf: detach: %w", err)
	}
	return nil
}

func (f *Filter) attachedTo() int {
	if f.link == nil {
		return 0
	}
	info, err := f.link.Info()
	if err != nil || info.XDP() == nil {
		return 0
	}
	return int(info.XDP().Ifindex)
}

// attachError says what the kernel meant.
func attachError(ifindex int, mode Mode, err error) error {
	name := interfaceName(ifindex)
	what := fmt.Sprintf("%v XDP on interface %s", mode, name)
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		if other := foreign(ifindex, err); other != nil {
			return other
		}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return privilegeError("to attach "+what, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return &FeatureError{Feature: what, Err: err}
	case errors.Is(err, ebpf.ErrNotSupported):
		return &FeatureError{Feature: "attaching XDP by a link", Since: "5.9", Err: err}
	}
	return fmt.Errorf("bpf: attach %s: %w", what, err)
}

// foreign is a *ForeignError when the interface has a program. Failing to look is no error:
// the kernel decides.
func foreign(ifindex int, cause error) error {
	on, err := Programs(ifindex)
	if err != nil || len(on) == 0 {
		return nil
	}
	return &ForeignError{Interface: interfaceName(ifindex), Program: on[0], Err: cause}
}

func interfaceName(ifindex int) string {
	if i, err := net.InterfaceByIndex(ifindex); err == nil {
		return i.Name
	}
	return fmt.Sprintf("with index %d", ifindex)
}
