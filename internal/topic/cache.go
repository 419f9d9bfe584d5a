package topic

import (
	"sync"
	"sync/atomic"
)

// Cache keeps a value for each of the topics that were asked for last, at most as many as it has room for. Where it is
// full, a topic that nobody has asked for since the hand came by makes room for the next one (second chance, also
// called CLOCK): topics that are in use stay. One goroutine uses it at a time; Shared is for several.
type Cache[V any] struct {
	all  map[string]*cached[V]
	hand hand[V]
}

// NewCache makes an empty cache for so many topics, at least one.
func NewCache[V any](room int) *Cache[V] {
	return &Cache[V]{all: map[string]*cached[V]{}, hand: hand[V]{room: room}}
}

// Get returns the value that is kept for a topic; nil: none. It allocates nothing. The value is lent until the next Put.
func (c *Cache[V]) Get(topic []byte) *V {
	e := c.all[string(topic)] // without a copy
	if e == nil {
		return nil
	}
	e.ask()
	return &e.value
}

// Put keeps a value for a topic that has none, and returns it.
func (c *Cache[V]) Put(topic string, v V) *V {
	place := c.hand.place()
	if *place == nil {
		*place = new(cached[V])
	} else {
		delete(c.all, (*place).topic)
	}
	e := *place // of the topic that has made room, used again
	e.topic, e.value = topic, v
	c.all[topic] = e
	return &e.value
}

// Len is how many topics have a value.
func (c *Cache[V]) Len() int { return len(c.all) }

// Shared is a Cache that any goroutine may use. A value is never changed: what was returned may be kept.
type Shared[V any] struct {
	all  sync.Map // of *cached[V] by topic
	mu   sync.Mutex
	hand hand[V]
}

// NewShared makes an empty cache for so many topics, at least one.
func NewShared[V any](room int) *Shared[V] { return &Shared[V]{hand: hand[V]{room: room}} }

// Get returns the value that is kept for a topic; ok is false when there is none. It takes no lock.
func (s *Shared[V]) Get(topic string) (v V, ok bool) {
	found, ok := s.all.Load(topic)
	if !ok {
		return v, false
	}
	e := found.(*cached[V])
	e.ask()
	return e.value, true
}

// Put keeps a value for a topic, unless another goroutine has done so meanwhile.
func (s *Shared[V]) Put(topic string, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &cached[V]{topic: topic, value: v}
	if _, there := s.all.LoadOrStore(topic, e); there {
		return
	}
	place := s.hand.place()
	if *place != nil {
		s.all.Delete((*place).topic)
	}
	*place = e
}

// Clear forgets all topics.
func (s *Shared[V]) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Clear()
	s.hand.clear()
}

type cached[V any] struct {
	topic string
	asked atomic.Bool // since the hand came by
	value V
}

func (e *cached[V]) ask() {
	if !e.asked.Load() { // a store would cost each call a locked instruction
		e.asked.Store(true)
	}
}

// hand goes around all topics of a cache and finds which one has to go.
type hand[V any] struct {
	room int
	all  []*cached[V]
	at   int
}

// place is where the next topic goes: nil, or what has to go first.
func (h *hand[V]) place() **cached[V] {
	if len(h.all) < h.room {
		h.all = append(h.all, nil)
		return &h.all[len(h.all)-1]
	}
	for h.all[h.at].asked.Swap(false) {
		h.at = (h.at + 1) % h.room
	}
	place := &h.all[h.at]
	h.at = (h.at + 1) % h.room
	return place
}

func (h *hand[V]) clear() { h.all, h.at = nil, 0 }
