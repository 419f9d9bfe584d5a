package blaze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/activeblaze/blaze/internal/desk"
)

// clerk serves the in-box desk.Inbox: it does calls for programs that are no members of the cluster. Each request is
// done by a goroutine of its own, so that one which waits holds up nobody.
type clerk struct {
	c    *ClusterChannel
	room chan struct{} // a token for each request under way

	mu       sync.Mutex
	last     uint64
	sessions map[uint64]*deskSession
}

// deskRequests is how many requests are under way at a time; further ones wait in the in-box.
const deskRequests = 64

// deskSession is a list or a watch that is asked for in parts.
type deskSession struct {
	m      *Map
	mu     sync.Mutex
	idle   *time.Timer // ends it when nobody asks for it in a while
	keys   []string    // of a list: those that are left, ascending
	events []desk.Event
	news   chan struct{} // holds a token while there are events
	over   bool          // events were dropped: the watch begins anew
	cancel func()
}

// openDesk begins to serve the in-box.
func (c *ClusterChannel) openDesk() {
	k := &clerk{c: c, room: make(chan struct{}, deskRequests), sessions: map[uint64]*deskSession{}}
	_, err := c.handleInbox(desk.Inbox, func(m *Message) {
		if !m.Wanted() {
			return
		}
		k.room <- struct{}{}
		go func() {
			defer func() { <-k.room }()
			var reply desk.Reply
			var r desk.Request
			if b, ok := m.Bytes(); !ok || desk.Decode(b, &r) != nil {
				reply = desk.Reply{Error: desk.Argument, Text: "the request is no JSON object of this version"}
			} else {
				reply = k.serve(&r)
			}
			out := desk.Encode(&reply)
			if limit := c.cfg.Load().MaxMessageSize; len(out) > limit-desk.Overhead {
				out = desk.Encode(&desk.Reply{Error: desk.TooLarge, Text: fmt.Sprintf("the reply has %d bytes, and MaxMessageSize is %d", len(out), limit)})
			}
			_ = c.Reply(context.Background(), m, NewBytesMessage(out))
		}()
	})
	if err != nil {
		panic("blaze: " + err.Error()) // a channel opens its desk once
	}
}

// serve does one request.
func (k *clerk) serve(r *desk.Request) (reply desk.Reply) {
	within := r.Within
	if within <= 0 || within > desk.MaxWithin {
		within = desk.MaxWithin
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	m := k.named(r.Map)
	var opts []PutOption
	if r.TTL != 0 {
		opts = append(opts, TTL(r.TTL))
	}
	var err error
	switch r.Do {
	case desk.DoWho:
		reply.Primary, reply.Ready, reply.Load = k.who()
	case desk.DoStatus:
		s := k.c.Status()
		reply.Status = desk.Encode(&s)
		reply.Primary, reply.Ready, reply.Load = k.who()
	case desk.DoGet:
		err = k.get(ctx, m, r, &reply)
	case desk.DoPut:
		reply.Version, err = m.Put(ctx, r.Key, r.Value, opts...)
	case desk.DoCAS:
		reply.Version, err = m.CompareAndPut(ctx, r.Key, r.Value, r.Version, opts...)
	case desk.DoMaps:
		reply.Names = k.c.cluster.replica.Names()
		reply.Names = reply.Names[:min(len(reply.Names), desk.MaxNames)]
	case desk.DoForce:
		err = k.c.Force(ctx)
	case desk.DoDelete:
		err = m.Delete(ctx, r.Key)
	case desk.DoList, desk.DoWatch, desk.DoEnd:
		err = k.page(ctx, m, r, &reply)
	default:
		reply.Error, reply.Text = desk.Argument, "this version does not do that"
	}
	if err != nil {
		reply = desk.Reply{Error: deskWord(err), Text: err.Error()}
	}
	return reply
}

// named is a map that stays unknown if it is: who asks may ask for any number of names.
func (k *clerk) named(name string) *Map {
	m := &Map{c: k.c, name: name}
	if checkMapName(name) == nil {
		m.of = k.c.cluster.replica.Look(name)
	}
	return m
}

// who says how this member is: whom a program that has a choice asks.
func (k *clerk) who() (primary, ready bool, load uint64) {
	s := k.c.Stats().Cluster
	_, master := k.c.Master()
	primary = k.c.Primary()
	return primary, primary && master, uint64(s.Calls)
}

func (k *clerk) get(ctx context.Context, m *Map, r *desk.Request, reply *desk.Reply) error {
	var e Entry
	if r.Linear {
		var err error
		if e, reply.Found, err = m.GetLinear(ctx, r.Key); err != nil {
			return err
		}
	} else {
		if err := m.check("Get", r.Key); err != nil {
			return err
		}
		e, reply.Found = m.Get(r.Key)
	}
	reply.Primary = k.c.Primary()
	if reply.Found {
		reply.Entry = deskEntry(&e)
	}
	return nil
}

func deskEntry(e *Entry) desk.Entry {
	out := desk.Entry{Key: e.Key, Value: e.Value, Version: e.Version, Expires: e.Expires}
	if !e.Owner.IsZero() {
		out.Owner = e.Owner.String()
	}
	return out
}

// deskWord is the word for an error.
func deskWord(err error) string {
	for _, row := range []struct {
		is   error
		word string
	}{
		{ErrUnknownOutcome, desk.Unknown}, // first: it stands beside others
		{ErrNoQuorum, desk.NoQuorum}, {ErrLocked, desk.Locked}, {ErrNotOwner, desk.NotOwner}, {ErrVersion, desk.Version},
		{ErrTooLarge, desk.TooLarge}, {ErrArgument, desk.Argument}, {ErrUnsupported, desk.Unsupported},
		{ErrClosed, desk.Stopped}, {ErrState, desk.Stopped}, {context.DeadlineExceeded, desk.TimeUp},
		{errNoSession, desk.Gone}, {errBusy, desk.Busy},
	} {
		if errors.Is(err, row.is) {
			return row.word
		}
	}
	return desk.Failed
}

var (
	errNoSession = errors.New("blaze: there is no such list or watch any more")
	errBusy      = errors.New("blaze: this member serves as many lists and watches as it can")
)

// page begins a list or a watch, goes on with it, or ends it.
func (k *clerk) page(ctx context.Context, m *Map, r *desk.Request, reply *desk.Reply) error {
	s, id := k.session(r.Session), r.Session
	switch {
	case r.Do == desk.DoEnd:
		k.end(id)
		return nil
	case s == nil && id != 0:
		return errNoSession
	case s == nil:
		if err := checkMapName(r.Map); err != nil {
			return err
		}
		var err error
		if id, s, err = k.begin(m, r); err != nil {
			return err
		}
	}
	if s.news == nil {
		if s.list(reply) {
			reply.Session = id
		} else {
			k.end(id)
		}
		return nil
	}
	reply.Session = id
	if s.watch(ctx, reply); reply.Session == 0 {
		k.end(id)
	}
	return nil
}

// session finds a session.
func (k *clerk) session(id uint64) *deskSession {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sessions[id]
}

func (k *clerk) begin(m *Map, r *desk.Request) (uint64, *deskSession, error) {
	s := &deskSession{m: m, cancel: func() {}}
	k.mu.Lock()
	if len(k.sessions) >= desk.MaxSessions {
		k.mu.Unlock()
		return 0, nil, errBusy
	}
	k.last++
	id := k.last
	k.sessions[id] = s
	s.idle = time.AfterFunc(desk.SessionIdle, func() { k.end(id) })
	k.mu.Unlock()
	if r.Do == desk.DoWatch {
		s.news = make(chan struct{}, 1)
		s.cancel = k.c.Map(r.Map).Watch(r.Prefix, s.event)
		return id, s, nil
	}
	var keys []string
	for key := range m.All() {
		if strings.HasPrefix(key, r.Prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	s.keys = keys
	return id, s, nil
}

func (k *clerk) end(id uint64) {
	k.mu.Lock()
	s := k.sessions[id]
	delete(k.sessions, id)
	k.mu.Unlock()
	if s != nil {
		s.idle.Stop()
		s.cancel()
	}
}

// list fills a page, and reports whether there is more. An entry that went meanwhile is left out.
func (s *deskSession) list(reply *desk.Reply) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle.Reset(desk.SessionIdle)
	for bytes := 0; len(s.keys) > 0; s.keys = s.keys[1:] {
		e, ok := s.m.Get(s.keys[0])
		if !ok {
			continue
		}
		if bytes += len(e.Key) + len(e.Value) + 100; bytes > desk.MaxPage && len(reply.Entries) > 0 {
			return true
		}
		reply.Entries = append(reply.Entries, deskEntry(&e))
	}
	return false
}

// event takes in a change for a watch.
func (s *deskSession) event(e MapEvent) {
	out := desk.Event{Kind: e.Kind.String(), Entry: deskEntry(&e.New), Old: e.Old.Version}
	out.Entry.Key = e.Key
	if !e.By.IsZero() {
		out.By = e.By.String()
	}
	s.mu.Lock()
	if len(s.events) >= desk.MaxWaiting {
		s.events, s.over = nil, true
	}
	if !s.over {
		s.events = append(s.events, out)
	}
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// watch waits a while for events, and fills a page with them.
func (s *deskSession) watch(ctx context.Context, reply *desk.Reply) {
	s.mu.Lock()
	s.idle.Reset(desk.SessionIdle)
	waiting := len(s.events) > 0 || s.over
	s.mu.Unlock()
	if !waiting {
		within, cancel := context.WithTimeout(ctx, desk.PollWait)
		defer cancel()
		select {
		case <-s.news:
		case <-within.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle.Reset(desk.SessionIdle)
	if s.over { // what was missed is not known: the asker begins anew
		reply.Error, reply.Text, reply.Session = desk.Gone, "events came faster than they were asked for", 0
		return
	}
	n, bytes := 0, 0
	for n < len(s.events) {
		e := &s.events[n].Entry
		if bytes += len(e.Key) + len(e.Value) + 100; bytes > desk.MaxPage && n > 0 {
			break
		}
		n++
	}
	reply.Events = slices.Clone(s.events[:n])
	s.events = slices.Delete(s.events, 0, n)
}
