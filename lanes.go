package blaze

import (
	"log/slog"

	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/wire"
)

// laneFilter is a driver that can keep lanes of the group away from a member; nil: none. It
// belongs to the engine's thread.
type laneFilter interface{ SetLanes(lanes []uint32) error }

// filter is the member's part in lanes=subscribed: its zero value where the URI does not ask for
// that, or the driver cannot.
func (t *transport) filter(log *slog.Logger) member.Filter {
	if t.lanes == nil {
		return member.Filter{}
	}
	return member.Filter{
		Set: func(lanes []uint32) error {
			err := t.lanes.SetLanes(lanes)
			if err == nil {
				return nil
			}
			log.Warn("blaze: the driver cannot be told which lanes are wanted, so it is to take them all", "error", err)
			if err = t.lanes.SetLanes(nil); err != nil {
				log.Error("blaze: messages in some lanes may not be heard", "error", err)
			}
			return err
		},
		Differs: func(from wire.MemberID, lanes int, _ error) {
			log.Warn("blaze: a member hashes topics over another number of lanes; with lanes=subscribed all members must have the same Config.Lanes; until the next Start every lane is heard",
				"member", MemberID(from), "lanes", lanes)
		},
	}
}

// hear has the lanes heard that listen wants, which is called where the engine's state may be
// touched.
func (r *running) hear(listen func(*member.Member) error) (err error) {
	if r.filters {
		r.ask(func() { err = listen(r.member) })
	}
	return err
}
