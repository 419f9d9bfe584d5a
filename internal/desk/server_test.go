package desk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// table is a Cluster of one map, without a cluster.
type table struct {
	Cluster
	m       map[string]Entry
	watched func(Event)
	begun   func() // called by Watch
	ended   atomic.Int32
}

func (t *table) Get(_, key string) (Entry, bool, error) {
	e, ok := t.m[key]
	return e, ok, nil
}

func (t *table) Keys(name string) (iter.Seq[string], error) {
	if name == "" {
		return nil, errors.New("no name")
	}
	return maps.Keys(t.m), nil
}

func (t *table) Watch(_, _ string, h func(Event)) (func(), error) {
	t.watched = h
	if t.begun != nil {
		t.begun()
	}
	return func() { t.ended.Add(1) }, nil
}

func (t *table) Word(error) string { return Failed }

func (t *table) Who() (bool, bool, uint64) { return true, true, 3 }

func (t *table) Put(ctx context.Context, _ *Request) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// ask has a request done, and waits for the reply.
func ask(s *Server, r Request) (reply Reply) {
	done := make(chan struct{})
	s.Handle(Encode(&r), func(got *Reply) {
		reply = *got
		close(done)
	})
	<-done
	return reply
}

func TestListPages(t *testing.T) {
	c := &table{m: map[string]Entry{}}
	for i := range 30 {
		key := fmt.Sprintf("%02d", i)
		c.m[key] = Entry{Key: key, Value: make([]byte, 10_000)}
	}
	s := NewServer(c)
	next, pages := 0, 0
	for r := (Request{Do: DoList, Map: "m"}); ; pages++ {
		reply := ask(s, r)
		if reply.Error != "" || len(reply.Entries) == 0 {
			t.Fatalf("page %d: %+v", pages, reply)
		}
		for _, e := range reply.Entries {
			if e.Key != fmt.Sprintf("%02d", next) {
				t.Fatalf("%s, want %02d", e.Key, next)
			}
			next++
		}
		delete(c.m, "29") // it is left out
		if r.Session = reply.Session; r.Session == 0 {
			break
		}
	}
	if next != 29 || pages != 2 {
		t.Errorf("%d entries, %d pages after the first", next, pages)
	}
	if len(s.sessions) != 0 {
		t.Error("the session is left")
	}
	if reply := ask(s, Request{Do: DoList}); reply.Error != Failed || len(s.sessions) != 0 {
		t.Errorf("%+v, %d sessions", reply, len(s.sessions))
	}
	if reply := ask(s, Request{Do: DoList, Map: "m", Session: 77}); reply.Error != Gone {
		t.Errorf("%+v", reply)
	}
	if reply := ask(s, Request{Do: "dance"}); reply.Error != Argument {
		t.Errorf("%+v", reply)
	}
	s.Handle([]byte("no JSON"), func(r *Reply) {
		if r.Error != Argument {
			t.Errorf("%+v", r)
		}
	})
}

func TestWatchPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &table{}
		s := NewServer(c)
		begun := time.Now()
		reply := ask(s, Request{Do: DoWatch, Map: "m"}) // nothing happens
		if waited := time.Since(begun); reply.Session == 0 || len(reply.Events) != 0 || waited != PollWait {
			t.Fatalf("%+v after %v", reply, waited)
		}
		r := Request{Do: DoWatch, Session: reply.Session}
		for i := range 5 {
			c.watched(Event{Old: uint64(i)})
		}
		if reply = ask(s, r); len(reply.Events) != 5 || reply.Events[4].Old != 4 {
			t.Fatalf("%+v", reply)
		}
		for range MaxWaiting + 1 {
			c.watched(Event{})
		}
		if reply = ask(s, r); reply.Error != Gone || len(s.sessions) != 0 || c.ended.Load() != 1 {
			t.Fatalf("%+v, %d sessions", reply, len(s.sessions))
		}
		// One that nobody asks for ends, and makes room.
		for range MaxSessions {
			if reply = ask(s, Request{Do: DoWatch, Map: "m", Within: time.Millisecond}); reply.Session == 0 {
				t.Fatalf("%+v", reply)
			}
		}
		if reply = ask(s, Request{Do: DoWatch, Map: "m"}); reply.Error != Busy {
			t.Fatalf("%+v", reply)
		}
		time.Sleep(2 * SessionIdle)
		synctest.Wait()
		if len(s.sessions) != 0 || c.ended.Load() != 1+MaxSessions {
			t.Errorf("%d sessions are left, %d watches have ended", len(s.sessions), c.ended.Load())
		}
	})
}

// What waits for a reader that asks for nothing is bounded in bytes, too.
func TestWatchHeldBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &table{}
		s := NewServer(c)
		r := Request{Do: DoWatch, Session: ask(s, Request{Do: DoWatch, Map: "m"}).Session}
		e := Event{Entry: Entry{Key: "k", Value: make([]byte, MaxHeld/8-1000)}}
		for range 3 {
			for range 8 {
				c.watched(e)
			}
			for n := 0; n < 8; n++ { // one is larger than a page
				if reply := ask(s, r); reply.Error != "" || len(reply.Events) != 1 {
					t.Fatalf("event %d: %+v", n, reply)
				}
			}
		}
		for range 9 {
			c.watched(e)
		}
		if reply := ask(s, r); reply.Error != Gone || c.ended.Load() != 1 {
			t.Errorf("%d events, error %q, %d watches have ended", len(reply.Events), reply.Error, c.ended.Load())
		}
	})
}

// A watch that is ended while it begins is left at no map.
func TestWatchEndedWhileItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &table{}
		s := NewServer(c)
		c.begun = func() { ask(s, Request{Do: DoEnd, Session: 1}) }
		ask(s, Request{Do: DoWatch, Map: "m"})
		if c.ended.Load() != 1 || len(s.sessions) != 0 {
			t.Errorf("%d watches have ended, %d sessions are left", c.ended.Load(), len(s.sessions))
		}
	})
}

// A request that waits holds up nobody, and ends.
func TestRequestsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&table{})
		ended := make(chan string, 1)
		s.Handle(Encode(&Request{Do: DoPut, Within: time.Hour}), func(r *Reply) { ended <- r.Error })
		if reply := ask(s, Request{Do: DoWho}); !reply.Primary || reply.Load != 3 {
			t.Errorf("%+v", reply)
		}
		begun := time.Now()
		if word := <-ended; word != Failed || time.Since(begun) != MaxWithin {
			t.Errorf("%s after %v", word, time.Since(begun))
		}
	})
}
