package topic

// Cache keeps a value for each of the topics that were asked for last, at most as many as it has room for. Where it is
// full, a topic that nobody has asked for since the hand came by makes room for the next one (second chance, also
// called CLOCK): topics that are in use stay. One goroutine uses it at a time.
type Cache[V any] struct {
	room int
	all  map[string]*cached[V]
	ring []*cached[V]
	hand int // where in the ring the next one that has to go is looked for
}

type cached[V any] struct {
	topic string
	asked bool // since the hand came by
	value V
}

// NewCache makes an empty cache for so many topics, at least one.
func NewCache[V any](room int) *Cache[V] {
	return &Cache[V]{room: room, all: map[string]*cached[V]{}}
}

// Get returns the value that is kept for a topic; nil: none. It allocates nothing. The value is lent until the next Put.
func (c *Cache[V]) Get(topic []byte) *V {
	e := c.all[string(topic)] // without a copy
	if e == nil {
		return nil
	}
	if !e.asked {
		e.asked = true
	}
	return &e.value
}

// Put keeps a value for a topic that has none, and returns it.
func (c *Cache[V]) Put(topic string, v V) *V {
	var e *cached[V]
	if len(c.ring) < c.room {
		e = new(cached[V])
		c.ring = append(c.ring, e)
	} else {
		for e = c.ring[c.hand]; e.asked; e = c.ring[c.hand] {
			e.asked = false
			c.hand = (c.hand + 1) % c.room
		}
		c.hand = (c.hand + 1) % c.room
		delete(c.all, e.topic)
	}
	*e = cached[V]{topic: topic, value: v}
	c.all[topic] = e
	return &e.value
}

// Len is how many topics have a value.
func (c *Cache[V]) Len() int { return len(c.all) }
