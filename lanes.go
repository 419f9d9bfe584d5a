package blaze

import (
	"log/slog"

	"github.com/activeblaze/blaze/internal/attach"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/wire"
)

// laneFilter is the member's part in lanes=subscribed: its zero value where the URI does not ask
// for that, or the driver cannot.
func laneFilter(a *attach.Attachment, log *slog.Logger) lanes.Filter {
	set := a.LaneFilter()
	if set == nil {
		return lanes.Filter{}
	}
	return lanes.Filter{Set: set, Differs: func(from wire.MemberID, lanes int, _ error) {
		log.Warn("blaze: a member hashes topics over another number of lanes; with lanes=subscribed all members must have the same Config.Lanes; until the next Start every lane is heard",
			"member", MemberID(from), "lanes", lanes)
	}}
}
