package held

import "slices"

// Clients are the members that have connections, in no order. A new master looks through them: one may have left while
// nobody noticed.
func (m *Machine) Clients() []Member {
	var all []Member
	for id, c := range m.state.clients {
		if !c.left && len(c.conns) > 0 {
			all = append(all, id)
		}
	}
	return all
}

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
