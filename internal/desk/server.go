package desk

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cluster is the member that does the calls.
type Cluster interface {
	// Who reports how this member is: whom a program that has a choice asks.
	Who() (primary, ready bool, load uint64)
	// Status is what Reply.Status has.
	Status() any
	Get(name, key string) (Entry, bool, error)
	GetLinear(ctx context.Context, name, key string) (Entry, bool, error)
	Put(ctx context.Context, r *Request) (version uint64, err error) // also DoCAS
	Delete(ctx context.Context, name, key string) error
	Force(ctx context.Context) error
	// Keys are those of a map; a map that is not there has none, and stays so.
	Keys(name string) (iter.Seq[string], error)
	Watch(name, prefix string, h func(Event)) (cancel func(), err error)
	Names() []string
	// Word is the word for an error of the others.
	Word(err error) string
}

// Server does requests for programs that are no members of the cluster.
type Server struct {
	c    Cluster
	room chan struct{} // a token for each request under way

	mu       sync.Mutex
	last     uint64
	sessions map[uint64]*session
}

// requests are under way at a time; further ones wait in the in-box.
const requests = 64

// NewServer makes one that asks c.
func NewServer(c Cluster) *Server {
	return &Server{c: c, room: make(chan struct{}, requests), sessions: map[uint64]*session{}}
}

// Handle has a request done by a goroutine of its own, so that one which waits holds up nobody. done is called with the
// reply.
func (s *Server) Handle(request []byte, done func(reply *Reply)) {
	s.room <- struct{}{}
	go func() {
		defer func() { <-s.room }()
		var r Request
		if Decode(request, &r) != nil {
			done(&Reply{Error: Argument, Text: "the request is no JSON object of this version"})
			return
		}
		reply := s.serve(&r)
		done(&reply)
	}()
}

// serve does one request.
func (s *Server) serve(r *Request) (reply Reply) {
	within := r.Within
	if within <= 0 || within > MaxWithin {
		within = MaxWithin
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var err error
	switch r.Do {
	case DoWho:
		reply.Primary, reply.Ready, reply.Load = s.c.Who()
	case DoStatus:
		reply.Status = Encode(s.c.Status())
		reply.Primary, reply.Ready, reply.Load = s.c.Who()
	case DoMaps:
		reply.Names = s.c.Names()
		reply.Names = reply.Names[:min(len(reply.Names), MaxNames)]
	case DoGet:
		if r.Linear {
			reply.Entry, reply.Found, err = s.c.GetLinear(ctx, r.Map, r.Key)
		} else {
			reply.Entry, reply.Found, err = s.c.Get(r.Map, r.Key)
		}
		reply.Primary, _, _ = s.c.Who()
	case DoPut, DoCAS:
		reply.Version, err = s.c.Put(ctx, r)
	case DoDelete:
		err = s.c.Delete(ctx, r.Map, r.Key)
	case DoForce:
		err = s.c.Force(ctx)
	case DoList, DoWatch, DoEnd:
		err = s.page(ctx, r, &reply)
	default:
		reply.Error, reply.Text = Argument, "this version does not do that"
	}
	if err != nil {
		reply = Reply{Error: s.word(err), Text: err.Error()}
	}
	return reply
}

var (
	errNoSession = errors.New("there is no such list or watch any more")
	errBusy      = errors.New("this member serves as many lists and watches as it can")
)

func (s *Server) word(err error) string {
	switch err {
	case errNoSession:
		return Gone
	case errBusy:
		return Busy
	}
	return s.c.Word(err)
}

// session is a list or a watch that is asked for in parts.
type session struct {
	name string        // of the map
	idle *time.Timer   // ends it when nobody asks for it in a while
	news chan struct{} // holds a token while there are events; nil: a list

	mu     sync.Mutex
	cancel func() // ends the watch of the map
	ended  bool
	keys   []string // of a list: those that are left, ascending
	events []Event
	bytes  int  // of events
	over   bool // events were dropped: the watch begins anew
}

// page begins a list or a watch, goes on with it, or ends it.
func (s *Server) page(ctx context.Context, r *Request, reply *Reply) (err error) {
	if r.Do == DoEnd {
		s.end(r.Session)
		return nil
	}
	id, p := r.Session, s.session(r.Session)
	switch {
	case p == nil && id != 0:
		return errNoSession
	case p == nil:
		if id, p, err = s.begin(r); err != nil {
			return err
		}
	}
	reply.Session = id
	if p.news == nil {
		err = s.list(p, reply)
	} else {
		p.watch(ctx, reply)
	}
	if err != nil || reply.Session == 0 {
		s.end(id)
	}
	return err
}

// session finds a session.
func (s *Server) session(id uint64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) begin(r *Request) (uint64, *session, error) {
	p := &session{name: r.Map, cancel: func() {}}
	if r.Do == DoWatch {
		p.news = make(chan struct{}, 1)
	}
	s.mu.Lock()
	if len(s.sessions) >= MaxSessions {
		s.mu.Unlock()
		return 0, nil, errBusy
	}
	s.last++
	id := s.last
	s.sessions[id] = p
	p.idle = time.AfterFunc(SessionIdle, func() { s.end(id) })
	s.mu.Unlock()
	var err error
	if r.Do == DoWatch {
		var cancel func()
		if cancel, err = s.c.Watch(r.Map, r.Prefix, p.event); err == nil {
			p.began(cancel)
		}
	} else {
		err = p.collect(s.c, r)
	}
	if err != nil {
		s.end(id)
	}
	return id, p, err
}

// collect has the list have the keys that are there now.
func (p *session) collect(c Cluster, r *Request) error {
	keys, err := c.Keys(r.Map)
	if err != nil {
		return err
	}
	for key := range keys {
		if strings.HasPrefix(key, r.Prefix) {
			p.keys = append(p.keys, key)
		}
	}
	slices.Sort(p.keys)
	return nil
}

// began takes over what ends the watch of the map. The session may have ended meanwhile.
func (p *session) began(cancel func()) {
	p.mu.Lock()
	p.cancel = cancel
	ended := p.ended
	p.mu.Unlock()
	if ended {
		cancel()
	}
}

func (s *Server) end(id uint64) {
	s.mu.Lock()
	p := s.sessions[id]
	delete(s.sessions, id)
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.idle.Stop()
	p.mu.Lock()
	p.ended = true
	cancel := p.cancel
	p.mu.Unlock()
	cancel() // without mu: it waits for event
}

// weight is what an entry counts towards MaxPage.
func weight(e *Entry) int { return len(e.Key) + len(e.Value) + 100 }

// list fills a page. Session is 0 after the last one. An entry that went meanwhile is left out.
func (s *Server) list(p *session, reply *Reply) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle.Reset(SessionIdle)
	for bytes := 0; len(p.keys) > 0; p.keys = p.keys[1:] {
		e, ok, err := s.c.Get(p.name, p.keys[0])
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if bytes += weight(&e); bytes > MaxPage && len(reply.Entries) > 0 {
			return nil
		}
		reply.Entries = append(reply.Entries, e)
	}
	reply.Session = 0
	return nil
}

// event takes in a change for a watch.
func (p *session) event(e Event) {
	p.mu.Lock()
	if len(p.events) >= MaxWaiting || p.bytes+weight(&e.Entry) > MaxHeld {
		p.events, p.over = nil, true
	}
	if !p.over {
		p.events = append(p.events, e)
		p.bytes += weight(&e.Entry)
	}
	p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// watch waits a while for events, and fills a page with them.
func (p *session) watch(ctx context.Context, reply *Reply) {
	p.mu.Lock()
	p.idle.Reset(SessionIdle)
	waiting := len(p.events) > 0 || p.over
	p.mu.Unlock()
	if !waiting {
		within, cancel := context.WithTimeout(ctx, PollWait)
		defer cancel()
		select {
		case <-p.news:
		case <-within.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over { // what was missed is not known: the asker begins anew
		reply.Error, reply.Text, reply.Session = Gone, "events came faster than they were asked for", 0
		return
	}
	n, bytes := 0, 0
	for ; n < len(p.events); n++ {
		if bytes += weight(&p.events[n].Entry); bytes > MaxPage && n > 0 {
			break
		}
	}
	reply.Events = slices.Clone(p.events[:n])
	for i := range reply.Events {
		p.bytes -= weight(&reply.Events[i].Entry)
	}
	p.events = slices.Delete(p.events, 0, n)
}
