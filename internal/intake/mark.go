package intake

// Mark is a place in an Intake: all that had been queued when it was made.
type Mark struct {
	q     *Intake
	given []uint64 // by inlet
}

// Mark makes a mark; ok is false when the handler has returned from all that was queued.
func (q *Intake) Mark() (m Mark, ok bool) {
	inlets := *q.inlets.Load()
	m = Mark{q, make([]uint64, len(inlets))}
	for i, in := range inlets {
		m.given[i] = in.given.Load()
	}
	_, returned := m.Begun()
	return m, !returned
}

// Begun reports whether the handler has begun all items before the mark, and whether it has returned from them. Both
// are so when the intake has ended.
func (m Mark) Begun() (begun, returned bool) {
	if m.q.ended.Load() {
		return true, true
	}
	inlets := *m.q.inlets.Load()
	begun, returned = true, true
	for i, given := range m.given {
		if i < len(inlets) && inlets[i].taken.Load() < given {
			returned = false
			begun = begun && inlets[i].begun.Load() >= given
		}
	}
	return begun, returned
}
