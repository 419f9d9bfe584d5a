package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// outsideAfter is how long a member is outside of the primary before its log says what is missing. Members that start one
// after the other are there by then.
const outsideAfter = 2 * time.Second

// outage is a time outside of the primary, for the log.
type outage struct {
	since clock.Time // 0: there is none
	due   clock.Time // when the log is to say so; 0: it has, or there is nothing to say
	said  string
}

// begun notes that the member is outside of the primary.
func (o *outage) begun(now clock.Time) {
	if o.since == 0 {
		o.since = now
	}
	o.due = max(o.since.Add(outsideAfter), now)
}

// tellOutside says in the log, once for each state of affairs, which seats are missing.
func (c *Core) tellOutside(now clock.Time) {
	if at, ok := c.nextTold(); !ok || now < at {
		return
	}
	c.outage.due = 0
	s := c.Status(now)
	var missing []string
	for _, v := range s.Missing {
		missing = append(missing, c.seatName(v.Seat))
	}
	text := "outside of the primary component: " + s.Why
	if s.Need != "" {
		text += "; a quorum is " + s.Need
	}
	if len(missing) > 0 {
		text += "; missing: " + strings.Join(missing, ", ")
	}
	if text != c.outage.said {
		c.outage.said = text
		c.warn(now, Warn, c.cfg.Self, "%s", text)
	}
}

// nextTold is when tellOutside has something to say.
func (c *Core) nextTold() (at clock.Time, ok bool) {
	return c.outage.due, c.outage.due != 0 && c.phase == Outside && !c.failed && !c.closing
}

// seatName is a seat, with the name of the member that had it when the replica last heard of it.
func (c *Core) seatName(seat wire.Seat) string {
	id := fmt.Sprintf("seat %x-%x-%x-%x", seat[:4], seat[4:8], seat[8:12], seat[12:]) // as status shows it
	if c.state != nil {
		for _, m := range c.state.Members() {
			if m.Seat == seat && m.Name != "" {
				return fmt.Sprintf("%s (%q)", id, m.Name)
			}
		}
	}
	return id
}
