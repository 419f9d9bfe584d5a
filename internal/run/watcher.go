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
	// begin takes its place in the list of events, and returns what the goroutine does from there on.
	begin  func(s *session) (serve func(c *Cluster))
	gone   chan struct{} // closed by Cancel
	once   sync.Once
	cancel func()        // called once by Cancel
	inside atomic.Uint64 // the goroutine; 0: none
	last   *session      // of the run, or of the one before; nil: there was none; guarded by replica.mu
	told   bool          // the handler was given something; the goroutine's
}

// session is what a Watcher has in one run.
type session struct {
	*Watcher
	quit  <-chan struct{} // closed at the end of the run
	ended chan struct{}   // closed when its goroutine has ended
}

// Watch has a handler called with the events of a map, whose keys begin with prefix: first present, with what is there,
// in order of keys. reset comes first where that does not continue what the handler was given before.
func (p *Replica) Watch(m *ReplicaMap, prefix string, present func(*cluster.Entry), event func(*cluster.Event), reset func()) *Watcher {
	p.watching.Add(1)
	w := &Watcher{name: m.name, cancel: func() { p.watching.Add(-1) }}
	w.begin = func(s *session) func(*Cluster) {
		k := &keyWatch{session: s, m: m, prefix: prefix, present: present, event: event, reset: reset}
		m.feed.mu.Lock()
		defer m.feed.mu.Unlock()
		m.feed.begin(&k.at)
		root := m.root.Load()
		return func(*Cluster) { k.serve(root) }
	}
	return p.add(w)
}

// WatchMaster has h called with the present master, and then with each one that follows.
func (p *Replica) WatchMaster(h func(*Cluster, wire.MemberID)) *Watcher {
	w := &Watcher{name: "OnMaster", cancel: func() {}}
	w.begin = func(s *session) func(*Cluster) {
		var at reader[wire.MemberID]
		f := &p.masters
		f.mu.Lock()
		defer f.mu.Unlock()
		f.begin(&at)
		now := p.master
		return func(c *Cluster) {
			defer f.leave(&at)
			if now != (wire.MemberID{}) && !s.over() {
				h(c, now)
			}
			for {
				page, ok := next(s, &at)
				if !ok {
					return
				}
				for _, id := range page.events {
					if s.over() {
						return
					}
					h(c, id)
				}
			}
		}
	}
	return p.add(w)
}

func (p *Replica) add(w *Watcher) *Watcher {
	w.replica, w.gone = p, make(chan struct{})
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
	before, s := w.last, &session{w, c.quit, make(chan struct{})}
	w.last = s
	serve := w.begin(s)
	go func() {
		defer close(s.ended)
		if before != nil {
			<-before.ended // the handler that an earlier run has left behind
		}
		w.inside.Store(gid.Current())
		defer w.inside.Store(0)
		serve(c)
	}()
}

// Cancel ends the watch. It returns when the handler does not run, unless the handler calls it.
func (w *Watcher) Cancel() {
	p := w.replica
	w.once.Do(func() {
		close(w.gone)
		w.cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		if at := slices.Index(p.watchers, w); at >= 0 {
			p.watchers = slices.Delete(p.watchers, at, at+1)
		}
	})
	if s := w.session(); s != nil && !w.Called() {
		<-s.ended
	}
}

// session is the last one; nil: there was none.
func (w *Watcher) session() *session {
	w.replica.mu.Lock()
	defer w.replica.mu.Unlock()
	return w.last
}

// Called reports whether the caller is the handler.
func (w *Watcher) Called() bool { return w.inside.Load() == gid.Current() }

// over reports whether the handler is to be given nothing more.
func (s *session) over() bool {
	select {
	case <-s.gone:
		return true
	case <-s.quit:
		return true
	default:
		return false
	}
}

// next waits for the next page. ok is false when the watch or the run is over.
func next[T any](s *session, at *reader[T]) (p *page[T], ok bool) {
	for {
		if s.over() {
			return nil, false
		}
		if p, overrun := at.next(); p != nil || overrun {
			return p, p != nil
		}
		select {
		case <-at.more():
		case <-s.gone:
		case <-s.quit:
		}
	}
}

// begin has a run write the replica, and its watchers run.
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
		s := w.session()
		if s == nil || w.Called() {
			continue
		}
		select {
		case <-s.ended:
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
	*session
	m       *ReplicaMap
	prefix  string
	present func(*cluster.Entry)
	event   func(*cluster.Event)
	reset   func()
	at      reader[cluster.Event]
}

func (k *keyWatch) serve(root *trie.Root) {
	defer k.m.feed.leave(&k.at)
	for anew := k.told; !k.over(); anew = true {
		k.told = true
		if anew {
			k.reset()
		}
		if k.all(root) {
			root = k.follow()
		}
	}
}

// all gives the handler what is there, and reports whether it could go on to the end.
func (k *keyWatch) all(root *trie.Root) bool {
	var list []*cluster.Entry
	for e := range root.All() {
		if strings.HasPrefix(e.Key(), k.prefix) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *cluster.Entry) int { return strings.Compare(a.Key(), b.Key()) })
	for _, e := range list {
		if k.over() {
			return false
		}
		k.present(e)
	}
	return true
}

// follow gives the handler events until they do not continue, or the watch is over. It returns the root to begin anew
// with.
func (k *keyWatch) follow() *trie.Root {
	for {
		page, ok := next(k.session, &k.at)
		if !ok || page.reset {
			if !k.over() {
				return k.again(!ok)
			}
			return nil
		}
		for i := range page.events {
			if e := &page.events[i]; strings.HasPrefix(KeyOf(e), k.prefix) {
				if k.over() {
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
func (k *keyWatch) again(overrun bool) *trie.Root {
	if overrun {
		k.replica.overruns.Add(1)
		k.replica.slow(k.Watcher, k.prefix)
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
