package blaze

import (
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/run"
)

// Watch has h called with what the map holds whose keys begin with prefix: first what is there, in order of keys
// (MapPresent), then every change after it. All members see the same changes in the same order. When this replica takes
// over a state that does not continue its own, h is given MapReset, and then what is there from then on; so it is after
// Stop and Start.
//
// Each watch has a goroutine of its own, on which h runs, one call at a time. h may call anything. Nobody waits for a
// slow h: when it is 1,000,000 events or 64 MiB behind, it begins anew with MapReset, and the log names it. What is in an
// event is shared with the map, and must not be changed.
//
// Watch works in every state; h is called while the channel is started. cancel ends it. It returns when h does not run,
// unless h calls it.
func (m *Map) Watch(prefix string, h func(MapEvent)) (cancel func()) {
	if m.of == nil || h == nil {
		return func() {}
	}
	w := m.c.cluster.replica.Watch(m.of, prefix,
		func(e *cluster.Entry) {
			now := entryOf(e)
			h(MapEvent{Kind: MapPresent, Key: now.Key, New: now})
		},
		func(e *cluster.Event) { h(mapEvent(e)) },
		func() { h(MapEvent{Kind: MapReset}) })
	return w.Cancel
}

func mapEvent(e *cluster.Event) MapEvent {
	out := MapEvent{Key: run.KeyOf(e)}
	switch e.Kind {
	case cluster.EventPut:
		out.Kind, out.By = MapPut, MemberID(e.By)
	case cluster.EventDeleted:
		out.Kind, out.By = MapDeleted, MemberID(e.By)
	case cluster.EventExpired:
		out.Kind = MapExpired
	case cluster.EventOwnerGone:
		out.Kind = MapOwnerGone
	}
	if e.Old != nil {
		out.Old = entryOf(e.Old)
	}
	if e.New != nil {
		out.New = entryOf(e.New)
	}
	return out
}
