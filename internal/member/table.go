package member

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// Consumer is one subscription as an engine's thread sees it.
type Consumer interface {
	// Ready reports whether Deliver can take a message now. A consumer that is not ready holds
	// up its streams.
	Ready(now clock.Time) bool
	// Deliver takes one message; topic is d.Topic as a string that may be kept. Everything in
	// d is lent for the call.
	Deliver(now clock.Time, topic string, d *core.Delivery)
	// Lost takes the news of messages that will never come.
	Lost(l *core.Loss)
}

// Divided is a Consumer that several engines may hand messages to at the same time.
type Divided interface {
	Consumer
	// At is the Consumer for the engine of that number, from 0: only that engine's thread calls
	// its methods. The same number names the same Consumer, or one that takes its place.
	At(engine int) Consumer
}

// Table holds the subscriptions. It outlives members: subscriptions stay when a channel stops and
// starts again. Any goroutine may call its methods. Each engine of the one member that is at work
// reads it through listeners of its own.
type Table struct {
	mu        sync.Mutex
	subs      atomic.Pointer[[]subscription] // replaced, never changed
	listeners atomic.Pointer[[]*listeners]   // of the member at work, by engine; replaced, never changed
}

type subscription struct {
	pattern string
	to      Consumer
}

// NewTable makes an empty table.
func NewTable() *Table {
	t := &Table{}
	t.subs.Store(new([]subscription))
	t.listeners.Store(new([]*listeners))
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

// Remove ends what c was subscribed to. The engines' threads may still be inside c.
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

// Resume marks that a consumer which was not ready is ready now. The caller then wakes the engines.
func (t *Table) Resume() {
	for _, l := range *t.listeners.Load() {
		l.resumed.Store(true)
	}
}

// Empty reports whether there is no subscription.
func (t *Table) Empty() bool { return len(*t.subs.Load()) == 0 }

// share makes the listeners of a member's engines, in place of the last member's.
func (t *Table) share(engines int) []*listeners {
	all := make([]*listeners, engines)
	for i := range all {
		all[i] = &listeners{table: t, engine: i, cache: map[string]*resolved{}}
	}
	t.listeners.Store(&all)
	return all
}

// patterns returns the pattern of each subscription.
func (t *Table) patterns() (all []string) {
	for _, s := range *t.subs.Load() {
		all = append(all, s.pattern)
	}
	return all
}
