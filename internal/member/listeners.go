package member

import (
	"sync/atomic"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/topic"
)

// listeners is a Table as one engine's thread uses it. Everything but resumed belongs to that thread.
type listeners struct {
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

// settle clears resumed: this turn delivers from the streams that were held up.
func (l *listeners) settle() {
	if l.resumed.Load() { // a store would cost each turn a locked instruction
		l.resumed.Store(false)
	}
}

// fresh reads the table again if it has changed, and returns the subscriptions.
func (l *listeners) fresh() []subscription {
	subs := l.table.subs.Load()
	if subs != l.seen {
		l.seen, l.last = subs, nil
		clear(l.cache)
		l.all = make([]Consumer, len(*subs))
		for i, s := range *subs {
			l.all[i] = s.to
			if d, ok := s.to.(Divided); ok {
				l.all[i] = d.At(l.engine)
			}
		}
	}
	return *subs
}

// lookup returns the consumers of a topic.
func (l *listeners) lookup(name []byte) *resolved {
	subs := l.fresh()
	if r := l.last; r != nil && r.topic == string(name) { // compared without a copy
		return r
	}
	r := l.cache[string(name)]
	if r == nil {
		r = &resolved{topic: string(name)}
		for i, s := range subs {
			if topic.Match(s.pattern, name) {
				r.to = append(r.to, l.all[i])
			}
		}
		if len(l.cache) >= maxCached {
			clear(l.cache)
		}
		l.cache[r.topic] = r
	}
	l.last = r
	return r
}

// deliver hands d to all consumers of its topic, or to none when one of them cannot take it now.
func (l *listeners) deliver(now clock.Time, d *core.Delivery) (ok bool) {
	r := l.lookup(d.Topic)
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

func (l *listeners) lost(what *core.Loss) {
	l.fresh()
	for _, c := range l.all {
		c.Lost(what)
	}
}
