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
	if hook.Drop.P > 0 {
		r.lossy = lossy.Wrap(r.driver, hook.Drop.P, hook.Drop.Seed)
		r.driver = r.lossy
	}
	if hook.Delay > 0 {
		r.driver = lossy.WrapLate(r.driver, hook.Delay, engine.Now)
	}
	return r, nil
}

// discard throws away what came while the channel was stopped.
func (r *resources) discard() {
	var batch [engine.Batch]buf.Received
	for range 1 << 16 {
		if r.transport.Recv(batch[:]) == 0 {
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
