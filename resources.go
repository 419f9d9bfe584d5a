package blaze

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/lossy"
	"github.com/activeblaze/blaze/udp"
)

// resources are what a channel holds from Init to Shutdown.
type resources struct {
	driver    engine.Driver // what the engine uses
	udp       *udp.Driver   // the same, below what tests put in between
	lossy     *lossy.Driver // nil unless datagrams are to be lost on purpose
	pool      *buf.Pool
	transport string // "udp", "pointcast"
	reason    string // why that one
}

func openResources(cfg *Config, log *slog.Logger) (*resources, error) {
	if err := cfg.unsupported(); err != nil {
		return nil, err
	}
	uri, err := ParseURI(cfg.BroadcastURI)
	if err != nil {
		return nil, err
	}
	r := &resources{transport: "udp", reason: "the URI says so"}
	switch uri.Scheme {
	case "pointcast":
		r.transport = "pointcast"
	case "auto":
		r.reason = "this version has no xdp driver yet"
	}
	if uri.Scheme != "pointcast" && uri.Interface == "" {
		log.Info("blaze: no interface is named, so the channel stays on loopback: nothing leaves this host",
			"uri", cfg.BroadcastURI, "remedy", "add ?interface=NAME")
	}
	r.udp, err = udp.Open(udp.Config{
		Group: uri.Group, Peers: uri.Peers, Bind: uri.Bind, Interface: uri.Interface,
		TTL: uri.TTL, MTU: uri.MTU, DSCP: uri.DSCP, BusyPoll: uri.BusyPoll, GSO: uri.GSO, Logger: log,
	})
	if err != nil {
		return nil, driverError(cfg.BroadcastURI, err)
	}
	r.driver = r.udp
	if hook.Drop.P > 0 {
		r.lossy = lossy.Wrap(r.udp, hook.Drop.P, hook.Drop.Seed)
		r.driver = r.lossy
	}
	r.pool = buf.NewPool(cfg.poolBuffers(r.driver.Datagram()), bufferSize(r.driver.Datagram()))
	return r, nil
}

// driverError gives a driver's error the sentinel of this package that it belongs to.
func driverError(uri string, err error) error {
	switch {
	case errors.Is(err, udp.ErrConfig):
		return fmt.Errorf("%w: %s: %w", ErrConfig, uri, err)
	case errors.Is(err, udp.ErrUnsupported):
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, uri, err)
	}
	return fmt.Errorf("blaze: %s: %w", uri, err)
}

// discard throws away what came while the channel was stopped.
func (r *resources) discard() {
	var batch [engine.Batch]buf.Received
	for range 1 << 16 {
		if r.udp.Recv(batch[:]) == 0 {
			return
		}
	}
}

func (r *resources) close() error {
	if free, all := r.pool.Free(), r.pool.Count(); free != all {
		// Our own bug, and worth knowing at once: packet memory leaks.
		panic(fmt.Sprintf("blaze: %d of %d buffers were not given back", all-free, all))
	}
	if err := r.driver.Close(); err != nil {
		return fmt.Errorf("blaze: closing the driver: %w", err)
	}
	return nil
}
