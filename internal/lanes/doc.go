// Package lanes hashes topics over the lanes of a group, and keeps the list of lanes that a member
// wants to receive. A driver that can filter by lane is given that list.
package lanes

import "hash/fnv"

// Of returns the lane that a topic is hashed to: FNV-1a, 32 bits, modulo lanes.
func Of(topic string, lanes int) uint16 {
	if lanes <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic))
	return uint16(h.Sum32() % uint32(lanes))
}
