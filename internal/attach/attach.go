// Package attach opens the driver that a URI asks for: udp, xdp, or with auto whichever can be
// had. It puts in between what measurements want, and holds packet memory.
package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/pages"
	"github.com/activeblaze/blaze/udp"
	"github.com/activeblaze/blaze/wire"
	"github.com/activeblaze/blaze/xdp"
)

// Config says what to attach to. All fields are taken as valid.
type Config struct {
	URI     string // as the user wrote it, for messages; the fields up to Tap are its parts
	Default bool   // the user wrote none

	Scheme         string // "udp", "xdp", "auto" or "pointcast"
	Group          netip.AddrPort
	Peers          []netip.AddrPort
	Bind           netip.AddrPort
	Interface      string
	TTL, MTU, DSCP int // MTU 0: the interface's, at most DefaultMTU
	BusyPoll       time.Duration
	GSO, Loop      string
	Queue, Queues  int
	Mode, ZeroCopy string
	Socket         string
	Subscribed     bool // lanes that are not wanted are kept away, if the driver can do that
	Tap            string

	Cluster      uint64                 // wire.ClusterHash of the cluster's name
	Split        bool                   // each further queue has an engine of its own
	Buffers      func(datagram int) int // packet buffers that cores need, for datagrams of that size in bytes
	QueueBuffers func(datagram int) int // the same for an engine that only receives
	Headroom     int                    // bytes of a buffer besides the datagram
	Hooks        hook.Options
	Logger       *slog.Logger
}

const (
	DefaultMTU = 1500
	IPHeaders  = 28 // what MTU has besides the datagram: IPv4 without options, and UDP
)

// Attachment is what a channel holds from Init to Shutdown: a driver, and packet memory.
type Attachment struct {
	Ports  []*Port // one for each engine; the first one's engine sends, and has all the methods below but Close
	Name   string  // "udp", "xdp" or "pointcast"
	Reason string  // why that one, and how it runs
	Socket string  // "kernel", "own" or "asavie"

	udp        *udp.Driver // nil unless that is the driver
	packets    []byte      // its packet memory
	xdp        *xdp.Driver // nil unless that is the driver
	subscribed bool        // Config.Subscribed
	log        *slog.Logger
}

// Open opens the driver that cfg asks for. An error names the URI; IsConfig and
// IsUnsupported say of which kind it is.
func Open(cfg Config) (*Attachment, error) {
	a, err := open(&cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.URI, statement(err))
	}
	a.log, a.subscribed = cfg.Logger, cfg.Subscribed
	a.addPorts(&cfg)
	a.logOpen(&cfg)
	return a, nil
}

func open(cfg *Config) (*Attachment, error) {
	switch cfg.Scheme {
	case "xdp":
		return openXDP(cfg)
	case "auto":
		return openAuto(cfg)
	}
	return openUDP(cfg, "the URI says so")
}

// openAuto takes xdp where it can be had and udp elsewhere, and says why.
func openAuto(cfg *Config) (*Attachment, error) {
	why := "auto: no interface is named, so this member stays on loopback"
	if cfg.Interface != "" {
		a, err := openXDP(cfg)
		if err == nil {
			a.Reason = "auto: " + a.Reason
			return a, nil
		}
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return nil, err // the host could, and this process as well with more descriptors
		}
		// Where udp cannot be had either, for the same reason or another, its error counts.
		why = "auto: " + statement(err).Error()
	}
	return openUDP(cfg, why)
}

// loggedLoopback is whether a channel of this process has logged that it stays on loopback.
var loggedLoopback atomic.Bool

// logOpen writes the one line that Init has for an administrator.
func (a *Attachment) logOpen(cfg *Config) {
	switch {
	case cfg.Scheme != "pointcast" && cfg.Interface == "":
		level := slog.LevelInfo
		if cfg.Default || loggedLoopback.Swap(true) {
			level = slog.LevelDebug
		}
		cfg.Logger.Log(context.Background(), level, "blaze: no interface is named, so the channel stays on loopback: nothing leaves this host",
			"uri", cfg.URI, "remedy", "add ?interface=NAME")
	case a.xdp != nil || cfg.Scheme == "auto":
		cfg.Logger.Info("blaze: "+cfg.Scheme+":// took "+a.Name, "interface", cfg.Interface, "mode", a.Mode(), "why", a.Reason)
	}
}

func openUDP(cfg *Config, why string) (*Attachment, error) {
	name := "udp"
	if cfg.Scheme == "pointcast" {
		name = "pointcast"
	}
	d, err := udp.Open(udp.Config{
		Group: cfg.Group, Peers: cfg.Peers, Bind: cfg.Bind, Interface: cfg.Interface,
		TTL: cfg.TTL, MTU: cfg.MTU, DSCP: cfg.DSCP, BusyPoll: cfg.BusyPoll, GSO: cfg.GSO, Loop: cfg.Loop, First: wire.First,
		Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	size := cfg.Buffers(d.Datagram()) * (d.Datagram() + cfg.Headroom)
	packets, err := pages.Packets(size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot map %d MiB of packet memory: %w (a smaller window needs less)", size>>20, err), d.Close())
	}
	return &Attachment{Name: name, Reason: why, Socket: "kernel", udp: d, packets: packets}, nil
}

func openXDP(cfg *Config) (*Attachment, error) {
	mtu := cfg.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	var onKick func()
	if cfg.Hooks.Trace != nil {
		onKick = cfg.Hooks.Trace.Kicking
	}
	d, err := xdp.Open(xdp.Config{
		Breakdown: cfg.Hooks.Trace != nil, OnKick: onKick,
		Group: cfg.Group, Interface: cfg.Interface, Cluster: cfg.Cluster, Queue: cfg.Queue, Queues: cfg.Queues,
		Mode: cfg.Mode, ZeroCopy: cfg.ZeroCopy, Socket: cfg.Socket,
		TTL: cfg.TTL, MTU: cfg.MTU, DSCP: cfg.DSCP, BusyPoll: cfg.BusyPoll,
		Split: cfg.Split, QueueBuffers: cfg.QueueBuffers(mtu - IPHeaders),
		Buffers: cfg.Buffers(mtu - IPHeaders), Tap: cfg.Tap, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &Attachment{Name: "xdp", Reason: d.Reason(), Socket: cfg.Socket, xdp: d}, nil
}

// newPool makes the packet memory: the driver's own where it has some, so that nothing is copied
// between the two.
func (a *Attachment) newPool(cfg *Config) *buf.Pool {
	if a.xdp != nil {
		return a.xdp.Pool()
	}
	return buf.NewPoolOver(a.packets, a.udp.Datagram()+cfg.Headroom, 0, 0, 0)
}

// Mode is how packets travel: "sockets", or how xdp runs, such as "generic copy".
func (a *Attachment) Mode() string {
	if a.xdp != nil {
		return a.xdp.Mode()
	}
	return "sockets"
}

// Addr is the address that the driver names e. Any goroutine may call it.
func (a *Attachment) Addr(e buf.Endpoint) netip.AddrPort {
	if a.xdp != nil {
		return a.xdp.Addr(e)
	}
	return a.udp.Addr(e)
}

// NoWay says why nothing can leave at the moment, such as "the interface is gone". It is empty where something can. It
// belongs to the first engine's thread.
func (a *Attachment) NoWay() string {
	if a.xdp != nil {
		return a.xdp.NoWay()
	}
	return a.udp.NoWay()
}

// UDP returns the counters of the sockets, which are zero over xdp.
func (a *Attachment) UDP() udp.Stats {
	if a.udp == nil {
		return udp.Stats{}
	}
	return a.udp.Stats()
}

// Discard drops what came while the channel was stopped.
func (a *Attachment) Discard() {
	for _, p := range a.Ports {
		p.discard()
	}
}

// Close closes the driver. Buffers that were not given back are a panic.
func (a *Attachment) Close() error {
	first := a.Ports[0]
	// Buffers that are not given back are our own bug, and worth knowing at once: packet memory
	// leaks. A driver that owns the memory accounts for it better than the pool.
	if free, all := first.Pool.Free(), first.Pool.Count(); free != all && a.xdp == nil {
		panic(fmt.Sprintf("blaze: %d of %d buffers were not given back", all-free, all))
	}
	err := errors.Join(first.Driver.Close(), pages.Free(a.packets))
	a.packets = nil
	if errors.Is(err, xdp.ErrLeak) {
		panic(fmt.Sprintf("blaze: %v", err))
	}
	return err
}
