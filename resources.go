package blaze

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/lossy"
	"github.com/activeblaze/blaze/internal/traced"
	"github.com/activeblaze/blaze/xdp"
)

// resources are what a channel holds from Init to Shutdown.
type resources struct {
	driver    engine.Driver // what the engine uses
	transport *transport    // the same, below what measurements put in between
	lossy     *lossy.Driver // nil unless datagrams are to be lost on purpose
	pool      *buf.Pool
	further   []further // of the engines besides the first
}

// further is what an engine besides the first receives from.
type further struct {
	driver engine.Driver // what the engine uses
	queue  *xdp.Queue    // the same, below what measurements put in between
	lossy  *lossy.Driver // nil unless datagrams are to be lost on purpose
}

func openResources(cfg *Config, log *slog.Logger) (*resources, error) {
	t, err := openTransport(cfg, log)
	if err != nil {
		return nil, err
	}
	r := &resources{driver: t, transport: t, pool: t.newPool(cfg)}
	if hook.Trace != nil && t.xdp != nil {
		r.driver = traced.Wrap(t, t.xdp, hook.Trace)
	}
	r.driver, r.lossy = disturbed(r.driver, 0)
	if t.xdp != nil {
		for i, q := range t.xdp.Queues() {
			f := further{queue: q}
			f.driver, f.lossy = disturbed(q, i+1)
			r.further = append(r.further, f)
		}
	}
	return r, nil
}

// disturbed is d, losing and delaying what a measurement wants lost and late.
func disturbed(d engine.Driver, number int) (engine.Driver, *lossy.Driver) {
	var loses *lossy.Driver
	if hook.Drop.P > 0 {
		loses = lossy.Wrap(d, hook.Drop.P, hook.Drop.Seed+uint64(number))
		d = loses
	}
	if hook.Delay > 0 {
		d = lossy.WrapLate(d, hook.Delay, engine.Now)
	}
	return d, loses
}

// discard throws away what came while the channel was stopped.
func (r *resources) discard() {
	discard(r.transport)
	for _, f := range r.further {
		discard(f.queue)
	}
}

func discard(d engine.Driver) {
	var batch [engine.Batch]buf.Received
	for range 1 << 16 {
		if d.Recv(batch[:]) == 0 {
			return
		}
	}
}

func (r *resources) close() error {
	// Buffers that are not given back are our own bug, and worth knowing at once: packet memory
	// leaks. A driver whose memory they are knows better than the pool where they are.
	if free, all := r.pool.Free(), r.pool.Count(); free != all && r.transport.xdp == nil {
		panic(fmt.Sprintf("blaze: %d of %d buffers were not given back", all-free, all))
	}
	err := r.driver.Close()
	if errors.Is(err, xdp.ErrLeak) {
		panic(fmt.Sprintf("blaze: %v", err))
	}
	if err != nil {
		return fmt.Errorf("blaze: closing the driver: %w", err)
	}
	return nil
}
