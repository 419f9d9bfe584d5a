package attach

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
)

// SetPeers returns the function that changes which members the group stands for, for the first engine's
// thread. It is nil where the driver has multicast.
func (a *Attachment) SetPeers() func(members []buf.Endpoint) {
	p, ok := a.Ports[0].below.(engine.PeerSetter)
	if !ok || a.Name != "pointcast" {
		return nil
	}
	return p.SetPeers
}
