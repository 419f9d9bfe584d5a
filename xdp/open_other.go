//go:build !linux

package xdp

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/activeblaze/blaze/buf"
)

// Driver is one member's AF_XDP socket. This host has none.
type Driver struct{}

// Open answers ErrUnsupported: AF_XDP is Linux's.
func Open(cfg Config) (*Driver, error) {
	if _, err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: AF_XDP needs Linux, this is %s; use udp://", ErrUnsupported, runtime.GOOS)
}

// There is no Driver to call these methods of.

func (*Driver) Recv([]buf.Received) int              { return 0 }
func (*Driver) Send([]buf.Send) (int, error)         { return 0, ErrClosed }
func (*Driver) Wait(time.Duration)                   {}
func (*Driver) Wake()                                {}
func (*Driver) Local() buf.Endpoint                  { return 0 }
func (*Driver) Addr(buf.Endpoint) netip.AddrPort     { return netip.AddrPort{} }
func (*Driver) Datagram() int                        { return 0 }
func (*Driver) Room() int                            { return 0 }
func (*Driver) Close() error                         { return nil }
func (*Driver) Pool() *buf.Pool                      { return nil }
func (*Driver) State() State                         { return Closed }
func (*Driver) Mode() string                         { return "none" }
func (*Driver) Reason() string                       { return "" }
func (*Driver) Way() buf.Way                         { return buf.Way{Shut: true, Down: true} }
func (*Driver) NoWay() string                        { return "" }
func (*Driver) Stats() Stats                         { return Stats{} }
func (*Driver) Accounting() (Accounting, error)      { return Accounting{}, nil }
func (*Driver) Queues() []*Queue                     { return nil }
func (*Driver) Arrival(*buf.Buf) (ns int64, ok bool) { return 0, false }

// Queue receives from one further queue. This host has none.
type Queue struct{}

func (*Queue) Recv([]buf.Received) int         { return 0 }
func (*Queue) Send([]buf.Send) (int, error)    { return 0, ErrClosed }
func (*Queue) Wait(time.Duration)              {}
func (*Queue) Wake()                           {}
func (*Queue) Local() buf.Endpoint             { return 0 }
func (*Queue) Datagram() int                   { return 0 }
func (*Queue) Room() int                       { return 0 }
func (*Queue) Way() buf.Way                    { return buf.Way{Shut: true, Down: true} }
func (*Queue) Close() error                    { return nil }
func (*Queue) Pool() *buf.Pool                 { return nil }
func (*Queue) Stats() Stats                    { return Stats{} }
func (*Queue) Accounting() (Accounting, error) { return Accounting{}, nil }
