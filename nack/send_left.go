package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// leftFor is how long the reports of a member are passed over that has left. The Leave came over the group's socket.
// What the member had sent before, to this one alone, may lie in the other socket still, and would make a receiver of it
// that never reports again and that Stop waits for.
const leftFor = 100 * time.Millisecond

// lately holds the members that left last.
type lately struct {
	list [16]struct {
		member wire.MemberID
		until  clock.Time
	}
	next int
}

func (l *lately) add(now clock.Time, member wire.MemberID) {
	l.list[l.next].member, l.list[l.next].until = member, now.Add(leftFor)
	l.next = (l.next + 1) % len(l.list)
}

func (l *lately) has(now clock.Time, member wire.MemberID) bool {
	for i := range l.list {
		if l.list[i].member == member && now < l.list[i].until {
			return true
		}
	}
	return false
}
