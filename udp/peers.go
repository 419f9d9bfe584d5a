package udp

import (
	"slices"

	"github.com/activeblaze/blaze/buf"
)

// MaxMembers is how many endpoints SetPeers takes, besides those of Config.Peers.
const MaxMembers = 1024

// peers is what the group stands for without multicast: the addresses of Config.Peers, which stay, and
// endpoints of members that became known later.
type peers struct {
	local  buf.Endpoint
	listed []buf.Endpoint // of Config.Peers, without the own one
}

func newPeers(cfg Config, local buf.Endpoint) (p peers) {
	p.local = local
	for _, a := range cfg.Peers {
		if e := EndpointOf(a); e != local {
			p.listed = append(p.listed, e)
		}
	}
	return p
}

// with returns the endpoints that the group stands for with these members: each once, without the own one.
// It passes over what is no endpoint of a member.
func (p *peers) with(members []buf.Endpoint) []buf.Endpoint {
	all := slices.Clone(members)
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(e buf.Endpoint) bool {
		return e == p.local || uint16(e) == 0 || slices.Contains(p.listed, e)
	})
	return slices.Concat(p.listed, all[:min(len(all), MaxMembers)])
}
