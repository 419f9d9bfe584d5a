// Package traced makes a driver tell when datagrams pass it, so that it can be measured where the
// time of a message goes.
package traced

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// Driver is another driver that tells.
type Driver struct {
	engine.Driver
	arrivals Arrivals
	tracer   hook.Tracer
}

// Arrivals knows when the packet of a received datagram was first seen on this host.
type Arrivals interface {
	Arrival(b *buf.Buf) (ns int64, ok bool)
}

// Wrap makes d tell t.
func Wrap(d engine.Driver, a Arrivals, t hook.Tracer) *Driver { return &Driver{d, a, t} }

// Recv tells what came.
func (d *Driver) Recv(batch []buf.Received) int {
	n := d.Driver.Recv(batch)
	if n > 0 {
		at, _ := d.arrivals.Arrival(batch[0].Buf) // 0: not known
		d.tracer.Took(n, at)
	}
	return n
}

// Send tells that something is to be sent.
func (d *Driver) Send(batch []buf.Send) (int, error) {
	d.tracer.Sending()
	return d.Driver.Send(batch)
}
