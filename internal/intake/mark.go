package intake

// Mark is a place in an Intake: all that had been queued when it was made.
type Mark struct {
	q     *Intake
	given []uint64 // by inlet
}

// Mark makes a mark; ok is false when nothing is queued that the handler has not begun.
func (q *Intake) Mark() (m Mark, ok bool) {
	inlets := *q.inlets.Load()
	m = Mark{q, make([]uint64, len(inlets))}
	for i, in := range inlets {
		m.given[i] = in.given.Load()
	}
	return m, !m.Begun()
}

// Begun reports whether the handler has begun all items before the mark, or the intake has ended.
func (m Mark) Begun() bool {
	if m.q.ended.Load() {
		return true
	}
	inlets := *m.q.inlets.Load()
	for i, given := range m.given {
		if i < len(inlets) && max(inlets[i].begun.Load(), inlets[i].taken.Load()) < given {
			return false
		}
	}
	return true
}
