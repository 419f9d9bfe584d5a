package attach

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/lossy"
	"github.com/activeblaze/blaze/internal/traced"
	"github.com/activeblaze/blaze/udp"
	"github.com/activeblaze/blaze/xdp"
)

// Port is what one engine receives from.
type Port struct {
	Driver engine.Driver // what the engine uses
	Pool   *buf.Pool     // its packet memory

	below engine.Driver // the driver below what measurements put in between
	lossy *lossy.Driver // nil unless datagrams are lost on purpose
}

func (a *Attachment) addPorts(cfg *Config) {
	var below engine.Driver = a.udp
	if a.xdp != nil {
		below = a.xdp
	}
	driver := below
	if cfg.Hooks.Trace != nil && a.xdp != nil {
		driver = traced.Wrap(driver, a.xdp, cfg.Hooks.Trace)
	}
	a.addPort(below, driver, a.newPool(cfg), &cfg.Hooks)
	if a.xdp != nil {
		for _, q := range a.xdp.Queues() {
			a.addPort(q, q, q.Pool(), &cfg.Hooks)
		}
	}
}

// addPort adds a port that loses and delays what a measurement wants lost and late.
func (a *Attachment) addPort(below, driver engine.Driver, pool *buf.Pool, hooks *hook.Options) {
	p := &Port{below: below, Driver: driver, Pool: pool}
	if hooks.Drop > 0 {
		p.lossy = lossy.Wrap(p.Driver, hooks.Drop, hooks.Seed+uint64(len(a.Ports)))
		p.Driver = p.lossy
	}
	if hooks.Delay > 0 {
		p.Driver = lossy.WrapLate(p.Driver, hooks.Delay, engine.Now)
	}
	a.Ports = append(a.Ports, p)
}

// XDP returns the counters of the port's AF_XDP socket, which are zero over sockets.
func (p *Port) XDP() xdp.Stats {
	if x, ok := p.below.(interface{ Stats() xdp.Stats }); ok {
		return x.Stats()
	}
	return xdp.Stats{}
}

// InjectedLoss returns how many datagrams were dropped on purpose.
func (p *Port) InjectedLoss() uint64 {
	if p.lossy == nil {
		return 0
	}
	return p.lossy.Dropped()
}

func (p *Port) discard() {
	var batch [engine.Batch]buf.Received
	for empty, reads := 0, 0; empty < 3 && reads < 1<<16; reads++ { // one may bring nothing but own copies, which are dropped
		engine.LookAtAll(p.below)
		if empty++; p.below.Recv(batch[:]) > 0 {
			empty = 0
		}
	}
}

var (
	_ engine.Driver = (*udp.Driver)(nil)
	_ engine.Driver = (*xdp.Driver)(nil)
	_ engine.Driver = (*xdp.Queue)(nil)

	_ engine.Follower = (*udp.Driver)(nil)
	_ engine.Follower = (*xdp.Driver)(nil)
	_ engine.Follower = (*xdp.Queue)(nil)
)
