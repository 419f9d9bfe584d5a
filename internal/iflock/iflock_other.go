//go:build !linux

package iflock

import "net/netip"

func exclusive(int, netip.AddrPort) (*Lock, error) { return nil, nil }
func shared(int, netip.AddrPort) (*Lock, error)    { return nil, nil }
func (*Lock) release()                             {}
