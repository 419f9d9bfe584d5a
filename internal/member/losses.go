package member

import (
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// LossView is a loss that was reported.
type LossView struct {
	At clock.Time
	core.Loss
}

// KeptLosses is how many losses each engine remembers.
const KeptLosses = 256

// losses are the last losses of one engine, in turn.
type losses struct {
	list []LossView // nil before the first
	n    int
}

func (l *losses) note(now clock.Time, what *core.Loss) {
	if l.list == nil {
		l.list = make([]LossView, KeptLosses)
	}
	l.list[l.n%KeptLosses] = LossView{now, *what}
	l.n++
}

// LookLosses copies the last losses of an engine, the oldest first. It belongs to that engine's thread.
func (m *Member) LookLosses(engine int) (all []LossView) {
	l := &m.units[engine].losses
	for i := max(0, l.n-KeptLosses); i < l.n; i++ {
		all = append(all, l.list[i%KeptLosses])
	}
	return all
}
