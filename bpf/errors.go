package bpf

import (
	"errors"
	"fmt"
	"strings"
)

// Errors. Methods wrap them, and the kernel's own, with what was tried.
var (
	ErrConfig       = errors.New("bpf: configuration")
	ErrNotSupported = errors.New("bpf: not supported")               // see FeatureError
	ErrPrivilege    = errors.New("bpf: not permitted")               // see PrivilegeError
	ErrForeign      = errors.New("bpf: the interface has a program") // see ForeignError
	ErrAttached     = errors.New("bpf: the filter is already attached")
	ErrClosed       = errors.New("bpf: the filter was closed") // from every method after Close
)

// A FeatureError says what kernel or driver lack, and since when the kernel has it.
type FeatureError struct {
	Feature string
	Since   string // kernel version; empty where it depends on the driver
	Err     error  // what the kernel said
}

func (e *FeatureError) Error() string {
	if e.Since == "" {
		return fmt.Sprintf("bpf: %s: not supported by the driver (%v)", e.Feature, e.Err)
	}
	return fmt.Sprintf("bpf: %s needs Linux %s (%v)", e.Feature, e.Since, e.Err)
}

func (e *FeatureError) Is(target error) bool { return target == ErrNotSupported }
func (e *FeatureError) Unwrap() error        { return e.Err }

// A PrivilegeError says what may not be done, and which capabilities the process lacks for it.
type PrivilegeError struct {
	What    string
	Missing []string // such as CAP_BPF; empty: it has them, and something else forbids it
	Err     error    // what the kernel said
}

func (e *PrivilegeError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("bpf: %s: %v, although the capabilities are there: "+
			"a security module, lockdown, a user namespace or the locked-memory limit forbids it", e.What, e.Err)
	}
	return fmt.Sprintf("bpf: %s needs %s (%v)", e.What, strings.Join(e.Missing, " and "), e.Err)
}

func (e *PrivilegeError) Is(target error) bool { return target == ErrPrivilege }
func (e *PrivilegeError) Unwrap() error        { return e.Err }

// A ForeignError names the program that an interface already has. It was left in place.
type ForeignError struct {
	Interface string
	Program   Attachment
	Err       error // what the kernel said; nil when it was not tried
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("bpf: interface %s already has an XDP program, %v, which is left in place", e.Interface, e.Program)
}

func (e *ForeignError) Is(target error) bool { return target == ErrForeign }
func (e *ForeignError) Unwrap() error        { return e.Err }

// An Attachment is one XDP program on an interface.
type Attachment struct {
	Mode Mode   // 0: offloaded to the card
	ID   uint32 // as bpftool shows it
	Name string // empty when it may not be read: that needs CAP_SYS_ADMIN
}

func (a Attachment) String() string {
	mode := "offloaded"
	if a.Mode != 0 {
		mode = a.Mode.String()
	}
	if a.Name == "" {
		return fmt.Sprintf("id %d (%s)", a.ID, mode)
	}
	return fmt.Sprintf("id %d %q (%s)", a.ID, a.Name, mode)
}
