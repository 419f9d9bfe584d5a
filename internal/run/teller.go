package run

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/gid"
	"github.com/activeblaze/blaze/wire"
)

// Event is one change of membership, for handlers.
type Event struct {
	Kind  group.ChangeKind
	Of    *Info
	Group string // of JoinedGroup and LeftGroup
}

// Mark is how far the queue of a handler has to come before handlers are given the end of a member: until then it may
// hold something that the member has sent.
type Mark struct {
	Queue string                        // for the log
	Begun func() (begun, returned bool) // whether its handler has begun all that was queued when the mark was made, and returned from it
}

// Listeners are the handlers of a channel's Events. They outlive its runs.
type Listeners struct {
	mu      sync.Mutex
	all     atomic.Pointer[[]*listener] // replaced, never changed
	teller  *teller                     // guarded by mu: of the run
	calling chan struct{}               // holds a token while a teller calls
	server  atomic.Uint64               // the goroutine that calls; 0: none
}

type listener struct {
	h    func(Event)
	gone atomic.Bool
	of   atomic.Pointer[teller] // that has given it what is there
}

// NewListeners makes an empty list.
func NewListeners() *Listeners {
	l := &Listeners{calling: make(chan struct{}, 1)}
	l.all.Store(new([]*listener))
	return l
}

// Add has h called with what is there, and then with what changes. cancel returns when h does not run,
// unless a handler calls it.
func (l *Listeners) Add(h func(Event)) (cancel func()) {
	one := &listener{h: h}
	l.change(func(all []*listener) []*listener { return append(all, one) })
	return func() {
		one.gone.Store(true)
		l.change(func(all []*listener) []*listener {
			return slices.DeleteFunc(all, func(o *listener) bool { return o == one })
		})
		if !l.Called() {
			l.calling <- struct{}{}
			<-l.calling
		}
	}
}

func (l *Listeners) change(f func([]*listener) []*listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := f(slices.Clone(*l.all.Load()))
	l.all.Store(&all)
	if l.teller != nil {
		l.teller.in.rouse()
	}
}

// Called reports whether the caller is one of the handlers.
func (l *Listeners) Called() bool { return l.server.Load() == gid.Current() }

// any reports whether there is a handler.
func (l *Listeners) any() bool { return len(*l.all.Load()) > 0 }

func (l *Listeners) serve(t *teller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.teller = t
}

// teller gives Events to handlers, one at a time. Those of one member come in order. The end of a member
// waits for its marks, and with it what follows of that member; others do not wait for it.
type teller struct {
	self      wire.MemberID
	listeners *Listeners
	marks     func() []Mark
	held      func(queue string, e Event)
	selfTold  func() // the handlers were given an end of the member itself, or have it for selfGrace
	in        mailbox[*telling]
	ended     chan struct{} // closed when its goroutine has ended

	waiting []*telling // in order
	told    map[wire.MemberID]*told

	heldCount, heldLongest atomic.Uint64
}

// telling is an Event on its way.
type telling struct {
	kind   group.ChangeKind
	of     *snapshot
	group  []byte
	marks  []Mark
	since  clock.Time // of an end with marks
	begun  clock.Time // since when all marks are begun, if handlers still run; 0: they are not
	logged bool
}

// told is what handlers were given of a member.
type told struct {
	of     *snapshot
	groups []string // ascending
}

const (
	// markEvery and markSlow bound the time between two looks at the marks of an end.
	markEvery = 50 * time.Microsecond
	markSlow  = 2 * time.Millisecond
	// heldLong is how long an end waits before the log names the queue that it waits for.
	heldLong = 100 * time.Millisecond
	// beginGrace is how long a handler that has begun is waited for.
	beginGrace = 10 * time.Millisecond
	// selfGrace is how long the handlers have for the end of the member itself before the gate opens. They may
	// wait for something that the gate holds up.
	selfGrace = 10 * time.Millisecond
)

// take takes in an Event, on the first engine's thread.
func (t *teller) take(now clock.Time, kind group.ChangeKind, of *snapshot, name []byte) {
	e := &telling{kind: kind, of: of, group: name}
	if (kind == group.Stopped || kind == group.Failed) && of.id != t.self && t.listeners.any() {
		e.marks, e.since = t.marks(), now
	}
	t.in.put(e)
}

// shorten leaves out of a long list of Events those that the following ones undo: members that came and went, and
// groups that a member joined and left. A handler hangs, and members come and go meanwhile. What is left is bounded by
// the members and memberships that there are, and by those that handlers were given. It is called on the first engine's
// thread. Events of the member itself stay.
func (t *teller) shorten(list []*telling) []*telling {
	type life struct {
		started, ended int            // 1 above the place in list of what is kept; 0: none
		groups         map[string]int // places
	}
	lives := map[wire.MemberID]*life{}
	keep := make([]bool, len(list))
	for i, e := range list {
		if e.of.id == t.self {
			keep[i] = true
			continue
		}
		l := lives[e.of.id]
		if l == nil {
			l = &life{groups: map[string]int{}}
			lives[e.of.id] = l
		}
		switch e.kind {
		case group.Started:
			l.started, keep[i] = i+1, true
		case group.Stopped, group.Failed:
			switch {
			case l.started > 0: // handlers are never given it; an end before that has to wait for more
				keep[l.started-1], l.started = false, 0
				if l.ended > 0 {
					list[l.ended-1].marks = e.marks
				}
			default:
				l.ended, keep[i] = i+1, true
			}
			for _, at := range l.groups {
				keep[at] = false
			}
			clear(l.groups)
		default:
			if at, ok := l.groups[string(e.group)]; ok { // the one undoes the other
				keep[at] = false
				delete(l.groups, string(e.group))
			} else {
				l.groups[string(e.group)], keep[i] = i, true
			}
		}
	}
	short := list[:0]
	for i, e := range list {
		if keep[i] {
			short = append(short, e)
		}
	}
	clear(list[len(short):])
	return short
}

func (t *teller) serve(quit <-chan struct{}) {
	defer close(t.ended)
	// A channel keeps its listeners, and they the teller: the run, and packet memory with it, must not stay.
	defer func() { t.selfTold, t.waiting, t.told = nil, nil, nil }()
	t.listeners.serve(t)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	wait := markEvery
	for {
		t.waiting = append(t.waiting, t.in.take()...)
		t.greet(quit)
		e, held := t.next()
		select {
		case <-quit:
			return
		default:
		}
		if e != nil {
			wait = markEvery
			t.tell(e, quit)
			continue
		}
		var again <-chan time.Time
		if held {
			timer.Reset(wait)
			wait = min(2*wait, markSlow)
			again = timer.C
		}
		select {
		case <-t.in.wake:
		case <-again:
		case <-quit:
			return
		}
	}
}

// next takes out the first Event that is due. held reports whether one waits for its marks.
func (t *teller) next() (e *telling, held bool) {
	var blocked []wire.MemberID
	for i, e := range t.waiting {
		if len(blocked) > 0 && slices.Contains(blocked, e.of.id) {
			continue
		}
		if !t.due(e) {
			blocked = append(blocked, e.of.id)
			continue
		}
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return e, false
	}
	return nil, len(blocked) > 0
}

// due reports whether an Event may be given to handlers: every handler has begun what its mark says, and returned from it or had
// beginGrace for it. For it may have begun only just, and not have come to its first line.
func (t *teller) due(e *telling) bool {
	if len(e.marks) == 0 {
		return true
	}
	all := true
	e.marks = slices.DeleteFunc(e.marks, func(m Mark) bool {
		begun, returned := m.Begun()
		all = all && begun
		return returned
	})
	now := engine.Now()
	if all && e.begun == 0 {
		e.begun = now
	}
	since := now.Sub(e.since)
	if len(e.marks) == 0 || all && now.Sub(e.begun) >= beginGrace {
		e.marks = nil
		t.heldCount.Add(1)
		t.heldLongest.Store(max(t.heldLongest.Load(), uint64(since)))
		return true
	}
	if since >= heldLong && !e.logged {
		e.logged = true
		t.held(e.marks[0].Queue, Event{Kind: e.kind, Of: e.of.read()})
	}
	return false
}

// tell takes in an Event and gives it to the handlers.
func (t *teller) tell(e *telling, quit <-chan struct{}) {
	id := e.of.id
	event := Event{Kind: e.kind, Of: e.of.read(), Group: string(e.group)}
	switch e.kind {
	case group.Started:
		t.told[id] = &told{of: e.of}
	case group.Stopped, group.Failed:
		delete(t.told, id)
		if id == t.self {
			var once sync.Once
			selfTold := t.selfTold
			grace := time.AfterFunc(selfGrace, func() { once.Do(selfTold) })
			defer func() {
				grace.Stop()
				once.Do(selfTold)
			}()
		}
	case group.JoinedGroup, group.LeftGroup:
		if k := t.told[id]; k != nil {
			k.of = e.of
			at, found := slices.BinarySearch(k.groups, event.Group)
			switch {
			case found && e.kind == group.LeftGroup:
				k.groups = slices.Delete(k.groups, at, at+1)
			case !found && e.kind == group.JoinedGroup:
				k.groups = slices.Insert(k.groups, at, event.Group)
			}
		}
	}
	t.call(quit, func(l *listener) { l.h(event) })
}

// greet gives new handlers what is there, in order of age.
func (t *teller) greet(quit <-chan struct{}) {
	if !slices.ContainsFunc(*t.listeners.all.Load(), func(l *listener) bool { return l.of.Load() != t }) {
		return
	}
	var list []*told
	for _, k := range t.told {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *told) int { return byAge(a.of.read(), b.of.read()) })
	t.callNew(quit, func(l *listener) {
		l.of.Store(t)
		for _, k := range list {
			if l.gone.Load() {
				return
			}
			l.h(Event{Kind: group.Started, Of: k.of.read()})
			for _, g := range k.groups {
				if l.gone.Load() {
					return
				}
				l.h(Event{Kind: group.JoinedGroup, Of: k.of.read(), Group: g})
			}
		}
	})
}

// call calls f for each handler that was given what is there.
func (t *teller) call(quit <-chan struct{}, f func(*listener)) {
	t.each(quit, func(l *listener) bool { return l.of.Load() == t }, f)
}

// callNew calls f for each handler that was not.
func (t *teller) callNew(quit <-chan struct{}, f func(*listener)) {
	t.each(quit, func(l *listener) bool { return l.of.Load() != t }, f)
}

// each calls f for some handlers. It waits for a handler that an earlier run has left behind.
func (t *teller) each(quit <-chan struct{}, which func(*listener) bool, f func(*listener)) {
	l := t.listeners
	if !l.any() {
		return
	}
	select {
	case l.calling <- struct{}{}:
	case <-quit:
		return
	}
	l.server.Store(gid.Current())
	defer func() {
		l.server.Store(0)
		<-l.calling
	}()
	for _, one := range *l.all.Load() {
		select {
		case <-quit:
			return
		default:
		}
		if which(one) && !one.gone.Load() {
			f(one)
		}
	}
}
