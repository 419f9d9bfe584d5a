package blaze

import (
	"fmt"
	"log/slog"

	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/hook"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/internal/uri"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

func init() {
	hook.Install(func(config any, o hook.Options) { config.(*Config).hooks = o })
}

// attach opens the driver that c's URI asks for.
func (c *Config) attach(log *slog.Logger) (*attach.Attachment, error) {
	u, err := ParseURI(c.BroadcastURI)
	if err != nil {
		return nil, err
	}
	a, err := attach.Open(attach.Config{
		URI: c.BroadcastURI, Default: c.BroadcastURI == uri.Default, Scheme: u.Scheme, Group: u.Group, Peers: u.Peers, Bind: u.Bind, Interface: u.Interface,
		TTL: u.TTL, MTU: u.MTU, DSCP: u.DSCP, BusyPoll: u.BusyPoll, GSO: u.GSO, Loop: u.Loop,
		Queue: u.Queue, Queues: u.Queues, Mode: u.Mode, ZeroCopy: u.ZeroCopy, Socket: u.Socket,
		Subscribed: u.Lanes == "subscribed", Tap: u.Tap,
		Cluster: wire.ClusterHash(c.Cluster), Split: !c.Invoker,
		Buffers: c.poolBuffers, QueueBuffers: c.queueBuffers, Headroom: nack.Headroom, Hooks: c.hooks, Logger: log,
	})
	switch {
	case err == nil:
		return a, nil
	case attach.IsConfig(err):
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	case attach.IsUnsupported(err):
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return nil, fmt.Errorf("blaze: %w", err)
}

// laneFilter is the member's part in lanes=subscribed: its zero value where the URI does not ask
// for that, or the driver cannot.
func laneFilter(a *attach.Attachment, log *slog.Logger) lanes.Filter {
	set := a.LaneFilter()
	if set == nil {
		return lanes.Filter{}
	}
	return lanes.Filter{Set: set, Differs: func(from wire.MemberID, lanes int, _ error) {
		log.Warn("blaze: a member hashes topics over another number of lanes; with lanes=subscribed all members must have the same Config.Lanes; all lanes are received until the next Start",
			"member", MemberID(from), "lanes", lanes)
	}}
}
