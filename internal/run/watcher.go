package run

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// Watcher is a handler of what changes in a Replica. While a run writes it, the handler runs on a goroutine of its own.
type Watcher struct {
	replica *Replica
	name    string // for the log
	serve   func(w *Watcher, c *Cluster)
	gone    chan struct{} // closed by Cancel
	once    sync.Once
	inside  atomic.Uint64 // the goroutine; 0: none
	ended   chan struct{} // closed when the goroutine of this run has ended; nil: there was none; guarded by replica.mu
	quit    chan struct{} // of the run; guarded by replica.mu until the goroutine runs
	told    bool          // the handler was given something; the goroutine's
}

// Watch has a handler called with the events of a map, whose keys begin with prefix: first present, with what is there,
// in order of keys. reset comes first where that does not continue what the handler was given before.
func (p *Replica) Watch(m *ReplicaMap, prefix string, present func(*cluster.Entry), event func(*cluster.Event), reset func()) *Watcher {
	p.watching.Add(1)
	k := &keyWatch{m: m, prefix: prefix, present: present, event: event, reset: reset}
	return p.add(m.name, func(w *Watcher, c *Cluster) {
		k.serve(w)
		m.feed.mu.Lock()
		defer m.feed.mu.Unlock()
		m.feed.end(&k.at)
	})
}

// WatchMaster has h called with the present master, and then with each one that follows.
func (p *Replica) WatchMaster(h func(*Cluster, wire.MemberID)) *Watcher {
	return p.add("OnMaster", func(w *Watcher, c *Cluster) {
		var at reader[wire.MemberID]
		f := &p.masters
		f.mu.Lock()
		f.begin(&at)
		now := p.master
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.end(&at)
		}()
		if now != (wire.MemberID{}) && !w.over() {
			h(c, now)
		}
		for {
			page, ok := next(w, &at)
			if !ok {
				return
			}
			for _, id := range page.events {
				if w.over() {
					return
				}
				h(c, id)
			}
		}
	})
}

func (p *Replica) add(name string, serve func(*Watcher, *Cluster)) *Watcher {
	w := &Watcher{replica: p, name: name, serve: serve, gone: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = append(p.watchers, w)
	if p.run != nil {
		w.start(p.run)
	}
	return w
}

// start runs the handler. It is called with replica.mu.
func (w *Watcher) start(c *Cluster) {
	before, ended := w.ended, make(chan struct{})
	w.ended, w.quit = ended, c.quit
	go func() {
		defer close(ended)
		if before != nil {
			select {
			case <-before: // the handler that an earlier run has left behind
			case <-c.quit:
				<-before
			}
		}
		w.inside.Store(gid.Current())
		defer w.inside.Store(0)
		if !w.over() {
			w.serve(w, c)
		}
	}()
}

// Cancel ends the watch. It returns when the handler does not run, unless the handler calls it.
func (w *Watcher) Cancel() {
	p := w.replica
	w.once.Do(func() {
		close(w.gone)
		p.mu.Lock()
		defer p.mu.Unlock()
		if at := slices.Index(p.watchers, w); at >= 0 {
			p.watchers = slices.Delete(p.watchers, at, at+1)
		}
	})
	p.mu.Lock()
	ended := w.ended
	p.mu.Unlock()
	if ended != nil && !w.Called() {
		<-ended
	}
}

// Called reports whether the caller is the handler.
func (w *Watcher) Called() bool { return w.inside.Load() == gid.Current() }

// over reports whether the handler is to be given nothing more.
func (w *Watcher) over() bool {
	select {
	case <-w.gone:
		return true
	case <-w.quit:
		return true
	default:
		return false
	}
}

// next waits for the next page. ok is false when the watch or the run is over.
func next[T any](w *Watcher, at *reader[T]) (p *page[T], ok bool) {
	for {
		if w.over() {
			return nil, false
		}
		if p, overrun := at.next(); p != nil || overrun {
			return p, p != nil
		}
		select {
		case <-at.more():
		case <-w.gone:
		case <-w.quit:
		}
	}
}

// serving has a run write the replica, and its watchers run.
func (p *Replica) begin(c *Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run = c
	for _, w := range p.watchers {
		w.start(c)
	}
}

// end ends the watchers of a run, after the handlers that run.
func (p *Replica) end(c *Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run = nil
	close(c.quit)
}

// Join waits until no handler runs, but for that which calls. It returns the names of those that still do.
func (p *Replica) Join(giveUp <-chan struct{}) (left []string) {
	p.mu.Lock()
	all := slices.Clone(p.watchers)
	p.mu.Unlock()
	for _, w := range all {
		p.mu.Lock()
		ended := w.ended
		p.mu.Unlock()
		if ended == nil || w.Called() {
			continue
		}
		select {
		case <-ended:
		case <-giveUp:
			left = append(left, w.name)
		}
	}
	return left
}

// Called reports whether the caller is a handler of a watcher.
func (p *Replica) Called() bool {
	p.mu.Lock()
	all := slices.Clone(p.watchers)
	p.mu.Unlock()
	return slices.ContainsFunc(all, (*Watcher).Called)
}

// Overruns is how many times a watcher was too slow and began anew.
func (p *Replica) Overruns() uint64 { return p.overruns.Load() }

// keyWatch is a watch of the keys with one prefix.
type keyWatch struct {
	m       *ReplicaMap
	prefix  string
	present func(*cluster.Entry)
	event   func(*cluster.Event)
	reset   func()
	at      reader[cluster.Event]
}

func (k *keyWatch) serve(w *Watcher) {
	f := &k.m.feed
	f.mu.Lock()
	f.begin(&k.at)
	root := k.m.root.Load()
	f.mu.Unlock()
	for anew := w.told; ; anew = true {
		w.told = true
		if anew {
			k.reset()
		}
		if !k.all(w, root) {
			return
		}
		root = k.follow(w)
		if w.over() {
			return
		}
	}
}

// all gives the handler what is there, and reports whether it could go on to the end.
func (k *keyWatch) all(w *Watcher, root *trie.Root) bool {
	var list []*cluster.Entry
	for e := range root.All() {
		if strings.HasPrefix(e.Key(), k.prefix) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *cluster.Entry) int { return strings.Compare(a.Key(), b.Key()) })
	for _, e := range list {
		if w.over() {
			return false
		}
		k.present(e)
	}
	return !w.over()
}

// follow gives the handler events until they do not continue, or the watch is over. It returns the root to begin anew
// with.
func (k *keyWatch) follow(w *Watcher) *trie.Root {
	for {
		page, ok := next(w, &k.at)
		if !ok || page.reset {
			if !w.over() {
				return k.again(w, !ok)
			}
			return nil
		}
		for i := range page.events {
			if e := &page.events[i]; strings.HasPrefix(KeyOf(e), k.prefix) {
				if w.over() {
					return nil
				}
				k.event(e)
			}
		}
	}
}

// KeyOf is the key that an event of a map is about.
func KeyOf(e *cluster.Event) string {
	if e.New != nil {
		return e.New.Key()
	}
	return e.Old.Key()
}

// again puts the reader at the end of the list, and returns the root that belongs there.
func (k *keyWatch) again(w *Watcher, overrun bool) *trie.Root {
	if overrun {
		w.replica.overruns.Add(1)
		w.replica.slow(w, k.prefix)
	}
	f := &k.m.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(&k.at)
	f.begin(&k.at)
	return k.m.root.Load()
}

// slow has the log name a watcher that was overrun.
func (p *Replica) slow(w *Watcher, prefix string) {
	p.mu.Lock()
	c := p.run
	p.mu.Unlock()
	if c != nil {
		c.cfg.Slow(w.name, prefix)
	}
}
