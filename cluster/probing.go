package cluster

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// probe shows one step to Config.Probe.
func (c *Core) probe(now clock.Time, p *Probe) {
	if c.last != nil {
		p.Chain, p.Epoch = c.last.Chain, c.last.Epoch
	}
	if p.Opening != nil {
		p.Chain, p.Epoch = p.Opening.Primary.Chain, p.Opening.Primary.Epoch
	} else if c.state != nil {
		p.Chain, p.Epoch = c.state.Primary().Chain, c.state.Primary().Epoch
	}
	if c.state != nil {
		p.Index, p.Hash = c.state.Index(), c.state.Hash()
	}
	c.cfg.Probe(now, p)
}

// probeOp shows one operation that was counted, or refused as a whole.
func (c *Core) probeOp(now clock.Time, s *step, op *wire.ClusterOp, r Result, own *slot, grants []ProbeGrant) {
	if c.cfg.Probe == nil {
		return
	}
	p := &Probe{Kind: ProbeApplied, By: s.by, Op: op, Code: r.Code, Result: r.Token, Grants: grants}
	if op != nil && op.Kind == wire.OpService {
		p.Answer = c.state.services.answer
	}
	if op != nil && op.Kind == wire.OpPut && r.Code == CodeOK {
		p.Result = r.Index
	}
	if own != nil && own.own == notOwn {
		p.Call = own.number
	}
	c.probe(now, p)
}
