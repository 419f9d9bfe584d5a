package member

import (
	"cmp"
	"slices"
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

	seen    *version // that the rest was made of
	all     []*listener
	tree    topic.Tree[*listener]
	matches []*listener // of the last look-up in the tree
	cache   *topic.Cache[resolved]
	last    *resolved // of the last message: most streams carry one topic at a time
	_       [128]byte
}

// listener is a subscription with what this engine hands to.
type listener struct {
	subscription
	local Consumer
}

// resolved is a topic with the listeners that match it, in order of subscription.
type resolved struct {
	topic  string
	to     []*listener
	number uint64 // of the version in which that was so
}

// MaxCachedTopics bounds the topics that are remembered in one place; one that was not used for long makes room for the next.
const MaxCachedTopics = 16384

// TopicBytes is what a remembered topic takes, about: its name, of up to topic.MaxLen bytes, and its places in a cache.
const TopicBytes = topic.MaxLen + 145

func newListeners(t *Table, engine int) *listeners {
	return &listeners{table: t, engine: engine, seen: new(version), cache: topic.NewCache[resolved](MaxCachedTopics)}
}

// settle clears resumed: this turn delivers from the streams that were held up.
func (l *listeners) settle() {
	if l.resumed.Load() { // a store would cost each turn a locked instruction
		l.resumed.Store(false)
	}
}

// fresh takes what has changed in the table.
func (l *listeners) fresh() {
	now := l.table.now.Load()
	if now == l.seen {
		return
	}
	if missed := now.number - l.seen.number; missed <= uint64(len(now.changes)) {
		for _, c := range now.changes[uint64(len(now.changes))-missed:] {
			if c.gone {
				l.remove(&c.subscription)
			} else {
				l.add(c.subscription)
			}
		}
	} else {
		l.all, l.tree = nil, topic.Tree[*listener]{}
		for _, s := range now.subs {
			l.add(s)
		}
	}
	l.seen = now
}

func (l *listeners) add(s subscription) {
	n := &listener{s, s.to}
	if d, ok := s.to.(Divided); ok {
		n.local = d.At(l.engine)
	}
	l.all = append(l.all, n)
	l.tree.Add(s.pattern, n)
}

func (l *listeners) remove(s *subscription) {
	i, ok := slices.BinarySearchFunc(l.all, s.serial, func(n *listener, serial uint64) int { return cmp.Compare(n.serial, serial) })
	if !ok {
		return
	}
	n := l.all[i]
	l.all = slices.Delete(l.all, i, i+1)
	l.tree.Remove(n.pattern, func(o *listener) bool { return o == n })
}

// lookup returns the listeners of a topic.
func (l *listeners) lookup(name []byte) *resolved {
	l.fresh()
	r := l.last
	if r == nil || r.topic != string(name) { // compared without a copy
		if r = l.cache.Get(name); r == nil {
			t := string(name)
			r = l.cache.Put(t, resolved{topic: t, number: ^l.seen.number})
		}
		l.last = r
	}
	if r.number != l.seen.number {
		l.resolve(r, name)
	}
	return r
}

// resolve finds the listeners of a topic anew. Where they are those of before it allocates nothing.
func (l *listeners) resolve(r *resolved, name []byte) {
	l.matches = l.tree.Append(l.matches[:0], name)
	slices.SortFunc(l.matches, func(a, b *listener) int { return cmp.Compare(a.serial, b.serial) })
	if !slices.Equal(l.matches, r.to) {
		r.to = slices.Clone(l.matches)
	}
	r.number = l.seen.number
	clear(l.matches)
}

// deliver hands d to all consumers of its topic, or to none when one of them cannot take it now.
func (l *listeners) deliver(now clock.Time, d *core.Delivery) (ok bool) {
	r := l.lookup(d.Topic)
	for _, n := range r.to {
		if !n.local.Ready(now) {
			return false
		}
	}
	for _, n := range r.to {
		n.local.Deliver(now, r.topic, d)
	}
	return true
}

func (l *listeners) lost(what *core.Loss) {
	l.fresh()
	for _, n := range l.all {
		n.local.Lost(what)
	}
}
