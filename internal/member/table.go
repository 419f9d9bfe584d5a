package member

import (
	"slices"
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
	serial    uint64                       // of the last subscription
	now       atomic.Pointer[version]      // replaced, never changed
	listeners atomic.Pointer[[]*listeners] // of the member at work, by engine; replaced, never changed
}

// version is the subscriptions after so many changes. Listeners that are not far behind take the changes alone.
// Versions share what lies behind their slices: nothing in them is ever written twice.
type version struct {
	number  uint64
	subs    []subscription // in order of their serials
	changes []change       // the last ones that led here
}

type subscription struct {
	serial  uint64
	pattern string
	to      Consumer
}

type change struct {
	subscription
	gone bool // it was taken out
}

// keptChanges is how many changes listeners may be behind without reading all subscriptions again.
const keptChanges = 1024

// NewTable makes an empty table.
func NewTable() *Table {
	t := &Table{}
	t.now.Store(new(version))
	t.listeners.Store(new([]*listeners))
	return t
}

// Add subscribes c to pattern, which has been validated.
func (t *Table) Add(pattern string, c Consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial++
	s := subscription{t.serial, pattern, c}
	t.store(append(t.now.Load().subs, s), change{subscription: s})
}

// Remove ends what c was subscribed to. The engines' threads may still be inside c.
func (t *Table) Remove(c Consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.now.Load()
	var subs []subscription
	var gone []change
	for _, s := range old.subs {
		if s.to == c {
			gone = append(gone, change{s, true})
		} else {
			subs = append(subs, s)
		}
	}
	if len(gone) > 0 {
		t.store(subs, gone...)
	}
}

// store makes the next version.
func (t *Table) store(subs []subscription, made ...change) {
	old := t.now.Load()
	kept := old.changes
	if len(kept) >= 2*keptChanges {
		kept = slices.Clone(kept[len(kept)-keptChanges:])
	}
	t.now.Store(&version{number: old.number + uint64(len(made)), subs: subs, changes: append(kept, made...)})
}

// Resume marks that a consumer which was not ready is ready now. The caller then wakes the engines.
func (t *Table) Resume() {
	for _, l := range *t.listeners.Load() {
		l.resumed.Store(true)
	}
}

// Empty reports whether there is no subscription.
func (t *Table) Empty() bool { return len(t.now.Load().subs) == 0 }

// share makes the listeners of a member's engines, in place of the last member's.
func (t *Table) share(engines int) []*listeners {
	all := make([]*listeners, engines)
	for i := range all {
		all[i] = newListeners(t, i)
	}
	t.listeners.Store(&all)
	return all
}

// patterns returns the pattern of each subscription.
func (t *Table) patterns() (all []string) {
	for _, s := range t.now.Load().subs {
		all = append(all, s.pattern)
	}
	return all
}
