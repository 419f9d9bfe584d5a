package member

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/topic"
	"github.com/activeblaze/blaze/wire"
)

// Consumer is one subscription as the engine's thread sees it.
type Consumer interface {
	// Ready tells whether Deliver can take a message now. A consumer that is not ready holds
	// up its streams.
	Ready(now clock.Time) bool
	// Deliver takes one message; topic is d.Topic as a string that may be kept. Everything in
	// d is lent for the call.
	Deliver(now clock.Time, topic string, d *wire.Delivery)
	// Lost tells of messages that will never come.
	Lost(l *wire.Loss)
}

// Table is who listens to what. It outlives members: subscriptions stay when a channel stops
// and starts again. Add, Remove and Resume may be called from any goroutine; everything else belongs to the
// engine's thread of one member at a time.
type Table struct {
	mu   sync.Mutex
	subs atomic.Pointer[[]subscription] // replaced, never changed

	resumed atomic.Bool // a consumer that held up its streams can take messages again

	seen  *[]subscription // the version that the cache below was made of
	cache map[string]*resolved
	last  *resolved // of the last message: most streams carry one topic at a time
}

type subscription struct {
	pattern string
	to      Consumer
}

// resolved is a topic with the consumers that match it, in order of subscription.
type resolved struct {
	topic string
	to    []Consumer
}

// maxCached bounds the topics that are remembered; beyond it the cache starts afresh.
const maxCached = 4096

// NewTable makes an empty table.
func NewTable() *Table {
	t := &Table{cache: map[string]*resolved{}}
	t.subs.Store(new([]subscription))
	return t
}

// Add subscribes c to pattern, which has been validated.
func (t *Table) Add(pattern string, c Consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.subs.Load()
	subs := append(append(make([]subscription, 0, len(old)+1), old...), subscription{pattern, c})
	t.subs.Store(&subs)
}

// Remove ends what c was subscribed to. The engine's thread may still be inside c.
func (t *Table) Remove(c Consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var subs []subscription
	for _, s := range *t.subs.Load() {
		if s.to != c {
			subs = append(subs, s)
		}
	}
	t.subs.Store(&subs)
}

// Resume says that a consumer which was not ready is ready now. Any goroutine may call it;
// the caller then wakes the engine.
func (t *Table) Resume() { t.resumed.Store(true) }

// Empty tells that nobody listens to anything.
func (t *Table) Empty() bool { return len(*t.subs.Load()) == 0 }

// lookup finds the consumers of a topic.
func (t *Table) lookup(name []byte) *resolved {
	subs := t.subs.Load()
	if subs != t.seen {
		t.seen, t.last = subs, nil
		clear(t.cache)
	}
	if r := t.last; r != nil && r.topic == string(name) { // compared without a copy
		return r
	}
	r := t.cache[string(name)]
	if r == nil {
		r = &resolved{topic: string(name)}
		for _, s := range *subs {
			if topic.Match(s.pattern, name) {
				r.to = append(r.to, s.to)
			}
		}
		if len(t.cache) >= maxCached {
			clear(t.cache)
		}
		t.cache[r.topic] = r
	}
	t.last = r
	return r
}

// deliver hands d to everyone who listens, or, when one of them cannot take it now, to nobody.
func (t *Table) deliver(now clock.Time, d *wire.Delivery) (ok bool) {
	r := t.lookup(d.Topic)
	for _, c := range r.to {
		if !c.Ready(now) {
			return false
		}
	}
	for _, c := range r.to {
		c.Deliver(now, r.topic, d)
	}
	return true
}

func (t *Table) lost(l *wire.Loss) {
	for _, s := range *t.subs.Load() {
		s.to.Lost(l)
	}
}
