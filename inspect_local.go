package blaze

import (
	"context"
	"encoding/json"
	"os"

	"github.com/activeblaze/blaze/internal/local"
)

// inspectEnvironment does for any program what Config.Inspect does.
const inspectEnvironment = "BLAZE_INSPECT"

// openLocal begins to show the channel to this user's other programs, if that is asked for. A failure is logged: a channel
// works without being seen.
func (c *Channel) openLocal() {
	if c.cfg.Load().Inspect != "local" && os.Getenv(inspectEnvironment) != "local" {
		return
	}
	failed := func(what string, err error) {
		c.logger().Warn("blaze: this channel cannot be inspected from other programs", "where", what, "error", err)
	}
	if !local.Supported {
		failed("Config.Inspect", ErrUnsupported)
		return
	}
	s, err := local.Start(local.Config{Dir: local.Dir(), Failed: failed, Answer: func(ctx context.Context) ([]byte, error) {
		v, err := c.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(v)
	}})
	if err != nil {
		failed(local.Dir(), err)
		return
	}
	c.local.Store(s)
}

// closeLocal ends that.
func (c *Channel) closeLocal() {
	if s := c.local.Swap(nil); s != nil {
		s.Close()
		c.inspectRefused.Add(s.Refused())
	}
}

// refusedLocally is how many requests from outside were refused, of all that openLocal has opened.
func (c *Channel) refusedLocally() uint64 {
	n := c.inspectRefused.Load()
	if s := c.local.Load(); s != nil {
		n += s.Refused()
	}
	return n
}
