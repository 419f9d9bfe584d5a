package member

import (
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/topic"
)

// Consumer is one subscription as an engine's thread sees it.
type Consumer interface {
	// Ready tells whether Deliver can take a message now. A consumer that is not ready holds
	// up its streams.
	Ready(now clock.Time) bool
	// Deliver takes one message; topic is d.Topic as a string that may be kept. Everything in
	// d is lent for the call.
	Deliver(now clock.Time, topic string, d *core.Delivery)
	// Lost tells of messages that will never come.
	Lost(l *core.Loss)
}

// Divided is a Consumer that several engines may hand messages to at the same time.
type Divided interface {
	Consumer
	// At is the Consumer for the engine of that number, from 0: only that engine's thread calls
	// its methods. The same number names the same Consumer, or one that takes its place.
	At(engine int) Consumer
}

// Table is who listens to what. It outlives members: subscriptions stay when a channel stops
// and starts again. Any goroutine may call its methods; each engine of the one member that is at
// work looks at it through a view of its own.
type Table struct {
	mu    sync.Mutex
	subs  atomic.Pointer[[]subscription] // replaced, never changed
	views atomic.Pointer[[]*view]        // of the member at work; replaced, never changed
}

type subscription struct {
	pattern string
	to      Consumer
}

// NewTable makes an empty table.
func NewTable() *Table {
	t := &Table{}
	t.subs.Store(new([]subscription))
	t.views.Store(new([]*view))
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

// Resume says that a consumer which was not ready is ready now. The caller then wakes the engines.
func (t *Table) Resume() {
	for _, v := range *t.views.Load() {
		v.resumed.Store(true)
	}
}

// Empty tells that nobody listens to anything.
func (t *Table) Empty() bool { return len(*t.subs.Load()) == 0 }

// share makes the views of a member's engines, in place of the last member's.
func (t *Table) share(engines int) []*view {
	views := make([]*view, engines)
	for i := range views {
		views[i] = &view{table: t, engine: i, cache: map[string]*resolved{}}
	}
	t.views.Store(&views)
	return views
}

// view is a Table as one engine's thread sees it. Everything but resumed belongs to that thread.
type view struct {
	_       [128]byte // another engine's may lie beside it
	table   *Table
	engine  int
	resumed atomic.Bool // a consumer that held up its streams can take messages again

	seen  *[]subscription // the version that the rest was made of
	all   []Consumer      // of all that is in it
	cache map[string]*resolved
	last  *resolved // of the last message: most streams carry one topic at a time
	_     [128]byte
}

// resolved is a topic with the consumers that match it, in order of subscription.
type resolved struct {
	topic string
	to    []Consumer
}

// maxCached bounds the topics that are remembered; beyond it the cache starts afresh.
const maxCached = 4096

// settle notes that streams which were held up are looked at again in this turn.
func (v *view) settle() {
	if v.resumed.Load() { // a store would cost each turn a locked instruction
		v.resumed.Store(false)
	}
}

// fresh looks at the table again if it has changed, and returns who listens.
func (v *view) fresh() []subscription {
	subs := v.table.subs.Load()
	if subs != v.seen {
		v.seen, v.last = subs, nil
		clear(v.cache)
		v.all = make([]Consumer, len(*subs))
		for i, s := range *subs {
			v.all[i] = s.to
			if d, ok := s.to.(Divided); ok {
				v.all[i] = d.At(v.engine)
			}
		}
	}
	return *subs
}

// lookup finds the consumers of a topic.
func (v *view) lookup(name []byte) *resolved {
	subs := v.fresh()
	if r := v.last; r != nil && r.topic == string(name) { // compared without a copy
		return r
	}
	r := v.cache[string(name)]
	if r == nil {
		r = &resolved{topic: string(name)}
		for i, s := range subs {
			if topic.Match(s.pattern, name) {
				r.to = append(r.to, v.all[i])
			}
		}
		if len(v.cache) >= maxCached {
			clear(v.cache)
		}
		v.cache[r.topic] = r
	}
	v.last = r
	return r
}

// deliver hands d to everyone who listens, or, when one of them cannot take it now, to nobody.
func (v *view) deliver(now clock.Time, d *core.Delivery) (ok bool) {
	r := v.lookup(d.Topic)
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

func (v *view) lost(l *core.Loss) {
	v.fresh()
	for _, c := range v.all {
		c.Lost(l)
	}
}
