//go:build !linux

package main

import (
	"context"
	"errors"
	"net/netip"
)

type side struct {
	group netip.AddrPort
	iface string
}

func relayReady(context.Context, side, side, faults, uint64, func()) error {
	return errors.New("interop: the relay needs Linux")
}
