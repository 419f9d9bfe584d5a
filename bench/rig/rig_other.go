//go:build !linux

package rig

import (
	"fmt"
	"runtime"
)

// Rig is a network. This host has none.
type Rig struct{}

// Host is one end of a network.
type Host struct{}

// Possible fails: rigs need Linux.
func Possible() error {
	return fmt.Errorf("%w: network namespaces need Linux, this is %s", ErrUnsupported, runtime.GOOS)
}

// New fails as Check or Possible do.
func New(kind Kind, hosts int, opt Options) (*Rig, error) {
	if err := Check(kind, hosts, opt); err != nil {
		return nil, err
	}
	return nil, Possible()
}

// There is no Rig to call these methods of.

func (*Rig) Host(int) *Host               { return nil }
func (*Rig) Hosts() int                   { return 0 }
func (*Rig) Close()                       {}
func (*Rig) Isolate(bool, ...int) error   { return Possible() }
func (*Rig) Split(...[]int) error         { return Possible() }
func (*Rig) Narrow(int, int) error        { return Possible() }
func (*Rig) SetLink(int, Way, Link) error { return Possible() }
func (*Host) Enter() (func(), error)      { return nil, Possible() }
func (*Host) Run(func() error) error      { return Possible() }
