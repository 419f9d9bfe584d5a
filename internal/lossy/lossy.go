// Package lossy makes a driver lose what it receives, by a seeded draw for each datagram, so
// that repair can be measured on real sockets of hosts that have no network emulation.
package lossy

import (
	"math/rand/v2"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
)

// Driver is another driver, less what it loses.
type Driver struct {
	engine.Driver
	p       float64
	rand    *rand.Rand
	dropped uint64
}

// Wrap makes d lose each received datagram with probability p (0..1).
func Wrap(d engine.Driver, p float64, seed uint64) *Driver {
	return &Driver{Driver: d, p: p, rand: rand.New(rand.NewPCG(seed, 0x10551))}
}

// Recv receives until something is left or nothing more has come.
func (d *Driver) Recv(batch []buf.Received) int {
	for {
		n := d.Driver.Recv(batch)
		if n == 0 {
			return 0
		}
		kept := 0
		for i := range n {
			if d.rand.Float64() < d.p {
				d.dropped++
				continue
			}
			batch[kept] = batch[i]
			kept++
		}
		if kept > 0 {
			return kept
		}
	}
}

// Dropped is the number of datagrams lost so far.
func (d *Driver) Dropped() uint64 { return d.dropped }

// Way implements engine.Follower.
func (d *Driver) Way() buf.Way { return engine.WayOf(d.Driver) }

// LookAtAll implements engine.Looker.
func (d *Driver) LookAtAll() { engine.LookAtAll(d.Driver) }
