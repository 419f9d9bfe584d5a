package blaze

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/udp"
	"github.com/activeblaze/blaze/wire"
	"github.com/activeblaze/blaze/xdp"
)

// transport is a driver with what a channel wants to know of it.
type transport struct {
	engine.Driver
	name   string        // "udp", "xdp" or "pointcast"
	reason string        // why that one, and how it runs
	udp    *udp.Driver   // nil unless that is the Driver
	xdp    *xdp.Driver   // nil unless that is the Driver
	mode   func() string // how packets travel
	socket string        // "kernel", "own" or "asavie"
	lanes  laneFilter    // nil unless the URI asks for lanes=subscribed, and the Driver can
}

// openTransport opens the driver that the URI asks for.
func openTransport(cfg *Config, log *slog.Logger) (*transport, error) {
	uri, err := ParseURI(cfg.BroadcastURI)
	if err != nil {
		return nil, err
	}
	switch uri.Scheme {
	case "xdp":
		return openXDP(cfg, &uri, log)
	case "auto":
		return openAuto(cfg, &uri, log)
	}
	return openUDP(cfg, &uri, log, "the URI says so")
}

// openAuto takes xdp where it can be had and udp elsewhere, and says why.
func openAuto(cfg *Config, uri *URI, log *slog.Logger) (*transport, error) {
	why := "auto: no interface is named, so this member stays on loopback"
	if uri.Interface != "" {
		t, err := openXDP(cfg, uri, log)
		if err == nil {
			t.reason = "auto: " + t.reason
			log.Info("blaze: auto:// took xdp", "interface", uri.Interface, "mode", t.mode(), "why", t.reason)
			return t, nil
		}
		if errors.Is(err, ErrConfig) && !errors.Is(err, ErrUnsupported) {
			return nil, err // udp could not use it either, or not as it was asked for
		}
		why = "auto: " + err.Error()
	}
	t, err := openUDP(cfg, uri, log, why)
	if err == nil {
		log.Info("blaze: auto:// took udp", "why", why)
	}
	return t, err
}

func openUDP(cfg *Config, uri *URI, log *slog.Logger, why string) (*transport, error) {
	name := "udp"
	if uri.Scheme == "pointcast" {
		name = "pointcast"
	} else if uri.Interface == "" {
		log.Info("blaze: no interface is named, so the channel stays on loopback: nothing leaves this host",
			"uri", cfg.BroadcastURI, "remedy", "add ?interface=NAME")
	}
	d, err := udp.Open(udp.Config{
		Group: uri.Group, Peers: uri.Peers, Bind: uri.Bind, Interface: uri.Interface,
		TTL: uri.TTL, MTU: uri.MTU, DSCP: uri.DSCP, BusyPoll: uri.BusyPoll, GSO: uri.GSO, Logger: log,
	})
	if err != nil {
		return nil, driverError(cfg.BroadcastURI, err)
	}
	return &transport{Driver: d, name: name, reason: why, udp: d, mode: func() string { return "sockets" }, socket: "kernel"}, nil
}

func openXDP(cfg *Config, uri *URI, log *slog.Logger) (*transport, error) {
	if uri.Interface == "" {
		return nil, &configError{field: "BroadcastURI", value: cfg.BroadcastURI, want: "xdp needs an interface: add ?interface=NAME"}
	}
	mtu := uri.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	var onKick func()
	if hook.Trace != nil {
		onKick = hook.Trace.Kicking
	}
	d, err := xdp.Open(xdp.Config{
		Breakdown: hook.Trace != nil, OnKick: onKick,
		Group: uri.Group, Interface: uri.Interface, Cluster: wire.ClusterHash(cfg.Cluster), Queue: uri.Queue, Queues: uri.Queues,
		Mode: uri.Mode, ZeroCopy: uri.ZeroCopy, Socket: uri.Socket,
		TTL: uri.TTL, MTU: uri.MTU, DSCP: uri.DSCP, BusyPoll: uri.BusyPoll,
		Split: !cfg.Invoker, QueueBuffers: cfg.queueBuffers(mtu - ipHeaders),
		Buffers: cfg.poolBuffers(mtu - ipHeaders), Tap: uri.Tap, Logger: log,
	})
	if err != nil {
		return nil, driverError(cfg.BroadcastURI, err)
	}
	t := &transport{Driver: d, name: "xdp", reason: d.Reason(), xdp: d, mode: d.Mode, socket: uri.Socket}
	if uri.Lanes == "subscribed" {
		t.lanes, _ = t.Driver.(laneFilter)
	}
	return t, nil
}

// driverError gives a driver's error the sentinel of this package that it belongs to.
func driverError(uri string, err error) error {
	switch {
	case errors.Is(err, udp.ErrConfig), errors.Is(err, xdp.ErrConfig):
		return fmt.Errorf("%w: %s: %w", ErrConfig, uri, err)
	case errors.Is(err, udp.ErrUnsupported), errors.Is(err, xdp.ErrUnsupported), errors.Is(err, xdp.ErrPrivilege):
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, uri, err)
	}
	return fmt.Errorf("blaze: %s: %w", uri, err)
}

// newPool makes the packet memory: the driver's own where it has some, so that nothing is copied
// between the two.
func (t *transport) newPool(cfg *Config) *buf.Pool {
	if t.xdp != nil {
		return t.xdp.Pool()
	}
	return buf.NewPool(cfg.poolBuffers(t.Datagram()), bufferSize(t.Datagram()))
}

// stats adds what a channel has once, however many engines. It belongs to the first engine's thread.
func (t *transport) stats(s *Stats) {
	s.Transport, s.Reason, s.Mode, s.Socket = t.name, t.reason, t.mode(), t.socket
	s.Room, s.Payload = t.Room(), t.Datagram()
	if t.udp != nil {
		s.UDP = t.udp.Stats()
	}
}
