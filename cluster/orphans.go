package cluster

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// orphan is a lock whose holder was lost: when the leader may propose its Release.
type orphan struct {
	name  lockName
	token uint64
	due   clock.Time
	where int // in orphans.due
}

func (o *orphan) key() int64  { return int64(o.due) }
func (o *orphan) place() *int { return &o.where }

// lockName is the map and the key of a lock; the map of the master's has no name.
type lockName struct{ table, key string }

// orphans are all locks that are orphaned. They may be many: one lost member may have held a million. So a turn looks at
// those only that it proposes to release.
type orphans struct {
	due   heap[*orphan]
	named map[lockName]*orphan
}

// add notes a lock that was orphaned.
func (l *orphans) add(name lockName, token uint64, due clock.Time) {
	l.forget(name.table, name.key)
	if l.named == nil {
		l.named = map[lockName]*orphan{}
	}
	if name.table != "" {
		due++ // the master's goes before all others of its member
	}
	o := &orphan{name: name, token: token, due: due}
	l.named[name] = o
	l.due.add(o)
}

// forget takes out a lock that is none any more, if it is there.
func (l *orphans) forget(table, key string) {
	if len(l.named) == 0 {
		return
	}
	name := lockName{table, key}
	if o := l.named[name]; o != nil {
		delete(l.named, name)
		l.due.remove(o)
	}
}

// next is when the first of them is due.
func (l *orphans) next() (at clock.Time, ok bool) {
	if len(l.due) == 0 {
		return 0, false
	}
	return l.due[0].due, true
}

// take returns one that is due, or nil. It is due again after some time, in case that its Release has no effect.
func (l *orphans) take(now clock.Time, again time.Duration) *orphan {
	if len(l.due) == 0 || now < l.due[0].due {
		return nil
	}
	o := l.due[0]
	o.due = now.Add(again)
	l.due.down(0)
	return o
}

// shift moves all of them by d.
func (l *orphans) shift(d clock.Time) {
	for _, o := range l.due {
		o.due += d
	}
}
