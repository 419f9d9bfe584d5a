package held

import (
	"bytes"
	"slices"
)

// Clients are the members that have connections, in ascending order. A new master looks through them: one may have left while
// nobody noticed.
func (m *Machine) Clients() []Member {
	var all []Member
	for id, c := range m.state.clients {
		if len(c.conns) > 0 {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(a, b Member) int { return bytes.Compare(a[:], b[:]) })
	return all
}

// Subscribed counts the times that subscriptions came or went: while it stays, Topics does.
func (m *Machine) Subscribed() uint64 { return m.subscribed }

// Topics are the patterns of all subscriptions, each once, in ascending order: the master feeds them with what is
// published NON_PERSISTENT.
func (m *Machine) Topics() []string {
	var all []string
	for _, q := range m.state.subs {
		all = append(all, q.sub.topic)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
