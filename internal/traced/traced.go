// Package traced calls a tracer when datagrams pass a driver, so that it can be measured where the
// time of a message goes.
package traced

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
)

// Driver is another driver that calls a tracer.
type Driver struct {
	engine.Driver
	arrivals Arrivals
	tracer   hook.Tracer
}

// Arrivals returns when the packet of a received datagram was first seen on this host.
type Arrivals interface {
	Arrival(b *buf.Buf) (ns int64, ok bool)
}

// Wrap makes d call t.
func Wrap(d engine.Driver, a Arrivals, t hook.Tracer) *Driver { return &Driver{d, a, t} }

// Recv calls the tracer with what came.
func (d *Driver) Recv(batch []buf.Received) int {
	n := d.Driver.Recv(batch)
	if n > 0 {
		at, _ := d.arrivals.Arrival(batch[0].Buf) // 0: not known
		d.tracer.Took(n, at)
	}
	return n
}

// Send calls the tracer before something is sent.
func (d *Driver) Send(batch []buf.Send) (int, error) {
	d.tracer.Sending()
	return d.Driver.Send(batch)
}

// Way implements engine.Follower.
func (d *Driver) Way() buf.Way { return engine.WayOf(d.Driver) }

// LookAtAll implements engine.Looker.
func (d *Driver) LookAtAll() { engine.LookAtAll(d.Driver) }
